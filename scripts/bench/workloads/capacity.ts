// Forwarding capacity with minimum frames: a generator floods station a's interface past its queue, and the kernel's
// own counter of station b's interface says how many came through.
//
// The frames are IPv4/UDP, 60 bytes, addressed to MAC addresses that live behind b but are not b's own: b's stack
// throws them away at once, so that the figure is the switch's and not the receiver's. (A frame written into a TAP is
// processed by the receiving stack on the writer's account; anything b did with it would be charged to the switch.)
import { join } from 'node:path';
import { type Bench, helperPath, inNamespace, type Lab } from '../lab.js';
import { run, sleep, startService } from '../processes.js';
import type { Workload } from './workload.js';

/** First of the addresses that live behind station b; `learn` announces as many of its successors as asked. */
export const FIRST_MAC = '02:b0:00:00:00:00';
const WARMUP_SECONDS = 0.3;
/** Frames per second while MAC addresses are announced: slow enough for every switch not to lose one. */
const LEARN_RATE = 50_000;

export const capacity: Workload = {
  name: 'capacity',
  metrics: [
    { id: 'capacity', title: 'forwarded, 60-byte frames', unit: 'kframe/s', better: 'higher', digits: 0 },
    {
      id: 'capacity-offered',
      title: 'offered by the generator',
      unit: 'kframe/s',
      better: 'higher',
      digits: 0,
      isCompared: false,
    },
  ],
  programs: [],
  packages: [],
  measure: async (bench, lab) => {
    const { forwarded, offered } = await measureCapacity(bench, lab, 1);
    return { capacity: forwarded, 'capacity-offered': offered };
  },
};

/** Announces `count` MAC addresses from station b, so that the switch learns them (or learns them anew). */
export async function learn(bench: Bench, lab: Lab, count: number): Promise<void> {
  const flood = [helperPath(bench, 'frame-flood'), '-i', lab.b.ifname, '-s', FIRST_MAC, '-d', lab.a.mac];
  flood.push('-f', lab.b.address, '-t', lab.b.address, '-n', String(Math.max(count, 4)), '-r', String(LEARN_RATE));
  flood.push('-S', String(count));
  await run(...inNamespace(lab.b.namespace, ...flood), { signal: bench.signal });
}

/** Thousand frames per second forwarded from a to b, spread over `destinations` learned addresses, and offered by a. */
export async function measureCapacity(
  bench: Bench,
  lab: Lab,
  destinations: number,
): Promise<{ forwarded: number; offered: number }> {
  await learn(bench, lab, 1);
  const { a, b } = lab;
  const flood = ['-i', a.ifname, '-s', a.mac, '-d', FIRST_MAC];
  flood.push('-f', a.address, '-t', b.address, '-D', String(destinations));
  return await measureFlood(bench, a.namespace, flood, b);
}

/** Thousand frames per second that arrive at an interface while frame-flood runs with `flood` in `namespace`. */
export async function measureFlood(
  bench: Bench,
  namespace: string,
  flood: readonly string[],
  at: { namespace: string; ifname: string },
): Promise<{ forwarded: number; offered: number }> {
  const seconds = bench.seconds;
  const command = [helperPath(bench, 'frame-flood'), ...flood, '-T', String(seconds + WARMUP_SECONDS + 0.5)];
  const generator = await startService(...inNamespace(namespace, ...command), {
    logFile: join(bench.directory, 'frame-flood.log'),
  });
  try {
    const count = [helperPath(bench, 'frame-count'), at.ifname, String(WARMUP_SECONDS), String(seconds)];
    const options = { signal: bench.signal, timeoutMs: (seconds + 15) * 1000 };
    const received = JSON.parse(await run(...inNamespace(at.namespace, ...count), options));
    for (let i = 0; i < 100 && !generator.hasEnded(); i++) await sleep(20, bench.signal);
    const line = generator.lastWords();
    if (!line.startsWith('{')) throw new Error(`frame-flood: ${line || 'did not end'}`);
    const sent = JSON.parse(line) as { sent: number; refused: number; seconds: number };
    return {
      forwarded: received.received / received.seconds / 1e3,
      offered: (sent.sent + sent.refused) / sent.seconds / 1e3,
    };
  } finally {
    await generator.stop();
  }
}
