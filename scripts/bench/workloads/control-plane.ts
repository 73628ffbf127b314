// weft's control plane: how soon the daemon answers, what an endpoint costs, whether many endpoints slow it down, and
// what the daemon takes from an idle machine. All through HTTP on the Unix socket, one request after the other.
import { type Bench, closeSite, openSite, type Site } from '../lab.js';
import { sleep } from '../processes.js';
import { median } from '../statistics.js';
import {
  addCompartment,
  addNetwork,
  expectNoLeftovers,
  startWeft,
  usage,
  type WeftDaemon,
} from '../systems/weft-daemon.js';
import type { Measured, WeftWorkload } from './workload.js';

const SUBNET = '10.214.0.0/16';
const NETWORK = 'many';
const PER_COMPARTMENT = 50;
const EDGE = 50;

export const controlPlane: WeftWorkload = {
  name: 'control-plane',
  metrics: [
    { id: 'ready', title: 'daemon ready after', unit: 'ms', better: 'lower', digits: 0 },
    { id: 'idle-cpu', title: 'idle, share of one core', unit: '%', better: 'lower', digits: 2 },
    { id: 'idle-memory', title: 'idle, resident memory', unit: 'MB', better: 'lower', digits: 1 },
    { id: 'endpoint-create', title: 'endpoint create and attach, median', unit: 'ms', better: 'lower', digits: 2 },
    {
      id: 'endpoint-create-p99',
      title: 'endpoint create and attach, 99th percentile',
      unit: 'ms',
      better: 'lower',
      digits: 2,
    },
    { id: 'endpoint-growth', title: 'endpoint create, last 50 / first 50', unit: 'ratio', better: 'lower', digits: 2 },
    { id: 'endpoint-delete', title: 'endpoint delete, median', unit: 'ms', better: 'lower', digits: 2 },
    { id: 'loaded-memory', title: 'resident memory with all endpoints', unit: 'MB', better: 'lower', digits: 1 },
  ],
  measure: async (bench) => {
    const site = openSite(bench, 'weft');
    try {
      return await measure(bench, site);
    } finally {
      await closeSite(site);
    }
  },
};

async function measure(bench: Bench, site: Site): Promise<Measured> {
  expectNoLeftovers(site);
  const daemon = await startWeft(site);
  await addNetwork(site, daemon, NETWORK, SUBNET);
  const total = bench.quick ? 2 * EDGE : 500;
  const compartments: string[] = [];
  for (let i = 0; i * PER_COMPARTMENT < total; i++) compartments.push(await addCompartment(site, daemon, `c${i}`));
  // Two endpoints and no traffic: what an idle lab costs.
  await createEndpoint(daemon, compartments[0]!, 'idle-0');
  await createEndpoint(daemon, compartments[0]!, 'idle-1');
  const idle = await measureIdle(bench, daemon);

  const creations: number[] = [];
  for (let i = 0; i < total; i++) {
    if (bench.signal.aborted) throw new Error('interrupted');
    creations.push(await createEndpoint(daemon, compartments[Math.floor(i / PER_COMPARTMENT)]!, `e${i}`));
  }
  const loadedMemory = usage(daemon.service.pid).residentMb;
  const deletions: number[] = [];
  for (let i = 0; i < EDGE; i++) deletions.push((await daemon.http('DELETE', `/v1/endpoints/e${i}`)).ms);
  const sorted = [...creations].sort((left, right) => left - right);
  return {
    ready: daemon.readyMs,
    'idle-cpu': idle.cpuPercent,
    'idle-memory': idle.residentMb,
    'endpoint-create': median(creations),
    'endpoint-create-p99': sorted[Math.floor(sorted.length * 0.99)]!,
    'endpoint-growth': median(creations.slice(-EDGE)) / median(creations.slice(0, EDGE)),
    'endpoint-delete': median(deletions),
    'loaded-memory': loadedMemory,
  };
}

async function createEndpoint(daemon: WeftDaemon, compartment: string, name: string): Promise<number> {
  const body = { name, network: NETWORK, compartment, ifname: name, defaultRoute: false };
  return (await daemon.http('POST', '/v1/endpoints', body)).ms;
}

async function measureIdle(bench: Bench, daemon: WeftDaemon) {
  await sleep(1500, bench.signal);
  const before = usage(daemon.service.pid).cpuSeconds;
  const start = process.hrtime.bigint();
  await sleep(bench.quick ? 2000 : 10_000, bench.signal);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  const after = usage(daemon.service.pid);
  return { cpuPercent: ((after.cpuSeconds - before) / seconds) * 100, residentMb: after.residentMb };
}
