// "The worker killed by a fault injected into it: restarted, forwarding again within a second, control plane never stops
// answering." Three ways to fail: an exception, an end without a word, a turn that never ends.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkerFault } from '../../src/datapath/program.js';
import { expectConservation } from '../support/system-conservation.js';
import { type Lab, useLab } from '../support/system-lab.js';
import { createPair, type Pair } from '../support/system-pair.js';
import { must, waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

const MEGABYTE = 1e6;
/** A worker that hangs is believed to be slow for a while. */
const LONGEST_GAP_MS: Record<WorkerFault, number> = { throw: 1000, exit: 1000, hang: 2000 };
const REASONS: Record<WorkerFault, RegExp> = {
  throw: /a fault was injected: throw/,
  exit: /it ended by itself/,
  hang: /it made no turn for too long/,
};
const LONGEST_ANSWER_MS = 1000;
/** Of one test, on a machine that is busy. */
const MOST_FAULTS = 8;

/** A ping every 10 ms; the longest time between two replies. */
async function watchPings(lab: Lab, { left, right }: Pair, work: () => Promise<void>): Promise<number> {
  const ping = lab.background(left.base, ['ping', '-n', '-D', '-i', '0.01', right.v4]);
  const replies = () =>
    [...ping.stdout.matchAll(/^\[(\d+\.\d+)\] .* bytes from/gm)].map(([, time]) => Number(time) * 1000);
  await waitFor('replies before', () => replies().length > 20);
  await work();
  const seen = replies().length;
  await waitFor('replies afterwards', () => replies().length > seen + 20);
  await ping.stop('SIGINT');
  return Math.max(...replies().map((time, i, all) => (i === 0 ? 0 : time - all[i - 1]!)));
}

/**
 * Asks for the status all the time; the longest time that an answer took, but for one: the machine that runs the tests may have
 * other things to do at one moment, and the worker fails more than once meanwhile.
 */
async function watchApi(lab: Lab, work: () => Promise<void>): Promise<number> {
  let isOver = false;
  const times: number[] = [];
  const asking = (async () => {
    while (!isOver) {
      const askedAt = performance.now();
      await lab.daemon.call('GET', '/v1/status');
      times.push(performance.now() - askedAt);
      await sleep(5);
    }
  })();
  await work().finally(() => {
    isOver = true;
  });
  await asking;
  return times.sort((a, b) => a - b).at(-2) ?? 0;
}

for (const how of ['throw', 'exit', 'hang'] as const) {
  describe(`a datapath worker that fails (${how})`, function workerFault() {
    this.timeout(120_000);
    const lab = useLab();
    const { daemon } = lab;
    daemon.setOptions('--worker-fault', how);
    let pair: Pair;

    const restarts = async (): Promise<{ message: string }[]> =>
      (await daemon.call('GET', '/v1/events')).filter(({ type }: { type: string }) => type === 'worker-restarted');

    async function fail(): Promise<void> {
      const before = (await restarts()).length;
      process.kill(daemon.pid, 'SIGUSR2');
      await waitFor('the worker to be replaced', async () => (await restarts()).length > before);
    }

    before(async () => {
      pair = await createPair(lab);
    });

    it('is replaced: forwards again within moments, while the control plane answers', async () => {
      const pid = daemon.pid;
      const gaps: number[] = [];
      const answerMs = await watchApi(lab, async () => {
        const isGoodEnough = () => Math.min(...gaps) < LONGEST_GAP_MS[how];
        while (gaps.length < 3 || (gaps.length < MOST_FAULTS && !isGoodEnough())) {
          gaps.push(await watchPings(lab, pair, fail));
        }
      });
      // The best of them: the machine that runs the tests may have other things to do.
      const gapMs = Math.min(...gaps);
      assert.ok(gapMs < LONGEST_GAP_MS[how], `no reply for ${gaps} ms`);
      assert.ok(answerMs < LONGEST_ANSWER_MS, `an answer took ${answerMs} ms`);
      assert.equal(daemon.pid, pid);
      assert.ok(daemon.isRunning, 'it is the same daemon');
      assert.match((await restarts()).at(-1)!.message, REASONS[how]);
      assert.match(daemon.log, REASONS[how]);
      assert.equal((await daemon.call('GET', '/v1/status')).worker, 'running');
    });

    it('loses no connection, ends no capture and forgets no counter', async () => {
      const file = join(lab.directory, 'fault.pcapng');
      await daemon.call('POST', '/v1/captures', { name: 'fault', network: pair.network, file, snaplen: 128 });
      const request = { from: pair.left.base, to: pair.right.base, address: pair.right.v4, bytes: 200 * MEGABYTE };
      const transfer = await startTransfer(lab, request);
      await transfer.progress(20 * MEGABYTE);
      const before = (await daemon.call('GET', '/v1/captures/fault')).frames;
      await fail();
      await transfer.progress(20 * MEGABYTE);
      await transfer.finish();
      const { frames, lost, state } = await daemon.call('POST', '/v1/captures/fault/stop');
      assert.deepEqual([state, lost], ['finished', 0]);
      assert.ok(frames > before, `the capture went on: ${before} frames, then ${frames}`);
      const lines = (await must(['tshark', '-r', file, '-T', 'fields', '-e', 'frame.number'])).trim().split('\n');
      assert.equal(lines.length, frames);
      await expectConservation(daemon);
      const drops: { reason: string; frames: number }[] = await daemon.call('GET', '/v1/drops');
      assert.equal(
        drops.find(({ reason }) => reason === 'unknown-port')!.frames,
        0,
        'it knew its ports from the start',
      );
    });

    it('again and again does not stop the control plane, and things made meanwhile work', async () => {
      const base = `late-${how}`;
      const answerMs = await watchApi(lab, async () => {
        for (let round = 0; round < 6; round++) {
          process.kill(daemon.pid, 'SIGUSR2');
          await sleep(100);
        }
        await daemon.call('POST', '/v1/compartments', { name: lab.name(base) });
        const ip = [`${pair.subnet.v4}.77`];
        const endpoint = { name: lab.name('late'), network: pair.network, compartment: lab.name(base), ip };
        await daemon.call('POST', '/v1/endpoints', endpoint);
      });
      assert.ok(answerMs < LONGEST_ANSWER_MS, `an answer took ${answerMs} ms`);
      await waitFor('the new endpoint to be reached', () => lab.pings(pair.left.base, `${pair.subnet.v4}.77`));
      await expectConservation(daemon);
    });
  });
}

describe('a weftd that is asked to end while its datapath worker hangs', function stoppingHung() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  daemon.setOptions('--worker-fault', 'hang');

  it('ends in order all the same', async () => {
    process.kill(daemon.pid, 'SIGUSR2');
    await sleep(50);
    assert.equal((await daemon.terminate()).status, 0, daemon.log);
    assert.doesNotMatch(daemon.log, /took too long/);
  });
});
