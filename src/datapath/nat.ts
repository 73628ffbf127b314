/**
 * What the NAT remembers: sessions, mappings, ports, subscribers and addresses as one thing that is always consistent. The stages
 * nat-inbound and nat-outbound look things up in the tables directly and change them through `openMapping`, `openFlow`, `closeFlow`.
 *
 *   subscriber (inside address) 1 --- n mapping (inside port <-> outside port) 1 --- n session (remote address and port)
 *
 * A mapping goes with its last session (RFC 4787 REQ-5: the timer of the mapping is that of its sessions), its port goes with the mapping,
 * a subscriber with the last of both. Nothing live is ever evicted: when there is no room, opening answers -1.
 *
 * The keys of all tables: `network` is the slot of the inside network (`slots.slotOf(row)`), an address is `addressId` (find) or
 * `internAddress` (before opening) of its four words, a port of ICMP is the identifier.
 *
 * After a restart the constructor finds the rows of before in the memory, checks each of them and builds everything else anew: a second
 * for a million flows, so it is done before the worker says that it is ready.
 */
import { KeyedHash } from '../lib/keyed-hash.js';
import { AddressInterner } from '../tables/address-interner.js';
import { FlowMemory, flowMemoryBytes } from '../tables/flow-memory.js';
import { FlowTable, NOTHING_DUE } from '../tables/flow-table.js';
import { MAPPING_OWNS_PORT, MAPPING_PERMANENT, MappingTable } from '../tables/mapping-table.js';
import { NetworkSlots } from '../tables/network-slots.js';
import { PortAllocator } from '../tables/port-allocator.js';
import { SubscriberTable } from '../tables/subscriber-table.js';
import { FlowWarmer } from './flow-warmer.js';
import { MAX_NETWORKS, type Program, ROLE_INSIDE } from './program.js';

/** Milliseconds between two looks for networks that are gone. */
const AGE_SLOTS_MS = 1000;
/** Rows looked at per step for sessions of a network that is gone. */
const ROWS_PER_STEP = 8;
/** Inside addresses that may have flows at once. */
const MAX_SUBSCRIBERS = 131072;
/** Outside addresses times protocols that may have ports taken at once. */
const PORT_POOLS = 1024;
const NONE = -1;

export class Nat {
  readonly slots: NetworkSlots;
  readonly addresses: AddressInterner;
  readonly flows: FlowTable;
  readonly mappings: MappingTable;
  readonly ports: PortAllocator;
  readonly subscribers: SubscriberTable;
  readonly warmer: FlowWarmer;
  /** Sessions ever opened, ended by their timer, and ended because somebody asked for it or their network or external address went. */
  opened = 0;
  expired = 0;
  deleted = 0;
  /** More is due than the last sweep was allowed to do: do not sleep long. */
  isBehind = false;
  private readonly isTracked = new Uint8Array(MAX_NETWORKS);
  private isAdopted = false;
  private agedMs: number;
  /** Next row to look at in the search for sessions of dying networks; -1 = no search. */
  private purgeAt = NONE;

  /** `key0`, `key1`: random integers, secret. `now`: int32 ms of CLOCK_MONOTONIC. */
  constructor(memory: FlowMemory, key0: number, key1: number, now: number) {
    this.slots = new NetworkSlots(memory, MAX_NETWORKS);
    this.addresses = new AddressInterner(memory, new KeyedHash(key0, key1, 1));
    this.flows = new FlowTable(memory, this.addresses, new KeyedHash(key0, key1, 2), now);
    this.mappings = new MappingTable(memory, this.addresses, new KeyedHash(key0, key1, 3));
    this.subscribers = new SubscriberTable(Math.min(MAX_SUBSCRIBERS, memory.capacity), new KeyedHash(key0, key1, 4));
    this.ports = new PortAllocator(
      Math.min(PORT_POOLS, memory.capacity >> 4),
      key0,
      key1,
      new KeyedHash(key0, key1, 5),
    );
    this.warmer = new FlowWarmer(this.flows, this.slots);
    this.agedMs = now;
    if (memory.isTakenOver) this.takeOver();
  }

  /** The networks are now those of this program. @coldPath once per program */
  adopt(program: Program, now: number): void {
    for (let row = 0; row < program.networkCount; row++) {
      this.isTracked[row] = program.networkRole[row] === ROLE_INSIDE && program.networkUplink[row]! >= 0 ? 1 : 0;
    }
    // Networks of before have their time to come back from when there are networks at all.
    if (!this.isAdopted) this.slots.startGrace(now);
    this.isAdopted = true;
    this.slots.assign(program.networkKey, this.isTracked, program.networkCount, now);
  }

  /** Id of the address whose four words stand at `at` (IPv4: the first word), or -1: no flow knows it. Ids of IPv4 may be negative. */
  addressId(family: number, words: Int32Array, at: number): number {
    if (family === 4) return words[at]!;
    return this.addresses.find(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
  }

  /** The same before something is opened with it; of IPv6 -1 when there is no room (`nat-table-full`). Good for this turn. */
  internAddress(family: number, words: Int32Array, at: number): number {
    if (family === 4) return words[at]!;
    return this.addresses.intern(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
  }

  /** Word 0..3 of an address. */
  addressWord(family: number, id: number, index: number): number {
    if (family === 6) return this.addresses.word(id, index);
    return index === 0 ? id : 0;
  }

  /**
   * Enters a mapping, whose port was taken (`ports.take`, flag MAPPING_OWNS_PORT) or belongs to it anyhow. -1 when there is no room; the
   * caller then gives the port back. A mapping that gets no session and is not permanent has to be closed (`closeMapping`).
   */
  openMapping(
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
    const subscriber = this.subscribers.findOrInsert(network, family, insideAddress);
    if (subscriber < 0) return NONE;
    this.subscribers.addMapping(subscriber, outsideAddress);
    const row = this.mappings.insert(
      network,
      protocol,
      family,
      insideAddress,
      insidePort,
      remoteAddress,
      remotePort,
      outsideAddress,
      outsidePort,
      flags,
      now,
    );
    if (row < 0) this.subscribers.removeMapping(subscriber);
    return row;
  }

  /** Ends a mapping without sessions and gives its port back. */
  closeMapping(row: number): void {
    const { mappings } = this;
    const network = mappings.network(row);
    const family = mappings.family(row);
    if ((mappings.flags(row) & MAPPING_OWNS_PORT) !== 0) {
      this.ports.release(
        network,
        mappings.protocol(row),
        family,
        mappings.outsideAddress(row),
        mappings.outsidePort(row),
      );
    }
    this.subscribers.removeMapping(this.subscribers.find(network, family, mappings.insideAddress(row)));
    mappings.remove(row);
  }

  /** Enters a session (`mapping` -1: without one). -1 when there is no room; a mapping made for it is then to be closed. */
  openFlow(
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
    const subscriber = this.subscribers.findOrInsert(network, family, insideAddress);
    if (subscriber < 0) return NONE;
    this.subscribers.addFlow(subscriber);
    const row = this.flows.insert(
      network,
      protocol,
      family,
      insideAddress,
      insidePort,
      remoteAddress,
      remotePort,
      outsideAddress,
      outsidePort,
      mapping,
      state,
      expiresAt,
      now,
    );
    if (row < 0) {
      this.subscribers.removeFlow(subscriber);
      return NONE;
    }
    if (mapping >= 0) this.mappings.addSession(mapping);
    this.opened++;
    return row;
  }

  /** Ends a session, and its mapping with the last one. */
  closeFlow(row: number): void {
    const { flows, mappings } = this;
    const mapping = flows.mapping(row);
    this.subscribers.removeFlow(this.subscribers.find(flows.network(row), flows.family(row), flows.insideAddress(row)));
    flows.remove(row);
    if (mapping < 0 || mappings.removeSession(mapping) > 0) return;
    if ((mappings.flags(mapping) & MAPPING_PERMANENT) === 0) this.closeMapping(mapping);
  }

  /** Ends sessions that somebody else looked up: pairs of row and generation, a few hundred at most. */
  deleteFlows(pairs: Int32Array): void {
    for (let i = 0; i + 1 < pairs.length; i += 2) this.deleteFlow(pairs[i]!, pairs[i + 1]!);
  }

  /** Ends a session only if the row still is that session. */
  deleteFlow(row: number, generation: number): void {
    if (row < 0 || row >= this.flows.usedRows() || !this.flows.isUsed(row)) return;
    if (this.flows.generation(row) !== generation) return;
    this.closeFlow(row);
    this.deleted++;
  }

  /**
   * Between two turns: ends what is over, at most `maxSteps` rows. `isBehind` says whether there is more. A step costs about a
   * microsecond when the tables are large.
   */
  sweep(now: number, maxSteps: number): void {
    this.addresses.collect();
    this.isBehind = !this.expire(now, maxSteps);
    if (this.isAdopted && ((now - this.agedMs) | 0) >= AGE_SLOTS_MS) {
      this.agedMs = now;
      this.slots.age(now);
    }
    if (this.slots.dying > 0) this.purge(maxSteps);
  }

  /** True when nothing more is due. */
  private expire(now: number, maxSteps: number): boolean {
    for (let step = 0; step < maxSteps; step++) {
      const row = this.flows.expire(now);
      if (row === NOTHING_DUE) return true;
      if (row < 0) continue;
      this.closeFlow(row);
      this.expired++;
    }
    return false;
  }

  /** Looks at some more rows for sessions of networks that are gone. */
  private purge(maxSteps: number): void {
    const { flows, slots } = this;
    if (this.purgeAt < 0) {
      slots.beginFree();
      this.purgeAt = 0;
    }
    let closed = 0;
    const end = Math.min(flows.usedRows(), this.purgeAt + maxSteps * ROWS_PER_STEP);
    while (this.purgeAt < end && closed < maxSteps) {
      const row = this.purgeAt++;
      if (!flows.isUsed(row) || !slots.isDying(flows.network(row))) continue;
      this.closeFlow(row);
      this.deleted++;
      closed++;
    }
    this.isBehind = true;
    if (this.purgeAt < flows.usedRows()) return;
    this.purgeAt = NONE;
    slots.finishFree();
  }

  /** Finds what a process before this one left in the memory. @coldPath once per worker */
  private takeOver(): void {
    const { flows, mappings, slots } = this;
    for (let row = mappings.usedRows() - 1; row >= 0; row--) {
      if (!mappings.isWhole(row) || !slots.isKnown(mappings.network(row)) || !this.adoptMapping(row))
        mappings.discard(row);
    }
    for (let row = flows.usedRows() - 1; row >= 0; row--) {
      if (!flows.isWhole(row) || !slots.isKnown(flows.network(row)) || !this.adoptFlow(row)) flows.discard(row);
    }
    this.addresses.finishAdoption();
    for (let row = 0; row < mappings.usedRows(); row++) {
      const isIdle = mappings.isUsed(row) && mappings.sessions(row) === 0;
      if (isIdle && (mappings.flags(row) & MAPPING_PERMANENT) === 0) this.closeMapping(row);
    }
  }

  /** @coldPath once per worker */
  private adoptMapping(row: number): boolean {
    const { mappings, subscribers } = this;
    const network = mappings.network(row);
    const family = mappings.family(row);
    const outside = mappings.outsideAddress(row);
    const subscriber = subscribers.findOrInsert(network, family, mappings.insideAddress(row));
    if (subscriber < 0) return false;
    subscribers.addMapping(subscriber, outside);
    const isOurs = (mappings.flags(row) & MAPPING_OWNS_PORT) !== 0;
    const hasPort =
      !isOurs || this.ports.claim(network, mappings.protocol(row), family, outside, mappings.outsidePort(row));
    if (hasPort && mappings.adopt(row)) return true;
    if (isOurs && hasPort)
      this.ports.release(network, mappings.protocol(row), family, outside, mappings.outsidePort(row));
    subscribers.removeMapping(subscriber);
    return false;
  }

  /** @coldPath once per worker */
  private adoptFlow(row: number): boolean {
    const { flows, mappings, subscribers } = this;
    const mapping = flows.mapping(row);
    if (mapping >= 0 && (mapping >= mappings.usedRows() || !this.fits(row, mapping))) return false;
    const subscriber = subscribers.findOrInsert(flows.network(row), flows.family(row), flows.insideAddress(row));
    if (subscriber < 0) return false;
    subscribers.addFlow(subscriber);
    if (!flows.adopt(row)) {
      subscribers.removeFlow(subscriber);
      return false;
    }
    if (mapping >= 0) mappings.addSession(mapping);
    return true;
  }

  /** Whether a session can belong to a mapping. @coldPath once per worker */
  private fits(row: number, mapping: number): boolean {
    const { flows, mappings } = this;
    return (
      mappings.isUsed(mapping) &&
      flows.network(row) === mappings.network(mapping) &&
      flows.protocol(row) === mappings.protocol(mapping) &&
      flows.family(row) === mappings.family(mapping) &&
      flows.insideAddress(row) === mappings.insideAddress(mapping) &&
      flows.insidePort(row) === mappings.insidePort(mapping)
    );
  }
}

/** A Nat in memory of its own, for tests and for trying out. `capacity`: a power of two. @coldPath once per datapath */
export function createNat(capacity: number, key0: number, key1: number, now: number): Nat {
  const memory = new FlowMemory(new ArrayBuffer(flowMemoryBytes(capacity)), capacity, new Int32Array(4), () => true);
  return new Nat(memory, key0, key1, now);
}
