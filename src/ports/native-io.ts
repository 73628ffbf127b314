/**
 * PortIo over the native addon: the real one. Binds the vectors to the addon once; afterwards every call is one crossing
 * into C. Belongs to the thread that made it.
 */
import type { FrameVector } from '../frames/frame-vector.js';
import type { Slab } from '../frames/slab.js';
import type { TransmitQueue } from '../frames/transmit-queue.js';
import { errorName, native } from '../native/index.js';
import { sum as smallSum } from '../wire/checksum.js';
import { type PortIo, READY_PORTS } from './port.js';

/** Up to here a sum is quicker without a crossing into C, which takes some 200 ns. */
const SMALL_SUM_BYTES = 64;

export interface NativePortIo extends PortIo {
  /** Has the addon poll `fd` as `port`; returns 0 or -errno. The descriptor stays the caller's. */
  attach(port: number, fd: number, kind: number, headerBytes: number): number;
  /** Returns 0 or -errno; afterwards nothing of this thread touches the descriptor. */
  detach(port: number): number;
}

/** `wakeFd`: eventfd with which the control thread ends a wait. Throws when the addon refuses the memory (a bug). */
export function createNativeIo(slab: Slab, frames: FrameVector, queue: TransmitQueue, wakeFd: number): NativePortIo {
  const ready = slab.takeColumn(READY_PORTS);
  const bound = native.bindBurst(slab.buffer, {
    rxStart: frames.start,
    rxLength: frames.length,
    txPort: queue.port,
    txHeadAt: queue.headAt,
    txHeadBytes: queue.headBytes,
    txBodyAt: queue.bodyAt,
    txBodyBytes: queue.bodyBytes,
    txResult: queue.result,
    ready,
    rxPeer: frames.rxPeer.bytes,
    txPeer: queue.txPeer.bytes,
  });
  if (bound < 0) throw new Error(`cannot bind burst memory: ${errorName(bound)}`);
  const waking = native.setWake(wakeFd);
  if (waking < 0) throw new Error(`cannot watch the wake-up descriptor: ${errorName(waking)}`);
  const { wait, receiveBurst, transmitBurst, checksum, addPort, removePort } = native;
  return {
    ready,
    wait: (timeoutMicros) => Math.max(0, wait(timeoutMicros)),
    receiveBurst,
    transmitBurst: (count) => {
      transmitBurst(0, count);
    },
    sum: (at, length, initial) =>
      length <= SMALL_SUM_BYTES ? smallSum(slab.view, at, length, initial) : checksum(at, length, initial),
    attach: addPort,
    detach: removePort,
  };
}
