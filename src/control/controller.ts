/**
 * The one interface between the control API and everything below it: what the daemon can be asked.
 *
 * Every mutation is atomic (it happens as a whole or is undone) and durable when its promise resolves. Rejections are
 * `RequestError`s (model/problems.ts) with a stable code; anything else that is thrown is a bug.
 */

import type { Underlay } from '../model/network.js';
import type { CaptureRequest, CaptureStream, CaptureView, ReplayRequest, ReplayView } from './controller/captures.js';
import type {
  ApplyResult,
  CompartmentRequest,
  CompartmentView,
  EndpointPatch,
  EndpointRequest,
  EndpointView,
  LabFile,
  NetworkPatch,
  NetworkRequest,
  NetworkView,
  PortRequest,
  PortView,
} from './controller/lab-objects.js';

/** A frame to follow, by description or as bytes. One of `from`, `fromUplink` and `fromVtep` says where it comes in. */
export interface TraceRequest {
  /** Endpoint that sends it. */
  from?: string;
  /** Network with an uplink, from which it comes. */
  fromUplink?: string;
  /** Address of another VTEP, from which it comes through the tunnel of `network`; then `frame` is the inner one. */
  fromVtep?: string;
  network?: string;
  /** Whole Ethernet frame in hexadecimal; then nothing but where it comes from is read of what follows. */
  frame?: string;
  /** Address that it comes from; that of the endpoint unless given. */
  source?: string;
  to?: string;
  /** MAC that it goes to; that of the station that has `to`, as weft knows it, or of the gateway unless given. */
  toMac?: string;
  protocol?: 'tcp' | 'udp' | 'icmp';
  port?: number;
  sourcePort?: number;
  /** TCP flags, letters of tcpdump. */
  flags?: string;
  ttl?: number;
  payloadBytes?: number;
}

export interface TraceView {
  from: string;
  /** The frame in words. */
  frame: string;
  steps: { stage: string; says: string[] }[];
  fate: 'forwarded' | 'consumed' | 'dropped';
  drop: { reason: string; sentence: string; hint: string } | null;
  departures: { to: string; frames: number; bytes: number; frame: string }[];
}

export interface FdbEntry {
  network: string;
  vlan: number;
  mac: string;
  /** Name, or what serves the whole network; empty for a station of another host that nobody gave a name. */
  endpoint: string;
  kind: 'learned' | 'static' | 'host';
  /** Address of the VTEP behind which it is; null: on this host. */
  vtep: string | null;
  /** Who said where it is: a frame from it, the user, or the cluster. */
  origin: 'learned' | 'static' | 'cluster';
  /** Seconds since the last frame from this MAC; 0 for static entries. */
  ageSeconds: number;
}

/** An end of tunnels: of this host, or one of those that it sends to or hears from. */
export interface VtepView {
  /** Bare. */
  vtep: string;
  /** Address of the VTEP of this host that has to do with it: its own for a local one. */
  local: string;
  /** Overlay networks that it is an end of, as far as is known. */
  networks: string[];
  /** `local`: of this host. Else who said that there is such a VTEP; `learned`: a datagram from it did. */
  origin: 'local' | 'static' | 'cluster' | 'learned';
  underlay: Underlay;
  udpPort: number;
  /** Path of the namespace that the underlay is in; null = the daemon's own. */
  netns: string | null;
  /** `lost`: the VTEP of this host is not there, and weft goes on trying. */
  state: 'ready' | 'lost';
  /** Encapsulated frames from there and to there, and the bytes inside of them; of a local one from and to all. */
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  /** Seconds since the last frame from there; null: there was none. */
  lastHeardSeconds: number | null;
}

export type FlowState =
  /** UDP and ICMP have no other. */
  | 'open'
  /** TCP: who opened, or who has closed already. */
  | 'syn-inside'
  | 'syn-outside'
  | 'established'
  | 'fin-inside'
  | 'fin-outside'
  | 'closing'
  | 'reset';

export interface FlowFilter {
  network?: string;
  endpoint?: string;
  /** Name or number. */
  protocol?: string;
  state?: FlowState;
}

export interface FlowQuery extends FlowFilter {
  limit?: number;
  /** Id of the last flow of the page before. */
  after?: string;
}

/** A session of the NAT. Its outside is what the remote side sees of its inside. */
export interface FlowView {
  id: string;
  network: string;
  /** null: no endpoint has the inside address. */
  endpoint: string | null;
  /** `tcp`, `udp`, `icmp`, `icmpv6`, `sctp` or a number. */
  protocol: string;
  state: FlowState;
  inside: { address: string; port: number };
  outside: { address: string; port: number };
  /** No port: an ICMP query. */
  remote: { address: string; port: number | null };
  /** Up to 2^32; a super-frame is one. */
  framesOut: number;
  bytesOut: number;
  framesIn: number;
  bytesIn: number;
  ageSeconds: number;
  /** Seconds until it is forgotten if nothing more comes. */
  expiresSeconds: number;
}

export interface FlowsDeleted {
  deleted: number;
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
  /** Flows and mappings of the NAT now; flows opened, and ended by their timer or by request, since the worker started. */
  flows: number;
  flowMappings: number;
  flowsOpened: number;
  flowsExpired: number;
  flowsDeleted: number;
  /** Super-frames that had to be cut for a port, and frames whose checksum had to be completed for one. */
  segmented: number;
  completed: number;
  /** Times that a kernel refused joined datagrams (UDP_SEGMENT), so that a VTEP sends singly since. */
  joinsRefused: number;
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

/** What the DHCP servers did since the daemon started. */
export interface DhcpCount {
  network: string;
  /** A message that came or was sent (`discover`, `ack`), or why one was left alone (`foreign-mac`). */
  what: string;
  isIgnored: boolean;
  count: number;
}

export interface StatsView {
  time: string;
  endpoints: EndpointStats[];
  dhcp: DhcpCount[];
  dns: DnsStats;
  datapath: DatapathStats;
}

/** What the DNS servers of all networks did since the daemon started. */
export interface DnsStats {
  queries: number;
  /** Answered from the names of networks. */
  local: number;
  /** Answered by other servers, or by what is kept of their answers. */
  forwarded: number;
  /** Nobody answered, or too many questions waited. */
  failed: number;
  /** Malformed, of a kind that is not served, or not from a subnet of the network. */
  refused: number;
  /** Not answered at all: noise, or more than one client may ask. */
  ignored: number;
  /** Questions sent to other servers. */
  asked: number;
  /** Answers of other servers that are kept now. */
  cached: number;
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
  endpoints: { total: number; attached: number; detached: number; degraded: number; remote: number };
  captures: number;
  memory: { residentBytes: number };
  /** Whether it shares networks with other hosts, and if it should and does not, why. */
  cluster: { state: ClusterView['state']; reason: string };
  /** Things an operator should know (a state file set aside, an object that could not be restored). */
  warnings: string[];
}

/** A host of the cluster, this one included. */
export interface ClusterHostView {
  host: string;
  /**
   * `here`: this one. `doubtful`: etcd does not know it (any more), and its frames still come in, or etcd has just been wiped. `gone`: its
   * lease has run out; what it had is kept for it until it is forgotten.
   */
  state: 'here' | 'there' | 'doubtful' | 'gone';
  /** Version of its weftd; empty when it is gone. */
  version: string;
  /** When its daemon started, RFC 3339; empty when it is gone. */
  since: string;
  networks: { network: string; vtep: string }[];
  endpoints: number;
  /** Addresses that belong to its endpoints. */
  addresses: number;
}

export interface ClusterView {
  /** null: this daemon has no cluster. */
  host: string | null;
  /** `alone`: etcd cannot be reached, and forwarding goes on with what is known. */
  state: 'none' | 'joining' | 'joined' | 'alone' | 'refused';
  /** Why it is not joined; empty when it is. */
  reason: string;
  /** Since when, RFC 3339. */
  since: string;
  etcd: string[];
  /** Member of etcd that is spoken to now. */
  member: string | null;
  prefix: string;
  revision: number;
  keys: number;
  hosts: ClusterHostView[];
  /** Networks of the cluster that this host cannot have, and why. */
  missing: { network: string; reason: string }[];
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

  /** Published ports of all endpoints, or of one; with `spec` only this one, however it is written. */
  listPorts(endpoint?: string, spec?: string): PortView[];
  publishPort(request: PortRequest): Promise<PortView>;
  /** One spec of any endpoint, every spec of one endpoint, or one spec of one endpoint. */
  unpublishPorts(which: { endpoint?: string; spec?: string }): Promise<PortView[]>;

  listCaptures(): CaptureView[];
  getCapture(name: string): CaptureView;
  startCapture(request: CaptureRequest): Promise<CaptureView>;
  streamCapture(request: CaptureRequest): Promise<CaptureStream>;
  stopCapture(name: string): Promise<CaptureView>;

  /**
   * Reads a capture file and injects its frames as if the endpoint had sent them; resolves when that is done, or `signal` ends
   * it. `input` is read as fast as frames go in, and not closed.
   */
  replay(
    endpoint: string,
    request: ReplayRequest,
    input: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<ReplayView>;
  /** Ends the replay into an endpoint: `replay` resolves with what was done. */
  stopReplay(endpoint: string): void;

  /** Runs the stages of the datapath on copies of its tables; nothing is sent and nothing learned. */
  trace(request: TraceRequest): Promise<TraceView>;

  /** VTEPs of this host and others, of one network or of all. */
  listVteps(network?: string): VtepView[];
  listFdb(network?: string): FdbEntry[];
  flushFdb(network?: string): Promise<void>;
  /** A page of the flow table. */
  listFlows(query: FlowQuery): Promise<FlowView[]>;
  getFlow(id: string): FlowView;
  /** Ends all that pass the filter. */
  deleteFlows(filter: FlowFilter): Promise<FlowsDeleted>;
  deleteFlow(id: string): Promise<void>;
  /** The hosts that this one shares overlay networks with. */
  clusterView(): ClusterView;
  /** Releases what a host had that does not come back. */
  forgetHost(host: string): Promise<void>;
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
