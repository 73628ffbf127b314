// The readable tables and the JSON document of a run. Pure: turns samples into text and plain objects.
import { type Family, families } from './catalogue.js';
import { ratioOf, type Sample, spread, summarise } from './statistics.js';
import { judge, type Verdict } from './targets.js';
import type { Metric } from './workloads/workload.js';

/** From this share of the processors on, somebody else's work counts as a disturbance. */
const DISTURBED = 0.1;
/** Rounds that disagree by more than this share of the median are marked in the table. */
const NOISY = 0.25;

export interface Failure {
  readonly round: number;
  readonly system: string;
  readonly workload: string;
  readonly message: string;
}

export interface Results {
  readonly startedAt: string;
  readonly machine: Record<string, string | number>;
  readonly options: Record<string, unknown>;
  /** By name: what ran, in which version. */
  readonly versions: Record<string, string>;
  /** By name: why a system was left out. */
  readonly skipped: Record<string, string>;
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
  /** Before each measurement: share of the processors (0 to 1) that somebody else used. */
  readonly background: readonly number[];
}

const metricsOf = (workloads: readonly { metrics: readonly Metric[] }[]) =>
  workloads.flatMap((workload) => workload.metrics);
const allMetrics = families.flatMap(({ workloads, weftWorkloads }) => metricsOf([...workloads, ...weftWorkloads]));

/** Everything a reader of the terminal wants to see, ending with a newline. */
export function formatReport(results: Results): string {
  const parts = [
    heading(results),
    ...families.flatMap((family) => [
      measuredTable(family, results),
      ratioTable(family, results),
      weftTable(family, results),
    ]),
    verdictTable(results),
  ];
  const failed = results.failures.map(
    (one) => `FAILED: ${one.workload} on ${one.system}, round ${one.round}: ${one.message}\n`,
  );
  const skipped = Object.entries(results.skipped).map(([name, reason]) => `skipped: ${name}: ${reason}\n`);
  parts.push(disturbances(results));
  parts.push([...failed, ...skipped].join(''));
  return parts.filter((part) => part !== '').join('\n');
}

/** The JSON document: raw samples, their summary, the ratios and the verdicts. */
export function toDocument(results: Results): object {
  const metrics = families.flatMap(({ subject, systems, workloads, weftWorkloads }) => {
    const names = systems.map((system) => system.name).filter((name) => name in results.versions);
    return metricsOf([...workloads, ...weftWorkloads]).map((metric) => ({
      ...metric,
      systems: Object.fromEntries(names.map((name) => [name, summarise(results.samples, name, metric.id)])),
      ratios: Object.fromEntries(
        names
          .filter((name) => name !== subject)
          .map((name) => [name, ratioOf(results.samples, metric.id, subject, name)]),
      ),
    }));
  });
  const measured = metrics.filter((metric) => Object.values(metric.systems).some((one) => one !== null));
  return { weftBench: 1, ...results, metrics: measured, targets: judge(results.samples) };
}

function heading({ machine, options }: Results): string {
  const { cpu, cpus, kernel, node, loadAverage } = machine;
  const words = `${options.rounds} rounds of ${options.seconds} s, systems interleaved; medians`;
  return `${cpus} x ${cpu}, Linux ${kernel}, Node ${node}, load ${loadAverage} at the start\n${words}\n`;
}

function disturbances({ background }: Results): string {
  const count = background.filter((share) => share > DISTURBED).length;
  if (count === 0) return '';
  const most = `up to ${Math.round(Math.max(...background) * 100)} %`;
  return `warning: before ${count} of ${background.length} measurements something else used the processors (${most})\n`;
}

function measuredTable({ systems, workloads }: Family, { samples, versions }: Results): string {
  const names = systems.map((system) => system.name).filter((name) => name in versions);
  let noisy = false;
  const cell = (metric: Metric, name: string) => {
    const summary = summarise(samples, name, metric.id);
    if (summary === null) return '-';
    const values = samples.filter((one) => one.system === name && one.metric === metric.id).map((one) => one.value);
    const isNoisy = spread(values) > NOISY;
    noisy ||= isNoisy;
    return `${isNoisy ? '~' : ''}${summary.median.toFixed(metric.digits)}`;
  };
  const rows = metricsOf(workloads)
    .filter((metric) => samples.some((one) => one.metric === metric.id))
    .map((metric) => [metric.title, metric.unit, ...names.map((name) => cell(metric, name))]);
  if (rows.length === 0) return '';
  const note = noisy ? `~ the rounds differ by more than ${NOISY * 100} % of the median\n` : '';
  return table(['', '', ...names], rows) + note;
}

function ratioTable({ subject, systems, workloads }: Family, { samples, versions }: Results): string {
  const peers = systems.map((system) => system.name).filter((name) => name in versions && name !== subject);
  const ratio = (metric: Metric, peer: string) => ratioOf(samples, metric.id, subject, peer)?.ratio.toFixed(2) ?? '-';
  const rows = metricsOf(workloads)
    .filter(
      (metric) =>
        metric.isCompared !== false && peers.some((peer) => ratioOf(samples, metric.id, subject, peer) !== null),
    )
    .map((metric) => [metric.title, `${metric.better} is better`, ...peers.map((peer) => ratio(metric, peer))]);
  if (rows.length === 0) return '';
  return table([`${subject} divided by ... (median of the rounds' ratios)`, '', ...peers], rows);
}

function weftTable({ subject, weftWorkloads }: Family, { samples }: Results): string {
  const rows = metricsOf(weftWorkloads).flatMap((metric) => {
    const summary = summarise(samples, subject, metric.id);
    if (summary === null) return [];
    const range = `${summary.minimum.toFixed(metric.digits)} to ${summary.maximum.toFixed(metric.digits)}`;
    return [[metric.title, metric.unit, summary.median.toFixed(metric.digits), range]];
  });
  return rows.length === 0 ? '' : table([`${subject} alone`, '', 'median', 'range'], rows);
}

function verdictTable({ samples }: Results): string {
  const titles = new Map(allMetrics.map((metric) => [metric.id, metric.title]));
  const row = ({ metric, system, peer, divisor, atLeast, atMost, value, isMet }: Verdict) => [
    [
      `${system === undefined ? '' : `${system}: `}${titles.get(metric)!}`,
      ...[peer ?? titles.get(divisor ?? '')].filter((part) => part !== undefined),
    ].join(' / '),
    atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`,
    value.toFixed(2),
    isMet ? 'met' : 'MISSED',
  ];
  const verdicts = judge(samples);
  return verdicts.length === 0 ? '' : table(['targets', '', 'measured', ''], verdicts.map(row));
}

/** Columns as wide as their widest cell: the first two left-aligned, the others right-aligned. */
function table(head: string[], rows: string[][]): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row.map((text, column) => (column < 2 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!))).join('  ');
  return `${[head, ...rows].map((row) => line(row).trimEnd()).join('\n')}\n`;
}
