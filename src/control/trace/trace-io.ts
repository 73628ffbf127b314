/**
 * The ports of a datapath that only traces: one frame goes in, through the injector or, encapsulated, at a port of a VTEP; what departs is
 * kept, and nothing else happens. A departure is what one write would have put on one port.
 */
import type { FrameVector } from '../../frames/frame-vector.js';
import { PEER_CONTINUES } from '../../frames/peer-rows.js';
import { HEADROOM_BYTES, type Slab } from '../../frames/slab.js';
import type { TransmitQueue } from '../../frames/transmit-queue.js';
import type { UnfinishedFrame } from '../../ports/inject-ring.js';
import type { FrameInjector, FrameOutlet, PortIo } from '../../ports/port.js';
import * as checksum from '../../wire/checksum.js';
import * as vnet from '../../wire/vnet-header.js';

export interface Departure {
  port: number;
  /** Without its vnet header. */
  bytes: Uint8Array;
  /** Of a datagram that a socket sends: where to, four words. */
  peer: { family: number; words: Int32Array; port: number } | null;
}

/** What arrives at a port of a VTEP: a datagram of a socket, or an outer frame of a TAP. */
export interface OuterArrival {
  port: number;
  bytes: Uint8Array;
  /** Bytes of vnet header of the port. */
  headerBytes: number;
  /** Who sent the datagram; null: a TAP tells it in the frame. */
  peer: { family: number; words: Int32Array; port: number } | null;
}

/** Where the addon puts the first frame of a burst (native/burst.c). */
const FIRST_START = HEADROOM_BYTES + 2;

/** Services of the control thread send nothing while a frame is traced. */
export const NO_OUTLET: FrameOutlet = { take() {} };

export class TraceIo implements PortIo, FrameInjector {
  readonly ready = new Int32Array(1);
  readonly departures: Departure[] = [];
  private readonly slab: Slab;
  private readonly frames: FrameVector;
  private readonly queue: TransmitQueue;
  private waiting: { port: number; bytes: Uint8Array; unfinished: UnfinishedFrame | null } | null = null;
  private outer: OuterArrival | null = null;

  constructor(slab: Slab, frames: FrameVector, queue: TransmitQueue) {
    this.slab = slab;
    this.frames = frames;
    this.queue = queue;
  }

  /** The frame that the next turn takes in, and what its vnet header says of it. */
  put(port: number, bytes: Uint8Array, unfinished: UnfinishedFrame | null): void {
    this.waiting = { port, bytes, unfinished };
  }

  /** The same at a port of a VTEP. */
  putOuter(arrival: OuterArrival): void {
    this.outer = arrival;
  }

  take(): number {
    const { waiting, slab, frames } = this;
    if (waiting === null) return 0;
    this.waiting = null;
    writeVnet(slab.view, FIRST_START - vnet.HEADER_BYTES, waiting.unfinished);
    slab.bytes.set(waiting.bytes, FIRST_START);
    frames.start[0] = FIRST_START;
    frames.length[0] = waiting.bytes.length;
    frames.ingressPort[0] = waiting.port;
    return 1;
  }

  wait(): number {
    if (this.outer === null) return 0;
    this.ready[0] = this.outer.port;
    return 1;
  }

  receiveBurst(_port: number, firstRow: number, _maxFrames: number, at: number): number {
    const { outer, slab, frames } = this;
    if (outer === null) return 0;
    this.outer = null;
    const start = ((at + HEADROOM_BYTES + 15) & ~15) + 2;
    slab.bytes.fill(0, start - outer.headerBytes, start);
    slab.bytes.set(outer.bytes, start);
    frames.start[firstRow] = start;
    frames.length[firstRow] = outer.bytes.length;
    const { peer } = outer;
    if (peer !== null) frames.rxPeer.write(firstRow, peer.family, peer.port, 0, peer.words, 0, 0, 0, 0);
    return 1;
  }

  transmitBurst(count: number): void {
    const { queue, slab } = this;
    for (let row = 0; row < count; row++) {
      const head = slab.bytes.subarray(queue.headAt[row]!, queue.headAt[row]! + queue.headBytes[row]!);
      const body = slab.bytes.subarray(queue.bodyAt[row]!, queue.bodyAt[row]! + queue.bodyBytes[row]!);
      const whole = Buffer.concat([head, body]).subarray(queue.overheadBytes[row]!);
      this.departures.push({ port: queue.port[row]!, bytes: Uint8Array.from(whole), peer: this.peerOf(row) });
      queue.result[row] = 0;
    }
  }

  /** Rows that continue a message go where the first one goes. */
  private peerOf(row: number): Departure['peer'] {
    const { txPeer } = this.queue;
    if ((txPeer.flags(row) & PEER_CONTINUES) !== 0) return this.departures[this.departures.length - 1]!.peer;
    const family = txPeer.family(row);
    if (family === 0) return null;
    const words = new Int32Array(4);
    txPeer.readAddress(row, words, 0);
    return { family, words, port: txPeer.port(row) };
  }

  sum(at: number, length: number, initial: number): number {
    return checksum.sum(this.slab.view, at, length, initial);
  }
}

function writeVnet(view: DataView, at: number, unfinished: UnfinishedFrame | null): void {
  vnet.writePlain(view, at);
  if (unfinished === null) return;
  const { gsoType, headerBytes, gsoSize, checksumStart, checksumOffset } = unfinished;
  vnet.writeSuperFrame(view, at, gsoType, headerBytes, gsoSize, checksumStart, checksumOffset);
}
