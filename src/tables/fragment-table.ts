/**
 * Fragmented packets on their way through the NAT (RFC 4787 REQ-14). Only the first fragment has ports; what the NAT decided for
 * it is kept here for the others, which are known by (network, source, destination, protocol, identification).
 *
 *            first fragment                     all bytes seen
 *   WAITING ----------------> KNOWN (30 s) --------------------> COMPLETE (1 s) --> free
 *      | 2 s, or a contradiction ^                                    ^ a straggler still finds its way
 *      v                         | first fragment
 *    DEAD (2 s) --> free       absent
 *
 * Fragments are never put together: they leave as they came, one by one, in the order in which they could be decided. Those that come before the
 * first one wait in frames/hold-pool.ts under the key of their entry (`holdKey`). When the time of an entry ends, its frames are let
 * go and find it DEAD, which is how they are dropped with a reason.
 *
 * What cannot be is refused (`accept`): a part that reaches into the first one (overlap of headers, RFC 1858 and 3128), parts behind the
 * end, two ends, lengths that are no multiple of 8 (RFC 791, RFC 8200 section 4.5).
 *
 * Bounds: CAPACITY packets; at most MAX_WAITING of them wait, MAX_WAITING_PER_SOURCE of one sender (by a hash of its address). A packet
 * whose first fragment comes first never waits and is not counted there, so forged fragments without a first one do not keep it out.
 * When all entries are in use the oldest COMPLETE one is taken, then the oldest DEAD one, then the oldest KNOWN one: parts that come in
 * order are there long before a flood has come round, and refusing them would end all fragments of others.
 *
 * The hash is keyed, because senders choose all that is hashed.
 *
 * Invariants: an entry in use is in exactly one bucket chain and in the list of its state, in the order of expiry.
 */
import type { KeyedHash } from '../lib/keyed-hash.js';

export const FRAGMENT_WAITING = 0;
export const FRAGMENT_KNOWN = 1;
export const FRAGMENT_COMPLETE = 2;
export const FRAGMENT_DEAD = 3;
const STATES = 4;

export const FRAGMENT_CAPACITY = 8192;
export const MAX_WAITING = 512;
export const MAX_WAITING_PER_SOURCE = 64;
/** How long parts wait for the first one. */
export const WAIT_MS = 2000;
/** How long the other parts of a packet may take after the first one (less than a receiver's 60 s: RFC 8200 section 4.5). */
export const KNOWN_MS = 30_000;
const COMPLETE_MS = 1000;
const DEAD_MS = 2000;

const BUCKETS = 8192;
const SOURCE_BUCKETS = 1024;
const NONE = -1;

/** Columns of an entry. */
const NETWORK = 0;
const PROTOCOL = 1;
const ID = 2;
const SOURCE = 3;
const DESTINATION = 7;
const STATE = 11;
const EXPIRES = 12;
/** Payload bytes of the first part, 0 = not seen. */
const FIRST_BYTES = 13;
/** Payload bytes of the packet, 0 = its end was not seen. */
const TOTAL_BYTES = 14;
/** Highest byte that a part with more behind it reaches. */
const REACH = 15;
const SEEN_BYTES = 16;
const TRANSLATION = 17;
const NEW_SOURCE = 18;
const NEW_DESTINATION = 22;
const CHAIN = 26;
const BEFORE = 27;
const AFTER = 28;
const SINCE = 29;
const STRIDE = 30;

export class FragmentTable {
  /** Entries in use. */
  count = 0;
  private readonly rows = new Int32Array(FRAGMENT_CAPACITY * STRIDE);
  private readonly buckets = new Int32Array(BUCKETS).fill(NONE);
  private readonly waitingOf = new Uint16Array(SOURCE_BUCKETS);
  private readonly oldest = new Int32Array(STATES).fill(NONE);
  private readonly newest = new Int32Array(STATES).fill(NONE);
  private readonly countOf = new Int32Array(STATES);
  private readonly lifeMs = Int32Array.of(WAIT_MS, KNOWN_MS, COMPLETE_MS, DEAD_MS);
  private readonly hash: KeyedHash;
  private free = 0;

  constructor(hash: KeyedHash) {
    this.hash = hash;
    for (let entry = 0; entry < FRAGMENT_CAPACITY; entry++) {
      this.rows[entry * STRIDE + CHAIN] = entry + 1 < FRAGMENT_CAPACITY ? entry + 1 : NONE;
    }
  }

  /**
   * Entry of a packet, or -1. `addresses` are two columns of words and `at` the index of the first word of both. `protocol` carries
   * the family too, so that an IPv4 address is never taken for an IPv6 one.
   */
  find(network: number, protocol: number, id: number, source: Int32Array, destination: Int32Array, at: number): number {
    const { rows } = this;
    const bucket = this.bucketOf(network, protocol, id, source, destination, at);
    for (let entry = this.buckets[bucket]!; entry !== NONE; entry = rows[entry * STRIDE + CHAIN]!) {
      if (this.isOf(entry, network, protocol, id, source, destination, at)) return entry;
    }
    return NONE;
  }

  /**
   * Makes an entry that waits for its first fragment. -1: no room for it, or the sender has too many. `isFirst`: this fragment is it, and
   * the caller settles or condemns the entry at once.
   */
  insert(
    network: number,
    protocol: number,
    id: number,
    source: Int32Array,
    destination: Int32Array,
    at: number,
    isFirst: boolean,
    now: number,
  ): number {
    if (!isFirst && this.countOf[FRAGMENT_WAITING]! >= MAX_WAITING) return NONE;
    if (!isFirst && this.waitingOf[this.senderOf(source, at)]! >= MAX_WAITING_PER_SOURCE) return NONE;
    if (this.free === NONE && !this.makeRoom()) return NONE;
    const { rows } = this;
    const entry = this.free;
    const row = entry * STRIDE;
    this.free = rows[row + CHAIN]!;
    rows[row + NETWORK] = network;
    rows[row + PROTOCOL] = protocol;
    rows[row + ID] = id;
    for (let word = 0; word < 4; word++) {
      rows[row + SOURCE + word] = source[at + word]!;
      rows[row + DESTINATION + word] = destination[at + word]!;
    }
    const bucket = this.bucketOf(network, protocol, id, source, destination, at);
    rows[row + CHAIN] = this.buckets[bucket]!;
    this.buckets[bucket] = entry;
    this.clearParts(entry);
    this.count++;
    this.link(entry, FRAGMENT_WAITING, now);
    return entry;
  }

  state(entry: number): number {
    return this.rows[entry * STRIDE + STATE]!;
  }

  /**
   * Takes note of one part: `offset` and `bytes` of its payload, `hasMore` parts behind it. False when it cannot be part of this
   * packet. A first part of a packet that is KNOWN begins it anew: senders use their identifications again.
   */
  accept(entry: number, offset: number, bytes: number, hasMore: boolean, now: number): boolean {
    const { rows } = this;
    const row = entry * STRIDE;
    const end = offset + bytes;
    if (bytes === 0 || end > 0xffff || (hasMore && (bytes & 7) !== 0)) return false;
    if (offset === 0 && rows[row + FIRST_BYTES] !== 0) this.clearParts(entry);
    const total = rows[row + TOTAL_BYTES]!;
    if (offset === 0) {
      if (total !== 0 && end >= total) return false;
      rows[row + FIRST_BYTES] = bytes;
    } else if (offset < rows[row + FIRST_BYTES]!) return false;
    if (hasMore) {
      if (total !== 0 && end >= total) return false;
      if (end > rows[row + REACH]!) rows[row + REACH] = end;
    } else {
      if (total !== 0 ? total !== end : end <= rows[row + REACH]!) return false;
      rows[row + TOTAL_BYTES] = end;
    }
    rows[row + SEEN_BYTES] = rows[row + SEEN_BYTES]! + bytes;
    if (rows[row + STATE] === FRAGMENT_KNOWN && rows[row + SEEN_BYTES]! >= (rows[row + TOTAL_BYTES]! || 0x10000)) {
      this.move(entry, FRAGMENT_COMPLETE, now);
    }
    return true;
  }

  /** The NAT has decided for the first part: `translation` bits and the addresses that all parts get. */
  settle(
    entry: number,
    translation: number,
    source: Int32Array,
    destination: Int32Array,
    at: number,
    now: number,
  ): void {
    const { rows } = this;
    const row = entry * STRIDE;
    rows[row + TRANSLATION] = translation;
    for (let word = 0; word < 4; word++) {
      rows[row + NEW_SOURCE + word] = source[at + word]!;
      rows[row + NEW_DESTINATION + word] = destination[at + word]!;
    }
    this.move(entry, FRAGMENT_KNOWN, now);
  }

  /** Whether a first part that came again gets what the one before got. */
  agrees(entry: number, translation: number, source: Int32Array, destination: Int32Array, at: number): boolean {
    const { rows } = this;
    const row = entry * STRIDE;
    if (rows[row + TRANSLATION] !== translation) return false;
    for (let word = 0; word < 4; word++) {
      if (rows[row + NEW_SOURCE + word] !== source[at + word]) return false;
      if (rows[row + NEW_DESTINATION + word] !== destination[at + word]) return false;
    }
    return true;
  }

  /** Milliseconds since the entry came into its state. */
  ageMs(entry: number, now: number): number {
    return (now - this.rows[entry * STRIDE + SINCE]!) | 0;
  }

  translation(entry: number): number {
    return this.rows[entry * STRIDE + TRANSLATION]!;
  }

  /** Writes the addresses of a KNOWN entry into two columns of words. */
  readAddresses(entry: number, source: Int32Array, destination: Int32Array, at: number): void {
    const row = entry * STRIDE;
    for (let word = 0; word < 4; word++) {
      source[at + word] = this.rows[row + NEW_SOURCE + word]!;
      destination[at + word] = this.rows[row + NEW_DESTINATION + word]!;
    }
  }

  /** All further parts of the packet are to be dropped. */
  condemn(entry: number, now: number): void {
    this.move(entry, FRAGMENT_DEAD, now);
  }

  /**
   * Looks at up to `steps` entries whose time may have ended. Returns one that has just become DEAD, so that the caller can let its frames
   * go, or -1 when nothing is left to do now.
   */
  sweep(now: number, steps: number): number {
    for (let step = 0; step < steps; step++) {
      const dying = this.expired(FRAGMENT_WAITING, now);
      if (dying !== NONE) {
        this.move(dying, FRAGMENT_DEAD, now);
        return dying;
      }
      let entry = this.expired(FRAGMENT_KNOWN, now);
      if (entry === NONE) entry = this.expired(FRAGMENT_COMPLETE, now);
      if (entry === NONE) entry = this.expired(FRAGMENT_DEAD, now);
      if (entry === NONE) return NONE;
      this.remove(entry);
    }
    return NONE;
  }

  private expired(state: number, now: number): number {
    const entry = this.oldest[state]!;
    if (entry === NONE || ((this.rows[entry * STRIDE + EXPIRES]! - now) | 0) > 0) return NONE;
    return entry;
  }

  private makeRoom(): boolean {
    let entry = this.oldest[FRAGMENT_COMPLETE]!;
    if (entry === NONE) entry = this.oldest[FRAGMENT_DEAD]!;
    if (entry === NONE) entry = this.oldest[FRAGMENT_KNOWN]!;
    if (entry === NONE) return false;
    this.remove(entry);
    return true;
  }

  private remove(entry: number): void {
    const { rows } = this;
    const row = entry * STRIDE;
    this.unlink(entry);
    const bucket = this.bucketOf(
      rows[row + NETWORK]!,
      rows[row + PROTOCOL]!,
      rows[row + ID]!,
      rows,
      rows,
      NONE,
      row + SOURCE,
      row + DESTINATION,
    );
    let before = NONE;
    for (let at = this.buckets[bucket]!; at !== entry; at = rows[at * STRIDE + CHAIN]!) before = at;
    if (before === NONE) this.buckets[bucket] = rows[row + CHAIN]!;
    else rows[before * STRIDE + CHAIN] = rows[row + CHAIN]!;
    rows[row + CHAIN] = this.free;
    this.free = entry;
    this.count--;
  }

  private clearParts(entry: number): void {
    this.rows.fill(0, entry * STRIDE + FIRST_BYTES, entry * STRIDE + SEEN_BYTES + 1);
  }

  private move(entry: number, state: number, now: number): void {
    this.unlink(entry);
    this.link(entry, state, now);
  }

  private link(entry: number, state: number, now: number): void {
    const { rows } = this;
    const row = entry * STRIDE;
    rows[row + STATE] = state;
    rows[row + SINCE] = now;
    rows[row + EXPIRES] = (now + this.lifeMs[state]!) | 0;
    const last = this.newest[state]!;
    rows[row + BEFORE] = last;
    rows[row + AFTER] = NONE;
    if (last === NONE) this.oldest[state] = entry;
    else rows[last * STRIDE + AFTER] = entry;
    this.newest[state] = entry;
    this.countOf[state]!++;
    if (state === FRAGMENT_WAITING) this.waitingOf[this.senderOf(rows, row + SOURCE)]!++;
  }

  private unlink(entry: number): void {
    const { rows } = this;
    const row = entry * STRIDE;
    const state = rows[row + STATE]!;
    const before = rows[row + BEFORE]!;
    const after = rows[row + AFTER]!;
    if (before === NONE) this.oldest[state] = after;
    else rows[before * STRIDE + AFTER] = after;
    if (after === NONE) this.newest[state] = before;
    else rows[after * STRIDE + BEFORE] = before;
    this.countOf[state]!--;
    if (state === FRAGMENT_WAITING) this.waitingOf[this.senderOf(rows, row + SOURCE)]!--;
  }

  private senderOf(source: Int32Array, at: number): number {
    const { hash } = this;
    return (
      hash.hash(hash.hash(source[at]!, source[at + 1]!, source[at + 2]!, 0), source[at + 3]!, 0, 1) &
      (SOURCE_BUCKETS - 1)
    );
  }

  /** `at` is the index of both addresses; in the table's own rows, where they stand at different ones, it is -1 and those follow. */
  private bucketOf(
    network: number,
    protocol: number,
    id: number,
    source: Int32Array,
    destination: Int32Array,
    at: number,
    sourceAt = at,
    destinationAt = at,
  ): number {
    const { hash } = this;
    const a = hash.hash(source[sourceAt]!, source[sourceAt + 1]!, source[sourceAt + 2]!, 2);
    const b = hash.hash(a, source[sourceAt + 3]!, destination[destinationAt]!, 3);
    const c = hash.hash(b, destination[destinationAt + 1]!, destination[destinationAt + 2]!, 4);
    return hash.hash(c, destination[destinationAt + 3]!, id, (network << 16) ^ protocol) & (BUCKETS - 1);
  }

  private isOf(
    entry: number,
    network: number,
    protocol: number,
    id: number,
    source: Int32Array,
    destination: Int32Array,
    at: number,
  ): boolean {
    const { rows } = this;
    const row = entry * STRIDE;
    if (rows[row + ID] !== id || rows[row + PROTOCOL] !== protocol || rows[row + NETWORK] !== network) return false;
    for (let word = 0; word < 4; word++) {
      if (rows[row + SOURCE + word] !== source[at + word]) return false;
      if (rows[row + DESTINATION + word] !== destination[at + word]) return false;
    }
    return true;
  }
}

/** For those who say what the table costs. */
export const FRAGMENT_ENTRY_BYTES = STRIDE * 4;
