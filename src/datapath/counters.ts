/**
 * Counters that the worker writes and the control thread reads, in memory that both see. One Float64 each: exact to 2^53,
 * written by one thread only, so plain stores do (an aligned 8-byte store is not torn on the machines that Node runs on).
 *
 * Layout, in doubles: DATAPATH_COLUMNS totals, DROP_COUNT totals by reason, then per port PORT_COLUMNS and DROP_COUNT by reason.
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
  captureLost: 14,
  /** Frames that had to be segmented or to have their checksum completed for a port. */
  segmented: 15,
  completed: 16,
} as const;

/** Columns of one port. rx: from the port into the network; tx: from the network to the port. */
export const PORT = { rxFrames: 0, rxBytes: 1, txFrames: 2, txBytes: 3, rxDropped: 4, txDropped: 5 } as const;

const TOTAL_COLUMNS = 32;
const PORT_COLUMNS = 8;
const PORT_STRIDE = PORT_COLUMNS + DROP_COUNT;
const DROPS_AT = TOTAL_COLUMNS;
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
