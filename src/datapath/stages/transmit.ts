/**
 * Turns verdicts into departures and hands them to the kernel.
 *
 * Reads every column. Writes: checksum* of a frame whose checksum is completed in place; verdict of a flooded frame that
 * nobody takes (no-destination). Drops departures: port-down, port-gone, queue-full, refused, not-segmentable.
 *
 * A departure is normally one row of the transmit queue: the frame as it lies in the slab behind its vnet header. Where the
 * port wants another form, only the head differs: a tag is inserted or removed, a super-frame is cut (frames/segment.ts), and
 * head and untouched payload are written together. When the queue or the scratch memory is full it is flushed and reused, so
 * a turn may flood any number of ports.
 */

import { PiecePlan, payloadBytesOfPiece, planPieces, writePieceHeader } from '../../frames/fragment.js';
import { COMPLETE, consume, drop, FLOOD, FORWARDED, type FrameVector, OVERHEARD } from '../../frames/frame-vector.js';
import {
  MAX_SEGMENT_HEADER_BYTES,
  payloadBytesOf,
  planSegments,
  SegmentPlan,
  writeSegmentHeader,
} from '../../frames/segment.js';
import { SCRATCH_AT, SLAB_BYTES, type Slab } from '../../frames/slab.js';
import { QUEUE_ROWS, type TransmitQueue } from '../../frames/transmit-queue.js';
import type { PortIo } from '../../ports/port.js';
import * as checksum from '../../wire/checksum.js';
import * as vlan from '../../wire/vlan.js';
import * as vnet from '../../wire/vnet-header.js';
import { type Counters, dropAt, PORT, portAt, portDropAt, TOTAL, totalAt } from '../counters.js';
import { DROP } from '../drop-reasons.js';
import { DEPARTURE, ENTRY, type FrameTap, NOT_DROPPED } from '../frame-tap.js';
import {
  ACCEPTS_CHECKSUM,
  ACCEPTS_TSO_ECN,
  ACCEPTS_TSO4,
  ACCEPTS_TSO6,
  ACCEPTS_USO,
  CAPTURE_ARRIVALS,
  CAPTURE_DEPARTURES,
  CAPTURE_DROPS,
  emptyProgram,
  PORT_ISOLATED,
  type Program,
} from '../program.js';
import { reasonOf } from '../transmit-errno.js';
import { carries } from '../vlan-membership.js';

/** Two MAC addresses: what stands in front of a tag. */
const ADDRESSES_BYTES = 12;
/** The largest head: vnet header, addresses, two tags and a type, then the headers of a segment. */
const MAX_HEAD_BYTES = vnet.HEADER_BYTES + ADDRESSES_BYTES + 16 + MAX_SEGMENT_HEADER_BYTES;

/** How the outer tag changes on the way to a port. */
const KEEP = 0;
const PUSH = 1;
const POP = 2;
/** A priority tag gets the VLAN id of its domain. */
const RETAG = 3;

/** No row of the burst. */
const NONE = -1;

export class Transmitter {
  private scratchAt = SCRATCH_AT;
  /** Rows written in this turn. */
  private departures = 0;
  /**
   * Frame that was queued last with a checksum to finish. Such rows say so in a header of their own, or to the capture, and
   * share the bytes of the frame: they have to leave before its checksum is completed in place.
   */
  private unfinishedFrame = NONE;
  /** Frame that was last shown as entering a network: one that floods enters once. */
  private enteredFrame = NONE;
  private program: Program = emptyProgram();
  private readonly plan = new SegmentPlan();
  private readonly pieces = new PiecePlan();
  private readonly frames: FrameVector;
  private readonly queue: TransmitQueue;
  private readonly slab: Slab;
  private readonly io: PortIo;
  private readonly counters: Counters;
  private readonly tap: FrameTap;

  constructor(frames: FrameVector, queue: TransmitQueue, slab: Slab, io: PortIo, counters: Counters, tap: FrameTap) {
    this.frames = frames;
    this.queue = queue;
    this.slab = slab;
    this.io = io;
    this.counters = counters;
    this.tap = tap;
  }

  /** Sends everything that this turn forwarded. Returns the number of departures. */
  transmit(program: Program): number {
    const { count, originated, verdict, egressPort } = this.frames;
    this.program = program;
    this.departures = 0;
    this.enteredFrame = NONE;
    const rows = count + originated;
    for (let i = 0; i < rows; i++) {
      if (verdict[i] !== FORWARDED) continue;
      const port = egressPort[i]!;
      if (port === FLOOD) this.flood(i, program);
      else this.depart(i, port, program);
    }
    this.flush();
    return this.departures;
  }

  /** Ends the fate of what floods to nobody, so that it is known before anything leaves. */
  settleFloods(program: Program): void {
    const { frames } = this;
    const { count, originated, verdict, egressPort, interest } = frames;
    const rows = count + originated;
    for (let i = 0; i < rows; i++) {
      if (verdict[i] !== FORWARDED || egressPort[i] !== FLOOD || this.hasTaker(i, program)) continue;
      // The gateway is on the network too, and has heard it.
      if (interest[i] === OVERHEARD) consume(frames, i);
      else drop(frames, i, DROP.noDestination);
    }
  }

  private hasTaker(i: number, program: Program): boolean {
    const network = this.frames.network[i]!;
    const first = program.memberFirst[network]!;
    const end = first + program.memberCount[network]!;
    for (let m = first; m < end; m++) if (this.takes(i, program.members[m]!, program)) return true;
    return false;
  }

  private flood(i: number, program: Program): void {
    const network = this.frames.network[i]!;
    const first = program.memberFirst[network]!;
    const end = first + program.memberCount[network]!;
    for (let m = first; m < end; m++) {
      const port = program.members[m]!;
      if (this.takes(i, port, program)) this.depart(i, port, program);
    }
  }

  /** Whether a frame that floods the network of `port` goes there. */
  private takes(i: number, port: number, program: Program): boolean {
    const ingress = this.frames.ingressPort[i]!;
    if (port === ingress) return false;
    const isolated = ingress < 0 ? 0 : program.portFlags[ingress]! & PORT_ISOLATED;
    return (program.portFlags[port]! & isolated) === 0 && carries(program, port, this.frames.vlan[i]!);
  }

  /** Queues row `i` for one port, in the form that the port takes. */
  private depart(i: number, port: number, program: Program): void {
    const { frames } = this;
    const accepts = program.portAccepts[port]!;
    const overhead = program.portHeaderBytes[port]!;
    const form = this.tagForm(i, port, program);
    if (frames.pieceBytes[i] !== 0) {
      this.departPieces(i, port, overhead, form);
      return;
    }
    if (frames.gsoType[i] !== vnet.GSO_NONE) {
      const needed = gsoBits(frames, i);
      if ((accepts & needed) !== needed) {
        this.departSegments(i, port, overhead, form);
        return;
      }
    } else if (frames.checksumStart[i] !== COMPLETE && (accepts & ACCEPTS_CHECKSUM) === 0) {
      this.completeChecksum(i);
    }
    if (form === KEEP) {
      const at = frames.start[i]! - overhead;
      this.enqueue(i, port, overhead, 0, 0, at, frames.length[i]! + overhead, frames.checksumStart[i]!);
      return;
    }
    this.makeRoom();
    const headAt = this.scratchAt;
    const l2At = this.writeVnetHeader(i, headAt, overhead, form);
    const bodyOffset = ADDRESSES_BYTES + (form === PUSH ? 0 : vlan.TAG_BYTES);
    const headEnd = this.writeAddressesAndTag(i, l2At, form);
    const shift = form === PUSH ? vlan.TAG_BYTES : form === POP ? -vlan.TAG_BYTES : 0;
    const start = frames.checksumStart[i]!;
    this.scratchAt = headEnd;
    this.enqueue(
      i,
      port,
      overhead,
      headAt,
      headEnd - headAt,
      frames.start[i]! + bodyOffset,
      frames.length[i]! - bodyOffset,
      start === COMPLETE ? COMPLETE : start + shift,
    );
  }

  /** What has to happen to the outer tag of row `i` for `port`. */
  private tagForm(i: number, port: number, program: Program): number {
    const { frames } = this;
    const domain = frames.vlan[i]!;
    const wantsTag = domain !== program.portVlan[port];
    if (frames.tagged[i] === 0) return wantsTag ? PUSH : KEEP;
    if (vlan.vlanId(this.slab.view, frames.start[i]! + ADDRESSES_BYTES) === 0) return wantsTag ? RETAG : KEEP;
    return wantsTag ? KEEP : POP;
  }

  /** Copies the vnet header of row `i` in front of a head and fits it to the new tag; returns where the frame begins. */
  private writeVnetHeader(i: number, at: number, overhead: number, form: number): number {
    if (overhead === 0) return at;
    const from = this.frames.start[i]! - vnet.HEADER_BYTES;
    this.slab.bytes.copyWithin(at, from, from + vnet.HEADER_BYTES);
    if (form !== RETAG && this.frames.checksumStart[i] !== COMPLETE) {
      vnet.shiftChecksumStart(this.slab.view, at, form === PUSH ? vlan.TAG_BYTES : -vlan.TAG_BYTES);
    }
    return at + overhead;
  }

  /** Writes the addresses and the tag that the form asks for; returns where the head ends (what follows is in the frame). */
  private writeAddressesAndTag(i: number, at: number, form: number): number {
    const { view, bytes } = this.slab;
    const from = this.frames.start[i]!;
    bytes.copyWithin(at, from, from + ADDRESSES_BYTES);
    const tagAt = at + ADDRESSES_BYTES;
    if (form === POP) return tagAt;
    const priority = form === RETAG ? vlan.tci(view, from + ADDRESSES_BYTES) : 0;
    vlan.writeTag(view, tagAt, priority, this.frames.vlan[i]!);
    return tagAt + vlan.TAG_BYTES;
  }

  /** Cuts a super-frame: one row per segment, headers in scratch memory, payload where it is. */
  private departSegments(i: number, port: number, overhead: number, form: number): void {
    const { frames, plan } = this;
    const { view, bytes } = this.slab;
    this.bump(TOTAL.segmented, 1);
    if (!planSegments(frames, i, view, plan)) {
      this.bump(TOTAL.departures, 1);
      this.dropDeparture(port, DROP.notSegmentable);
      return;
    }
    const l3At = frames.l3At[i]!;
    for (let n = 0; n < plan.count; n++) {
      this.makeRoom();
      const headAt = this.scratchAt;
      let cursor = this.writePlainHead(i, headAt, overhead, form);
      const payloadAt = plan.payloadAt + n * plan.segmentBytes;
      const payload = payloadBytesOf(plan, n);
      writeSegmentHeader(view, bytes, plan, l3At, n, cursor, this.io.sum(payloadAt, payload, 0));
      cursor += plan.headerBytes;
      this.scratchAt = cursor;
      this.enqueue(i, port, overhead, headAt, cursor - headAt, payloadAt, payload, COMPLETE);
    }
  }

  /** Cuts an IPv4 packet that is larger than the network that it leaves through; its checksum is that of the whole. */
  private departPieces(i: number, port: number, overhead: number, form: number): void {
    const { frames, pieces } = this;
    const { view, bytes } = this.slab;
    if (!planPieces(frames, i, view, pieces)) {
      this.bump(TOTAL.departures, 1);
      this.dropDeparture(port, DROP.notSegmentable);
      return;
    }
    if (frames.checksumStart[i] !== COMPLETE) this.completeChecksum(i);
    const l3At = frames.l3At[i]!;
    for (let n = 0; n < pieces.count; n++) {
      this.makeRoom();
      const headAt = this.scratchAt;
      const cursor = this.writePlainHead(i, headAt, overhead, form);
      const end = cursor + writePieceHeader(view, bytes, pieces, l3At, n, cursor);
      this.scratchAt = end;
      const payloadAt = pieces.payloadAt + n * pieces.pieceBytes;
      this.enqueue(i, port, overhead, headAt, end - headAt, payloadAt, payloadBytesOfPiece(pieces, n), COMPLETE);
    }
  }

  /** A vnet header that asks for nothing, and all of the frame up to L3; returns where that ends. */
  private writePlainHead(i: number, headAt: number, overhead: number, form: number): number {
    const { view, bytes } = this.slab;
    const from = this.frames.start[i]!;
    const l3At = this.frames.l3At[i]!;
    let cursor = headAt + overhead;
    if (overhead > 0) vnet.writePlain(view, headAt);
    let typeFrom = from + ADDRESSES_BYTES;
    if (form === KEEP) {
      bytes.copyWithin(cursor, from, typeFrom);
      cursor += ADDRESSES_BYTES;
    } else {
      cursor = this.writeAddressesAndTag(i, cursor, form);
      if (form !== PUSH) typeFrom += vlan.TAG_BYTES;
    }
    bytes.copyWithin(cursor, typeFrom, l3At);
    return cursor + l3At - typeFrom;
  }

  /** Finishes the checksum of row `i` where it lies: it is then complete for every departure that is queued from now on. */
  private completeChecksum(i: number): void {
    const { frames } = this;
    if (this.unfinishedFrame === i) this.flush();
    const { view } = this.slab;
    const at = frames.start[i]! + frames.checksumStart[i]!;
    const field = at + frames.checksumOffset[i]!;
    const total = this.io.sum(at, frames.start[i]! + frames.length[i]! - at, 0);
    // Like skb_checksum_help (net/core/dev.c): zero would mean "none" for UDP, and all ones is the same number elsewhere.
    view.setUint16(field, checksum.finishUdp(total));
    vnet.writePlain(view, frames.start[i]! - vnet.HEADER_BYTES);
    frames.checksumStart[i] = COMPLETE;
    this.bump(TOTAL.completed, 1);
  }

  /** Makes sure that one more row and one more head fit. */
  private makeRoom(): void {
    if (this.queue.count === QUEUE_ROWS || this.scratchAt + MAX_HEAD_BYTES > SLAB_BYTES) this.flush();
  }

  private enqueue(
    i: number,
    port: number,
    overhead: number,
    headAt: number,
    headBytes: number,
    bodyAt: number,
    bodyBytes: number,
    checksumStart: number,
  ): void {
    const { queue } = this;
    if (queue.count === QUEUE_ROWS) this.flush();
    const row = queue.count++;
    queue.port[row] = port;
    queue.overheadBytes[row] = overhead;
    queue.headAt[row] = headAt;
    queue.headBytes[row] = headBytes;
    queue.bodyAt[row] = bodyAt;
    queue.bodyBytes[row] = bodyBytes;
    if (checksumStart !== COMPLETE) this.unfinishedFrame = i;
    if (this.program.captureSnaplen === 0) return;
    queue.checksumStart[row] = checksumStart;
    queue.checksumOffset[row] = this.frames.checksumOffset[i]!;
    queue.isEntering[row] = this.enteredFrame !== i && this.isEntering(i, port) ? 1 : 0;
    if (queue.isEntering[row] === 1) this.enteredFrame = i;
  }

  /** Writes the queue out, settles every row and reuses queue and scratch memory. */
  private flush(): void {
    const { queue } = this;
    const { values } = this.counters;
    const rows = queue.count;
    if (rows === 0) return;
    this.io.transmitBurst(rows);
    const { port, result, headBytes, bodyBytes, overheadBytes } = queue;
    let sent = 0;
    let row = 0;
    // Rows for one port come in runs: their counters are touched once per run.
    while (row < rows) {
      const target = port[row]!;
      let runFrames = 0;
      let runBytes = 0;
      for (; row < rows && port[row] === target; row++) {
        if (result[row] === 0) {
          runFrames++;
          runBytes += headBytes[row]! + bodyBytes[row]! - overheadBytes[row]!;
        } else {
          this.dropDeparture(target, reasonOf(result[row]!));
        }
      }
      values[portAt(target, PORT.txFrames)]! += runFrames;
      values[portAt(target, PORT.txBytes)]! += runBytes;
      sent += runFrames;
    }
    if (this.program.captureSnaplen > 0) this.capture(rows);
    this.departures += rows;
    this.bump(TOTAL.departures, rows);
    this.bump(TOTAL.sent, sent);
    queue.count = 0;
    this.scratchAt = SCRATCH_AT;
    this.unfinishedFrame = NONE;
  }

  /** Whether no port of the network has shown the frame to its captures: weft made it, or routed it from another network. */
  private isEntering(i: number, port: number): boolean {
    const { frames, program } = this;
    return i >= frames.count || program.portNetwork[frames.ingressPort[i]!] !== program.portNetwork[port];
  }

  /** Shows the rows just written to the tap. A capture of a network, which wants arrivals, also gets what the router sends into it. */
  private capture(rows: number): void {
    const { queue, program } = this;
    for (let row = 0; row < rows; row++) {
      const port = queue.port[row]!;
      const reason = queue.result[row] === 0 ? NOT_DROPPED : reasonOf(queue.result[row]!);
      const isEntry = queue.isEntering[row] === 1 && reason === NOT_DROPPED;
      const flags = isEntry ? CAPTURE_DEPARTURES | CAPTURE_ARRIVALS : CAPTURE_DEPARTURES;
      const wanted = reason === NOT_DROPPED ? flags : flags | CAPTURE_DROPS;
      if ((program.portCapture[port]! & wanted) === 0) continue;
      const inHead = queue.headBytes[row] === 0 ? 0 : queue.overheadBytes[row]!;
      const inBody = queue.overheadBytes[row]! - inHead;
      this.tap.recordSplit(
        queue.headAt[row]! + inHead,
        queue.headBytes[row]! - inHead,
        queue.bodyAt[row]! + inBody,
        queue.bodyBytes[row]! - inBody,
        port,
        isEntry ? ENTRY : DEPARTURE,
        reason,
        queue.checksumStart[row]!,
        queue.checksumOffset[row]!,
        program.captureSnaplen,
      );
    }
  }

  private dropDeparture(port: number, reason: number): void {
    const { values } = this.counters;
    values[portAt(port, PORT.txDropped)]!++;
    values[portDropAt(port, reason)]!++;
    values[dropAt(reason)]!++;
    this.bump(TOTAL.transmitDropped, 1);
  }

  private bump(total: number, by: number): void {
    this.counters.values[totalAt(total)]! += by;
  }
}

/** Bits of `portAccepts` that must be set to take the super-frame whole. */
function gsoBits(frames: FrameVector, i: number): number {
  const ecn = frames.gsoEcn[i] !== 0 ? ACCEPTS_TSO_ECN : 0;
  switch (frames.gsoType[i]) {
    case vnet.GSO_TCP4:
      return ACCEPTS_TSO4 | ecn;
    case vnet.GSO_TCP6:
      return ACCEPTS_TSO6 | ecn;
    default:
      return ACCEPTS_USO;
  }
}
