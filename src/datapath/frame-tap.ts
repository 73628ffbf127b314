/**
 * Where the datapath shows frames to whoever captures: the producer's side of the capture ring as an interface, so that the
 * datapath does not depend on how captures are kept. Called only for ports that the program marks, each frame once and after
 * its fate is known; must not allocate, block or throw.
 *
 * Positions are offsets in the slab. `checksumStart` (from the start of the frame, -1 = complete) and `checksumOffset` (from
 * there) name the field that still holds a partial checksum, so that a capture can finish it.
 */

/** Directions. */
export const ARRIVAL = 0;
export const DEPARTURE = 1;
/** A departure that is the first sign of the frame on its network: weft made it, or routed it there. */
export const ENTRY = 2;

/** In place of a drop reason. */
export const NOT_DROPPED = -1;

export interface FrameTap {
  /** Time stamp (UTC since 1970) of the frames recorded from here on. */
  setTime(seconds: number, nanoseconds: number): void;
  /** A frame in one piece. `reason`: drop reason or NOT_DROPPED. */
  record(
    at: number,
    length: number,
    port: number,
    direction: number,
    reason: number,
    checksumStart: number,
    checksumOffset: number,
    snaplen: number,
  ): void;
  /** A frame in two pieces. */
  recordSplit(
    headAt: number,
    headBytes: number,
    bodyAt: number,
    bodyBytes: number,
    port: number,
    direction: number,
    reason: number,
    checksumStart: number,
    checksumOffset: number,
    snaplen: number,
  ): void;
  /** Makes everything recorded so far visible to the reader. */
  commit(): void;
}
