// The bars that weft has to clear, and whether a run's samples clear them.
import { SUBJECT } from './catalogue.js';
import { ratioOf, type Sample, summarise } from './statistics.js';

interface Target {
  readonly metric: string;
  /** The peer whose value weft's is divided by; absent: weft's own value counts. */
  readonly peer?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const TCP = ['tcp-1', 'tcp-1-reverse', 'tcp-4', 'tcp-4-reverse'];

export const targets: readonly Target[] = [
  ...TCP.map((metric) => ({ metric, peer: 'c-loop', atLeast: 0.95 })),
  ...TCP.map((metric) => ({ metric, peer: 'ovs', atLeast: 3 })),
  ...TCP.map((metric) => ({ metric, peer: 'vde', atLeast: 3 })),
  { metric: 'capacity', peer: 'c-loop', atLeast: 0.85 },
  { metric: 'capacity', peer: 'ovs', atLeast: 1.3 },
  { metric: 'latency-p50', peer: 'c-loop', atMost: 1.15 },
  { metric: 'latency-p50', peer: 'ovs', atMost: 1 },
  { metric: 'latency-p50', peer: 'vde', atMost: 1 },
  { metric: 'idle-ports', atLeast: 0.9 },
  { metric: 'learned-macs', atLeast: 0.85 },
  { metric: 'capture-cost', atLeast: 0.85 },
  { metric: 'capture-loss', atMost: 0 },
  { metric: 'ready', atMost: 500 },
  { metric: 'endpoint-create', atMost: 10 },
  { metric: 'endpoint-growth', atMost: 2 },
  { metric: 'idle-memory', atMost: 120 },
  { metric: 'idle-cpu', atMost: 0.5 },
];

export interface Verdict extends Target {
  readonly value: number;
  readonly isMet: boolean;
}

/** The verdict on every target that the samples say something about. */
export function judge(samples: readonly Sample[]): Verdict[] {
  return targets.flatMap((target) => {
    const value =
      target.peer === undefined
        ? summarise(samples, SUBJECT, target.metric)?.median
        : ratioOf(samples, target.metric, SUBJECT, target.peer)?.ratio;
    if (value === undefined) return [];
    const isMet = value >= (target.atLeast ?? -Infinity) && value <= (target.atMost ?? Infinity);
    return [{ ...target, value, isMet }];
  });
}
