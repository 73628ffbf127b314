/**
 * Puts TCP segments and UDP datagrams that follow each other back together: the reverse of segment.ts, for frames that came out of a
 * tunnel one by one although their receiver takes super-frames. What comes of it is what the kernel's GRO makes (tcp_gro_receive,
 * net/ipv4/tcp_offload.c; udp_gro_receive_segment, net/ipv4/udp_offload.c; inet_gro_receive): cut again, it gives the same frames.
 *
 *   start          l4At
 *   |Ethernet| IP | TCP | payload of the first | of the second | ... |      the head is that of the first segment
 *
 * Two belong together when they are of one flow and their headers are the same in everything but length, identification and checksum.
 * All are of one size, only the last may be shorter. TCP: they also follow each other in the sequence; PSH ends a run; SYN, FIN, RST,
 * URG and CWR never join one. UDP: only where it was asked for (`joinsDatagrams`), and only datagrams that have a checksum. Every
 * checksum was right, or nothing is joined: the sum of a super-frame is computed anew by whoever cuts it, and must not hide damage.
 *
 * One run is open at a time. Payload is moved down to the end of the run, so a segment stands behind it in memory.
 */
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as tcp from '../wire/tcp.js';
import * as udp from '../wire/udp.js';
import * as vnet from '../wire/vnet-header.js';
import type { FrameVector } from './frame-vector.js';
import type { Slab } from './slab.js';

/** Header and payload of IP: its length field has 16 bits. */
const MAX_PACKET_BYTES = 65535;
/** Flags that a segment of a run may have. */
const PLAIN_FLAGS = tcp.FLAG_ACK | tcp.FLAG_PUSH | tcp.FLAG_ECE;
/** Datagrams of a run: UDP_MAX_SEGMENTS of Linux before 6.9, which other VTEPs and sockets rely on. */
const MAX_DATAGRAMS = 64;
const NONE = -1;

/** Folded ones' complement sum over the slab, not inverted. */
export interface SlabSummer {
  sum(at: number, length: number, initial: number): number;
}

export class Coalescer {
  /** Segments that became part of a super-frame, without the first of each. */
  joined = 0;
  /** Whether UDP is put together as well. */
  joinsDatagrams = false;
  private readonly frames: FrameVector;
  private readonly slab: Slab;
  private readonly io: SlabSummer;
  /** Row of the run that is open, NONE = none is. */
  private row = NONE;
  /** Of the first segment. */
  private at = 0;
  private family = 0;
  private protocol = 0;
  private l4At = 0;
  private payloadAt = 0;
  private segmentBytes = 0;
  private identification = 0;
  /** Where the bytes of the last run end in the slab. */
  end = 0;
  /** Segments so far. */
  private count = 0;
  private nextSequence = 0;
  /** Whether identifications count up from segment to segment; otherwise all are the same. Known from the second on. */
  private counts = false;
  /** Of the segment that was looked at last. */
  private seenFamily = 0;
  private seenProtocol = 0;
  private seenL4At = 0;
  private seenPayloadAt = 0;
  private seenEnd = 0;

  constructor(frames: FrameVector, slab: Slab, io: SlabSummer) {
    this.frames = frames;
    this.slab = slab;
    this.io = io;
  }

  /**
   * Takes the frame at `at`, if it continues the run of a frame that came the same way (`port`, `remote`); then it is part of that row
   * and needs none of its own. False: it was left as it is.
   */
  take(at: number, length: number, port: number, remote: number): boolean {
    const { row, frames } = this;
    if (row === NONE || frames.ingressPort[row] !== port || frames.ingressRemote[row] !== remote) return false;
    if (!this.look(at, length) || !this.continuesRun(at) || !this.isSound(at)) return false;
    const payload = this.seenEnd - this.seenPayloadAt;
    const isLast = this.protocol === ipv4.PROTOCOL_TCP ? this.takeFlags(payload) : this.count + 1 === MAX_DATAGRAMS;
    this.slab.bytes.copyWithin(this.end, this.seenPayloadAt, this.seenEnd);
    this.end += payload;
    this.count++;
    this.joined++;
    if (isLast || payload < this.segmentBytes) this.close();
    return true;
  }

  /** The segment that was looked at is part of the run; true when it ends it. Before its payload moves, maybe over its own header. */
  private takeFlags(payload: number): boolean {
    const { view } = this.slab;
    const flags = tcp.flags(view, this.seenL4At);
    this.nextSequence = (this.nextSequence + payload) | 0;
    tcp.setFlags(view, this.l4At, tcp.flags(view, this.l4At) | flags);
    return (flags & tcp.FLAG_PUSH) !== 0;
  }

  /** Begins a run with row `row`, if it may be the first segment of one. The one before is closed already. */
  open(row: number): void {
    const { frames } = this;
    const at = frames.start[row]!;
    if (!this.look(at, frames.length[row]!)) return;
    const { view } = this.slab;
    const isTcp = this.seenProtocol === ipv4.PROTOCOL_TCP;
    if (isTcp && (tcp.flags(view, this.seenL4At) & tcp.FLAG_PUSH) !== 0) return;
    this.row = row;
    this.at = at;
    this.family = this.seenFamily;
    this.protocol = this.seenProtocol;
    this.l4At = this.seenL4At;
    this.payloadAt = this.seenPayloadAt;
    this.segmentBytes = this.seenEnd - this.seenPayloadAt;
    this.end = this.seenEnd;
    this.count = 1;
    if (isTcp) this.nextSequence = (tcp.sequence(view, this.l4At) + this.segmentBytes) | 0;
    this.identification = this.family === 4 ? ipv4.identification(view, at + ethernet.HEADER_BYTES) : 0;
  }

  /** Ends the run: its headers now say what it is. */
  close(): void {
    const { row, frames } = this;
    if (row === NONE) return;
    this.row = NONE;
    if (this.count === 1) return;
    const { view } = this.slab;
    const { at, l4At, end, family } = this;
    const l3At = at + ethernet.HEADER_BYTES;
    frames.length[row] = end - at;
    if (family === 4) {
      const before = ipv4.totalLength(view, l3At);
      ipv4.setTotalLength(view, l3At, end - l3At);
      ipv4.setChecksum(view, l3At, checksum.update16(ipv4.checksumOf(view, l3At), before, end - l3At));
    } else {
      ipv6.setPayloadLength(view, l3At, end - l4At);
    }
    const header = at - vnet.HEADER_BYTES;
    const headBytes = this.payloadAt - at;
    const pseudo = checksum.pseudoSum(view, l3At, family, this.protocol, end - l4At);
    if (this.protocol === ipv4.PROTOCOL_TCP) {
      tcp.setChecksum(view, l4At, pseudo);
      const type = family === 4 ? vnet.GSO_TCP4 : vnet.GSO_TCP6;
      vnet.writeSuperFrame(view, header, type, headBytes, this.segmentBytes, l4At - at, tcp.CHECKSUM_OFFSET);
      return;
    }
    udp.setLength(view, l4At, end - l4At);
    udp.setChecksum(view, l4At, pseudo);
    vnet.writeSuperFrame(view, header, vnet.GSO_UDP, headBytes, this.segmentBytes, l4At - at, udp.CHECKSUM_OFFSET);
  }

  /** Whether a frame may be part of any run; then where its parts are. Its checksum is not looked at. */
  private look(at: number, length: number): boolean {
    const { view } = this.slab;
    if (length < ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + udp.HEADER_BYTES) return false;
    const l3At = at + ethernet.HEADER_BYTES;
    const end = at + length;
    const type = ethernet.etherType(view, at);
    if (type === ethernet.TYPE_IPV4) {
      // Version and length of a header without options, and neither flag nor offset of a fragment.
      if (view.getUint8(l3At) !== 0x45) return false;
      if ((ipv4.fragmentField(view, l3At) & ~ipv4.DONT_FRAGMENT) !== 0) return false;
      if (ipv4.totalLength(view, l3At) !== end - l3At) return false;
      if (checksum.sum(view, l3At, ipv4.HEADER_BYTES, 0) !== 0xffff) return false;
      this.seenFamily = 4;
      this.seenProtocol = ipv4.protocol(view, l3At);
      this.seenL4At = l3At + ipv4.HEADER_BYTES;
    } else {
      if (type !== ethernet.TYPE_IPV6 || !ipv6.check(view, l3At, end - l3At)) return false;
      this.seenFamily = 6;
      this.seenProtocol = ipv6.nextHeader(view, l3At);
      this.seenL4At = l3At + ipv6.HEADER_BYTES;
      if (ipv6.payloadLength(view, l3At) !== end - this.seenL4At) return false;
    }
    this.seenEnd = end;
    if (this.seenProtocol === ipv4.PROTOCOL_TCP) return this.lookAtTcp();
    return this.seenProtocol === ipv4.PROTOCOL_UDP && this.joinsDatagrams && this.lookAtUdp();
  }

  private lookAtTcp(): boolean {
    const { view } = this.slab;
    const { seenL4At, seenEnd } = this;
    if (seenL4At + tcp.HEADER_BYTES > seenEnd) return false;
    const headerBytes = tcp.headerBytes(view, seenL4At);
    if (headerBytes < tcp.HEADER_BYTES || seenL4At + headerBytes >= seenEnd) return false;
    const flags = tcp.flags(view, seenL4At);
    if ((flags & ~PLAIN_FLAGS) !== 0 || (flags & tcp.FLAG_ACK) === 0) return false;
    this.seenPayloadAt = seenL4At + headerBytes;
    return true;
  }

  private lookAtUdp(): boolean {
    const { view } = this.slab;
    const { seenL4At, seenEnd } = this;
    if (seenL4At + udp.HEADER_BYTES >= seenEnd) return false;
    if (udp.length(view, seenL4At) !== seenEnd - seenL4At || udp.checksum(view, seenL4At) === 0) return false;
    this.seenPayloadAt = seenL4At + udp.HEADER_BYTES;
    return true;
  }

  /** Whether the segment that was looked at is the next one of the run. */
  private continuesRun(at: number): boolean {
    const { view } = this.slab;
    const { l4At, seenL4At } = this;
    const payload = this.seenEnd - this.seenPayloadAt;
    if (this.seenProtocol !== this.protocol || this.seenFamily !== this.family) return false;
    if (this.seenPayloadAt - at !== this.payloadAt - this.at || payload > this.segmentBytes) return false;
    if (this.end + payload - (this.at + ethernet.HEADER_BYTES) > MAX_PACKET_BYTES) return false;
    // Ports.
    if (view.getInt32(l4At) !== view.getInt32(seenL4At)) return false;
    if (this.protocol === ipv4.PROTOCOL_TCP && !this.continuesTcp()) return false;
    const isSameLink =
      view.getInt32(at) === view.getInt32(this.at) &&
      view.getInt32(at + 4) === view.getInt32(this.at + 4) &&
      view.getInt32(at + 8) === view.getInt32(this.at + 8);
    if (!isSameLink) return false;
    return this.family === 4 ? this.hasSameIpv4(at) : this.hasSameIpv6(at);
  }

  private hasSameIpv4(at: number): boolean {
    const { view } = this.slab;
    const a = this.at + ethernet.HEADER_BYTES;
    const b = at + ethernet.HEADER_BYTES;
    const isSame =
      view.getUint16(a) === view.getUint16(b) && // version, length and TOS with ECN
      view.getUint16(a + 6) === view.getUint16(b + 6) &&
      view.getUint16(a + 8) === view.getUint16(b + 8) && // TTL and protocol
      view.getInt32(a + 12) === view.getInt32(b + 12) &&
      view.getInt32(a + 16) === view.getInt32(b + 16);
    return isSame && this.hasNextIdentification(b);
  }

  /** RFC 6864: what must not be fragmented may have any identification, so there a constant one is as good as one that counts. */
  private hasNextIdentification(l3At: number): boolean {
    const { view } = this.slab;
    const step = (ipv4.identification(view, l3At) - this.identification) & 0xffff;
    const isConstant = step === 0 && ipv4.mustNotFragment(ipv4.fragmentField(view, l3At));
    if (this.count === 1) {
      this.counts = step === 1;
      return this.counts || isConstant;
    }
    return this.counts ? step === (this.count & 0xffff) : isConstant;
  }

  private hasSameIpv6(at: number): boolean {
    const { view } = this.slab;
    const a = this.at + ethernet.HEADER_BYTES;
    const b = at + ethernet.HEADER_BYTES;
    // Version, class and label; next header and hop limit; addresses.
    if (view.getInt32(a) !== view.getInt32(b) || view.getUint16(a + 6) !== view.getUint16(b + 6)) return false;
    for (let i = 8; i < ipv6.HEADER_BYTES; i += 4) if (view.getInt32(a + i) !== view.getInt32(b + i)) return false;
    return true;
  }

  /** Sequence, flags, acknowledgement, header length, window and options. */
  private continuesTcp(): boolean {
    const { view } = this.slab;
    const a = this.l4At;
    const b = this.seenL4At;
    if (tcp.sequence(view, b) !== this.nextSequence || view.getInt32(a + 8) !== view.getInt32(b + 8)) return false;
    // PSH may be set on the last one only; the run so far has none.
    if (((tcp.flags(view, a) ^ tcp.flags(view, b)) & ~tcp.FLAG_PUSH) !== 0) return false;
    if (view.getUint8(a + 12) !== view.getUint8(b + 12) || view.getUint16(a + 14) !== view.getUint16(b + 14))
      return false;
    for (let i = tcp.HEADER_BYTES; a + i < this.payloadAt; i += 4) {
      if (view.getInt32(a + i) !== view.getInt32(b + i)) return false;
    }
    return true;
  }

  /** Whether the checksum of the segment is right, and that of the first one when this is the second. */
  private isSound(at: number): boolean {
    if (this.count === 1 && !this.isRight(this.at, this.l4At, this.end)) {
      this.row = NONE;
      return false;
    }
    return this.isRight(at, this.seenL4At, this.seenEnd);
  }

  private isRight(at: number, l4At: number, end: number): boolean {
    const bytes = end - l4At;
    const l3At = at + ethernet.HEADER_BYTES;
    const pseudo = checksum.pseudoSum(this.slab.view, l3At, this.seenFamily, this.seenProtocol, bytes);
    return this.io.sum(l4At, bytes, pseudo) === 0xffff;
  }
}
