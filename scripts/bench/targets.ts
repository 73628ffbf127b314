// The bars that weft has to clear, and whether a run's samples clear them.
import { subjectOf } from './catalogue.js';
import { ratioOf, ratioOfMetrics, type Sample, summarise } from './statistics.js';

interface Target {
  readonly metric: string;
  /** The system that is judged; absent: that of the metric's family. */
  readonly system?: string;
  /** The peer whose value weft's is divided by; absent: weft's own value counts. */
  readonly peer?: string;
  /** Or the metric of weft's own whose value it is divided by. */
  readonly divisor?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const OVERLAY_TCP = ['overlay-tcp-1', 'overlay-tcp-1-reverse'];
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
  { metric: 'nat-tcp-1', peer: 'slirp4netns', atLeast: 1.4 },
  { metric: 'nat-tcp-1', peer: 'slirp-1500', atLeast: 5 },
  { metric: 'nat-tcp-1', peer: 'masquerade', atLeast: 0.6 },
  { metric: 'nat-tcp-in', divisor: 'nat-tcp-1', atLeast: 1 },
  { metric: 'nat-latency-p50', peer: 'slirp4netns', atMost: 1 },
  { metric: 'nat-offered-failed', atMost: 0 },
  { metric: 'nat-flows', atLeast: 0.7 },
  { metric: 'nat-expiry-turn', atMost: 1000 },
  ...OVERLAY_TCP.map((metric) => ({ metric, peer: 'ovs-vxlan', atLeast: 4 })),
  ...OVERLAY_TCP.map((metric) => ({ metric, peer: 'kernel-vxlan', atLeast: 0.6 })),
  ...OVERLAY_TCP.map((metric) => ({ metric, system: 'weft-socket', peer: 'ovs-vxlan', atLeast: 3 })),
  { metric: 'overlay-udp-64', peer: 'ovs-vxlan', atLeast: 2 },
  { metric: 'overlay-udp-64', system: 'weft-socket', peer: 'ovs-vxlan', atLeast: 2 },
  { metric: 'overlay-latency-p50', peer: 'ovs-vxlan', atMost: 1 },
  { metric: 'overlay-latency-p50', system: 'weft-socket', peer: 'ovs-vxlan', atMost: 1 },
  { metric: 'overlay-scale', atLeast: 0.8 },
  { metric: 'overlay-scale-in', atLeast: 0.8 },
  { metric: 'overlay-scale-socket', atLeast: 0.8 },
  { metric: 'overlay-scale-socket-in', atLeast: 0.8 },
];

export interface Verdict extends Target {
  readonly value: number;
  readonly isMet: boolean;
}

/** The verdict on every target that the samples say something about. */
export function judge(samples: readonly Sample[]): Verdict[] {
  return targets.flatMap((target) => {
    const value = measuredOf(samples, target);
    if (value === undefined) return [];
    const isMet = value >= (target.atLeast ?? -Infinity) && value <= (target.atMost ?? Infinity);
    return [{ ...target, value, isMet }];
  });
}

function measuredOf(samples: readonly Sample[], { metric, system, peer, divisor }: Target): number | undefined {
  const subject = system ?? subjectOf(metric);
  if (divisor !== undefined) return ratioOfMetrics(samples, subject, metric, divisor);
  if (peer !== undefined) return ratioOf(samples, metric, subject, peer)?.ratio;
  return summarise(samples, subject, metric)?.median;
}
