// A producer in a thread of its own: records numbered frames in turns as fast as it can, like the datapath worker.
import { parentPort, workerData } from 'node:worker_threads';
import { CaptureRing } from '../../src/capture/capture-ring.js';
import { ARRIVAL, NOT_DROPPED } from '../../src/datapath/frame-tap.js';
import { SLAB_BYTES } from '../../src/frames/slab.js';
import { Prng } from '../../src/lib/prng.js';

export interface RingWorkerData {
  memory: SharedArrayBuffer;
  frames: number;
  seed: number;
}

const { memory, frames, seed } = workerData as RingWorkerData;
const prng = new Prng(seed);
const slab = new Uint8Array(SLAB_BYTES);
const view = new DataView(slab.buffer);
const ring = new CaptureRing(memory, slab, () => 0);

for (let next = 0; next < frames; ) {
  ring.setTime(next, 0);
  for (let i = 1 + prng.below(64); i > 0 && next < frames; i--) {
    const at = 130 + 16 * prng.below(64);
    const length = 8 + prng.below(prng.below(50) === 0 ? 65000 : 1500);
    slab.fill(next & 0xff, at, at + length);
    view.setInt32(at, next);
    view.setInt32(at + 4, length);
    ring.record(at, length, next % 7, ARRIVAL, NOT_DROPPED, -1, 0, 65536);
    next++;
  }
  ring.commit();
}
parentPort?.postMessage(ring.lost);
