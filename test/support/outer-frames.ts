/**
 * Encapsulated frames as the other end of a tunnel sees them: what a kernel makes of a write to a TAP or a socket (checksums finished,
 * super-frames cut, joined datagrams taken apart), and a parser that takes nothing on trust. Shares no code with src.
 */
import { strict as assert } from 'node:assert';
import ipaddr from 'ipaddr.js';
import { join, long, referenceSum, type TestFrame, word } from './frame-builders.js';

export interface OuterFrame {
  from: string;
  to: string;
  fromMac: string;
  toMac: string;
  trafficClass: number;
  /** 0 over IPv4. */
  flowLabel: number;
  sourcePort: number;
  destinationPort: number;
  /** Whether the UDP header has a checksum; if so it was right. */
  hasChecksum: boolean;
  vni: number;
  inner: Uint8Array;
}

const FLAG_NEEDS_CHECKSUM = 1;
const FLAG_TUNNEL_CHECKSUM = 8;
const TUNNEL_BITS = 0x60;
const GSO_ECN = 0x80;
const GSO_UDP = 5;
const TCP = 6;

/** Everything that a device does to a write before it is on the wire. */
export function onTheWire(frame: TestFrame): Uint8Array[] {
  const { bytes, vnet } = frame;
  if (vnet === null) return [bytes];
  assert.equal(vnet.flags & FLAG_NEEDS_CHECKSUM, FLAG_NEEDS_CHECKSUM, 'what asks for something asks for a checksum');
  if (vnet.gsoType === GSO_UDP) return datagramsOfSuperFrame(frame);
  if (vnet.gsoType !== 0) return segmentsOfTunnel(frame);
  const { checksumStart, checksumOffset } = vnet;
  const done = bytes.slice();
  done.set(word(nonZero(~referenceSum(bytes.subarray(checksumStart)) & 0xffff)), checksumStart + checksumOffset);
  return [done];
}

/** A joined message as the datagrams that leave. */
export function datagramsOf({ bytes, peer }: TestFrame): Uint8Array[] {
  const size = peer?.segmentBytes ?? 0;
  if (size === 0) return [bytes];
  assert.ok(bytes.length > size, 'a joined message holds more than one datagram');
  const count = Math.ceil(bytes.length / size);
  assert.ok(count <= 64, 'a message holds at most 64 datagrams');
  return Array.from({ length: count }, (_, n) => bytes.slice(n * size, (n + 1) * size));
}

/** As the kernel cuts a super-frame of UDP that is one itself: `__udp_gso_segment`. Every datagram gets a checksum. */
function datagramsOfSuperFrame({ bytes, vnet }: TestFrame): Uint8Array[] {
  const { gsoSize, checksumStart: udpAt, checksumOffset, headerLength } = vnet!;
  const isIpv4 = bytes[12] === 8;
  const l3At = 14;
  assert.deepEqual([udpAt, checksumOffset, headerLength], [l3At + (isIpv4 ? 20 : 40), 6, udpAt + 8], 'plain headers');
  checkOuterLengths(bytes, l3At, udpAt, isIpv4);
  assert.equal(wordAt(bytes, udpAt + 6), pseudoSum(bytes, l3At, isIpv4, bytes.length - udpAt, 17));
  const payload = bytes.subarray(udpAt + 8);
  const count = Math.ceil(payload.length / gsoSize);
  assert.ok(count > 1 && count <= 64, 'a super-frame holds 2 to 64 datagrams');
  return Array.from({ length: count }, (_, n) => {
    const datagram = join(bytes.subarray(0, udpAt + 8), payload.subarray(n * gsoSize, (n + 1) * gsoSize));
    setLengths(datagram, l3At, isIpv4);
    datagram.set(word(datagram.length - udpAt), udpAt + 4);
    datagram.set([0, 0], udpAt + 6);
    const sum = pseudoSum(datagram, l3At, isIpv4, datagram.length - udpAt, 17);
    const total = referenceSum(join(word(sum), datagram.subarray(udpAt)));
    datagram.set(word(nonZero(~total & 0xffff)), udpAt + 6);
    return datagram;
  });
}

/** As the kernel cuts a super-frame inside of VXLAN: `skb_udp_tunnel_segment` around `tcp_gso_segment`. */
function segmentsOfTunnel({ bytes, vnet }: TestFrame): Uint8Array[] {
  const { gsoType, gsoSize, checksumStart: l4At, outerTransport: udpAt, innerNetwork: l3At, flags } = vnet!;
  assert.ok(udpAt !== undefined && l3At !== undefined, 'a super-frame leaves through a TAP with tunnel offload');
  const isOuterIpv4 = (gsoType & TUNNEL_BITS) === 0x20;
  assert.ok(isOuterIpv4 || (gsoType & TUNNEL_BITS) === 0x40, 'one family of the outer packet');
  const outerL3At = udpAt - (isOuterIpv4 ? 20 : 40);
  const isIpv4 = bytes[l3At]! >> 4 === 4;
  const protocol = isIpv4 ? bytes[l3At + 9]! : transportOf(bytes, l3At, l4At);
  assert.equal(
    gsoType & ~(TUNNEL_BITS | GSO_ECN),
    protocol === TCP ? (isIpv4 ? 1 : 4) : 5,
    'the type says what is inside',
  );
  const headerBytes = protocol === TCP ? (bytes[l4At + 12]! >> 4) * 4 : 8;
  const payloadAt = l4At + headerBytes;
  const count = Math.ceil((bytes.length - payloadAt) / gsoSize);
  assert.ok(count > 1, 'a super-frame is more than one segment');
  checkOuterLengths(bytes, outerL3At, udpAt, isOuterIpv4);
  if ((flags & FLAG_TUNNEL_CHECKSUM) === 0) assert.deepEqual([...bytes.slice(udpAt + 6, udpAt + 8)], [0, 0]);
  else assert.equal(wordAt(bytes, udpAt + 6), pseudoSum(bytes, outerL3At, isOuterIpv4, bytes.length - udpAt, 17));
  return Array.from({ length: count }, (_, n) => {
    const payload = bytes.subarray(payloadAt + n * gsoSize, payloadAt + (n + 1) * gsoSize);
    const segment = join(bytes.subarray(0, payloadAt), payload);
    finishInner(segment, bytes, { l3At, l4At, headerBytes, isIpv4, protocol, n, count, gsoSize });
    setLengths(segment, outerL3At, isOuterIpv4);
    segment.set(word(segment.length - udpAt), udpAt + 4);
    segment.set([0, 0], udpAt + 6);
    if ((flags & FLAG_TUNNEL_CHECKSUM) !== 0) {
      const sum = pseudoSum(segment, outerL3At, isOuterIpv4, segment.length - udpAt, 17);
      const total = referenceSum(join(word(sum), segment.subarray(udpAt)));
      segment.set(word(nonZero(~total & 0xffff)), udpAt + 6);
    }
    return segment;
  });
}

interface InnerPlace {
  l3At: number;
  l4At: number;
  headerBytes: number;
  isIpv4: boolean;
  protocol: number;
  n: number;
  count: number;
  gsoSize: number;
}

function finishInner(segment: Uint8Array, whole: Uint8Array, place: InnerPlace): void {
  const { l3At, l4At, isIpv4, protocol, n, count, gsoSize } = place;
  if (isIpv4) segment.set(word((wordAt(whole, l3At + 4) + n) & 0xffff), l3At + 4);
  setLengths(segment, l3At, isIpv4);
  const bytes = segment.length - l4At;
  if (protocol === TCP) {
    const sequence = new DataView(whole.buffer, whole.byteOffset).getUint32(l4At + 4);
    segment.set(long((sequence + n * gsoSize) >>> 0), l4At + 4);
    const kept = ~(n > 0 ? 0x80 : 0) & ~(n < count - 1 ? 0x09 : 0);
    segment[l4At + 13] = whole[l4At + 13]! & kept;
  } else {
    segment.set(word(bytes), l4At + 4);
  }
  const field = l4At + (protocol === TCP ? 16 : 6);
  segment.set([0, 0], field);
  const pseudo = pseudoSum(segment, l3At, isIpv4, bytes, protocol);
  const checksum = ~referenceSum(join(word(pseudo), segment.subarray(l4At))) & 0xffff;
  segment.set(word(protocol === TCP ? checksum : nonZero(checksum)), field);
}

/** Behind extension headers. */
function transportOf(bytes: Uint8Array, l3At: number, l4At: number): number {
  let next = bytes[l3At + 6]!;
  for (let at = l3At + 40; at < l4At; ) {
    next = bytes[at]!;
    at += (bytes[at + 1]! + 1) * 8;
  }
  return next;
}

function setLengths(bytes: Uint8Array, l3At: number, isIpv4: boolean): void {
  if (!isIpv4) {
    bytes.set(word(bytes.length - l3At - 40), l3At + 4);
    return;
  }
  const headerBytes = (bytes[l3At]! & 15) * 4;
  bytes.set(word(bytes.length - l3At), l3At + 2);
  bytes.set([0, 0], l3At + 10);
  bytes.set(word(~referenceSum(bytes.subarray(l3At, l3At + headerBytes)) & 0xffff), l3At + 10);
}

function pseudoSum(bytes: Uint8Array, l3At: number, isIpv4: boolean, length: number, protocol: number): number {
  const addresses = isIpv4 ? bytes.subarray(l3At + 12, l3At + 20) : bytes.subarray(l3At + 8, l3At + 40);
  return referenceSum(join(addresses, long(length), word(protocol)));
}

function checkOuterLengths(bytes: Uint8Array, l3At: number, udpAt: number, isIpv4: boolean): void {
  if (isIpv4) {
    assert.equal(wordAt(bytes, l3At + 2), bytes.length - l3At, 'total length');
    assert.equal(referenceSum(bytes.subarray(l3At, l3At + 20)), 0xffff, 'checksum of the outer IPv4 header');
  } else assert.equal(wordAt(bytes, l3At + 4), bytes.length - l3At - 40, 'payload length');
  assert.equal(wordAt(bytes, udpAt + 4), bytes.length - udpAt, 'UDP length');
}

/** Reads a whole outer frame; fails when anything in it is not as RFC 7348 and the RFCs below it want it. */
export function readOuter(bytes: Uint8Array): OuterFrame {
  const type = wordAt(bytes, 12);
  assert.ok(type === 0x0800 || type === 0x86dd, 'the outer frame is untagged IP');
  const isIpv4 = type === 0x0800;
  const l3At = 14;
  const udpAt = l3At + (isIpv4 ? 20 : 40);
  checkOuterLengths(bytes, l3At, udpAt, isIpv4);
  const first = new DataView(bytes.buffer, bytes.byteOffset).getUint32(l3At);
  const hops = isIpv4 ? bytes[l3At + 8] : bytes[l3At + 7];
  assert.equal(hops, 64, 'hop limit');
  assert.equal(isIpv4 ? bytes[l3At + 9] : bytes[l3At + 6], 17, 'UDP');
  if (isIpv4) assert.equal(first >>> 24, 0x45, 'no options');
  if (isIpv4) assert.equal(wordAt(bytes, l3At + 6), 0x4000, 'not to be fragmented');
  const hasChecksum = wordAt(bytes, udpAt + 6) !== 0;
  if (hasChecksum) {
    const pseudo = pseudoSum(bytes, l3At, isIpv4, bytes.length - udpAt, 17);
    assert.equal(referenceSum(join(word(pseudo), bytes.subarray(udpAt))), 0xffff, 'outer UDP checksum');
  }
  const size = isIpv4 ? 4 : 16;
  const addressAt = l3At + (isIpv4 ? 12 : 8);
  return {
    toMac: macText(bytes.subarray(0, 6)),
    fromMac: macText(bytes.subarray(6, 12)),
    from: addressText(bytes.subarray(addressAt, addressAt + size)),
    to: addressText(bytes.subarray(addressAt + size, addressAt + 2 * size)),
    trafficClass: isIpv4 ? (first >>> 16) & 0xff : (first >>> 20) & 0xff,
    flowLabel: isIpv4 ? 0 : first & 0xfffff,
    sourcePort: wordAt(bytes, udpAt),
    destinationPort: wordAt(bytes, udpAt + 2),
    hasChecksum,
    ...readVxlan(bytes.subarray(udpAt + 8)),
  };
}

/** Reads the payload of a datagram: RFC 7348 section 5, reserved bits zero. */
export function readVxlan(payload: Uint8Array): { vni: number; inner: Uint8Array } {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  assert.equal(view.getUint32(0), 0x08000000, 'the I flag and nothing else');
  assert.equal(view.getUint8(7), 0, 'reserved');
  return { vni: view.getUint32(4) >>> 8, inner: payload.slice(8) };
}

function addressText(bytes: Uint8Array): string {
  return ipaddr.fromByteArray([...bytes]).toString();
}

function macText(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 256 + bytes[at + 1]!;
}

function nonZero(checksum: number): number {
  return checksum === 0 ? 0xffff : checksum;
}
