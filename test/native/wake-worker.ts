// A worker that waits again and again until it was woken workerData.rounds times, and tells how often it had to wait for that.

import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../../src/native/index.js';
import { bind } from './forwarder.js';

/** In `workerData.waiting`: rounds that have begun, and waits that have ended. */
const [BEGUN, ENDED] = [0, 1];

const { wakeFd, rounds, waiting } = workerData as { wakeFd: number; rounds: number; waiting: Int32Array };

const { ready } = bind(4, 1 << 17);
const outcomes: unknown[] = [native.setWake(wakeFd)];
for (let round = 0; round < rounds; round++) {
  Atomics.add(waiting, BEGUN, 1);
  let waits = 0;
  let count = 0;
  while (count === 0) {
    count = native.wait(10_000_000);
    waits++;
    Atomics.add(waiting, ENDED, 1);
  }
  outcomes.push({ count, entry: ready[0], waits });
}
outcomes.push(native.wait(0), native.setWake(-1));
parentPort?.postMessage(outcomes);
