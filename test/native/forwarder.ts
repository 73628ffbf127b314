// The smallest thing that forwards: whatever comes in at one of two ports goes out at the other, unread. Both ports
// have the same vnet header, so that super-frames and partial checksums pass as they are.

import { type BurstColumns, native, PEER_BYTES } from '../../src/native/index.js';

const SLAB_BYTES = 1 << 20;
const ROWS = 64;

export interface BoundBurst extends BurstColumns {
  slab: Uint8Array;
}

/** Allocates and binds a slab with `rows` rows per direction, in shared memory or not. */
export function bind(rows: number, slabBytes: number, shared = true): BoundBurst {
  const Memory = shared ? SharedArrayBuffer : ArrayBuffer;
  const column = (): Int32Array => new Int32Array(new Memory(rows * 4));
  const slab = new Uint8Array(new Memory(slabBytes));
  const columns = {
    rxStart: column(),
    rxLength: column(),
    txPort: column(),
    txHeadAt: column(),
    txHeadBytes: column(),
    txBodyAt: column(),
    txBodyBytes: column(),
    txResult: column(),
    ready: column(),
    rxPeer: new Uint8Array(new Memory(rows * PEER_BYTES)),
    txPeer: new Uint8Array(new Memory(rows * PEER_BYTES)),
  };
  const result = native.bindBurst(slab.buffer, columns);
  if (result < 0) throw new Error(`bindBurst: ${result}`);
  return { slab, ...columns };
}

export class Forwarder {
  readonly #burst = bind(ROWS, SLAB_BYTES);
  readonly #headerBytes: number;
  sent = 0;
  failed = 0;

  constructor(headerBytes: number) {
    this.#headerBytes = headerBytes;
  }

  /** Waits at most that long, then moves one burst from every ready port (0 or 1) to the other one. */
  turn(timeoutMicros: number): void {
    const { ready, rxStart, rxLength, txPort, txBodyAt, txBodyBytes } = this.#burst;
    const count = native.wait(timeoutMicros);
    for (let i = 0; i < count; i++) {
      const from = ready[i]!;
      if (from !== 0 && from !== 1) continue;
      const frames = Math.max(0, native.receiveBurst(from, 0, ROWS, 0, SLAB_BYTES));
      for (let row = 0; row < frames; row++) {
        txPort[row] = 1 - from;
        txBodyAt[row] = rxStart[row]! - this.#headerBytes;
        txBodyBytes[row] = rxLength[row]! + this.#headerBytes;
      }
      const sent = Math.max(0, native.transmitBurst(0, frames));
      this.sent += sent;
      this.failed += frames - sent;
    }
  }

  /** Turns until `task` is settled, giving way to the event loop in between. */
  async during<T>(task: Promise<T>): Promise<T> {
    let running = true;
    const stop = () => {
      running = false;
    };
    task.then(stop, stop);
    while (running) {
      this.turn(500);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return await task;
  }
}
