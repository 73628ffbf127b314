// One-way latency: half of the round trip of one small UDP datagram at a time, with blocking receives on both sides, so
// that the switch goes to sleep and is woken up for every datagram.
import { join } from 'node:path';
import { type Bench, helperPath, inNamespace, type Lab, PING_PORT } from '../lab.js';
import { run, startService } from '../processes.js';
import type { Workload } from './workload.js';

export const latency = oneWay('latency', 'one-way latency');
export const natLatency = oneWay('nat-latency', 'one-way latency, out through the NAT and back');
export const overlayLatency = oneWay('overlay-latency', 'one-way latency, host to host');

function oneWay(name: string, title: string): Workload {
  return {
    name,
    metrics: [
      { id: `${name}-p50`, title: `${title}, median`, unit: 'us', better: 'lower', digits: 1 },
      { id: `${name}-p99`, title: `${title}, 99th percentile`, unit: 'us', better: 'lower', digits: 1 },
    ],
    programs: [],
    packages: [],
    measure: async (bench, lab) => {
      const times = await measureRoundTrips(bench, lab, bench.seconds);
      return { [`${name}-p50`]: times.p50 / 2, [`${name}-p99`]: times.p99 / 2 };
    },
  };
}

/** Round-trip times in microseconds of datagrams from a to b and back, one at a time. */
export async function measureRoundTrips(
  bench: Bench,
  lab: Lab,
  seconds: number,
): Promise<{ exchanges: number; lost: number; p50: number; p99: number; max: number }> {
  const helper = helperPath(bench, 'ping-pong');
  const lifetime = String(seconds + 10);
  const server = await startService(...inNamespace(lab.b.namespace, helper, 'server', String(PING_PORT), lifetime), {
    logFile: join(bench.directory, 'ping-pong.log'),
    readyText: 'ready',
  });
  try {
    const client = [helper, 'client', lab.b.address, String(PING_PORT), '500', '1000000', String(seconds)];
    const options = { signal: bench.signal, timeoutMs: (seconds + 30) * 1000 };
    return JSON.parse(await run(...inNamespace(lab.a.namespace, ...client), options));
  } finally {
    await server.stop();
  }
}
