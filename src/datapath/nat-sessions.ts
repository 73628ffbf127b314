/**
 * Sessions of NAPT: finds the one that a packet belongs to, has it opened where the network allows that (nat-opening.ts), keeps its state
 * and timer.
 *
 * Both functions read the address and port columns of a row as they are, so that for a hairpin the second one sees what the first one
 * made of them. They answer a row of the flow table, or a refusal (nat-common.ts).
 *
 * RFC 4787 (UDP), 5382 and 7857 (TCP), 5508 (ICMP queries).
 */
import { type FrameVector, isReturned } from '../frames/frame-vector.js';
import { afterSegment, FLOW_STATELESS, TCP_SYN_OUTSIDE } from '../tables/tcp-state.js';
import * as words from '../wire/address-words.js';
import * as icmp from '../wire/icmp.js';
import * as icmpv6 from '../wire/icmpv6.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as tcp from '../wire/tcp.js';
import { DROP } from './drop-reasons.js';
import { isIcmp, isSyn, lifeMs, refusal, remotePortOut } from './nat-common.js';
import { openIn, openOut } from './nat-opening.js';
import type { NatState } from './nat-state.js';
import { NAT } from './program.js';

const NONE = -1;

/** Whether NAPT can tell flows of this protocol apart. ICMP: only queries; errors are nat-errors.ts. */
export function hasPorts(protocol: number, family: number): boolean {
  if (protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP) return true;
  return protocol === (family === 4 ? ipv4.PROTOCOL_ICMP : ipv6.PROTOCOL_ICMPV6);
}

/** Session of a packet from inside, whose source columns are the inside address and whose destination is the remote one. */
export function sessionOut(
  nat: NatState,
  frames: FrameVector,
  view: DataView,
  i: number,
  network: number,
  now: number,
): number {
  const { flows } = nat;
  const slot = flows.slots.slotOf(network);
  if (slot < 0) return refusal(DROP.natTableFull);
  const family = frames.family[i]!;
  const protocol = frames.protocol[i]!;
  const at = words.wordsAt(i);
  const inside = flows.addressId(family, frames.source, at);
  const remote = flows.addressId(family, frames.destination, at);
  const insidePort = frames.sourcePort[i]!;
  const remotePort = remotePortOut(frames, i);
  const flags = segmentFlags(frames, view, i);
  let session = NONE;
  if (family === 4 || (inside >= 0 && remote >= 0)) {
    session = flows.flows.findInside(slot, protocol, family, inside, insidePort, remote, remotePort);
  }
  if (session >= 0 && !nat.isExternal(network, family, flows.flows.outsideAddress(session))) {
    // The lab has changed under it.
    flows.deleteFlow(session, flows.flows.generation(session));
    session = NONE;
  }
  if (session < 0) {
    if (!mayOpenOut(frames, view, i, flags)) return refusal(DROP.natNoSession);
    session = openOut(nat, frames, i, network, slot, now);
    if (session < 0) return session;
  }
  if (isNew(frames, i)) flows.flows.countOut(session, frames.length[i]!);
  advance(nat, network, session, protocol, flags, true, now);
  return session;
}

/** Session of a packet from outside, whose destination columns are an external address and whose source is the remote one. */
export function sessionIn(
  nat: NatState,
  frames: FrameVector,
  view: DataView,
  i: number,
  network: number,
  now: number,
): number {
  const { flows } = nat;
  const slot = flows.slots.slotOf(network);
  if (slot < 0) return refusal(DROP.natTableFull);
  const flags = segmentFlags(frames, view, i);
  let session = findIn(nat, frames, i, slot);
  if (session < 0) {
    session = openIn(nat, frames, i, network, slot, flags, now);
    if (session < 0) return session;
  }
  if (isNew(frames, i)) flows.flows.countIn(session, frames.length[i]!);
  advance(nat, network, session, frames.protocol[i]!, flags, false, now);
  return session;
}

/** Whether a packet from outside belongs to a session; nothing is opened, and the session does not notice. */
export function hasSessionIn(nat: NatState, frames: FrameVector, i: number, network: number): boolean {
  const slot = nat.flows.slots.slotOf(network);
  return slot >= 0 && findIn(nat, frames, i, slot) >= 0;
}

function findIn(nat: NatState, frames: FrameVector, i: number, slot: number): number {
  const { flows } = nat;
  const family = frames.family[i]!;
  const at = words.wordsAt(i);
  const outside = flows.addressId(family, frames.destination, at);
  const remote = flows.addressId(family, frames.source, at);
  if (family === 6 && (outside < 0 || remote < 0)) return NONE;
  const protocol = frames.protocol[i]!;
  const port = frames.destinationPort[i]!;
  return flows.flows.findOutside(slot, protocol, family, remote, remotePortIn(frames, i), outside, port);
}

/** Whether its flow has not counted the packet yet: what comes in passes here before it waits for the MAC of its station, too. */
function isNew(frames: FrameVector, i: number): boolean {
  const isRouted = frames.egressNetwork[i]! >= 0;
  return isRouted || !isReturned(frames, i);
}

/** Whether the packet asks to open a TCP connection. */
export function isOpening(frames: FrameVector, view: DataView, i: number): boolean {
  return frames.protocol[i] === ipv4.PROTOCOL_TCP && isSyn(segmentFlags(frames, view, i));
}

/** Flags of a TCP segment, 0 of anything else. */
function segmentFlags(frames: FrameVector, view: DataView, i: number): number {
  return frames.protocol[i] === ipv4.PROTOCOL_TCP ? tcp.flags(view, frames.l4At[i]!) : 0;
}

function remotePortIn(frames: FrameVector, i: number): number {
  return isIcmp(frames.protocol[i]!) ? 0 : frames.sourcePort[i]!;
}

/** Connections are opened by a SYN, ICMP sessions by a request (RFC 5508 REQ-1). */
function mayOpenOut(frames: FrameVector, view: DataView, i: number, flags: number): boolean {
  const protocol = frames.protocol[i]!;
  if (protocol === ipv4.PROTOCOL_TCP) return isSyn(flags);
  if (!isIcmp(protocol)) return true;
  const type = icmp.type(view, frames.l4At[i]!);
  if (frames.family[i] === 6) return type === icmpv6.ECHO_REQUEST;
  return type === icmp.ECHO_REQUEST || type === icmp.TIMESTAMP;
}

/**
 * State and timer after a packet. Both directions refresh (RFC 4787 REQ-6): what reaches this point has passed the filter, and ICMP
 * errors, which must not refresh anything (RFC 5508 REQ-6), never do. A RST only shortens.
 */
function advance(
  nat: NatState,
  network: number,
  session: number,
  protocol: number,
  flags: number,
  isFromInside: boolean,
  now: number,
): void {
  const { flows } = nat.flows;
  let state = FLOW_STATELESS;
  if (protocol === ipv4.PROTOCOL_TCP) {
    const before = flows.state(session);
    state = afterSegment(before, flags, isFromInside);
    if (state !== before) flows.setState(session, state);
  }
  let life = lifeMs(nat, network, protocol, state);
  if (state === TCP_SYN_OUTSIDE && isPressed(nat, network, session)) {
    life = Math.min(life, nat.rules.policy(network, NAT.tcpSyn) * 1000);
  }
  const expiresAt = (now + life) | 0;
  // RFC 7857 section 7.1: who answers what comes in with a RST does not keep it coming in.
  const isLonger = ((expiresAt - flows.expiresAt(session)) | 0) > 0;
  if ((flags & tcp.FLAG_RST) === 0 || !isLonger) flows.setExpiry(session, expiresAt);
}

/** Whether the inside address has more than half of the flows that it may have: then half-open connections from outside go early. */
function isPressed(nat: NatState, network: number, session: number): boolean {
  const { flows, subscribers } = nat.flows;
  const row = subscribers.find(flows.network(session), flows.family(session), flows.insideAddress(session));
  return row >= 0 && subscribers.flows(row) > nat.rules.policy(network, NAT.flowLimit) >> 1;
}
