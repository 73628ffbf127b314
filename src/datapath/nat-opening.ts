/**
 * New sessions of NAPT. Who may send in is decided here and nowhere else (RFC 4787 section 5):
 *
 *   filtering                     a packet from outside without a session opens one when
 *   endpoint-independent          somebody inside has a mapping for that external port
 *   address-dependent             ... and speaks with that remote address through it
 *   address-and-port-dependent    never
 *   published port                always
 *
 * Both functions answer a row of the flow table or a refusal (nat-common.ts).
 */
import type { FrameVector } from '../frames/frame-vector.js';
import { FLOW_STATELESS, TCP_SYN_INSIDE, TCP_SYN_OUTSIDE } from '../tables/tcp-state.js';
import * as words from '../wire/address-words.js';
import * as ipv4 from '../wire/ipv4.js';
import { DROP } from './drop-reasons.js';
import { isIcmp, isSyn, lifeMs, refusal, remotePortOut } from './nat-common.js';
import { mappingFor, publishedAddress } from './nat-mappings.js';
import type { NatState } from './nat-state.js';
import { FILTERING_ADDRESS_DEPENDENT, FILTERING_ENDPOINT_INDEPENDENT, NAT } from './program.js';

const NONE = -1;

export function openOut(
  nat: NatState,
  frames: FrameVector,
  i: number,
  network: number,
  slot: number,
  now: number,
): number {
  const { flows, rules } = nat;
  const family = frames.family[i]!;
  const protocol = frames.protocol[i]!;
  const at = words.wordsAt(i);
  // RFC 2827: an address that answers would not come back to, or that belongs to another endpoint.
  const home = rules.stationPort(network, family, frames.source, at);
  const isForeign = home < 0 ? !rules.isConnected(network, family, frames.source, at) : home !== frames.ingressPort[i];
  if (isForeign) return refusal(DROP.badIpSource);
  const inside = flows.internAddress(family, frames.source, at);
  const remote = flows.internAddress(family, frames.destination, at);
  if (family === 6 && (inside < 0 || remote < 0)) return refusal(DROP.natTableFull);
  const subscriber = flows.subscribers.find(slot, family, inside);
  if (subscriber >= 0 && flows.subscribers.flows(subscriber) >= rules.policy(network, NAT.flowLimit)) {
    return refusal(DROP.natFlowLimit);
  }
  if (isReserved(nat, subscriber, home >= 0)) return refusal(DROP.natTableFull);
  const insidePort = frames.sourcePort[i]!;
  const remotePort = remotePortOut(frames, i);
  const publisher = isIcmp(protocol)
    ? NONE
    : rules.findPublisher(network, protocol, family, frames.source, at, insidePort);
  let mapping = NONE;
  let outside = NONE;
  let outsidePort = 0;
  if (publisher >= 0) {
    outside = publishedAddress(nat, network, slot, family, inside, publisher);
    if (outside === NONE) return refusal(DROP.natNoPort);
    outsidePort = rules.publishedExternalPort(publisher, insidePort);
  } else {
    mapping = mappingFor(nat, network, slot, protocol, family, inside, insidePort, remote, remotePort, home >= 0, now);
    if (mapping < 0) return mapping;
    outside = flows.mappings.outsideAddress(mapping);
    outsidePort = flows.mappings.outsidePort(mapping);
  }
  // An older session may still have this outside port towards this remote endpoint: a port that was published since.
  if (flows.flows.findOutside(slot, protocol, family, remote, remotePort, outside, outsidePort) >= 0) {
    if (mapping >= 0 && flows.mappings.sessions(mapping) === 0) flows.closeMapping(mapping);
    return refusal(DROP.natNoPort);
  }
  const state = protocol === ipv4.PROTOCOL_TCP ? TCP_SYN_INSIDE : FLOW_STATELESS;
  return openFlow(
    nat,
    network,
    slot,
    protocol,
    family,
    inside,
    insidePort,
    remote,
    remotePort,
    outside,
    outsidePort,
    mapping,
    state,
    now,
  );
}

/** Session of a packet that came without one, if it may have one. */
export function openIn(
  nat: NatState,
  frames: FrameVector,
  i: number,
  network: number,
  slot: number,
  flags: number,
  now: number,
): number {
  const { flows, rules } = nat;
  const family = frames.family[i]!;
  const protocol = frames.protocol[i]!;
  const at = words.wordsAt(i);
  const port = frames.destinationPort[i]!;
  // Who answers an ICMP query was asked; nothing else comes in here (RFC 5508 REQ-1).
  if (isIcmp(protocol)) return refusal(DROP.natNoMapping);
  const published = rules.findPublished(network, protocol, family, frames.destination, at, port);
  const outside = flows.addressId(family, frames.destination, at);
  let mapping = NONE;
  if (published < 0) {
    if (family === 4 || outside >= 0) mapping = flows.mappings.findOutside(slot, protocol, family, outside, port);
    if (mapping < 0) return refusal(DROP.natNoMapping);
    if (!mayEnter(nat, frames, i, network, mapping)) return refusal(DROP.natFiltered);
  }
  if (protocol === ipv4.PROTOCOL_TCP && !isSyn(flags)) return refusal(DROP.natNoSession);
  const external = flows.internAddress(family, frames.destination, at);
  const remote = flows.internAddress(family, frames.source, at);
  let inside = NONE;
  let insidePort = 0;
  if (published >= 0) {
    inside = flows.internAddress(family, rules.published, rules.publishedInsideAt(published));
    insidePort = rules.publishedInsidePort(published, port);
  } else {
    inside = flows.mappings.insideAddress(mapping);
    insidePort = flows.mappings.insidePort(mapping);
  }
  if (family === 6 && (external < 0 || remote < 0 || inside < 0)) return refusal(DROP.natTableFull);
  if (isCrowded(nat, network, slot, family, inside)) return refusal(DROP.natFlowLimit);
  const remotePort = frames.sourcePort[i]!;
  // The inside may speak with this endpoint through another external port already.
  if (flows.flows.findInside(slot, protocol, family, inside, insidePort, remote, remotePort) >= 0) {
    return refusal(DROP.natFiltered);
  }
  const state = protocol === ipv4.PROTOCOL_TCP ? TCP_SYN_OUTSIDE : FLOW_STATELESS;
  return openFlow(
    nat,
    network,
    slot,
    protocol,
    family,
    inside,
    insidePort,
    remote,
    remotePort,
    external,
    port,
    mapping,
    state,
    now,
  );
}

/** RFC 4787 section 5. Another session of the same two endpoints is found before this is asked. */
function mayEnter(nat: NatState, frames: FrameVector, i: number, network: number, mapping: number): boolean {
  const filtering = nat.rules.policy(network, NAT.filtering);
  if (filtering === FILTERING_ENDPOINT_INDEPENDENT) return true;
  if (filtering !== FILTERING_ADDRESS_DEPENDENT) return false;
  const family = frames.family[i]!;
  const remote = nat.flows.addressId(family, frames.source, words.wordsAt(i));
  return (family === 4 || remote >= 0) && nat.flows.flows.hasRemote(mapping, remote);
}

/** The outside may use seven eighths of what an inside address may have, so that a flood leaves it able to speak itself. */
function isCrowded(nat: NatState, network: number, slot: number, family: number, inside: number): boolean {
  const { subscribers } = nat.flows;
  const row = subscribers.find(slot, family, inside);
  const limit = nat.rules.policy(network, NAT.flowLimit);
  return row >= 0 && (subscribers.flows(row) >= limit - (limit >> 3) || isReserved(nat, row, true));
}

/**
 * Whether what is left of the flow table is for others: its last 32nd is neither for an inside address that has a 256th of it nor for
 * addresses that the lab gave to nobody, of which one station can claim as many as the subnet has. The latter get nothing of the last
 * 32nd of the subscribers either.
 */
function isReserved(nat: NatState, subscriber: number, isKnown: boolean): boolean {
  const { flows, subscribers } = nat.flows;
  const { capacity } = flows;
  const most = subscribers.capacity - (subscribers.capacity >> 5);
  if (!isKnown && subscriber < 0 && subscribers.count >= most) return true;
  if (flows.count < capacity - (capacity >> 5)) return false;
  return !isKnown || (subscriber >= 0 && subscribers.flows(subscriber) >= capacity >> 8);
}

function openFlow(
  nat: NatState,
  network: number,
  slot: number,
  protocol: number,
  family: number,
  inside: number,
  insidePort: number,
  remote: number,
  remotePort: number,
  outside: number,
  outsidePort: number,
  mapping: number,
  state: number,
  now: number,
): number {
  const { flows } = nat;
  const expiresAt = (now + lifeMs(nat, network, protocol, state)) | 0;
  const session = flows.openFlow(
    slot,
    protocol,
    family,
    inside,
    insidePort,
    remote,
    remotePort,
    outside,
    outsidePort,
    mapping,
    state,
    expiresAt,
    now,
  );
  if (session >= 0) return session;
  if (mapping >= 0 && flows.mappings.sessions(mapping) === 0) flows.closeMapping(mapping);
  return refusal(DROP.natTableFull);
}
