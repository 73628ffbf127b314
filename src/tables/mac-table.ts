/**
 * The MAC table: which location of a network a station was last heard at. A location is a port, or one of the numbers behind them that
 * stand for other VTEPs (datapath/locations.ts); to this table they are all ports.
 *
 * Theory. Buckets of chained entries over a fixed pool (load at most one), keyed by (network, VLAN, MAC) and hashed with a
 * seed, so that a sender cannot aim at one bucket. An entry is 32 bytes in memory that both threads see; operators list the
 * table without stopping the datapath. Every learned entry also hangs in the list of its port, oldest first, kept in
 * private memory.
 *
 *   buckets: head ──> entry ──> entry          port list: oldest <──> ... <──> newest
 *
 * Ageing. An entry that was not refreshed for the ageing time is treated as absent by `find` and reclaimed by `sweep`, a few
 * per turn. A refresh writes at most once a second per entry, so learning a busy station costs reads only.
 *
 * Full. A network has a limit and the pool has one. When either is reached, the port with most entries gives up its oldest
 * (lib/mac-learning.h of Open vSwitch does the same): flooding with random source addresses only hurts the port that floods,
 * and a port with many honest stations keeps them as long as another one has more. Static entries are never evicted, never
 * age, never move, and count towards the pool only. A network that has reached its limit takes from nobody else: of a location that
 * has stations of several networks (a VTEP) only its own go.
 *
 * Who has most is remembered by network and looked up again when the port that learns has overtaken it, and every
 * RECHECK_EVICTIONS evictions: a flooding port, which evicts its own entries, pays for no search.
 *
 * Invariants: an entry in use is in exactly one bucket chain, a learned one in exactly one port list; `portEntries` and
 * `networkEntries` count the learned ones; word VERSION is odd while an entry is being rewritten, which is how readers of
 * other threads notice a torn read.
 */
import { mix3 } from '../lib/hash32.js';

/** Entries in the pool: learned and static, over all networks. */
export const MAC_CAPACITY = 131072;
const BUCKETS = 131072;

const STRIDE = 8;
const LOW = 0;
const HIGH_VLAN = 1;
const NETWORK = 2;
const PORT = 3;
const SEEN = 4;
const VERSION = 5;
const NEXT = 6;
const STATIC = 7;

const NONE = -1;
/** Origin of what was heard. Whoever enters a station gives it another origin. */
export const LEARNED = 0;
/** `network` of an entry that is not in use. */
const UNUSED = -1;
const REFRESH_MS = 1000;
/** A power of two. */
const RECHECK_EVICTIONS = 256;
/** The oldest entries of a port that are looked at for one of a network. */
const EVICTION_LOOKS = 16;

export interface MacRow {
  network: number;
  vlan: number;
  macHigh: number;
  macLow: number;
  /** Its location. */
  port: number;
  /** Entered, not learned. */
  isStatic: boolean;
  /** LEARNED, or what `insertStatic` was told. */
  origin: number;
  lastSeenMs: number;
}

/** Memory for a MacTable, which lists as empty until one takes it over. @coldPath once per daemon */
export function createMacMemory(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(MAC_CAPACITY * STRIDE * 4);
  new Int32Array(memory).fill(UNUSED);
  return memory;
}

export class MacTable {
  /** Entries in use. */
  count = 0;
  moves = 0;
  evictions = 0;
  private readonly entries: Int32Array;
  private readonly buckets = new Int32Array(BUCKETS).fill(NONE);
  private readonly newer = new Int32Array(MAC_CAPACITY).fill(NONE);
  private readonly older = new Int32Array(MAC_CAPACITY).fill(NONE);
  private readonly oldestOfPort: Int32Array;
  private readonly newestOfPort: Int32Array;
  /** Learned entries of each port. */
  readonly portEntries: Int32Array;
  private readonly networkEntries: Int32Array;
  /** Port that had most entries when it was last looked up, by network; the last row is over all networks. */
  private readonly greediest: Int32Array;
  private readonly allNetworks: number;
  private readonly seed: number;
  private free: number;
  private sweepAt = 0;

  /** Takes `memory` over and empties it. `seed`: any integer, not known to senders. */
  constructor(memory: SharedArrayBuffer, maxPorts: number, maxNetworks: number, seed: number) {
    this.entries = new Int32Array(memory);
    this.oldestOfPort = new Int32Array(maxPorts).fill(NONE);
    this.newestOfPort = new Int32Array(maxPorts).fill(NONE);
    this.portEntries = new Int32Array(maxPorts);
    this.networkEntries = new Int32Array(maxNetworks);
    this.greediest = new Int32Array(maxNetworks + 1).fill(NONE);
    this.allNetworks = maxNetworks;
    this.seed = seed | 0;
    this.free = 0;
    for (let entry = 0; entry < MAC_CAPACITY; entry++) {
      this.entries[entry * STRIDE + NETWORK] = UNUSED;
      this.entries[entry * STRIDE + VERSION] = 0;
      this.entries[entry * STRIDE + NEXT] = entry + 1 < MAC_CAPACITY ? entry + 1 : NONE;
    }
  }

  /** Port of the station, or -1 when it is not known (or was not heard for `ageingMs`). */
  find(network: number, vlan: number, macHigh: number, macLow: number, now: number, ageingMs: number): number {
    const { entries } = this;
    const highVlan = (macHigh << 12) | vlan;
    const hash = mix3(macLow, highVlan, network, this.seed);
    for (let entry = this.buckets[hash & (BUCKETS - 1)]!; entry !== NONE; ) {
      const at = entry * STRIDE;
      if (entries[at] === macLow && entries[at + HIGH_VLAN] === highVlan && entries[at + NETWORK] === network) {
        if (entries[at + STATIC] === 0 && ((now - entries[at + SEEN]!) | 0) >= ageingMs) return NONE;
        return entries[at + PORT]!;
      }
      entry = entries[at + NEXT]!;
    }
    return NONE;
  }

  /** The station was heard on `port`. `limit`: learned entries that its network may have. */
  learn(
    network: number,
    vlan: number,
    macHigh: number,
    macLow: number,
    port: number,
    now: number,
    limit: number,
  ): void {
    const { entries } = this;
    const highVlan = (macHigh << 12) | vlan;
    const bucket = mix3(macLow, highVlan, network, this.seed) & (BUCKETS - 1);
    for (let entry = this.buckets[bucket]!; entry !== NONE; ) {
      const at = entry * STRIDE;
      if (entries[at] === macLow && entries[at + HIGH_VLAN] === highVlan && entries[at + NETWORK] === network) {
        if (entries[at + STATIC] !== 0) return;
        if (entries[at + PORT] !== port) this.move(entry, port, now);
        else if (((now - entries[at + SEEN]!) | 0) >= REFRESH_MS) this.refresh(entry, now);
        return;
      }
      entry = entries[at + NEXT]!;
    }
    if (!this.makeRoom(network, port, limit)) return;
    this.insert(bucket, network, highVlan, macLow, port, now, LEARNED);
  }

  /**
   * Enters a station that never ages and never moves; replaces what was there. `origin`: 1 or more, for whoever lists it. False when
   * the pool is full of static ones.
   */
  insertStatic(
    network: number,
    vlan: number,
    macHigh: number,
    macLow: number,
    port: number,
    now: number,
    origin = 1,
  ): boolean {
    const highVlan = (macHigh << 12) | vlan;
    const bucket = mix3(macLow, highVlan, network, this.seed) & (BUCKETS - 1);
    const known = this.entryOf(bucket, network, highVlan, macLow);
    if (known !== NONE) this.remove(known);
    if (this.free === NONE && !this.evictFrom(this.allNetworks, port)) return false;
    this.insert(bucket, network, highVlan, macLow, port, now, origin);
    return true;
  }

  /** Port of a static entry of the station, or -1. */
  findStatic(network: number, vlan: number, macHigh: number, macLow: number): number {
    const highVlan = (macHigh << 12) | vlan;
    const bucket = mix3(macLow, highVlan, network, this.seed) & (BUCKETS - 1);
    const entry = this.entryOf(bucket, network, highVlan, macLow);
    return entry === NONE || this.entries[entry * STRIDE + STATIC] === 0 ? NONE : this.entries[entry * STRIDE + PORT]!;
  }

  /** Forgets a static entry that is known to be there. */
  removeOneStatic(network: number, vlan: number, macHigh: number, macLow: number): void {
    const highVlan = (macHigh << 12) | vlan;
    const bucket = mix3(macLow, highVlan, network, this.seed) & (BUCKETS - 1);
    this.remove(this.entryOf(bucket, network, highVlan, macLow));
  }

  /** Forgets the stations learned on a port. */
  removePort(port: number): void {
    let entry = this.oldestOfPort[port]!;
    while (entry !== NONE) {
      const next = this.newer[entry]!;
      this.remove(entry);
      entry = next;
    }
  }

  /** Forgets what was learned on a network (-1: on all). Static entries stay. */
  flush(network: number): void {
    for (let entry = 0; entry < MAC_CAPACITY; entry++) {
      const at = entry * STRIDE;
      const owner = this.entries[at + NETWORK];
      if (owner === UNUSED || this.entries[at + STATIC] !== 0) continue;
      if (network === -1 || owner === network) this.remove(entry);
    }
  }

  /** Forgets all static entries (of ports below `end`), before a new program enters its own. */
  removeStatic(end = 0x7fffffff): void {
    const { entries } = this;
    for (let entry = 0; entry < MAC_CAPACITY; entry++) {
      const at = entry * STRIDE;
      if (entries[at + NETWORK] === UNUSED || entries[at + STATIC] === 0) continue;
      if (entries[at + PORT]! < end) this.remove(entry);
    }
  }

  /** Looks at the next `steps` entries and reclaims those that aged out. `ageingMs` is a column by network. */
  sweep(steps: number, now: number, ageingMs: Int32Array): void {
    const { entries } = this;
    for (let i = 0; i < steps; i++) {
      const at = this.sweepAt * STRIDE;
      const network = entries[at + NETWORK]!;
      if (network !== UNUSED && entries[at + STATIC] === 0) {
        if (network >= ageingMs.length || ((now - entries[at + SEEN]!) | 0) >= ageingMs[network]!)
          this.remove(this.sweepAt);
      }
      this.sweepAt = (this.sweepAt + 1) & (MAC_CAPACITY - 1);
    }
  }

  /** Learned entries of a port. */
  entriesOfPort(port: number): number {
    return this.portEntries[port]!;
  }

  private entryOf(bucket: number, network: number, highVlan: number, macLow: number): number {
    const { entries } = this;
    for (let entry = this.buckets[bucket]!; entry !== NONE; entry = entries[entry * STRIDE + NEXT]!) {
      const at = entry * STRIDE;
      if (entries[at] === macLow && entries[at + HIGH_VLAN] === highVlan && entries[at + NETWORK] === network)
        return entry;
    }
    return NONE;
  }

  private insert(
    bucket: number,
    network: number,
    highVlan: number,
    macLow: number,
    port: number,
    now: number,
    origin: number,
  ): void {
    const { entries } = this;
    const entry = this.free;
    const at = entry * STRIDE;
    this.free = entries[at + NEXT]!;
    Atomics.add(entries, at + VERSION, 1);
    entries[at + LOW] = macLow;
    entries[at + HIGH_VLAN] = highVlan;
    entries[at + NETWORK] = network;
    entries[at + PORT] = port;
    entries[at + SEEN] = now;
    entries[at + STATIC] = origin;
    entries[at + NEXT] = this.buckets[bucket]!;
    Atomics.add(entries, at + VERSION, 1);
    this.buckets[bucket] = entry;
    this.count++;
    if (origin !== LEARNED) return;
    this.link(entry, port);
    this.networkEntries[network]!++;
  }

  private remove(entry: number): void {
    const { entries } = this;
    const at = entry * STRIDE;
    const network = entries[at + NETWORK]!;
    const bucket = mix3(entries[at + LOW]!, entries[at + HIGH_VLAN]!, network, this.seed) & (BUCKETS - 1);
    if (this.buckets[bucket] === entry) {
      this.buckets[bucket] = entries[at + NEXT]!;
    } else {
      let previous = this.buckets[bucket]!;
      while (entries[previous * STRIDE + NEXT] !== entry) previous = entries[previous * STRIDE + NEXT]!;
      entries[previous * STRIDE + NEXT] = entries[at + NEXT]!;
    }
    if (entries[at + STATIC] === 0) {
      this.unlink(entry, entries[at + PORT]!);
      this.networkEntries[network]!--;
    }
    Atomics.add(entries, at + VERSION, 1);
    entries[at + NETWORK] = UNUSED;
    entries[at + NEXT] = this.free;
    Atomics.add(entries, at + VERSION, 1);
    this.free = entry;
    this.count--;
  }

  private move(entry: number, port: number, now: number): void {
    const at = entry * STRIDE;
    this.unlink(entry, this.entries[at + PORT]!);
    this.entries[at + PORT] = port;
    this.entries[at + SEEN] = now;
    this.link(entry, port);
    this.moves++;
  }

  private refresh(entry: number, now: number): void {
    const port = this.entries[entry * STRIDE + PORT]!;
    this.entries[entry * STRIDE + SEEN] = now;
    if (this.newestOfPort[port] === entry) return;
    this.unlink(entry, port);
    this.link(entry, port);
  }

  /** True when there is room for one more entry of `port`, after an eviction if need be. */
  private makeRoom(network: number, port: number, limit: number): boolean {
    if (this.networkEntries[network]! >= limit) {
      // Only one goes, so that a limit that was lowered is reached in steps.
      if (!this.evictFrom(network, port)) return false;
      return this.networkEntries[network]! < limit;
    }
    return this.free !== NONE || this.evictFrom(this.allNetworks, port);
  }

  /** Removes the oldest entry of a network (or of all) on its greediest port; false when none was met. */
  private evictFrom(network: number, learner: number): boolean {
    let entry = this.oldestOfPort[this.greediestPort(network, learner)]!;
    for (let looks = 0; entry !== NONE && !this.isOf(entry, network); looks++) {
      entry = looks < EVICTION_LOOKS ? this.newer[entry]! : NONE;
    }
    if (entry === NONE) return false;
    this.remove(entry);
    this.evictions++;
    return true;
  }

  /** The port of a network (or of all) with most entries; `learner` when it has as many. */
  private greediestPort(network: number, learner: number): number {
    const guess = this.greediest[network]!;
    const isDue = (this.evictions & (RECHECK_EVICTIONS - 1)) === 0;
    if (
      !isDue &&
      guess !== NONE &&
      this.holds(guess, network) &&
      this.portEntries[guess]! >= this.portEntries[learner]!
    ) {
      return guess;
    }
    let greediest = learner;
    for (let port = 0; port < this.portEntries.length; port++) {
      if (this.portEntries[port]! > this.portEntries[greediest]! && this.holds(port, network)) greediest = port;
    }
    this.greediest[network] = greediest;
    return greediest;
  }

  /** Whether a port has entries on a network (or on any). */
  private holds(port: number, network: number): boolean {
    const oldest = this.oldestOfPort[port]!;
    return oldest !== NONE && this.isOf(oldest, network);
  }

  private isOf(entry: number, network: number): boolean {
    return network === this.allNetworks || this.entries[entry * STRIDE + NETWORK] === network;
  }

  private link(entry: number, port: number): void {
    const newest = this.newestOfPort[port]!;
    this.older[entry] = newest;
    this.newer[entry] = NONE;
    if (newest === NONE) this.oldestOfPort[port] = entry;
    else this.newer[newest] = entry;
    this.newestOfPort[port] = entry;
    this.portEntries[port]!++;
  }

  private unlink(entry: number, port: number): void {
    const older = this.older[entry]!;
    const newer = this.newer[entry]!;
    if (older === NONE) this.oldestOfPort[port] = newer;
    else this.newer[older] = newer;
    if (newer === NONE) this.newestOfPort[port] = older;
    else this.older[newer] = older;
    this.portEntries[port]!--;
  }
}

/**
 * Reads the whole table from any thread, while it is in use. An entry that is rewritten at this moment is left out.
 * @coldPath asked for by people
 */
export function listMacs(memory: SharedArrayBuffer): MacRow[] {
  const entries = new Int32Array(memory);
  const rows: MacRow[] = [];
  for (let at = 0; at < entries.length; at += STRIDE) {
    const version = Atomics.load(entries, at + VERSION);
    if ((version & 1) !== 0 || entries[at + NETWORK] === UNUSED) continue;
    const row = {
      network: entries[at + NETWORK]!,
      vlan: entries[at + HIGH_VLAN]! & 0xfff,
      macHigh: entries[at + HIGH_VLAN]! >>> 12,
      macLow: entries[at + LOW]!,
      port: entries[at + PORT]!,
      isStatic: entries[at + STATIC] !== 0,
      origin: entries[at + STATIC]!,
      lastSeenMs: entries[at + SEEN]!,
    };
    if (Atomics.load(entries, at + VERSION) === version) rows.push(row);
  }
  return rows;
}
