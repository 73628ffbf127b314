/**
 * Super-frames inside of VXLAN as weft hands them to a TAP, and whether what the kernel made of one is right: the bytes that went
 * in, in segments of the size that was asked for or still in one, all lengths and checksums true.
 */
import * as checksum from '../../wire/checksum.js';
import * as ethernet from '../../wire/ethernet.js';
import * as tcp from '../../wire/tcp.js';
import * as udp from '../../wire/udp.js';
import * as vnet from '../../wire/vnet-header.js';
import * as vxlan from '../../wire/vxlan.js';

const IP_BYTES = { 4: 20, 6: 40 } as const;
const TCP = 6;
const UDP = 17;
const TTL = 64;
/** With a timestamp option, as TCP mostly is. */
const TCP_BYTES = 32;
const TCP_FLAGS = 0x18;
const PUSH = 0x08;
const FIRST_SEQUENCE = 0xffff_f000;
const VNI = 0xabcdef;
/** Payload of one segment; twenty of them, and one that is shorter. */
const SEGMENT_BYTES = 1200;
const PAYLOAD_BYTES = 20 * SEGMENT_BYTES + 345;
/** That a super-frame stands for. */
export const SEGMENTS = 21;

/** Tells every byte from its neighbours and from the same byte of other segments. */
const CONTENT = Uint8Array.from({ length: PAYLOAD_BYTES }, (_, i) => (i * 7 + (i >> 8) * 31) & 0xff);

export type Family = 4 | 6;

export interface FrameShape {
  outer: Family;
  inner: Family;
  protocol: 'tcp' | 'udp';
  /** Of the outer datagrams. */
  hasChecksum: boolean;
  /** Of the outer packet, 4 or 16 bytes; those of the inner one are always the same. */
  source: Uint8Array;
  destination: Uint8Array;
}

/** A frame behind its vnet header. */
export interface RawFrame {
  view: DataView;
  /** Where it begins, behind the header. */
  at: number;
  length: number;
  /** Of the vnet header. */
  headerBytes: number;
}

/** Offsets from the start of the outer frame. */
function layoutOf({ outer, inner, protocol }: FrameShape) {
  const udpAt = ethernet.HEADER_BYTES + IP_BYTES[outer];
  const vxlanAt = udpAt + udp.HEADER_BYTES;
  const innerAt = vxlanAt + vxlan.HEADER_BYTES + ethernet.HEADER_BYTES;
  const l4At = innerAt + IP_BYTES[inner];
  const dataAt = l4At + (protocol === 'tcp' ? TCP_BYTES : udp.HEADER_BYTES);
  return { udpAt, vxlanAt, innerAt, l4At, dataAt };
}

/** Header of vnet.TUNNEL_HEADER_BYTES and the frame. */
export function buildSuperFrame(shape: FrameShape): Uint8Array {
  const { outer, inner, protocol, hasChecksum } = shape;
  const { udpAt, vxlanAt, innerAt, l4At, dataAt } = layoutOf(shape);
  const headerBytes = vnet.TUNNEL_HEADER_BYTES;
  const bytes = new Uint8Array(headerBytes + dataAt + PAYLOAD_BYTES);
  const view = new DataView(bytes.buffer, headerBytes);
  writeEthernet(view, 0, outer);
  writeIp(view, ethernet.HEADER_BYTES, outer, UDP, view.byteLength - udpAt, shape.source, shape.destination);
  writePorts(view, udpAt, vxlan.FIRST_SOURCE_PORT, vxlan.DEFAULT_PORT);
  udp.setLength(view, udpAt, view.byteLength - udpAt);
  if (hasChecksum)
    udp.setChecksum(view, udpAt, checksum.pseudoSum(view, ethernet.HEADER_BYTES, outer, UDP, view.byteLength - udpAt));
  vxlan.write(view, vxlanAt, VNI);
  writeEthernet(view, vxlanAt + vxlan.HEADER_BYTES, inner);
  const [source, destination] = innerAddresses(inner);
  writeIp(view, innerAt, inner, protocol === 'tcp' ? TCP : UDP, view.byteLength - l4At, source, destination);
  writePorts(view, l4At, 40_000, 5201);
  const pseudo = checksum.pseudoSum(view, innerAt, inner, protocol === 'tcp' ? TCP : UDP, view.byteLength - l4At);
  if (protocol === 'tcp') {
    tcp.setSequence(view, l4At, FIRST_SEQUENCE);
    view.setUint16(l4At + 12, ((TCP_BYTES / 4) << 12) | TCP_FLAGS);
    view.setUint32(l4At + 20, 0x0101_080a);
    tcp.setChecksum(view, l4At, pseudo);
  } else {
    udp.setLength(view, l4At, view.byteLength - l4At);
    udp.setChecksum(view, l4At, pseudo);
  }
  bytes.set(CONTENT, headerBytes + dataAt);
  writeOffload(new DataView(bytes.buffer), shape, dataAt);
  return bytes;
}

/** Joined datagrams as weft hands them to a TAP: a super-frame of UDP, behind a vnet header of `headerBytes`. */
export function buildJoined(
  headerBytes: number,
  family: Family,
  { source, destination }: Pick<FrameShape, 'source' | 'destination'>,
  payload: Uint8Array,
  segmentBytes: number,
): Uint8Array {
  const l3At = ethernet.HEADER_BYTES;
  const udpAt = l3At + IP_BYTES[family];
  const payloadAt = payloadOffset(family);
  const bytes = new Uint8Array(headerBytes + payloadAt + payload.length);
  const view = new DataView(bytes.buffer, headerBytes);
  writeEthernet(view, 0, family);
  writeIp(view, l3At, family, UDP, view.byteLength - udpAt, source, destination);
  writePorts(view, udpAt, vxlan.FIRST_SOURCE_PORT, vxlan.DEFAULT_PORT);
  udp.setLength(view, udpAt, view.byteLength - udpAt);
  udp.setChecksum(view, udpAt, checksum.pseudoSum(view, l3At, family, UDP, view.byteLength - udpAt));
  bytes.set(payload, headerBytes + payloadAt);
  const header = new DataView(bytes.buffer);
  vnet.writeSuperFrame(header, 0, vnet.GSO_UDP, payloadAt, segmentBytes, udpAt, udp.CHECKSUM_OFFSET);
  return bytes;
}

/** Whether a frame is UDP to the port of VXLAN. */
export function isTunnelPacket({ view, at, length }: RawFrame): boolean {
  const etherType = length < ethernet.HEADER_BYTES ? 0 : view.getUint16(at + 12);
  const family = etherType === ethernet.TYPE_IPV4 ? 4 : 6;
  if (family === 6 && etherType !== ethernet.TYPE_IPV6) return false;
  const udpAt = ethernet.HEADER_BYTES + IP_BYTES[family];
  const protocol = view.getUint8(at + ethernet.HEADER_BYTES + (family === 4 ? 9 : 6));
  return (
    length >= udpAt + udp.HEADER_BYTES && protocol === UDP && view.getUint16(at + udpAt + 2) === vxlan.DEFAULT_PORT
  );
}

/** Where the payload of a frame with a datagram begins, counted from its start. */
export function payloadOffset(family: Family): number {
  return ethernet.HEADER_BYTES + IP_BYTES[family] + udp.HEADER_BYTES;
}

/** null when IP and UDP of a frame are as they have to be, the checksum finished or as promised; else what is wrong. */
export function findHeaderDamage(frame: RawFrame, family: Family): string | null {
  const view = new DataView(frame.view.buffer, frame.view.byteOffset + frame.at, frame.length);
  const header = new DataView(frame.view.buffer, frame.view.byteOffset + frame.at - frame.headerBytes);
  const udpAt = ethernet.HEADER_BYTES + IP_BYTES[family];
  const bytes = view.byteLength - udpAt;
  if (!hasIp(view, ethernet.HEADER_BYTES, family, bytes)) return 'the IP header is wrong';
  if (view.getUint16(udpAt + 4) !== bytes) return 'the length of UDP is wrong';
  const isPartial = (vnet.flags(header, 0) & vnet.FLAG_NEEDS_CHECKSUM) !== 0;
  const isRight = isPartial
    ? vnet.checksumStart(header, 0) === udpAt &&
      udp.checksum(view, udpAt) === checksum.pseudoSum(view, ethernet.HEADER_BYTES, family, UDP, bytes)
    : hasOuterChecksum(view, udpAt, family, true);
  return isRight ? null : 'the checksum is wrong';
}

/** Size of the datagrams that a frame stands for; 0 = it is one. */
export function segmentBytesOf({ view, at, headerBytes }: RawFrame): number {
  const header = new DataView(view.buffer, view.byteOffset + at - headerBytes);
  return vnet.gsoType(header, 0) === vnet.GSO_UDP ? vnet.gsoSize(header, 0) : 0;
}

/** null when the frames are what the super-frame of that shape may have become; else what is wrong with them. */
export function findDamage(shape: FrameShape, frames: readonly RawFrame[]): string | null {
  const template = new DataView(buildSuperFrame(shape).buffer, vnet.TUNNEL_HEADER_BYTES);
  const { dataAt } = layoutOf(shape);
  let expected = 0;
  for (const frame of frames) {
    const damage = findFrameDamage(shape, frame, template, expected);
    if (damage !== null) return `at byte ${expected} of the payload: ${damage}`;
    expected += frame.length - dataAt;
  }
  return expected === PAYLOAD_BYTES ? null : `${expected} of ${PAYLOAD_BYTES} bytes came out`;
}

function findFrameDamage(shape: FrameShape, frame: RawFrame, template: DataView, expected: number): string | null {
  const { outer, inner, protocol, hasChecksum } = shape;
  const { udpAt, vxlanAt, innerAt, l4At, dataAt } = layoutOf(shape);
  const view = new DataView(frame.view.buffer, frame.view.byteOffset + frame.at, frame.length);
  if (frame.length <= dataAt) return `a frame of ${frame.length} bytes`;
  const bytes = frame.length - dataAt;
  const isLast = expected + bytes === PAYLOAD_BYTES;
  const header = new DataView(frame.view.buffer, frame.view.byteOffset + frame.at - frame.headerBytes);
  const isWhole = vnet.gsoType(header, 0) !== vnet.GSO_NONE;
  if (isWhole && !isSameOffload(header, template)) return 'another vnet header than went in';
  if (!isWhole && bytes !== SEGMENT_BYTES && !isLast) return `a segment of ${bytes} bytes`;
  if (!hasIp(view, ethernet.HEADER_BYTES, outer, view.byteLength - udpAt)) return 'the outer IP header';
  if (!hasAddresses(view, template, ethernet.HEADER_BYTES, outer)) return 'the outer addresses';
  if (view.getUint16(udpAt + 4) !== view.byteLength - udpAt) return 'the length of the outer datagram';
  if (!isWhole && !hasOuterChecksum(view, udpAt, outer, hasChecksum)) return 'the outer checksum';
  if (!isSame(view, template, udpAt, udpAt + 4)) return 'the outer UDP ports';
  if (!isSame(view, template, vxlanAt, innerAt)) return 'the VXLAN header';
  if (!hasIp(view, innerAt, inner, view.byteLength - l4At)) return 'the inner IP header';
  if (!hasAddresses(view, template, innerAt, inner)) return 'the inner addresses';
  if (!isSame(view, template, l4At, l4At + 4)) return 'the inner ports';
  if (protocol === 'tcp' && !hasTcp(view, l4At, expected, isLast)) return 'the TCP header';
  if (protocol === 'udp' && view.getUint16(l4At + 4) !== view.byteLength - l4At)
    return 'the length of the inner datagram';
  if (!isWhole && !hasInnerChecksum(header, view, shape)) return 'the inner checksum';
  const payload = Buffer.from(view.buffer, view.byteOffset + dataAt, bytes);
  return payload.equals(CONTENT.subarray(expected, expected + bytes)) ? null : 'the payload';
}

function isSameOffload(header: DataView, template: DataView): boolean {
  const before = new DataView(template.buffer, template.byteOffset - vnet.TUNNEL_HEADER_BYTES);
  return (
    vnet.gsoType(header, 0) === vnet.gsoType(before, 0) &&
    (vnet.flags(header, 0) & ~2) === vnet.flags(before, 0) &&
    vnet.gsoSize(header, 0) === vnet.gsoSize(before, 0) &&
    vnet.checksumStart(header, 0) === vnet.checksumStart(before, 0) &&
    vnet.checksumOffset(header, 0) === vnet.checksumOffset(before, 0) &&
    vnet.outerUdpOffset(header, 0) === vnet.outerUdpOffset(before, 0) &&
    vnet.innerL3Offset(header, 0) === vnet.innerL3Offset(before, 0)
  );
}

function hasIp(view: DataView, at: number, family: Family, payloadBytes: number): boolean {
  if (family === 6) return view.getUint8(at) >> 4 === 6 && view.getUint16(at + 4) === payloadBytes;
  const length = payloadBytes + IP_BYTES[4];
  return (
    view.getUint8(at) === 0x45 && view.getUint16(at + 2) === length && checksum.sum(view, at, IP_BYTES[4], 0) === 0xffff
  );
}

/** And protocol. */
function hasAddresses(view: DataView, template: DataView, at: number, family: Family): boolean {
  const protocolAt = at + (family === 4 ? 9 : 6);
  const addressesAt = at + (family === 4 ? 12 : 8);
  return (
    isSame(view, template, protocolAt, protocolAt + 1) && isSame(view, template, addressesAt, at + IP_BYTES[family])
  );
}

function hasTcp(view: DataView, at: number, expected: number, isLast: boolean): boolean {
  const sequence = (FIRST_SEQUENCE + expected) >>> 0;
  const flags = isLast ? TCP_FLAGS : TCP_FLAGS & ~PUSH;
  return tcp.sequence(view, at) >>> 0 === sequence && (tcp.flags(view, at) & 0xff) === flags;
}

function hasOuterChecksum(view: DataView, udpAt: number, outer: Family, hasChecksum: boolean): boolean {
  if (!hasChecksum) return udp.checksum(view, udpAt) === 0;
  const bytes = view.byteLength - udpAt;
  const pseudo = checksum.pseudoSum(view, ethernet.HEADER_BYTES, outer, UDP, bytes);
  return udp.checksum(view, udpAt) !== 0 && checksum.sum(view, udpAt, bytes, pseudo) === 0xffff;
}

function hasInnerChecksum(header: DataView, view: DataView, shape: FrameShape): boolean {
  const { innerAt, l4At } = layoutOf(shape);
  const number = shape.protocol === 'tcp' ? TCP : UDP;
  const bytes = view.byteLength - l4At;
  const pseudo = checksum.pseudoSum(view, innerAt, shape.inner, number, bytes);
  if ((vnet.flags(header, 0) & vnet.FLAG_NEEDS_CHECKSUM) === 0)
    return checksum.sum(view, l4At, bytes, pseudo) === 0xffff;
  const field = l4At + (number === TCP ? 16 : udp.CHECKSUM_OFFSET);
  return vnet.checksumStart(header, 0) === l4At && view.getUint16(field) === pseudo;
}

function isSame(a: DataView, b: DataView, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (a.getUint8(at) !== b.getUint8(at)) return false;
  return true;
}

function writeOffload(view: DataView, shape: FrameShape, dataAt: number): void {
  const { outer, inner, protocol, hasChecksum } = shape;
  const { udpAt, innerAt, l4At } = layoutOf(shape);
  const tcpType = inner === 4 ? vnet.GSO_TCP4 : vnet.GSO_TCP6;
  view.setUint8(0, vnet.FLAG_NEEDS_CHECKSUM);
  view.setUint8(1, protocol === 'tcp' ? tcpType : vnet.GSO_UDP);
  view.setUint16(2, dataAt, true);
  view.setUint16(4, SEGMENT_BYTES, true);
  view.setUint16(6, l4At, true);
  view.setUint16(8, protocol === 'tcp' ? 16 : udp.CHECKSUM_OFFSET, true);
  vnet.writeTunnel(view, 0, outer === 4 ? vnet.GSO_TUNNEL_IPV4 : vnet.GSO_TUNNEL_IPV6, hasChecksum, udpAt, innerAt);
}

/** To RIG_MAC of offload-rig.ts, which the kernel takes for its own. */
function writeEthernet(view: DataView, at: number, family: Family): void {
  view.setUint16(at, 0x0200);
  view.setUint32(at + 2, 2);
  view.setUint16(at + 6, 0x0200);
  view.setUint32(at + 8, 1);
  view.setUint16(at + 12, family === 4 ? 0x0800 : 0x86dd);
}

function writeIp(
  view: DataView,
  at: number,
  family: Family,
  protocol: number,
  payloadBytes: number,
  source: Uint8Array,
  destination: Uint8Array,
): void {
  const bytes = new Uint8Array(view.buffer, view.byteOffset);
  if (family === 6) {
    view.setUint32(at, 0x6000_0000);
    view.setUint16(at + 4, payloadBytes);
    view.setUint8(at + 6, protocol);
    view.setUint8(at + 7, TTL);
    bytes.set(source, at + 8);
    bytes.set(destination, at + 24);
    return;
  }
  view.setUint16(at, 0x4500);
  view.setUint16(at + 2, payloadBytes + IP_BYTES[4]);
  view.setUint16(at + 6, 0x4000);
  view.setUint8(at + 8, TTL);
  view.setUint8(at + 9, protocol);
  bytes.set(source, at + 12);
  bytes.set(destination, at + 16);
  view.setUint16(at + 10, checksum.finish(checksum.sum(view, at, IP_BYTES[4], 0)));
}

function writePorts(view: DataView, at: number, source: number, destination: number): void {
  view.setUint16(at, source);
  view.setUint16(at + 2, destination);
}

function innerAddresses(family: Family): [Uint8Array, Uint8Array] {
  const prefix = family === 4 ? [10, 90, 0] : [0xfd, 0x77, ...Array(13).fill(0)];
  return [Uint8Array.of(...prefix, 1), Uint8Array.of(...prefix, 2)];
}
