// The soak from beginning to end: load and operators for a time, samples all the while, then the reckoning.
//
// The lab is the caller's: closing it afterwards removes everything and tells what was left (test/support/system-lab.ts).
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Prng } from '../../src/lib/prng.js';
import type { Lab } from '../../test/support/system-lab.js';
import { Books, judgeAtRest, judgeSums, type Moment } from './books.js';
import { DEEDS } from './deeds.js';
import { judgeInterfaces } from './interfaces.js';
import { Load } from './load.js';
import { driftOf, type MemorySample, MOST_DRIFT_BYTES, openDescriptors, residentBytes } from './memory.js';
import { Operator, type Tally } from './operator.js';
import type { Options } from './options.js';
import { mega, type Report } from './report.js';

const SAMPLE_MS = 2000;
const PROGRESS_MS = 10_000;
/** Load without operators, whose frames are counted twice. */
const CLOSING_MS = 3000;
/** Between two faults: at least the first, at most the sum of both. */
const FAULT_PAUSE_MS = 5000;
const FAULT_SPREAD_MS = 8000;

export interface SoakOptions extends Options {
  say: (line: string) => void;
  /** Ends the load early; the reckoning follows all the same. */
  signal: AbortSignal;
}

/** Runs it in an open lab. Throws only when the lab itself breaks (the daemon died). */
export async function runSoak(lab: Lab, options: SoakOptions): Promise<Report> {
  const soak = new Soak(lab, options);
  try {
    return await soak.run();
  } finally {
    await soak.load.stop();
  }
}

class Soak {
  readonly load: Load;
  private readonly lab: Lab;
  private readonly options: SoakOptions;
  private readonly books: Books;
  private readonly memory: MemorySample[] = [];
  private readonly problems: string[] = [];
  private readonly startedAt = performance.now();
  private faults = 0;

  constructor(lab: Lab, options: SoakOptions) {
    this.lab = lab;
    this.options = options;
    this.books = new Books(lab.daemon);
    this.load = new Load(lab, options.seed);
  }

  async run(): Promise<Report> {
    const { load, options, books } = this;
    await load.prepare();
    const descriptors = this.descriptors();
    const files = this.files();
    const operators = this.hire();
    const seconds = await this.work(operators);
    await load.stop();

    const afterLoad = await this.atRest();
    this.problems.push(...operators.flatMap((operator) => operator.problems));
    this.problems.push(...this.judgeLoad());
    await this.closeBooks(afterLoad);
    this.problems.push(...(await this.judgeDescriptors(descriptors)));
    this.problems.push(...this.judgeFiles(files));
    const drift = driftOf(this.memory);
    if (drift.isJudged && drift.bytes > MOST_DRIFT_BYTES) {
      this.problems.push(`memory grew by ${mega(drift.bytes)} after the first minute`);
    }
    return {
      ...{ seed: options.seed, seconds, deeds: sumTallies(operators), runs: load.runs, faults: this.faults },
      ...{ samples: books.samples, worst: books.worst },
      ...{ datapath: afterLoad.stats.datapath, drops: afterLoad.drops },
      ...{ memory: this.memory, drift, problems: [...new Set(this.problems)] },
    };
  }

  private hire(): Operator[] {
    const { lab, load, options } = this;
    return Array.from({ length: options.operators }, (_, number) => {
      const random = new Prng(options.seed * 31 + number + 1);
      return new Operator({ lab, random, number, core: load.network, target: load.sides[1]!.v4, deeds: DEEDS });
    });
  }

  /** Load, operators and faults together; returns when all but the load has ended, with how long that took. */
  private async work(operators: readonly Operator[]): Promise<number> {
    const ending = new AbortController();
    const work = Promise.all(operators.map((operator) => operator.work(ending.signal)));
    this.load.start();
    try {
      await Promise.all([this.watch(operators), this.options.fault === null ? null : this.disturb()]);
      return this.elapsedSeconds();
    } finally {
      ending.abort();
      await work;
    }
  }

  /** Samples until the time is over. */
  private async watch(operators: readonly Operator[]): Promise<void> {
    const { options, books, lab } = this;
    let nextProgress = PROGRESS_MS / 1000;
    while (!this.isOver()) {
      await sleep(SAMPLE_MS, undefined, { signal: options.signal }).catch(() => {});
      if (!lab.daemon.isRunning) throw new Error(`weftd died:\n${lab.daemon.log.split('\n').slice(-10).join('\n')}`);
      this.problems.push(...(await books.sample(this.faults)));
      this.memory.push({ at: this.elapsedSeconds(), residentBytes: residentBytes(lab.daemon.pid) });
      if (this.elapsedSeconds() < nextProgress) continue;
      nextProgress += PROGRESS_MS / 1000;
      options.say(this.progress(operators));
    }
  }

  /** Makes the worker fail again and again. */
  private async disturb(): Promise<void> {
    const random = new Prng(this.options.seed ^ 0x5eed);
    while (!this.isOver()) {
      const pause = FAULT_PAUSE_MS + random.below(FAULT_SPREAD_MS);
      await sleep(pause, undefined, { signal: this.options.signal }).catch(() => {});
      if (this.isOver()) return;
      this.faults++;
      process.kill(this.lab.daemon.pid, 'SIGUSR2');
    }
  }

  /** A few seconds in which no endpoint comes or goes, from rest to rest: now every number can be compared with another. */
  private async closeBooks(before: Moment): Promise<void> {
    const { load } = this;
    load.start();
    await sleep(CLOSING_MS);
    await load.stop();
    const after = await this.atRest();
    this.problems.push(...judgeSums(before.stats, after.stats));
    this.problems.push(
      ...judgeInterfaces(
        load.sides.map(({ endpoint }) => endpoint),
        before,
        after,
      ),
    );
  }

  /** Waits for rest, and judges what must be true then. */
  private async atRest(): Promise<Moment> {
    const { books, load, lab } = this;
    const moment = await books.atRest(load.sides.map(({ base }) => lab.path(base)));
    this.problems.push(...judgeAtRest(moment.stats.datapath, moment.drops, this.faults));
    return moment;
  }

  private judgeLoad(): string[] {
    return Object.entries(this.load.runs)
      .filter(([, { done }]) => done === 0)
      .map(([name, { lastWords }]) => `the load "${name}" never got through: ${lastWords}`);
  }

  private descriptors(): string[] {
    return openDescriptors(this.lab.daemon.pid, readlinkSync);
  }

  /** Connections that just ended may take a moment. */
  private async judgeDescriptors(before: readonly string[]): Promise<string[]> {
    for (let attempt = 0; attempt < 20; attempt++) {
      if (this.descriptors().length <= before.length) return [];
      await sleep(100);
    }
    const more = [...this.descriptors()];
    for (const name of before) if (more.includes(name)) more.splice(more.indexOf(name), 1);
    return [`weftd has ${more.length} more open descriptors than before: ${more.join(', ')}`];
  }

  /** What lies in the directories of the daemon. */
  private files(): string[] {
    const { stateDir, runDir } = this.lab.daemon;
    return [stateDir, runDir].flatMap((directory) => readdirSync(directory, { recursive: true }).map(String)).sort();
  }

  private judgeFiles(before: readonly string[]): string[] {
    const more = this.files().filter((name) => !before.includes(name));
    return more.length === 0 ? [] : [`weftd left files behind: ${more.join(', ')}`];
  }

  private progress(operators: readonly Operator[]): string {
    const { datapath } = this.books.last!;
    const done = Object.values(sumTallies(operators)).reduce((sum, tally) => sum + tally.done, 0);
    const problems = this.problems.length + operators.reduce((sum, { problems }) => sum + problems.length, 0);
    return [
      `${this.elapsedSeconds().toFixed(0).padStart(5)} s`,
      `${(datapath.arrivals / 1e6).toFixed(2)} M frames`,
      `${done} operations`,
      `memory ${mega(this.memory.at(-1)!.residentBytes)}`,
      `longest turn ${(datapath.longestTurnMicros / 1000).toFixed(1)} ms`,
      ...(this.faults === 0 ? [] : [`${this.faults} faults`]),
      `${problems} problems`,
    ].join('  ');
  }

  private isOver(): boolean {
    return this.options.signal.aborted || this.elapsedSeconds() >= this.options.seconds;
  }

  private elapsedSeconds(): number {
    return (performance.now() - this.startedAt) / 1000;
  }
}

function sumTallies(operators: readonly Operator[]): Record<string, Tally> {
  const sums: Record<string, Tally> = {};
  for (const { tallies } of operators) {
    for (const [name, { done, slowestMs }] of Object.entries(tallies)) {
      const sum = sums[name] ?? { done: 0, slowestMs: 0 };
      sums[name] = { done: sum.done + done, slowestMs: Math.max(sum.slowestMs, slowestMs) };
    }
  }
  return sums;
}
