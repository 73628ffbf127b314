/**
 * Which ports of the outside addresses are taken, and a fresh one that nobody outside can guess (RFC 6056, RFC 4787 sections 4.2, 4.3).
 *
 * One bitmap of 65536 bits per pool, that is per (network, protocol, family, outside address); a pool comes to be with
 * its first port and its memory is given to another when the last port went back. A port is drawn by a keyed counter and, when that and a
 * few more are taken, searched from there on a word of 32 at a time: at most 4096 steps, about 5 us, when all are taken.
 *
 * Kept of the inside port, where the range leaves a choice: even or odd (REQ-4), below 1024 or not (REQ-3 a).
 * `network` is a slot, the address is an id. Private memory, rebuilt from the mappings.
 */
import { halfSipHash } from '../lib/half-sip-hash.js';
import type { KeyedHash } from '../lib/keyed-hash.js';
import { HashIndex } from './hash-index.js';

const WORDS_PER_POOL = 65536 / 32;
const FIRST_UNPRIVILEGED = 1024;
const LAST_PORT = 65535;
const DRAWS = 8;
const EVEN_BITS = 0x55555555;
const NONE = -1;

export class PortAllocator {
  private readonly pools: number;
  private readonly bits: Int32Array;
  private readonly keys: Int32Array;
  private readonly addresses: Int32Array;
  private readonly counts: Int32Array;
  private readonly next: Int32Array;
  private readonly index: HashIndex;
  private readonly hash: KeyedHash;
  private readonly key0: number;
  private readonly key1: number;
  private free = 0;
  private used = 0;
  private drawn = 0;

  /** `pools`: a power of two. `key0`, `key1`: random integers, secret. */
  constructor(pools: number, key0: number, key1: number, hash: KeyedHash) {
    this.pools = pools;
    this.bits = new Int32Array(pools * WORDS_PER_POOL);
    this.keys = new Int32Array(pools);
    this.addresses = new Int32Array(pools);
    this.counts = new Int32Array(pools);
    this.next = new Int32Array(pools);
    this.index = new HashIndex(pools);
    this.key0 = key0;
    this.key1 = key1;
    this.hash = hash;
  }

  /** Takes a free port of `first..last` for an inside port; -1 when there is none (or no pool is left for one more address). */
  take(
    network: number,
    protocol: number,
    family: number,
    outsideAddress: number,
    insidePort: number,
    first: number,
    last: number,
  ): number {
    const pool = this.poolOf(network, protocol, family, outsideAddress, true);
    if (pool < 0) return NONE;
    const isPrivileged = insidePort < FIRST_UNPRIVILEGED;
    const low = isPrivileged ? first : Math.max(first, FIRST_UNPRIVILEGED);
    const high = isPrivileged ? Math.min(last, FIRST_UNPRIVILEGED - 1) : last;
    let port = NONE;
    if (low <= high) port = this.find(pool, insidePort, low, high);
    if (port < 0 && (low !== first || high !== last)) port = this.find(pool, insidePort, first, last);
    if (port >= 0) this.mark(pool, port);
    else if (this.counts[pool] === 0) this.removePool(pool);
    return port;
  }

  /** Takes this very port; false when it is taken, or no pool is left. */
  claim(network: number, protocol: number, family: number, outsideAddress: number, port: number): boolean {
    const pool = this.poolOf(network, protocol, family, outsideAddress, true);
    if (pool < 0 || this.has(pool, port)) return false;
    this.mark(pool, port);
    return true;
  }

  /** Gives a port back. */
  release(network: number, protocol: number, family: number, outsideAddress: number, port: number): void {
    const pool = this.poolOf(network, protocol, family, outsideAddress, false);
    if (pool < 0 || !this.has(pool, port)) return;
    this.bits[pool * WORDS_PER_POOL + (port >>> 5)]! &= ~(1 << (port & 31));
    if (--this.counts[pool]! === 0) this.removePool(pool);
  }

  isTaken(network: number, protocol: number, family: number, outsideAddress: number, port: number): boolean {
    const pool = this.poolOf(network, protocol, family, outsideAddress, false);
    return pool >= 0 && this.has(pool, port);
  }

  /** Ports taken of one address. */
  taken(network: number, protocol: number, family: number, outsideAddress: number): number {
    const pool = this.poolOf(network, protocol, family, outsideAddress, false);
    return pool < 0 ? 0 : this.counts[pool]!;
  }

  /** A free port of the range, with the parity of `insidePort` if there is one. */
  private find(pool: number, insidePort: number, first: number, last: number): number {
    if (this.counts[pool]! > LAST_PORT) return NONE;
    const size = last - first + 1;
    const parity = insidePort & 1;
    let candidate = first;
    for (let i = 0; i < DRAWS; i++) {
      candidate = first + ((this.draw() >>> 0) % size);
      if ((candidate & 1) !== parity) candidate += candidate < last ? 1 : -1;
      if (candidate >= first && (candidate & 1) === parity && !this.has(pool, candidate)) return candidate;
    }
    const start = Math.max(candidate, first);
    const wanted = parity === 0 ? EVEN_BITS : ~EVEN_BITS;
    let port = this.search(pool, start, last, wanted);
    if (port < 0) port = this.search(pool, first, start, wanted);
    if (port < 0) port = this.search(pool, start, last, ~wanted);
    return port < 0 ? this.search(pool, first, start, ~wanted) : port;
  }

  /** The lowest free port of `from..to` among those that `wanted` (bits of each word) leaves; -1 = none. */
  private search(pool: number, from: number, to: number, wanted: number): number {
    const base = pool * WORDS_PER_POOL;
    for (let word = from >>> 5; word <= to >>> 5; word++) {
      let open = ~this.bits[base + word]! & wanted;
      if (word === from >>> 5) open &= -1 << (from & 31);
      if (open === 0) continue;
      const port = (word << 5) + 31 - Math.clz32(open & -open);
      return port <= to ? port : NONE;
    }
    return NONE;
  }

  private draw(): number {
    this.drawn = (this.drawn + 1) | 0;
    return halfSipHash(this.key0, this.key1, this.drawn, 0, 0, 0);
  }

  private has(pool: number, port: number): boolean {
    return (this.bits[pool * WORDS_PER_POOL + (port >>> 5)]! & (1 << (port & 31))) !== 0;
  }

  private mark(pool: number, port: number): void {
    this.bits[pool * WORDS_PER_POOL + (port >>> 5)]! |= 1 << (port & 31);
    this.counts[pool]!++;
  }

  private poolOf(network: number, protocol: number, family: number, address: number, mayMake: boolean): number {
    const key = (network << 16) | (protocol << 8) | family;
    const hash = this.hash.hash(address, 0, 0, key);
    let pool = this.index.first(hash);
    while (pool >= 0 && (this.keys[pool] !== key || this.addresses[pool] !== address)) {
      pool = this.index.next(pool, hash);
    }
    if (pool >= 0 || !mayMake) return pool;
    pool = this.free - 1;
    if (pool >= 0) this.free = this.next[pool]!;
    else if (this.used < this.pools) pool = this.used++;
    else return NONE;
    this.keys[pool] = key;
    this.addresses[pool] = address;
    this.counts[pool] = 0;
    this.index.insert(hash, pool);
    return pool;
  }

  /** Gives an empty pool to whoever comes next; its bitmap is all zero. */
  private removePool(pool: number): void {
    this.index.remove(this.hash.hash(this.addresses[pool]!, 0, 0, this.keys[pool]!), pool);
    this.next[pool] = this.free;
    this.free = pool + 1;
  }
}
