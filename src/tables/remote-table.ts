/**
 * The table of remotes: the other VTEPs that a VTEP of this host has to do with. A row is what the rest of the datapath calls a VTEP by:
 * stations behind it have the location MAX_PORTS + row in the MAC table, and a row stays the same while anything refers to it.
 *
 * Theory. Chained hash over a fixed pool, keyed by (key of the own VTEP, family, address), hashed with secret random words because
 * anybody on the underlay may send from any address. Rows are in memory that both threads see: operators list them without stopping the
 * datapath. Chains and free list are private.
 *
 * How long. A row is pinned by whatever the control plane said of it (flood lists, bindings, routes). One that nobody pinned was learned:
 * `sweep` frees it when it was not heard of for IDLE_MS and has no stations any more.
 *
 * Full. Nothing is evicted, and those that were only heard of (`learn`) have no more than three quarters of the rows: who forges source
 * addresses uses these up, and no VTEP suffers that is known, or that the control plane speaks of later.
 *
 * Counters are of encapsulated frames (datagrams) and of the bytes inside of them, without outer headers. One Float64 each, exact to 2^53.
 *
 * Invariant: a row in use is in exactly one chain; word VERSION is odd while a row changes hands, which is how readers of other
 * threads notice a torn read.
 */
import { KeyedHash } from '../lib/keyed-hash.js';
import * as words from '../wire/address-words.js';

/** Words of a row in shared memory. */
const STRIDE = 16;
const VTEP_KEY = 0;
/** 0 = the row is free. */
const FAMILY = 1;
const ADDRESS = 2;
const SEEN = 6;
const PINS = 7;
const VERSION = 8;
/** 1: something came from there since the row is in use. */
const HEARD = 9;
/** Float64s of a row. */
const COUNTERS = 4;
const RX_FRAMES = 0;
const RX_BYTES = 1;
const TX_FRAMES = 2;
const TX_BYTES = 3;

const NONE = -1;
/** What the hash is for (lib/keyed-hash.ts). */
const PURPOSE = 0x72656d;
/** A remote that nobody pinned is forgotten after so long without a frame. */
const IDLE_MS = 60_000;

export interface RemoteRow {
  /** Row of the table. */
  remote: number;
  /** Of the own VTEP: VTEP.key of the program. */
  vtepKey: number;
  family: 4 | 6;
  /** Four words (wire/address-words.ts). */
  address: [number, number, number, number];
  isPinned: boolean;
  /** By the clock of the worker; null: nothing came from there yet. */
  lastHeardMs: number | null;
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
}

/** Memory for a RemoteTable of so many rows, which lists as empty. @coldPath once per daemon */
export function createRemoteMemory(capacity: number): SharedArrayBuffer {
  return new SharedArrayBuffer(capacity * (STRIDE * 4 + COUNTERS * 8));
}

export class RemoteTable {
  /** Rows in use. */
  count = 0;
  readonly capacity: number;
  /** Rows in use that nobody pinned, and how many of them `learn` makes. */
  private unpinned = 0;
  private readonly mostLearned: number;
  private readonly rows: Int32Array;
  private readonly counters: Float64Array;
  private readonly buckets: Int32Array;
  private readonly next: Int32Array;
  private readonly hash: KeyedHash;
  private readonly mask: number;
  private free = 0;
  private sweepAt = 0;

  /** Takes `memory` over and empties it. `seed`: any integer, not known to senders. */
  constructor(memory: SharedArrayBuffer, seed: number) {
    const capacity = memory.byteLength / (STRIDE * 4 + COUNTERS * 8);
    this.capacity = capacity;
    this.mostLearned = capacity - (capacity >> 2);
    this.counters = new Float64Array(memory, 0, capacity * COUNTERS).fill(0);
    this.rows = new Int32Array(memory, capacity * COUNTERS * 8, capacity * STRIDE).fill(0);
    let buckets = 16;
    while (buckets < capacity) buckets *= 2;
    this.mask = buckets - 1;
    this.buckets = new Int32Array(buckets).fill(NONE);
    this.next = Int32Array.from({ length: capacity }, (_, row) => (row + 1 < capacity ? row + 1 : NONE));
    this.hash = new KeyedHash(seed | 0, ~seed, PURPOSE);
  }

  /** Row of an address of four words at `from[at]`, or -1. */
  find(vtepKey: number, family: number, from: Int32Array, at: number): number {
    const { rows } = this;
    for (let row = this.buckets[this.bucketOf(vtepKey, family, from, at)]!; row !== NONE; row = this.next[row]!) {
      const first = row * STRIDE;
      if (
        rows[first + VTEP_KEY] === vtepKey &&
        rows[first + FAMILY] === family &&
        words.isSame(rows, first + ADDRESS, from, at)
      ) {
        return row;
      }
    }
    return NONE;
  }

  /** As `intern`, for who sends and was not spoken of; -1 when such have all the rows that they may have. */
  learn(vtepKey: number, family: number, from: Int32Array, at: number, now: number): number {
    if (this.unpinned >= this.mostLearned) return this.find(vtepKey, family, from, at);
    return this.intern(vtepKey, family, from, at, now);
  }

  /** The same as `find`, and a new row when there is none; -1 when there is no room. */
  intern(vtepKey: number, family: number, from: Int32Array, at: number, now: number): number {
    const known = this.find(vtepKey, family, from, at);
    if (known !== NONE || this.free === NONE) return known;
    const row = this.free;
    this.free = this.next[row]!;
    const { rows } = this;
    const first = row * STRIDE;
    Atomics.add(rows, first + VERSION, 1);
    rows[first + VTEP_KEY] = vtepKey;
    rows[first + FAMILY] = family;
    words.copy(from, at, rows, first + ADDRESS);
    rows[first + SEEN] = now;
    rows[first + PINS] = 0;
    rows[first + HEARD] = 0;
    for (let column = 0; column < COUNTERS; column++) this.counters[row * COUNTERS + column] = 0;
    Atomics.add(rows, first + VERSION, 1);
    const bucket = this.bucketOf(vtepKey, family, from, at);
    this.next[row] = this.buckets[bucket]!;
    this.buckets[bucket] = row;
    this.count++;
    this.unpinned++;
    return row;
  }

  /** Keeps a row until `unpin` was called as often. */
  pin(row: number): void {
    if (this.rows[row * STRIDE + PINS]!++ === 0) this.unpinned--;
  }

  unpin(row: number): void {
    if (--this.rows[row * STRIDE + PINS]! === 0) this.unpinned++;
  }

  family(row: number): number {
    return this.rows[row * STRIDE + FAMILY]!;
  }

  /** The four words of the address of a row stand here, from `addressAt(row)` on. */
  get addresses(): Int32Array {
    return this.rows;
  }

  addressAt(row: number): number {
    return row * STRIDE + ADDRESS;
  }

  /** `frames` datagrams with `bytes` of frames in them came from there. */
  countReceived(row: number, frames: number, bytes: number, now: number): void {
    const first = row * STRIDE;
    this.rows[first + SEEN] = now;
    this.rows[first + HEARD] = 1;
    this.counters[row * COUNTERS + RX_FRAMES]! += frames;
    this.counters[row * COUNTERS + RX_BYTES]! += bytes;
  }

  /** So many went there. */
  countSent(row: number, frames: number, bytes: number): void {
    this.counters[row * COUNTERS + TX_FRAMES]! += frames;
    this.counters[row * COUNTERS + TX_BYTES]! += bytes;
  }

  /**
   * Looks at the next `steps` rows and frees those that nobody needs any more. `stations`: MAC entries by location, of which those
   * of row r are at `firstLocation + r`.
   */
  sweep(steps: number, now: number, stations: Int32Array, firstLocation: number): void {
    const { rows } = this;
    for (let i = 0; i < steps; i++) {
      const row = this.sweepAt;
      this.sweepAt = row + 1 < this.capacity ? row + 1 : 0;
      const first = row * STRIDE;
      if (rows[first + FAMILY] === 0 || rows[first + PINS] !== 0) continue;
      if (((now - rows[first + SEEN]!) | 0) < IDLE_MS || stations[firstLocation + row] !== 0) continue;
      this.remove(row);
    }
  }

  private remove(row: number): void {
    const { rows } = this;
    const first = row * STRIDE;
    const bucket = this.bucketOf(rows[first + VTEP_KEY]!, rows[first + FAMILY]!, rows, first + ADDRESS);
    if (this.buckets[bucket] === row) {
      this.buckets[bucket] = this.next[row]!;
    } else {
      let before = this.buckets[bucket]!;
      while (this.next[before] !== row) before = this.next[before]!;
      this.next[before] = this.next[row]!;
    }
    Atomics.add(rows, first + VERSION, 1);
    rows[first + FAMILY] = 0;
    Atomics.add(rows, first + VERSION, 1);
    this.next[row] = this.free;
    this.free = row;
    this.count--;
    this.unpinned--;
  }

  private bucketOf(vtepKey: number, family: number, from: Int32Array, at: number): number {
    const tail = from[at + 3]! ^ Math.imul(vtepKey, 0x85ebca6b);
    return (this.hash.hash(from[at]!, from[at + 1]! ^ Math.imul(from[at + 2]!, 3), tail, family) >>> 1) & this.mask;
  }
}

/**
 * Reads the whole table from any thread, while it is in use. A row that changes hands at this moment is left out.
 * @coldPath asked for by people
 */
export function listRemotes(memory: SharedArrayBuffer): RemoteRow[] {
  const capacity = memory.byteLength / (STRIDE * 4 + COUNTERS * 8);
  const counters = new Float64Array(memory, 0, capacity * COUNTERS);
  const rows = new Int32Array(memory, capacity * COUNTERS * 8, capacity * STRIDE);
  const list: RemoteRow[] = [];
  for (let remote = 0; remote < capacity; remote++) {
    const first = remote * STRIDE;
    const version = Atomics.load(rows, first + VERSION);
    const family = rows[first + FAMILY]!;
    if ((version & 1) !== 0 || (family !== 4 && family !== 6)) continue;
    const at = remote * COUNTERS;
    const word = (n: number): number => rows[first + ADDRESS + n]!;
    const row: RemoteRow = {
      remote,
      vtepKey: rows[first + VTEP_KEY]!,
      family,
      address: [word(0), word(1), word(2), word(3)],
      isPinned: rows[first + PINS]! > 0,
      lastHeardMs: rows[first + HEARD] === 1 ? rows[first + SEEN]! : null,
      rxFrames: counters[at + RX_FRAMES]!,
      rxBytes: counters[at + RX_BYTES]!,
      txFrames: counters[at + TX_FRAMES]!,
      txBytes: counters[at + TX_BYTES]!,
    };
    if (Atomics.load(rows, first + VERSION) === version) list.push(row);
  }
  return list;
}
