// Runs a million frames (of the heavy workloads fewer) and prints what that left on the heap and what garbage it made, in
// bytes (JSON on standard output). argv: how many bytes are nothing to look at twice. A program of its own, started with --expose-gc and a nursery so large that nothing is
// collected while it is watched.
import { InjectRingWriter } from '../../src/ports/inject-ring.js';
import { ether, numberedMac } from '../support/frame-builders.js';
import { createRig } from '../support/rig.js';
import { introduce, WORKLOADS, type Workload } from '../support/workloads.js';

const FRAMES = 1_000_000;
/** Until the compiler is done with the hot path. */
const WARM_UP = 300_000;
/** Frames that are copied, flooded or cut many times over count for more than one. */
const HEAVY = 50;
/** On a busy machine the compiler may still be at it while it is watched. Garbage of every frame is there every time. */
const MOST_LOOKS = 3;

/** As much as one turn takes from the injection ring. */
const INJECTED_PER_TURN = 64;
const INJECTED = ether({ from: numberedMac(1), to: numberedMac(2) }, 'injected').bytes;

const ALLOWED_BYTES = Number(process.argv[2]);

declare const gc: () => void;

function heapBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function settledBytes(): number {
  for (let i = 0; i < 3; i++) gc();
  return heapBytes();
}

function watch(workload: Workload): Growth {
  const rig = createRig({ program: workload.program, senders: workload.senders, source: workload.source });
  introduce(rig.macs, workload);
  return watchTurns(() => rig.datapath.turn(0), workload.isHeavy ? FRAMES / HEAVY : FRAMES);
}

/** Frames that come through the injection ring instead of from a port; the writer's side is watched too. */
function watchInjected(workload: Workload): Growth {
  const rig = createRig({ program: workload.program, senders: [], source: workload.source });
  introduce(rig.macs, workload);
  const ring = new InjectRingWriter(rig.injectMemory);
  const port = workload.senders[0]!;
  const serial = workload.program.portSerial[port]!;
  return watchTurns(() => {
    for (let n = 0; n < INJECTED_PER_TURN; n++) ring.write(port, serial, INJECTED, null);
    return rig.datapath.turn(0);
  }, FRAMES);
}

interface Growth {
  frames: number;
  retained: number;
  garbage: number;
}

function watchTurns(turn: () => number, most: number): Growth {
  let frames = 0;
  while (frames < Math.min(WARM_UP, most)) frames += turn();
  let growth = watchOnce(turn, most);
  for (let looks = 1; looks < MOST_LOOKS && Math.max(growth.retained, growth.garbage) >= ALLOWED_BYTES; looks++) {
    growth = watchOnce(turn, most);
  }
  return growth;
}

function watchOnce(turn: () => number, most: number): Growth {
  const settled = settledBytes();
  const before = heapBytes();
  let frames = 0;
  while (frames < most) frames += turn();
  const garbage = heapBytes() - before;
  return { frames, retained: settledBytes() - settled, garbage };
}

const results = WORKLOADS.map((workload) => [workload.name, watch(workload)] as const);
const injected = ['injected', watchInjected(WORKLOADS[0]!)] as const;
process.stdout.write(JSON.stringify(Object.fromEntries([...results, injected])));
