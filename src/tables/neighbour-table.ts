/**
 * The neighbour table: which MAC an IP address has on a network. What ARP (RFC 826) and neighbour discovery (RFC 4861) have
 * found out, and stations that the program knows, which are never asked for.
 *
 * Theory. Chained hash over a fixed pool, keyed by (network, family, address) and seeded. An entry that is being asked for, or
 * about to be forgotten, also stands in the list of those that have a timer, which is short and walked by whoever owns the table.
 *
 *   insert ──> INCOMPLETE ──answer──> REACHABLE ──silent, used──> PROBING ──no answer──> gone
 *                  └──no answer──> FAILED ──a moment──> gone
 *
 * Full. A network may have MAX_PER_NETWORK entries that were found out, and of those that have timers at once
 * MAX_TIMED_PER_NETWORK, all together MAX_TIMED. When a network has
 * all of its own, or the pool is empty, a REACHABLE entry that was not confirmed for longest among a few of that network is
 * replaced; when there is none, nothing is inserted. Entries that weft was told of have rows of their own and are never replaced: who
 * scans addresses hurts nobody that weft knows.
 *
 * Invariants: an entry in use is in exactly one chain; `timed` holds exactly those in state INCOMPLETE, PROBING or FAILED.
 */
import { mix3 } from '../lib/hash32.js';
import * as words from '../wire/address-words.js';

/** Entries that were found out: the first rows. */
export const NEIGHBOUR_CAPACITY = 32768;
/** Entries that weft was told of, endpoints and stations behind other VTEPs: the rows behind them. */
const FIXED_CAPACITY = 262144;
const ROWS = NEIGHBOUR_CAPACITY + FIXED_CAPACITY;
const BUCKETS = 131072;
export const MAX_PER_NETWORK = 4096;
export const MAX_TIMED = 1024;
export const MAX_TIMED_PER_NETWORK = 256;
/** Entries of the network looked at for one that may be replaced. */
const EVICTION_LOOKS = 64;
const NONE = -1;

/** States. */
export const UNUSED = 0;
/** From the program, or a binding (datapath/bindings.ts). */
export const FIXED = 1;
/** Asked for, frames may wait. */
export const INCOMPLETE = 2;
export const REACHABLE = 3;
/** Its MAC is used while it is asked whether it is still there. */
export const PROBING = 4;
/** Nobody answered; stands for a moment, so that not every frame asks again. */
export const FAILED = 5;

export class NeighbourTable {
  /** Entries in use. */
  count = 0;
  readonly state = new Uint8Array(ROWS);
  readonly network = new Int32Array(ROWS);
  readonly family = new Uint8Array(ROWS);
  /** Four words per row (wire/address-words.ts). */
  readonly address = new Int32Array(ROWS * 4);
  readonly macHigh = new Int32Array(ROWS);
  readonly macLow = new Int32Array(ROWS);
  /** Location of a FIXED entry (a port, or behind those a VTEP), else -1: the MAC table knows. */
  readonly port = new Int32Array(ROWS);
  /** REACHABLE: when it was last known to be there. INCOMPLETE, PROBING, FAILED: when something is due. */
  readonly whenMs = new Int32Array(ROWS);
  /** Questions asked so far. */
  readonly probes = new Uint8Array(ROWS);
  /** Rows that have a timer; the first `timedCount`. */
  readonly timed = new Int32Array(MAX_TIMED);
  timedCount = 0;
  /** Where a row stands in `timed`. What weft was told of never does. */
  private readonly timedAt = new Int32Array(NEIGHBOUR_CAPACITY).fill(NONE);
  private readonly next = new Int32Array(ROWS);
  private readonly buckets = new Int32Array(BUCKETS).fill(NONE);
  private readonly networkCount: Int32Array;
  private readonly networkTimed: Int32Array;
  private readonly seed: number;
  private free = 0;
  private freeFixed = NONE;
  /** Rows up to this were used at some time. */
  end = NEIGHBOUR_CAPACITY;
  private evictAt = 0;

  /** `seed`: any integer, not known to senders. */
  constructor(maxNetworks: number, seed: number) {
    this.seed = seed | 0;
    this.networkCount = new Int32Array(maxNetworks);
    this.networkTimed = new Int32Array(maxNetworks);
    for (let row = 0; row < NEIGHBOUR_CAPACITY; row++) this.next[row] = row + 1 < NEIGHBOUR_CAPACITY ? row + 1 : NONE;
  }

  /** Row of an address in any state, or -1. */
  find(network: number, family: number, from: Int32Array, at: number): number {
    let row = this.buckets[this.bucketOf(network, family, from, at)]!;
    while (row !== NONE) {
      if (
        this.network[row] === network &&
        this.family[row] === family &&
        words.isSame(this.address, row << 2, from, at)
      ) {
        return row;
      }
      row = this.next[row]!;
    }
    return NONE;
  }

  /** A new entry for an address that has none, without a MAC; -1 when there is no room. The caller sets its state at once. */
  insert(network: number, family: number, from: Int32Array, at: number, state: number): number {
    if (isTimed(state) && !this.mayTime(network)) return NONE;
    const row = state === FIXED ? this.takeFixed() : this.takeFree(network);
    if (row === NONE) return NONE;
    const bucket = this.bucketOf(network, family, from, at);
    this.next[row] = this.buckets[bucket]!;
    this.buckets[bucket] = row;
    this.network[row] = network;
    this.family[row] = family;
    words.copy(from, at, this.address, row << 2);
    this.port[row] = NONE;
    this.probes[row] = 0;
    this.state[row] = UNUSED;
    if (state !== FIXED) this.networkCount[network]!++;
    this.count++;
    this.setState(row, state);
    return row;
  }

  /** A row for an entry that was found out, for which another may have to go; or -1. */
  private takeFree(network: number): number {
    if (this.networkCount[network]! >= MAX_PER_NETWORK && !this.evict(network)) return NONE;
    if (this.free === NONE && !this.evict(network)) return NONE;
    const row = this.free;
    this.free = this.next[row]!;
    return row;
  }

  private takeFixed(): number {
    const row = this.freeFixed;
    if (row !== NONE) {
      this.freeFixed = this.next[row]!;
      return row;
    }
    return this.end < ROWS ? this.end++ : NONE;
  }

  /** False when the state needs a timer and there is none left; then nothing has changed. */
  setState(row: number, state: number): boolean {
    const at = row < NEIGHBOUR_CAPACITY ? this.timedAt[row]! : NONE;
    if (isTimed(state)) {
      if (at === NONE) {
        if (!this.mayTime(this.network[row]!)) return false;
        this.networkTimed[this.network[row]!]!++;
        this.timedAt[row] = this.timedCount;
        this.timed[this.timedCount++] = row;
      }
    } else if (at !== NONE) {
      this.networkTimed[this.network[row]!]!--;
      const last = this.timed[--this.timedCount]!;
      this.timed[at] = last;
      this.timedAt[last] = at;
      this.timedAt[row] = NONE;
    }
    this.state[row] = state;
    return true;
  }

  private mayTime(network: number): boolean {
    return this.timedCount < MAX_TIMED && this.networkTimed[network]! < MAX_TIMED_PER_NETWORK;
  }

  remove(row: number): void {
    const bucket = this.bucketOf(this.network[row]!, this.family[row]!, this.address, row << 2);
    if (this.buckets[bucket] === row) {
      this.buckets[bucket] = this.next[row]!;
    } else {
      let before = this.buckets[bucket]!;
      while (this.next[before] !== row) before = this.next[before]!;
      this.next[before] = this.next[row]!;
    }
    if (this.state[row] !== FIXED) this.networkCount[this.network[row]!]!--;
    this.setState(row, UNUSED);
    this.count--;
    if (row < NEIGHBOUR_CAPACITY) {
      this.next[row] = this.free;
      this.free = row;
    } else {
      this.next[row] = this.freeFixed;
      this.freeFixed = row;
    }
  }

  /** Removes one REACHABLE entry of the network; false when none was met. */
  private evict(network: number): boolean {
    if (this.networkCount[network] === 0) return false;
    let oldest = NONE;
    let looks = 0;
    for (let n = 0; n < NEIGHBOUR_CAPACITY && looks < EVICTION_LOOKS; n++) {
      const row = this.evictAt;
      this.evictAt = (row + 1) & (NEIGHBOUR_CAPACITY - 1);
      if (this.state[row] !== REACHABLE || this.network[row] !== network) continue;
      looks++;
      if (oldest === NONE || ((this.whenMs[row]! - this.whenMs[oldest]!) | 0) < 0) oldest = row;
    }
    if (oldest === NONE) return false;
    this.remove(oldest);
    return true;
  }

  private bucketOf(network: number, family: number, from: Int32Array, at: number): number {
    const key = (network << 3) | family;
    return mix3(from[at]! ^ from[at + 2]!, from[at + 1]! ^ Math.imul(from[at + 3]!, 3), key, this.seed) & (BUCKETS - 1);
  }
}

function isTimed(state: number): boolean {
  return state === INCOMPLETE || state === PROBING || state === FAILED;
}
