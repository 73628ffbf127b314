// What weft's forwarding capacity loses to idle ports and to a large MAC table. Two labs of weft, one plain and one
// loaded, take turns (the other one frozen), so that the machine's drift hits both alike.
import { type Bench, closeSite, type Lab, withLab } from '../lab.js';
import { sleep } from '../processes.js';
import { NETWORK, startWeftLab } from '../systems/weft.js';
import { addCompartment } from '../systems/weft-daemon.js';
import { learn, measureCapacity } from './capacity.js';
import type { WeftWorkload } from './workload.js';

const IDLE_PORTS = 100;
const LEARNED_MACS = 65_536;
const TURNS = 2;
/** How often the addresses are announced at most, and the share of them that has to be in the table then. */
const PASSES = 4;
const ENOUGH = 0.98;

export const idlePorts: WeftWorkload = {
  name: 'idle-ports',
  metrics: [
    {
      id: 'idle-ports',
      title: `capacity with ${IDLE_PORTS} idle ports / without`,
      unit: 'ratio',
      better: 'higher',
      digits: 3,
    },
  ],
  measure: (bench) =>
    withTwoLabs(bench, async (plain, loaded) => {
      loaded.lab.resume();
      const compartment = await addCompartment(loaded.site, loaded.daemon, 'idle');
      for (let i = 0; i < IDLE_PORTS; i++) {
        const body = { name: `idle-${i}`, network: NETWORK, compartment, ifname: `i${i}`, defaultRoute: false };
        await loaded.daemon.http('POST', '/v1/endpoints', body);
      }
      await sleep(1000, bench.signal);
      loaded.lab.pause();
      const figures = await takeTurns(bench, plain.lab, loaded.lab, [1]);
      return { 'idle-ports': figures.loaded[0]! / figures.plain };
    }),
};

export const learnedMacs: WeftWorkload = {
  name: 'learned-macs',
  metrics: [
    {
      id: 'learned-macs',
      title: 'capacity with 64k learned MACs / without',
      unit: 'ratio',
      better: 'higher',
      digits: 3,
    },
    {
      id: 'learned-macs-spread',
      title: 'the same, frames spread over all 64k',
      unit: 'ratio',
      better: 'higher',
      digits: 3,
    },
  ],
  measure: (bench) =>
    withTwoLabs(bench, async (plain, loaded) => {
      loaded.lab.resume();
      await fillTable(bench, loaded);
      loaded.lab.pause();
      const figures = await takeTurns(bench, plain.lab, loaded.lab, [1, LEARNED_MACS]);
      return {
        'learned-macs': figures.loaded[0]! / figures.plain,
        'learned-macs-spread': figures.loaded[1]! / figures.plain,
      };
    }),
};

type WeftLab = Awaited<ReturnType<typeof startWeftLab>>;

/**
 * Announces the addresses until the table holds them: a pass may lose frames. Rejects when it never does, because a
 * figure over a half-full table would be a lie.
 */
async function fillTable(bench: Bench, { lab, daemon }: WeftLab): Promise<void> {
  let held = 0;
  for (let pass = 0; pass < PASSES && held < LEARNED_MACS; pass++) {
    await learn(bench, lab, LEARNED_MACS);
    await sleep(500, bench.signal);
    held = (await daemon.http<unknown[]>('GET', '/v1/fdb')).answer.length;
  }
  if (held < LEARNED_MACS * ENOUGH) {
    throw new Error(`the table holds ${held} of ${LEARNED_MACS} MACs that were announced ${PASSES} times`);
  }
}

async function withTwoLabs<T>(bench: Bench, measure: (plain: WeftLab, loaded: WeftLab) => Promise<T>): Promise<T> {
  const opened: WeftLab[] = [];
  try {
    for (let i = 0; i < 2; i++) {
      const one = await startWeftLab(bench);
      opened.push(one);
      one.lab.pause();
    }
    return await measure(opened[0]!, opened[1]!);
  } finally {
    for (const one of opened) await closeSite(one.site);
  }
}

/** Mean capacity of the plain lab (one destination) and of the loaded one for each of the numbers of destinations. */
async function takeTurns(bench: Bench, plain: Lab, loaded: Lab, destinations: readonly number[]) {
  const sums = { plain: 0, loaded: destinations.map(() => 0) };
  const measure = (lab: Lab, count: number) =>
    withLab(bench, lab, async () => (await measureCapacity(bench, lab, count)).forwarded);
  for (let turn = 0; turn < TURNS; turn++) {
    sums.plain += await measure(plain, 1);
    for (const [i, count] of destinations.entries()) sums.loaded[i]! += await measure(loaded, count);
  }
  return { plain: sums.plain / TURNS, loaded: sums.loaded.map((sum) => sum / TURNS) };
}
