// 64-byte UDP: datagrams per second that reach a receiving socket while the sender sends as fast as it can.
// 18 bytes of payload make a frame of 60 bytes, 64 with its checksum: the smallest Ethernet has.
import { join } from 'node:path';
import { type Bench, helperPath, inNamespace, type Lab } from '../lab.js';
import { run, sleep, startService } from '../processes.js';
import type { Workload } from './workload.js';

const PORT = '4301';
const PAYLOAD_BYTES = '18';
const WARMUP_SECONDS = 0.3;

export const udp64 = flood('udp-64', 'UDP, 64-byte frames');
export const overlayUdp64 = flood('overlay-udp-64', 'UDP, 64-byte inner frames, host to host');

function flood(name: string, title: string): Workload {
  return {
    name,
    metrics: [
      { id: name, title: `${title}, received`, unit: 'kdatagram/s', better: 'higher', digits: 0 },
      {
        id: `${name}-sent`,
        title: `${title}, offered`,
        unit: 'kdatagram/s',
        better: 'higher',
        digits: 0,
        isCompared: false,
      },
    ],
    programs: [],
    packages: [],
    measure: async (bench, lab) => {
      const { received, sent } = await measureUdp(bench, lab);
      return { [name]: received, [`${name}-sent`]: sent };
    },
  };
}

/** Thousand datagrams per second that reached the socket in b, and that a sent. */
async function measureUdp(bench: Bench, lab: Lab): Promise<{ received: number; sent: number }> {
  const seconds = String(bench.seconds);
  const logFile = join(bench.directory, 'udp-sink.log');
  const sink = inNamespace(lab.b.namespace, helperPath(bench, 'udp-sink'), PORT, String(WARMUP_SECONDS), seconds);
  const server = await startService(...sink, { logFile, readyText: 'ready' });
  try {
    const duration = String(bench.seconds + WARMUP_SECONDS + 0.5);
    const command = [helperPath(bench, 'udp-flood'), lab.b.address, PORT, PAYLOAD_BYTES, duration];
    const options = { signal: bench.signal, timeoutMs: (bench.seconds + 15) * 1000 };
    const sent = JSON.parse(await run(...inNamespace(lab.a.namespace, ...command), options));
    for (let i = 0; i < 100 && !server.hasEnded(); i++) await sleep(20, bench.signal);
    const line = server.lastWords().split('\n').at(-1) ?? '';
    if (!line.startsWith('{')) throw new Error(`udp-sink: ${line || 'nothing received'}`);
    const received = JSON.parse(line) as { received: number; seconds: number };
    return { received: received.received / received.seconds / 1e3, sent: sent.sent / sent.seconds / 1e3 };
  } finally {
    await server.stop();
  }
}
