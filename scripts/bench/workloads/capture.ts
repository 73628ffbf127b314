// What a capture of everything (128 bytes of each frame, to a file) costs a TCP stream, and whether it loses frames at
// 1 Gbit/s of 1500-byte frames. The same lab with and without the capture, in turns, so that drift hits both alike.
import { join } from 'node:path';
import { type Bench, closeSite, helperPath, inNamespace, withLab } from '../lab.js';
import { run, sleep } from '../processes.js';
import { startWeftLab } from '../systems/weft.js';
import { FIRST_MAC, learn } from './capacity.js';
import { measureTcp } from './tcp.js';
import type { WeftWorkload } from './workload.js';

type WeftLab = Awaited<ReturnType<typeof startWeftLab>>;

const SNAPLEN = 128;
const TURNS = 3;
/** 1500 bytes of IP and 14 of Ethernet; on a wire 24 more (checksum, preamble, gap) would count. */
const FRAME_BYTES = 1514;
const FRAMES_PER_SECOND = 1e9 / (FRAME_BYTES * 8);

export const captureCost: WeftWorkload = {
  name: 'capture-cost',
  metrics: [
    { id: 'capture-cost', title: 'TCP, 1 stream, while captured / not', unit: 'ratio', better: 'higher', digits: 3 },
    { id: 'capture-cost-lost', title: 'frames lost by that capture', unit: '%', better: 'lower', digits: 2 },
  ],
  measure: (bench) =>
    withOneLab(bench, async (weft) => {
      let plain = 0;
      let captured = 0;
      let frames = 0;
      let lost = 0;
      for (let turn = 0; turn < TURNS; turn++) {
        plain += await measureTcp(bench, weft.lab, 1, false);
        const seen = await whileCapturing(weft, async () => {
          captured += await measureTcp(bench, weft.lab, 1, false);
        });
        frames += seen.frames;
        lost += seen.lost;
      }
      return { 'capture-cost': captured / plain, 'capture-cost-lost': (lost / Math.max(1, frames + lost)) * 100 };
    }),
};

export const captureLoss: WeftWorkload = {
  name: 'capture-loss',
  metrics: [
    { id: 'capture-loss', title: 'frames lost at 1 Gbit/s of 1500 bytes', unit: 'frames', better: 'lower', digits: 0 },
    { id: 'capture-loss-rate', title: 'rate that was captured', unit: 'Gbit/s', better: 'higher', digits: 3 },
  ],
  measure: (bench) =>
    withOneLab(bench, async (weft) => {
      const { a, b } = weft.lab;
      await learn(bench, weft.lab, 1);
      const flood = [helperPath(bench, 'frame-flood'), '-i', a.ifname, '-s', a.mac, '-d', FIRST_MAC];
      flood.push('-f', a.address, '-t', b.address, '-l', String(FRAME_BYTES), '-r', String(FRAMES_PER_SECOND));
      flood.push('-T', String(bench.seconds));
      let sent = { sent: 0, seconds: 1 };
      const seen = await whileCapturing(weft, async () => {
        const options = { signal: bench.signal, timeoutMs: (bench.seconds + 15) * 1000 };
        sent = JSON.parse(await run(...inNamespace(a.namespace, ...flood), options));
        await sleep(100, bench.signal);
      });
      // Whatever is in neither sum was lost without being counted: that must not pass for "nothing lost".
      const missing = Math.max(seen.lost, sent.sent - seen.frames);
      return { 'capture-loss': missing, 'capture-loss-rate': (seen.frames * FRAME_BYTES * 8) / sent.seconds / 1e9 };
    }),
};

async function withOneLab<T>(bench: Bench, measure: (weft: WeftLab) => Promise<T>): Promise<T> {
  const weft = await startWeftLab(bench);
  weft.lab.pause();
  try {
    return await withLab(bench, weft.lab, () => measure(weft));
  } finally {
    await closeSite(weft.site);
  }
}

/** Captures everything to a file while `work` runs; returns what the capture counted, complete. */
async function whileCapturing({ daemon, site }: WeftLab, work: () => Promise<void>) {
  const file = join(site.directory, 'bench.pcapng');
  await daemon.http('POST', '/v1/captures', { name: 'bench', all: true, snaplen: SNAPLEN, file });
  await work();
  return (await daemon.http<{ frames: number; lost: number }>('POST', '/v1/captures/bench/stop')).answer;
}
