/**
 * Segmentation of super-frames in TypeScript, for ports that cannot take one whole (a TAP without offloads, a raw socket).
 *
 * It does what the kernel does with the same super-frame (net/ipv4/tcp_offload.c tcp_gso_segment, udp_offload.c
 * __udp_gso_segment, af_inet.c inet_gso_segment, ip6_offload.c ipv6_gso_segment):
 *   - every segment carries a copy of all headers, `gsoSize` bytes of payload, the last one the rest;
 *   - IPv4: total length and a counting identification; IPv6: payload length;
 *   - TCP: the sequence number advances, FIN and PSH stay on the last segment, CWR on the first;
 *   - UDP: the length; every checksum is complete.
 * Only headers are written (to scratch memory); payload stays where it arrived.
 *
 * Heads up: the partial checksum of a super-frame covers its pseudo-header with the length of the WHOLE frame, so each
 * segment's sum replaces that length by its own (RFC 1071 section 2: sums can be added and taken apart).
 */
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as tcp from '../wire/tcp.js';
import * as udp from '../wire/udp.js';
import * as vnet from '../wire/vnet-header.js';
import type { FrameVector } from './frame-vector.js';

/** Headers longer than this on a super-frame are refused: L3 with extension headers and L4 with options. */
export const MAX_SEGMENT_HEADER_BYTES = 1024;

/**
 * A super-frame that would become more than this is refused, so that one frame cannot keep the datapath busy for long. Linux
 * stays below: it sends no TCP segments of less than 48 bytes with their options (net.ipv4.tcp_min_snd_mss), and at most 128
 * datagrams at once (UDP_MAX_SEGMENTS).
 */
export const MAX_SEGMENTS = 2048;

/** What one super-frame is cut into; filled by `planSegments`, one instance per datapath. */
export class SegmentPlan {
  /** Header bytes from the L3 header up to the payload. */
  headerBytes = 0;
  /** Offset of the L4 header from the L3 header. */
  l4Offset = 0;
  payloadAt = 0;
  payloadBytes = 0;
  segmentBytes = 0;
  count = 0;
  isTcp = false;
  isIpv4 = false;
  /** Folded pseudo-header sum of the super-frame without its length. */
  pseudoSum = 0;
  /** Folded sums of the IPv4 header and of the transport header without the fields that differ from segment to segment. */
  l3Sum = 0;
  l4Sum = 0;
}

/** Works out how row `i` is cut. False when its headers are not what its GSO type says; then nothing may be written. */
export function planSegments(frames: FrameVector, i: number, view: DataView, plan: SegmentPlan): boolean {
  const end = frames.start[i]! + frames.length[i]!;
  const l3At = frames.l3At[i]!;
  const l4At = frames.start[i]! + frames.checksumStart[i]!;
  const protocol = transportOf(frames, i, view, l3At, l4At, end);
  const type = frames.gsoType[i]!;
  plan.isTcp = type !== vnet.GSO_UDP;
  plan.isIpv4 = frames.etherType[i] === ethernet.TYPE_IPV4;
  if (protocol !== (plan.isTcp ? ipv4.PROTOCOL_TCP : ipv4.PROTOCOL_UDP)) return false;
  if (plan.isTcp && plan.isIpv4 !== (type === vnet.GSO_TCP4)) return false;
  plan.l4Offset = l4At - l3At;
  plan.headerBytes = plan.l4Offset + (plan.isTcp ? tcp.headerBytes(view, l4At) : udp.HEADER_BYTES);
  plan.payloadAt = l3At + plan.headerBytes;
  plan.payloadBytes = end - plan.payloadAt;
  plan.segmentBytes = frames.gsoSize[i]!;
  if (plan.headerBytes > MAX_SEGMENT_HEADER_BYTES || plan.payloadBytes <= 0) return false;
  plan.count = Math.ceil(plan.payloadBytes / plan.segmentBytes);
  if (plan.count > MAX_SEGMENTS) return false;
  const partial = plan.isTcp ? tcp.checksum(view, l4At) : udp.checksum(view, l4At);
  const l4Bytes = end - l4At;
  plan.pseudoSum = checksum.fold(partial + (~l4Bytes & 0xffff));
  if (plan.isIpv4) plan.l3Sum = sumOfIpv4(view, l3At);
  plan.l4Sum = plan.isTcp ? sumOfTcp(view, l4At) : checksum.sum(view, l4At, 4, 0);
  return true;
}

/** All but length, identification and checksum. A header of zeros only cannot be, so a sum is never the other zero. */
function sumOfIpv4(view: DataView, at: number): number {
  const all = checksum.sum(view, at, ipv4.headerBytes(view, at), 0);
  const length = ~ipv4.totalLength(view, at) & 0xffff;
  const identification = ~ipv4.identification(view, at) & 0xffff;
  return checksum.fold(all + length + identification + (~ipv4.checksumOf(view, at) & 0xffff));
}

/** All but sequence number, flags and checksum. */
function sumOfTcp(view: DataView, at: number): number {
  const all = checksum.sum(view, at, tcp.headerBytes(view, at), 0);
  const sequence = tcp.sequence(view, at);
  const unlike = (~sequence >>> 16) + (~sequence & 0xffff) + (~view.getUint16(at + 12) & 0xffff);
  return checksum.fold(all + unlike + (~tcp.checksum(view, at) & 0xffff));
}

/** Protocol of the header at `l4At`, or -1 when the L3 header does not lead there. */
function transportOf(frames: FrameVector, i: number, view: DataView, l3At: number, l4At: number, end: number): number {
  if (frames.etherType[i] === ethernet.TYPE_IPV4) {
    if (!ipv4.check(view, l3At, end - l3At) || l3At + ipv4.headerBytes(view, l3At) !== l4At) return -1;
    return ipv4.protocol(view, l3At);
  }
  if (frames.etherType[i] !== ethernet.TYPE_IPV6 || !ipv6.check(view, l3At, end - l3At)) return -1;
  return ipv6.protocolAt(view, l3At, l4At, end);
}

/** Payload bytes of segment `n`. */
export function payloadBytesOf(plan: SegmentPlan, n: number): number {
  return Math.min(plan.segmentBytes, plan.payloadBytes - n * plan.segmentBytes);
}

/**
 * Writes L3 and L4 header of segment `n` to `at` (the caller has made room for `plan.headerBytes`), copied from `l3At`.
 * `payloadSum`: folded sum of its payload, so that the checksum is complete.
 */
export function writeSegmentHeader(
  view: DataView,
  bytes: Uint8Array,
  plan: SegmentPlan,
  l3At: number,
  n: number,
  at: number,
  payloadSum: number,
): void {
  bytes.copyWithin(at, l3At, l3At + plan.headerBytes);
  finishSegmentHeader(view, plan, l3At, n, at, payloadSum);
}

/** The same where the headers were copied to `at` already. */
export function finishSegmentHeader(
  view: DataView,
  plan: SegmentPlan,
  l3At: number,
  n: number,
  at: number,
  payloadSum: number,
): void {
  const payload = payloadBytesOf(plan, n);
  const packetBytes = plan.headerBytes + payload;
  if (plan.isIpv4) {
    const identification = (ipv4.identification(view, l3At) + n) & 0xffff;
    ipv4.setTotalLength(view, at, packetBytes);
    ipv4.setIdentification(view, at, identification);
    ipv4.setChecksum(view, at, checksum.finish(checksum.fold(plan.l3Sum + packetBytes + identification)));
  } else {
    ipv6.setPayloadLength(view, at, packetBytes - ipv6.HEADER_BYTES);
  }
  const l4At = at + plan.l4Offset;
  const l4Bytes = plan.headerBytes - plan.l4Offset + payload;
  const total = plan.l4Sum + plan.pseudoSum + l4Bytes + payloadSum;
  if (plan.isTcp) {
    const sequence = (tcp.sequence(view, l4At) + Math.imul(n, plan.segmentBytes)) | 0;
    tcp.setSequence(view, l4At, sequence);
    tcp.setFlags(view, l4At, segmentFlags(tcp.flags(view, l4At), n, plan.count));
    const unlike = (sequence >>> 16) + (sequence & 0xffff) + view.getUint16(l4At + 12);
    tcp.setChecksum(view, l4At, checksum.finish(checksum.fold(total + unlike)));
  } else {
    udp.setLength(view, l4At, l4Bytes);
    udp.setChecksum(view, l4At, checksum.finishUdp(checksum.fold(total + l4Bytes)));
  }
}

function segmentFlags(flags: number, n: number, count: number): number {
  if (n > 0) flags &= ~tcp.FLAG_CWR;
  if (n < count - 1) flags &= ~(tcp.FLAG_FIN | tcp.FLAG_PUSH);
  return flags;
}
