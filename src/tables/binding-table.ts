/**
 * Stations behind other VTEPs as the control plane told of them, in memory of the worker: one row per (origin, network, VLAN, MAC,
 * address of the station). What follows from the rows for the MAC table and for neighbours is decided by datapath/bindings.ts.
 *
 * Theory. Columns of a fixed pool and two hash indexes, by station and by address. Memory that was never used costs nothing. Changes come
 * in messages from the control thread, a few thousand at most between two turns; nothing is looked up here for a frame.
 *
 * Invariant: a row in use is in the index by station; one with a family also in that by address; no two rows have the same key.
 */
import { mix3 } from '../lib/hash32.js';
import * as words from '../wire/address-words.js';
import { HashIndex } from './hash-index.js';

/** Twice as many stations as the MAC table holds, or as many with two addresses each. A power of two. */
export const BINDING_CAPACITY = 262144;
const NONE = -1;

export class BindingTable {
  /** Rows in use. */
  count = 0;
  /** 0 = the row is free. */
  readonly origin = new Uint8Array(BINDING_CAPACITY);
  readonly network = new Int32Array(BINDING_CAPACITY);
  readonly vlan = new Int32Array(BINDING_CAPACITY);
  readonly macHigh = new Int32Array(BINDING_CAPACITY);
  readonly macLow = new Int32Array(BINDING_CAPACITY);
  /** Address of the VTEP: family and four words. */
  readonly vtepFamily = new Uint8Array(BINDING_CAPACITY);
  readonly vtep = new Int32Array(BINDING_CAPACITY * 4);
  /** Row of the remotes that the VTEP has now, -1 = none (the network has no tunnel, or there was no room). */
  readonly remote = new Int32Array(BINDING_CAPACITY);
  /** Of the station: family (0 = none is known) and four words. */
  readonly family = new Uint8Array(BINDING_CAPACITY);
  readonly address = new Int32Array(BINDING_CAPACITY * 4);
  /** Rows up to this were used at some time. */
  used = 0;
  private readonly stations = new HashIndex(BINDING_CAPACITY);
  private readonly addresses = new HashIndex(BINDING_CAPACITY);
  private readonly nextFree = new Int32Array(BINDING_CAPACITY);
  private free = NONE;
  private readonly seed: number;

  /** `seed`: any integer. */
  constructor(seed: number) {
    this.seed = seed | 0;
  }

  /** First row of a station, or -1; then `nextOfStation`. */
  firstOfStation(network: number, vlan: number, macHigh: number, macLow: number): number {
    const hash = this.stationHash(network, vlan, macHigh, macLow);
    return this.matchStation(this.stations.first(hash), hash, network, vlan, macHigh, macLow);
  }

  nextOfStation(row: number): number {
    const { network, vlan, macHigh, macLow } = this;
    const hash = this.stationHash(network[row]!, vlan[row]!, macHigh[row]!, macLow[row]!);
    const next = this.stations.next(row, hash);
    return this.matchStation(next, hash, network[row]!, vlan[row]!, macHigh[row]!, macLow[row]!);
  }

  /** First row of an address of stations, or -1; then `nextOfAddress`. */
  firstOfAddress(network: number, family: number, from: Int32Array, at: number): number {
    const hash = this.addressHash(network, family, from, at);
    return this.matchAddress(this.addresses.first(hash), hash, network, family, from, at);
  }

  nextOfAddress(row: number): number {
    const { network, family, address } = this;
    const at = row << 2;
    const hash = this.addressHash(network[row]!, family[row]!, address, at);
    return this.matchAddress(this.addresses.next(row, hash), hash, network[row]!, family[row]!, address, at);
  }

  /** A new row without VTEP for a key that has none; the address is four words at `from[at]`. -1 when the table is full. */
  insert(
    origin: number,
    network: number,
    vlan: number,
    macHigh: number,
    macLow: number,
    family: number,
    from: Int32Array,
    at: number,
  ): number {
    let row = this.free;
    if (row !== NONE) this.free = this.nextFree[row]!;
    else if (this.used < BINDING_CAPACITY) row = this.used++;
    else return NONE;
    this.origin[row] = origin;
    this.network[row] = network;
    this.vlan[row] = vlan;
    this.macHigh[row] = macHigh;
    this.macLow[row] = macLow;
    this.remote[row] = NONE;
    this.family[row] = family;
    words.copy(from, at, this.address, row << 2);
    this.stations.insert(this.stationHash(network, vlan, macHigh, macLow), row);
    if (family !== 0) this.addresses.insert(this.addressHash(network, family, from, at), row);
    this.count++;
    return row;
  }

  remove(row: number): void {
    const { network, vlan, macHigh, macLow, family, address } = this;
    this.stations.remove(this.stationHash(network[row]!, vlan[row]!, macHigh[row]!, macLow[row]!), row);
    if (family[row] !== 0) {
      this.addresses.remove(this.addressHash(network[row]!, family[row]!, address, row << 2), row);
    }
    this.origin[row] = 0;
    this.nextFree[row] = this.free;
    this.free = row;
    this.count--;
  }

  private matchStation(
    first: number,
    hash: number,
    network: number,
    vlan: number,
    macHigh: number,
    macLow: number,
  ): number {
    let row = first;
    while (row >= 0) {
      const isSame =
        this.macLow[row] === macLow &&
        this.macHigh[row] === macHigh &&
        this.network[row] === network &&
        this.vlan[row] === vlan;
      if (isSame) return row;
      row = this.stations.next(row, hash);
    }
    return NONE;
  }

  private matchAddress(
    first: number,
    hash: number,
    network: number,
    family: number,
    from: Int32Array,
    at: number,
  ): number {
    let row = first;
    while (row >= 0) {
      const isSame = this.network[row] === network && this.family[row] === family;
      if (isSame && words.isSame(this.address, row << 2, from, at)) return row;
      row = this.addresses.next(row, hash);
    }
    return NONE;
  }

  private stationHash(network: number, vlan: number, macHigh: number, macLow: number): number {
    return mix3(macLow, (macHigh << 12) | vlan, network, this.seed);
  }

  private addressHash(network: number, family: number, from: Int32Array, at: number): number {
    const key = (network << 3) | family;
    return mix3(from[at]! ^ from[at + 2]!, from[at + 1]! ^ Math.imul(from[at + 3]!, 3), key, this.seed);
  }
}
