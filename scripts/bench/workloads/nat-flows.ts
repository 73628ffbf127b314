// What weft's NAT loses to a million flows, what they cost in memory, and whether the datapath stands still when they expire.
//
// The flows are those of c/frame-flood.c: 16 inside addresses, 2048 ports each, 31 destinations; 32 768 mappings. Frames leave
// through the uplink into the router's namespace, where a blackhole route ends them at once: the figure is the NAT's and not the
// kernel's. Two labs, one with a single flow and one with all, take turns, so that the machine's drift hits both alike; both have
// forwarded as many frames before.
//
// While flows expire the daemon is preferred to everything else (nice -19): a turn in whose middle the kernel runs somebody else is
// long, too, and that says nothing about expiry. It happens all the same, which is why the same is measured without flows. (A
// real-time priority would be worse: who keeps a processor busy with one loses it for 50 ms of every second.)
import { type Bench, closeSite, helperPath, inNamespace, withLab } from '../lab.js';
import { INSIDE, ROUTER } from '../nat-lab.js';
import { run, sleep } from '../processes.js';
import { EXTERNAL, startWeftNatLab } from '../systems/nat-weft.js';
import { usage, type WeftDaemon } from '../systems/weft-daemon.js';
import { measureFlood } from './capacity.js';
import { measureRoundTrips } from './latency.js';
import type { WeftWorkload } from './workload.js';

const FLOWS = 1_000_000;
const QUICK_FLOWS = 50_000;
/** First of the destinations, and the range that the router throws away. */
const TARGET = '198.18.0.1';
const TARGETS = '198.18.0.0/15';
const FILL_PER_SECOND = 120_000;
const PASSES = 4;
/** Share of the flows that has to be in the table for a figure over them. */
const ENOUGH = 0.99;
const TURNS = 2;
/** Idle time after which a UDP flow is gone, where that is what is looked at; longer than filling the table takes. */
const SHORT_UDP_SECONDS = 25;
/** What a turn may take while flows expire. */
const SLOW_MICROS = 1000;
const WATCH_SECONDS = SHORT_UDP_SECONDS + 5;
const ALONE = ['--no-masquerade', '--external-ip', EXTERNAL];

type NatLab = Awaited<ReturnType<typeof startFlowLab>>;

export const natFlows: WeftWorkload = {
  name: 'nat-flows',
  metrics: [
    { id: 'nat-flows', title: 'capacity with 1M flows, spread / with one', unit: 'ratio', better: 'higher', digits: 3 },
    { id: 'nat-one-flow', title: 'capacity with one flow', unit: 'kframe/s', better: 'higher', digits: 0 },
    { id: 'nat-flow-bytes', title: 'resident memory per flow', unit: 'bytes', better: 'lower', digits: 0 },
    { id: 'nat-flow-memory', title: 'resident memory with 1M flows', unit: 'MB', better: 'lower', digits: 0 },
  ],
  measure: async (bench) => {
    const count = bench.quick ? QUICK_FLOWS : FLOWS;
    const opened: NatLab[] = [];
    try {
      for (let i = 0; i < 2; i++) opened.push(await startFlowLab(bench, []));
      const [one, many] = opened as [NatLab, NatLab];
      const before = usage(many.daemon.service.pid).residentMb;
      await withLab(bench, many.lab, () => fill(bench, many, count));
      const after = usage(many.daemon.service.pid).residentMb;
      await withLab(bench, one.lab, () => send(bench, one, 1, count));
      const sums = { one: 0, many: 0 };
      for (let turn = 0; turn < TURNS; turn++) {
        sums.one += await withLab(bench, one.lab, () => measureFlows(bench, one, 1));
        sums.many += await withLab(bench, many.lab, () => measureFlows(bench, many, count));
      }
      return {
        'nat-flows': sums.many / sums.one,
        'nat-one-flow': sums.one / TURNS,
        'nat-flow-bytes': ((after - before) * 1e6) / count,
        'nat-flow-memory': after,
      };
    } finally {
      for (const one of opened) await closeSite(one.site);
    }
  },
};

export const natExpiry: WeftWorkload = {
  name: 'nat-expiry',
  metrics: [
    { id: 'nat-expiry-turn', title: 'longest turn while 1M flows expire', unit: 'us', better: 'lower', digits: 0 },
    { id: 'nat-quiet-turn', title: 'the same without flows', unit: 'us', better: 'lower', digits: 0 },
    { id: 'nat-expiry-slow', title: 'turns over 1 ms while 1M flows expire', unit: '', better: 'lower', digits: 0 },
    { id: 'nat-quiet-slow', title: 'the same without flows, as long', unit: '', better: 'lower', digits: 0 },
    { id: 'nat-expiry-wait', title: 'longest round trip meanwhile', unit: 'us', better: 'lower', digits: 0 },
    { id: 'nat-quiet-wait', title: 'the same without flows', unit: 'us', better: 'lower', digits: 0 },
  ],
  measure: async (bench) => {
    const count = bench.quick ? QUICK_FLOWS : FLOWS;
    const lab = await startFlowLab(bench, ['--udp-timeout', String(SHORT_UDP_SECONDS)]);
    try {
      return await withLab(bench, lab.lab, async () => {
        await run('sh', ['-c', `renice -n -19 -p $(ls /proc/${lab.daemon.service.pid}/task)`]);
        const quiet = await watchTurns(bench, lab, WATCH_SECONDS);
        await fill(bench, lab, count);
        const expiry = await watchTurns(bench, lab, WATCH_SECONDS);
        const left = await countFlows(lab.daemon);
        if (left > count * (1 - ENOUGH)) throw new Error(`${left} flows are left after they were due`);
        return {
          'nat-expiry-turn': expiry.turn,
          'nat-quiet-turn': quiet.turn,
          'nat-expiry-slow': expiry.slow,
          'nat-quiet-slow': quiet.slow,
          'nat-expiry-wait': expiry.wait,
          'nat-quiet-wait': quiet.wait,
        };
      });
    } finally {
      await closeSite(lab.site);
    }
  },
};

/** A frozen lab, ready for `fill` and `measureFlows`. */
async function startFlowLab(bench: Bench, options: readonly string[]) {
  const started = await startWeftNatLab(bench, 'weft-flows', [...ALONE, '--flow-limit', String(FLOWS), ...options]);
  const { lab, router } = started;
  await run('ip', ['-n', router, 'route', 'add', 'blackhole', TARGETS]);
  const links = JSON.parse(await run('ip', ['-j', '-n', router, 'link', 'show'])) as { ifname: string }[];
  const uplink = links.map((one) => one.ifname).filter((name) => name !== 'lo' && name !== ROUTER.ifname);
  if (uplink.length !== 1) throw new Error(`one uplink was expected beside ${ROUTER.ifname}: ${uplink.join(', ')}`);
  const neighbours = JSON.parse(await run('ip', ['-j', '-n', lab.a.namespace, 'neigh', 'show', INSIDE.gateway])) as {
    lladdr?: string;
  }[];
  const gatewayMac = neighbours[0]?.lladdr;
  if (gatewayMac === undefined) throw new Error(`${lab.a.namespace} does not know the MAC of ${INSIDE.gateway}`);
  // A flood must not be able to starve the ARP that keeps it going.
  const entry = ['neigh', 'replace', INSIDE.gateway, 'lladdr', gatewayMac, 'dev', lab.a.ifname, 'nud', 'permanent'];
  await run('ip', ['-n', lab.a.namespace, ...entry]);
  lab.pause();
  return { ...started, gatewayMac, uplink: uplink[0]! };
}

function flood({ lab, gatewayMac }: NatLab, flows: number): string[] {
  const { ifname, mac } = lab.a;
  return ['-i', ifname, '-s', mac, '-d', gatewayMac, '-f', INSIDE.address, '-t', TARGET, '-F', String(flows)];
}

/** Thousand frames per second that the uplink got. */
async function measureFlows(bench: Bench, lab: NatLab, flows: number): Promise<number> {
  const at = { namespace: lab.router, ifname: lab.uplink };
  return (await measureFlood(bench, lab.lab.a.namespace, flood(lab, flows), at)).forwarded;
}

/** Opens the flows; rejects when the table does not hold them in the end, because figures over fewer would be a lie. */
async function fill(bench: Bench, lab: NatLab, count: number): Promise<void> {
  let held = 0;
  for (let pass = 0; pass < PASSES && held < count * ENOUGH; pass++) {
    await send(bench, lab, count, count);
    held = await countFlows(lab.daemon);
  }
  if (held < count * ENOUGH)
    throw new Error(`the table holds ${held} of ${count} flows that were opened ${PASSES} times`);
}

/** Sends `frames` of `flows` flows, not faster than they can be taken. */
async function send(bench: Bench, lab: NatLab, flows: number, frames: number): Promise<void> {
  const args = [...flood(lab, flows), '-n', String(frames), '-r', String(FILL_PER_SECOND)];
  const command = [helperPath(bench, 'frame-flood'), ...args];
  await run(...inNamespace(lab.lab.a.namespace, ...command), { signal: bench.signal, timeoutMs: 60_000 });
  await sleep(300, bench.signal);
}

async function countFlows(daemon: WeftDaemon): Promise<number> {
  const { answer } = await daemon.http<{ datapath: { flows: number } }>('GET', '/v1/stats');
  return answer.datapath.flows;
}

interface TurnStatistics {
  longestTurnMicros: number;
  turnTimes: { upTo: number | null; turns: number }[];
}

/** Longest turn and longest round trip, in microseconds, and the number of slow turns, during `seconds` of one datagram after the other. */
async function watchTurns(bench: Bench, { lab, daemon }: NatLab, seconds: number) {
  const read = async () => (await daemon.http<{ datapath: TurnStatistics }>('GET', '/v1/stats')).answer.datapath;
  const before = await read();
  const times = await measureRoundTrips(bench, lab, seconds);
  const after = await read();
  return { turn: longestBetween(before, after), slow: slowTurns(after) - slowTurns(before), wait: times.max };
}

function slowTurns({ turnTimes }: TurnStatistics): number {
  return turnTimes.reduce((sum, { upTo, turns }) => (upTo === null || upTo > SLOW_MICROS ? sum + turns : sum), 0);
}

/** Exact when it is the longest of all, otherwise the upper limit of its bucket. */
function longestBetween(before: TurnStatistics, after: TurnStatistics): number {
  if (after.longestTurnMicros > before.longestTurnMicros) return after.longestTurnMicros;
  const grown = after.turnTimes.filter((bucket, i) => bucket.turns > (before.turnTimes[i]?.turns ?? 0));
  return grown.at(-1)?.upTo ?? after.longestTurnMicros;
}
