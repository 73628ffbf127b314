// New connections through a NAT: short HTTP/1.0 exchanges, as many as go through one after the other, and a fixed number a second
// whatever becomes of them. A connection costs the machine's TCP at both ends more than it costs any of the NATs, so that the
// figure of `routed`, which translates nothing, is the limit.
import { join } from 'node:path';
import { type Bench, helperPath, inNamespace, type Lab } from '../lab.js';
import { CONNECT_PORT } from '../nat-lab.js';
import { run, startService } from '../processes.js';
import type { Workload } from './workload.js';

const CONCURRENT = 64;
export const OFFERED_PER_SECOND = 20_000;
const OFFERED_SECONDS = 30;
/** As many descriptors as there may be before the offered load is too much for whoever is in the way. */
const OFFERED_CONCURRENT = 15_000;
/** Connections per second, tried from the top until none fails. */
const LADDER = [20_000, 16_000, 13_000, 10_000, 8000, 6000, 4000, 2000, 1000, 500];
const LADDER_SECONDS = 5;
/** How long the client waits for the last ones. */
const PATIENCE_SECONDS = 6;

interface Load {
  started: number;
  completed: number;
  failed: number;
  /** Not even opened: too many were open already. */
  skipped: number;
  seconds: number;
  p50: number;
  p99: number;
  max: number;
  why: string;
}

export const natConnections: Workload = {
  name: 'nat-connections',
  metrics: [
    { id: 'nat-connections', title: `connections, ${CONCURRENT} at a time`, unit: '1/s', better: 'higher', digits: 0 },
    {
      ...{ id: 'nat-connections-p99', title: 'time of one of them, 99th percentile', unit: 'us', better: 'lower' },
      ...{ digits: 0, isCompared: false },
    },
    {
      ...{
        id: 'nat-connections-failed',
        title: 'failed of them',
        unit: '',
        better: 'lower',
        digits: 0,
        isCompared: false,
      },
    },
  ],
  programs: [],
  packages: [],
  measure: async (bench, lab) => {
    const load = await measureConnections(bench, lab, bench.seconds, CONCURRENT, 0);
    return {
      'nat-connections': load.completed / load.seconds,
      'nat-connections-p99': load.p99,
      'nat-connections-failed': load.failed,
    };
  },
};

export const natOffered: Workload = {
  name: 'nat-offered',
  metrics: [
    {
      ...{
        id: 'nat-offered-failed',
        title: `connections failed at ${OFFERED_PER_SECOND}/s`,
        unit: '',
        better: 'lower',
      },
      ...{ digits: 0, isCompared: false },
    },
    {
      ...{ id: 'nat-offered-skipped', title: `not even opened (over ${OFFERED_CONCURRENT} open)`, unit: '' },
      ...{ better: 'lower', digits: 0, isCompared: false },
    },
    {
      ...{ id: 'nat-offered-rate', title: 'really offered by the client', unit: '1/s', better: 'higher' },
      ...{ digits: 0, isCompared: false },
    },
    { id: 'nat-offered', title: 'completed', unit: '1/s', better: 'higher', digits: 0 },
    {
      ...{ id: 'nat-offered-p99', title: 'time of one of them, 99th percentile', unit: 'us', better: 'lower' },
      ...{ digits: 0, isCompared: false },
    },
  ],
  programs: [],
  packages: [],
  measure: async (bench, lab) => {
    const seconds = bench.quick ? bench.seconds : OFFERED_SECONDS;
    const load = await measureConnections(bench, lab, seconds, OFFERED_CONCURRENT, OFFERED_PER_SECOND);
    if (load.failed > 0) bench.say(`  ${lab.system}: the first connection that failed: ${load.why}`);
    return {
      'nat-offered-failed': load.failed,
      'nat-offered-skipped': load.skipped,
      'nat-offered-rate': (load.started + load.skipped) / seconds,
      'nat-offered': load.completed / load.seconds,
      'nat-offered-p99': load.p99,
    };
  },
};

export const natSustained: Workload = {
  name: 'nat-sustained',
  metrics: [
    {
      ...{ id: 'nat-sustained', title: `most offered for ${LADDER_SECONDS} s of which none failed`, unit: '1/s' },
      ...{ better: 'higher', digits: 0 },
    },
  ],
  programs: [],
  packages: [],
  measure: async (bench, lab) => {
    for (const rate of LADDER) {
      const seconds = bench.quick ? bench.seconds : LADDER_SECONDS;
      const load = await measureConnections(bench, lab, seconds, OFFERED_CONCURRENT, rate);
      const offered = (load.started + load.skipped) / seconds;
      if (load.failed + load.skipped === 0) return { 'nat-sustained': Math.min(rate, offered) };
    }
    return { 'nat-sustained': 0 };
  },
};

/** Connections from a to b; `perSecond` 0: as many as go through, `concurrent` at a time. */
async function measureConnections(
  bench: Bench,
  lab: Lab,
  seconds: number,
  concurrent: number,
  perSecond: number,
): Promise<Load> {
  const helper = helperPath(bench, 'connect-load');
  const port = String(CONNECT_PORT);
  const lifetime = String(seconds + PATIENCE_SECONDS + 5);
  const server = await startService(...inNamespace(lab.b.namespace, helper, 'server', port, lifetime), {
    logFile: join(bench.directory, 'connect-load.log'),
    readyText: 'ready',
  });
  try {
    const client = [helper, 'client', lab.b.address, port, String(seconds), String(concurrent)];
    if (perSecond > 0) client.push(String(perSecond));
    const options = { signal: bench.signal, timeoutMs: (seconds + PATIENCE_SECONDS + 15) * 1000 };
    return JSON.parse(await run(...inNamespace(lab.a.namespace, ...client), options)) as Load;
  } finally {
    await server.stop();
  }
}
