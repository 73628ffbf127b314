/**
 * Mappings of the NAT: which outside address and port stand for an inside address and port (RFC 4787 section 4.1).
 *
 * An endpoint-independent mapping has remote address and port 0; one that depends on them has theirs. Many sessions may use one mapping;
 * it lives as long as the last of them (`sessions`), or, with MAPPING_PERMANENT, until it is removed. Rows are 32 bytes in the flow memory
 * and outlive the process; the rest is private.
 *
 * `network` is a slot, addresses are ids, as in flow-table.ts. Outside address and port belong to one mapping of a protocol only.
 *
 * Words of a row:
 *   0 slot << 16 | protocol << 8 | family (0 = free)   4 inside port | remote port << 16
 *   1 inside address                                   5 outside port | flags << 16
 *   2 remote address, 0 = any                          6 created, ms
 *   3 outside address                                  7 version
 */
import type { KeyedHash } from '../lib/keyed-hash.js';
import type { AddressInterner } from './address-interner.js';
import { type FlowMemory, MAPPING_WORDS, SECTION_MAPPINGS, sectionAt } from './flow-memory.js';
import { HashIndex } from './hash-index.js';
import { RowPool } from './row-pool.js';

const INSIDE = 1;
const REMOTE = 2;
const OUTSIDE = 3;
const INSIDE_PORTS = 4;
const OUTSIDE_FLAGS = 5;
const CREATED = 6;
const VERSION = 7;

const NONE = -1;

/** Flags: the mapping stays when its last session ends. */
export const MAPPING_PERMANENT = 1;
/** Its outside port was taken from the port allocator and goes back there. */
export const MAPPING_OWNS_PORT = 2;
/** Remote address and port are part of the key, even if they are 0. */
export const MAPPING_OF_REMOTE = 4;

export class MappingTable {
  readonly capacity: number;
  private readonly pool: RowPool;
  private readonly words: Int32Array;
  private readonly firstAt: number;
  private readonly memory: FlowMemory;
  private readonly addresses: AddressInterner;
  private readonly hash: KeyedHash;
  private readonly insides: HashIndex;
  private readonly outsides: HashIndex;
  private readonly sessionCounts: Int32Array;

  constructor(memory: FlowMemory, addresses: AddressInterner, hash: KeyedHash) {
    const { capacity } = memory;
    this.capacity = capacity;
    this.pool = new RowPool(memory, SECTION_MAPPINGS, MAPPING_WORDS);
    this.words = memory.words;
    this.firstAt = sectionAt(capacity, SECTION_MAPPINGS);
    this.memory = memory;
    this.addresses = addresses;
    this.hash = hash;
    this.insides = new HashIndex(capacity);
    this.outsides = new HashIndex(capacity);
    this.sessionCounts = new Int32Array(capacity);
  }

  get count(): number {
    return this.pool.count;
  }

  /** Mapping of an inside endpoint, or -1. Endpoint-independent ones have remote address and port 0. */
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
    const key = (network << 16) | (protocol << 8) | family;
    const ports = insidePort | (remotePort << 16);
    const hash = this.hash.hash(insideAddress, remoteAddress, ports, key);
    for (let row = this.insides.first(hash); row >= 0; row = this.insides.next(row, hash)) {
      const at = firstAt + row * MAPPING_WORDS;
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

  /** Mapping that an outside address and port belong to, or -1. */
  findOutside(network: number, protocol: number, family: number, outsideAddress: number, outsidePort: number): number {
    const { words, firstAt } = this;
    const key = (network << 16) | (protocol << 8) | family;
    const hash = this.hash.hash(outsideAddress, outsidePort, 0, ~key);
    for (let row = this.outsides.first(hash); row >= 0; row = this.outsides.next(row, hash)) {
      const at = firstAt + row * MAPPING_WORDS;
      if (
        (words[at + OUTSIDE_FLAGS]! & 0xffff) === outsidePort &&
        words[at + OUTSIDE] === outsideAddress &&
        words[at] === key
      ) {
        return row;
      }
    }
    return NONE;
  }

  /** Enters a mapping, which neither find knows yet; -1 when the table is full. `flags`: MAPPING_*. */
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
    flags: number,
    now: number,
  ): number {
    const row = this.pool.take();
    if (row < 0) return NONE;
    const { words } = this;
    const at = this.firstAt + row * MAPPING_WORDS;
    const version = words[at + VERSION]! | 1;
    Atomics.store(words, at + VERSION, version);
    words[at + INSIDE] = insideAddress;
    words[at + REMOTE] = remoteAddress;
    words[at + OUTSIDE] = outsideAddress;
    words[at + INSIDE_PORTS] = insidePort | (remotePort << 16);
    words[at + OUTSIDE_FLAGS] = outsidePort | (flags << 16);
    words[at + CREATED] = now;
    words[at] = (network << 16) | (protocol << 8) | family;
    Atomics.store(words, at + VERSION, version + 1);
    this.sessionCounts[row] = 0;
    this.link(row, at);
    if (family === 6) this.retain(at);
    return row;
  }

  /** No session may use it any more. */
  remove(row: number): void {
    const { words } = this;
    const at = this.firstAt + row * MAPPING_WORDS;
    this.insides.remove(this.insideHash(at), row);
    this.outsides.remove(this.outsideHash(at), row);
    if (this.family(row) === 6) {
      this.addresses.release(words[at + INSIDE]!);
      this.addresses.release(words[at + OUTSIDE]!);
      if ((this.flags(row) & MAPPING_OF_REMOTE) !== 0) this.addresses.release(words[at + REMOTE]!);
    }
    const version = words[at + VERSION]! | 1;
    Atomics.store(words, at + VERSION, version);
    words[at] = 0;
    Atomics.store(words, at + VERSION, version + 1);
    this.pool.release(row);
  }

  /** Sessions that use the mapping. */
  sessions(row: number): number {
    return this.sessionCounts[row]!;
  }

  addSession(row: number): void {
    this.sessionCounts[row]!++;
  }

  /** Returns how many are left. */
  removeSession(row: number): number {
    return --this.sessionCounts[row]!;
  }

  isUsed(row: number): boolean {
    return this.words[this.firstAt + row * MAPPING_WORDS] !== 0;
  }

  /** Slot of the network. */
  network(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS]! >>> 16;
  }

  protocol(row: number): number {
    return (this.words[this.firstAt + row * MAPPING_WORDS]! >>> 8) & 255;
  }

  family(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS]! & 255;
  }

  insideAddress(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS + INSIDE]!;
  }

  insidePort(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS + INSIDE_PORTS]! & 0xffff;
  }

  remoteAddress(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS + REMOTE]!;
  }

  remotePort(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS + INSIDE_PORTS]! >>> 16;
  }

  outsideAddress(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS + OUTSIDE]!;
  }

  outsidePort(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS + OUTSIDE_FLAGS]! & 0xffff;
  }

  /** MAPPING_*. */
  flags(row: number): number {
    return this.words[this.firstAt + row * MAPPING_WORDS + OUTSIDE_FLAGS]! >>> 16;
  }

  /** Rows that were ever used: those from here on are free. */
  usedRows(): number {
    return this.memory.used(SECTION_MAPPINGS);
  }

  /** While memory is taken over: whether a row was written completely and names nothing that cannot be. @coldPath once per worker */
  isWhole(row: number): boolean {
    const at = this.firstAt + row * MAPPING_WORDS;
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
    const insidePort = this.insidePort(row);
    if (this.findInside(network, protocol, family, inside, insidePort, remote, this.remotePort(row)) >= 0) return false;
    if (this.findOutside(network, protocol, family, outside, this.outsidePort(row)) >= 0) return false;
    if (family === 6) {
      const { addresses } = this;
      const hasRemote = (this.flags(row) & MAPPING_OF_REMOTE) !== 0;
      if (!addresses.canAdopt(inside) || !addresses.canAdopt(outside)) return false;
      if (hasRemote && !addresses.canAdopt(remote)) return false;
      addresses.adopt(inside);
      addresses.adopt(outside);
      if (hasRemote) addresses.adopt(remote);
    }
    this.pool.keep();
    this.sessionCounts[row] = 0;
    this.link(row, this.firstAt + row * MAPPING_WORDS);
    return true;
  }

  /** While memory is taken over: empties a row. @coldPath once per worker */
  discard(row: number): void {
    const at = this.firstAt + row * MAPPING_WORDS;
    this.words[at] = 0;
    this.words[at + VERSION] = (this.words[at + VERSION]! | 1) + 1;
    this.pool.discard(row);
  }

  private retain(at: number): void {
    const { words, addresses } = this;
    addresses.retain(words[at + INSIDE]!);
    addresses.retain(words[at + OUTSIDE]!);
    if (((words[at + OUTSIDE_FLAGS]! >>> 16) & MAPPING_OF_REMOTE) !== 0) addresses.retain(words[at + REMOTE]!);
  }

  private link(row: number, at: number): void {
    this.insides.insert(this.insideHash(at), row);
    this.outsides.insert(this.outsideHash(at), row);
  }

  private insideHash(at: number): number {
    const { words } = this;
    return this.hash.hash(words[at + INSIDE]!, words[at + REMOTE]!, words[at + INSIDE_PORTS]!, words[at]!);
  }

  private outsideHash(at: number): number {
    const { words } = this;
    return this.hash.hash(words[at + OUTSIDE]!, words[at + OUTSIDE_FLAGS]! & 0xffff, 0, ~words[at]!);
  }
}
