/**
 * Frames for tests, byte by byte: builders that fill in lengths and checksums, and that share no code with src/wire, so
 * that a mistake there is not repeated here.
 *
 *   ether({ from: WEB, to: DB }, ipv4({ from: '192.0.2.1', to: '192.0.2.2' }, udp(4000, 53, 'who?')))
 *
 * A frame with work left for the receiver (`partial`, `superFrame`) carries the vnet header that says so.
 */
import { strict as assert } from 'node:assert';
import ipaddr from 'ipaddr.js';

/** struct virtio_net_hdr_mrg_rxbuf without num_buffers, which is always zero here. */
export interface VnetFields {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  checksumStart: number;
  checksumOffset: number;
  /** Only in headers of 24 bytes, of super-frames in a UDP tunnel: offsets of the outer transport and of the inner network header. */
  outerTransport?: number;
  innerNetwork?: number;
}

/** The other end of a datagram. */
export interface TestPeer {
  address: string;
  port: number;
  /** Several datagrams in one message, all of so many bytes but the last; 0 unless given: one datagram. */
  segmentBytes?: number;
  /** 0 unless given. */
  trafficClass?: number;
}

export interface TestFrame {
  bytes: Uint8Array;
  /** null: nothing is left to do (a header of zeros where the port has headers). */
  vnet: VnetFields | null;
  /** Of what comes to or goes from a UDP socket, whose `bytes` are a payload. */
  peer?: TestPeer;
}

/** A frame whose L3 and L4 were built here, so that it is known where its checksum is. */
export interface BuiltFrame extends TestFrame {
  /** Offset of the L4 header, -1 when there is none. */
  l4At: number;
  /** Of the L4 checksum, from `l4At`. */
  checksumOffset: number;
  /** Folded sum over the pseudo-header: what a partial checksum holds. */
  pseudoSum: number;
}

/** What stands behind an Ethernet header. */
export interface Packet {
  etherType: number;
  bytes: Uint8Array;
  l4At: number;
  checksumOffset: number;
  pseudoSum: number;
}

/** A transport header with its payload; its checksum waits for the pseudo-header. */
export interface Transport {
  protocol: number;
  bytes: Uint8Array;
  /** -1: there is none. */
  checksumOffset: number;
}

/** An 802.1Q tag: VLAN, or all of it; `type` is 0x8100 unless given. */
export type Tag = number | { vlan: number; priority?: number; dropEligible?: boolean; type?: number };

export const VNET_BYTES = 12;
/** With the fields of super-frames in UDP tunnels (struct virtio_net_hdr_v1_hash_tunnel). */
export const TUNNEL_VNET_BYTES = 24;
export const BROADCAST = 'ff:ff:ff:ff:ff:ff';
export const TPID_CUSTOMER = 0x8100;
export const TPID_SERVICE = 0x88a8;
/** IEEE 802 local experimental Ethertype 1 (RFC 9542 section 3). */
export const EXPERIMENTAL = 0x88b5;

const FLAG_NEEDS_CHECKSUM = 1;
export const GSO_TCP4 = 1;
export const GSO_TCP6 = 4;
export const GSO_UDP = 5;
export const GSO_ECN = 0x80;

/** Ethernet II. `payload`: a packet, or text or bytes of the experimental type. */
export function ether(
  addresses: { from: string; to: string; tags?: readonly Tag[]; type?: number },
  payload: Packet | string | Uint8Array = '',
): BuiltFrame {
  const packet = isPacket(payload) ? payload : plainPacket(payload);
  const tags = (addresses.tags ?? []).flatMap((tag) => tagBytes(tag));
  const header = [...mac(addresses.to), ...mac(addresses.from), ...tags, ...word(addresses.type ?? packet.etherType)];
  const l4At = packet.l4At < 0 ? -1 : header.length + packet.l4At;
  const { checksumOffset, pseudoSum } = packet;
  return { bytes: join(header, packet.bytes), vnet: null, l4At, checksumOffset, pseudoSum };
}

function isPacket(payload: Packet | string | Uint8Array): payload is Packet {
  return typeof payload === 'object' && 'etherType' in payload;
}

function plainPacket(payload: string | Uint8Array): Packet {
  return { etherType: EXPERIMENTAL, bytes: toBytes(payload), l4At: -1, checksumOffset: -1, pseudoSum: 0 };
}

function tagBytes(tag: Tag): number[] {
  const {
    vlan,
    priority = 0,
    dropEligible = false,
    type = TPID_CUSTOMER,
  } = typeof tag === 'number' ? { vlan: tag } : tag;
  return [...word(type), ...word((priority << 13) | (dropEligible ? 0x1000 : 0) | vlan)];
}

/** IPv4, RFC 791. `options` are padded to words. */
export function ipv4(
  fields: { from: string; to: string; id?: number; flags?: number; tos?: number; ttl?: number; options?: Uint8Array },
  transport: Transport,
): Packet {
  const options = padded(fields.options ?? new Uint8Array(0), 4);
  const headerBytes = 20 + options.length;
  const header = new Uint8Array(headerBytes);
  header[0] = 0x40 | (headerBytes / 4);
  header[1] = fields.tos ?? 0;
  header.set(word(headerBytes + transport.bytes.length), 2);
  header.set(word(fields.id ?? 0x1234), 4);
  header.set(word(fields.flags ?? 0x4000), 6);
  header[8] = fields.ttl ?? 64;
  header[9] = transport.protocol;
  const from = address(fields.from);
  const to = address(fields.to);
  header.set(from, 12);
  header.set(to, 16);
  header.set(options, 20);
  header.set(word(~referenceSum(header) & 0xffff), 10);
  const pseudo = join(from, to, [0, transport.protocol], word(transport.bytes.length));
  return finished(0x0800, header, transport, referenceSum(pseudo));
}

/** IPv6, RFC 8200. `extensions`: header types (0 hop-by-hop, 43 routing, 60 destination options) with their option bytes. */
export function ipv6(
  fields: {
    from: string;
    to: string;
    trafficClass?: number;
    flowLabel?: number;
    hopLimit?: number;
    extensions?: readonly { type: number; options: Uint8Array }[];
  },
  transport: Transport,
): Packet {
  const extensions = fields.extensions ?? [];
  const types = [...extensions.map(({ type }) => type), transport.protocol];
  const chain = extensions.map(({ options }, i) => extensionBytes(types[i + 1]!, options));
  const from = address(fields.from);
  const to = address(fields.to);
  const first = 0x6000_0000 + (fields.trafficClass ?? 0) * 0x10_0000 + (fields.flowLabel ?? 0);
  const payloadBytes = chain.reduce((sum, bytes) => sum + bytes.length, 0) + transport.bytes.length;
  const fixed = [...long(first), ...word(payloadBytes), types[0]!, fields.hopLimit ?? 64];
  const header = join(fixed, from, to, ...chain);
  const pseudo = join(from, to, long(transport.bytes.length), [0, 0, 0, transport.protocol]);
  return finished(0x86dd, header, transport, referenceSum(pseudo));
}

/** Next header, length in units of 8 bytes without the first, options padded with PadN (RFC 8200 section 4.2). */
function extensionBytes(next: number, options: Uint8Array): Uint8Array {
  const bytes = 8 * Math.ceil((2 + options.length) / 8);
  const padding = bytes - 2 - options.length;
  const pad = padding === 0 ? [] : padding === 1 ? [0] : [1, padding - 2, ...new Array<number>(padding - 2).fill(0)];
  return join([next, bytes / 8 - 1], options, pad);
}

/** TCP, RFC 9293. `options` are padded to words. */
export function tcp(
  fields: {
    from?: number;
    to?: number;
    sequence?: number;
    acknowledgement?: number;
    flags?: number;
    window?: number;
    urgent?: number;
    options?: Uint8Array;
  },
  payload: string | Uint8Array = '',
): Transport {
  const options = padded(fields.options ?? new Uint8Array(0), 4);
  const offset = (20 + options.length) / 4;
  const header = join(
    word(fields.from ?? 40000),
    word(fields.to ?? 80),
    long(fields.sequence ?? 1000),
    long(fields.acknowledgement ?? 2000),
    [offset << 4, fields.flags ?? TCP_ACK],
    word(fields.window ?? 512),
    word(0),
    word(fields.urgent ?? 0),
    options,
  );
  return { protocol: 6, bytes: join(header, toBytes(payload)), checksumOffset: 16 };
}

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_PUSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;

/** UDP, RFC 768. */
export function udp(from: number, to: number, payload: string | Uint8Array = ''): Transport {
  const data = toBytes(payload);
  return { protocol: 17, bytes: join(word(from), word(to), word(8 + data.length), word(0), data), checksumOffset: 6 };
}

/** Any other protocol above IP. */
export function raw(protocol: number, payload: string | Uint8Array): Transport {
  return { protocol, bytes: toBytes(payload), checksumOffset: -1 };
}

function finished(etherType: number, header: Uint8Array, transport: Transport, pseudoSum: number): Packet {
  const bytes = join(header, transport.bytes);
  const { checksumOffset } = transport;
  const l4At = header.length;
  if (checksumOffset >= 0) {
    const total = pseudoSum + referenceSum(transport.bytes);
    const checksum = ~fold(total) & 0xffff;
    bytes.set(word(transport.protocol === 17 && checksum === 0 ? 0xffff : checksum), l4At + checksumOffset);
  }
  return { etherType, bytes, l4At, checksumOffset, pseudoSum };
}

/** The same frame as its sender's stack hands it to a device with checksum offload: the field holds the pseudo-header sum. */
export function partial(frame: BuiltFrame): BuiltFrame {
  assert.ok(frame.l4At >= 0 && frame.checksumOffset >= 0, 'the frame has a transport checksum');
  const bytes = frame.bytes.slice();
  bytes.set(word(frame.pseudoSum), frame.l4At + frame.checksumOffset);
  return { ...frame, bytes, vnet: needsChecksum(frame.l4At, frame.checksumOffset) };
}

/** The same frame as a super-frame that is to be cut into pieces of `gsoSize` payload bytes. */
export function superFrame(frame: BuiltFrame, gsoType: number, gsoSize: number): BuiltFrame {
  const unfinished = partial(frame);
  return { ...unfinished, vnet: { ...needsChecksum(frame.l4At, frame.checksumOffset), gsoType, gsoSize } };
}

export function needsChecksum(checksumStart: number, checksumOffset: number): VnetFields {
  return { flags: FLAG_NEEDS_CHECKSUM, gsoType: 0, headerLength: 0, gsoSize: 0, checksumStart, checksumOffset };
}

/** The 12 (or 24) bytes in front of a frame, little-endian. */
export function vnetBytes(fields: VnetFields | null, headerBytes: number = VNET_BYTES): Uint8Array {
  const bytes = new Uint8Array(TUNNEL_VNET_BYTES);
  if (fields === null) return bytes.subarray(0, headerBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, fields.flags);
  view.setUint8(1, fields.gsoType);
  view.setUint16(2, fields.headerLength, true);
  view.setUint16(4, fields.gsoSize, true);
  view.setUint16(6, fields.checksumStart, true);
  view.setUint16(8, fields.checksumOffset, true);
  view.setUint16(20, fields.outerTransport ?? 0, true);
  view.setUint16(22, fields.innerNetwork ?? 0, true);
  return bytes.subarray(0, headerBytes);
}

/** null for a header that asks for nothing. */
export function readVnet(bytes: Uint8Array): VnetFields | null {
  if (bytes.every((byte) => byte === 0)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    flags: view.getUint8(0),
    gsoType: view.getUint8(1),
    headerLength: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    checksumStart: view.getUint16(6, true),
    checksumOffset: view.getUint16(8, true),
    ...(bytes.length < TUNNEL_VNET_BYTES ? {} : tunnelFields(view)),
  };
}

function tunnelFields(view: DataView): { outerTransport: number; innerNetwork: number } {
  return { outerTransport: view.getUint16(20, true), innerNetwork: view.getUint16(22, true) };
}

/** RFC 1071, as slowly and as plainly as its definition: 16-bit words, end-around carry after each. */
export function referenceSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

function fold(total: number): number {
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return total;
}

/** The six bytes of `02:00:00:00:00:01`. */
export function mac(text: string): number[] {
  const bytes = text.split(':').map((digits) => Number.parseInt(digits, 16));
  assert.equal(bytes.length, 6, `${text} is a MAC`);
  return bytes;
}

/** `02:00:HH:HH:HH:HH`: a locally administered MAC of its own for every `n` (0..2^32-1). */
export function numberedMac(n: number): string {
  return ['02', '00', ...long(n).map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}

export function word(value: number): number[] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

export function long(value: number): number[] {
  return [(value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

/** `length` bytes that differ from place to place. */
export function pattern(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >>> 8) * 7 + seed) & 0xff);
}

export function join(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function toBytes(payload: string | Uint8Array): Uint8Array {
  return typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
}

function padded(bytes: Uint8Array, unit: number): Uint8Array {
  return join(bytes, new Uint8Array((unit - (bytes.length % unit)) % unit));
}

function address(text: string): number[] {
  return ipaddr.parse(text).toByteArray();
}
