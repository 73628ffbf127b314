/**
 * Which row of the datapath belongs to whom, and the program that says so.
 *
 * The rows of networks and ports are given out lowest first and kept until they are released, because what the worker has
 * learned is keyed by them. A row that is given out again gets a new serial, so that nothing learned survives.
 */
import type { CompiledPort, PortRole } from '../compile/compile-input.js';
import { compileProgram } from '../compile/compile-program.js';
import type { CompiledVtep, OverlayTunnel } from '../compile/overlay-tunnel.js';
import type { UplinkSegment } from '../compile/uplink-segment.js';
import { Counters, clearPort } from '../datapath/counters.js';
import {
  ACCEPTS_CHECKSUM,
  ACCEPTS_TSO_ECN,
  ACCEPTS_TSO4,
  ACCEPTS_TSO6,
  ACCEPTS_USO,
  MAX_NETWORKS,
  MAX_PORTS,
  type Program,
} from '../datapath/program.js';
import type { DesiredState } from '../model/desired-state.js';
import type { NetworkSpec } from '../model/network.js';
import { hasUplink } from '../model/network-kind.js';
import type { CapturePort, CaptureService } from './captures/capture-service.js';
import type { Namespace, Tap, TapRequest } from './kernel/kernel.js';
import type { DatapathHost } from './worker/datapath-host.js';

/** A tunnel takes every frame as it is; what the underlay can take is decided there. */
const TUNNEL_HEADER_BYTES = 12;
const TUNNEL_ACCEPTS = ACCEPTS_CHECKSUM | ACCEPTS_TSO4 | ACCEPTS_TSO6 | ACCEPTS_TSO_ECN | ACCEPTS_USO;

/** Who a row of the ports belongs to. */
export interface PortOwner {
  /** Name; of an underlay port the key of its VTEP. */
  network: string;
  role: PortRole;
  /** null unless the role is `endpoint`. */
  endpoint: string | null;
  /** Row in the datapath while it is connected, else -1. */
  port: number;
  serial: number;
}

/** A TAP (or what else has frames) that belongs to an endpoint, or serves a whole network or VTEP. */
export interface Attachment extends PortOwner {
  namespace: Namespace;
  /** What the TAP was last asked to be. */
  request: TapRequest;
  /** Made anew when its removal is taken back. */
  tap: Tap;
  /** Whether `tap` is open, not removed. */
  isOpen: boolean;
}

/** A VTEP with what stands for it; the rows of its ports are those that its attachments have. */
export interface PluggedVtep extends Omit<CompiledVtep, 'key' | 'index' | 'port' | 'senders'> {
  receiver: Attachment | null;
  senders: readonly Attachment[];
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
  private readonly ports: (PortOwner | null)[] = [];
  /** Names; both rows of a network with an uplink have its name. Of VTEPs their keys. */
  private readonly networks: (string | null)[] = [];
  private readonly networkRows = new Map<string, number>();
  /** Of networks with an uplink only. */
  private readonly uplinkRows = new Map<string, number>();
  private readonly segments = new Map<string, UplinkSegment>();
  /** Ports that stand for the tunnels of overlay networks, as long as these are there. */
  private readonly tunnelPorts = new Map<string, PortOwner>();
  private readonly tunnels = new Map<string, OverlayTunnel>();
  /** By key. */
  private readonly vtepRows = new Map<string, number>();
  private readonly vteps = new Map<string, PluggedVtep>();
  private serial = 0;
  private published: Promise<void> = Promise.resolve();

  constructor(options: PortTableOptions) {
    this.options = options;
    this.counters = new Counters(options.datapath.tables.counters);
  }

  /** A network with an uplink takes two rows: the uplink is a segment of its own to the datapath. */
  addNetwork(name: string, spec: Pick<NetworkSpec, 'uplink' | 'overlay'>): void {
    this.networkRows.set(name, this.takeNetworkRow(name));
    if (hasUplink(spec)) this.uplinkRows.set(name, this.takeNetworkRow(name));
    if (spec.overlay === null) return;
    const tunnel: PortOwner = { network: name, role: 'tunnel', endpoint: null, port: -1, serial: 0 };
    this.take(tunnel);
    this.tunnelPorts.set(name, tunnel);
  }

  /** Its ports must be gone. */
  removeNetwork(name: string): void {
    const uplink = this.uplinkRows.get(name);
    if (uplink !== undefined) this.networks[uplink] = null;
    this.networks[this.rowOfNetwork(name)] = null;
    this.networkRows.delete(name);
    this.uplinkRows.delete(name);
    this.segments.delete(name);
    this.tunnels.delete(name);
    const tunnel = this.tunnelPorts.get(name);
    if (tunnel !== undefined) this.release(tunnel);
    this.tunnelPorts.delete(name);
  }

  /** A row for the segment of a VTEP, which `networkAt` knows by the key. */
  addVtep(key: string): void {
    this.vtepRows.set(key, this.takeNetworkRow(key));
  }

  /** No network has a tunnel of it any more, and its ports are gone. */
  removeVtep(key: string): void {
    const row = this.vtepRows.get(key);
    if (row !== undefined) this.networks[row] = null;
    this.vtepRows.delete(key);
    this.vteps.delete(key);
  }

  rowOfVtep(key: string): number {
    const row = this.vtepRows.get(key);
    if (row === undefined) throw new Error(`VTEP ${key} has no row`);
    return row;
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

  /** What the next programs say of a VTEP that has a row; null: it is lost. */
  setVtep(key: string, vtep: PluggedVtep | null): void {
    if (vtep === null) this.vteps.delete(key);
    else this.vteps.set(key, vtep);
  }

  /** What the next programs say of the tunnel of an overlay network; null: there is none now. */
  setTunnel(network: string, tunnel: OverlayTunnel | null): void {
    if (tunnel === null) this.tunnels.delete(network);
    else this.tunnels.set(network, tunnel);
    this.tellCaptures();
  }

  tunnelOf(network: string): OverlayTunnel | null {
    return this.tunnels.get(network) ?? null;
  }

  /** null while it is lost. */
  vtepOf(key: string): PluggedVtep | null {
    return this.vteps.get(key) ?? null;
  }

  /** Row of the port that stands for the tunnel of an overlay network. */
  tunnelPortOf(network: string): PortOwner | null {
    return this.tunnelPorts.get(network) ?? null;
  }

  /** Name of the network, or key of the VTEP, that has the row. */
  networkAt(row: number): string | null {
    return this.networks[row] ?? null;
  }

  at(port: number): PortOwner | null {
    return this.ports[port] ?? null;
  }

  /** null for a row without an owner, and for what stands for a tunnel. */
  attachmentAt(port: number): Attachment | null {
    const owner = this.ports[port] ?? null;
    return owner !== null && isAttachment(owner) ? owner : null;
  }

  owners(): PortOwner[] {
    return this.ports.filter((owner) => owner !== null);
  }

  all(): Attachment[] {
    return this.owners().filter(isAttachment);
  }

  /**
   * Gives rows to `added` and takes them from `removed`, and resolves when the worker runs it: it polls every added one, and
   * does not touch the removed ones any more. On a rejection all rows are as they were asked to be, whatever the worker did.
   */
  async change(added: readonly Attachment[], removed: readonly Attachment[]): Promise<void> {
    const { datapath } = this.options;
    const left = removed.filter((attachment) => attachment.port >= 0).map((attachment) => this.release(attachment));
    for (const attachment of added) this.take(attachment);
    this.tellCaptures();
    const requests = [this.publish(), ...left.map((port) => datapath.detachPort(port))];
    for (const { port, tap } of added) requests.push(datapath.attachPort(port, tap.fd, tap.portKind, tap.headerBytes));
    const failed = (await Promise.allSettled(requests)).find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Compiles the state as it is and resolves when the worker runs it. */
  publish(): Promise<void> {
    const { captures, datapath, state } = this.options;
    const networks = [...this.networkRows].map(([name, index]) => {
      const { id, spec, hostMac, hostAddresses, gatewayMac, uplinkMac, ownRouterMac } = state.network(name);
      return {
        id,
        index,
        uplinkIndex: this.uplinkRows.get(name) ?? -1,
        tunnel: this.tunnels.get(name) ?? null,
        segment: this.segments.get(name) ?? null,
        gatewayMac: gatewayMac ?? hostMac,
        ownRouterMac,
        host: hostMac === null ? null : { mac: hostMac, addresses: hostAddresses },
        uplinkMac,
        spec,
      };
    });
    const vteps = [...this.vteps].map(([key, vtep]) => this.toCompiledVtep(key, vtep));
    const capture = {
      snaplen: captures.snaplen(),
      flagsOf: ({ endpoint, network, role }: CompiledPort) =>
        captures.flagsOf(endpoint?.name ?? null, network, this.carriedBy(role, network)),
    };
    const ports = this.owners().flatMap((owner) => this.toCompiledPort(owner));
    const program = compileProgram({ version: ++this.version, networks, vteps, ports, capture });
    this.latest = program;
    this.published = datapath.publish(program);
    return this.published;
  }

  /** Resolves when the worker runs the last program that was published; never rejects. */
  settled(): Promise<void> {
    return this.published.catch(() => {});
  }

  private tellCaptures(): void {
    this.options.captures.setPorts(
      this.owners().map((owner) => {
        const carries = this.carriedBy(owner.role, owner.network);
        return { ...toCapturePort(owner), ...(carries === undefined ? {} : { carries }) };
      }),
    );
  }

  /** Networks that have a tunnel of the VTEP; undefined for other ports than those of a VTEP. */
  private carriedBy(role: PortRole, key: string): string[] | undefined {
    if (role !== 'underlay') return undefined;
    return [...this.tunnels].flatMap(([network, { vtep }]) => (vtep === key ? [network] : []));
  }

  private takeNetworkRow(name: string): number {
    const row = lowestFree(this.networks, MAX_NETWORKS);
    this.networks[row] = name;
    return row;
  }

  private take(owner: PortOwner): void {
    const port = lowestFree(this.ports, MAX_PORTS);
    this.ports[port] = owner;
    owner.port = port;
    owner.serial = ++this.serial;
    clearPort(this.counters, port);
  }

  private release(owner: PortOwner): number {
    const { port } = owner;
    this.ports[port] = null;
    owner.port = -1;
    return port;
  }

  /** None for a tunnel or VTEP that is not there now. */
  private toCompiledPort(owner: PortOwner): CompiledPort[] {
    const { port, serial, network, role, endpoint } = owner;
    const row = { index: port, serial, network, role };
    if (!isAttachment(owner)) {
      if (!this.tunnels.has(network)) return [];
      return [{ ...row, endpoint: null, headerBytes: TUNNEL_HEADER_BYTES, accepts: TUNNEL_ACCEPTS }];
    }
    if (role === 'underlay' && !this.vteps.has(network)) return [];
    const spec = endpoint === null ? null : this.options.state.endpoint(endpoint).spec;
    const { headerBytes, accepts, udpPort } = owner.tap;
    return [{ ...row, endpoint: spec, headerBytes, accepts, ...(udpPort === undefined ? {} : { udpPort }) }];
  }

  private toCompiledVtep(key: string, { receiver, senders, ...facts }: PluggedVtep): CompiledVtep {
    const index = this.rowOfVtep(key);
    const rows = senders.map(({ port }) => port).filter((port) => port >= 0);
    return { ...facts, key, index, port: receiver?.port ?? -1, senders: rows };
  }
}

function isAttachment(owner: PortOwner): owner is Attachment {
  return 'tap' in owner;
}

/** A tunnel has no interface; captures call it by its role. */
function toCapturePort(owner: PortOwner): CapturePort {
  const { port, network, endpoint } = owner;
  if (!isAttachment(owner)) return { port, endpoint, network, ifname: `tunnel/${network}`, mac: '' };
  return { port, endpoint, network, ifname: owner.request.ifname, mac: owner.request.mac };
}

function lowestFree(rows: readonly (unknown | null)[], limit: number): number {
  let row = 0;
  while (row < rows.length && rows[row] !== null) row++;
  if (row >= limit) throw new Error(`no row left of ${limit}`);
  return row;
}
