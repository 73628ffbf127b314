/**
 * Reads the flow memory from another thread while it is in use: for people, and for nobody else.
 *
 * A row is read between two looks at its version; one that is being written, or was, meanwhile, is left out. Its words of IPv6
 * addresses are read before the second look: an id is given to another address only after the rows that use it are gone.
 * @coldPath asked for by people
 */
import {
  ADDRESS_WORDS,
  AT_SLOTS,
  capacityOf,
  isFlowMemory,
  MAX_SLOTS,
  SECTION_ADDRESSES,
  SECTION_SESSIONS,
  SESSION_WORDS,
  sectionAt,
  usedRows,
} from './flow-memory.js';

export interface FlowRow {
  row: number;
  generation: number;
  /** Key of the network (Program.networkKey). */
  networkKey: number;
  protocol: number;
  family: 4 | 6;
  /** Four words each, as in the frame vector. */
  inside: readonly number[];
  remote: readonly number[];
  outside: readonly number[];
  insidePort: number;
  remotePort: number;
  outsidePort: number;
  state: number;
  flags: number;
  hasMapping: boolean;
  /** int32 ms of the worker's clock. */
  createdMs: number;
  expiresMs: number;
  /** Frames count to 2^32, a super-frame as one. */
  framesOut: number;
  framesIn: number;
  bytesOut: number;
  bytesIn: number;
}

export class FlowListing {
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;

  constructor(words: Int32Array) {
    this.words = words;
    this.doubles = new Float64Array(words.buffer);
  }

  /** Rows to look at; 0 until a worker has prepared the memory. */
  get rows(): number {
    if (!isFlowMemory(this.words)) return 0;
    return Math.min(capacityOf(this.words), Math.max(0, usedRows(this.words, SECTION_SESSIONS)));
  }

  /** Slots of networks with this key, as a column: 1 = yes. Asked for before `isCandidate`, once per search. */
  slotsOf(networkKey: number): Uint8Array {
    const slots = new Uint8Array(MAX_SLOTS);
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      const at = AT_SLOTS + 2 * slot;
      if (this.words[at] === 1 && this.words[at + 1] === networkKey) slots[slot] = 1;
    }
    return slots;
  }

  /**
   * Whether `read` may be worth it: some 20 ns instead of a microsecond. `slots`: null = any; `protocol`, `state`: -1 = any. `row` below `rows`.
   */
  isCandidate(row: number, slots: Uint8Array | null, protocol: number, state: number): boolean {
    const { words } = this;
    const at = sectionAt(capacityOf(words), SECTION_SESSIONS) + row * SESSION_WORDS;
    const key = words[at]!;
    if (key === 0 || (slots !== null && slots[key >>> 16] !== 1)) return false;
    if (protocol >= 0 && ((key >>> 8) & 255) !== protocol) return false;
    return state < 0 || ((words[at + 5]! >>> 16) & 255) === state;
  }

  /** The session in a row, or null when there is none. */
  read(row: number): FlowRow | null {
    const { words } = this;
    if (row < 0 || row >= this.rows) return null;
    const at = sectionAt(capacityOf(words), SECTION_SESSIONS) + row * SESSION_WORDS;
    const version = Atomics.load(words, at + 15);
    const key = words[at]!;
    const slot = key >>> 16;
    if (key === 0 || (version & 1) !== 0 || slot >= MAX_SLOTS || words[AT_SLOTS + 2 * slot] !== 1) return null;
    const family = (key & 255) === 6 ? 6 : 4;
    const found: FlowRow = {
      row,
      generation: version >>> 1,
      networkKey: words[AT_SLOTS + 2 * slot + 1]!,
      protocol: (key >>> 8) & 255,
      family,
      inside: this.address(family, words[at + 1]!),
      remote: this.address(family, words[at + 2]!),
      outside: this.address(family, words[at + 3]!),
      insidePort: words[at + 4]! & 0xffff,
      remotePort: words[at + 4]! >>> 16,
      outsidePort: words[at + 5]! & 0xffff,
      state: (words[at + 5]! >>> 16) & 255,
      flags: words[at + 5]! >>> 24,
      hasMapping: words[at + 6]! >= 0,
      createdMs: words[at + 14]!,
      expiresMs: words[at + 7]!,
      framesOut: words[at + 12]! >>> 0,
      framesIn: words[at + 13]! >>> 0,
      bytesOut: this.doubles[at / 2 + 4]!,
      bytesIn: this.doubles[at / 2 + 5]!,
    };
    return Atomics.load(words, at + 15) === version ? found : null;
  }

  private address(family: 4 | 6, id: number): number[] {
    if (family === 4) return [id, 0, 0, 0];
    const capacity = capacityOf(this.words);
    if (id < 0 || id >= capacity) return [0, 0, 0, 0];
    const at = sectionAt(capacity, SECTION_ADDRESSES) + id * ADDRESS_WORDS;
    return [0, 1, 2, 3].map((i) => this.words[at + i]!);
  }
}
