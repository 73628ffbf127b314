// wait: bounded, interrupted by wake() from another thread, and quiet when nothing happens.

import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { MAX_WAIT_MICROS, native, READY_WAKE } from '../../src/native/index.js';
import { bind } from './forwarder.js';
import { Lab, ok } from './lab.js';

function millisOf(call: () => void): number {
  const started = process.hrtime.bigint();
  call();
  return Number(process.hrtime.bigint() - started) / 1e6;
}

describe('native: wait and wake', () => {
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => {
    native.setWake(-1);
    lab.close();
  });

  it('returns 0 after its time, which never exceeds the limit', () => {
    bind(4, 1 << 17);
    assert.ok(millisOf(() => assert.equal(native.wait(5000), 0)) >= 4.9);
    assert.ok(millisOf(() => assert.equal(native.wait(0), 0)) < 1000);
    const limited = millisOf(() => assert.equal(native.wait(2 ** 31 - 1), 0));
    assert.ok(limited >= MAX_WAIT_MICROS / 1000 - 1 && limited < 5000, `${limited} ms`);
    assert.equal(native.wait(-1), -22);
  });

  it('is ended by a wake-up, once, however often it was called before', () => {
    const { ready } = bind(4, 1 << 17);
    const wakeFd = lab.keep(native.createWake(), 'createWake');
    ok(native.setWake(wakeFd));
    for (let i = 0; i < 3; i++) ok(native.wake(wakeFd));
    assert.equal(native.wait(100_000), 1);
    assert.equal(ready[0], READY_WAKE);
    assert.equal(native.wait(0), 0);
    assert.equal(native.wake(1), -9, 'EBADF: only wake-up descriptors are written to');
  });

  it('is interrupted by wake() from another thread', async function () {
    this.timeout(120_000);
    const rounds = 20;
    const wakeFd = lab.keep(native.createWake(), 'createWake');
    const waiting = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(new URL('./wake-worker.js', import.meta.url), {
      workerData: { wakeFd, rounds, waiting },
    });
    lab.defer(() => void worker.terminate());
    const outcome = once(worker, 'message');
    for (let round = 0; round < rounds; round++) {
      while (Atomics.load(waiting, 0) <= round) await setTimeout(1);
      await setTimeout(5); // most likely inside the system call by now; if not, the wake-up is kept for it
      ok(native.wake(wakeFd));
    }
    const [[bound, ...rest]] = await outcome;
    assert.equal(bound, 0);
    assert.deepEqual(rest.slice(-2), [0, 0]);
    for (const { count, entry } of rest.slice(0, rounds)) assert.deepEqual([count, entry], [1, READY_WAKE]);
    const first = rest.slice(0, rounds).filter(({ waits }: { waits: number }) => waits === 1);
    assert.ok(first.length > rounds / 2, 'woken, not timed out');
  });

  it('lets a worker that waits be terminated', async function () {
    this.timeout(120_000);
    const wakeFd = lab.keep(native.createWake(), 'createWake');
    const waiting = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(new URL('./wake-worker.js', import.meta.url), {
      workerData: { wakeFd, rounds: 1_000_000, waiting },
    });
    while (Atomics.load(waiting, 0) === 0) await setTimeout(1);
    await worker.terminate();
    assert.ok(Atomics.load(waiting, 1) < 1000, 'it has waited');
  });
});
