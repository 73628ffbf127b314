// TCP throughput with iperf3: one or four streams, from a to b or (the server sends) from b to a; through a NAT also to a
// published port, where the client is outside.
import { join } from 'node:path';
import { type Bench, inNamespace, type Lab } from '../lab.js';
import { IPERF_PORT } from '../nat-lab.js';
import { run, startService } from '../processes.js';
import type { Workload } from './workload.js';

const PORT = String(IPERF_PORT);

export const tcpWorkloads: readonly Workload[] = [
  tcp('tcp-1', 'TCP, 1 stream, a to b', 1, false),
  tcp('tcp-1-reverse', 'TCP, 1 stream, b to a', 1, true),
  tcp('tcp-4', 'TCP, 4 streams, a to b', 4, false),
  tcp('tcp-4-reverse', 'TCP, 4 streams, b to a', 4, true),
];

export const natTcpWorkloads: readonly Workload[] = [
  tcp('nat-tcp-1', 'TCP, 1 stream, out through the NAT', 1, false),
  tcp('nat-tcp-1-reverse', 'TCP, 1 stream, asked for from inside', 1, true),
  {
    ...tcp('nat-tcp-in', 'TCP, 1 stream, in to a published port', 1, false),
    measure: async (bench, lab) => ({
      'nat-tcp-in': await measureTcp(bench, { a: lab.b, b: { ...lab.a, address: lab.aFromB } }, 1, false),
    }),
  },
];

export const overlayTcpWorkloads: readonly Workload[] = [
  tcp('overlay-tcp-1', 'TCP, 1 stream, host to host', 1, false),
  tcp('overlay-tcp-1-reverse', 'TCP, 1 stream, the other way', 1, true),
];

function tcp(name: string, title: string, streams: number, reverse: boolean): Workload {
  return {
    name,
    metrics: [{ id: name, title, unit: 'Gbit/s', better: 'higher', digits: 2 }],
    programs: ['iperf3'],
    packages: ['iperf3'],
    measure: async (bench, lab) => ({ [name]: await measureTcp(bench, lab, streams, reverse) }),
  };
}

/** Gbit/s at the receiver; the server is in b. */
export async function measureTcp(
  bench: Bench,
  lab: Pick<Lab, 'a' | 'b'>,
  streams: number,
  reverse: boolean,
): Promise<number> {
  const serve = inNamespace(lab.b.namespace, 'iperf3', '--server', '--one-off', '--port', PORT, '--forceflush');
  const server = await startService(...serve, {
    logFile: join(bench.directory, 'iperf3.log'),
    readyText: 'Server listening',
  });
  try {
    const args = ['--client', lab.b.address, '--port', PORT, '--time', String(bench.seconds), '--json'];
    args.push('--parallel', String(streams), '--connect-timeout', '3000');
    // The first second holds the slow start and the switch's waking up.
    if (!bench.quick) args.push('--omit', '1');
    if (reverse) args.push('--reverse');
    const output = await run(...inNamespace(lab.a.namespace, 'iperf3', ...args), {
      signal: bench.signal,
      timeoutMs: (bench.seconds + 15) * 1000,
    });
    const result = JSON.parse(output) as { error?: string; end?: { sum_received?: { bits_per_second: number } } };
    const rate = result.end?.sum_received?.bits_per_second;
    if (result.error !== undefined || rate === undefined) throw new Error(`iperf3: ${result.error ?? 'no result'}`);
    return rate / 1e9;
  } finally {
    await server.stop();
  }
}
