/**
 * How the router comes by the MAC of a next hop, and what it believes of what stations say: neighbour discovery for both families
 * over tables/neighbour-table.ts.
 *
 * An address that nobody knows is asked for three times, a second apart (RFC 1122 section 2.3.2.1, RFC 4861 section 10); frames for it wait
 * meanwhile. If nobody answers they come back and are dropped as no-neighbour, with an error to their senders, and for FAILED_MS
 * nobody is asked again. An entry that was used half a minute after it was last confirmed counts as confirmed when its MAC was
 * heard within that time, for BELIEVED_MS at most; otherwise it is asked for, and goes when there is no answer.
 *
 * Stations that the program knows (endpoints) have the MAC that they were given, whatever anybody says.
 */
import { consume } from '../frames/frame-vector.js';
import { FAILED, FIXED, INCOMPLETE, PROBING, REACHABLE } from '../tables/neighbour-table.js';
import * as words from '../wire/address-words.js';
import * as ethernet from '../wire/ethernet.js';
import { askArp, askNeighbour } from './discovery.js';
import { MAX_PORTS, NEIGHBOUR_INTS, type Program, ROLE_SWITCH } from './program.js';
import { isRouterMac } from './router-mac.js';
import type { RouterState } from './router-state.js';

/** In place of a row: the frame waits (and is consumed); there is no such neighbour; nothing more may wait. */
export const HELD = -1;
export const UNREACHABLE = -2;
export const QUEUE_FULL = -3;

const RETRANSMIT_MS = 1000;
const MAX_PROBES = 3;
const FAILED_MS = 1000;
const REACHABLE_MS = 30_000;
/** How long an answer is believed while its MAC is heard. */
const BELIEVED_MS = 300_000;

/** Row of the neighbour table with the MAC of a next hop, or one of the three above. */
export function nextHopRow(
  state: RouterState,
  i: number,
  network: number,
  family: number,
  hop: Int32Array,
  hopAt: number,
  now: number,
): number {
  const { neighbours } = state;
  const row = neighbours.find(network, family, hop, hopAt);
  if (row < 0) {
    const asked = neighbours.insert(network, family, hop, hopAt, INCOMPLETE);
    if (asked < 0) return QUEUE_FULL;
    ask(state, asked, now);
    return wait(state, i, asked);
  }
  switch (neighbours.state[row]) {
    case INCOMPLETE:
      return wait(state, i, row);
    case FAILED:
      return UNREACHABLE;
    case REACHABLE:
      if (((now - neighbours.whenMs[row]!) | 0) > REACHABLE_MS) confirm(state, row, now);
      return row;
    default:
      return row;
  }
}

function wait(state: RouterState, i: number, row: number): number {
  const { frames, program } = state;
  if (!state.holds.hold(frames, state.slab, i, row, program.portSerial[frames.ingressPort[i]!]!)) return QUEUE_FULL;
  consume(frames, i);
  return HELD;
}

/** What an entry is worth that was not confirmed for a while. */
function confirm(state: RouterState, row: number, now: number): void {
  const { neighbours, macs } = state;
  const silentMs = (now - neighbours.whenMs[row]!) | 0;
  const high = neighbours.macHigh[row]!;
  const low = neighbours.macLow[row]!;
  const isHeard = macs.find(neighbours.network[row]!, 0, high, low, now, REACHABLE_MS) >= 0;
  if (isHeard && silentMs < BELIEVED_MS) return;
  if (!neighbours.setState(row, PROBING)) return;
  neighbours.probes[row] = 0;
  ask(state, row, now);
}

/** Sends a question for an entry and says when the next one is due. */
function ask(state: RouterState, row: number, now: number): void {
  const { neighbours, program } = state;
  neighbours.probes[row]!++;
  neighbours.whenMs[row] = now + RETRANSMIT_MS;
  const isProbe = neighbours.state[row] === PROBING;
  const high = isProbe ? neighbours.macHigh[row]! : 0;
  const low = isProbe ? neighbours.macLow[row]! : 0;
  const network = neighbours.network[row]!;
  if (neighbours.family[row] === 4) {
    askArp(state, program, network, neighbours.address, words.wordsAt(row), high, low, now);
  } else {
    askNeighbour(state, program, network, neighbours.address, words.wordsAt(row), high, low, now);
  }
}

/** Asks again, gives up, forgets: whatever is due. Bounded by the entries that have a timer. */
export function tickNeighbours(state: RouterState, now: number): void {
  const { neighbours, holds } = state;
  for (let n = neighbours.timedCount - 1; n >= 0; n--) {
    const row = neighbours.timed[n]!;
    if (((now - neighbours.whenMs[row]!) | 0) < 0) continue;
    const before = neighbours.state[row];
    if (before === FAILED) {
      neighbours.remove(row);
    } else if (neighbours.probes[row]! < MAX_PROBES) {
      ask(state, row, now);
    } else if (before === PROBING) {
      neighbours.remove(row);
    } else {
      neighbours.setState(row, FAILED);
      neighbours.whenMs[row] = now + FAILED_MS;
      holds.release(row);
    }
  }
}

/**
 * A station says which MAC an address has. `isAnswer`: it speaks to weft, so that a new entry is made of it; otherwise it only
 * changes what is known (gratuitous ARP, unsolicited advertisement).
 */
export function learnNeighbour(
  state: RouterState,
  network: number,
  family: number,
  from: Int32Array,
  at: number,
  macHigh: number,
  macLow: number,
  isAnswer: boolean,
  now: number,
): void {
  const { neighbours, own, program } = state;
  if (ethernet.isGroup(macHigh) || (macHigh | macLow) === 0 || words.isZero(from, at)) return;
  if (isRouterMac(program, network, macHigh, macLow)) return;
  let row = neighbours.find(network, family, from, at);
  if (row < 0) {
    if (!isAnswer || !isOnLink(state, network, family, from, at) || own.find(network, family, from, at) >= 0) return;
    row = neighbours.insert(network, family, from, at, REACHABLE);
    if (row < 0) return;
  } else if (neighbours.state[row] === FIXED) {
    return;
  }
  const wasIncomplete = neighbours.state[row] === INCOMPLETE;
  neighbours.macHigh[row] = macHigh;
  neighbours.macLow[row] = macLow;
  neighbours.setState(row, REACHABLE);
  neighbours.whenMs[row] = now;
  if (wasIncomplete) state.holds.release(row);
}

/** Whether the address is known to have another MAC. */
export function knowsOther(
  state: RouterState,
  network: number,
  family: number,
  from: Int32Array,
  at: number,
  macHigh: number,
  macLow: number,
): boolean {
  const { neighbours } = state;
  const row = neighbours.find(network, family, from, at);
  if (row < 0 || neighbours.state[row] === INCOMPLETE || neighbours.state[row] === FAILED) return false;
  return neighbours.macHigh[row] !== macHigh || neighbours.macLow[row] !== macLow;
}

/** Whether an address lies in a subnet of the network. */
export function isOnLink(state: RouterState, network: number, family: number, from: Int32Array, at: number): boolean {
  const { own } = state;
  const row = own.speaker(network, family, from, at);
  return row >= 0 && words.hasPrefix(own.rows, own.addressAt(row), from, at, own.prefixLength(row));
}

/** Takes over what the next program knows, and forgets what was learned on networks that are not the same. @coldPath once per program */
export function adoptNeighbours(state: RouterState, next: Program): void {
  const { neighbours } = state;
  const before = state.program;
  for (let row = 0; row < neighbours.end; row++) {
    const was = neighbours.state[row]!;
    // Stations behind other VTEPs are not of the program (bindings.ts).
    if (was === 0 || (was === FIXED && neighbours.port[row]! >= MAX_PORTS)) continue;
    const network = neighbours.network[row]!;
    const isRouted = network < next.networkCount && next.networkRole[network] !== ROLE_SWITCH;
    const isSame = isRouted && next.networkKey[network] === before.networkKey[network];
    if (was === FIXED || !isSame) {
      neighbours.remove(row);
      state.holds.release(row);
    }
  }
  const rows = next.neighbours;
  for (let at = 0; at < rows.length; at += NEIGHBOUR_INTS) {
    const known = neighbours.find(rows[at]!, rows[at + 1]!, rows, at + 2);
    if (known >= 0) {
      if (neighbours.state[known] === FIXED && neighbours.port[known]! < MAX_PORTS) continue;
      neighbours.remove(known);
      state.holds.release(known);
    }
    const row = neighbours.insert(rows[at]!, rows[at + 1]!, rows, at + 2, FIXED);
    if (row < 0) return;
    neighbours.macHigh[row] = rows[at + 6]!;
    neighbours.macLow[row] = rows[at + 7]!;
    neighbours.port[row] = rows[at + 8]!;
  }
}
