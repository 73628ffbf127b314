/**
 * The heads of arrivals as they came, kept for captures when the router is about to change the frame where it lies.
 */
import type { FrameVector } from './frame-vector.js';
import { ORIGINAL_BYTES, ORIGINALS_AT, type Slab } from './slab.js';

/** Keeps the head of row `row`, an arrival, unless it was kept already. To be called before the first byte is changed. */
export function keepOriginal(frames: FrameVector, slab: Slab, row: number): void {
  if (frames.originalAt[row] !== 0) return;
  const at = ORIGINALS_AT + row * ORIGINAL_BYTES;
  const from = frames.start[row]!;
  slab.bytes.copyWithin(at, from, from + Math.min(ORIGINAL_BYTES, frames.length[row]!));
  frames.originalAt[row] = at;
  // A checksum that is finished for a port is finished in the frame, not in the head that was kept.
  frames.originalChecksumStart[row] = frames.checksumStart[row]!;
}
