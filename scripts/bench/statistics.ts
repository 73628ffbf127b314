// Medians, spreads and ratios of the benchmark's samples. Pure: no clock, no I/O.

/** The middle value (mean of the two middle ones); NaN of nothing. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** (largest - smallest) / median: how far the rounds disagree. 0 with fewer than two values. */
export function spread(values: readonly number[]): number {
  if (values.length < 2) return 0;
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

/** One measured value of one system in one round. */
export interface Sample {
  readonly round: number;
  readonly system: string;
  readonly metric: string;
  readonly value: number;
}

export interface Summary {
  readonly median: number;
  readonly minimum: number;
  readonly maximum: number;
  readonly rounds: number;
}

/** Summary of one metric of one system, or null when no round measured it. */
export function summarise(samples: readonly Sample[], system: string, metric: string): Summary | null {
  const values = samples.filter((one) => one.system === system && one.metric === metric).map((one) => one.value);
  if (values.length === 0) return null;
  return {
    median: median(values),
    minimum: Math.min(...values),
    maximum: Math.max(...values),
    rounds: values.length,
  };
}

/**
 * Median over the rounds of (system's value / peer's value in the same round), which cancels the machine's slow drift;
 * null when no round measured both.
 */
export function ratioOf(
  samples: readonly Sample[],
  metric: string,
  system: string,
  peer: string,
): { ratio: number; perRound: number[] } | null {
  const perRound = dividedByRound(samples, { system, metric }, { system: peer, metric });
  return perRound.length === 0 ? null : { ratio: median(perRound), perRound };
}

/** The same for two metrics of one system; undefined when no round measured both. */
export function ratioOfMetrics(samples: readonly Sample[], system: string, metric: string, divisor: string) {
  const perRound = dividedByRound(samples, { system, metric }, { system, metric: divisor });
  return perRound.length === 0 ? undefined : median(perRound);
}

interface Series {
  readonly system: string;
  readonly metric: string;
}

function dividedByRound(samples: readonly Sample[], dividend: Series, divisor: Series): number[] {
  const valueIn = ({ system, metric }: Series, round: number) =>
    samples.find((one) => one.system === system && one.metric === metric && one.round === round)?.value;
  const rounds = [...new Set(samples.map((one) => one.round))].sort((a, b) => a - b);
  return rounds.flatMap((round) => {
    const above = valueIn(dividend, round);
    const below = valueIn(divisor, round);
    return above === undefined || below === undefined || below === 0 ? [] : [above / below];
  });
}
