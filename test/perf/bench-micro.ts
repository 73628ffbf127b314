/**
 * `npm run bench:micro`: what each stage of a turn costs, in ns per frame, and what it leaves on the heap. The stages run over
 * bursts in memory with the real slab, tables and checksums of the addon; the system calls that frames come and go with are
 * not in here (`npm run bench` measures those).
 *
 *   node --expose-gc dist/test/perf/bench-micro.js [--json]
 *
 * A burst is written anew before each round, outside the measurement, as a kernel would. Each workload is measured in RUNS
 * runs; the fastest counts, because everything that disturbs a run makes it slower.
 */
import { createCaptureMemory } from '../../src/capture/capture-layout.js';
import { PuntRing } from '../../src/capture/punt-ring.js';
import { Counters, createCounterMemory } from '../../src/datapath/counters.js';
import { createNat } from '../../src/datapath/nat.js';
import { MAX_NETWORKS, MAX_PORTS, MAX_REMOTES } from '../../src/datapath/program.js';
import { Punts } from '../../src/datapath/punts.js';
import { Router } from '../../src/datapath/router.js';
import { RouterState } from '../../src/datapath/router-state.js';
import { applyIngress } from '../../src/datapath/stages/ingress.js';
import { parse } from '../../src/datapath/stages/parse.js';
import { switchFrames } from '../../src/datapath/stages/switch.js';
import { Transmitter } from '../../src/datapath/stages/transmit.js';
import { Tunnels } from '../../src/datapath/tunnels.js';
import { FrameVector } from '../../src/frames/frame-vector.js';
import { BURST_BYTES, BURST_FRAMES, createSlab, HEADROOM_BYTES } from '../../src/frames/slab.js';
import { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { native } from '../../src/native/index.js';
import { createNativeIo } from '../../src/ports/native-io.js';
import { createMacMemory, MacTable } from '../../src/tables/mac-table.js';
import { createRemoteMemory, RemoteTable } from '../../src/tables/remote-table.js';
import { StormTable } from '../../src/tables/storm-table.js';
import { introduce, WORKLOADS, type Workload } from '../support/workloads.js';

const RUNS = 5;
const RUN_MS = 300;
const FLOWS = 4096;
const STAGES = ['parse', 'ingress', 'switch', 'router', 'transmit'] as const;

interface Result {
  workload: string;
  /** ns per frame. */
  stages: Record<(typeof STAGES)[number], number>;
  total: number;
  departuresPerFrame: number;
  /** Bytes that the heap grew by. */
  heapGrowth: number;
}

declare const gc: (() => void) | undefined;

function heapBytes(): number {
  for (let i = 0; i < 3; i++) gc?.();
  return process.memoryUsage().heapUsed;
}

/** One set of tables per workload: shapes that several share make the compiler cautious, as in production. */
class Bench {
  private readonly slab = createSlab();
  private readonly frames = new FrameVector(this.slab);
  private readonly queue = new TransmitQueue(this.slab);
  private readonly macs = new MacTable(createMacMemory(), MAX_PORTS + MAX_REMOTES, MAX_NETWORKS, 0x5eed);
  private readonly storms = new StormTable(MAX_PORTS);
  private readonly counters = new Counters(createCounterMemory());
  private readonly transmitter: Transmitter;
  private readonly router: Router;
  private readonly workload: Workload;
  private readonly spent = new Float64Array(STAGES.length);
  private departures = 0;

  constructor(workload: Workload, wakeFd: number) {
    this.workload = workload;
    const { sum } = createNativeIo(this.slab, this.frames, this.queue, wakeFd);
    const io = {
      ready: new Int32Array(1),
      wait: () => 0,
      receiveBurst: () => 0,
      transmitBurst: (count: number) => {
        this.departures += count;
      },
      sum,
    };
    const tap = { setTime() {}, record() {}, recordSplit() {}, commit() {} };
    const remotes = new RemoteTable(createRemoteMemory(MAX_REMOTES), 0x5eed);
    const tunnels = new Tunnels(remotes);
    tunnels.adopt(workload.program, 0);
    this.transmitter = new Transmitter(this.frames, this.queue, this.slab, io, this.counters, tap, tunnels);
    const punts = new Punts(new PuntRing(createCaptureMemory(1 << 18), this.slab.bytes, sum));
    const nat = createNat(FLOWS, 0x5eed, 0xbeef, 0);
    this.router = new Router(new RouterState(this.frames, this.slab, io, this.macs, remotes, punts, nat, 0x5eed));
    this.router.adopt(workload.program, 0);
    introduce(this.macs, workload);
  }

  measure(): Result {
    this.run(RUN_MS);
    const before = heapBytes();
    let best: Result | null = null;
    for (let i = 0; i < RUNS; i++) {
      const result = this.run(RUN_MS);
      if (best === null || result.total < best.total) best = result;
    }
    return { ...best!, heapGrowth: heapBytes() - before };
  }

  private run(ms: number): Result {
    this.spent.fill(0);
    this.departures = 0;
    let frames = 0;
    for (const end = performance.now() + ms; performance.now() < end; frames += this.frames.count) this.round();
    const ns = STAGES.map((stage, i) => [stage, (this.spent[i]! * 1e6) / frames] as const);
    const stages = Object.fromEntries(ns) as Result['stages'];
    const total = ns.reduce((sum, [, each]) => sum + each, 0);
    const departuresPerFrame = this.departures / frames;
    return { workload: this.workload.name, stages, total, departuresPerFrame, heapGrowth: 0 };
  }

  private round(): void {
    const { frames, slab, spent } = this;
    const { program } = this.workload;
    this.fill();
    const t0 = performance.now();
    parse(frames, slab.view, program);
    const t1 = performance.now();
    applyIngress(frames, slab.view, program);
    const t2 = performance.now();
    switchFrames(frames, program, this.macs, this.storms, 0);
    const t3 = performance.now();
    frames.originated = 0;
    this.router.run(program, 0, null);
    const t4 = performance.now();
    this.transmitter.transmit(program);
    const t5 = performance.now();
    spent[0]! += t1 - t0;
    spent[1]! += t2 - t1;
    spent[2]! += t3 - t2;
    spent[3]! += t4 - t3;
    spent[4]! += t5 - t4;
  }

  /** Packs a burst as the addon does. */
  private fill(): void {
    const { frames, workload, slab } = this;
    const port = workload.senders[0]!;
    let at = 0;
    let row = 0;
    for (; row < BURST_FRAMES && at < BURST_BYTES; row++) {
      const start = ((at + HEADROOM_BYTES + 15) & ~15) + 2;
      frames.start[row] = start;
      frames.length[row] = workload.source(port, slab, start);
      frames.ingressPort[row] = port;
      at = start + frames.length[row]!;
    }
    frames.count = row;
  }
}

function table(results: readonly Result[]): string {
  const number = (value: number): string => value.toFixed(value < 100 ? 1 : 0).padStart(10);
  const header = ['workload'.padEnd(34), ...[...STAGES, 'total', 'per copy', 'heap'].map((name) => name.padStart(10))];
  const rows = results.map(({ workload, stages, total, departuresPerFrame, heapGrowth }) =>
    [
      workload.padEnd(34),
      ...STAGES.map((stage) => number(stages[stage])),
      number(total),
      number(total / Math.max(1, departuresPerFrame)),
      `${Math.round(heapGrowth / 1024)} KiB`.padStart(10),
    ].join(''),
  );
  return [header.join(''), ...rows, '', 'ns per frame; "per copy": total by frames that left.'].join('\n');
}

const wakeFd = native.createWake();
const results = WORKLOADS.map((workload) => new Bench(workload, wakeFd).measure());
native.unbindBurst();
native.closeFd(wakeFd);
process.stdout.write(`${process.argv.includes('--json') ? JSON.stringify(results, null, 2) : table(results)}\n`);
