// Runs a million frames (of the heavy workloads fewer) and prints what that left on the heap and what garbage it made, in
// bytes (JSON on standard output). A program of its own, started with --expose-gc and a nursery so large that nothing is
// collected while it is watched.
import { createRig } from '../support/rig.js';
import { introduce, WORKLOADS, type Workload } from '../support/workloads.js';

const FRAMES = 1_000_000;
/** Until the compiler is done with the hot path. */
const WARM_UP = 100_000;
/** Frames that are copied, flooded or cut many times over count for more than one. */
const HEAVY = 50;

declare const gc: () => void;

function heapBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function settledBytes(): number {
  for (let i = 0; i < 3; i++) gc();
  return heapBytes();
}

function watch(workload: Workload): { frames: number; retained: number; garbage: number } {
  const rig = createRig({ program: workload.program, senders: workload.senders, source: workload.source });
  introduce(rig.macs, workload);
  const most = workload.isHeavy ? FRAMES / HEAVY : FRAMES;
  let frames = 0;
  while (frames < Math.min(WARM_UP, most)) frames += rig.datapath.turn(0);
  const settled = settledBytes();
  const before = heapBytes();
  frames = 0;
  while (frames < most) frames += rig.datapath.turn(0);
  const garbage = heapBytes() - before;
  return { frames, retained: settledBytes() - settled, garbage };
}

process.stdout.write(JSON.stringify(Object.fromEntries(WORKLOADS.map((workload) => [workload.name, watch(workload)]))));
