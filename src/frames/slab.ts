/**
 * The one piece of memory that frames live in: allocated once, bound to the native addon, reused every turn.
 *
 *   0                        ARRIVAL_BYTES            SLAB_BYTES
 *   +------------------------+------------------------+
 *   | arrivals, packed       | scratch: heads that    |
 *   | behind 128 B headroom  | differ from the frame  |
 *   +------------------------+------------------------+
 *
 * Arrivals: a receive stops at 256 frames or BURST_BYTES, whichever comes first (a small working set stays in the cache);
 * the region has room for one more super-frame, so that the last read always fits.
 * Scratch: vnet and protocol headers of segments and of re-tagged frames; payload is never copied.
 */

/** Frames of one burst. */
export const BURST_FRAMES = 256;
export const BURST_BYTES = 256 * 1024;
/** In front of each arrival: room for a vnet header and for encapsulation. */
export const HEADROOM_BYTES = 128;
/** The largest frame: 64 KiB of IP behind Ethernet and two tags, rounded up. */
export const MAX_FRAME_BYTES = 65536 + 64;

export const ARRIVAL_BYTES = BURST_BYTES + HEADROOM_BYTES + 32 + MAX_FRAME_BYTES;
export const SCRATCH_AT = (ARRIVAL_BYTES + 63) & ~63;
export const SCRATCH_BYTES = 128 * 1024;
export const SLAB_BYTES = SCRATCH_AT + SCRATCH_BYTES;

export interface Slab {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function createSlab(): Slab {
  const buffer = new ArrayBuffer(SLAB_BYTES);
  return { buffer, bytes: new Uint8Array(buffer), view: new DataView(buffer) };
}
