/**
 * ICMP errors through the NAT (RFC 5508 section 4): an error speaks of a packet, a packet belongs to a session, so the error goes where
 * the session goes, with the packet inside of it as its sender knows it.
 *
 * Each function reads the embedded packet's columns (frames/embedded-packet.ts), finds the session, and changes these columns and the
 * outer addresses; for a hairpin one runs after the other. Nothing here refreshes or ends a session (RFC 5508 REQ-6, RFC 5382 REQ-10), and the
 * outer source is not filtered: any router on the way may say that a packet did not arrive (RFC 4787 REQ-12).
 */
import { type FrameVector, TRANSLATE_DESTINATION, TRANSLATE_SOURCE } from '../frames/frame-vector.js';
import * as words from '../wire/address-words.js';
import { externalOf, insideOf } from './nat-addresses.js';
import { isIcmp } from './nat-common.js';
import type { NatState } from './nat-state.js';

const NONE = -1;

/** An error to the outside about a packet that came in. False when there is no such session. */
export function errorOut(nat: NatState, frames: FrameVector, i: number, network: number): boolean {
  const { embedded, flows } = nat;
  const family = frames.family[i]!;
  const at = words.wordsAt(i);
  // An error goes to who sent the packet.
  if (!words.isSame(frames.destination, at, embedded.source, at)) return false;
  const isOwn = words.isSame(frames.source, at, embedded.destination, at);
  if (!externalOf(nat, network, family, embedded.destination, at)) {
    const session = sessionOfReceived(nat, i, network, family);
    if (session < 0) return false;
    nat.writeAddress(family, flows.flows.outsideAddress(session), embedded.destination, at);
    embedded.destinationPort[i] = flows.flows.outsidePort(session);
    if (isIcmp(embedded.protocol[i]!)) embedded.sourcePort[i] = embedded.destinationPort[i]!;
  }
  // RFC 5508 REQ-5 (c): a router inside that has no address outside speaks with that of the station behind it.
  if (isOwn || !externalOf(nat, network, family, frames.source, at)) {
    words.copy(embedded.destination, at, frames.source, at);
  }
  embedded.isChanged[i] = 1;
  frames.translation[i]! |= TRANSLATE_SOURCE;
  return true;
}

/** An error to the inside about a packet that went out. False when there is no such session. */
export function errorIn(nat: NatState, frames: FrameVector, i: number, network: number): boolean {
  const { embedded, flows } = nat;
  const family = frames.family[i]!;
  const at = words.wordsAt(i);
  if (!words.isSame(frames.destination, at, embedded.source, at)) return false;
  if (!insideOf(nat, network, family, embedded.source, at)) {
    const session = sessionOfSent(nat, i, network, family);
    if (session < 0) return false;
    nat.writeAddress(family, flows.flows.insideAddress(session), embedded.source, at);
    embedded.sourcePort[i] = flows.flows.insidePort(session);
    if (isIcmp(embedded.protocol[i]!)) embedded.destinationPort[i] = embedded.sourcePort[i]!;
  }
  words.copy(embedded.source, at, frames.destination, at);
  embedded.isChanged[i] = 1;
  frames.translation[i]! |= TRANSLATE_DESTINATION;
  return true;
}

/** Session of an embedded packet that was on its way in: its destination is the inside endpoint. */
function sessionOfReceived(nat: NatState, i: number, network: number, family: number): number {
  const { embedded, flows } = nat;
  const slot = flows.slots.slotOf(network);
  const at = words.wordsAt(i);
  const inside = flows.addressId(family, embedded.destination, at);
  const remote = flows.addressId(family, embedded.source, at);
  if (slot < 0 || (family === 6 && (inside < 0 || remote < 0))) return NONE;
  const protocol = embedded.protocol[i]!;
  const remotePort = isIcmp(protocol) ? 0 : embedded.sourcePort[i]!;
  return flows.flows.findInside(slot, protocol, family, inside, embedded.destinationPort[i]!, remote, remotePort);
}

/** Session of an embedded packet that was on its way out, as it was seen outside. */
function sessionOfSent(nat: NatState, i: number, network: number, family: number): number {
  const { embedded, flows } = nat;
  const slot = flows.slots.slotOf(network);
  const at = words.wordsAt(i);
  const outside = flows.addressId(family, embedded.source, at);
  const remote = flows.addressId(family, embedded.destination, at);
  if (slot < 0 || (family === 6 && (outside < 0 || remote < 0))) return NONE;
  const protocol = embedded.protocol[i]!;
  const remotePort = isIcmp(protocol) ? 0 : embedded.destinationPort[i]!;
  return flows.flows.findOutside(slot, protocol, family, remote, remotePort, outside, embedded.sourcePort[i]!);
}
