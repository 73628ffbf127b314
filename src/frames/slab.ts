/**
 * The one piece of memory that frames live in: allocated once, bound to the native addon, reused every turn.
 *
 *   0                       SCRATCH_AT           ORIGINATED_AT   ORIGINALS_AT     SLAB_BYTES      end of the buffer
 *   +-----------------------+--------------------+---------------+----------------+-----------------+
 *   | arrivals, packed      | scratch: heads that| frames that   | heads before   | columns that    |
 *   | behind 128 B headroom | differ from frames | weft makes    | they are       | the addon fills |
 *   +-----------------------+--------------------+---------------+- rewritten ----+-----------------+
 *
 * Arrivals: a receive stops at 256 frames or BURST_BYTES, whichever comes first (a small working set stays in the cache);
 * the region has room for one more super-frame, so that the last read always fits.
 * Scratch: vnet and protocol headers of segments and of re-tagged frames; payload is never copied.
 * Originated: ARP answers, ICMP errors and the like, one slot each.
 * Originals: the first bytes of arrivals that the router rewrites in place, for captures, which show what came in.
 * Columns: what the addon reads and writes by row lies in the same buffer, because the addon looks at each distinct buffer in
 * each call (measured: 45-90 ns each; twelve of them cost more than forwarding a frame).
 */

/** Frames of one burst. */
export const BURST_FRAMES = 256;
export const BURST_BYTES = 256 * 1024;
/** In front of each arrival: room for a vnet header and for encapsulation. */
export const HEADROOM_BYTES = 128;
/**
 * More room than that in front of messages of UDP sockets and frames of TAPs of tunnels (native/weft.h): joined datagrams are spread there,
 * so that each has a vnet header in front of it.
 */
export const SPREAD_BYTES = 256;
/** The largest frame: 64 KiB of IP behind Ethernet and two tags, rounded up. */
export const MAX_FRAME_BYTES = 65536 + 64;

export const ARRIVAL_BYTES = BURST_BYTES + HEADROOM_BYTES + 32 + MAX_FRAME_BYTES;
export const SCRATCH_AT = (ARRIVAL_BYTES + 63) & ~63;
export const SCRATCH_BYTES = 128 * 1024;
/** Frames that weft may make in one turn, and room for each: headroom and the largest ICMPv6 error (RFC 4443 section 2.4 (c)). */
export const ORIGINATED_FRAMES = 64;
export const ORIGINATED_SLOT_BYTES = 2048;
export const ORIGINATED_AT = SCRATCH_AT + SCRATCH_BYTES;
/** What is kept of an arrival that is rewritten: Ethernet, IP and transport headers, also those inside of an ICMP error. */
export const ORIGINAL_BYTES = 256;
/** One receive from a tunnel's socket may hold many frames: so many more rows than BURST_FRAMES may then be in use. */
export const EXPANDED_FRAMES = 768;
/** Arrivals that one turn can have. */
export const ARRIVAL_ROWS = BURST_FRAMES + EXPANDED_FRAMES;
export const ORIGINALS_AT = ORIGINATED_AT + ORIGINATED_FRAMES * ORIGINATED_SLOT_BYTES;
export const SLAB_BYTES = ORIGINALS_AT + ARRIVAL_ROWS * ORIGINAL_BYTES;
/** Rows of the frame vector: arrivals, then originated frames. */
export const VECTOR_ROWS = ARRIVAL_ROWS + ORIGINATED_FRAMES;
/** Rows behind those of the vector, where datagrams and outer frames of tunnels stand until they are decapsulated. */
export const STAGED_ROWS = 64;

/** Int32 values that columns may take. */
const COLUMN_INTS = 64 * 1024;

export class Slab {
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  private columnsAt = SLAB_BYTES;

  constructor() {
    this.buffer = new ArrayBuffer(SLAB_BYTES + COLUMN_INTS * 4);
    this.bytes = new Uint8Array(this.buffer, 0, SLAB_BYTES);
    this.view = new DataView(this.buffer, 0, SLAB_BYTES);
  }

  /** A column of its own in the memory of the slab. Throws a RangeError when there is no room (a bug). @coldPath */
  takeColumn(rows: number): Int32Array {
    const column = new Int32Array(this.buffer, this.columnsAt, rows);
    this.columnsAt += rows * 4;
    return column;
  }
}

/** @coldPath once per datapath */
export function createSlab(): Slab {
  return new Slab();
}
