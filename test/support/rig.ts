/**
 * A datapath that never runs dry: frames are written straight into the slab by a source and looked at by a sink where they
 * leave, without copies and without garbage. For tests and benchmarks with millions of frames; lab.ts is for all others.
 */
import { strict as assert } from 'node:assert';
import { createCaptureMemory } from '../../src/capture/capture-layout.js';
import { PuntRing } from '../../src/capture/punt-ring.js';
import { Counters, createCounterMemory } from '../../src/datapath/counters.js';
import { Datapath } from '../../src/datapath/datapath.js';
import type { FrameTap } from '../../src/datapath/frame-tap.js';
import { createNat, type Nat } from '../../src/datapath/nat.js';
import { MAX_NETWORKS, MAX_PORTS, MAX_REMOTES, type Program } from '../../src/datapath/program.js';
import { Punts } from '../../src/datapath/punts.js';
import { FrameVector } from '../../src/frames/frame-vector.js';
import type { PeerRows } from '../../src/frames/peer-rows.js';
import { createSlab, HEADROOM_BYTES, MAX_FRAME_BYTES, type Slab, SPREAD_BYTES } from '../../src/frames/slab.js';
import { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { createInjectMemory, InjectRingReader } from '../../src/ports/inject-ring.js';
import { OutboundRingReader } from '../../src/ports/outbound-ring.js';
import { type PortIo, READY_PORTS } from '../../src/ports/port.js';
import { createMacMemory, MacTable } from '../../src/tables/mac-table.js';
import { createRemoteMemory, RemoteTable } from '../../src/tables/remote-table.js';
import * as checksum from '../../src/wire/checksum.js';

/** Writes the next frame of `port` to `at` of the slab (its vnet header right before); returns its length, -1 = no more. */
export type FrameSource = (port: number, slab: Slab, at: number) => number;

/** Looks at what leaves: a row of the transmit queue. Returns what the kernel would: 0 or -errno. */
export type FrameSink = (queue: TransmitQueue, row: number, slab: Slab) => number;

const POISON_BYTES = 64;

export interface RigOptions {
  program: Program;
  /** Ports that have frames. */
  senders: readonly number[];
  source: FrameSource;
  sink?: FrameSink;
  /** Ports that are UDP sockets, and who says from whom each of their messages is. */
  sockets?: { ports: readonly number[]; writePeer: (peers: PeerRows, row: number) => void };
  /** Fills the memory around each frame, and is checked afterwards; -1 = leave it as it is. */
  poison?: number;
  nowMs?: () => number;
}

export interface Rig {
  slab: Slab;
  frames: FrameVector;
  queue: TransmitQueue;
  io: RigIo;
  injectMemory: SharedArrayBuffer;
  macs: MacTable;
  macMemory: SharedArrayBuffer;
  remotes: RemoteTable;
  nat: Nat;
  counters: Counters;
  datapath: Datapath;
}

const SILENT_TAP: FrameTap = { setTime() {}, record() {}, recordSplit() {}, commit() {} };

export function createRig(options: RigOptions): Rig {
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const queue = new TransmitQueue(slab);
  const io = new RigIo(slab, frames, queue, options);
  const macMemory = createMacMemory();
  const macs = new MacTable(macMemory, MAX_PORTS + MAX_REMOTES, MAX_NETWORKS, 0x5eed);
  const remotes = new RemoteTable(createRemoteMemory(MAX_REMOTES), 0x5eed);
  const nat = createNat(1024, 0x5eed, 0xbeef, 0);
  const counters = new Counters(createCounterMemory());
  const nowMs = options.nowMs ?? (() => 0);
  const injectMemory = createInjectMemory();
  const injector = new InjectRingReader(injectMemory, slab, frames);
  const outlet = new OutboundRingReader(createInjectMemory(), slab, frames);
  const punts = new Punts(new PuntRing(createCaptureMemory(1 << 18), slab.bytes, (...range) => io.sum(...range)));
  const parts = {
    slab,
    frames,
    queue,
    io,
    injector,
    outlet,
    punts,
    macs,
    remotes,
    nat,
    counters,
    tap: SILENT_TAP,
    nowMs,
    seed: 0x5eed,
    wallMs: () => 0,
  };
  const datapath = new Datapath(parts);
  datapath.adopt(options.program);
  return { slab, frames, queue, io, injectMemory, macs, macMemory, remotes, nat, counters, datapath };
}

export class RigIo implements PortIo {
  readonly ready = new Int32Array(READY_PORTS);
  source: FrameSource;
  sink: FrameSink;
  private readonly slab: Slab;
  private readonly frames: FrameVector;
  private readonly queue: TransmitQueue;
  private readonly senders: Int32Array;
  private readonly poison: number;
  private readonly sockets: RigOptions['sockets'];
  private nextSender = 0;
  /** Pairs of offsets between which there is poison. */
  private readonly poisoned = new Int32Array(4 * 512);
  private poisonedCount = 0;

  constructor(slab: Slab, frames: FrameVector, queue: TransmitQueue, options: RigOptions) {
    this.slab = slab;
    this.frames = frames;
    this.queue = queue;
    this.senders = Int32Array.from(options.senders);
    this.source = options.source;
    this.sink = options.sink ?? (() => 0);
    this.poison = options.poison ?? -1;
    this.sockets = options.sockets;
  }

  wait(_timeoutMicros: number): number {
    const count = Math.min(READY_PORTS, this.senders.length);
    for (let i = 0; i < count; i++) {
      this.ready[i] = this.senders[this.nextSender]!;
      this.nextSender = (this.nextSender + 1) % this.senders.length;
    }
    return count;
  }

  receiveBurst(port: number, firstRow: number, maxFrames: number, at: number, endAt: number): number {
    if (firstRow === 0 && this.poison >= 0) this.checkPoison();
    const isSocket = this.sockets?.ports.includes(port) === true;
    const headroom = HEADROOM_BYTES + (isSocket ? SPREAD_BYTES : 0);
    let count = 0;
    while (count < maxFrames) {
      const start = ((at + headroom + 15) & ~15) + 2;
      if (start + MAX_FRAME_BYTES > endAt) break;
      if (this.poison >= 0) this.slab.bytes.fill(this.poison, at, start);
      const length = this.source(port, this.slab, start);
      if (length < 0) break;
      this.frames.start[firstRow + count] = start;
      this.frames.length[firstRow + count] = length;
      if (isSocket) this.sockets?.writePeer(this.frames.rxPeer, firstRow + count);
      // Datagrams are moved to where others were.
      if (this.poison >= 0 && !isSocket) this.surround(at, start, start + length);
      at = start + length;
      count++;
    }
    return count;
  }

  transmitBurst(count: number): void {
    for (let row = 0; row < count; row++) this.queue.result[row] = this.sink(this.queue, row, this.slab);
  }

  sum(at: number, length: number, initial: number): number {
    return checksum.sum(this.slab.view, at, length, initial);
  }

  private surround(gapAt: number, start: number, end: number): void {
    this.slab.bytes.fill(this.poison, end, end + POISON_BYTES);
    const { poisoned } = this;
    const slot = this.poisonedCount;
    poisoned[slot] = gapAt;
    // The datapath may write a vnet header in front of any frame.
    poisoned[slot + 1] = start - 12;
    poisoned[slot + 2] = end;
    // Whoever comes next begins behind the headroom.
    poisoned[slot + 3] = end + POISON_BYTES;
    this.poisonedCount += 4;
  }

  /**
   * Nothing outside the frames of the last turn was written to. Looked at before the next frames are read; after each turn by who has
   * frames held back, which come to stand where others were.
   */
  checkPoison(): void {
    const { poisoned } = this;
    const { bytes } = this.slab;
    for (let slot = 0; slot < this.poisonedCount; slot += 2) {
      for (let at = poisoned[slot]!; at < poisoned[slot + 1]!; at++) {
        if (bytes[at] !== this.poison) assert.fail(`offset ${at} outside all frames was written to`);
      }
    }
    this.poisonedCount = 0;
  }
}
