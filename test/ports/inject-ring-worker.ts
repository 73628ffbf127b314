// A consumer in a thread of its own: takes numbered frames as fast as it can, like the datapath worker, until it is told to end.
import { workerData } from 'node:worker_threads';
import { FrameVector } from '../../src/frames/frame-vector.js';
import { createSlab } from '../../src/frames/slab.js';
import { Prng } from '../../src/lib/prng.js';
import { InjectRingReader } from '../../src/ports/inject-ring.js';

export interface ConsumerData {
  memory: SharedArrayBuffer;
  /** Int32: SEEN, and behind it how often each frame was taken. */
  seen: SharedArrayBuffer;
  seed: number;
}

/** What it has seen, for all consumers of a ring together. */
export const SEEN = { last: 0, damaged: 1, isStopped: 2, timesOfFrame: 3 } as const;

if (workerData !== null) consume(workerData as ConsumerData);

function consume({ memory, seen: shared, seed }: ConsumerData): void {
  const prng = new Prng(seed);
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const ring = new InjectRingReader(memory, slab, frames);
  const seen = new Int32Array(shared);
  const serials = Int32Array.of(1);
  while (Atomics.load(seen, SEEN.isStopped) === 0) {
    const rows = ring.take(1, serials, 1 + prng.below(64), 1 + prng.below(65_536));
    for (let row = 0; row < rows; row++) {
      const at = frames.start[row]!;
      const number = slab.view.getInt32(at);
      const body = slab.bytes.subarray(at + 4, at + frames.length[row]!);
      const isNext = number > Atomics.load(seen, SEEN.last);
      if (!isNext || !body.every((byte) => byte === (number & 0xff))) Atomics.add(seen, SEEN.damaged, 1);
      Atomics.add(seen, SEEN.timesOfFrame + number, 1);
      Atomics.store(seen, SEEN.last, number);
    }
  }
}
