// The crash rig: a daemon is killed with SIGKILL at random moments of storms of requests, over and over, while a TCP
// transfer crosses it, and must come back each time with exactly what was acknowledged, having leaked nothing and lost no
// byte of the transfer. Now and then the datapath worker fails by itself just before.
//
//   each round:  storm begins -> [worker fails] -> kill -9 -> start -> compare with clients, with the kernel -> transfer alive
import { setTimeout as sleep } from 'node:timers/promises';
import { Prng } from '../../src/lib/prng.js';
import type { Lab } from '../../test/support/system-lab.js';
import { createPair, type Pair } from '../../test/support/system-pair.js';
import { waitFor } from '../../test/support/system-process.js';
import { startTransfer, type Transfer } from '../../test/support/system-transfer.js';
import { compareWithAcknowledged, compareWithKernel } from './comparison.js';
import { StormClient } from './storm-client.js';

export interface CrashOptions {
  rounds: number;
  seed: number;
  /** One line of progress. */
  say(line: string): void;
  /** Ends the run after the round under way. */
  signal?: AbortSignal;
}

export interface CrashReport {
  rounds: number;
  acknowledged: number;
  workerFaults: number;
  /** Milliseconds from the start of a process to its first answer: median and longest. */
  restartMs: number;
  longestRestartMs: number;
  /** Bytes that crossed the daemon, checked by their hash. */
  transferredBytes: number;
}

const CLIENTS = 8;
const LONGEST_STORM_MS = 400;
/** A transfer lasts so many rounds, and is then checked to the last byte. */
const TRANSFER_ROUNDS = 20;
const TRANSFER_BYTES = 200e6;
const TRANSFER_BYTES_PER_SECOND = 20e6;
const PROGRESS_BYTES = 100e3;
/** One round in so many has a failing worker. */
const FAULT_RARITY = 3;

/** To be called before the lab is opened. */
export function prepareLab(lab: Lab): void {
  lab.daemon.setOptions('--worker-fault', 'throw');
}

/** Rejects with the first difference. The lab is open, and stays the caller's. */
export async function runCrashes(lab: Lab, { rounds, seed, say, signal }: CrashOptions): Promise<CrashReport> {
  const { daemon } = lab;
  const random = new Prng(seed);
  const pair = await createPair(lab);
  const bystanders = {
    compartments: [pair.left.compartment, pair.right.compartment],
    endpoints: [pair.left.endpoint, pair.right.endpoint],
  };
  const nameOf = (base: string) => lab.name(base);
  const clients = Array.from({ length: CLIENTS }, (_, i) => new StormClient(daemon, random, pair.network, nameOf, i));
  const acknowledged = () => clients.reduce((sum, client) => sum + client.acknowledged, 0);
  const restarts: number[] = [];
  let workerFaults = 0;
  let transferredBytes = 0;
  let transfer: Transfer | null = null;

  let round = 0;
  for (; round < rounds && signal?.aborted !== true; round++) {
    if (round % TRANSFER_ROUNDS === 0) {
      transferredBytes += await finish(transfer);
      const [from, to] = round % (2 * TRANSFER_ROUNDS) === 0 ? [pair.left, pair.right] : [pair.right, pair.left];
      const address = random.below(2) === 0 ? to.v4 : to.v6;
      const load = { bytes: TRANSFER_BYTES, bytesPerSecond: TRANSFER_BYTES_PER_SECOND };
      transfer = await startTransfer(lab, { from: from.base, to: to.base, address, ...load });
    }
    const calm = acknowledged();
    const storm = Promise.all(clients.map((client) => client.rage()));
    // A daemon that has just started answers its first requests slowly; the storm begins when those are through.
    await Promise.race([storm, waitFor('the storm to begin', () => acknowledged() >= calm + CLIENTS)]);
    await sleep(random.below(LONGEST_STORM_MS));
    if (random.below(FAULT_RARITY) === 0) {
      process.kill(daemon.pid, 'SIGUSR2');
      workerFaults++;
      await sleep(random.below(LONGEST_STORM_MS));
    }
    await daemon.kill();
    await storm;
    restarts.push(await daemon.start());
    await compareWithAcknowledged(daemon, clients, bystanders, round);
    await compareWithKernel(lab, daemon, round);
    await transfer!.progress(PROGRESS_BYTES).catch((error) => explainStall(lab, pair, error));
    const back = restarts.at(-1)!.toFixed(0);
    say(
      `round ${round + 1} of ${rounds}: ${acknowledged() - calm} requests acknowledged, back after ${back} ms, as it was`,
    );
  }
  transferredBytes += await finish(transfer);
  const sorted = restarts.sort((a, b) => a - b);
  const [restartMs, longestRestartMs] = [sorted[sorted.length >> 1] ?? 0, sorted.at(-1) ?? 0];
  return { rounds: round, acknowledged: acknowledged(), workerFaults, restartMs, longestRestartMs, transferredBytes };
}

/** Adds to the error what the two ends and the datapath say of themselves. */
async function explainStall(lab: Lab, pair: Pair, error: Error): Promise<never> {
  const sides = [pair.left, pair.right];
  const sockets = await Promise.all(sides.map(({ base }) => lab.inside(base, ['ss', '--tcp', '--info', '--numeric'])));
  const neighbours = await Promise.all(sides.map(({ base }) => lab.inside(base, ['ip', 'neighbour'])));
  const stats = JSON.stringify(await lab.daemon.call('GET', '/v1/stats'));
  const drops = JSON.stringify(
    (await lab.daemon.call('GET', '/v1/drops')).filter(({ frames }: { frames: number }) => frames > 0),
  );
  throw new Error([error.message, ...sockets, ...neighbours, stats, drops].join('\n'));
}

/** Waits for the end and compares every byte; the number of bytes. */
async function finish(transfer: Transfer | null): Promise<number> {
  if (transfer === null) return 0;
  await transfer.finish();
  return TRANSFER_BYTES;
}
