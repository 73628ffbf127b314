/** Statistics that tests make up: everything zero but what they say. */
import type { DatapathStats, DnsStats, TurnBucket } from '../../src/control/controller.js';
import { BURST_BUCKETS, TURN_TIME_LIMITS } from '../../src/datapath/counters.js';

export function idleDatapath(): DatapathStats {
  return {
    ...{ turns: 0, arrivals: 0, originated: 0, forwarded: 0, consumed: 0, dropped: 0 },
    ...{ departures: 0, sent: 0, transmitDropped: 0, macs: 0, macMoves: 0, macEvictions: 0 },
    ...{ flows: 0, flowMappings: 0, flowsOpened: 0, flowsExpired: 0, flowsDeleted: 0 },
    ...{ segmented: 0, completed: 0, joinsRefused: 0, captureLost: 0, idleTurns: 0, wakeUps: 0 },
    ...{ busySeconds: 0, asleepSeconds: 0, pollingSeconds: 0, longestTurnMicros: 0, longestPauseMicros: 0 },
    bursts: emptyBuckets(Array.from({ length: BURST_BUCKETS }, (_, bucket) => 2 ** bucket)),
    turnTimes: emptyBuckets([...TURN_TIME_LIMITS, null]),
  };
}

export function idleDns(): DnsStats {
  return { queries: 0, local: 0, forwarded: 0, failed: 0, refused: 0, ignored: 0, asked: 0, cached: 0 };
}

function emptyBuckets(limits: (number | null)[]): TurnBucket[] {
  return limits.map((upTo) => ({ upTo, turns: 0 }));
}
