// What a soak found, as data and as text.
import type { DatapathStats } from '../../src/control/controller.js';
import type { Drops, Imbalance } from './books.js';
import type { Drift, MemorySample } from './memory.js';
import { MOST_DRIFT_BYTES } from './memory.js';
import type { Tally } from './operator.js';

export interface Report {
  seed: number;
  /** How long the load ran. */
  seconds: number;
  deeds: Record<string, Tally>;
  runs: Record<string, { done: number; failed: number; lastWords: string }>;
  faults: number;
  samples: number;
  worst: Imbalance;
  datapath: DatapathStats;
  drops: Drops[];
  memory: MemorySample[];
  drift: Drift;
  /** One sentence each; none = the soak passed. */
  problems: string[];
}

const MOST_PROBLEMS = 20;

export function formatReport(report: Report): string {
  const { datapath, memory, drift, worst } = report;
  const total = datapath.busySeconds + datapath.asleepSeconds + datapath.pollingSeconds;
  const lines = [
    `seed ${report.seed}, ${report.seconds.toFixed(0)} s of load`,
    '',
    'done                       times   slowest',
    ...Object.entries(report.deeds)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(
        ([name, tally]) => `  ${name.padEnd(23)}${pad(tally.done, 7)}${pad(`${tally.slowestMs.toFixed(0)} ms`, 10)}`,
      ),
    ...Object.entries(report.runs).map(
      ([name, { done, failed, lastWords }]) =>
        `  ${`load: ${name}`.padEnd(40)} ${done} runs${failed === 0 ? '' : `, ${failed} failed (${lastWords})`}`,
    ),
    ...(report.faults === 0 ? [] : [`  worker faults: ${report.faults}`]),
    '',
    'frames',
    `  ${datapath.arrivals} arrivals + ${datapath.originated} originated` +
      ` = ${datapath.forwarded} forwarded + ${datapath.consumed} consumed + ${datapath.dropped} dropped`,
    `  ${datapath.departures} departures = ${datapath.sent} sent + ${datapath.transmitDropped} dropped at the port`,
    `  largest difference in ${report.samples} samples under load: ${worst.frames} frames, ${worst.departures} departures`,
    ...report.drops.filter(({ frames }) => frames > 0).map(({ reason, frames }) => `  ${pad(frames, 9)} ${reason}`),
    '',
    'worker',
    `  busy ${percent(datapath.busySeconds, total)}, asleep ${percent(datapath.asleepSeconds, total)},` +
      ` longest turn ${millis(datapath.longestTurnMicros)}, longest pause ${millis(datapath.longestPauseMicros)}`,
    `  ${datapath.segmented} super-frames cut, ${datapath.completed} checksums completed, ${datapath.captureLost} captured frames lost`,
    '',
    'memory of weftd (resident, MB)',
    `  ${overTime(memory)}`,
    `  drift ${mega(drift.bytes)}${drift.isJudged ? ` (limit ${mega(MOST_DRIFT_BYTES)})` : ' (the run was too short to judge it)'}`,
    '',
    ...(report.problems.length === 0
      ? ['passed: every frame is accounted for, memory holds, nothing is left behind']
      : [
          ...report.problems.slice(0, MOST_PROBLEMS).map((problem) => `error: ${problem}`),
          ...(report.problems.length > MOST_PROBLEMS ? [`... and ${report.problems.length - MOST_PROBLEMS} more`] : []),
          `failed (seed ${report.seed})`,
        ]),
  ];
  return `${lines.join('\n')}\n`;
}

export function mega(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`;
}

/** About twenty values over the whole run. */
function overTime(samples: readonly MemorySample[]): string {
  const step = Math.max(1, Math.ceil(samples.length / 20));
  return samples
    .filter((_, index) => index % step === 0)
    .map(({ residentBytes }) => (residentBytes / 1024 / 1024).toFixed(0))
    .join(' ');
}

function pad(value: number | string, width: number): string {
  return String(value).padStart(width);
}

function percent(part: number, whole: number): string {
  return whole > 0 ? `${((part / whole) * 100).toFixed(0)} %` : '-';
}

function millis(micros: number): string {
  return `${(micros / 1000).toFixed(1)} ms`;
}
