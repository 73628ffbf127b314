/**
 * IPv6 addresses as small integers, so that tables of flows have one word per address in both families. An IPv4 address is its own
 * id; whoever has an id knows the family.
 *
 * A row is four words in the flow memory; what uses an id holds a reference to it (`retain`, `release`), and the row is free again
 * when the last one is given up. `intern` returns an id without a reference, good for this turn: `collect`, between two turns, takes
 * back those that nobody retained.
 *
 * Invariant: rows with references are in the index, once.
 */
import type { KeyedHash } from '../lib/keyed-hash.js';
import { ADDRESS_WORDS, type FlowMemory, SECTION_ADDRESSES, sectionAt } from './flow-memory.js';
import { HashIndex } from './hash-index.js';
import { RowPool } from './row-pool.js';

/** Addresses that may be new in one turn: 256 frames with three each, and some. */
const FRESH_ROWS = 1024;
const NONE = -1;

export class AddressInterner {
  private readonly pool: RowPool;
  private readonly words: Int32Array;
  private readonly firstAt: number;
  private readonly memory: FlowMemory;
  private readonly hash: KeyedHash;
  private readonly index: HashIndex;
  private readonly references: Int32Array;
  private readonly fresh = new Int32Array(FRESH_ROWS);
  private freshCount = 0;

  constructor(memory: FlowMemory, hash: KeyedHash) {
    this.memory = memory;
    this.pool = new RowPool(memory, SECTION_ADDRESSES, ADDRESS_WORDS);
    this.words = memory.words;
    this.firstAt = sectionAt(memory.capacity, SECTION_ADDRESSES);
    this.hash = hash;
    this.index = new HashIndex(memory.capacity);
    this.references = new Int32Array(memory.capacity);
  }

  /** Addresses known. */
  get count(): number {
    return this.pool.count;
  }

  /** Id (1 and up) of an address of four words, or -1. */
  find(a: number, b: number, c: number, d: number): number {
    const { words, firstAt } = this;
    const hash = this.hashOf(a, b, c, d);
    for (let id = this.index.first(hash); id >= 0; id = this.index.next(id, hash)) {
      const at = firstAt + id * ADDRESS_WORDS;
      if (words[at + 3] === d && words[at + 2] === c && words[at + 1] === b && words[at] === a) return id;
    }
    return NONE;
  }

  /** The same, and a new id when there is none; -1 when there is no room, or too many were new in this turn. */
  intern(a: number, b: number, c: number, d: number): number {
    const known = this.find(a, b, c, d);
    if (known >= 0) return known;
    if (this.freshCount === FRESH_ROWS) return NONE;
    const id = this.takeRow();
    if (id < 0) return NONE;
    const at = this.firstAt + id * ADDRESS_WORDS;
    this.words[at] = a;
    this.words[at + 1] = b;
    this.words[at + 2] = c;
    this.words[at + 3] = d;
    this.references[id] = 0;
    this.link(id);
    this.fresh[this.freshCount++] = id;
    return id;
  }

  /** Holds an id. */
  retain(id: number): void {
    this.references[id]!++;
  }

  /** Gives one reference up. */
  release(id: number): void {
    if (--this.references[id]! === 0) this.forget(id);
  }

  /** Word 0..3 of an address. */
  word(id: number, index: number): number {
    return this.words[this.firstAt + id * ADDRESS_WORDS + index]!;
  }

  /** Takes back what was interned and retained by nobody. To be called between two turns. */
  collect(): void {
    for (let i = 0; i < this.freshCount; i++) {
      const id = this.fresh[i]!;
      if (this.references[id] === 0) this.forget(id);
    }
    this.freshCount = 0;
  }

  /** While memory is taken over: whether a row may refer to this id. */
  canAdopt(id: number): boolean {
    return id > 0 && id < this.memory.used(SECTION_ADDRESSES);
  }

  /** While memory is taken over: a row refers to this id. */
  adopt(id: number): void {
    if (this.references[id]!++ > 0) return;
    this.pool.keep();
    this.link(id);
  }

  /** After memory was taken over: frees the rows that nothing refers to. @coldPath once per worker */
  finishAdoption(): void {
    for (let id = this.memory.used(SECTION_ADDRESSES) - 1; id > 0; id--) {
      if (this.references[id] === 0) this.pool.discard(id);
    }
  }

  /** Any row but the first: 0 is no id, because it stands for "any address" in mappings. */
  private takeRow(): number {
    const id = this.pool.take();
    return id === 0 ? this.pool.take() : id;
  }

  private link(id: number): void {
    this.index.insert(this.hashOfId(id), id);
  }

  private forget(id: number): void {
    this.index.remove(this.hashOfId(id), id);
    // It may stand in `fresh` as well and must not be freed twice.
    this.references[id] = -1;
    this.pool.release(id);
  }

  private hashOfId(id: number): number {
    const at = this.firstAt + id * ADDRESS_WORDS;
    const { words } = this;
    return this.hashOf(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
  }

  private hashOf(a: number, b: number, c: number, d: number): number {
    const upper = this.hash.hash(a, b, 0, 0);
    return this.hash.hash(upper, c, d, 1);
  }
}
