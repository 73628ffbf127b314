// One-way latency: half of the round trip of one small UDP datagram at a time, with blocking receives on both sides, so
// that the switch goes to sleep and is woken up for every datagram.
import { join } from 'node:path';
import { helperPath, inNamespace, PING_PORT } from '../lab.js';
import { run, startService } from '../processes.js';
import type { Workload } from './workload.js';

export const latency: Workload = {
  name: 'latency',
  metrics: [
    { id: 'latency-p50', title: 'one-way latency, median', unit: 'us', better: 'lower', digits: 1 },
    { id: 'latency-p99', title: 'one-way latency, 99th percentile', unit: 'us', better: 'lower', digits: 1 },
  ],
  programs: [],
  packages: [],
  measure: async (bench, lab) => {
    const helper = helperPath(bench, 'ping-pong');
    const lifetime = String(bench.seconds + 10);
    const server = await startService(...inNamespace(lab.b.namespace, helper, 'server', String(PING_PORT), lifetime), {
      logFile: join(bench.directory, 'ping-pong.log'),
      readyText: 'ready',
    });
    try {
      const client = [helper, 'client', lab.b.address, String(PING_PORT), '500', '1000000', String(bench.seconds)];
      const options = { signal: bench.signal, timeoutMs: (bench.seconds + 30) * 1000 };
      const times = JSON.parse(await run(...inNamespace(lab.a.namespace, ...client), options));
      return { 'latency-p50': times.p50 / 2, 'latency-p99': times.p99 / 2 };
    } finally {
      await server.stop();
    }
  },
};
