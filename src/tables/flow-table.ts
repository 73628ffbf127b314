/**
 * The flow table: one row per session, that is per pair of an inside and a remote endpoint that speak through the NAT.
 *
 *   inside address:port  <-- translated -->  outside address:port  <-->  remote address:port
 *
 * Found by (network, protocol, inside, remote) for what leaves and by (network, protocol, remote, outside) for what comes, each with one
 * look into a hash index (hash-index.ts) over a fixed pool. Rows are 64 bytes, one cache line, in the flow memory (flow-memory.ts), where the control
 * thread reads them (flow-listing.ts) and where they outlive the process. Indexes, wheel, free list and peers are private.
 *
 * `network` is a slot (network-slots.ts), addresses are ids (address-interner.ts; IPv4: the address), ports of ICMP are its identifier.
 * Full means that `insert` returns -1: live state is never evicted.
 *
 * Words of a row:
 *   0 slot << 16 | protocol << 8 | family (0 = free)   4 inside port | remote port << 16   8,9   bytes out (double)   13 frames in
 *   1 inside address                                   5 outside port | state << 16        10,11 bytes in (double)    14 created, ms
 *   2 remote address                                   6 mapping, -1 = none                12    frames out           15 version
 *   3 outside address                                  7 expires, ms
 *
 * Invariant: a row in use is in both indexes and one slot of the wheel; its version is even.
 */
import type { KeyedHash } from '../lib/keyed-hash.js';
import type { AddressInterner } from './address-interner.js';
import { type FlowMemory, SECTION_SESSIONS, SESSION_WORDS, sectionAt } from './flow-memory.js';
import { HashIndex } from './hash-index.js';
import { PeerTable } from './peer-table.js';
import { RowPool } from './row-pool.js';
import { TimerWheel } from './timer-wheel.js';

const INSIDE = 1;
const REMOTE = 2;
const OUTSIDE = 3;
const INSIDE_PORTS = 4;
const OUTSIDE_STATE = 5;
const MAPPING = 6;
const EXPIRES = 7;
const BYTES_OUT = 4;
const BYTES_IN = 5;
const FRAMES_OUT = 12;
const FRAMES_IN = 13;
const CREATED = 14;
const VERSION = 15;
const DOUBLES = SESSION_WORDS / 2;

const NONE = -1;
/** Nothing is due (`expire`). */
export const NOTHING_DUE = -1;
/** Time was passed but no session ended: call again. */
export const STILL_LOOKING = -2;

export class FlowTable {
  readonly capacity: number;
  private readonly pool: RowPool;
  private readonly words: Int32Array;
  private readonly doubles: Float64Array;
  private readonly firstAt: number;
  private readonly firstDouble: number;
  private readonly memory: FlowMemory;
  private readonly addresses: AddressInterner;
  private readonly hash: KeyedHash;
  private readonly insides: HashIndex;
  private readonly outsides: HashIndex;
  private readonly peers: PeerTable;
  private readonly wheel: TimerWheel;

  constructor(memory: FlowMemory, addresses: AddressInterner, hash: KeyedHash, now: number) {
    const { capacity } = memory;
    this.capacity = capacity;
    this.pool = new RowPool(memory, SECTION_SESSIONS, SESSION_WORDS);
    this.words = memory.words;
    this.doubles = memory.doubles;
    this.firstAt = sectionAt(capacity, SECTION_SESSIONS);
    this.firstDouble = this.firstAt / 2;
    this.memory = memory;
    this.addresses = addresses;
    this.hash = hash;
    this.insides = new HashIndex(capacity);
    this.outsides = new HashIndex(capacity);
    this.peers = new PeerTable(capacity, hash);
    this.wheel = new TimerWheel(capacity, now);
  }

  /** Sessions in use. */
  get count(): number {
    return this.pool.count;
  }

  /** Session of a packet that leaves, or -1. */
  findInside(
    network: number,
    protocol: number,
    family: number,
    insideAddress: number,
    insidePort: number,
    remoteAddress: number,
    remotePort: number,
  ): number {
    const { words, firstAt } = this;
    const key = keyOf(network, protocol, family);
    const ports = insidePort | (remotePort << 16);
    const hash = this.hash.hash(insideAddress, remoteAddress, ports, key);
    for (let row = this.insides.first(hash); row >= 0; row = this.insides.next(row, hash)) {
      const at = firstAt + row * SESSION_WORDS;
      if (
        words[at + INSIDE_PORTS] === ports &&
        words[at + INSIDE] === insideAddress &&
        words[at + REMOTE] === remoteAddress &&
        words[at] === key
      ) {
        return row;
      }
    }
    return NONE;
  }

  /** Session of a packet that comes, or -1. */
  findOutside(
    network: number,
    protocol: number,
    family: number,
    remoteAddress: number,
    remotePort: number,
    outsideAddress: number,
    outsidePort: number,
  ): number {
    const { words, firstAt } = this;
    const key = keyOf(network, protocol, family);
    const ports = outsidePort | (remotePort << 16);
    const hash = this.hash.hash(outsideAddress, remoteAddress, ports, ~key);
    for (let row = this.outsides.first(hash); row >= 0; row = this.outsides.next(row, hash)) {
      const at = firstAt + row * SESSION_WORDS;
      if (
        (words[at + OUTSIDE_STATE]! & 0xffff) === outsidePort &&
        words[at + INSIDE_PORTS]! >>> 16 === remotePort &&
        words[at + REMOTE] === remoteAddress &&
        words[at + OUTSIDE] === outsideAddress &&
        words[at] === key
      ) {
        return row;
      }
    }
    return NONE;
  }

  /** The first row that `findInside` would look at, or -1: touches the index only. */
  firstInside(
    network: number,
    protocol: number,
    family: number,
    insideAddress: number,
    insidePort: number,
    remoteAddress: number,
    remotePort: number,
  ): number {
    const ports = insidePort | (remotePort << 16);
    return this.insides.first(this.hash.hash(insideAddress, remoteAddress, ports, keyOf(network, protocol, family)));
  }

  /** The same of `findOutside`. */
  firstOutside(
    network: number,
    protocol: number,
    family: number,
    remoteAddress: number,
    remotePort: number,
    outsideAddress: number,
    outsidePort: number,
  ): number {
    const ports = outsidePort | (remotePort << 16);
    return this.outsides.first(this.hash.hash(outsideAddress, remoteAddress, ports, ~keyOf(network, protocol, family)));
  }

  /** Enters a session, which neither find knows yet. `mapping`: -1 = none. -1 when the table is full. */
  insert(
    network: number,
    protocol: number,
    family: number,
    insideAddress: number,
    insidePort: number,
    remoteAddress: number,
    remotePort: number,
    outsideAddress: number,
    outsidePort: number,
    mapping: number,
    state: number,
    expiresAt: number,
    now: number,
  ): number {
    const row = this.pool.take();
    if (row < 0) return NONE;
    const { words, doubles } = this;
    const at = this.firstAt + row * SESSION_WORDS;
    const version = words[at + VERSION]! | 1;
    Atomics.store(words, at + VERSION, version);
    words[at + INSIDE] = insideAddress;
    words[at + REMOTE] = remoteAddress;
    words[at + OUTSIDE] = outsideAddress;
    words[at + INSIDE_PORTS] = insidePort | (remotePort << 16);
    words[at + OUTSIDE_STATE] = outsidePort | (state << 16);
    words[at + MAPPING] = mapping;
    words[at + EXPIRES] = expiresAt;
    doubles[this.firstDouble + row * DOUBLES + BYTES_OUT] = 0;
    doubles[this.firstDouble + row * DOUBLES + BYTES_IN] = 0;
    words[at + FRAMES_OUT] = 0;
    words[at + FRAMES_IN] = 0;
    words[at + CREATED] = now;
    words[at] = keyOf(network, protocol, family);
    Atomics.store(words, at + VERSION, version + 1);
    this.link(row, at);
    if (family === 6) {
      this.addresses.retain(insideAddress);
      this.addresses.retain(remoteAddress);
      this.addresses.retain(outsideAddress);
    }
    return row;
  }

  remove(row: number): void {
    const { words } = this;
    const at = this.firstAt + row * SESSION_WORDS;
    this.unlink(row, at);
    if (this.family(row) === 6) {
      this.addresses.release(words[at + INSIDE]!);
      this.addresses.release(words[at + REMOTE]!);
      this.addresses.release(words[at + OUTSIDE]!);
    }
    const version = words[at + VERSION]! | 1;
    Atomics.store(words, at + VERSION, version);
    words[at] = 0;
    Atomics.store(words, at + VERSION, version + 1);
    this.pool.release(row);
  }

  /**
   * Takes the next session out of the wheel that ended before `now` and returns its row, which the caller removes; or NOTHING_DUE, or
   * STILL_LOOKING. A bounded amount of work.
   */
  expire(now: number): number {
    const row = this.wheel.step(now);
    if (row < 0) return row;
    const expiresAt = this.expiresAt(row);
    if (((expiresAt - now) | 0) <= 0) return row;
    this.wheel.schedule(row, expiresAt);
    return STILL_LOOKING;
  }

  /** Whether a session of this mapping speaks with a remote address. */
  hasRemote(mapping: number, remoteAddress: number): boolean {
    return this.peers.has(mapping, remoteAddress);
  }

  /** False for a row that is free. */
  isUsed(row: number): boolean {
    return this.words[this.firstAt + row * SESSION_WORDS] !== 0;
  }

  /** Slot of the network. */
  network(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS]! >>> 16;
  }

  protocol(row: number): number {
    return (this.words[this.firstAt + row * SESSION_WORDS]! >>> 8) & 255;
  }

  /** 4 or 6. */
  family(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS]! & 255;
  }

  insideAddress(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + INSIDE]!;
  }

  insidePort(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + INSIDE_PORTS]! & 0xffff;
  }

  remoteAddress(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + REMOTE]!;
  }

  remotePort(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + INSIDE_PORTS]! >>> 16;
  }

  outsideAddress(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + OUTSIDE]!;
  }

  outsidePort(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + OUTSIDE_STATE]! & 0xffff;
  }

  /** Row of the mapping table, or -1. */
  mapping(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + MAPPING]!;
  }

  /** 0..255, of whoever runs the state machine. */
  state(row: number): number {
    return (this.words[this.firstAt + row * SESSION_WORDS + OUTSIDE_STATE]! >>> 16) & 255;
  }

  setState(row: number, state: number): void {
    const at = this.firstAt + row * SESSION_WORDS + OUTSIDE_STATE;
    this.words[at] = (this.words[at]! & 0xff00ffff) | (state << 16);
  }

  /** 0..255, free for the NAT (such as: opened from outside). */
  flags(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + OUTSIDE_STATE]! >>> 24;
  }

  setFlags(row: number, flags: number): void {
    const at = this.firstAt + row * SESSION_WORDS + OUTSIDE_STATE;
    this.words[at] = (this.words[at]! & 0xffffff) | (flags << 24);
  }

  expiresAt(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + EXPIRES]!;
  }

  /** Moves the end of a session; cheap when it is later than before, which is the normal case. */
  setExpiry(row: number, expiresAt: number): void {
    const at = this.firstAt + row * SESSION_WORDS + EXPIRES;
    const before = this.words[at]!;
    this.words[at] = expiresAt;
    if (((expiresAt - before) | 0) < 0) this.wheel.schedule(row, expiresAt);
  }

  /** One frame (a super-frame is one) from inside. */
  countOut(row: number, bytes: number): void {
    this.words[this.firstAt + row * SESSION_WORDS + FRAMES_OUT]!++;
    this.doubles[this.firstDouble + row * DOUBLES + BYTES_OUT]! += bytes;
  }

  /** One frame from outside. */
  countIn(row: number, bytes: number): void {
    this.words[this.firstAt + row * SESSION_WORDS + FRAMES_IN]!++;
    this.doubles[this.firstDouble + row * DOUBLES + BYTES_IN]! += bytes;
  }

  bytesOut(row: number): number {
    return this.doubles[this.firstDouble + row * DOUBLES + BYTES_OUT]!;
  }

  bytesIn(row: number): number {
    return this.doubles[this.firstDouble + row * DOUBLES + BYTES_IN]!;
  }

  /** Counts lives of the row: with it, a row names one session for ever. */
  generation(row: number): number {
    return this.words[this.firstAt + row * SESSION_WORDS + VERSION]! >>> 1;
  }

  /** Rows that were ever used: those from here on are free. */
  usedRows(): number {
    return this.memory.used(SECTION_SESSIONS);
  }

  /** While memory is taken over: whether a row was written completely and names nothing that cannot be. @coldPath once per worker */
  isWhole(row: number): boolean {
    const at = this.firstAt + row * SESSION_WORDS;
    if (this.words[at] === 0 || (this.words[at + VERSION]! & 1) !== 0) return false;
    const family = this.family(row);
    return family === 4 || family === 6;
  }

  /** While memory is taken over: enters a row of before; false when another has one of its keys. @coldPath once per worker */
  adopt(row: number): boolean {
    const network = this.network(row);
    const protocol = this.protocol(row);
    const family = this.family(row);
    const inside = this.insideAddress(row);
    const remote = this.remoteAddress(row);
    const outside = this.outsideAddress(row);
    const remotePort = this.remotePort(row);
    if (this.findInside(network, protocol, family, inside, this.insidePort(row), remote, remotePort) >= 0) return false;
    if (this.findOutside(network, protocol, family, remote, remotePort, outside, this.outsidePort(row)) >= 0)
      return false;
    if (family === 6) {
      const { addresses } = this;
      if (!addresses.canAdopt(inside) || !addresses.canAdopt(remote) || !addresses.canAdopt(outside)) return false;
      addresses.adopt(inside);
      addresses.adopt(remote);
      addresses.adopt(outside);
    }
    this.pool.keep();
    this.link(row, this.firstAt + row * SESSION_WORDS);
    return true;
  }

  /** While memory is taken over: empties a row. @coldPath once per worker */
  discard(row: number): void {
    const at = this.firstAt + row * SESSION_WORDS;
    this.words[at] = 0;
    this.words[at + VERSION] = (this.words[at + VERSION]! | 1) + 1;
    this.pool.discard(row);
  }

  private link(row: number, at: number): void {
    const { words } = this;
    this.insides.insert(this.insideHash(at), row);
    this.outsides.insert(this.outsideHash(at), row);
    this.wheel.schedule(row, words[at + EXPIRES]!);
    if (words[at + MAPPING]! >= 0) this.peers.add(words[at + MAPPING]!, words[at + REMOTE]!);
  }

  private unlink(row: number, at: number): void {
    const { words } = this;
    this.insides.remove(this.insideHash(at), row);
    this.outsides.remove(this.outsideHash(at), row);
    this.wheel.cancel(row);
    if (words[at + MAPPING]! >= 0) this.peers.remove(words[at + MAPPING]!, words[at + REMOTE]!);
  }

  private insideHash(at: number): number {
    const { words } = this;
    return this.hash.hash(words[at + INSIDE]!, words[at + REMOTE]!, words[at + INSIDE_PORTS]!, words[at]!);
  }

  private outsideHash(at: number): number {
    const { words } = this;
    const ports = (words[at + OUTSIDE_STATE]! & 0xffff) | (words[at + INSIDE_PORTS]! & 0xffff0000);
    return this.hash.hash(words[at + OUTSIDE]!, words[at + REMOTE]!, ports, ~words[at]!);
  }
}

function keyOf(network: number, protocol: number, family: number): number {
  return (network << 16) | (protocol << 8) | family;
}
