/**
 * The injection ring: frames that the control thread puts into the datapath as if a port had received them (replay of
 * captures; services that originate frames). Bounded shared memory with one writer, the control thread, and one reader, the
 * worker; both ends are here. Who may inject what is not decided here.
 *
 *   byte 0      control words, each on a cache line of its own:
 *               HEAD_WORD: end of what is written, by the control thread
 *               TAIL_WORD: end of what is taken, by the worker
 *   STALE_AT    records not taken because the port had changed hands, Float64 per port, written by the worker
 *   DATA_AT     records, a power of two of bytes, up to the end of the memory
 *
 * Positions count units of 8 bytes since the ring was made and wrap at 2^32; they are compared by their difference. A
 * record never wraps: what does not fit before the end of the data is preceded by padding up to it.
 *
 *   byte 0   units of the whole record   4  port, or PADDING      8  serial of the attachment   12  length of the frame
 *   byte 18  vnet header (12 bytes)      30  the frame
 *
 * vnet header and frame lie as they do in the slab (a frame begins 2 bytes behind a multiple of 16 there), so that they are
 * copied by words and the reader makes no garbage.
 *
 * A record is taken once, before anything is done with it: a frame that kills the worker does not kill the next one too.
 * Records wait while the worker has no program yet, so a restart loses at most the frames of one turn.
 *
 * Invariants: `head - tail` <= capacity; everything below a published head is complete records.
 */
import { MAX_PORTS } from '../datapath/program.js';
import type { FrameVector } from '../frames/frame-vector.js';
import { HEADROOM_BYTES, MAX_FRAME_BYTES, type Slab } from '../frames/slab.js';
import type { FrameInjector } from './port.js';

export const HEAD_WORD = 16;
export const TAIL_WORD = 32;
const CONTROL_BYTES = 256;
export const STALE_AT = CONTROL_BYTES;
export const DATA_AT = STALE_AT + MAX_PORTS * 8;

export const UNIT_BYTES = 8;
export const WORDS_PER_UNIT = 2;
const VNET_AT = 18;
const VNET_BYTES = 12;
export const FRAME_AT = VNET_AT + VNET_BYTES;
/** First word of a record that is copied: its last two bytes are the first two of the vnet header. */
const COPY_WORD = 4;
export const PADDING = -1;

/** The longest frame that can be injected. */
export const MAX_INJECTED_BYTES = MAX_FRAME_BYTES;

const DEFAULT_RING_BYTES = 1 << 20;
/** Holds a super-frame twice: one that does not fit before the end needs its own length in padding. */
const MIN_RING_BYTES = 1 << 18;
const MAX_RING_BYTES = 1 << 30;

/**
 * Memory for a ring of `ringBytes` (a power of two, 256 KiB to 1 GiB) of records. Made by the control thread, so that it
 * outlives a worker. Throws a RangeError on any other size.
 */
export function createInjectMemory(ringBytes: number = DEFAULT_RING_BYTES): SharedArrayBuffer {
  if (!(ringBytes >= MIN_RING_BYTES && ringBytes <= MAX_RING_BYTES && (ringBytes & (ringBytes - 1)) === 0)) {
    throw new RangeError(`an injection ring is a power of two of 256 KiB to 1 GiB, not ${ringBytes} bytes`);
  }
  return new SharedArrayBuffer(DATA_AT + ringBytes);
}

/** What is left to do with a frame, as its vnet header says it (wire/vnet-header.ts); null: nothing. */
export interface UnfinishedFrame {
  gsoType: number;
  gsoSize: number;
  /** Bytes up to the payload. */
  headerBytes: number;
  checksumStart: number;
  checksumOffset: number;
}

/** The control thread's end. */
export class InjectRingWriter {
  private readonly control: Int32Array;
  private readonly staleFrames: Float64Array;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly capacity: number;
  private head: number;

  /** `memory` is from createInjectMemory; there is one writer at a time. */
  constructor(memory: SharedArrayBuffer) {
    this.control = new Int32Array(memory, 0, TAIL_WORD + 1);
    this.staleFrames = new Float64Array(memory, STALE_AT, MAX_PORTS);
    this.words = new Int32Array(memory, DATA_AT);
    this.bytes = new Uint8Array(memory, DATA_AT);
    this.view = new DataView(memory, DATA_AT);
    this.capacity = this.bytes.length / UNIT_BYTES;
    this.head = Atomics.load(this.control, HEAD_WORD);
  }

  /** Whether the worker has taken everything. */
  get isEmpty(): boolean {
    return Atomics.load(this.control, TAIL_WORD) === this.head;
  }

  /** Records for `port` that were not taken because it had been given to another attachment, since the ring was made. */
  stale(port: number): number {
    return this.staleFrames[port]!;
  }

  /**
   * Writes one frame that arrives at `port` while that is still the attachment of `serial`. False when there is no room now.
   * The worker sees it at once, but may be asleep: wake it after the last of several.
   */
  write(port: number, serial: number, frame: Uint8Array, unfinished: UnfinishedFrame | null): boolean {
    const { length } = frame;
    if (length > MAX_FRAME_BYTES) throw new RangeError(`a frame has at most ${MAX_FRAME_BYTES} bytes, not ${length}`);
    const units = (FRAME_AT + length + UNIT_BYTES - 1) >> 3;
    const { capacity, view } = this;
    let unit = this.head & (capacity - 1);
    const padding = unit + units > capacity ? capacity - unit : 0;
    const used = (this.head - Atomics.load(this.control, TAIL_WORD)) | 0;
    if (capacity - used < padding + units) return false;
    const { words } = this;
    if (padding > 0) {
      words[unit * WORDS_PER_UNIT] = padding;
      words[unit * WORDS_PER_UNIT + 1] = PADDING;
      unit = 0;
    }
    const word = unit * WORDS_PER_UNIT;
    words[word] = units;
    words[word + 1] = port;
    words[word + 2] = serial;
    words[word + 3] = length;
    const at = unit * UNIT_BYTES;
    this.bytes.fill(0, at + VNET_AT, at + FRAME_AT);
    if (unfinished !== null) writeVnet(view, at + VNET_AT, unfinished);
    this.bytes.set(frame, at + FRAME_AT);
    this.head = (this.head + padding + units) | 0;
    Atomics.store(this.control, HEAD_WORD, this.head);
    return true;
  }
}

/** The fields of VIRTIO_NET_HDR_F_NEEDS_CSUM and GSO; see wire/vnet-header.ts for their places. */
function writeVnet(view: DataView, at: number, unfinished: UnfinishedFrame): void {
  view.setUint8(at, 1);
  view.setUint8(at + 1, unfinished.gsoType);
  view.setUint16(at + 2, unfinished.headerBytes, true);
  view.setUint16(at + 4, unfinished.gsoSize, true);
  view.setUint16(at + 6, unfinished.checksumStart, true);
  view.setUint16(at + 8, unfinished.checksumOffset, true);
}

/** The worker's end. Hot path: allocates nothing, and one load tells that there is nothing. */
export class InjectRingReader implements FrameInjector {
  private readonly control: Int32Array;
  private readonly staleFrames: Float64Array;
  private readonly words: Int32Array;
  private readonly capacity: number;
  private readonly slabWords: Int32Array;
  private readonly frames: FrameVector;
  private tail: number;

  /** A worker that takes over from a dead one continues where that had stopped. */
  constructor(memory: SharedArrayBuffer, slab: Slab, frames: FrameVector) {
    this.control = new Int32Array(memory, 0, TAIL_WORD + 1);
    this.staleFrames = new Float64Array(memory, STALE_AT, MAX_PORTS);
    this.words = new Int32Array(memory, DATA_AT);
    this.capacity = (memory.byteLength - DATA_AT) / UNIT_BYTES;
    this.slabWords = new Int32Array(slab.buffer, slab.bytes.byteOffset, slab.bytes.byteLength >> 2);
    this.frames = frames;
    this.tail = Atomics.load(this.control, TAIL_WORD);
  }

  take(portCount: number, portSerial: Int32Array, maxFrames: number, maxBytes: number): number {
    const head = Atomics.load(this.control, HEAD_WORD);
    if (head === this.tail) return 0;
    const { words } = this;
    let rows = 0;
    let at = 0;
    // Stale records are passed over without a limit: they cost a few nanoseconds each, and there is at most a ring full.
    while (this.tail !== head && rows < maxFrames && at < maxBytes) {
      const word = (this.tail & (this.capacity - 1)) * WORDS_PER_UNIT;
      const port = words[word + 1]!;
      if (port !== PADDING) {
        if (port < portCount && portSerial[port] === words[word + 2]) at = this.copy(word, port, rows++, at);
        else this.staleFrames[port]! += 1;
      }
      this.tail = (this.tail + words[word]!) | 0;
    }
    Atomics.store(this.control, TAIL_WORD, this.tail);
    return rows;
  }

  /** Copies a record into row `row`, behind `at` of the slab as the addon does (native/burst.c). Returns where it ends. */
  private copy(word: number, port: number, row: number, at: number): number {
    const { words, slabWords, frames } = this;
    const length = words[word + 3]!;
    const start = (((at + HEADROOM_BYTES + 15) & ~15) + 2) | 0;
    frames.start[row] = start;
    frames.length[row] = length;
    frames.ingressPort[row] = port;
    const from = word + COPY_WORD;
    const to = (start - VNET_BYTES - 2) >> 2;
    const count = (2 + VNET_BYTES + length + 3) >> 2;
    for (let i = 0; i < count; i++) slabWords[to + i] = words[from + i]!;
    return start + length;
  }
}
