/**
 * What the control plane said of stations behind other VTEPs (`bindings` messages of program.ts), and what follows from it:
 *
 *   (network, VLAN, MAC) -> VTEP       a static entry of the MAC table, whose location is the remote
 *   (network, address) -> MAC          a fixed neighbour of the router, which also answers questions of stations (ARP, ND)
 *   VTEP                               may send into the network, also where only known ones may
 *
 * A station of this host that the program knows wins over a binding; a static binding wins over one of the cluster; among bindings of one
 * origin the last one that came wins. What is overruled stays here, and holds again when the other goes.
 *
 * VTEPs become rows of the remotes, pinned while a binding needs them. Which rows those are depends on the VTEP that the network's
 * tunnel belongs to: when that changes, all bindings of the network are placed anew.
 *
 * @coldPath all of it: runs when the control plane has news, a bounded part of them between two turns
 */
import { BindingTable } from '../tables/binding-table.js';
import type { MacTable } from '../tables/mac-table.js';
import { FIXED, type NeighbourTable } from '../tables/neighbour-table.js';
import * as words from '../wire/address-words.js';
import { BINDING_INTS, MAX_PORTS, MAX_REMOTES, NEIGHBOUR_INTS, type Program, STATIC_MAC_INTS } from './program.js';
import type { RouterState } from './router-state.js';
import { NO_VTEP, type Tunnels, vtepKeyOf } from './tunnels.js';

/** Columns of a row of a message. */
const ADDS_AT = 0;
const NETWORK_AT = 1;
const VLAN_AT = 2;
const MAC_AT = 3;
const VTEP_FAMILY_AT = 5;
const VTEP_AT = 6;
const ORIGIN_AT = 10;
const FAMILY_AT = 11;
const ADDRESS_AT = 12;

const NONE = -1;

export class Bindings {
  private readonly table: BindingTable;
  private readonly macs: MacTable;
  private readonly neighbours: NeighbourTable;
  private readonly state: RouterState;
  private readonly tunnels: Tunnels;
  /** Bindings by network and remote. */
  private readonly pairs = new Map<number, number>();

  constructor(macs: MacTable, state: RouterState, tunnels: Tunnels, seed: number) {
    this.table = new BindingTable(seed);
    this.macs = macs;
    this.neighbours = state.neighbours;
    this.state = state;
    this.tunnels = tunnels;
  }

  /** Bindings known: one per station and address. */
  get count(): number {
    return this.table.count;
  }

  /** Takes changes over: rows of BINDING_INTS. Those of networks that the program has not are left out. */
  apply(rows: Int32Array, program: Program, now: number): void {
    for (let at = 0; at + BINDING_INTS <= rows.length; at += BINDING_INTS) {
      const network = rows[at + NETWORK_AT]!;
      if (network < 0 || network >= program.networkCount) continue;
      if (rows[at + ADDS_AT] === 1) this.add(rows, at, now);
      else this.remove(rows, at, now);
    }
  }

  /** After the program has changed: what is known of networks that are not the same is forgotten, the rest fits the new tunnels. */
  adopt(before: Program, next: Program, now: number): void {
    const { table } = this;
    if (table.count === 0) return;
    const fate = fates(before, next);
    for (let row = 0; row < table.used; row++) {
      if (table.origin[row] === 0) continue;
      const network = table.network[row]!;
      if (fate[network] === FORGET) this.forget(row, now);
      else if (fate[network] === PLACE) this.place(row, now);
    }
    this.restore(before, now);
  }

  private add(rows: Int32Array, at: number, now: number): void {
    const { table } = this;
    const origin = rows[at + ORIGIN_AT]!;
    const network = rows[at + NETWORK_AT]!;
    const vlan = rows[at + VLAN_AT]!;
    const high = rows[at + MAC_AT]!;
    const low = rows[at + MAC_AT + 1]!;
    const family = rows[at + FAMILY_AT]!;
    let row = this.findExact(rows, at);
    if (row < 0) row = table.insert(origin, network, vlan, high, low, family, rows, at + ADDRESS_AT);
    if (row < 0) return;
    // A station is at one place: what this origin said of its other addresses before holds for the new VTEP too.
    for (let each = table.firstOfStation(network, vlan, high, low); each >= 0; each = table.nextOfStation(each)) {
      if (table.origin[each] !== origin) continue;
      const isThere =
        table.vtepFamily[each] === rows[at + VTEP_FAMILY_AT] && words.isSame(table.vtep, each << 2, rows, at + VTEP_AT);
      if (isThere && table.remote[each]! >= 0) continue;
      table.vtepFamily[each] = rows[at + VTEP_FAMILY_AT]!;
      words.copy(rows, at + VTEP_AT, table.vtep, each << 2);
      this.intern(each, now);
      if (each !== row && table.family[each] !== 0) {
        this.settleAddress(network, table.family[each]!, table.address, each << 2, NONE);
      }
    }
    this.settleStation(network, vlan, high, low, now);
    if (family !== 0) this.settleAddress(network, family, rows, at + ADDRESS_AT, row);
  }

  private remove(rows: Int32Array, at: number, now: number): void {
    const { table } = this;
    if (rows[at + FAMILY_AT] !== 0) {
      const row = this.findExact(rows, at);
      if (row >= 0) this.forget(row, now);
      return;
    }
    const network = rows[at + NETWORK_AT]!;
    const vlan = rows[at + VLAN_AT]!;
    const high = rows[at + MAC_AT]!;
    const low = rows[at + MAC_AT + 1]!;
    let row = table.firstOfStation(network, vlan, high, low);
    while (row >= 0) {
      const next = table.nextOfStation(row);
      if (table.origin[row] === rows[at + ORIGIN_AT]) this.forget(row, now);
      row = next;
    }
  }

  /** The row that a row of a message is about, or -1. */
  private findExact(rows: Int32Array, at: number): number {
    const { table } = this;
    const high = rows[at + MAC_AT]!;
    const low = rows[at + MAC_AT + 1]!;
    let row = table.firstOfStation(rows[at + NETWORK_AT]!, rows[at + VLAN_AT]!, high, low);
    for (; row >= 0; row = table.nextOfStation(row)) {
      if (table.origin[row] !== rows[at + ORIGIN_AT] || table.family[row] !== rows[at + FAMILY_AT]) continue;
      if (table.family[row] === 0 || words.isSame(table.address, row << 2, rows, at + ADDRESS_AT)) return row;
    }
    return NONE;
  }

  /** Removes a row and what follows from it. */
  private forget(row: number, now: number): void {
    const { table } = this;
    const network = table.network[row]!;
    const vlan = table.vlan[row]!;
    const high = table.macHigh[row]!;
    const low = table.macLow[row]!;
    const family = table.family[row]!;
    const at = row << 2;
    this.release(network, table.remote[row]!);
    table.remove(row);
    this.settleStation(network, vlan, high, low, now);
    // The columns of a row keep their values until it is used again.
    if (family !== 0) this.settleAddress(network, family, table.address, at, NONE);
  }

  /** Finds the row of the remotes anew, and what follows from that. */
  private place(row: number, now: number): void {
    const { table } = this;
    this.intern(row, now);
    this.settleStation(table.network[row]!, table.vlan[row]!, table.macHigh[row]!, table.macLow[row]!, now);
    if (table.family[row] !== 0) {
      this.settleAddress(table.network[row]!, table.family[row]!, table.address, row << 2, NONE);
    }
  }

  private intern(row: number, now: number): void {
    const { table } = this;
    const { remotes } = this.tunnels;
    const before = table.remote[row]!;
    const key = this.tunnels.vtepKeyOf(table.network[row]!);
    const remote = key === NO_VTEP ? NONE : remotes.intern(key, table.vtepFamily[row]!, table.vtep, row << 2, now);
    table.remote[row] = remote;
    if (remote >= 0) this.hold(table.network[row]!, remote);
    this.release(table.network[row]!, before);
  }

  /** One more binding of the network leads to the remote. */
  private hold(network: number, remote: number): void {
    const pair = network * MAX_REMOTES + remote;
    this.tunnels.remotes.pin(remote);
    this.pairs.set(pair, (this.pairs.get(pair) ?? 0) + 1);
    this.tunnels.bind(network, remote, true);
  }

  /** One binding less, unless `remote` is -1. */
  private release(network: number, remote: number): void {
    if (remote < 0) return;
    const pair = network * MAX_REMOTES + remote;
    const left = (this.pairs.get(pair) ?? 1) - 1;
    this.tunnels.remotes.unpin(remote);
    if (left > 0) {
      this.pairs.set(pair, left);
      return;
    }
    this.pairs.delete(pair);
    this.tunnels.bind(network, remote, false);
  }

  /** Makes the MAC table say of a station what the bindings say now. */
  private settleStation(network: number, vlan: number, high: number, low: number, now: number): void {
    const { table, macs } = this;
    let best = NONE;
    for (let row = table.firstOfStation(network, vlan, high, low); row >= 0; row = table.nextOfStation(row)) {
      if (table.remote[row]! >= 0 && (best < 0 || table.origin[row]! < table.origin[best]!)) best = row;
    }
    const known = macs.findStatic(network, vlan, high, low);
    if (known >= 0 && known < MAX_PORTS) return;
    if (best >= 0)
      macs.insertStatic(network, vlan, high, low, MAX_PORTS + table.remote[best]!, now, table.origin[best]!);
    else if (known >= 0) macs.removeOneStatic(network, vlan, high, low);
  }

  /** Makes the neighbour table say of an address what the bindings say now; `latest`: the one that has just come, or -1. */
  private settleAddress(network: number, family: number, from: Int32Array, at: number, latest: number): void {
    const { table, neighbours } = this;
    let best = NONE;
    for (let row = table.firstOfAddress(network, family, from, at); row >= 0; row = table.nextOfAddress(row)) {
      if (table.remote[row]! < 0) continue;
      const isBetter = best < 0 || table.origin[row]! < table.origin[best]!;
      if (isBetter || (row === latest && table.origin[row] === table.origin[best])) best = row;
    }
    let known = neighbours.find(network, family, from, at);
    const isFixed = known >= 0 && neighbours.state[known] === FIXED;
    if (isFixed && neighbours.port[known]! < MAX_PORTS) return;
    if (best < 0) {
      if (isFixed) neighbours.remove(known);
      return;
    }
    if (known >= 0 && !isFixed) {
      // Whoever waits for an answer gets it from here.
      neighbours.remove(known);
      this.state.holds.release(known);
      known = NONE;
    }
    if (known < 0) known = neighbours.insert(network, family, from, at, FIXED);
    if (known < 0) return;
    neighbours.macHigh[known] = table.macHigh[best]!;
    neighbours.macLow[known] = table.macLow[best]!;
    neighbours.port[known] = MAX_PORTS + table.remote[best]!;
  }

  /** What stations of this host had overruled holds again where the program does not know them any more. */
  private restore(before: Program, now: number): void {
    const { staticMacs, neighbours } = before;
    for (let at = 0; at < staticMacs.length; at += STATIC_MAC_INTS) {
      this.settleStation(staticMacs[at]!, staticMacs[at + 1]!, staticMacs[at + 2]!, staticMacs[at + 3]!, now);
    }
    for (let at = 0; at < neighbours.length; at += NEIGHBOUR_INTS) {
      this.settleAddress(neighbours[at]!, neighbours[at + 1]!, neighbours, at + 2, NONE);
    }
  }
}

/** What becomes of the bindings of a network. */
const KEEP = 0;
/** The row is another network. */
const FORGET = 1;
/** Its tunnel belongs to another VTEP. */
const PLACE = 2;

function fates(before: Program, next: Program): Uint8Array {
  const fate = new Uint8Array(Math.max(before.networkCount, next.networkCount)).fill(FORGET);
  for (let network = 0; network < Math.min(before.networkCount, next.networkCount); network++) {
    if (before.networkKey[network] !== next.networkKey[network]) continue;
    fate[network] = vtepKeyOf(before, network) === vtepKeyOf(next, network) ? KEEP : PLACE;
  }
  return fate;
}
