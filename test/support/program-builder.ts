/**
 * Programs for datapath tests, from a few words: what src/compile makes of the desired state, without the desired state.
 *
 * Port indexes and serials are given by the caller, because who keeps them across programs is what some tests are about.
 */
import {
  ACCEPTS_CHECKSUM,
  ACCEPTS_TSO_ECN,
  ACCEPTS_TSO4,
  ACCEPTS_TSO6,
  ACCEPTS_USO,
  NETWORK_FILTER_CONTROL,
  NETWORK_TELLS_MTU,
  PORT_ISOLATED,
  type Program,
  STATIC_MAC_INTS,
  TRUNK_WORDS,
  VLAN_ACCESS,
  VLAN_TRUNK,
} from '../../src/datapath/program.js';
import { mac } from './frame-builders.js';
import { gatewayFlags, type NetworkWithGateway, routerColumns } from './router-columns.js';
import { type OverlaySettings, tunnelColumns, type VtepSettings } from './tunnel-columns.js';

export const ACCEPTS_ALL = ACCEPTS_CHECKSUM | ACCEPTS_TSO4 | ACCEPTS_TSO6 | ACCEPTS_TSO_ECN | ACCEPTS_USO;

export interface NetworkSettings extends NetworkWithGateway {
  mtu?: number;
  ageingSeconds?: number;
  filterControl?: boolean;
  /** Senders of too large packets are told. */
  tellsMtu?: boolean;
  macLimit?: number;
  /** Frames per second and port, 0 = no limit. */
  storm?: { broadcast?: number; multicast?: number; unknownUnicast?: number };
  /** It has a tunnel (tunnel-columns.ts). */
  overlay?: OverlaySettings;
}

export interface PortSettings {
  network?: string;
  /** A number: access port of that VLAN. `native` null: untagged frames belong to the untagged domain. */
  vlan?: number | { native?: number | null; allowed?: readonly number[] | null };
  isolated?: boolean;
  /** ACCEPTS_* of src/datapath/program.ts; everything unless given. */
  accepts?: number;
  /** Bytes of vnet header, 0 or 12. 12 unless the port accepts nothing. */
  headerBytes?: number;
  statics?: readonly (string | { vlan: number; mac: string })[];
  /** CAPTURE_* of src/datapath/program.ts. */
  capture?: number;
  /** Name of the VTEP that it belongs to. */
  vtep?: string;
  /** It is a UDP socket: what comes and goes has a peer. */
  isSocket?: boolean;
  /** It stands for the tunnel of its network. */
  isTunnel?: boolean;
}

/** A port with its row. */
export interface PlacedPort extends PortSettings {
  index: number;
  serial: number;
  /** What a gateway calls it by. */
  name?: string;
}

export const DEFAULT_NETWORK = 'blue';
const DEFAULT_AGEING_SECONDS = 300;

export function headerBytesOf(port: PortSettings): number {
  return port.headerBytes ?? (port.accepts === 0 ? 0 : 12);
}

/** Networks get their indexes in the order of `networks`. */
export function buildProgram(
  version: number,
  networks: ReadonlyMap<string, NetworkSettings>,
  ports: readonly PlacedPort[],
  captureSnaplen = 0,
  vteps: Readonly<Record<string, VtepSettings>> = {},
): Program {
  const names = [...networks.keys()];
  const networkOf = (port: PlacedPort): number => names.indexOf(port.network ?? DEFAULT_NETWORK);
  const placed = [...ports].sort((a, b) => a.index - b.index);
  const members = names.map((_, network) => placed.filter((port) => networkOf(port) === network).map((p) => p.index));
  const portCount = Math.max(0, ...placed.map((port) => port.index + 1));
  const portOf = (name: string): number => {
    const port = placed.find((each) => each.name === name);
    if (port === undefined) throw new Error(`no port is called ${name}`);
    return port.index;
  };
  const trunks: Int32Array[] = [];
  const routing = routerColumns([...networks], portOf);
  const program = {
    version,
    portCount,
    ...portColumns(portCount),
    networkCount: names.length,
    ...networkColumns([...networks.values()]),
    memberFirst: Int32Array.from(members, (_, network) => members.slice(0, network).flat().length),
    memberCount: Int32Array.from(members, (indexes) => indexes.length),
    members: Int32Array.from(members.flat()),
    staticMacs: Int32Array.from(placed.flatMap((port) => staticRows(port, networkOf(port)))),
    trunkSets: new Int32Array(0),
    ...routing,
    ...tunnelColumns(networks, placed, vteps, routing.networkRole),
    captureSnaplen,
  };
  for (const port of placed) writePort(program, port, networkOf(port), trunks);
  program.trunkSets = Int32Array.from(trunks.flatMap((set) => [...set]));
  return program;
}

function portColumns(count: number) {
  return {
    portNetwork: new Int32Array(count).fill(-1),
    portSerial: new Int32Array(count).fill(-1),
    portHeaderBytes: new Uint8Array(count),
    portAccepts: new Uint16Array(count),
    portUdp: new Int32Array(count),
    portFlags: new Uint8Array(count),
    portVlanMode: new Uint8Array(count),
    portVlan: new Int32Array(count),
    portTrunk: new Int32Array(count).fill(-1),
    portCapture: new Uint8Array(count),
  };
}

function networkColumns(networks: readonly NetworkSettings[]) {
  const column = (value: (network: NetworkSettings) => number): Int32Array => Int32Array.from(networks, value);
  return {
    networkMtu: column(({ mtu }) => mtu ?? 1500),
    networkAgeingMs: column(({ ageingSeconds }) => 1000 * (ageingSeconds ?? DEFAULT_AGEING_SECONDS)),
    networkFlags: Uint8Array.from(
      networks,
      (network) =>
        gatewayFlags(network) |
        (network.filterControl ? NETWORK_FILTER_CONTROL : 0) |
        (network.tellsMtu ? NETWORK_TELLS_MTU : 0),
    ),
    networkMacLimit: column(({ macLimit }) => macLimit ?? 131072),
    networkStormBroadcast: column(({ storm }) => storm?.broadcast ?? 0),
    networkStormMulticast: column(({ storm }) => storm?.multicast ?? 0),
    networkStormUnknown: column(({ storm }) => storm?.unknownUnicast ?? 0),
  };
}

function writePort(program: Program, port: PlacedPort, network: number, trunks: Int32Array[]): void {
  const { index, vlan } = port;
  program.portNetwork[index] = network;
  program.portSerial[index] = port.serial;
  program.portHeaderBytes[index] = headerBytesOf(port);
  program.portAccepts[index] = port.accepts ?? ACCEPTS_ALL;
  program.portFlags[index] = port.isolated ? PORT_ISOLATED : 0;
  program.portCapture[index] = port.capture ?? 0;
  program.portVlanMode[index] = typeof vlan === 'number' ? VLAN_ACCESS : VLAN_TRUNK;
  program.portVlan[index] = typeof vlan === 'number' ? vlan : (vlan?.native ?? 0);
  if (typeof vlan !== 'object' || (vlan.allowed ?? null) === null) return;
  const set = new Int32Array(TRUNK_WORDS);
  for (const id of vlan.allowed ?? []) set[id >>> 5]! |= 1 << (id & 31);
  program.portTrunk[index] = trunks.push(set) - 1;
}

function staticRows(port: PlacedPort, network: number): number[] {
  const rows = (port.statics ?? []).map((entry) => {
    const { vlan, mac: text } = typeof entry === 'string' ? { vlan: 0, mac: entry } : entry;
    const view = new DataView(Uint8Array.from(mac(text)).buffer);
    return [network, vlan, view.getUint16(0), view.getInt32(2), port.index];
  });
  if (rows.some((row) => row.length !== STATIC_MAC_INTS)) throw new Error('a static row has another shape now');
  return rows.flat();
}
