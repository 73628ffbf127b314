/**
 * The memory that a capture ring lives in: what the worker writes and the control thread reads. Only the layout; the two
 * ends are capture-ring.ts (worker) and capture-ring-reader.ts (control thread).
 *
 *   byte 0        control words, each on a cache line of its own, so that the two threads do not fight over one:
 *                 HEAD_WORD: end of what is published, written by the worker
 *                 TAIL_WORD: end of what is read, written by the control thread
 *                 LOST_TOTAL_AT: frames lost because the ring was full, Float64, written by the worker
 *   LOST_AT       the same per port and direction
 *   DATA_AT       records, a power of two of bytes, up to the end of the memory
 *
 * Positions count units of 8 bytes since the ring was made and wrap at 2^32; they are compared by their difference. A
 * record never wraps: what does not fit before the end of the data is preceded by padding up to it.
 *
 *   word 0  units of the whole record, padding included
 *   word 1  bits 0-7 bytes between the header and the data, 8-15 direction, 16-31 drop reason + 1; PADDING: no record
 *   word 2  bits 0-15 port, 16-31 checksumOffset
 *   word 3  length of the frame            word 4  bytes of it that follow
 *   word 5  checksumStart, or below 0      word 6  seconds since 1970 (unsigned)   word 7  nanoseconds
 */
import { MAX_PORTS } from '../datapath/program.js';

/** Words (Int32) of the control block. */
export const HEAD_WORD = 16;
export const TAIL_WORD = 32;
export const LOST_TOTAL_AT = 192;
const CONTROL_BYTES = 256;

/** Columns of the lost counters of one port: one per direction. */
export const LOST_COLUMNS = 3;
export const LOST_AT = CONTROL_BYTES;
export const LOST_COUNT = MAX_PORTS * LOST_COLUMNS;
export const DATA_AT = LOST_AT + LOST_COUNT * 8;

export const UNIT_BYTES = 8;
export const WORDS_PER_UNIT = 2;
export const RECORD_HEADER_BYTES = 32;
/** Value of word 1 of padding at the end of the data. */
export const PADDING = -1;

/** In place of `checksumStart`: the checksum in the frame is complete. */
export const CHECKSUM_COMPLETE = -1;
/** In place of `checksumStart`: the checksum is partial and stays so (capture-ring.ts says when). */
export const CHECKSUM_LEFT = -2;

const DEFAULT_RING_BYTES = 8 << 20;
/** Holds a super-frame (64 KiB of L3 behind Ethernet and tags) and then some. */
const MIN_RING_BYTES = 1 << 18;
const MAX_RING_BYTES = 1 << 30;

/**
 * Memory for a ring of `ringBytes` (a power of two, 256 KiB to 1 GiB) of records. Made by the control thread, so that a
 * capture outlives a worker. Throws a RangeError on any other size.
 */
export function createCaptureMemory(ringBytes: number = DEFAULT_RING_BYTES): SharedArrayBuffer {
  if (!(ringBytes >= MIN_RING_BYTES && ringBytes <= MAX_RING_BYTES && (ringBytes & (ringBytes - 1)) === 0)) {
    throw new RangeError(`a capture ring is a power of two of 256 KiB to 1 GiB, not ${ringBytes} bytes`);
  }
  return new SharedArrayBuffer(DATA_AT + ringBytes);
}

/** Copies lost since the memory was made because the ring was full; for who looks without being its reader. */
export function lostOfCaptures(memory: SharedArrayBuffer): number {
  return new Float64Array(memory, LOST_TOTAL_AT, 1)[0]!;
}
