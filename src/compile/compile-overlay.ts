/**
 * The columns and tables of the program that tunnels work with: the VTEPs of this host, the share that each overlay network has
 * of one, and who gets copies of what floods.
 *
 * The row of a VTEP or tunnel means something within one program only; what is learned is kept by VTEP.key and by the rows of
 * ports and networks.
 */
import {
  FLOOD_INTS,
  type Program,
  ROLE_UNDERLAY,
  TUNNEL,
  TUNNEL_CLOSED,
  TUNNEL_INTS,
  TUNNEL_LEARNS,
  VTEP,
  VTEP_CHECKSUM,
  VTEP_INTS,
  VTEP_JOINS,
  VTEP_SOCKET,
  VTEP_TAP,
} from '../datapath/program.js';
import { parseMac } from '../wire/addresses.js';
import { addressWords, familyAndWords, ipFrom } from './address-rows.js';
import type { CompiledNetwork, CompiledPort } from './compile-input.js';
import { IntRows } from './int-rows.js';
import { keyOf } from './network-key.js';
import type { CompiledVtep } from './overlay-tunnel.js';

type OverlayColumns = Pick<
  Program,
  | 'portVtep'
  | 'portTunnel'
  | 'portUdp'
  | 'networkTunnel'
  | 'ownRouterMacHigh'
  | 'ownRouterMacLow'
  | 'vteps'
  | 'vtepSenders'
  | 'tunnels'
  | 'floods'
>;

/** A station alone on its segment, as weft is at the end of a TAP. */
const WHOLE = { 4: 32, 6: 128 } as const;

/** `ports` in the order of their rows. */
export function compileOverlay(
  networks: readonly CompiledNetwork[],
  vteps: readonly CompiledVtep[],
  ports: readonly CompiledPort[],
  portCount: number,
  networkCount: number,
): OverlayColumns {
  const columns = {
    portVtep: new Int32Array(portCount).fill(-1),
    portTunnel: new Int32Array(portCount).fill(-1),
    portUdp: new Int32Array(portCount),
    networkTunnel: new Int32Array(networkCount).fill(-1),
    ownRouterMacHigh: new Int32Array(networkCount),
    ownRouterMacLow: new Int32Array(networkCount),
  };
  const rowOfVtep = new Map(vteps.map(({ key }, row) => [key, row]));
  for (const port of ports) {
    if (port.role !== 'underlay') continue;
    columns.portVtep[port.index] = rowOfVtep.get(port.network) ?? -1;
    columns.portUdp[port.index] = port.udpPort ?? 0;
  }
  const portOfTunnel = new Map(ports.filter(({ role }) => role === 'tunnel').map((port) => [port.network, port.index]));
  const tunnels = new IntRows();
  const floods = new IntRows();
  for (const network of [...networks].sort((a, b) => a.index - b.index)) {
    const { index, ownRouterMac, tunnel, spec } = network;
    if (ownRouterMac !== null) setMac(columns.ownRouterMacHigh, columns.ownRouterMacLow, index, ownRouterMac);
    const port = portOfTunnel.get(spec.name);
    const vtep = tunnel === null ? undefined : rowOfVtep.get(tunnel.vtep);
    if (tunnel === null || port === undefined || vtep === undefined) continue;
    const row = tunnels.count / TUNNEL_INTS;
    columns.networkTunnel[index] = row;
    columns.portTunnel[port] = row;
    const first = floods.count / FLOOD_INTS;
    const family = ipFrom(vteps[vtep]!.address).family;
    for (const peer of tunnel.floods) if (ipFrom(peer).family === family) floods.addAll(familyAndWords(peer));
    tunnels.addAll(tunnelRow(network, vtep, port, first, floods.count / FLOOD_INTS - first));
  }
  const senders = vteps.flatMap((vtep) => vtep.senders);
  return {
    ...columns,
    vteps: vtepTable(vteps),
    vtepSenders: Int32Array.from(senders),
    tunnels: tunnels.toTable(),
    floods: floods.toTable(),
  };
}

/** What the segment of a VTEP has of columns that other networks have too: who weft is there. */
export function fillUnderlays(
  vteps: readonly CompiledVtep[],
  columns: Pick<Program, 'networkRole' | 'networkKey' | 'gatewayMacHigh' | 'gatewayMacLow'>,
): number[] {
  const own: number[] = [];
  for (const { index, key, address, ownMac } of vteps) {
    columns.networkRole[index] = ROLE_UNDERLAY;
    columns.networkKey[index] = keyOf(`vtep ${key}`);
    // The addresses of sockets are the kernel's.
    if (ownMac === null) continue;
    setMac(columns.gatewayMacHigh, columns.gatewayMacLow, index, ownMac);
    own.push(index, ...familyAndWords(address), WHOLE[ipFrom(address).family], 0);
  }
  return own;
}

function setMac(high: Int32Array, low: Int32Array, row: number, text: string): void {
  const mac = parseMac(text);
  if (mac === null) throw new Error(`${text} is no MAC`);
  high[row] = mac.high;
  low[row] = mac.low;
}

function vtepTable(vteps: readonly CompiledVtep[]): Int32Array<ArrayBuffer> {
  const table = new Int32Array(vteps.length * VTEP_INTS);
  let firstSender = 0;
  vteps.forEach((vtep, row) => {
    const ints = table.subarray(row * VTEP_INTS, (row + 1) * VTEP_INTS);
    const ip = ipFrom(vtep.address);
    ints[VTEP.key] = keyOf(vtep.key);
    ints[VTEP.kind] = vtep.underlay === 'tap' ? VTEP_TAP : VTEP_SOCKET;
    ints[VTEP.network] = vtep.index;
    ints[VTEP.port] = vtep.port;
    ints[VTEP.family] = ip.family;
    ints.set(addressWords(ip), VTEP.address);
    ints[VTEP.udpPort] = vtep.udpPort;
    ints[VTEP.senderFirst] = firstSender;
    ints[VTEP.senderCount] = vtep.senders.length;
    ints[VTEP.flags] = (vtep.checksum ? VTEP_CHECKSUM : 0) | (vtep.joins ? VTEP_JOINS : 0);
    ints[VTEP.mtu] = vtep.mtu;
    const macs = [vtep.hostMac, vtep.ownMac].map((text) => (text === null ? null : parseMac(text)));
    ints.set(
      macs.flatMap((mac) => [mac?.high ?? 0, mac?.low ?? 0]),
      VTEP.hostMacHigh,
    );
    firstSender += vtep.senders.length;
  });
  return table;
}

function tunnelRow(
  { index, spec }: CompiledNetwork,
  vtep: number,
  port: number,
  floodFirst: number,
  floodCount: number,
): number[] {
  const { overlay } = spec;
  if (overlay === null) throw new Error(`network ${spec.name} has a tunnel and is no overlay`);
  const row = new Array<number>(TUNNEL_INTS).fill(0);
  row[TUNNEL.network] = index;
  row[TUNNEL.vni] = overlay.vni;
  row[TUNNEL.vtep] = vtep;
  row[TUNNEL.port] = port;
  row[TUNNEL.flags] = (overlay.peersClosed ? TUNNEL_CLOSED : 0) | (overlay.learning ? TUNNEL_LEARNS : 0);
  row[TUNNEL.dscp] = overlay.dscp ?? -1;
  row[TUNNEL.floodFirst] = floodFirst;
  row[TUNNEL.floodCount] = floodCount;
  return row;
}
