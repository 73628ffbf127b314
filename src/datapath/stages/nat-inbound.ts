/**
 * NAT for packets to an external address: who comes from outside is let in by a session, a mapping, a published port or a 1:1 pair, and
 * gets the inside destination; who comes from inside (a hairpin, RFC 4787 REQ-9) also gets the source that the outside would see.
 *
 * Reads: verdict network family protocol fragment l4At source destination *Port. Writes: source destination *Port translation; verdict of what
 * has to wait (consumed: held fragments and SYNs). Bytes are not touched: stages/rewrite.ts makes them agree.
 * Drops: nat-no-mapping, nat-filtered, nat-no-session, nat-syn-held, nat-bad-icmp, nat-protocol, bad-fragment, fragments-full, and what
 * opening a session is refused for.
 *
 * Pings to an external address itself, which no inside station has asked for, are left alone: the router answers them.
 */
import { isIcmpError, readEmbedded } from '../../frames/embedded-packet.js';
import {
  consume,
  drop,
  type FrameVector,
  isReturned,
  LATER_FRAGMENT,
  ROUTING,
  TRANSLATE_DESTINATION,
  TRANSLATE_SOURCE,
  WHOLE,
} from '../../frames/frame-vector.js';
import * as words from '../../wire/address-words.js';
import * as icmp from '../../wire/icmp.js';
import * as icmpv6 from '../../wire/icmpv6.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as ipv6 from '../../wire/ipv6.js';
import { DROP } from '../drop-reasons.js';
import { externalOf, insideOf } from '../nat-addresses.js';
import { reasonOf } from '../nat-common.js';
import { errorIn, errorOut } from '../nat-errors.js';
import { beginFragment, endFragment, SETTLED } from '../nat-fragments.js';
import { hasPorts, hasSessionIn, isOpening, sessionIn, sessionOut } from '../nat-sessions.js';
import { HOLD_SYN, type NatState } from '../nat-state.js';
import { NAT, type Program, TRANSLATE_NONE, TRANSLATE_PORTS } from '../program.js';
import type { RouterState } from '../router-state.js';

export function translateInbound(state: RouterState, program: Program, now: number): void {
  const { frames, nat } = state;
  const { rules } = nat;
  const { count, verdict, network, family, destination } = frames;
  nat.flows.warmer.warm(frames, program);
  // What an error of an earlier turn wanted, which was dropped or held before it was rewritten, is not for who has its row now.
  nat.embedded.isChanged.fill(0, 0, count);
  for (let i = 0; i < count; i++) {
    if (verdict[i] !== ROUTING) continue;
    const inside = rules.insideOf(network[i]!);
    if (inside < 0) continue;
    const isFromOutside = inside !== network[i];
    if (!rules.isExternal(inside, family[i]!, destination, words.wordsAt(i))) {
      if (isFromOutside && !mayPassUntranslated(state, nat, i, inside)) drop(frames, i, DROP.noRoute);
    } else if (isFromOutside) fromOutside(state, nat, program, i, inside, now);
    else fromInside(state, nat, program, i, inside, now);
  }
}

/** Whether the outside may address an inside station as it is: where the NAT does nothing, and towards its exceptions. */
function mayPassUntranslated(state: RouterState, nat: NatState, i: number, inside: number): boolean {
  const { frames, own } = state;
  const family = frames.family[i]!;
  const at = words.wordsAt(i);
  if (nat.rules.translates(inside, family) === TRANSLATE_NONE) return true;
  if (nat.rules.isPlain(inside, family, frames.source, at)) return true;
  return own.find(frames.network[i]!, family, frames.destination, at) >= 0;
}

function fromOutside(
  state: RouterState,
  nat: NatState,
  program: Program,
  i: number,
  inside: number,
  now: number,
): void {
  const { frames } = state;
  const { view } = state.slab;
  const family = frames.family[i]!;
  const at = words.wordsAt(i);
  const isLater = frames.fragment[i] === LATER_FRAGMENT;
  if (!isLater && isIcmpError(frames, view, i)) {
    const isSound = frames.fragment[i] === WHOLE && readEmbedded(frames, view, i, nat.embedded);
    if (!isSound || !errorIn(nat, frames, i, inside)) drop(frames, i, DROP.natBadIcmp);
    return;
  }
  if (insideOf(nat, inside, family, frames.destination, at)) {
    frames.translation[i] = TRANSLATE_DESTINATION;
    return;
  }
  if (isReturnedSyn(state, nat, i, inside)) return;
  if (!hasPorts(frames.protocol[i]!, family) && (!isLater || family === 4)) {
    drop(frames, i, DROP.natProtocol);
    return;
  }
  const entry = frames.fragment[i] === WHOLE ? SETTLED : beginFragment(state, nat, program, i, now);
  if (entry === SETTLED && frames.fragment[i] !== WHOLE) return;
  if (!isEchoRequest(frames, view, i)) {
    const session = sessionIn(nat, frames, view, i, inside, now);
    if (session >= 0) setDestination(nat, frames, i, session);
    else refuse(state, nat, program, i, inside, reasonOf(session), now);
  }
  if (entry !== SETTLED) endFragment(state, nat, i, entry, now);
}

/** A station speaks to an external address of its own network. */
function fromInside(state: RouterState, nat: NatState, program: Program, i: number, inside: number, now: number): void {
  const { frames } = state;
  const { view } = state.slab;
  const { rules } = nat;
  if (rules.policy(inside, NAT.hairpin) === 0) {
    drop(frames, i, DROP.natFiltered);
    return;
  }
  const isLater = frames.fragment[i] === LATER_FRAGMENT;
  if (!isLater && isIcmpError(frames, view, i)) {
    const isSound = frames.fragment[i] === WHOLE && readEmbedded(frames, view, i, nat.embedded);
    if (!isSound || !errorOut(nat, frames, i, inside) || !errorIn(nat, frames, i, inside)) {
      drop(frames, i, DROP.natBadIcmp);
    }
    return;
  }
  const entry = frames.fragment[i] === WHOLE ? SETTLED : beginFragment(state, nat, program, i, now);
  if (entry === SETTLED && frames.fragment[i] !== WHOLE) return;
  const reason = turnRound(state, nat, i, inside, now);
  if (reason >= 0) drop(frames, i, reason);
  if (entry !== SETTLED) endFragment(state, nat, i, entry, now);
}

/** Translates both ends of a hairpin packet. Returns the reason to drop it, or -1. */
function turnRound(state: RouterState, nat: NatState, i: number, inside: number, now: number): number {
  const { frames } = state;
  const { view } = state.slab;
  const family = frames.family[i]!;
  const at = words.wordsAt(i);
  const { source, destination } = frames;
  const isPair = nat.rules.findStaticExternal(inside, family, destination, at) >= 0;
  const isPrefix = family === 6 && nat.rules.findPrefixExternal(inside, destination, at) >= 0;
  if (!isPair && !isPrefix) {
    if (isEchoRequest(frames, view, i)) return -1;
    if (!hasPorts(frames.protocol[i]!, family)) return DROP.natProtocol;
    // Nothing is opened for an external port that nobody has.
    if (!isTaken(nat, frames, i, inside)) return DROP.natNoMapping;
  }
  if (externalOf(nat, inside, family, source, at)) {
    frames.translation[i]! |= TRANSLATE_SOURCE;
  } else if (nat.rules.translates(inside, family) === TRANSLATE_PORTS) {
    if (!hasPorts(frames.protocol[i]!, family)) return DROP.natProtocol;
    const session = sessionOut(nat, frames, view, i, inside, now);
    if (session < 0) return reasonOf(session);
    nat.writeAddress(family, nat.flows.flows.outsideAddress(session), source, at);
    setPort(frames, i, frames.sourcePort, nat.flows.flows.outsidePort(session));
    frames.translation[i]! |= TRANSLATE_SOURCE;
  } else if (!isPrefix) return DROP.natNoPort;
  if (insideOf(nat, inside, family, destination, at)) {
    frames.translation[i]! |= TRANSLATE_DESTINATION;
    return -1;
  }
  if (isPrefix) return DROP.noRoute;
  const session = sessionIn(nat, frames, view, i, inside, now);
  if (session < 0) return reasonOf(session);
  setDestination(nat, frames, i, session);
  return -1;
}

/** Whether an external port leads anywhere: it is published or mapped. */
function isTaken(nat: NatState, frames: FrameVector, i: number, inside: number): boolean {
  const { flows, rules } = nat;
  const family = frames.family[i]!;
  const protocol = frames.protocol[i]!;
  const port = frames.destinationPort[i]!;
  const at = words.wordsAt(i);
  if (rules.findPublished(inside, protocol, family, frames.destination, at, port) >= 0) return true;
  const slot = flows.slots.slotOf(inside);
  const outside = flows.addressId(family, frames.destination, at);
  if (slot < 0 || (family === 6 && outside < 0)) return false;
  return flows.mappings.findOutside(slot, protocol, family, outside, port) >= 0;
}

function setDestination(nat: NatState, frames: FrameVector, i: number, session: number): void {
  const { flows } = nat.flows;
  nat.writeAddress(frames.family[i]!, flows.insideAddress(session), frames.destination, words.wordsAt(i));
  setPort(frames, i, frames.destinationPort, flows.insidePort(session));
  frames.translation[i]! |= TRANSLATE_DESTINATION;
}

/** Of an ICMP query both port columns are the identifier. */
function setPort(frames: FrameVector, i: number, column: Int32Array, port: number): void {
  column[i] = port;
  const protocol = frames.protocol[i]!;
  if (protocol !== ipv4.PROTOCOL_ICMP && protocol !== ipv6.PROTOCOL_ICMPV6) return;
  frames.sourcePort[i] = port;
  frames.destinationPort[i] = port;
}

function isEchoRequest(frames: FrameVector, view: DataView, i: number): boolean {
  const at = frames.l4At[i]!;
  if (frames.family[i] === 4) {
    return frames.protocol[i] === ipv4.PROTOCOL_ICMP && icmp.type(view, at) === icmp.ECHO_REQUEST;
  }
  return frames.protocol[i] === ipv6.PROTOCOL_ICMPV6 && icmp.type(view, at) === icmpv6.ECHO_REQUEST;
}

/** Ends a packet that may not come in. RFC 5382 REQ-4: a SYN is not answered before the inside had time to open the connection too. */
function refuse(
  state: RouterState,
  nat: NatState,
  program: Program,
  i: number,
  inside: number,
  reason: number,
  now: number,
): void {
  const { frames } = state;
  const isUnasked = reason === DROP.natNoMapping || reason === DROP.natFiltered;
  if (!isUnasked || frames.fragment[i] !== WHOLE || !isOpening(frames, state.slab.view, i)) {
    drop(frames, i, reason);
    return;
  }
  const { source, destination } = frames;
  const at = words.wordsAt(i);
  const ports = frames.sourcePort[i]! | (frames.destinationPort[i]! << 16);
  let slot = nat.syns.find(inside, source, destination, at, ports);
  // The same SYN again: the first one waits already.
  if (slot < 0) {
    const dueMs = (now + nat.rules.policy(inside, NAT.tcpSyn) * 1000) | 0;
    slot = nat.syns.insert(inside, source, destination, at, ports, dueMs);
    if (slot >= 0) {
      const serial = program.portSerial[frames.ingressPort[i]!]!;
      if (state.holds.hold(frames, state.slab, i, HOLD_SYN | slot, serial)) {
        consume(frames, i);
        return;
      }
      nat.syns.remove(slot);
    }
  }
  drop(frames, i, DROP.natSynHeld);
}

/** A held SYN whose time is up: refused, or forgotten when the inside has opened the connection meanwhile. True when it was one. */
function isReturnedSyn(state: RouterState, nat: NatState, i: number, inside: number): boolean {
  const { frames } = state;
  const { syns } = nat;
  if (syns.count === 0 || !isReturned(frames, i) || !isOpening(frames, state.slab.view, i)) return false;
  const at = words.wordsAt(i);
  const ports = frames.sourcePort[i]! | (frames.destinationPort[i]! << 16);
  const slot = syns.find(inside, frames.source, frames.destination, at, ports);
  if (slot < 0 || !syns.isReleased(slot)) return false;
  syns.remove(slot);
  drop(frames, i, hasSessionIn(nat, frames, i, inside) ? DROP.natSynHeld : DROP.natNoMapping);
  return true;
}
