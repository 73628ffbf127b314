/**
 * The control thread's end of the capture ring: reads records in order and gives their memory back. Not a hot path, but it
 * shares its thread with the control API: `read` takes a limit, so that a full ring is read in slices.
 *
 * Invariants: one reader; a record is valid only inside `visit`, because its memory is reused after it.
 */
import {
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
import { type ByteWords, byteWords, finishChecksum } from './finish-checksum.js';

/** One frame as it stands in the ring. The same object is filled anew for every record. */
export interface CapturedFrame {
  /** The ring's bytes; the frame is `bytes[at .. at + captured)`. */
  bytes: Uint8Array;
  at: number;
  /** Bytes of the frame that are here. */
  captured: number;
  /** Bytes of the frame on the wire. */
  length: number;
  port: number;
  /** ARRIVAL or DEPARTURE. */
  direction: number;
  /** A drop reason, or NOT_DROPPED. */
  reason: number;
  /** UTC since 1970. */
  seconds: number;
  nanoseconds: number;
  /** False when the TCP or UDP checksum in it is that of the pseudo-header only. */
  isChecksumComplete: boolean;
}

/** Atomics.waitAsync, ES2024: in Node since 16, but not yet among the types of ES2023. */
const { waitAsync } = Atomics as unknown as {
  waitAsync(
    words: Int32Array,
    index: number,
    value: number,
  ): { async: true; value: Promise<string> } | { async: false };
};

/** Units after which memory is given back to the producer in the middle of a read. */
const RELEASE_UNITS = (64 << 10) / UNIT_BYTES;

export class CaptureRingReader {
  private readonly control: Int32Array;
  private readonly lostFrames: Float64Array;
  private readonly lostSum: Float64Array;
  private readonly words: Int32Array;
  private readonly memory: ByteWords;
  private readonly capacity: number;
  private readonly frame: CapturedFrame;

  constructor(memory: SharedArrayBuffer) {
    const ringBytes = memory.byteLength - DATA_AT;
    this.control = new Int32Array(memory, 0, TAIL_WORD + 1);
    this.lostFrames = new Float64Array(memory, LOST_AT, LOST_COUNT);
    this.lostSum = new Float64Array(memory, LOST_TOTAL_AT, 1);
    this.words = new Int32Array(memory, DATA_AT, ringBytes >> 2);
    this.memory = byteWords(new Uint8Array(memory, DATA_AT, ringBytes));
    this.capacity = ringBytes / UNIT_BYTES;
    this.frame = {
      bytes: this.memory.bytes,
      at: 0,
      captured: 0,
      length: 0,
      port: 0,
      direction: 0,
      reason: 0,
      seconds: 0,
      nanoseconds: 0,
      isChecksumComplete: true,
    };
  }

  /** Calls `visit` for up to `maxRecords` published records, checksums complete but for those that are left. Returns how many there were. */
  read(visit: (frame: CapturedFrame) => void, maxRecords: number): number {
    const head = Atomics.load(this.control, HEAD_WORD);
    let tail = Atomics.load(this.control, TAIL_WORD);
    let released = tail;
    let records = 0;
    while (tail !== head && records < maxRecords) {
      const at = tail & (this.capacity - 1);
      const word = at * WORDS_PER_UNIT;
      const units = this.words[word];
      if (this.words[word + 1] !== PADDING) {
        this.load(at, word);
        visit(this.frame);
        records++;
      }
      tail = (tail + units) | 0;
      if (((tail - released) | 0) >= RELEASE_UNITS) {
        released = tail;
        Atomics.store(this.control, TAIL_WORD, tail);
      }
    }
    Atomics.store(this.control, TAIL_WORD, tail);
    return records;
  }

  /** Forgets everything published so far: what was left over from captures that have ended. */
  discard(): void {
    Atomics.store(this.control, TAIL_WORD, Atomics.load(this.control, HEAD_WORD));
  }

  /**
   * Resolves when something is published that was not read, at the latest when somebody notifies (`stopWaiting`). Only of a ring
   * whose producer notifies (punt-ring.ts). A wait does not keep the process alive.
   */
  async waitForMore(): Promise<void> {
    const wait = waitAsync(this.control, HEAD_WORD, Atomics.load(this.control, TAIL_WORD));
    if (wait.async) await wait.value;
  }

  /** Ends a wait. */
  stopWaiting(): void {
    Atomics.notify(this.control, HEAD_WORD);
  }

  /** Bytes published and not yet read. */
  pendingBytes(): number {
    const units = (Atomics.load(this.control, HEAD_WORD) - Atomics.load(this.control, TAIL_WORD)) | 0;
    return units * UNIT_BYTES;
  }

  /** Frames of a port and direction that were lost since the ring was made because it was full. */
  lost(port: number, direction: number): number {
    return this.lostFrames[port * LOST_COLUMNS + direction]!;
  }

  /** The sum of `lost` over everything: when it has not changed, nothing else has. */
  lostTotal(): number {
    return this.lostSum[0]!;
  }

  private load(at: number, word: number): void {
    const { frame, words } = this;
    const packed = words[word + 1];
    const portAndOffset = words[word + 2];
    frame.at = at * UNIT_BYTES + RECORD_HEADER_BYTES + (packed & 0xff);
    frame.direction = (packed >> 8) & 0xff;
    frame.reason = (packed >>> 16) - 1;
    frame.port = portAndOffset & 0xffff;
    frame.length = words[word + 3];
    frame.captured = words[word + 4];
    frame.seconds = words[word + 6] >>> 0;
    frame.nanoseconds = words[word + 7];
    const checksumStart = words[word + 5];
    frame.isChecksumComplete = checksumStart !== CHECKSUM_LEFT;
    if (checksumStart >= 0) {
      finishChecksum(this.memory, frame.at, frame.captured, checksumStart, portAndOffset >>> 16);
    }
  }
}
