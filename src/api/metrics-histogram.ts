/**
 * Buckets of turns as Prometheus wants them: each counts everything up to its limit, the last one (`+Inf`) everything.
 *
 * The count is the sum of the buckets as they were read, so that `+Inf` and `_count` agree although the datapath goes on
 * while it is read.
 */
import type { TurnBucket } from '../control/controller.js';

export interface Histogram {
  buckets: { le: string; turns: number }[];
  sum: number;
  count: number;
}

/** `sum`: of what was counted, frames for example. */
export function turnHistogram(buckets: readonly TurnBucket[], sum: number): Histogram {
  return histogramOf(buckets, sum, (upTo) => String(upTo));
}

/** Of limits in microseconds, shown in seconds. */
export function secondsHistogram(buckets: readonly TurnBucket[], sumSeconds: number): Histogram {
  return histogramOf(buckets, sumSeconds, (upTo) => String(Number((upTo / 1e6).toFixed(6))));
}

function histogramOf(buckets: readonly TurnBucket[], sum: number, le: (upTo: number) => string): Histogram {
  let count = 0;
  const cumulative: Histogram['buckets'] = [];
  for (const { upTo, turns } of buckets) {
    count += turns;
    if (upTo !== null) cumulative.push({ le: le(upTo), turns: count });
  }
  cumulative.push({ le: '+Inf', turns: count });
  return { buckets: cumulative, sum, count };
}
