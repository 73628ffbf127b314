/**
 * Which row of the datapath belongs to whom, and the program that says so.
 *
 * The rows of networks and ports are given out lowest first and kept until they are released, because what the worker has
 * learned is keyed by them. A row that is given out again gets a new serial, so that nothing learned survives.
 */
import type { CompiledPort, PortRole } from '../compile/compile-input.js';
import { compileProgram } from '../compile/compile-program.js';
import type { UplinkSegment } from '../compile/uplink-segment.js';
import { Counters, clearPort } from '../datapath/counters.js';
import { MAX_NETWORKS, MAX_PORTS, type Program } from '../datapath/program.js';
import type { DesiredState } from '../model/desired-state.js';
import type { CapturePort, CaptureService } from './captures/capture-service.js';
import type { Namespace, Tap, TapRequest } from './kernel/kernel.js';
import type { DatapathHost } from './worker/datapath-host.js';

/** A TAP (or what else has frames) that belongs to an endpoint, or serves a whole network. */
export interface Attachment {
  network: string;
  role: PortRole;
  /** null unless the role is `endpoint`. */
  endpoint: string | null;
  namespace: Namespace;
  /** What the TAP was last asked to be. */
  request: TapRequest;
  /** Made anew when its removal is taken back. */
  tap: Tap;
  /** Whether `tap` is open, not removed. */
  isOpen: boolean;
  /** Row in the datapath while it is connected, else -1. */
  port: number;
  serial: number;
}

export interface PortTableOptions {
  state: DesiredState;
  datapath: DatapathHost;
  captures: CaptureService;
}

export class PortTable {
  /** Version of the last program that was compiled. */
  version = 0;
  /** The last program that was compiled; null before the first. */
  latest: Program | null = null;
  private readonly options: PortTableOptions;
  private readonly counters: Counters;
  private readonly ports: (Attachment | null)[] = [];
  /** Names; both rows of a nat network have its name. */
  private readonly networks: (string | null)[] = [];
  private readonly networkRows = new Map<string, number>();
  /** Of nat networks only. */
  private readonly uplinkRows = new Map<string, number>();
  private readonly segments = new Map<string, UplinkSegment>();
  private serial = 0;
  private published: Promise<void> = Promise.resolve();

  constructor(options: PortTableOptions) {
    this.options = options;
    this.counters = new Counters(options.datapath.tables.counters);
  }

  /** A network with an uplink takes two rows: the uplink is a segment of its own to the datapath. */
  addNetwork(name: string, hasUplink: boolean): void {
    this.networkRows.set(name, this.takeNetworkRow(name));
    if (hasUplink) this.uplinkRows.set(name, this.takeNetworkRow(name));
  }

  /** Its ports must be gone. */
  removeNetwork(name: string): void {
    const uplink = this.uplinkRows.get(name);
    if (uplink !== undefined) this.networks[uplink] = null;
    this.networks[this.rowOfNetwork(name)] = null;
    this.networkRows.delete(name);
    this.uplinkRows.delete(name);
    this.segments.delete(name);
  }

  rowOfNetwork(name: string): number {
    const row = this.networkRows.get(name);
    if (row === undefined) throw new Error(`network ${name} has no row`);
    return row;
  }

  /** null for a network without uplink. */
  rowOfUplink(name: string): number | null {
    return this.uplinkRows.get(name) ?? null;
  }

  /** What the next programs say of the uplink of a network; null: there is none now. */
  setSegment(network: string, segment: UplinkSegment | null): void {
    if (segment === null) this.segments.delete(network);
    else this.segments.set(network, segment);
  }

  networkAt(row: number): string | null {
    return this.networks[row] ?? null;
  }

  at(port: number): Attachment | null {
    return this.ports[port] ?? null;
  }

  all(): Attachment[] {
    return this.ports.filter((attachment) => attachment !== null);
  }

  /**
   * Gives rows to `added` and takes them from `removed`, and resolves when the worker runs it: it polls every added one, and
   * does not touch the removed ones any more. On a rejection all rows are as they were asked to be, whatever the worker did.
   */
  async change(added: readonly Attachment[], removed: readonly Attachment[]): Promise<void> {
    const { datapath } = this.options;
    const left = removed.filter((attachment) => attachment.port >= 0).map((attachment) => this.release(attachment));
    for (const attachment of added) this.take(attachment);
    this.options.captures.setPorts(this.all().map(toCapturePort));
    const requests = [this.publish(), ...left.map((port) => datapath.detachPort(port))];
    for (const { port, tap } of added) requests.push(datapath.attachPort(port, tap.fd, tap.portKind, tap.headerBytes));
    const failed = (await Promise.allSettled(requests)).find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Compiles the state as it is and resolves when the worker runs it. */
  publish(): Promise<void> {
    const { captures, datapath, state } = this.options;
    const networks = [...this.networkRows].map(([name, index]) => {
      const { id, spec, hostMac, gatewayMac, uplinkMac } = state.network(name);
      return {
        id,
        index,
        uplinkIndex: this.uplinkRows.get(name) ?? -1,
        segment: this.segments.get(name) ?? null,
        gatewayMac: gatewayMac ?? hostMac,
        uplinkMac,
        spec,
      };
    });
    const capture = {
      snaplen: captures.snaplen(),
      flagsOf: (endpoint: string | null, network: string) => captures.flagsOf(endpoint, network),
    };
    const ports = this.all().map((attachment) => this.toCompiledPort(attachment));
    const program = compileProgram({ version: ++this.version, networks, ports, capture });
    this.latest = program;
    this.published = datapath.publish(program);
    return this.published;
  }

  /** Resolves when the worker runs the last program that was published; never rejects. */
  settled(): Promise<void> {
    return this.published.catch(() => {});
  }

  private takeNetworkRow(name: string): number {
    const row = lowestFree(this.networks, MAX_NETWORKS);
    this.networks[row] = name;
    return row;
  }

  private take(attachment: Attachment): void {
    const port = lowestFree(this.ports, MAX_PORTS);
    this.ports[port] = attachment;
    attachment.port = port;
    attachment.serial = ++this.serial;
    clearPort(this.counters, port);
  }

  private release(attachment: Attachment): number {
    const { port } = attachment;
    this.ports[port] = null;
    attachment.port = -1;
    return port;
  }

  private toCompiledPort({ port, serial, network, role, endpoint, tap }: Attachment): CompiledPort {
    const spec = endpoint === null ? null : this.options.state.endpoint(endpoint).spec;
    return { index: port, serial, network, role, endpoint: spec, headerBytes: tap.headerBytes, accepts: tap.accepts };
  }
}

function toCapturePort({ port, network, endpoint, request }: Attachment): CapturePort {
  return { port, endpoint, network, ifname: request.ifname, mac: request.mac };
}

function lowestFree(rows: readonly (unknown | null)[], limit: number): number {
  let row = 0;
  while (row < rows.length && rows[row] !== null) row++;
  if (row >= limit) throw new Error(`no row left of ${limit}`);
  return row;
}
