/**
 * Shows datagrams for a VTEP to captures of its port, one by one and before anything in them is changed. What comes from a socket has lost
 * its headers: they are written anew from what is known of them, without MACs.
 */
import { COMPLETE } from '../frames/frame-vector.js';
import { finishOuterChecksum } from '../frames/outer-checksum.js';
import { SCRATCH_AT, type Slab } from '../frames/slab.js';
import * as unfinished from '../frames/unfinished.js';
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as udp from '../wire/udp.js';
import * as vnet from '../wire/vnet-header.js';
import * as vxlan from '../wire/vxlan.js';
import { ARRIVAL, type FrameTap, NOT_DROPPED } from './frame-tap.js';
import type { OuterFrame } from './outer-frame.js';
import { setOuterPayload } from './outer-head.js';
import { CAPTURE_ARRIVALS, CAPTURE_DROPS, type Program, VTEP } from './program.js';

/** Of headers that nobody has seen. */
const TTL = 64;

export class OuterRecorder {
  private readonly slab: Slab;
  private readonly tap: FrameTap;

  constructor(slab: Slab, tap: FrameTap) {
    this.slab = slab;
    this.tap = tap;
  }

  /**
   * A frame as it lies in the slab behind its vnet header, with its outer UDP header at `udpAt`. `reason`: why it is dropped, or
   * NOT_DROPPED.
   */
  frame(program: Program, at: number, length: number, udpAt: number, port: number, reason: number): void {
    if (!isWanted(program, port, reason)) return;
    const { view } = this.slab;
    const header = at - vnet.HEADER_BYTES;
    const isPartial = (vnet.flags(view, header) & vnet.FLAG_NEEDS_CHECKSUM) !== 0;
    const start = isPartial ? vnet.checksumStart(view, header) : COMPLETE;
    const offset = vnet.checksumOffset(view, header);
    const hasOuter = isPartial && (vnet.flags(view, header) & vnet.FLAG_TUNNEL_CHECKSUM) !== 0;
    // Nobody looks at that checksum any more. Where the header says what cannot be, it stays as it is.
    if (hasOuter && at + start > udpAt && start + offset + 2 <= length) {
      finishOuterChecksum(view, udpAt, at + start, at + start, at + start, at + start + offset);
    }
    this.tap.record(at, length, port, ARRIVAL, reason, start, offset, program.captureSnaplen);
  }

  /** The payload of a datagram from a socket; `vtepAt`: the row of `vteps` that it was sent to. */
  datagram(
    program: Program,
    vtepAt: number,
    outer: OuterFrame,
    at: number,
    bytes: number,
    port: number,
    reason: number,
  ): void {
    if (!isWanted(program, port, reason)) return;
    const { view } = this.slab;
    const headBytes = this.writeHead(program.vteps, vtepAt, outer, bytes);
    const udpAt = SCRATCH_AT + headBytes - udp.HEADER_BYTES;
    let start = udpAt - SCRATCH_AT;
    let field = udp.CHECKSUM_OFFSET;
    const innerAt = at + vxlan.HEADER_BYTES;
    const found = vxlan.check(bytes) ? unfinished.find(view, innerAt, bytes - vxlan.HEADER_BYTES) : -1;
    if (found >= 0) {
      // Of two that are left to be finished, the outer one can be known already.
      const innerStart = innerAt + unfinished.headerOffset(found);
      field = unfinished.fieldOffset(found);
      start = headBytes + innerStart - at;
      finishOuterChecksum(view, udpAt, SCRATCH_AT + headBytes, at, innerStart, innerStart + field);
    }
    this.tap.recordSplit(SCRATCH_AT, headBytes, at, bytes, port, ARRIVAL, reason, start, field, program.captureSnaplen);
  }

  /** Keeps the `headBytes` in front of joined datagrams that came in one frame at `at`, before those are moved there. For `piece`. */
  keepHead(program: Program, at: number, headBytes: number, port: number): void {
    if (program.captureSnaplen === 0 || program.portCapture[port] === 0) return;
    this.slab.bytes.copyWithin(SCRATCH_AT, at, at + headBytes);
  }

  /** One of joined datagrams, with its payload at `at`, behind the `headBytes` that were kept. */
  piece(program: Program, headBytes: number, at: number, bytes: number, port: number, reason: number): void {
    if (!isWanted(program, port, reason)) return;
    const udpAt = SCRATCH_AT + headBytes - udp.HEADER_BYTES;
    setOuterPayload(this.slab.view, SCRATCH_AT, udpAt, bytes);
    const start = udpAt - SCRATCH_AT;
    const field = udp.CHECKSUM_OFFSET;
    this.tap.recordSplit(SCRATCH_AT, headBytes, at, bytes, port, ARRIVAL, reason, start, field, program.captureSnaplen);
  }

  /** Writes the headers in front of `bytes` of payload into scratch memory, which nobody uses while frames come in. */
  private writeHead(vteps: Int32Array, vtepAt: number, outer: OuterFrame, bytes: number): number {
    const { view } = this.slab;
    const { source, family, trafficClass } = outer;
    const to = vtepAt + VTEP.address;
    const isIpv4 = family === 4;
    const udpBytes = udp.HEADER_BYTES + bytes;
    const l3At = SCRATCH_AT + ethernet.HEADER_BYTES;
    const l4At = l3At + (isIpv4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES);
    ethernet.write(view, SCRATCH_AT, 0, 0, 0, 0, isIpv4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6);
    if (isIpv4) {
      ipv4.write(view, l3At, l4At - l3At + udpBytes, 0, TTL, ipv4.PROTOCOL_UDP, source[0]!, vteps[to]!);
      view.setUint8(l3At + 1, trafficClass);
      const sum = ipv4.checksumOf(view, l3At);
      ipv4.setChecksum(view, l3At, checksum.update16(sum, 0x4500, 0x4500 | trafficClass));
    } else {
      ipv6.write(view, l3At, udpBytes, ipv4.PROTOCOL_UDP, TTL, source, 0, vteps, to);
      view.setUint16(l3At, 0x6000 | (trafficClass << 4));
    }
    view.setUint16(l4At, outer.sourcePort);
    view.setUint16(l4At + 2, vteps[vtepAt + VTEP.udpPort]!);
    udp.setLength(view, l4At, udpBytes);
    udp.setChecksum(view, l4At, checksum.pseudoSum(view, l3At, family, ipv4.PROTOCOL_UDP, udpBytes));
    return l4At + udp.HEADER_BYTES - SCRATCH_AT;
  }
}

function isWanted(program: Program, port: number, reason: number): boolean {
  if (program.captureSnaplen === 0) return false;
  const wanted = reason === NOT_DROPPED ? CAPTURE_ARRIVALS : CAPTURE_ARRIVALS | CAPTURE_DROPS;
  return (program.portCapture[port]! & wanted) !== 0;
}
