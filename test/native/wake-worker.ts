// A worker that waits again and again and tells how each wait ended, until it was woken workerData.rounds times.

import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../../src/native/index.js';
import { bind } from './forwarder.js';

const { wakeFd, rounds, waiting } = workerData as { wakeFd: number; rounds: number; waiting: Int32Array };

const { ready } = bind(4, 1 << 17);
const outcomes: unknown[] = [native.setWake(wakeFd)];
for (let round = 0; round < rounds; round++) {
  Atomics.add(waiting, 0, 1);
  Atomics.notify(waiting, 0);
  const started = process.hrtime.bigint();
  const count = native.wait(10_000_000);
  outcomes.push({ count, entry: ready[0], millis: Number(process.hrtime.bigint() - started) / 1e6 });
}
outcomes.push(native.wait(0), native.setWake(-1));
parentPort?.postMessage(outcomes);
