/**
 * The departures of a turn on their way to the kernel: rows of the transmit queue, and the scratch memory that their heads are in.
 *
 * Whoever queues a row with a head calls `makeRoom` before it writes the first byte of the head. When the queue or the scratch memory
 * is full both are flushed and reused, so a turn may have any number of departures. After each write every row has a result, which
 * is counted at its port and shown to captures: departures = sent + dropped.
 */
import { COMPLETE, type FrameVector } from '../frames/frame-vector.js';
import { finishOuterChecksum } from '../frames/outer-checksum.js';
import { MAX_SEGMENT_HEADER_BYTES } from '../frames/segment.js';
import { ORIGINATED_AT, SCRATCH_AT, type Slab } from '../frames/slab.js';
import { MAX_L2_BYTES } from '../frames/tag-form.js';
import { QUEUE_ROWS, type TransmitQueue } from '../frames/transmit-queue.js';
import type { PortIo } from '../ports/port.js';
import * as checksum from '../wire/checksum.js';
import * as vnet from '../wire/vnet-header.js';
import { type Counters, dropAt, PORT, portAt, portDropAt, TOTAL, totalAt } from './counters.js';
import { DEPARTURE, ENTRY, type FrameTap, NOT_DROPPED } from './frame-tap.js';
import { JoinedDatagrams, RESENT } from './joined-datagrams.js';
import { CAPTURE_ARRIVALS, CAPTURE_DEPARTURES, CAPTURE_DROPS, emptyProgram, type Program } from './program.js';
import { reasonOf } from './transmit-errno.js';

/** Outer headers at most: Ethernet, IPv6, UDP, VXLAN. */
const MAX_OUTER_BYTES = 14 + 40 + 8 + 8;
/** The largest head: vnet header, outer headers, addresses and tags, then the headers of a segment. */
const MAX_HEAD_BYTES = vnet.TUNNEL_HEADER_BYTES + MAX_OUTER_BYTES + MAX_L2_BYTES + MAX_SEGMENT_HEADER_BYTES;

/** No row of the burst. */
const NONE = -1;

export class Departures {
  /** Where the next head may be written, after `makeRoom`; whoever writes one moves it behind the head. */
  scratchAt = SCRATCH_AT;
  /** Rows written in this turn. */
  count = 0;
  program: Program = emptyProgram();
  readonly joined: JoinedDatagrams;
  /**
   * Frame that was queued last with a checksum to finish. Such rows say so in a header of their own, or to the capture, and
   * share the bytes of the frame: they have to leave before its checksum is completed in place.
   */
  private unfinishedFrame = NONE;
  /** Frame that was last shown as entering a network: one that floods enters once. */
  private enteredFrame = NONE;
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
    this.joined = new JoinedDatagrams(queue, slab);
  }

  /** Begins the departures of a turn. */
  begin(program: Program): void {
    this.program = program;
    this.count = 0;
    this.enteredFrame = NONE;
  }

  /** Makes sure that one more row and one more head fit. */
  makeRoom(): void {
    if (this.queue.count === QUEUE_ROWS || this.scratchAt + MAX_HEAD_BYTES > ORIGINATED_AT) this.flush();
  }

  /** Queues one write: `overhead` of its bytes are the vnet header. `checksumStart`: from the start of the frame that is written. */
  enqueue(
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
    const row = this.fill(i, port, overhead, headAt, headBytes, bodyAt, bodyBytes, checksumStart);
    if (this.program.captureSnaplen === 0) return;
    queue.checksumStart[row] = checksumStart;
    queue.checksumOffset[row] = this.frames.checksumOffset[i]!;
    queue.unsentBytes[row] = 0;
    queue.isEntering[row] = this.enteredFrame !== i && this.isEntering(i, port) ? 1 : 0;
    if (queue.isEntering[row] === 1) this.enteredFrame = i;
  }

  /**
   * Queues a frame that holds row `i` encapsulated, its head being in scratch memory already. Captures see `unsentBytes` more in
   * front of the head, which the kernel writes itself, and the partial checksum at `shownStart` + `shownOffset` of all that.
   */
  enqueueOuter(
    i: number,
    port: number,
    overhead: number,
    headAt: number,
    headBytes: number,
    bodyAt: number,
    bodyBytes: number,
    isUnfinished: boolean,
    unsentBytes: number,
    shownStart: number,
    shownOffset: number,
  ): number {
    const { queue } = this;
    const partial = isUnfinished ? 0 : COMPLETE;
    const row = this.fill(i, port, overhead, headAt, headBytes, bodyAt, bodyBytes, partial);
    if (this.program.captureSnaplen === 0) return row;
    queue.checksumStart[row] = shownStart;
    queue.checksumOffset[row] = shownOffset;
    queue.unsentBytes[row] = unsentBytes;
    queue.isEntering[row] = 1;
    return row;
  }

  private fill(
    i: number,
    port: number,
    overhead: number,
    headAt: number,
    headBytes: number,
    bodyAt: number,
    bodyBytes: number,
    checksumStart: number,
  ): number {
    const { queue } = this;
    const row = queue.count++;
    queue.port[row] = port;
    queue.overheadBytes[row] = overhead;
    queue.headAt[row] = headAt;
    queue.headBytes[row] = headBytes;
    queue.bodyAt[row] = bodyAt;
    queue.bodyBytes[row] = bodyBytes;
    queue.txPeer.setContinues(row, false);
    if (checksumStart !== COMPLETE) this.unfinishedFrame = i;
    return row;
  }

  /** Finishes the checksum of row `i` where it lies: it is then complete for every departure that is queued from now on. */
  completeChecksum(i: number): void {
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

  /** Writes the queue out, settles every row and reuses queue and scratch memory. */
  flush(): void {
    const { queue, joined } = this;
    const rows = queue.count;
    if (rows === 0) return;
    joined.seal();
    this.io.transmitBurst(rows);
    const hasRefused = joined.findRefused();
    if (hasRefused || this.program.captureSnaplen > 0) joined.unseal();
    this.settle(rows);
    if (hasRefused) this.resendSingly(rows);
    joined.forget();
    queue.count = 0;
    this.scratchAt = SCRATCH_AT;
    this.unfinishedFrame = NONE;
  }

  /** Counts the results of the rows just written, and shows them. */
  private settle(rows: number): void {
    const { values } = this.counters;
    const { port, result, headBytes, bodyBytes, overheadBytes } = this.queue;
    let sent = 0;
    let settled = 0;
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
        } else if (result[row] !== RESENT) {
          this.countDrop(target, this.reasonAt(target, result[row]!));
          settled++;
        }
      }
      values[portAt(target, PORT.txFrames)]! += runFrames;
      values[portAt(target, PORT.txBytes)]! += runBytes;
      sent += runFrames;
    }
    settled += sent;
    if (this.program.captureSnaplen > 0) this.capture(rows);
    this.count += settled;
    this.bump(TOTAL.departures, settled);
    this.bump(TOTAL.sent, sent);
  }

  /** Sends the datagrams of refused messages one by one. @coldPath a kernel refuses them once, then they are not joined any more */
  private resendSingly(rows: number): void {
    const { joined, program, queue } = this;
    const again = joined.takeApart(rows);
    queue.count = again;
    this.io.transmitBurst(again);
    this.bump(TOTAL.joinsRefused, joined.giveUp(program, again));
    this.settle(again);
  }

  /** Ends a departure that is never written. */
  dropDeparture(port: number, reason: number): void {
    this.bump(TOTAL.departures, 1);
    this.countDrop(port, reason);
  }

  private countDrop(port: number, reason: number): void {
    const { values } = this.counters;
    values[portAt(port, PORT.txDropped)]!++;
    values[portDropAt(port, reason)]!++;
    values[dropAt(reason)]!++;
    this.bump(TOTAL.transmitDropped, 1);
  }

  /** Counts a frame that left through a port without descriptor: as encapsulated ones, which are departures of their own. */
  countInner(port: number, bytes: number): void {
    const { values } = this.counters;
    values[portAt(port, PORT.txFrames)]!++;
    values[portAt(port, PORT.txBytes)]! += bytes;
    this.bump(TOTAL.departures, 1);
    this.bump(TOTAL.sent, 1);
  }

  bump(total: number, by: number): void {
    this.counters.values[totalAt(total)]! += by;
  }

  private reasonAt(port: number, result: number): number {
    return reasonOf(result, this.program.portVtep[port]! >= 0);
  }

  /** Whether no port of the network has shown the frame to its captures: weft made it, or routed it from another network. */
  private isEntering(i: number, port: number): boolean {
    const { frames, program } = this;
    return i >= frames.count || program.portNetwork[frames.ingressPort[i]!] !== program.portNetwork[port];
  }

  /** What a capture of `port` wants of a departure with that fate; 0 = nothing. */
  private wantedOf(isEntry: boolean, reason: number): number {
    const flags = isEntry ? CAPTURE_DEPARTURES | CAPTURE_ARRIVALS : CAPTURE_DEPARTURES;
    return reason === NOT_DROPPED ? flags : flags | CAPTURE_DROPS;
  }

  /** Shows the rows just written to the tap. A capture of a network, which wants arrivals, also gets what the router sends into it. */
  private capture(rows: number): void {
    const { queue, program } = this;
    for (let row = 0; row < rows; row++) {
      const port = queue.port[row]!;
      const result = queue.result[row]!;
      if (result === RESENT) continue;
      const reason = result === 0 ? NOT_DROPPED : this.reasonAt(port, result);
      const isEntry = queue.isEntering[row] === 1 && reason === NOT_DROPPED;
      if ((program.portCapture[port]! & this.wantedOf(isEntry, reason)) === 0) continue;
      const unsent = queue.unsentBytes[row]!;
      const inHead = queue.headBytes[row] === 0 ? 0 : queue.overheadBytes[row]!;
      const inBody = queue.overheadBytes[row]! - inHead;
      if (queue.overheadBytes[row] === vnet.TUNNEL_HEADER_BYTES) this.finishOuter(row);
      this.tap.recordSplit(
        queue.headAt[row]! + inHead - unsent,
        queue.headBytes[row]! - inHead + unsent,
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

  /** Finishes the outer checksum of a super-frame that has one: the kernel had to get it unfinished, and has it by now. */
  private finishOuter(row: number): void {
    const { queue } = this;
    const { view } = this.slab;
    const headAt = queue.headAt[row]!;
    const frameAt = headAt + vnet.TUNNEL_HEADER_BYTES;
    if (queue.headBytes[row] === 0 || (vnet.flags(view, headAt) & vnet.FLAG_TUNNEL_CHECKSUM) === 0) return;
    const headEnd = headAt + queue.headBytes[row]!;
    const innerStart = queue.bodyAt[row]! + queue.checksumStart[row]! - (headEnd - frameAt);
    const udpAt = frameAt + vnet.outerUdpOffset(view, headAt);
    const field = innerStart + queue.checksumOffset[row]!;
    finishOuterChecksum(view, udpAt, headEnd, queue.bodyAt[row]!, innerStart, field);
  }

  /** Shows row `i` as it leaves by the port of a tunnel: `head` (maybe empty) in place of the first `replaced` bytes of the frame. */
  captureInner(
    i: number,
    port: number,
    headAt: number,
    headBytes: number,
    replaced: number,
    checksumStart: number,
    reason: number,
  ): void {
    const { frames, program } = this;
    const isEntry = this.enteredFrame !== i && this.isEntering(i, port) && reason === NOT_DROPPED;
    if (isEntry) this.enteredFrame = i;
    if ((program.portCapture[port]! & this.wantedOf(isEntry, reason)) === 0) return;
    this.tap.recordSplit(
      headAt,
      headBytes,
      frames.start[i]! + replaced,
      frames.length[i]! - replaced,
      port,
      isEntry ? ENTRY : DEPARTURE,
      reason,
      checksumStart,
      frames.checksumOffset[i]!,
      program.captureSnaplen,
    );
  }
}
