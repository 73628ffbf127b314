// Runs the rounds. In each round every system gets a fresh lab; then, workload by workload, the systems are measured
// one after the other, in an order that rotates from round to round, all others frozen. Two figures that will be
// divided by each other are therefore taken within seconds of each other.
import { backgroundShare } from './background.js';
import { type Bench, type Lab, withLab } from './lab.js';
import type { Failure } from './report.js';
import type { Sample } from './statistics.js';
import type { System } from './systems/system.js';
import type { Measured, Metric, WeftWorkload, Workload } from './workloads/workload.js';

/** Of the names of systems, in the lines that report progress. */
const NAME_WIDTH = 11;

/** What is measured of one family. */
export interface Selection {
  readonly systems: readonly System[];
  readonly workloads: readonly Workload[];
  /** Measured on `subject` alone. */
  readonly weftWorkloads: readonly WeftWorkload[];
  readonly subject: string;
}

export interface Outcome {
  readonly samples: Sample[];
  readonly failures: Failure[];
  /** One for each measurement: share of the processors that somebody else used just before it. */
  readonly background: number[];
}

/**
 * Fills `outcome` as it goes, so that an interrupted run keeps what it has. A failed measurement is recorded, not
 * fatal.
 */
export async function runRounds(
  bench: Bench,
  rounds: number,
  selections: readonly Selection[],
  outcome: Outcome,
): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    bench.say(`round ${round} of ${rounds}`);
    for (const selection of selections) {
      if (bench.signal.aborted) return;
      await runFamily(bench, selection, round, outcome);
    }
  }
}

async function runFamily(bench: Bench, selection: Selection, round: number, outcome: Outcome): Promise<void> {
  if (selection.workloads.length > 0) await runSharedWorkloads(bench, selection, round, outcome);
  for (const workload of selection.weftWorkloads) {
    if (bench.signal.aborted) return;
    await attempt(bench, outcome, round, selection.subject, workload, () => workload.measure(bench));
  }
}

async function runSharedWorkloads(bench: Bench, selection: Selection, round: number, outcome: Outcome): Promise<void> {
  const labs: Lab[] = [];
  const rotation = (round - 1) % selection.systems.length;
  try {
    for (const system of [...selection.systems.slice(rotation), ...selection.systems.slice(0, rotation)]) {
      if (bench.signal.aborted) return;
      try {
        const lab = await system.start(bench);
        labs.push(lab);
        lab.pause();
      } catch (error) {
        report(bench, outcome, { round, system: system.name, workload: 'start', message: (error as Error).message });
      }
    }
    for (const workload of selection.workloads) {
      for (const lab of labs) {
        if (bench.signal.aborted) return;
        const measure = () => withLab(bench, lab, () => workload.measure(bench, lab));
        await attempt(bench, outcome, round, lab.system, workload, measure);
      }
    }
  } finally {
    for (const lab of labs) {
      await lab.stop().catch((error: Error) => {
        report(bench, outcome, { round, system: lab.system, workload: 'stop', message: error.message });
      });
    }
  }
}

async function attempt(
  bench: Bench,
  outcome: Outcome,
  round: number,
  system: string,
  workload: { name: string; metrics: readonly Metric[] },
  measure: () => Promise<Measured>,
): Promise<void> {
  try {
    outcome.background.push(await backgroundShare(bench.signal));
    const values = await measure();
    const words = workload.metrics.map(({ id, unit, digits }) => `${id} ${values[id]!.toFixed(digits)} ${unit}`);
    bench.say(`  ${system.padEnd(NAME_WIDTH)} ${words.join(', ')}`);
    for (const { id } of workload.metrics) outcome.samples.push({ round, system, metric: id, value: values[id]! });
  } catch (error) {
    report(bench, outcome, { round, system, workload: workload.name, message: (error as Error).message });
  }
}

function report(bench: Bench, outcome: Outcome, failure: Failure): void {
  if (bench.signal.aborted) return; // whatever fails now fails because of the interruption
  outcome.failures.push(failure);
  bench.say(`  ${failure.system.padEnd(NAME_WIDTH)} ${failure.workload} FAILED: ${failure.message}`);
}
