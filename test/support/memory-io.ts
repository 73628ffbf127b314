/**
 * PortIo over memory: what the datapath has instead of a kernel in tests. It packs arrivals into the slab exactly as the
 * native addon does (src/native/burst.c), keeps what departs, and can be told to fail.
 *
 * Stricter than a kernel: memory around each arrival is filled with garbage before it is handed over, so that a stage that
 * reads beyond a frame gets caught, and rows outside the slab are a failed assertion.
 */
import { strict as assert } from 'node:assert';
import type { FrameVector } from '../../src/frames/frame-vector.js';
import { HEADROOM_BYTES, MAX_FRAME_BYTES, type Slab } from '../../src/frames/slab.js';
import type { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { type PortIo, READY_ERROR, READY_PORTS, READY_WAKE } from '../../src/ports/port.js';
import * as checksum from '../../src/wire/checksum.js';
import { readVnet, type TestFrame, vnetBytes } from './frame-builders.js';

const GARBAGE = 0xa5;
const GARBAGE_BYTES = 64;

interface MemoryPort {
  headerBytes: number;
  arrivals: TestFrame[];
  departures: TestFrame[];
  /** errno of every write, 0 = none. */
  transmitErrno: number;
  /** errno of every read, 0 = none. */
  receiveErrno: number;
  /** Reported with READY_ERROR, like a device that hung up. */
  hasHungUp: boolean;
}

export class MemoryIo implements PortIo {
  readonly ready = new Int32Array(READY_PORTS);
  /** Calls of transmitBurst, with the rows of each. */
  readonly bursts: number[] = [];
  private readonly slab: Slab;
  private readonly frames: FrameVector;
  private readonly queue: TransmitQueue;
  private readonly ports = new Map<number, MemoryPort>();
  private isRung = false;
  private nextFirst = 0;

  constructor(slab: Slab, frames: FrameVector, queue: TransmitQueue) {
    this.slab = slab;
    this.frames = frames;
    this.queue = queue;
  }

  attach(port: number, headerBytes: number): void {
    this.ports.set(port, {
      headerBytes,
      arrivals: [],
      departures: [],
      transmitErrno: 0,
      receiveErrno: 0,
      hasHungUp: false,
    });
  }

  port(port: number): MemoryPort {
    const found = this.ports.get(port);
    assert.ok(found !== undefined, `port ${port} is attached`);
    return found;
  }

  /** Makes the next wait report that the control thread rang. */
  ring(): void {
    this.isRung = true;
  }

  /** What left `port` since the last call. */
  take(port: number): TestFrame[] {
    return this.port(port).departures.splice(0);
  }

  /** Frames that nobody has read yet. */
  get waiting(): number {
    let count = 0;
    for (const port of this.ports.values()) count += port.arrivals.length;
    return count;
  }

  /** Reports ports with frames, as many as fit; the next wait begins behind them, like the ready list of epoll. */
  wait(_timeoutMicros: number): number {
    let count = 0;
    if (this.isRung) this.ready[count++] = READY_WAKE;
    this.isRung = false;
    const numbers = [...this.ports.keys()];
    const first = this.nextFirst;
    for (let i = 0; i < numbers.length && count < READY_PORTS; i++) {
      const number = numbers[(first + i) % numbers.length]!;
      const port = this.port(number);
      if (port.arrivals.length === 0 && port.receiveErrno === 0 && !port.hasHungUp) continue;
      this.ready[count++] = number | (port.hasHungUp ? READY_ERROR : 0);
      this.nextFirst = (first + i + 1) % numbers.length;
    }
    return count;
  }

  receiveBurst(number: number, firstRow: number, maxFrames: number, at: number, endAt: number): number {
    const { slab, frames } = this;
    const port = this.port(number);
    assert.ok(endAt <= slab.bytes.length, 'a read must not pass the slab');
    if (port.receiveErrno !== 0) return -port.receiveErrno;
    let count = 0;
    while (count < maxFrames && port.arrivals.length > 0) {
      const start = ((at + HEADROOM_BYTES + 15) & ~15) + 2;
      if (start + MAX_FRAME_BYTES > endAt) break;
      const { bytes, vnet } = port.arrivals.shift()!;
      const end = start + bytes.length;
      slab.bytes.fill(GARBAGE, at, start);
      slab.bytes.fill(GARBAGE, end, Math.min(end + GARBAGE_BYTES, endAt));
      slab.bytes.set(vnetBytes(vnet).subarray(0, port.headerBytes), start - port.headerBytes);
      slab.bytes.set(bytes, start);
      frames.start[firstRow + count] = start;
      frames.length[firstRow + count] = bytes.length;
      at = end;
      count++;
    }
    return count;
  }

  transmitBurst(count: number): void {
    this.bursts.push(count);
    for (let row = 0; row < count; row++) this.queue.result[row] = this.transmit(row);
  }

  sum(at: number, length: number, initial: number): number {
    return checksum.sum(this.slab.view, at, length, initial);
  }

  private transmit(row: number): number {
    const { queue } = this;
    const port = this.ports.get(queue.port[row]!);
    if (port === undefined) return -19;
    if (port.transmitErrno !== 0) return -port.transmitErrno;
    const head = this.piece(queue.headAt[row]!, queue.headBytes[row]!);
    const body = this.piece(queue.bodyAt[row]!, queue.bodyBytes[row]!);
    const all = Buffer.concat([head, body]);
    const vnet = port.headerBytes === 0 ? null : readVnet(all.subarray(0, port.headerBytes));
    port.departures.push({ bytes: Uint8Array.from(all.subarray(port.headerBytes)), vnet });
    return 0;
  }

  private piece(at: number, bytes: number): Uint8Array {
    assert.ok(bytes >= 0 && at >= 0 && at + bytes <= this.slab.bytes.length, `row [${at}, +${bytes}) is in the slab`);
    return this.slab.bytes.subarray(at, at + bytes);
  }
}
