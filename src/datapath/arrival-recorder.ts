/**
 * Shows the arrivals of a turn to captures, once their fate is known and before what became of them leaves. Which ports are captured
 * the program says; how captures are kept, the tap knows.
 */
import { DROPPED, type FrameVector, isReturned } from '../frames/frame-vector.js';
import { ORIGINAL_BYTES } from '../frames/slab.js';
import { ARRIVAL, type FrameTap, NOT_DROPPED } from './frame-tap.js';
import { CAPTURE_ARRIVALS, CAPTURE_DROPS, type Program } from './program.js';

export class ArrivalRecorder {
  private readonly frames: FrameVector;
  private readonly tap: FrameTap;

  constructor(frames: FrameVector, tap: FrameTap) {
    this.frames = frames;
    this.tap = tap;
  }

  /** What is recorded from here on has this time (ms since 1970, with fractions). */
  stamp(wallMs: number): void {
    const seconds = Math.floor(wallMs / 1000);
    this.tap.setTime(seconds, ((wallMs - seconds * 1000) * 1e6) | 0);
  }

  record(program: Program): void {
    const { frames } = this;
    const { count, verdict, ingressPort, start, length, checksumStart, checksumOffset } = frames;
    const { portCapture, portCount, captureSnaplen } = program;
    for (let i = 0; i < count; i++) {
      const port = ingressPort[i]!;
      const reason = verdict[i] === DROPPED ? frames.reason[i]! : NOT_DROPPED;
      // What was held was shown when it arrived; if it is dropped now, that is shown too.
      const arrivals = isReturned(frames, i) ? 0 : CAPTURE_ARRIVALS;
      const wanted = reason === NOT_DROPPED ? arrivals : CAPTURE_ARRIVALS | CAPTURE_DROPS;
      if (port >= portCount || (portCapture[port]! & wanted) === 0) continue;
      const originalAt = frames.originalAt[i]!;
      if (originalAt === 0) {
        const partial = checksumStart[i]!;
        this.tap.record(start[i]!, length[i]!, port, ARRIVAL, reason, partial, checksumOffset[i]!, captureSnaplen);
      } else {
        this.recordOriginal(program, i, port, reason);
      }
    }
  }

  /** An arrival that was rewritten: its head as it came, the rest from the frame. */
  private recordOriginal(program: Program, i: number, port: number, reason: number): void {
    const { frames } = this;
    const headBytes = Math.min(ORIGINAL_BYTES, frames.length[i]!);
    this.tap.recordSplit(
      frames.originalAt[i]!,
      headBytes,
      frames.start[i]! + headBytes,
      frames.length[i]! - headBytes,
      port,
      ARRIVAL,
      reason,
      frames.originalChecksumStart[i]!,
      frames.checksumOffset[i]!,
      program.captureSnaplen,
    );
  }
}
