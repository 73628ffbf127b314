/**
 * Fragments through NAPT (RFC 4787 REQ-14): the first one is translated like any packet and what was decided is kept for the others
 * (tables/fragment-table.ts), in whatever order they come.
 *
 * A stage asks `beginFragment` before it translates a row that is a fragment, and tells the outcome of a first one to `endFragment`.
 */
import { consume, drop, FIRST_FRAGMENT, type FrameVector, ROUTING } from '../frames/frame-vector.js';
import { HOLD_FRAGMENT } from '../frames/hold-pool.js';
import { FRAGMENT_DEAD, FRAGMENT_WAITING, WAIT_MS } from '../tables/fragment-table.js';
import * as words from '../wire/address-words.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import { DROP } from './drop-reasons.js';
import type { NatState } from './nat-state.js';
import type { Program } from './program.js';
import type { RouterState } from './router-state.js';

/** The row has its translation, or its fate. */
export const SETTLED = -1;

/**
 * Entry of the packet that a first fragment begins, to be passed to `endFragment`; or SETTLED: a later fragment that has got the
 * addresses of its packet, was held, or was dropped.
 */
export function beginFragment(state: RouterState, nat: NatState, program: Program, i: number, now: number): number {
  const { frames } = state;
  const { view } = state.slab;
  const { fragments } = nat;
  const family = frames.family[i]!;
  const network = frames.network[i]!;
  const at = words.wordsAt(i);
  const headerAt = family === 4 ? frames.l3At[i]! : ipv6.fragmentHeaderAt(view, frames.l3At[i]!);
  const id = family === 4 ? ipv4.identification(view, headerAt) : ipv6.fragmentIdentification(view, headerAt);
  // RFC 791 section 3.2 identifies by protocol too, RFC 8200 section 4.5 does not.
  const protocol = family === 4 ? 0x400 | frames.protocol[i]! : 0x600;
  const isFirst = frames.fragment[i] === FIRST_FRAGMENT;
  let entry = fragments.find(network, protocol, id, frames.source, frames.destination, at);
  if (entry < 0) entry = fragments.insert(network, protocol, id, frames.source, frames.destination, at, isFirst, now);
  if (entry < 0) {
    drop(frames, i, DROP.fragmentsFull);
    return SETTLED;
  }
  const status = fragments.state(entry);
  if (status === FRAGMENT_WAITING && !isFirst) {
    const serial = program.portSerial[frames.ingressPort[i]!]!;
    if (state.holds.hold(frames, state.slab, i, HOLD_FRAGMENT | entry, serial)) consume(frames, i);
    else drop(frames, i, DROP.fragmentsFull);
    return SETTLED;
  }
  if (status === FRAGMENT_DEAD || !isPlausible(nat, frames, view, i, entry, headerAt, now)) {
    drop(frames, i, DROP.badFragment);
    // First ones are not counted among those that wait, so none may.
    if (isFirst && status === FRAGMENT_WAITING) {
      fragments.condemn(entry, now);
      state.holds.release(HOLD_FRAGMENT | entry);
    }
    return SETTLED;
  }
  if (isFirst) return entry;
  frames.translation[i] = fragments.translation(entry);
  fragments.readAddresses(entry, frames.source, frames.destination, at);
  return SETTLED;
}

/** Keeps what became of a first fragment for the others, and lets those go that waited for it. */
export function endFragment(state: RouterState, nat: NatState, i: number, entry: number, now: number): void {
  const { frames } = state;
  const { fragments } = nat;
  const at = words.wordsAt(i);
  const { source, destination } = frames;
  const translation = frames.translation[i]!;
  if (frames.verdict[i] !== ROUTING) {
    fragments.condemn(entry, now);
  } else if (fragments.state(entry) === FRAGMENT_WAITING) {
    fragments.settle(entry, translation, source, destination, at, now);
  } else if (fragments.agrees(entry, translation, source, destination, at) || fragments.ageMs(entry, now) >= WAIT_MS) {
    fragments.settle(entry, translation, source, destination, at, now);
  } else {
    // Two first fragments of one packet for different flows: one of them is forged, and nobody knows which.
    fragments.condemn(entry, now);
    drop(frames, i, DROP.badFragment);
  }
  state.holds.release(HOLD_FRAGMENT | entry);
}

/** Whether the part fits with the others of its packet. */
function isPlausible(
  nat: NatState,
  frames: FrameVector,
  view: DataView,
  i: number,
  entry: number,
  headerAt: number,
  now: number,
): boolean {
  const l3At = frames.l3At[i]!;
  if (frames.family[i] === 4) {
    const field = ipv4.fragmentField(view, headerAt);
    const bytes = ipv4.totalLength(view, l3At) - ipv4.headerBytes(view, l3At);
    return nat.fragments.accept(entry, ipv4.fragmentOffset(field), bytes, ipv4.hasMoreFragments(field), now);
  }
  const field = ipv6.fragmentField(view, headerAt);
  const bytes = l3At + ipv6.HEADER_BYTES + ipv6.payloadLength(view, l3At) - (headerAt + ipv6.FRAGMENT_BYTES);
  return nat.fragments.accept(entry, ipv6.fragmentOffset(field), bytes, ipv6.hasMoreFragments(field), now);
}
