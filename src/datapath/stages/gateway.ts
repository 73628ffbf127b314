/**
 * What the gateway itself does on its networks: ARP and neighbour discovery for its addresses, router advertisements, pings, and the
 * way of requests to its services (DNS to the service port, DHCP to the control thread).
 *
 * Reads: interest verdict family protocol destination* source* ingressPort. Writes: verdict egressPort of what was for the gateway;
 * the bytes of answered pings. Drops: no-service, bad-ip-source, service-limit.
 *
 * External addresses of an uplink are only answered for here (ARP, neighbour discovery): packets for them are the NAT's.
 * RFC 826, RFC 4861, RFC 1122 section 3.2.1.3 (sources that cannot be), RFC 4291 section 2.5.
 */

import { isIcmpError, isIcmpSound } from '../../frames/embedded-packet.js';
import {
  consume,
  drop,
  FLOOD,
  FOR_HOST,
  FOR_ROUTER,
  type FrameVector,
  forward,
  haveSameAddresses,
  LATER_FRAGMENT,
  NO_INTEREST,
  OVERHEARD,
  ROUTING,
  WHOLE,
} from '../../frames/frame-vector.js';
import * as words from '../../wire/address-words.js';
import * as arp from '../../wire/arp.js';
import * as ethernet from '../../wire/ethernet.js';
import * as icmp from '../../wire/icmp.js';
import * as icmpv6 from '../../wire/icmpv6.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as ipv6 from '../../wire/ipv6.js';
import { answerArp, answerNeighbour } from '../discovery.js';
import { DROP } from '../drop-reasons.js';
import { deliverLocally } from '../local-delivery.js';
import { isOnLink, knowsOther, learnNeighbour } from '../neighbours.js';
import { OWN_LINK_LOCAL, OWN_ROUTER_LINK_LOCAL } from '../own-addresses.js';
import { NETWORK_DHCP, OWN_GATEWAY, type Program, ROLE_UPLINK } from '../program.js';
import { advertise, isSolicited } from '../router-advertisement.js';
import { isDistributed, ownHigh, ownLow } from '../router-mac.js';
import type { RouterState } from '../router-state.js';

const PORT_DNS = 53;
const PORT_DHCP = 67;
const PORT_DHCPV6 = 547;

export function answerAsGateway(state: RouterState, program: Program, now: number): void {
  const { frames } = state;
  const { count, interest, family, etherType, verdict } = frames;
  /** A packet that is only to be routed: what is true of it is true of others with its addresses. */
  let before = -1;
  for (let i = 0; i < count; i++) {
    const why = interest[i]!;
    if (why === NO_INTEREST) continue;
    if (etherType[i] === ethernet.TYPE_ARP) hearArp(state, i, program, now);
    else if (family[i] === 0) ignore(frames, i);
    else if (isDiscovery(frames, i, state.slab.view)) hearDiscovery(state, i, program, now);
    else if (why !== FOR_HOST && (before < 0 || why !== FOR_ROUTER || !haveSameAddresses(frames, before, i))) {
      decide(state, i, program, now);
      before = why === FOR_ROUTER && verdict[i] === ROUTING ? i : -1;
    }
  }
}

/** For the MAC of the gateway, but nothing that it understands (or that the network layer has dropped already). */
function ignore(frames: FrameVector, i: number): void {
  if (frames.verdict[i] === ROUTING) drop(frames, i, DROP.noService);
}

/** Ends an arrival that was for the gateway alone; what others get as well goes on. */
function finish(frames: FrameVector, i: number): void {
  // The kernel behind the service port resolves nothing itself: what it sends is for the router like anything else.
  if (frames.interest[i] === FOR_ROUTER) consume(frames, i);
}

function hearArp(state: RouterState, i: number, program: Program, now: number): void {
  const { frames, own, scratch, slab } = state;
  const { view } = slab;
  const at = frames.l3At[i]!;
  const network = frames.network[i]!;
  if (!arp.check(view, at, frames.start[i]! + frames.length[i]! - at)) {
    ignore(frames, i);
    return;
  }
  const isRequest = arp.operation(view, at) === arp.REQUEST;
  const sender = arp.senderAddress(view, at);
  const high = arp.senderHigh(view, at);
  const low = arp.senderLow(view, at);
  scratch.fill(0, 0, 8);
  scratch[0] = arp.targetAddress(view, at);
  const ownRow = own.find(network, 4, scratch, 0);
  scratch[0] = sender;
  const isForUs = ownRow >= 0 && scratch[0] !== arp.targetAddress(view, at);
  learnNeighbour(state, network, 4, scratch, 0, high, low, isForUs || frames.interest[i] === FOR_HOST, now);
  if (isRequest && isForUs && !isService(frames, i, program)) {
    const gatewayHigh = program.gatewayMacHigh[network]!;
    const gatewayLow = program.gatewayMacLow[network]!;
    answerArp(state, i, gatewayHigh, gatewayLow, arp.targetAddress(view, at), high, low, sender);
    consume(frames, i);
  } else {
    finish(frames, i);
  }
}

function isDiscovery(frames: FrameVector, i: number, view: DataView): boolean {
  if (frames.family[i] !== 6 || frames.protocol[i] !== ipv6.PROTOCOL_ICMPV6) return false;
  return frames.fragment[i] === 0 && icmpv6.isDiscovery(icmp.type(view, frames.l4At[i]!));
}

/** RFC 4861 sections 6.1 and 7.1: what does not come from the link itself, or is damaged, is ignored. */
function isCredible(state: RouterState, i: number): boolean {
  const { frames, slab } = state;
  const { view } = slab;
  if (ipv6.hopLimit(view, frames.l3At[i]!) !== icmpv6.HOP_LIMIT || icmp.code(view, frames.l4At[i]!) !== 0) return false;
  return isIcmpSound(frames, view, i);
}

function hearDiscovery(state: RouterState, i: number, program: Program, now: number): void {
  const { frames, slab } = state;
  if (isCredible(state, i)) {
    switch (icmp.type(slab.view, frames.l4At[i]!)) {
      case icmpv6.NEIGHBOUR_SOLICITATION:
        if (hearSolicitation(state, i, program, now)) return;
        break;
      case icmpv6.NEIGHBOUR_ADVERTISEMENT:
        hearAdvertisement(state, i, now);
        break;
      case icmpv6.ROUTER_SOLICITATION:
        if (frames.interest[i] === FOR_HOST || !isSolicited(state, i, program)) break;
        advertise(state, program, i, now);
        // Of the routers of an overlay network only the nearest answers.
        if (isDistributed(program, frames.network[i]!) && frames.ingressRemote[i]! < 0) consume(frames, i);
        break;
      default:
        break;
    }
  }
  finish(frames, i);
}

/** True when it was for an address of weft and is answered. */
function hearSolicitation(state: RouterState, i: number, program: Program, now: number): boolean {
  const { frames, own, scratch, slab } = state;
  const { view } = slab;
  const at = frames.l4At[i]!;
  const end = endOfPacket(frames, i, view);
  if (at + icmpv6.NEIGHBOUR_BYTES > end) return false;
  const optionsAt = at + icmpv6.OPTIONS_OFFSET;
  if (!icmpv6.areOptionsValid(view, optionsAt, end)) return false;
  words.read(view, at + icmpv6.TARGET_OFFSET, 6, scratch, 4);
  const network = frames.network[i]!;
  const ownRow = own.find(network, 6, scratch, 4);
  if (ownRow < 0 || isService(frames, i, program)) return false;
  const row = words.wordsAt(i);
  const link = icmpv6.linkOptionAt(view, optionsAt, end, icmpv6.OPTION_SOURCE_LINK);
  const high = link < 0 ? frames.sourceHigh[i]! : view.getUint16(link);
  const low = link < 0 ? frames.sourceLow[i]! : view.getInt32(link + 2);
  if (link >= 0) learnNeighbour(state, network, 6, frames.source, row, high, low, true, now);
  const isOfHost = (own.flags(ownRow) & OWN_ROUTER_LINK_LOCAL) !== 0;
  const macHigh = isOfHost ? ownHigh(program, network) : program.gatewayMacHigh[network]!;
  const macLow = isOfHost ? ownLow(program, network) : program.gatewayMacLow[network]!;
  const targetAt = own.addressAt(ownRow);
  const { source } = frames;
  const flags = icmpv6.FLAG_ROUTER;
  const made = answerNeighbour(state, i, macHigh, macLow, flags, own.rows, targetAt, source, row, high, low);
  // Who tests whether it may have the address has none to be told at; the other hosts of an overlay have gateways of their own.
  if (made >= 0 && words.isZero(source, row) && !isDistributed(program, network)) forward(frames, made, FLOOD);
  consume(frames, i);
  return true;
}

function hearAdvertisement(state: RouterState, i: number, now: number): void {
  const { frames, scratch, slab } = state;
  const { view } = slab;
  const at = frames.l4At[i]!;
  const end = endOfPacket(frames, i, view);
  if (at + icmpv6.NEIGHBOUR_BYTES > end) return;
  const link = icmpv6.linkOptionAt(view, at + icmpv6.OPTIONS_OFFSET, end, icmpv6.OPTION_TARGET_LINK);
  words.read(view, at + icmpv6.TARGET_OFFSET, 6, scratch, 4);
  const flags = icmpv6.neighbourFlags(view, at);
  const isAnswer = (flags & icmpv6.FLAG_SOLICITED) !== 0;
  // RFC 4861 section 4.4: an answer to a unicast question may leave the option out.
  const high = link < 0 ? frames.sourceHigh[i]! : view.getUint16(link);
  const low = link < 0 ? frames.sourceLow[i]! : view.getInt32(link + 2);
  const network = frames.network[i]!;
  // RFC 4861 section 7.2.5: without the override flag, what is known stands.
  const isOverriding = (flags & icmpv6.FLAG_OVERRIDE) !== 0;
  if (!isOverriding && knowsOther(state, network, 6, scratch, 4, high, low)) return;
  learnNeighbour(state, network, 6, scratch, 4, high, low, isAnswer, now);
}

function endOfPacket(frames: FrameVector, i: number, view: DataView): number {
  const at = frames.l3At[i]!;
  return at + ipv6.HEADER_BYTES + ipv6.payloadLength(view, at);
}

function isService(frames: FrameVector, i: number, program: Program): boolean {
  return frames.ingressPort[i] === program.networkServicePort[frames.network[i]!];
}

/** An IP packet: to a service, for the gateway itself, or to be routed. */
function decide(state: RouterState, i: number, program: Program, now: number): void {
  const { frames, own } = state;
  const network = frames.network[i]!;
  const flags = program.networkFlags[network]!;
  // Each host of an overlay network serves the stations that it has.
  const mayBeServed = frames.ingressRemote[i]! < 0 && !isService(frames, i, program);
  if ((flags & NETWORK_DHCP) !== 0 && mayBeServed && isDhcp(state, i)) {
    if (state.punts.take(frames, i, now)) consume(frames, i);
    else drop(frames, i, DROP.serviceLimit);
    return;
  }
  if (frames.interest[i] === OVERHEARD || frames.verdict[i] !== ROUTING) return;
  const row = words.wordsAt(i);
  const family = frames.family[i]!;
  const mine = own.find(network, family, frames.source, row);
  if (!isService(frames, i, program)) {
    if (mine >= 0 || isImpossibleSource(frames, row, family) || isForgedOutside(state, i, program)) {
      drop(frames, i, DROP.badIpSource);
      return;
    }
  }
  const to = own.find(network, family, frames.destination, row);
  if (to < 0 || (own.flags(to) & (OWN_GATEWAY | OWN_LINK_LOCAL | OWN_ROUTER_LINK_LOCAL)) === 0) return;
  const service = program.networkServicePort[network]!;
  // The services have the addresses of the gateway, but not its link-local one.
  const mayServe = service >= 0 && service !== frames.ingressPort[i] && (own.flags(to) & OWN_GATEWAY) !== 0;
  if (mayServe && isForService(frames, i, state.slab.view)) {
    if (state.punts.allows(frames.ingressPort[i]!, now)) forward(frames, i, service);
    else drop(frames, i, DROP.serviceLimit);
    return;
  }
  deliverLocally(state, i, program);
}

/** RFC 1812 section 5.3.8: what comes over the uplink of a network is not from a station of that network. */
function isForgedOutside(state: RouterState, i: number, program: Program): boolean {
  const { frames } = state;
  const network = frames.network[i]!;
  const row = words.wordsAt(i);
  const family = frames.family[i]!;
  // Link-local addresses are the same on every link.
  if (program.networkRole[network] !== ROLE_UPLINK || words.isLinkLocal(frames.source, row, family)) return false;
  return isOnLink(state, program.networkUplink[network]!, family, frames.source, row);
}

function isImpossibleSource(frames: FrameVector, row: number, family: number): boolean {
  const { source } = frames;
  return (
    words.isZero(source, row) ||
    words.isMulticast(source, row, family) ||
    words.isLoopback(source, row, family) ||
    (family === 4 && source[row] === -1)
  );
}

/** Requests only: what a server sends comes from this port, to another. Unicast ones are for whom they name. */
function isDhcp(state: RouterState, i: number): boolean {
  const { frames, own } = state;
  if (frames.protocol[i] !== ipv4.PROTOCOL_UDP || frames.fragment[i] === LATER_FRAGMENT) return false;
  const family = frames.family[i]!;
  if (frames.destinationPort[i] !== (family === 4 ? PORT_DHCP : PORT_DHCPV6)) return false;
  const row = words.wordsAt(i);
  const { destination } = frames;
  if (words.isMulticast(destination, row, family) || (family === 4 && destination[row] === -1)) return true;
  return own.find(frames.network[i]!, family, destination, row) >= 0;
}

/** DNS, and the fragments and errors that belong to its packets. */
function isForService(frames: FrameVector, i: number, view: DataView): boolean {
  const protocol = frames.protocol[i]!;
  if (frames.fragment[i] === WHOLE && isIcmpError(frames, view, i)) return true;
  if (protocol !== ipv4.PROTOCOL_UDP && protocol !== ipv4.PROTOCOL_TCP) return false;
  return frames.fragment[i] === LATER_FRAGMENT || frames.destinationPort[i] === PORT_DNS;
}
