/**
 * The ports of a datapath that only traces: one frame goes in through the injector, what departs is kept, and nothing else
 * happens. A departure is what one write would have put on one port.
 */
import type { FrameVector } from '../../frames/frame-vector.js';
import { HEADROOM_BYTES, type Slab } from '../../frames/slab.js';
import type { TransmitQueue } from '../../frames/transmit-queue.js';
import type { FrameInjector, FrameOutlet, PortIo } from '../../ports/port.js';
import * as checksum from '../../wire/checksum.js';
import * as vnet from '../../wire/vnet-header.js';

export interface Departure {
  port: number;
  /** Without its vnet header. */
  bytes: Uint8Array;
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
  private waiting: { port: number; bytes: Uint8Array } | null = null;

  constructor(slab: Slab, frames: FrameVector, queue: TransmitQueue) {
    this.slab = slab;
    this.frames = frames;
    this.queue = queue;
  }

  /** The frame that the next turn takes in. */
  put(port: number, bytes: Uint8Array): void {
    this.waiting = { port, bytes };
  }

  take(): number {
    const { waiting, slab, frames } = this;
    if (waiting === null) return 0;
    this.waiting = null;
    vnet.writePlain(slab.view, FIRST_START - vnet.HEADER_BYTES);
    slab.bytes.set(waiting.bytes, FIRST_START);
    frames.start[0] = FIRST_START;
    frames.length[0] = waiting.bytes.length;
    frames.ingressPort[0] = waiting.port;
    return 1;
  }

  wait(): number {
    return 0;
  }

  receiveBurst(): number {
    return 0;
  }

  transmitBurst(count: number): void {
    const { queue, slab } = this;
    for (let row = 0; row < count; row++) {
      const head = slab.bytes.subarray(queue.headAt[row]!, queue.headAt[row]! + queue.headBytes[row]!);
      const body = slab.bytes.subarray(queue.bodyAt[row]!, queue.bodyAt[row]! + queue.bodyBytes[row]!);
      const whole = Buffer.concat([head, body]).subarray(queue.overheadBytes[row]!);
      this.departures.push({ port: queue.port[row]!, bytes: Uint8Array.from(whole) });
      queue.result[row] = 0;
    }
  }

  sum(at: number, length: number, initial: number): number {
    return checksum.sum(this.slab.view, at, length, initial);
  }
}
