/**
 * The one interface between the control API and everything below it: what the daemon can be asked.
 *
 * Every mutation is atomic (it happens as a whole or is undone) and durable when its promise resolves. Rejections are
 * `RequestError`s (model/problems.ts) with a stable code; anything else that is thrown is a bug.
 */
import type { CompartmentSpec } from '../model/compartment.js';
import type { EndpointSpec, VlanSpec } from '../model/endpoint.js';
import type { NetworkSpec, NetworkType, StormLimits } from '../model/network.js';

/** What `create` takes: the name and type are required, everything else has a default. */
export interface NetworkRequest extends Partial<Omit<NetworkSpec, 'name' | 'type' | 'gateway' | 'storm'>> {
  name: string;
  type: NetworkType;
  gateway?: string | string[];
  storm?: Partial<StormLimits>;
}

/** What can be changed of a living network. */
export type NetworkPatch = Partial<
  Pick<NetworkSpec, 'ageingSeconds' | 'controlFrames' | 'macLimit' | 'mtu' | 'reserved'>
> & {
  storm?: Partial<StormLimits>;
};

export interface CompartmentRequest {
  name: string;
  netns?: string;
  pid?: number;
}

export interface EndpointRequest {
  name: string;
  network: string;
  compartment?: string | null;
  ip?: string | string[];
  mac?: string;
  ifname?: string;
  defaultRoute?: boolean;
  vlan?: VlanSpec | null;
  isolated?: boolean;
  offload?: boolean;
  staticMacs?: string[];
}

export type EndpointPatch = Partial<Pick<EndpointSpec, 'isolated' | 'vlan' | 'staticMacs'>>;

export interface NetworkView extends NetworkSpec {
  id: string;
  /** Name of the host vNIC of an internal network, else null. */
  hostInterface: string | null;
  endpoints: string[];
  addresses: { used: number; free: string /* decimal text: an IPv6 subnet has more than a double can hold */ };
}

export interface CompartmentView extends CompartmentSpec {
  id: string;
  /** Where its namespace is to be found. */
  path: string;
  /** Whether weft made the namespace and will remove it. */
  owned: boolean;
  state: 'ready' | 'gone';
  endpoints: string[];
}

export interface EndpointView extends EndpointSpec {
  id: string;
  /** `degraded`: attached, but its interface is gone or broken; `reason` says why. */
  state: 'attached' | 'detached' | 'degraded';
  reason: string | null;
  /** Addresses with prefix length, e.g. `10.0.0.2/24`. */
  addresses: string[];
  gateway: string[];
  mtu: number;
  /** Row in the datapath, null while detached. */
  port: number | null;
}

export interface CaptureRequest {
  name?: string;
  network?: string;
  endpoint?: string;
  all?: boolean;
  /** Absolute path on the daemon's machine; absent for a stream. */
  file?: string;
  format?: 'pcapng' | 'pcap';
  count?: number;
  /** Seconds. */
  duration?: number;
  snaplen?: number;
  filter?: string;
  drops?: boolean;
  /** Bytes of a file after which the capture goes on in the next one. */
  rotateSize?: number;
  /** Files kept, the present one included; absent = all. Needs rotateSize. */
  rotateFiles?: number;
}

export interface CaptureView {
  name: string;
  network: string | null;
  endpoint: string | null;
  all: boolean;
  file: string | null;
  format: 'pcapng' | 'pcap';
  filter: string;
  snaplen: number;
  drops: boolean;
  rotateSize: number | null;
  rotateFiles: number | null;
  /** What was written and is kept, oldest first; of very many the newest. Empty for a stream. */
  files: string[];
  state: 'running' | 'finished' | 'failed';
  reason: string | null;
  frames: number;
  bytes: number;
  lost: number;
  startedAt: string;
}

/** A capture whose bytes go to the caller instead of a file. */
export interface CaptureStream {
  view: CaptureView;
  /** Chunks of the file format; ends when count, duration or the daemon ends it. */
  chunks: AsyncIterable<Uint8Array>;
  /** Stops it; idempotent. */
  stop(): void;
}

/** How the frames of a capture are put into a network. */
export interface ReplayRequest {
  /** Pace: 1 (the default) is that of the capture, 2 twice as fast. */
  speed?: number;
  /** As fast as the datapath takes them. */
  topSpeed?: boolean;
  /** Frames to inject at most. */
  count?: number;
  /** Only frames of this interface of the capture. */
  fromInterface?: string;
  /** `in` (the default): frames that had come in, or of which the capture does not say. */
  direction?: 'in' | 'out' | 'any';
}

export interface ReplayView {
  endpoint: string;
  injected: number;
  bytes: number;
  /** Those of `injected` that are cut into segments by whoever receives them. */
  superFrames: number;
  /** Arrivals of the endpoint that were dropped meanwhile; `listDrops` says why. */
  dropped: number;
  /** Frames of the file that were not injected, by reason. */
  skipped: {
    /** Of another interface or direction. */
    notSelected: number;
    notEthernet: number;
    /** Not captured whole (snaplen). */
    cut: number;
    tooShort: number;
    /** Longer than the MTU of the network, and no TCP that could be cut into segments. */
    tooLong: number;
  };
  seconds: number;
  ended: 'end-of-file' | 'count' | 'stopped';
}

export interface FdbEntry {
  network: string;
  vlan: number;
  mac: string;
  endpoint: string;
  kind: 'learned' | 'static' | 'host';
  /** Seconds since the last frame from this MAC; 0 for static entries. */
  ageSeconds: number;
}

export interface DropView {
  reason: string;
  scope: 'frame' | 'departure';
  stage: string;
  frames: number;
  sentence: string;
  hint: string;
  /** Where: only endpoints that have dropped for this reason. */
  endpoints: { endpoint: string; frames: number }[];
}

export interface EndpointStats {
  endpoint: string;
  network: string;
  compartment: string | null;
  state: EndpointView['state'];
  /** From the endpoint into the network. */
  rxFrames: number;
  rxBytes: number;
  /** From the network to the endpoint. */
  txFrames: number;
  txBytes: number;
  /** Arrivals of this endpoint that were dropped, and departures to it that were. */
  rxDropped: number;
  txDropped: number;
}

export interface DatapathStats {
  turns: number;
  arrivals: number;
  originated: number;
  forwarded: number;
  consumed: number;
  dropped: number;
  departures: number;
  sent: number;
  transmitDropped: number;
  macs: number;
  macMoves: number;
  macEvictions: number;
  /** Super-frames that had to be cut for a port, and frames whose checksum had to be completed for one. */
  segmented: number;
  completed: number;
  /** Copies that captures lost because their ring was full. */
  captureLost: number;
  /** Turns without a frame. */
  idleTurns: number;
  /** Sleeps that ended because of frames or of the control thread. */
  wakeUps: number;
  /** Where the time of the worker went: at work on frames, asleep, looking for frames without sleeping. */
  busySeconds: number;
  asleepSeconds: number;
  pollingSeconds: number;
  /** Longest turn, and longest time given to the control thread between two turns, since the daemon started. */
  longestTurnMicros: number;
  longestPauseMicros: number;
  /** Turns with frames, by frames and by duration in microseconds; a bucket holds what is above the one before. */
  bursts: TurnBucket[];
  turnTimes: TurnBucket[];
}

export interface TurnBucket {
  /** Upper limit, itself included; null = no limit. */
  upTo: number | null;
  turns: number;
}

export interface StatsView {
  time: string;
  endpoints: EndpointStats[];
  datapath: DatapathStats;
}

export interface WeftEvent {
  sequence: number;
  time: string;
  /** `endpoint-attached`, `network-created`, ... */
  type: string;
  object: 'network' | 'compartment' | 'endpoint' | 'capture' | 'daemon';
  name: string;
  message: string;
}

export interface StatusView {
  version: string;
  instance: string;
  pid: number;
  startedAt: string;
  uptimeSeconds: number;
  socket: string;
  stateDir: string;
  runDir: string;
  /** Program versions: what the desired state compiled to, and what the worker runs. */
  program: { desired: number; applied: number };
  worker: 'running' | 'restarting';
  networks: number;
  compartments: number;
  endpoints: { total: number; attached: number; detached: number; degraded: number };
  captures: number;
  memory: { residentBytes: number };
  /** Things an operator should know (a state file set aside, an object that could not be restored). */
  warnings: string[];
}

export interface PlanStep {
  action: 'create' | 'update' | 'delete' | 'replace';
  object: 'network' | 'compartment' | 'endpoint' | 'capture';
  name: string;
  /** What changes, for people. */
  detail: string;
}

export interface ApplyResult {
  dryRun: boolean;
  changed: boolean;
  steps: PlanStep[];
}

/** The lab file of contract.md as parsed YAML or JSON, already validated by the API schema. */
export interface LabFile {
  weft: 1;
  networks?: Record<string, Omit<NetworkRequest, 'name'> | null>;
  compartments?: Record<string, Omit<CompartmentRequest, 'name'> | null>;
  endpoints?: Record<string, Omit<EndpointRequest, 'name'>>;
  captures?: Record<string, Omit<CaptureRequest, 'name'>>;
}

export interface Controller {
  listNetworks(): NetworkView[];
  getNetwork(name: string): NetworkView;
  createNetwork(request: NetworkRequest): Promise<NetworkView>;
  patchNetwork(name: string, patch: NetworkPatch): Promise<NetworkView>;
  /** Refused while it has endpoints, unless `force`, which deletes them too. */
  deleteNetwork(name: string, force: boolean): Promise<void>;

  listCompartments(): CompartmentView[];
  getCompartment(name: string): CompartmentView;
  createCompartment(request: CompartmentRequest): Promise<CompartmentView>;
  deleteCompartment(name: string, force: boolean): Promise<void>;

  listEndpoints(): EndpointView[];
  getEndpoint(name: string): EndpointView;
  createEndpoint(request: EndpointRequest): Promise<EndpointView>;
  patchEndpoint(name: string, patch: EndpointPatch): Promise<EndpointView>;
  deleteEndpoint(name: string): Promise<void>;
  /** Also moves: from the compartment that it is attached to now. */
  attachEndpoint(name: string, compartment: string): Promise<EndpointView>;
  detachEndpoint(name: string): Promise<EndpointView>;

  listCaptures(): CaptureView[];
  getCapture(name: string): CaptureView;
  startCapture(request: CaptureRequest): Promise<CaptureView>;
  streamCapture(request: CaptureRequest): Promise<CaptureStream>;
  stopCapture(name: string): Promise<CaptureView>;

  /**
   * Reads a capture file and injects its frames as if the endpoint had sent them; resolves when that is done. `input` is read
   * as fast as frames go in, and not closed.
   */
  replay(endpoint: string, request: ReplayRequest, input: AsyncIterable<Uint8Array>): Promise<ReplayView>;
  /** Ends the replay into an endpoint: `replay` resolves with what was done. */
  stopReplay(endpoint: string): void;

  listFdb(network?: string): FdbEntry[];
  flushFdb(network?: string): Promise<void>;
  /** No network type of this version makes flows. */
  listFlows(network?: string): never[];
  listDrops(): DropView[];
  stats(): StatsView;
  status(): StatusView;

  /** Events after `sequence` that are still kept (bounded). */
  eventsSince(sequence: number): WeftEvent[];
  /** Calls back for each new event until the returned function is called. */
  onEvent(listener: (event: WeftEvent) => void): () => void;

  apply(lab: LabFile, dryRun: boolean): Promise<ApplyResult>;
  exportLab(): LabFile;
}
