/**
 * Takes encapsulation off: what came in at the ports of VTEPs becomes arrivals of the tunnels of overlay networks (RFC 7348).
 *
 *   staged rows                                      rows of the vector
 *   socket: message of joined datagrams      ──>     inner frames; TCP segments put together again (frames/coalesce.ts), and UDP datagrams
 *                                                    while nobody captures: a capture is to show them as they were sent
 *   TAP:    outer frame                      ──>     inner frame; or the frame itself, when it is none for the tunnel
 *
 * Every datagram is an arrival of the port of the VTEP, and ends here: consumed, or dropped by name. The frame inside of it is an
 * arrival of the port that stands for the tunnel, and goes on like any other.
 *
 * Drops, in this order: vxlan-malformed, vxlan-flags, vxlan-own-address, vxlan-unknown-vni, vxlan-unknown-vtep, vxlan-checksum,
 * remotes-full, vxlan-congestion; vxlan-fragment where there is no VXLAN header to look at.
 *
 * Memory. A row needs 12 bytes in front of it for a vnet header, and only 8 of VXLAN become free. So the pieces of a message are moved
 * down, the first by most, each 4 bytes less than the one before; the addon leaves room for that in front of messages.
 *
 * Invariant: rows of one receive lie in the order of their memory and do not overlap, vnet headers included.
 */
import { Coalescer } from '../frames/coalesce.js';
import type { FrameVector } from '../frames/frame-vector.js';
import * as messageForm from '../frames/message-form.js';
import { ARRIVAL_ROWS, type Slab, SPREAD_BYTES, STAGED_ROWS, VECTOR_ROWS } from '../frames/slab.js';
import * as unfinished from '../frames/unfinished.js';
import type { PortIo } from '../ports/port.js';
import * as words from '../wire/address-words.js';
import * as checksum from '../wire/checksum.js';
import * as ipv4 from '../wire/ipv4.js';
import * as udp from '../wire/udp.js';
import * as vnet from '../wire/vnet-header.js';
import * as vxlan from '../wire/vxlan.js';
import { CongestionMark } from './congestion-mark.js';
import { type Counters, dropAt, PORT, portAt, portDropAt, TOTAL, totalAt } from './counters.js';
import { DROP } from './drop-reasons.js';
import { NOT_DROPPED } from './frame-tap.js';
import { DATAGRAM, FOREIGN, OuterFrame } from './outer-frame.js';
import type { OuterRecorder } from './outer-recorder.js';
import {
  ACCEPTS_USO,
  emptyProgram,
  MAX_NETWORKS,
  type Program,
  TUNNEL,
  TUNNEL_INTS,
  VTEP,
  VTEP_INTS,
  VTEP_TAP,
} from './program.js';
import type { Tunnels } from './tunnels.js';

/** Datagrams that the kernel joins in one message; one that has more is not what a VTEP sends. */
export const MAX_PIECES = 64;
/** What each piece of a message needs more than the one behind it. */
const SPREAD_STEP = vnet.HEADER_BYTES - vxlan.HEADER_BYTES;
/** `remote` that was not looked for yet. */
const UNKNOWN = -2;
const NONE = -1;

export class Decapsulator {
  private readonly frames: FrameVector;
  private readonly slab: Slab;
  private readonly io: PortIo;
  private readonly tunnels: Tunnels;
  private readonly counters: Counters;
  private readonly recorder: OuterRecorder;
  private readonly coalescer: Coalescer;
  private readonly outer = new OuterFrame();
  private readonly congestion = new CongestionMark();
  private program: Program = emptyProgram();
  private now = 0;
  /** The next row of the vector, and the end of what was received. */
  row = 0;
  receivedAt = 0;
  /** The end of what lies in the slab in front of the next row. */
  private floor = 0;
  /** The VTEP and the port of it that is being received from. */
  private port = 0;
  private vtep = 0;
  private vtepAt = 0;
  /** Of the sender of the message at hand: row of the remotes (UNKNOWN, NONE), and whether it is this VTEP itself. */
  private remote = UNKNOWN;
  private isOwn = false;
  /** Whether the outer checksum is known to be right, or there is none to look at. */
  private isOuterGood = true;
  /** The VNI that was looked for last, and its tunnel. */
  private vni = NONE;
  private tunnel = NONE;
  /** By network: whether any of its ports takes super-frames of UDP. Otherwise they would only have to be cut again. */
  private readonly takesDatagrams = new Uint8Array(MAX_NETWORKS);

  constructor(
    frames: FrameVector,
    slab: Slab,
    io: PortIo,
    tunnels: Tunnels,
    counters: Counters,
    recorder: OuterRecorder,
  ) {
    this.frames = frames;
    this.slab = slab;
    this.io = io;
    this.tunnels = tunnels;
    this.counters = counters;
    this.recorder = recorder;
    this.coalescer = new Coalescer(frames, slab, io);
  }

  /**
   * Reads up to `messages` from `port`, which has a VTEP, into the slab between `at` and `endAt`, and takes the encapsulation off: rows
   * from `firstRow` on to before `row`. Reads for as long as the rows that are left are enough, however many datagrams a
   * message holds. Returns messages, or -errno when there was none.
   */
  receive(
    program: Program,
    port: number,
    firstRow: number,
    messages: number,
    at: number,
    endAt: number,
    now: number,
  ): number {
    const { frames, io } = this;
    this.begin(program, port, firstRow, at, now);
    const isTap = program.vteps[this.vtepAt + VTEP.kind] === VTEP_TAP;
    // The addon leaves room to spread joined datagrams in front of what sockets and TAPs of tunnels give it, not of other TAPs.
    const isNarrow = program.portHeaderBytes[port] === vnet.HEADER_BYTES;
    let taken = 0;
    while (taken < messages) {
      const fitting = Math.min(STAGED_ROWS, messages - taken, ((ARRIVAL_ROWS - this.row) / MAX_PIECES) | 0);
      const most = isNarrow ? Math.min(1, fitting) : fitting;
      if (most <= 0) break;
      const from = this.receivedAt + (isNarrow ? SPREAD_BYTES : 0);
      const got = io.receiveBurst(port, VECTOR_ROWS, most, from, endAt);
      if (got < 0 && taken === 0) return got;
      if (got <= 0) break;
      taken += got;
      const last = VECTOR_ROWS + got - 1;
      this.floor = this.receivedAt;
      this.receivedAt = frames.start[last]! + frames.length[last]!;
      for (let staged = VECTOR_ROWS; staged <= last; staged++) {
        if (isTap) this.takeFrame(staged);
        else this.takeMessage(staged);
      }
      if (got < most) break;
    }
    this.coalescer.close();
    this.countInner(firstRow, this.row);
    return taken;
  }

  private begin(program: Program, port: number, firstRow: number, at: number, now: number): void {
    if (program !== this.program) this.adopt(program);
    this.now = now;
    this.port = port;
    this.vtep = program.portVtep[port]!;
    this.vtepAt = this.vtep * VTEP_INTS;
    this.row = firstRow;
    this.receivedAt = at;
    this.vni = NONE;
  }

  /** @coldPath once per program */
  private adopt(program: Program): void {
    this.program = program;
    this.takesDatagrams.fill(0);
    for (let port = 0; port < program.portCount; port++) {
      const isStation = program.portTunnel[port]! < 0;
      if (isStation && (program.portAccepts[port]! & ACCEPTS_USO) !== 0)
        this.takesDatagrams[program.portNetwork[port]!] = 1;
    }
  }

  /** One message of a socket: a datagram, several that the kernel has joined, or a datagram with a super-frame. */
  private takeMessage(staged: number): void {
    const { start, length, rxPeer } = this.frames;
    this.outer.readPeer(rxPeer, staged);
    this.isOuterGood = true;
    this.beginMessage();
    const at = start[staged]!;
    const bytes = length[staged]!;
    const size = rxPeer.segmentBytes(staged);
    if (size === 0 || size >= bytes) {
      this.takePieces(at, bytes, 0, 0, 0);
      return;
    }
    const form = messageForm.tell(this.slab.view, at, bytes, size);
    if (form === messageForm.NEITHER) this.refusePieces(1, at, bytes, 0);
    else if (form === messageForm.JOINED) this.takePieces(at, bytes, size, 0, 0);
    else this.takePieces(at, bytes, 0, 0, size);
  }

  /** One frame of a TAP. */
  private takeFrame(staged: number): void {
    const { program, outer, vtepAt } = this;
    const { view } = this.slab;
    const at = this.frames.start[staged]!;
    const length = this.frames.length[staged]!;
    const headerBytes = program.portHeaderBytes[this.port]!;
    // The twelve bytes that every vnet header has go where the rest of the datapath looks for them.
    if (headerBytes === vnet.TUNNEL_HEADER_BYTES) this.slab.bytes.copyWithin(at - 12, at - 24, at - 12);
    else if (headerBytes === 0) vnet.writePlain(view, at - vnet.HEADER_BYTES);
    const type = vnet.gsoType(view, at - vnet.HEADER_BYTES);
    const kind = outer.read(view, at, length, program.vteps, vtepAt, type !== vnet.GSO_NONE);
    if (kind === FOREIGN) {
      // A run that went on would be put together where this frame lies.
      this.coalescer.close();
      this.addRow(at, length, this.port, NONE);
      return;
    }
    if (kind !== DATAGRAM) {
      this.endOuter(1, length, DROP.vxlanFragment);
      this.recorder.frame(program, at, length, at + length, this.port, DROP.vxlanFragment);
      return;
    }
    this.isOuterGood = udp.checksum(view, outer.l4At) === 0 || type !== vnet.GSO_NONE;
    this.beginMessage();
    if (type === vnet.GSO_UDP) {
      const { payloadAt, end } = outer;
      this.recorder.keepHead(program, at, payloadAt - at, this.port);
      this.takePieces(payloadAt, end - payloadAt, vnet.gsoSize(view, at - vnet.HEADER_BYTES), payloadAt - at, 0);
      return;
    }
    this.takeOne(at, length, type);
  }

  /** The one datagram of an outer frame, or the super-frame in it. */
  private takeOne(at: number, length: number, gsoType: number): void {
    const { outer, program } = this;
    const { view } = this.slab;
    const header = at - vnet.HEADER_BYTES;
    const innerAt = outer.payloadAt + vxlan.HEADER_BYTES;
    let reason = this.judge(outer.payloadAt, outer.end - outer.payloadAt, at);
    const isPartial = (vnet.flags(view, header) & vnet.FLAG_NEEDS_CHECKSUM) !== 0;
    // Behind the outer headers, it is the inner packet whose checksum or segmentation is left to do.
    const isInner = isPartial && at + vnet.checksumStart(view, header) > outer.l4At;
    const tunnelBits = gsoType & (vnet.GSO_TUNNEL_IPV4 | vnet.GSO_TUNNEL_IPV6);
    if (reason < 0 && gsoType !== vnet.GSO_NONE && (tunnelBits === 0 || !isInner)) reason = DROP.vxlanMalformed;
    if (reason < 0 && isInner && at + vnet.checksumStart(view, header) < innerAt) reason = DROP.vxlanMalformed;
    this.recorder.frame(program, at, length, outer.l4At, this.port, reason < 0 ? NOT_DROPPED : reason);
    this.endOuter(1, length, reason);
    if (reason >= 0) return;
    if (!isInner) {
      this.deliver(innerAt, outer.end - innerAt, 0, 0);
      return;
    }
    this.coalescer.close();
    const to = innerAt - vnet.HEADER_BYTES;
    this.slab.bytes.copyWithin(to, header, header + vnet.HEADER_BYTES);
    vnet.shiftChecksumStart(view, to, at - innerAt);
    vnet.setGsoType(view, to, gsoType & ~tunnelBits);
    this.accept(outer.end - innerAt);
    this.addRow(innerAt, outer.end - innerAt, this.tunnelPort(), this.remote);
  }

  /**
   * The datagrams of a message, `segmentBytes` each but the last (0: it is one). `headBytes`: outer headers that stand in front.
   * `superBytes`: of one datagram that holds a UDP super-frame, data per segment, else 0.
   */
  private takePieces(at: number, length: number, segmentBytes: number, headBytes: number, superBytes: number): void {
    const { program, recorder, port } = this;
    const isJoined = segmentBytes > 0 && segmentBytes < length;
    const count = isJoined ? Math.ceil(length / segmentBytes) : 1;
    // There is room in front of messages of sockets, and in front of most others.
    const lowestAt = at + vxlan.HEADER_BYTES - SPREAD_STEP * (count - 1) - vnet.HEADER_BYTES;
    if (count > MAX_PIECES || lowestAt < this.floor) {
      this.refusePieces(count, at, length, headBytes);
      return;
    }
    const step = isJoined ? segmentBytes : length;
    for (let piece = 0; piece < count; piece++) {
      const pieceAt = at + piece * step;
      const bytes = Math.min(step, at + length - pieceAt);
      const reason = this.judge(pieceAt, bytes, 0);
      const fate = reason < 0 ? NOT_DROPPED : reason;
      if (headBytes > 0) recorder.piece(program, headBytes, pieceAt, bytes, port, fate);
      else recorder.datagram(program, this.vtepAt, this.outer, pieceAt, bytes, port, fate);
      this.endOuter(1, bytes + headBytes, reason);
      if (reason >= 0) continue;
      const shift = SPREAD_STEP * (count - 1 - piece);
      this.deliver(pieceAt + vxlan.HEADER_BYTES, bytes - vxlan.HEADER_BYTES, shift, superBytes);
    }
  }

  /** `count` datagrams that cannot be told apart, or that no VTEP sends. */
  private refusePieces(count: number, at: number, length: number, headBytes: number): void {
    const { program, recorder, port } = this;
    this.endOuter(count, length + headBytes * count, DROP.vxlanMalformed);
    if (headBytes > 0) recorder.piece(program, headBytes, at, length, port, DROP.vxlanMalformed);
    else recorder.datagram(program, this.vtepAt, this.outer, at, length, port, DROP.vxlanMalformed);
  }

  private beginMessage(): void {
    const { vteps } = this.program;
    const { vtepAt } = this;
    const { source, family } = this.outer;
    this.remote = UNKNOWN;
    this.isOwn =
      family === vteps[vtepAt + VTEP.family] &&
      words.isSame(source, 0, vteps, vtepAt + VTEP.address) &&
      !words.isZero(source, 0);
  }

  /**
   * Why the datagram with its payload at `at` is dropped, or -1: then `tunnel` and `remote` are those that it belongs to. Changes nothing
   * in the datagram. `frameAt`: of a TAP, where its outer frame begins.
   */
  private judge(at: number, bytes: number, frameAt: number): number {
    const { view } = this.slab;
    const { tunnels } = this;
    const { family, source, trafficClass } = this.outer;
    if (!vxlan.check(bytes)) return DROP.vxlanMalformed;
    if (!vxlan.hasVni(view, at)) return DROP.vxlanFlags;
    if (this.isOwn) return DROP.vxlanOwnAddress;
    if (words.isZero(source, 0) || words.isMulticast(source, 0, family)) return DROP.vxlanMalformed;
    const vni = vxlan.vni(view, at);
    if (vni !== this.vni) {
      this.vni = vni;
      this.tunnel = tunnels.tunnelOf(this.vtep, vni);
    }
    if (this.tunnel < 0) return DROP.vxlanUnknownVni;
    const key = this.program.vteps[this.vtepAt + VTEP.key]!;
    if (this.remote === UNKNOWN) this.remote = tunnels.remotes.find(key, family, source, 0);
    if (tunnels.isClosed(this.tunnel)) {
      if (this.remote < 0 || !tunnels.isAllowed(this.network(), this.remote)) return DROP.vxlanUnknownVtep;
    }
    if (!this.isOuterGood && !this.isOuterSound(frameAt)) return DROP.vxlanChecksum;
    if (this.remote < 0) this.remote = tunnels.remotes.learn(key, family, source, 0, this.now);
    if (this.remote < 0) return DROP.remotesFull;
    const innerAt = at + vxlan.HEADER_BYTES;
    return this.congestion.combine(view, innerAt, at + bytes, trafficClass) ? NONE : DROP.vxlanCongestion;
  }

  /** Books the inner frame of `bytes` that was found good, and marks it. */
  private accept(bytes: number): void {
    this.tunnels.remotes.countReceived(this.remote, 1, bytes, this.now);
    this.congestion.mark(this.slab.view);
  }

  /** Whether the checksum of the outer datagram is right, which is there and was not looked at by anybody. */
  private isOuterSound(frameAt: number): boolean {
    const { outer, io } = this;
    const { view } = this.slab;
    const header = frameAt - vnet.HEADER_BYTES;
    const flags = vnet.flags(view, header);
    if ((flags & vnet.FLAG_DATA_VALID) !== 0) return true;
    const bytes = outer.end - outer.l4At;
    const pseudo = checksum.pseudoSum(view, outer.l3At, outer.family, ipv4.PROTOCOL_UDP, bytes);
    if ((flags & vnet.FLAG_NEEDS_CHECKSUM) === 0) return io.sum(outer.l4At, bytes, pseudo) === 0xffff;
    const start = frameAt + vnet.checksumStart(view, header);
    const field = start + vnet.checksumOffset(view, header);
    if (start === outer.l4At) return true;
    if (start < outer.payloadAt || field + 2 > outer.end || ((start - outer.l4At) & 1) !== 0) return false;
    // Local checksum offload: what follows sums up to the complement of what the inner field holds now.
    const total = io.sum(outer.l4At, start - outer.l4At, pseudo);
    return checksum.fold(total + (~view.getUint16(field) & 0xffff)) === 0xffff;
  }

  /**
   * The inner frame at `at` becomes part of the run before it, or a row of its own that begins up to `shift` bytes lower. `superBytes`: of
   * a UDP super-frame, data per segment, else 0.
   */
  private deliver(at: number, length: number, shift: number, superBytes: number): void {
    const { coalescer } = this;
    const port = this.tunnelPort();
    this.accept(length);
    coalescer.joinsDatagrams = this.program.captureSnaplen === 0 && this.takesDatagrams[this.network()] !== 0;
    if (coalescer.take(at, length, port, this.remote)) {
      this.floor = coalescer.end;
      return;
    }
    coalescer.close();
    const to = Math.max(at - shift, this.floor + vnet.HEADER_BYTES);
    if (to !== at) this.slab.bytes.copyWithin(to, at, at + length);
    const isUnfinished = unfinished.writeHeader(this.slab.view, to, length, this.innerMtu(), superBytes);
    const row = this.addRow(to, length, port, this.remote);
    if (!isUnfinished) coalescer.open(row);
  }

  private addRow(at: number, length: number, port: number, remote: number): number {
    const { frames } = this;
    const row = this.row++;
    frames.start[row] = at;
    frames.length[row] = length;
    frames.ingressPort[row] = port;
    frames.ingressRemote[row] = remote;
    this.floor = at + length;
    return row;
  }

  private network(): number {
    return this.program.tunnels[this.tunnel * TUNNEL_INTS + TUNNEL.network]!;
  }

  /** Of the network of the tunnel. */
  private innerMtu(): number {
    return this.program.networkMtu[this.network()]!;
  }

  private tunnelPort(): number {
    return this.program.tunnels[this.tunnel * TUNNEL_INTS + TUNNEL.port]!;
  }

  /** Books `count` arrivals of the port that end here: consumed, or dropped for `reason`. */
  private endOuter(count: number, bytes: number, reason: number): void {
    const { values } = this.counters;
    const { port } = this;
    values[portAt(port, PORT.rxFrames)]! += count;
    values[portAt(port, PORT.rxBytes)]! += bytes;
    values[totalAt(TOTAL.arrivals)]! += count;
    if (reason < 0) {
      values[totalAt(TOTAL.consumed)]! += count;
      return;
    }
    values[totalAt(TOTAL.dropped)]! += count;
    values[dropAt(reason)]! += count;
    values[portAt(port, PORT.rxDropped)]! += count;
    values[portDropAt(port, reason)]! += count;
  }

  /** Rows from `first` to before `end` have arrived at their ports. */
  private countInner(first: number, end: number): void {
    const { ingressPort, length } = this.frames;
    const { values } = this.counters;
    for (let row = first; row < end; row++) {
      const port = ingressPort[row]!;
      values[portAt(port, PORT.rxFrames)]!++;
      values[portAt(port, PORT.rxBytes)]! += length[row]!;
    }
  }
}
