/**
 * Turns networks, endpoints and their ports into the Program that the datapath runs: pure, deterministic, linear.
 *
 * Rows are chosen by the caller and stay what they are from version to version, because learned state in the worker is
 * keyed by them. The result shares no memory with anything and may be posted to another thread.
 */
import {
  NETWORK_FILTER_CONTROL,
  PORT_ISOLATED,
  type Program,
  STATIC_MAC_INTS,
  VLAN_ACCESS,
  VLAN_TRUNK,
} from '../datapath/program.js';
import type { EndpointSpec } from '../model/endpoint.js';
import type { NetworkSpec } from '../model/network.js';
import { parseMac } from '../wire/addresses.js';
import type { CompiledNetwork, CompiledPort, CompileInput } from './compile-input.js';
import { compileOverlay } from './compile-overlay.js';
import { compileRouter, routerFlags } from './compile-router.js';
import type { CompiledVtep } from './overlay-tunnel.js';
import { TrunkSets } from './trunk-sets.js';
import type { UplinkSegment } from './uplink-segment.js';

/** Stations on an uplink segment or on that of a VTEP that are learned; nothing is switched there, so few matter. */
const UPLINK_MAC_LIMIT = 1024;
const UNDERLAY_AGEING_MS = 300_000;

export function compileProgram(input: CompileInput): Program {
  const networks = [...input.networks];
  const vteps = [...input.vteps];
  const ports = [...input.ports].sort((a, b) => a.index - b.index);
  const rows = [
    ...networks.flatMap(({ index, uplinkIndex }) => [index, uplinkIndex]),
    ...vteps.map(({ index }) => index),
  ];
  const networkCount = rows.reduce((count, row) => Math.max(count, row + 1), 0);
  const portCount = ports.length === 0 ? 0 : ports[ports.length - 1]!.index + 1;
  const rowOf = rowsOfPorts(networks, vteps, ports);
  const trunks = new TrunkSets();
  const program: Program = {
    version: input.version,
    portCount,
    portNetwork: new Int32Array(portCount).fill(-1),
    portSerial: new Int32Array(portCount),
    portHeaderBytes: new Uint8Array(portCount),
    portAccepts: new Uint16Array(portCount),
    portFlags: new Uint8Array(portCount),
    portVlanMode: new Uint8Array(portCount),
    portVlan: new Int32Array(portCount),
    portTrunk: new Int32Array(portCount).fill(-1),
    portCapture: new Uint8Array(portCount),
    networkCount,
    ...networkColumns(networks, vteps, networkCount),
    ...memberColumns(ports, rowOf, networkCount),
    trunkSets: new Int32Array(0),
    staticMacs: staticMacs(ports, rowOf),
    ...compileRouter(networks, vteps, ports, networkCount),
    ...compileOverlay(networks, vteps, ports, portCount, networkCount),
    captureSnaplen: input.capture.snaplen,
  };
  const overlays = new Map(networks.map(({ spec }) => [spec.name, spec.overlay]));
  for (const port of ports) {
    fillPort(program, port, rowOf.get(port)!, trunks);
    // A tunnel carries tags or the untagged domain alone (RFC 7348 section 6.1).
    const isUntagged = port.role === 'tunnel' && overlays.get(port.network)?.innerVlan === 'strip';
    if (isUntagged) program.portVlanMode[port.index] = VLAN_ACCESS;
    if (input.capture.snaplen === 0) continue;
    program.portCapture[port.index] = input.capture.flagsOf(port);
  }
  program.trunkSets = trunks.toArray();
  return program;
}

/** The row of the network columns that each port is on. */
function rowsOfPorts(
  networks: readonly CompiledNetwork[],
  vteps: readonly CompiledVtep[],
  ports: readonly CompiledPort[],
): ReadonlyMap<CompiledPort, number> {
  const byName = new Map(networks.map((network) => [network.spec.name, network]));
  const byKey = new Map(vteps.map((vtep) => [vtep.key, vtep]));
  return new Map(
    ports.map((port) => {
      if (port.role === 'underlay') return [port, byKey.get(port.network)!.index];
      const { index, uplinkIndex } = byName.get(port.network)!;
      return [port, port.role === 'uplink' ? uplinkIndex : index];
    }),
  );
}

function fillPort(program: Program, port: CompiledPort, network: number, trunks: TrunkSets): void {
  const { index, endpoint } = port;
  const vlan = endpoint?.vlan ?? null;
  program.portNetwork[index] = network;
  program.portSerial[index] = port.serial;
  program.portHeaderBytes[index] = port.headerBytes;
  program.portAccepts[index] = port.accepts;
  program.portFlags[index] = endpoint?.isolated ? PORT_ISOLATED : 0;
  program.portVlanMode[index] = vlan?.mode === 'access' ? VLAN_ACCESS : VLAN_TRUNK;
  program.portVlan[index] = vlanOfUntagged(endpoint);
  if (vlan?.mode === 'trunk' && vlan.allowed !== null) {
    program.portTrunk[index] = trunks.rowOf(vlan.native === null ? vlan.allowed : [...vlan.allowed, vlan.native]);
  }
}

/** VLAN that untagged frames of an endpoint belong to; 0 is the untagged domain. */
function vlanOfUntagged(endpoint: EndpointSpec | null): number {
  const vlan = endpoint?.vlan ?? null;
  if (vlan === null) return 0;
  return vlan.mode === 'access' ? vlan.id : (vlan.native ?? 0);
}

type NetworkColumns = Pick<
  Program,
  | 'networkMtu'
  | 'networkAgeingMs'
  | 'networkFlags'
  | 'networkMacLimit'
  | 'networkStormBroadcast'
  | 'networkStormMulticast'
  | 'networkStormUnknown'
>;

function networkColumns(
  networks: readonly CompiledNetwork[],
  vteps: readonly CompiledVtep[],
  count: number,
): NetworkColumns {
  const columns = {
    networkMtu: new Int32Array(count),
    networkAgeingMs: new Int32Array(count),
    networkFlags: new Uint8Array(count),
    networkMacLimit: new Int32Array(count),
    networkStormBroadcast: new Int32Array(count),
    networkStormMulticast: new Int32Array(count),
    networkStormUnknown: new Int32Array(count),
  };
  for (const { index, mtu } of vteps) {
    columns.networkMtu[index] = mtu;
    columns.networkAgeingMs[index] = UNDERLAY_AGEING_MS;
    columns.networkMacLimit[index] = UPLINK_MAC_LIMIT;
  }
  for (const network of networks) {
    const { index, uplinkIndex, segment, spec } = network;
    if (uplinkIndex >= 0) fillUplink(columns, uplinkIndex, spec, segment);
    columns.networkMtu[index] = spec.mtu;
    columns.networkAgeingMs[index] = spec.ageingSeconds * 1000;
    columns.networkFlags[index] =
      (spec.controlFrames === 'filter' ? NETWORK_FILTER_CONTROL : 0) | routerFlags(network, networks);
    columns.networkMacLimit[index] = spec.macLimit;
    columns.networkStormBroadcast[index] = spec.storm.broadcast;
    columns.networkStormMulticast[index] = spec.storm.multicast;
    columns.networkStormUnknown[index] = spec.storm.unknownUnicast;
  }
  return columns;
}

/** The segment towards the outside has the sizes of its network and no other settings of it. */
function fillUplink(columns: NetworkColumns, row: number, spec: NetworkSpec, segment: UplinkSegment | null): void {
  columns.networkMtu[row] = segment?.mtu ?? spec.mtu;
  columns.networkAgeingMs[row] = spec.ageingSeconds * 1000;
  columns.networkMacLimit[row] = UPLINK_MAC_LIMIT;
}

/** `ports` in order of their rows, so the members of every network are too. */
function memberColumns(
  ports: readonly CompiledPort[],
  rowOf: ReadonlyMap<CompiledPort, number>,
  networkCount: number,
): Pick<Program, 'memberFirst' | 'memberCount' | 'members'> {
  const memberFirst = new Int32Array(networkCount);
  const memberCount = new Int32Array(networkCount);
  // What floods a network is not for the services of its gateway: they get what the router hands them.
  const stations = ports.filter(({ role }) => role !== 'service');
  const members = new Int32Array(stations.length);
  for (const port of stations) memberCount[rowOf.get(port)!]!++;
  for (let network = 1; network < networkCount; network++) {
    memberFirst[network] = memberFirst[network - 1]! + memberCount[network - 1]!;
  }
  const next = memberFirst.slice();
  for (const port of stations) {
    const network = rowOf.get(port)!;
    members[next[network]!] = port.index;
    next[network]!++;
  }
  return { memberFirst, memberCount, members };
}

function staticMacs(ports: readonly CompiledPort[], rowOf: ReadonlyMap<CompiledPort, number>): Int32Array {
  const rows: number[] = [];
  for (const port of ports) {
    for (const text of port.endpoint?.staticMacs ?? []) {
      const mac = parseMac(text);
      if (mac === null) continue;
      rows.push(rowOf.get(port)!, vlanOfUntagged(port.endpoint), mac.high, mac.low, port.index);
    }
  }
  const table = new Int32Array(rows.length);
  table.set(rows);
  if (table.length % STATIC_MAC_INTS !== 0) throw new Error('a row of static MACs is incomplete');
  return table;
}
