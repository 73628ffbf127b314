/**
 * Where the datapath shows frames to whoever captures: the interface of the capture ring, so that the datapath does not
 * depend on how captures are kept. Called only for ports that the program marks; must not allocate, block or throw.
 *
 * `checksumStart`/`checksumOffset` say which field still holds a partial checksum (offsets from the start of the frame and
 * from there; -1 = complete), so that a capture can finish it.
 */
export interface FrameTap {
  /** A frame that came in at `port`. */
  arrival(port: number, at: number, bytes: number, checksumStart: number, checksumOffset: number): void;
  /** A frame about to leave through `port`, in two pieces; `headBytes` may be 0. */
  departure(
    port: number,
    headAt: number,
    headBytes: number,
    bodyAt: number,
    bodyBytes: number,
    checksumStart: number,
    checksumOffset: number,
  ): void;
  /** An arrival of `port` that was dropped for `reason`. */
  dropped(port: number, reason: number, at: number, bytes: number, checksumStart: number, checksumOffset: number): void;
  /** Everything above since the last call belongs to one turn; makes it visible to the reader. */
  commit(): void;
}
