// What the benchmark measures: a workload yields values of named metrics, a metric says how to read them.
import type { Bench, Lab } from '../lab.js';

export interface Metric {
  /** Stable name, used in the JSON file. */
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  /** Digits after the decimal point in the table. */
  readonly digits: number;
  /**
   * False for what only explains another metric, like the load a generator offered: not divided by the peers' values.
   */
  readonly isCompared?: false;
}

/** Values by metric id. */
export type Measured = Record<string, number>;

/** Measured on the lab of every system, one after the other. */
export interface Workload {
  readonly name: string;
  readonly metrics: readonly Metric[];
  readonly programs: readonly string[];
  readonly packages: readonly string[];
  measure(bench: Bench, lab: Lab): Promise<Measured>;
}

/** Measured on weft alone, on labs that the workload builds itself. */
export interface WeftWorkload {
  readonly name: string;
  readonly metrics: readonly Metric[];
  measure(bench: Bench): Promise<Measured>;
}
