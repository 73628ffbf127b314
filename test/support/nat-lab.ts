/**
 * A NAT on the table: one inside network with two stations, one uplink with a router behind which the whole world is.
 *
 *   alice 10.0.0.2 fd00:1::2 --+                          +-- 203.0.113.254 2001:db8:e::fe --- world (any address)
 *   bob   10.0.0.3 fd00:1::3 --+-- weft 10.0.0.1 fd00:1::1 | 203.0.113.1 .2 2001:db8:e::1 (pool), .9 ::9 (1:1 with bob, if asked)
 *
 * What leaves is read by a parser of its own that computes every checksum anew, so a test sees lines like
 * `udp 203.0.113.1:61234 > 198.51.100.7:53` only of packets that are sound.
 */
import { strict as assert } from 'node:assert';
import ipaddr from 'ipaddr.js';
import {
  FILTERING_ADDRESS_AND_PORT_DEPENDENT,
  FILTERING_ADDRESS_DEPENDENT,
  FILTERING_ENDPOINT_INDEPENDENT,
  MAPPING_ADDRESS_AND_PORT_DEPENDENT,
  MAPPING_ENDPOINT_INDEPENDENT,
  NAT,
  NAT_POLICY_INTS,
  OWN_GATEWAY,
  OWN_POOL,
  OWN_STATIC,
  type Program,
  ROLE_INSIDE,
  ROLE_UPLINK,
  ROUTE_INTS,
  ROUTE_PLAIN,
  TRANSLATE_PORTS,
} from '../../src/datapath/program.js';
import { type BuiltFrame, ether, mac, type Packet, referenceSum, type TestFrame } from './frame-builders.js';
import { createLab, type Lab } from './lab.js';

export const GATEWAY_MAC = '02:00:00:00:00:fe';
export const UPLINK_MAC = '02:00:00:00:00:ee';
export const STATIONS = {
  alice: { mac: '02:00:00:00:00:01', v4: '10.0.0.2', v6: 'fd00:1::2' },
  bob: { mac: '02:00:00:00:00:02', v4: '10.0.0.3', v6: 'fd00:1::3' },
  world: { mac: '02:00:00:00:00:03', v4: '203.0.113.254', v6: '2001:db8:e::fe' },
} as const;
export type Station = keyof typeof STATIONS;

export const EXTERNAL = '203.0.113.1';
export const EXTERNAL_2 = '203.0.113.2';
export const EXTERNAL_6 = '2001:db8:e::1';
/** Two hosts of the world, and a network that is an exception of the NAT. */
export const REMOTE = '198.51.100.7';
export const REMOTE_2 = '198.51.100.8';
export const REMOTE_6 = '2001:db8:f::7';
export const REMOTE_6_2 = '2001:db8:f::8';
export const PLAIN_REMOTE = '198.18.0.1';

const INSIDE = 0;
const UPLINK = 1;

export interface NatSettings {
  mapping?: 'independent' | 'dependent';
  filtering?: 'independent' | 'address' | 'address-and-port';
  hairpin?: boolean;
  flowLimit?: number;
  ports?: readonly [number, number];
  /** Addresses of the pool; by default one of each family. */
  pool?: readonly string[];
  /** `PROTOCOL EXTERNAL FIRST-LAST INSIDE PORT`; EXTERNAL `*` = every one. */
  published?: readonly string[];
  /** `INSIDE EXTERNAL`. */
  pairs?: readonly string[];
  /** `LENGTH INSIDE EXTERNAL`. */
  prefixes?: readonly string[];
  /** TRANSLATE_* of both families. */
  translate?: readonly [number, number];
  timers?: Partial<Record<'tcpEstablished' | 'tcpTransitory' | 'tcpSyn' | 'udp' | 'icmp', number>>;
  uplinkMtu?: number;
}

/** A packet as it left, its checksums checked. */
export interface Seen {
  /** `udp 203.0.113.1:61234 > 198.51.100.7:53`, with flags, types, fragments and payload text where there are any. */
  text: string;
  from: string;
  to: string;
  sourcePort: number;
  destinationPort: number;
  ttl: number;
  bytes: Uint8Array;
  frame: TestFrame;
}

export class NatLab {
  readonly lab: Lab;

  constructor(settings: NatSettings = {}) {
    this.lab = createLab({
      ports: { alice: {}, bob: {}, world: { network: 'uplink' } },
      networks: { uplink: { mtu: settings.uplinkMtu ?? 1500 } },
    });
    this.configure(settings);
  }

  /** Swaps other settings in. */
  configure(settings: NatSettings): void {
    const { datapath } = this.lab;
    datapath.adopt({ ...datapath.program, version: datapath.program.version + 1, ...routerOf(this.lab, settings) });
  }

  /** Lets packets of a station arrive for its gateway, one burst. */
  send(station: Station, ...packets: readonly (Packet | BuiltFrame)[]): void {
    this.lab.send(station, ...packets.map((packet) => this.frame(station, packet)));
  }

  frame(station: Station, packet: Packet | BuiltFrame): BuiltFrame {
    if ('vnet' in packet) return packet;
    return ether({ from: STATIONS[station].mac, to: station === 'world' ? UPLINK_MAC : GATEWAY_MAC }, packet);
  }

  /** What left to a station since the last call. */
  take(station: Station): Seen[] {
    return this.lab.take(station).map((frame) => readFrame(station, frame));
  }

  /** The same for one packet. */
  takeOne(station: Station): Seen {
    const all = this.take(station);
    assert.equal(
      all.length,
      1,
      `one packet left to ${station}, not ${all.map(({ text }) => text).join('; ') || 'none'}`,
    );
    return all[0]!;
  }

  texts(station: Station): string[] {
    return this.take(station).map(({ text }) => text);
  }

  drops() {
    return this.lab.takeDrops();
  }

  /** Moves the clock, and lets the datapath have turns meanwhile. */
  advance(ms: number): void {
    for (let left = ms; left > 0; left -= 250) {
      this.lab.advance(Math.min(250, left));
      this.lab.run();
    }
  }
}

function routerOf(lab: Lab, settings: NatSettings): Partial<Program> {
  const pool = settings.pool ?? [EXTERNAL, EXTERNAL_6];
  const pairs = (settings.pairs ?? []).map((text) => text.split(' ') as [string, string]);
  const own = [
    ownRow(INSIDE, '10.0.0.1', 24, OWN_GATEWAY),
    ownRow(INSIDE, 'fd00:1::1', 64, OWN_GATEWAY),
    ...pool.map((address) => ownRow(UPLINK, address, address.includes(':') ? 64 : 24, OWN_POOL)),
    ...pairs.map(([, address]) => ownRow(UPLINK, address, address.includes(':') ? 64 : 24, OWN_STATIC)),
  ];
  const insideRoutes = [
    routeRow('10.0.0.0', 24, INSIDE, null, 0),
    routeRow('198.18.0.0', 15, UPLINK, STATIONS.world.v4, ROUTE_PLAIN),
    routeRow('203.0.113.0', 24, UPLINK, null, 0),
    routeRow('0.0.0.0', 0, UPLINK, STATIONS.world.v4, 0),
    routeRow('fd00:1::', 64, INSIDE, null, 0),
    routeRow('::', 0, UPLINK, STATIONS.world.v6, 0),
  ];
  const uplinkRoutes = [routeRow('10.0.0.0', 24, INSIDE, null, 0), routeRow('fd00:1::', 64, INSIDE, null, 0)];
  return {
    networkRole: Uint8Array.of(ROLE_INSIDE, ROLE_UPLINK),
    networkKey: Int32Array.of(0x1111, 0x2222),
    networkUplink: Int32Array.of(UPLINK, INSIDE),
    networkServicePort: Int32Array.of(-1, -1),
    gatewayMacHigh: Int32Array.of(macHigh(GATEWAY_MAC), macHigh(UPLINK_MAC)),
    gatewayMacLow: Int32Array.of(macLow(GATEWAY_MAC), macLow(UPLINK_MAC)),
    ownAddresses: Int32Array.from(own.flat()),
    routes: Int32Array.from([...insideRoutes, ...uplinkRoutes].flat()),
    routeFirst: Int32Array.of(0, insideRoutes.length),
    routeCount: Int32Array.of(insideRoutes.length, uplinkRoutes.length),
    neighbours: Int32Array.from(
      (['alice', 'bob', 'world'] as const).flatMap((name) => [
        ...neighbourRow(lab, name, STATIONS[name].v4),
        ...neighbourRow(lab, name, STATIONS[name].v6),
      ]),
    ),
    natPolicy: policyOf(settings),
    natPublished: Int32Array.from((settings.published ?? []).flatMap(publishedRow)),
    natStatic: Int32Array.from(
      pairs.flatMap(([inside, external]) => [INSIDE, familyOf(inside), ...wordsOf(inside), ...wordsOf(external)]),
    ),
    natPrefixes: Int32Array.from(
      (settings.prefixes ?? []).flatMap((text) => {
        const [length, inside, external] = text.split(' ') as [string, string, string];
        return [INSIDE, Number(length), ...wordsOf(inside), ...wordsOf(external)];
      }),
    ),
  };
}

function policyOf(settings: NatSettings): Int32Array {
  const policy = new Int32Array(2 * NAT_POLICY_INTS);
  const timers = { tcpEstablished: 7440, tcpTransitory: 240, tcpSyn: 6, udp: 300, icmp: 60, ...settings.timers };
  const [first, last] = settings.ports ?? [1024, 65535];
  policy[NAT.mapping] =
    settings.mapping === 'dependent' ? MAPPING_ADDRESS_AND_PORT_DEPENDENT : MAPPING_ENDPOINT_INDEPENDENT;
  policy[NAT.filtering] = {
    independent: FILTERING_ENDPOINT_INDEPENDENT,
    address: FILTERING_ADDRESS_DEPENDENT,
    'address-and-port': FILTERING_ADDRESS_AND_PORT_DEPENDENT,
  }[settings.filtering ?? 'address'];
  [policy[NAT.translate4], policy[NAT.translate6]] = settings.translate ?? [TRANSLATE_PORTS, TRANSLATE_PORTS];
  for (const name of Object.keys(timers) as (keyof typeof timers)[]) policy[NAT[name]] = timers[name];
  policy[NAT.flowLimit] = settings.flowLimit ?? 1000;
  policy[NAT.portFirst] = first;
  policy[NAT.portLast] = last;
  policy[NAT.hairpin] = settings.hairpin === false ? 0 : 1;
  return policy;
}

function publishedRow(text: string): number[] {
  const [protocol, external, range, inside, port] = text.split(' ') as [string, string, string, string, string];
  const [first, last] = range.split('-').map(Number) as [number, number | undefined];
  const address = external === '*' ? [0, 0, 0, 0] : wordsOf(external);
  const number = protocol === 'tcp' ? 6 : 17;
  return [INSIDE, number, familyOf(inside), ...address, first, last ?? first, ...wordsOf(inside), Number(port)];
}

function ownRow(network: number, address: string, length: number, flags: number): number[] {
  return [network, familyOf(address), ...wordsOf(address), length, flags];
}

function routeRow(prefix: string, length: number, network: number, hop: string | null, flags: number): number[] {
  return [
    familyOf(prefix),
    ...wordsOf(prefix),
    length,
    network,
    ...(hop === null ? [0, 0, 0, 0] : wordsOf(hop)),
    flags,
    // Behind that is what only routes to other hosts have.
    ...new Array<number>(ROUTE_INTS - 12).fill(0),
  ];
}

function neighbourRow(lab: Lab, name: Station, address: string): number[] {
  const { mac: text } = STATIONS[name];
  const network = name === 'world' ? UPLINK : INSIDE;
  return [network, familyOf(address), ...wordsOf(address), macHigh(text), macLow(text), lab.index(name)];
}

function familyOf(address: string): number {
  return address.includes(':') ? 6 : 4;
}

export function wordsOf(address: string): number[] {
  const bytes = ipaddr.parse(address).toByteArray();
  const words = [0, 0, 0, 0];
  for (const [i, byte] of bytes.entries()) words[i >> 2] = (words[i >> 2]! << 8) | byte;
  return words;
}

function macHigh(text: string): number {
  const bytes = mac(text);
  return (bytes[0]! << 8) | bytes[1]!;
}

function macLow(text: string): number {
  const bytes = mac(text);
  return (bytes[2]! << 24) | (bytes[3]! << 16) | (bytes[4]! << 8) | bytes[5]!;
}

function readFrame(station: Station, frame: TestFrame): Seen {
  const { bytes } = frame;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.deepEqual([...bytes.subarray(0, 6)], mac(STATIONS[station].mac), `a frame to ${station} has its MAC`);
  const router = station === 'world' ? UPLINK_MAC : GATEWAY_MAC;
  assert.deepEqual([...bytes.subarray(6, 12)], mac(router), `a frame to ${station} comes from its router`);
  const packet = readPacket(view, 14, frame.vnet !== null && (frame.vnet.flags & 1) !== 0);
  return { ...packet, frame };
}

type ReadPacket = Omit<Seen, 'frame'>;

/** Reads a packet and computes its checksums anew. `isPartial`: the transport checksum is the pseudo-header's. */
export function readPacket(view: DataView, at: number, isPartial: boolean, isEmbedded = false): ReadPacket {
  const is4 = view.getUint8(at) >>> 4 === 4;
  const bytesOf = (from: number, length: number): Uint8Array =>
    new Uint8Array(view.buffer, view.byteOffset + from, length).slice();
  const addressBytes = is4 ? 4 : 16;
  const sourceAt = at + (is4 ? 12 : 8);
  const from = textOf(bytesOf(sourceAt, addressBytes));
  const to = textOf(bytesOf(sourceAt + addressBytes, addressBytes));
  const headerBytes = is4 ? (view.getUint8(at) & 15) * 4 : 40;
  if (is4) assert.equal(referenceSum(bytesOf(at, headerBytes)), 0xffff, `IPv4 header checksum of ${from} > ${to}`);
  const total = is4 ? view.getUint16(at + 2) : 40 + view.getUint16(at + 4);
  let protocol = view.getUint8(at + (is4 ? 9 : 6));
  let l4At = at + headerBytes;
  let field = is4 ? view.getUint16(at + 6) & 0x3fff : 0;
  let offset = (field & 0x1fff) * 8;
  if (!is4 && protocol === 44) {
    field = view.getUint16(l4At + 2);
    offset = field & 0xfff8;
    protocol = view.getUint8(l4At);
    l4At += 8;
  }
  const more = is4 ? (field & 0x2000) !== 0 : (field & 1) !== 0;
  const end = Math.min(at + total, view.byteLength);
  const payload = bytesOf(l4At, end - l4At);
  const piece = offset > 0 || more ? ` fragment ${offset}+${payload.length}${more ? '+' : ''}` : '';
  const base = { from, to, sourcePort: 0, destinationPort: 0, ttl: view.getUint8(at + (is4 ? 8 : 7)), bytes: payload };
  if (offset > 0) return { ...base, text: `${protocol} ${from} > ${to}${piece}` };
  const pseudo = new Uint8Array([...bytesOf(sourceAt, addressBytes * 2), 0, 0, 0, protocol]);
  const length = new Uint8Array([0, 0, payload.length >>> 8, payload.length & 255]);
  const pseudoSum = fold(referenceSum(pseudo) + referenceSum(length));
  const isWhole = piece === '' && at + total <= view.byteLength;
  const checksumAt = protocol === 6 ? 16 : protocol === 17 ? 6 : 2;
  const isChecked = isWhole && !isEmbedded && [1, 6, 17, 58].includes(protocol);
  if (isChecked) {
    const stored = (payload[checksumAt]! << 8) | payload[checksumAt + 1]!;
    const covered = protocol === 1 ? 0 : pseudoSum;
    if (isPartial) assert.equal(stored, covered, `partial checksum of ${from} > ${to}`);
    else if (protocol !== 17 || stored !== 0) {
      assert.equal(fold(covered + referenceSum(payload)), 0xffff, `transport checksum of ${from} > ${to}`);
    }
  }
  if (protocol === 1 || protocol === 58) return readIcmp(view, l4At, end, base, is4, piece);
  if (protocol !== 6 && protocol !== 17 && protocol !== 132)
    return { ...base, text: `${protocol} ${from} > ${to}${piece}` };
  const sourcePort = view.getUint16(l4At);
  const destinationPort = view.getUint16(l4At + 2);
  const name = { 6: 'tcp', 17: 'udp', 132: 'sctp' }[protocol];
  const flags = protocol === 6 && !isEmbedded ? ` ${flagText(view.getUint8(l4At + 13))}` : '';
  const text = `${name} ${end6(from)}:${sourcePort} > ${end6(to)}:${destinationPort}${flags}${piece}`;
  return { ...base, text, sourcePort, destinationPort };
}

function readIcmp(
  view: DataView,
  l4At: number,
  end: number,
  base: Omit<ReadPacket, 'text'>,
  is4: boolean,
  piece: string,
): ReadPacket {
  const type = view.getUint8(l4At);
  const code = view.getUint8(l4At + 1);
  const id = view.getUint16(l4At + 4);
  const { from, to } = base;
  const isEcho = is4 ? type === 0 || type === 8 || type === 13 || type === 14 : type === 128 || type === 129;
  if (isEcho) {
    const kind = { 0: 'pong', 8: 'ping', 13: 'stamp', 14: 'stamped', 128: 'ping', 129: 'pong' }[type];
    return { ...base, text: `${kind} ${id} ${from} > ${to}${piece}`, sourcePort: id, destinationPort: id };
  }
  const embedded = l4At + 8 < end ? ` (${readPacket(view, l4At + 8, false, true).text})` : '';
  return { ...base, text: `error ${type}/${code} ${from} > ${to}${embedded}` };
}

function flagText(flags: number): string {
  return ['F', 'S', 'R', 'P', 'A'].filter((_, bit) => (flags & (1 << bit)) !== 0).join('') || '-';
}

function textOf(bytes: Uint8Array): string {
  const address = ipaddr.fromByteArray([...bytes]);
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}

function end6(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

function fold(total: number): number {
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}
