/**
 * Counters that the worker writes and the control thread reads, in memory that both see. One Float64 each: exact to 2^53,
 * written by one thread only, so plain stores do (an aligned 8-byte store is not torn on the machines that Node runs on).
 *
 * Layout, in doubles: totals, the two histograms of turns (turn-meter.ts), DROP_COUNT totals by reason, then per port
 * PORT_COLUMNS and DROP_COUNT by reason.
 * Conservation, after every turn:
 *   arrivals + originated = forwarded + consumed + sum of frame drops
 *   departures = sent + sum of departure drops
 */
import { DROP_COUNT } from './drop-reasons.js';
import { MAX_PORTS } from './program.js';

/** Columns of the totals. */
export const TOTAL = {
  turns: 0,
  arrivals: 1,
  originated: 2,
  forwarded: 3,
  consumed: 4,
  dropped: 5,
  departures: 6,
  sent: 7,
  transmitDropped: 8,
  macs: 9,
  macMoves: 10,
  macEvictions: 11,
  /** Clock of the worker in ms, the same that MAC entries are stamped with. */
  nowMs: 12,
  /** Turns that found nothing to do. */
  idleTurns: 13,
  /** Frames that had to be segmented or to have their checksum completed for a port. */
  segmented: 14,
  completed: 15,
  /** Where the time went, in ms with fractions (turn-meter.ts). */
  busyMs: 16,
  asleepMs: 17,
  pollingMs: 18,
  /** Sleeps that ended because of frames or of the control thread. */
  wakeUps: 19,
  longestTurnMicros: 20,
  /** Longest time that frames waited while the worker did what the control thread asked for. */
  longestPauseMicros: 21,
  /** Flows and mappings of the NAT (nat.ts): how many there are, and what became of those that are not any more. */
  flows: 22,
  flowMappings: 23,
  flowsOpened: 24,
  flowsExpired: 25,
  flowsDeleted: 26,
  /** Frames of weft's own making that were dropped: part of `dropped`, but of no port. */
  ownDropped: 27,
  /** Messages of joined datagrams that the kernel refused, so that a VTEP joins no more (joined-datagrams.ts). */
  joinsRefused: 28,
} as const;

/** Columns of one port. rx: from the port into the network; tx: from the network to the port. */
export const PORT = { rxFrames: 0, rxBytes: 1, txFrames: 2, txBytes: 3, rxDropped: 4, txDropped: 5 } as const;

/** Turns by frames that came in: bucket b counts those of at most 2^b frames (and more than the bucket before). */
export const BURST_BUCKETS = 9;

/** Upper limits of the buckets of turns by duration, in microseconds; one more bucket counts what is longer. */
export const TURN_TIME_LIMITS = Int32Array.of(
  ...[5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000],
);
const TURN_TIME_BUCKETS = TURN_TIME_LIMITS.length + 1;

const TOTAL_COLUMNS = 32;
const PORT_COLUMNS = 8;
const PORT_STRIDE = PORT_COLUMNS + DROP_COUNT;
const BURSTS_AT = TOTAL_COLUMNS;
const TURN_TIMES_AT = BURSTS_AT + BURST_BUCKETS;
const DROPS_AT = TURN_TIMES_AT + TURN_TIME_BUCKETS;
const PORTS_AT = DROPS_AT + DROP_COUNT;

/** Memory for `Counters`, all zero. @coldPath once per daemon */
export function createCounterMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer((PORTS_AT + MAX_PORTS * PORT_STRIDE) * 8);
}

export class Counters {
  /** Raw doubles, for the hot path: index with the functions below. */
  readonly values: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.values = new Float64Array(memory);
  }
}

/** Where a total stands in `values`. */
export function totalAt(column: number): number {
  return column;
}

/** Where a bucket of the turns by frames stands. */
export function burstAt(bucket: number): number {
  return BURSTS_AT + bucket;
}

/** Where a bucket of the turns by duration stands. */
export function turnTimeAt(bucket: number): number {
  return TURN_TIMES_AT + bucket;
}

/** Where the total of a drop reason stands. */
export function dropAt(reason: number): number {
  return DROPS_AT + reason;
}

/** Where a column of a port stands. */
export function portAt(port: number, column: number): number {
  return PORTS_AT + port * PORT_STRIDE + column;
}

/** Where a drop reason of a port stands: arrivals of this port, or departures to it, by the scope of the reason. */
export function portDropAt(port: number, reason: number): number {
  return PORTS_AT + port * PORT_STRIDE + PORT_COLUMNS + reason;
}

/** Sets all counters of a port to zero: the control thread does so before it gives the row to another endpoint. */
export function clearPort(counters: Counters, port: number): void {
  counters.values.fill(0, portAt(port, 0), portAt(port + 1, 0));
}
