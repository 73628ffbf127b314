/**
 * The tunnels of programs for datapath tests, from a few words: what src/compile makes of overlay networks and of the VTEPs that the
 * control thread has set up.
 *
 *   vteps: { v: { kind: 'socket', address: '192.0.2.1' } },
 *   overlay: { vtep: 'v', vni: 5000, floods: ['192.0.2.2'] },      // of the network `blue`
 *
 * A VTEP `v` has the port `v`, where datagrams or outer frames come in (those of a TAP also leave there), on the network `underlay/v`, and,
 * of sockets, the ports `v/0`, `v/1` ... that send. The tunnel of a network is its port `tunnel/blue`, which nobody attaches.
 */
import { strict as assert } from 'node:assert';
import ipaddr from 'ipaddr.js';
import {
  FLOOD_INTS,
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
} from '../../src/datapath/program.js';
import { formatIpv4, formatIpv6 } from '../../src/wire/addresses.js';
import { mac } from './frame-builders.js';
import type { NetworkSettings, PlacedPort, PortSettings } from './program-builder.js';

export interface VtepSettings {
  kind: 'socket' | 'tap';
  address: string;
  /** 4789 unless given. */
  udpPort?: number;
  /** Of `socket`: ports that send, 2 unless given. */
  senders?: number;
  /** Of `tap`: bytes of vnet header (12 unless given, 24 with tunnel offload) and ACCEPTS_* bits. */
  headerBytes?: number;
  accepts?: number;
  /** Outer checksums; false unless given. */
  checksum?: boolean;
  /** Datagrams leave joined; true unless given. */
  joins?: boolean;
  /** L3 bytes of outer packets, 1600 unless given. */
  mtu?: number;
  /** CAPTURE_* bits of its ports. */
  capture?: number;
}

export interface OverlaySettings {
  /** Name of the VTEP. */
  vtep: string;
  vni: number;
  floods?: readonly string[];
  closed?: boolean;
  /** true unless given. */
  learns?: boolean;
  /** -1 (copied) unless given. */
  dscp?: number;
  /** VLANs are carried with their tags. */
  keepVlans?: boolean;
  /** CAPTURE_* bits of the port of the tunnel. */
  capture?: number;
}

/** MACs of the two ends of the TAP of every VTEP. */
export const VTEP_HOST_MAC = '02:77:68:6f:73:74';
export const VTEP_OWN_MAC = '02:77:6f:77:6e:00';

type Vteps = Readonly<Record<string, VtepSettings>>;

export const underlayOf = (vtep: string): string => `underlay/${vtep}`;
export const tunnelOf = (network: string): string => `tunnel/${network}`;

/** The networks that VTEPs have, by name. */
export function underlayNetworks(vteps: Vteps): [string, NetworkSettings][] {
  return Object.entries(vteps).map(([name, { kind, address, mtu }]) => {
    const prefix = address.includes(':') ? 128 : 32;
    const gateway = { addresses: [`${address}/${prefix}`], mac: VTEP_OWN_MAC };
    return [underlayOf(name), { mtu: mtu ?? 1600, ...(kind === 'tap' ? { gateway } : {}) }];
  });
}

/** The ports that VTEPs and tunnels have, by name. */
export function tunnelPorts(networks: ReadonlyMap<string, NetworkSettings>, vteps: Vteps): [string, PortSettings][] {
  const ports: [string, PortSettings][] = [];
  for (const [name, vtep] of Object.entries(vteps)) {
    const isTap = vtep.kind === 'tap';
    const capture = vtep.capture ?? 0;
    const common = { network: underlayOf(name), vtep: name, capture };
    const tap = {
      headerBytes: vtep.headerBytes ?? 12,
      ...(vtep.accepts === undefined ? {} : { accepts: vtep.accepts }),
    };
    ports.push([name, { ...common, ...(isTap ? tap : { headerBytes: 0, accepts: 0, isSocket: true }) }]);
    for (let n = 0; !isTap && n < (vtep.senders ?? 2); n++) {
      ports.push([`${name}/${n}`, { ...common, headerBytes: 0, accepts: 0, isSocket: true }]);
    }
  }
  for (const [name, { overlay }] of networks) {
    if (overlay === undefined) continue;
    const vlan = overlay.keepVlans ? {} : { vlan: 0 };
    ports.push([tunnelOf(name), { network: name, isTunnel: true, capture: overlay.capture ?? 0, ...vlan }]);
  }
  return ports;
}

/** `networks` and `ports` with those of the two functions above; `networkRole` is changed where VTEPs are. */
export function tunnelColumns(
  networks: ReadonlyMap<string, NetworkSettings>,
  ports: readonly PlacedPort[],
  vteps: Vteps,
  networkRole: Uint8Array,
) {
  const portCount = Math.max(0, ...ports.map((port) => port.index + 1));
  const names = [...networks.keys()];
  const vtepNames = Object.keys(vteps);
  const rowOf = (name: string): number => {
    const row = names.indexOf(name);
    assert.ok(row >= 0, `${name} is a network of the lab`);
    return row;
  };
  const indexOf = (name: string): number => {
    const port = ports.find((each) => each.name === name);
    assert.ok(port !== undefined, `${name} is a port of the lab`);
    return port.index;
  };
  const portVtep = new Int32Array(portCount).fill(-1);
  const portTunnel = new Int32Array(portCount).fill(-1);
  const networkTunnel = new Int32Array(names.length).fill(-1);
  for (const { index, vtep } of ports) if (vtep !== undefined) portVtep[index] = vtepNames.indexOf(vtep);
  const senders: number[] = [];
  const vtepRows = vtepNames.map((name) => {
    const first = senders.length;
    const count = vteps[name]!.kind === 'tap' ? 0 : (vteps[name]!.senders ?? 2);
    for (let n = 0; n < count; n++) senders.push(indexOf(`${name}/${n}`));
    const network = rowOf(underlayOf(name));
    networkRole[network] = ROLE_UNDERLAY;
    return vtepRow(name, vteps[name]!, network, indexOf(name), first, count);
  });
  const floods: number[] = [];
  const tunnels: Int32Array[] = [];
  for (const [name, { overlay }] of networks) {
    if (overlay === undefined) continue;
    const port = indexOf(tunnelOf(name));
    networkTunnel[rowOf(name)] = tunnels.length;
    portTunnel[port] = tunnels.length;
    const vtep = vtepNames.indexOf(overlay.vtep);
    assert.ok(vtep >= 0, `${overlay.vtep} is a VTEP of the lab`);
    const peers = overlay.floods ?? [];
    tunnels.push(tunnelRow(overlay, rowOf(name), vtep, port, floods.length / FLOOD_INTS, peers.length));
    floods.push(...peers.flatMap(addressRow));
  }
  return {
    portVtep,
    portTunnel,
    networkTunnel,
    vteps: Int32Array.from(vtepRows.flatMap((row) => [...row])),
    vtepSenders: Int32Array.from(senders),
    tunnels: Int32Array.from(tunnels.flatMap((row) => [...row])),
    floods: Int32Array.from(floods),
  };
}

function vtepRow(name: string, vtep: VtepSettings, network: number, port: number, first: number, count: number) {
  const row = new Int32Array(VTEP_INTS);
  const [family, ...words] = addressRow(vtep.address);
  row[VTEP.key] = keyOf(name);
  row[VTEP.kind] = vtep.kind === 'tap' ? VTEP_TAP : VTEP_SOCKET;
  row[VTEP.network] = network;
  row[VTEP.port] = port;
  row[VTEP.family] = family!;
  row.set(words, VTEP.address);
  row[VTEP.udpPort] = vtep.udpPort ?? 4789;
  row[VTEP.senderFirst] = first;
  row[VTEP.senderCount] = count;
  [row[VTEP.hostMacHigh], row[VTEP.hostMacLow]] = macWords(VTEP_HOST_MAC);
  [row[VTEP.ownMacHigh], row[VTEP.ownMacLow]] = macWords(VTEP_OWN_MAC);
  row[VTEP.flags] = (vtep.checksum ? VTEP_CHECKSUM : 0) | (vtep.joins === false ? 0 : VTEP_JOINS);
  row[VTEP.mtu] = vtep.mtu ?? 1600;
  return row;
}

/** A number of its own for every name. */
export function keyOf(name: string): number {
  let key = 7;
  for (const letter of name) key = (Math.imul(key, 31) + letter.charCodeAt(0)) & 0x3fffffff;
  return key;
}

function tunnelRow(
  overlay: OverlaySettings,
  network: number,
  vtep: number,
  port: number,
  first: number,
  count: number,
) {
  const row = new Int32Array(TUNNEL_INTS);
  row[TUNNEL.network] = network;
  row[TUNNEL.vni] = overlay.vni;
  row[TUNNEL.vtep] = vtep;
  row[TUNNEL.port] = port;
  row[TUNNEL.flags] = (overlay.closed ? TUNNEL_CLOSED : 0) | (overlay.learns === false ? 0 : TUNNEL_LEARNS);
  row[TUNNEL.dscp] = overlay.dscp ?? -1;
  row[TUNNEL.floodFirst] = first;
  row[TUNNEL.floodCount] = count;
  return row;
}

/** Family and four words. */
export function addressRow(text: string): number[] {
  const bytes = ipaddr.parse(text).toByteArray();
  const view = new DataView(Uint8Array.from(bytes).buffer);
  return [bytes.length === 4 ? 4 : 6, ...[0, 4, 8, 12].map((at) => (at < bytes.length ? view.getInt32(at) : 0))];
}

/** High and low half. */
export function macWords(text: string): [number, number] {
  const view = new DataView(Uint8Array.from(mac(text)).buffer);
  return [view.getUint16(0), view.getInt32(2)];
}

/** As `addressRow` reads it. */
export function addressText(words: ArrayLike<number>, family: number): string {
  const view = new DataView(new ArrayBuffer(16));
  for (let word = 0; word < 4; word++) view.setInt32(4 * word, words[word]!);
  return family === 4 ? formatIpv4(words[0]!) : formatIpv6(view, 0);
}
