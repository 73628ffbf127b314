/**
 * The messages by which stations find each other's MACs, as weft sends them: ARP (RFC 826), neighbour solicitation and
 * advertisement (RFC 4861). Each is an originated frame with its fate decided; when a turn has made as many as it may, the
 * message is not sent, and whoever asks asks again.
 */
import { answer, FLOOD } from '../frames/frame-vector.js';
import { originate } from '../frames/originate.js';
import * as words from '../wire/address-words.js';
import * as arp from '../wire/arp.js';
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as icmp from '../wire/icmp.js';
import * as icmpv6 from '../wire/icmpv6.js';
import * as ipv6 from '../wire/ipv6.js';
import { forwardTo } from './locations.js';
import type { Program } from './program.js';
import { isDistributed, ownHigh, ownLow } from './router-mac.js';
import type { RouterState } from './router-state.js';

const BROADCAST_HIGH = 0xffff;
const BROADCAST_LOW = -1;
/** ff02::1:ff00:0/104, and its Ethernet form 33:33 (RFC 4291 section 2.7.1, RFC 2464 section 7). */
const SOLICITED_NODE = Int32Array.of(0xff020000 | 0, 0, 1, 0xff000000 | 0);
export const MULTICAST_HIGH = 0x3333;
/** ff02::1, and the end of its Ethernet form. */
const ALL_NODES_LOW = 1;
const ALL_NODES = Int32Array.of(0xff020000 | 0, 0, 0, 1);

/** Ends the fate of an originated row: to where the MAC was heard on the network, or to all. */
export function sendTo(
  state: RouterState,
  program: Program,
  row: number,
  network: number,
  macHigh: number,
  macLow: number,
  now: number,
): void {
  state.frames.network[row] = network;
  forwardTo(state.frames, row, program, network, locationOf(state, program, network, macHigh, macLow, now));
}

/** Where a MAC is (locations.ts), FLOOD when nobody knows or it is a group. */
export function locationOf(
  state: RouterState,
  program: Program,
  network: number,
  macHigh: number,
  macLow: number,
  now: number,
): number {
  if (ethernet.isGroup(macHigh)) return FLOOD;
  const location = state.macs.find(network, 0, macHigh, macLow, now, program.networkAgeingMs[network]!);
  return location < 0 ? FLOOD : location;
}

/**
 * Asks for the MAC of an IPv4 address: of all, or of the one that had it. Where the router is on several hosts it asks without telling
 * (RFC 5227 section 1.1: a sender address of zero), with the MAC of this host: with the gateway's address, which is
 * that of all of them, stations would believe that the gateway has moved there.
 */
export function askArp(
  state: RouterState,
  program: Program,
  network: number,
  target: Int32Array,
  targetAt: number,
  macHigh: number,
  macLow: number,
  now: number,
): void {
  const speaker = isDistributed(program, network) ? -1 : state.own.speaker(network, 4, target, targetAt);
  const sender = speaker < 0 ? 0 : state.own.rows[state.own.addressAt(speaker)]!;
  const isUnicast = (macHigh | macLow) !== 0;
  const toHigh = isUnicast ? macHigh : BROADCAST_HIGH;
  const toLow = isUnicast ? macLow : BROADCAST_LOW;
  const high = ownHigh(program, network);
  const low = ownLow(program, network);
  const row = startArp(state, high, low, toHigh, toLow);
  if (row < 0) return;
  arp.write(state.slab.view, state.frames.l3At[row]!, arp.REQUEST, high, low, sender, 0, 0, target[targetAt]!);
  sendTo(state, program, row, network, toHigh, toLow, now);
}

/** Answers the question of row `i`: `address` is at the MAC `fromHigh`, `fromLow`. */
export function answerArp(
  state: RouterState,
  i: number,
  fromHigh: number,
  fromLow: number,
  address: number,
  macHigh: number,
  macLow: number,
  target: number,
): boolean {
  const { frames } = state;
  const row = startArp(state, fromHigh, fromLow, macHigh, macLow);
  if (row < 0) return false;
  arp.write(state.slab.view, frames.l3At[row]!, arp.REPLY, fromHigh, fromLow, address, macHigh, macLow, target);
  frames.network[row] = frames.network[i]!;
  answer(frames, row, i);
  return true;
}

function startArp(state: RouterState, fromHigh: number, fromLow: number, toHigh: number, toLow: number): number {
  const row = originate(state.frames, state.slab, ethernet.HEADER_BYTES + arp.PACKET_BYTES);
  if (row < 0) return -1;
  ethernet.write(state.slab.view, state.frames.start[row]!, toHigh, toLow, fromHigh, fromLow, ethernet.TYPE_ARP);
  return row;
}

/**
 * Asks for the MAC of an IPv6 address: its solicited-node group, or the one that had it (RFC 4861 section 7.2.2). Where the router is
 * on several hosts it asks from the link-local address of this one: a question from the unspecified address would
 * be taken for another station's duplicate address detection.
 */
export function askNeighbour(
  state: RouterState,
  program: Program,
  network: number,
  target: Int32Array,
  targetAt: number,
  macHigh: number,
  macLow: number,
  now: number,
): void {
  const { frames, own, scratch, slab } = state;
  const speaker = isDistributed(program, network)
    ? own.routerLinkLocal(network)
    : own.speaker(network, 6, target, targetAt);
  if (speaker < 0) return;
  const isUnicast = (macHigh | macLow) !== 0;
  words.copy(isUnicast ? target : SOLICITED_NODE, isUnicast ? targetAt : 0, scratch, 0);
  if (!isUnicast) scratch[3] = 0xff000000 | (target[targetAt + 3]! & 0xffffff);
  const toHigh = isUnicast ? macHigh : MULTICAST_HIGH;
  const toLow = isUnicast ? macLow : scratch[3]!;
  const high = ownHigh(program, network);
  const low = ownLow(program, network);
  const bytes = icmpv6.NEIGHBOUR_WITH_LINK_BYTES;
  const row = originateIpv6(state, high, low, toHigh, toLow, own.rows, own.addressAt(speaker), scratch, 0, bytes);
  if (row < 0) return;
  const at = frames.l3At[row]! + ipv6.HEADER_BYTES;
  icmp.writeHeader(slab.view, at, icmpv6.NEIGHBOUR_SOLICITATION, 0, 0);
  writeTarget(slab.view, at, target, targetAt, icmpv6.OPTION_SOURCE_LINK, high, low);
  finishIcmpv6(state, row, bytes);
  sendTo(state, program, row, network, toHigh, toLow, now);
}

/**
 * Answers the question of row `i` (RFC 4861 section 7.2.4): `target` is at the MAC `fromHigh`, `fromLow`. A question from the
 * unspecified address (duplicate address detection) is answered to all nodes, and is not called an answer. `flags`: FLAG_ROUTER, or 0.
 * `to`: who asked, at which MAC. Returns the originated row, or -1.
 */
export function answerNeighbour(
  state: RouterState,
  i: number,
  fromHigh: number,
  fromLow: number,
  flags: number,
  target: Int32Array,
  targetAt: number,
  to: Int32Array,
  toAt: number,
  macHigh: number,
  macLow: number,
): number {
  const { frames, slab } = state;
  const isToAll = words.isZero(to, toAt);
  const toHigh = isToAll ? MULTICAST_HIGH : macHigh;
  const toLow = isToAll ? ALL_NODES_LOW : macLow;
  const bytes = icmpv6.NEIGHBOUR_WITH_LINK_BYTES;
  const address = isToAll ? ALL_NODES : to;
  const addressAt = isToAll ? 0 : toAt;
  const row = originateIpv6(state, fromHigh, fromLow, toHigh, toLow, target, targetAt, address, addressAt, bytes);
  if (row < 0) return -1;
  const at = frames.l3At[row]! + ipv6.HEADER_BYTES;
  const all = flags | icmpv6.FLAG_OVERRIDE | (isToAll ? 0 : icmpv6.FLAG_SOLICITED);
  icmp.writeHeader(slab.view, at, icmpv6.NEIGHBOUR_ADVERTISEMENT, 0, all << 24);
  writeTarget(slab.view, at, target, targetAt, icmpv6.OPTION_TARGET_LINK, fromHigh, fromLow);
  finishIcmpv6(state, row, bytes);
  frames.network[row] = frames.network[i]!;
  answer(frames, row, i);
  return row;
}

/** Target and link-layer address option of a neighbour message at `at`. */
function writeTarget(
  view: DataView,
  at: number,
  target: Int32Array,
  targetAt: number,
  option: number,
  macHigh: number,
  macLow: number,
): void {
  words.write(view, at + icmpv6.TARGET_OFFSET, 6, target, targetAt);
  icmpv6.writeLinkOption(view, at + icmpv6.OPTIONS_OFFSET, option, macHigh, macLow);
}

/** Ethernet and IPv6 header of an originated ICMPv6 message of `bytes`, with the hop limit of neighbour discovery. */
export function originateIpv6(
  state: RouterState,
  fromHigh: number,
  fromLow: number,
  toHigh: number,
  toLow: number,
  source: Int32Array,
  sourceAt: number,
  to: Int32Array,
  toAt: number,
  bytes: number,
): number {
  const { frames, slab } = state;
  const row = originate(frames, slab, ethernet.HEADER_BYTES + ipv6.HEADER_BYTES + bytes);
  if (row < 0) return -1;
  ethernet.write(slab.view, frames.start[row]!, toHigh, toLow, fromHigh, fromLow, ethernet.TYPE_IPV6);
  const at = frames.l3At[row]!;
  ipv6.write(slab.view, at, bytes, ipv6.PROTOCOL_ICMPV6, icmpv6.HOP_LIMIT, source, sourceAt, to, toAt);
  return row;
}

/** Writes the checksum of the ICMPv6 message of `bytes` behind the IPv6 header of an originated row. */
export function finishIcmpv6(state: RouterState, row: number, bytes: number): void {
  const { view } = state.slab;
  const l3At = state.frames.l3At[row]!;
  const at = l3At + ipv6.HEADER_BYTES;
  icmp.setChecksum(view, at, 0);
  const pseudo = checksum.pseudoSum(view, l3At, 6, ipv6.PROTOCOL_ICMPV6, bytes);
  icmp.setChecksum(view, at, checksum.finish(checksum.sum(view, at, bytes, pseudo)));
}
