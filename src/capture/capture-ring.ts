/**
 * The worker's end of the capture ring: copies frames into memory that the control thread reads (capture-ring-reader.ts).
 * Hot path: never waits, and allocates nothing for small copies. When the reader is behind, frames are lost, counted by
 * port and direction.
 *
 * `commit` ends a turn; nothing is visible to the reader before.
 *
 * Checksums: a frame may carry a partial one (virtio NEEDS_CSUM: the field holds the sum over the pseudo-header). A frame
 * that is copied whole is finished by the reader; of one that is cut only the worker sees all bytes, so it is finished here,
 * unless it is longer than MAX_SUMMED_BYTES: see there.
 *
 * Invariants: one producer; `head - tail` <= capacity; everything below a published head is complete records.
 */
import type { FrameTap } from '../datapath/frame-tap.js';
import { finishPartial } from '../wire/checksum.js';
import {
  CHECKSUM_COMPLETE,
  CHECKSUM_LEFT,
  DATA_AT,
  HEAD_WORD,
  LOST_AT,
  LOST_COLUMNS,
  LOST_COUNT,
  LOST_TOTAL_AT,
  PADDING,
  RECORD_HEADER_BYTES,
  TAIL_WORD,
  UNIT_BYTES,
  WORDS_PER_UNIT,
} from './capture-layout.js';

/**
 * Up to here a loop over words, eight at a time, beats `set(subarray)`, which costs a view per call. Measured on Node 20,
 * best ns for 60 / 128 / 256 / 1514 bytes: eight words 41 / 88 / 134 / 670, one word 83 / 113 / 214 / 1209, set 101 / 103 /
 * 113 / 242.
 */
const WORD_COPY_BYTES = 128;
/** A copy by eight words may write so much in front of and behind what it copies: each record has this room. */
const COPY_SLACK_BYTES = 40;

/**
 * The checksum of a longer frame that is cut is left partial, and the record says so. Such a frame is a super-frame, whose
 * checksum is on no wire (its segments have their own), and without the rest of it no reader could tell a right one from a
 * wrong one. To sum 64 KiB for that took 2 to 3 us per frame, half of what the forwarding itself costs: a TCP stream came
 * to 0.80 of its throughput while all headers were captured; without, to 0.94 (medians of alternating runs).
 */
const MAX_SUMMED_BYTES = 9018;

/** Folded 16-bit ones' complement sum of `length` bytes at `at` of the slab plus `initial`; not inverted. */
export type SlabSum = (at: number, length: number, initial: number) => number;

export class CaptureRing implements FrameTap {
  protected readonly control: Int32Array;
  private readonly lostFrames: Float64Array;
  private readonly lostTotal: Float64Array;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly slab: Uint8Array;
  private readonly slabWords: Int32Array;
  private readonly sum: SlabSum;
  private readonly capacity: number;
  private head: number;
  private published: number;
  private tail: number;
  private seconds: number;
  private nanoseconds: number;

  /**
   * `memory` is from createCaptureMemory; a worker that takes over from a dead one continues where that had published.
   * `slab` starts at a multiple of 4 in its buffer; every position below is an offset in it, and so are those of `sum`.
   */
  constructor(memory: SharedArrayBuffer, slab: Uint8Array, sum: SlabSum) {
    const ringBytes = memory.byteLength - DATA_AT;
    this.control = new Int32Array(memory, 0, TAIL_WORD + 1);
    this.lostFrames = new Float64Array(memory, LOST_AT, LOST_COUNT);
    this.lostTotal = new Float64Array(memory, LOST_TOTAL_AT, 1);
    this.words = new Int32Array(memory, DATA_AT, ringBytes >> 2);
    this.bytes = new Uint8Array(memory, DATA_AT, ringBytes);
    this.slab = slab;
    this.slabWords = new Int32Array(slab.buffer, slab.byteOffset, slab.byteLength >> 2);
    this.sum = sum;
    this.capacity = ringBytes / UNIT_BYTES;
    this.head = Atomics.load(this.control, HEAD_WORD);
    this.published = this.head;
    this.tail = Atomics.load(this.control, TAIL_WORD);
    this.seconds = 0;
    this.nanoseconds = 0;
  }

  /** Frames lost because the ring was full, since it was made. */
  get lost(): number {
    return this.lostTotal[0]!;
  }

  setTime(seconds: number, nanoseconds: number): void {
    this.seconds = seconds;
    this.nanoseconds = nanoseconds;
  }

  record(
    at: number,
    length: number,
    port: number,
    direction: number,
    reason: number,
    checksumStart: number,
    checksumOffset: number,
    snaplen: number,
  ): void {
    this.recordSplit(at, 0, at, length, port, direction, reason, checksumStart, checksumOffset, snaplen);
  }

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
  ): void {
    const length = (headBytes + bodyBytes) | 0;
    const captured = Math.min(length, snaplen);
    const units = (RECORD_HEADER_BYTES + captured + COPY_SLACK_BYTES + UNIT_BYTES - 1) >> 3;
    const at = this.reserve(units);
    if (at < 0) {
      this.lostFrames[port * LOST_COLUMNS + direction]! += 1;
      this.lostTotal[0]! += 1;
      return;
    }
    // The body keeps its place within 8 bytes, so that it can be copied by words: here, and in V8 (copyLarge).
    const skip = (bodyAt - headBytes) & 7;
    const dataAt = (at * UNIT_BYTES + RECORD_HEADER_BYTES + skip) | 0;
    if (captured > headBytes) this.copy(bodyAt, captured - headBytes, dataAt + headBytes);
    // After the body: the first word of the body may have overwritten the last bytes of the head.
    const headCopied = Math.min(headBytes, captured);
    for (let i = 0; i < headCopied; i++) this.bytes[dataAt + i] = this.slab[headAt + i]!;
    let start = checksumStart;
    if (start >= 0 && captured < length) {
      if (length > MAX_SUMMED_BYTES) start = CHECKSUM_LEFT;
      else {
        this.finish(headAt, headBytes, bodyAt, bodyBytes, start, checksumOffset, dataAt, captured);
        start = CHECKSUM_COMPLETE;
      }
    }
    const { words } = this;
    const word = at * WORDS_PER_UNIT;
    words[word] = units;
    words[word + 1] = skip | (direction << 8) | ((reason + 1) << 16);
    words[word + 2] = port | (checksumOffset << 16);
    words[word + 3] = length;
    words[word + 4] = captured;
    words[word + 5] = start;
    words[word + 6] = this.seconds;
    words[word + 7] = this.nanoseconds;
  }

  commit(): void {
    if (this.published === this.head) return;
    this.published = this.head;
    Atomics.store(this.control, HEAD_WORD, this.head);
  }

  /** Place (in units) for a record of `units`, or -1 when the ring is full. */
  private reserve(units: number): number {
    const capacity = this.capacity;
    const at = this.head & (capacity - 1);
    const padding = at + units > capacity ? capacity - at : 0;
    const needed = padding + units;
    if (capacity - ((this.head - this.tail) | 0) < needed) {
      this.tail = Atomics.load(this.control, TAIL_WORD);
      if (capacity - ((this.head - this.tail) | 0) < needed) return -1;
    }
    this.head = (this.head + needed) | 0;
    if (padding === 0) return at;
    this.words[at * WORDS_PER_UNIT] = padding;
    this.words[at * WORDS_PER_UNIT + 1] = PADDING;
    return 0;
  }

  /** Copies from slab to ring; `from` and `to` are equal modulo 8. May change what is around, see COPY_SLACK_BYTES. */
  private copy(from: number, length: number, to: number): void {
    if (length > WORD_COPY_BYTES) {
      this.copyLarge(from, length, to);
      return;
    }
    const { slabWords, words } = this;
    const end = (from + length + 3) >> 2;
    let target = to >> 2;
    for (let source = from >> 2; source < end; source += 8) {
      words[target] = slabWords[source]!;
      words[target + 1] = slabWords[source + 1]!;
      words[target + 2] = slabWords[source + 2]!;
      words[target + 3] = slabWords[source + 3]!;
      words[target + 4] = slabWords[source + 4]!;
      words[target + 5] = slabWords[source + 5]!;
      words[target + 6] = slabWords[source + 6]!;
      words[target + 7] = slabWords[source + 7]!;
      target += 8;
    }
  }

  /**
   * @coldPath one view per frame costs less than a loop over more than WORD_COPY_BYTES bytes (measured above). On shared
   * memory V8 copies bytes one by one unless both sides are equal modulo 8: measured 928 ns for 1514 bytes, else 361.
   */
  private copyLarge(from: number, length: number, to: number): void {
    this.bytes.set(this.slab.subarray(from, from + length), to);
  }

  /** Completes the checksum in the `captured` bytes at `dataAt` of the ring, over the whole frame in the slab. */
  private finish(
    headAt: number,
    headBytes: number,
    bodyAt: number,
    bodyBytes: number,
    start: number,
    offset: number,
    dataAt: number,
    captured: number,
  ): void {
    const field = start + offset;
    // A sender may ask for anything; a field that is not in the copy has nothing to finish.
    if (field + 2 > captured) return;
    let total = 0;
    if (start < headBytes) {
      const inHead = headBytes - start;
      let body = bodyBytes === 0 ? 0 : this.sum(bodyAt, bodyBytes, 0);
      // RFC 1071 section 2 (B): a sum that starts at an odd byte comes out with its bytes swapped.
      if ((inHead & 1) === 1) body = ((body & 0xff) << 8) | (body >> 8);
      total = this.sum(headAt + start, inHead, body);
    } else {
      total = this.sum(bodyAt + start - headBytes, bodyBytes + headBytes - start, 0);
    }
    const checksum = finishPartial(total, offset);
    this.bytes[dataAt + field] = checksum >> 8;
    this.bytes[dataAt + field + 1] = checksum & 0xff;
  }
}
