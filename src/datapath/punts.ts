/**
 * The way of frames from the datapath to the services of the control thread: bounded by a ring, and limited by port, so that
 * nobody can keep the control thread busy, or keep others from being served.
 */
import type { FrameVector } from '../frames/frame-vector.js';
import { STORM_BROADCAST, STORM_UNKNOWN, StormTable } from '../tables/storm-table.js';
import { ARRIVAL, type FrameTap, NOT_DROPPED } from './frame-tap.js';
import { MAX_PORTS } from './program.js';

/** Frames per second; eight at once. A client of DHCP sends two to get its lease, and waits for seconds before it asks again. */
const PORT_LIMIT = 10;
/** All ports together; 200 at once. */
const TOTAL_LIMIT = 2000;
/**
 * The same for services that have a port: questions, and the segments of TCP connections. What the control thread does not take
 * in time would push the questions of others out of the queue of its socket.
 */
const PORT_SERVICE_LIMIT = 3000;
const TOTAL_SERVICE_LIMIT = 20_000;
const ALL_PORTS = MAX_PORTS;
/** No request to a service is longer. */
export const MAX_PUNTED_BYTES = 2048;

export interface PuntSink extends FrameTap {
  /** Frames that did not fit, ever. */
  readonly lost: number;
}

export class Punts {
  private readonly sink: PuntSink;
  private readonly limits: StormTable;
  private isUncommitted: boolean;

  constructor(sink: PuntSink) {
    this.sink = sink;
    this.limits = new StormTable(MAX_PORTS + 1);
    this.isUncommitted = false;
  }

  /** Gives the arrival `row` to the control thread, as it came. False when the port asks too often, or nobody reads. */
  take(frames: FrameVector, row: number, now: number): boolean {
    const port = frames.ingressPort[row]!;
    const length = frames.length[row]!;
    const { limits, sink } = this;
    if (
      length > MAX_PUNTED_BYTES ||
      !limits.take(port, STORM_BROADCAST, PORT_LIMIT, now) ||
      !limits.take(ALL_PORTS, STORM_BROADCAST, TOTAL_LIMIT, now)
    ) {
      return false;
    }
    const { lost } = sink;
    const partial = frames.checksumStart[row]!;
    sink.record(
      frames.start[row]!,
      length,
      port,
      ARRIVAL,
      NOT_DROPPED,
      partial,
      frames.checksumOffset[row]!,
      MAX_PUNTED_BYTES,
    );
    this.isUncommitted = true;
    return sink.lost === lost;
  }

  /** Whether one more frame of the port may go to a service that has a port of its own (DNS). */
  allows(port: number, now: number): boolean {
    const { limits } = this;
    return (
      limits.take(port, STORM_UNKNOWN, PORT_SERVICE_LIMIT, now) &&
      limits.take(ALL_PORTS, STORM_UNKNOWN, TOTAL_SERVICE_LIMIT, now)
    );
  }

  /** Shows the control thread what was taken in this turn. */
  commit(): void {
    if (!this.isUncommitted) return;
    this.isUncommitted = false;
    this.sink.commit();
  }

  /** The row of a port goes to another endpoint. */
  resetPort(port: number): void {
    this.limits.resetPort(port);
  }
}
