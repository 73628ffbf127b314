// The books of a daemon under load: whether every frame is accounted for, by what its API says.
//
// The API reads counters that another thread writes. A look can fall into a turn, and then the two sides of a law differ by
// what that turn has done so far: for arrivals at most one burst, for departures one burst times the ports that it can
// flood to, times the segments of a super-frame. It can also be torn, when the thread that looks is made to wait between two
// counters. So a look that shows more is repeated at once: frames that are really lost are lost in every look.
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatapathStats, EndpointStats, StatsView } from '../../src/control/controller.js';
import { BURST_FRAMES } from '../../src/frames/slab.js';
import type { Daemon } from '../../test/support/system-daemon.js';
import { type KernelCounters, readInterfaces } from './interfaces.js';

const LOOKS = 8;
const STANDSTILL_MS = 300;
const STANDSTILL_TIMEOUT_MS = 20_000;
/** Of a super-frame of 64 KiB that is cut for a port. */
const MOST_SEGMENTS = 128;

export interface Imbalance {
  /** arrivals + originated - forwarded - consumed - dropped */
  frames: number;
  /** departures - sent - dropped at the port */
  departures: number;
}

/** All that was counted, at one moment at which nothing moved. */
export interface Moment {
  stats: StatsView;
  drops: Drops[];
  kernel: KernelCounters[];
}

export class Books {
  /** Largest imbalance of any sample, by its size. */
  readonly worst: Imbalance = { frames: 0, departures: 0 };
  samples = 0;
  last: StatsView | null = null;
  private readonly daemon: Daemon;

  constructor(daemon: Daemon) {
    this.daemon = daemon;
  }

  /** One look while everything runs. `lostBursts`: of how many bursts a fault may have taken the rest along. */
  async sample(lostBursts: number): Promise<string[]> {
    for (let look = 1; ; look++) {
      const stats = await this.read();
      const imbalance = imbalanceOf(stats.datapath);
      const bursts = 1 + lostBursts;
      const mostDepartures = bursts * BURST_FRAMES * MOST_SEGMENTS * Math.max(1, stats.endpoints.length);
      const isWithin =
        Math.abs(imbalance.frames) <= bursts * BURST_FRAMES && Math.abs(imbalance.departures) <= mostDepartures;
      if (!isWithin && look < LOOKS) continue;
      this.samples++;
      this.worst.frames = larger(this.worst.frames, imbalance.frames);
      this.worst.departures = larger(this.worst.departures, imbalance.departures);
      const shrunk = this.last === null ? [] : shrunkCounters(this.last.datapath, stats.datapath);
      this.last = stats;
      return [
        ...shrunk.map((name) => `the counter ${name} went backwards while the daemon ran`),
        ...(isWithin ? [] : [`${LOOKS} looks in a row showed unaccounted frames: ${JSON.stringify(imbalance)}`]),
      ];
    }
  }

  /**
   * Waits until nothing moves any more and looks at everything then: a connection that was cut may still send a frame now
   * and then, so what is looked at counts only if the counters were the same before and after. Throws when there is no rest.
   */
  async atRest(namespaces: readonly string[]): Promise<Moment> {
    const deadline = Date.now() + STANDSTILL_TIMEOUT_MS;
    let before = await this.read();
    for (;;) {
      await sleep(STANDSTILL_MS);
      const stats = await this.read();
      const drops: Drops[] = await this.daemon.call('GET', '/v1/drops');
      const kernel = await readInterfaces(namespaces);
      const after = await this.read();
      const texts = new Set([before, stats, after].map(countersText));
      if (texts.size === 1) return { stats, drops, kernel };
      if (Date.now() > deadline) throw new Error('frames still move although all load has ended');
      before = after;
    }
  }

  private async read(): Promise<StatsView> {
    return await this.daemon.call('GET', '/v1/stats');
  }
}

/** What is wrong with counters at rest. */
export function judgeAtRest(datapath: DatapathStats, drops: readonly Drops[], lostBursts: number): string[] {
  const problems: string[] = [];
  const imbalance = imbalanceOf(datapath);
  const allowed = lostBursts * BURST_FRAMES;
  if (Math.abs(imbalance.frames) > allowed) problems.push(`${imbalance.frames} frames have no fate`);
  if (lostBursts === 0 && imbalance.departures !== 0)
    problems.push(`${imbalance.departures} departures have no result`);
  if (lostBursts > 0) return problems;
  for (const [scope, name] of [
    ['frame', 'dropped'],
    ['departure', 'transmitDropped'],
  ] as const) {
    const sum = drops.reduce((total, row) => total + (row.scope === scope ? row.frames : 0), 0);
    if (sum !== datapath[name]) problems.push(`${name} is ${datapath[name]}, but its reasons add up to ${sum}`);
  }
  return problems;
}

export interface Drops {
  reason: string;
  scope: string;
  frames: number;
}

/** Between two moments at rest, when no endpoint came or went: whether the endpoints add up to the totals. */
export function judgeSums(before: StatsView, after: StatsView): string[] {
  const columns = [
    ['rxFrames', 'arrivals'],
    ['txFrames', 'sent'],
    ['rxDropped', 'dropped'],
    ['txDropped', 'transmitDropped'],
  ] as const;
  return columns.flatMap(([column, total]) => {
    const ofEndpoints = sum(after.endpoints, column) - sum(before.endpoints, column);
    const ofAll = after.datapath[total] - before.datapath[total];
    return ofEndpoints === ofAll ? [] : [`${total} rose by ${ofAll}, but ${column} of the endpoints by ${ofEndpoints}`];
  });
}

export function imbalanceOf(datapath: DatapathStats): Imbalance {
  const { arrivals, originated, forwarded, consumed, dropped, departures, sent, transmitDropped } = datapath;
  return {
    frames: arrivals + originated - forwarded - consumed - dropped,
    departures: departures - sent - transmitDropped,
  };
}

function sum(endpoints: readonly EndpointStats[], column: 'rxFrames' | 'txFrames' | 'rxDropped' | 'txDropped'): number {
  return endpoints.reduce((total, endpoint) => total + endpoint[column], 0);
}

function larger(a: number, b: number): number {
  return Math.abs(b) > Math.abs(a) ? b : a;
}

const RISING = ['turns', 'arrivals', 'forwarded', 'dropped', 'departures', 'sent', 'transmitDropped'] as const;

function shrunkCounters(before: DatapathStats, after: DatapathStats): string[] {
  return RISING.filter((name) => after[name] < before[name]);
}

function countersText({ datapath, endpoints }: StatsView): string {
  const { arrivals, forwarded, dropped, departures, sent, transmitDropped } = datapath;
  const ofEndpoints = endpoints.map(({ endpoint, rxFrames, txFrames }) => [endpoint, rxFrames, txFrames]);
  return JSON.stringify([arrivals, forwarded, dropped, departures, sent, transmitDropped, ofEndpoints]);
}
