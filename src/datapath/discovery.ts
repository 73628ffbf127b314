/**
 * The messages by which stations find each other's MACs, as weft sends them: ARP (RFC 826), neighbour solicitation and
 * advertisement (RFC 4861). Each is an originated frame with its fate decided; when a turn has made as many as it may, the
 * message is not sent, and whoever asks asks again.
 */
import { FLOOD, forward } from '../frames/frame-vector.js';
import { originate } from '../frames/originate.js';
import * as words from '../wire/address-words.js';
import * as arp from '../wire/arp.js';
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as icmp from '../wire/icmp.js';
import * as icmpv6 from '../wire/icmpv6.js';
import * as ipv6 from '../wire/ipv6.js';
import type { Program } from './program.js';
import type { RouterState } from './router-state.js';

const BROADCAST_HIGH = 0xffff;
const BROADCAST_LOW = -1;
/** ff02::1:ff00:0/104, and its Ethernet form 33:33 (RFC 4291 section 2.7.1, RFC 2464 section 7). */
const SOLICITED_NODE = Int32Array.of(0xff020000 | 0, 0, 1, 0xff000000 | 0);
export const MULTICAST_HIGH = 0x3333;
/** ff02::1. */
const ALL_NODES = Int32Array.of(0xff020000 | 0, 0, 0, 1);

/** Ends the fate of an originated row: to the port where the MAC was heard on the network, or to all. */
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
  forward(state.frames, row, portOf(state, program, network, macHigh, macLow, now));
}

/** Port behind which a MAC is, FLOOD when nobody knows or it is a group. */
export function portOf(
  state: RouterState,
  program: Program,
  network: number,
  macHigh: number,
  macLow: number,
  now: number,
): number {
  if (ethernet.isGroup(macHigh)) return FLOOD;
  const port = state.macs.find(network, 0, macHigh, macLow, now, program.networkAgeingMs[network]!);
  return port < 0 ? FLOOD : port;
}

/** Asks for the MAC of an IPv4 address: of all, or of the one that had it. */
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
  const speaker = state.own.speaker(network, 4, target, targetAt);
  // RFC 5227 section 1.1: a sender address of zero asks without telling.
  const sender = speaker < 0 ? 0 : state.own.rows[state.own.addressAt(speaker)]!;
  const isUnicast = (macHigh | macLow) !== 0;
  const toHigh = isUnicast ? macHigh : BROADCAST_HIGH;
  const toLow = isUnicast ? macLow : BROADCAST_LOW;
  const row = startArp(state, program, network, toHigh, toLow);
  if (row < 0) return;
  const at = state.frames.l3At[row]!;
  const high = program.gatewayMacHigh[network]!;
  const low = program.gatewayMacLow[network]!;
  arp.write(state.slab.view, at, arp.REQUEST, high, low, sender, 0, 0, target[targetAt]!);
  sendTo(state, program, row, network, toHigh, toLow, now);
}

/** Answers that `sender`, an address of weft, is at the MAC of the gateway. `port`: where the question came from. */
export function answerArp(
  state: RouterState,
  program: Program,
  network: number,
  port: number,
  sender: number,
  macHigh: number,
  macLow: number,
  target: number,
): void {
  const row = startArp(state, program, network, macHigh, macLow);
  if (row < 0) return;
  const at = state.frames.l3At[row]!;
  const high = program.gatewayMacHigh[network]!;
  const low = program.gatewayMacLow[network]!;
  arp.write(state.slab.view, at, arp.REPLY, high, low, sender, macHigh, macLow, target);
  state.frames.network[row] = network;
  forward(state.frames, row, port);
}

function startArp(state: RouterState, program: Program, network: number, toHigh: number, toLow: number): number {
  const row = originate(state.frames, state.slab, ethernet.HEADER_BYTES + arp.PACKET_BYTES);
  if (row < 0) return -1;
  const high = program.gatewayMacHigh[network]!;
  const low = program.gatewayMacLow[network]!;
  ethernet.write(state.slab.view, state.frames.start[row]!, toHigh, toLow, high, low, ethernet.TYPE_ARP);
  return row;
}

/** Asks for the MAC of an IPv6 address: its solicited-node group, or the one that had it (RFC 4861 section 7.2.2). */
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
  const speaker = own.speaker(network, 6, target, targetAt);
  if (speaker < 0) return;
  const isUnicast = (macHigh | macLow) !== 0;
  words.copy(isUnicast ? target : SOLICITED_NODE, isUnicast ? targetAt : 0, scratch, 0);
  if (!isUnicast) scratch[3] = 0xff000000 | (target[targetAt + 3]! & 0xffffff);
  const toHigh = isUnicast ? macHigh : MULTICAST_HIGH;
  const toLow = isUnicast ? macLow : scratch[3]!;
  const row = originateIpv6(
    state,
    program,
    network,
    toHigh,
    toLow,
    own.rows,
    own.addressAt(speaker),
    scratch,
    0,
    icmpv6.NEIGHBOUR_WITH_LINK_BYTES,
  );
  if (row < 0) return;
  const at = frames.l3At[row]! + ipv6.HEADER_BYTES;
  icmp.writeHeader(slab.view, at, icmpv6.NEIGHBOUR_SOLICITATION, 0, 0);
  writeTarget(state, program, network, at, target, targetAt, icmpv6.OPTION_SOURCE_LINK);
  finishIcmpv6(state, row, icmpv6.NEIGHBOUR_WITH_LINK_BYTES);
  sendTo(state, program, row, network, toHigh, toLow, now);
}

/**
 * Says that `target`, an address of weft, is at the MAC of the gateway (RFC 4861 section 7.2.4). A question from the
 * unspecified address (duplicate address detection) is answered to all nodes, and is not called an answer.
 */
export function answerNeighbour(
  state: RouterState,
  program: Program,
  network: number,
  port: number,
  target: Int32Array,
  targetAt: number,
  to: Int32Array,
  toAt: number,
  macHigh: number,
  macLow: number,
): void {
  const { frames, slab } = state;
  const isToAll = words.isZero(to, toAt);
  const row = originateIpv6(
    state,
    program,
    network,
    isToAll ? MULTICAST_HIGH : macHigh,
    isToAll ? 1 : macLow,
    target,
    targetAt,
    isToAll ? ALL_NODES : to,
    isToAll ? 0 : toAt,
    icmpv6.NEIGHBOUR_WITH_LINK_BYTES,
  );
  if (row < 0) return;
  const at = frames.l3At[row]! + ipv6.HEADER_BYTES;
  const flags = icmpv6.FLAG_ROUTER | icmpv6.FLAG_OVERRIDE | (isToAll ? 0 : icmpv6.FLAG_SOLICITED);
  icmp.writeHeader(slab.view, at, icmpv6.NEIGHBOUR_ADVERTISEMENT, 0, flags << 24);
  writeTarget(state, program, network, at, target, targetAt, icmpv6.OPTION_TARGET_LINK);
  finishIcmpv6(state, row, icmpv6.NEIGHBOUR_WITH_LINK_BYTES);
  frames.network[row] = network;
  forward(frames, row, isToAll ? FLOOD : port);
}

/** Target and link-layer address option of a neighbour message at `at`. */
function writeTarget(
  state: RouterState,
  program: Program,
  network: number,
  at: number,
  target: Int32Array,
  targetAt: number,
  option: number,
): void {
  const { view } = state.slab;
  words.write(view, at + icmpv6.TARGET_OFFSET, 6, target, targetAt);
  const high = program.gatewayMacHigh[network]!;
  icmpv6.writeLinkOption(view, at + icmpv6.OPTIONS_OFFSET, option, high, program.gatewayMacLow[network]!);
}

/** Ethernet and IPv6 header of an originated ICMPv6 message of `bytes`, with the hop limit of neighbour discovery. */
export function originateIpv6(
  state: RouterState,
  program: Program,
  network: number,
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
  const start = frames.start[row]!;
  const high = program.gatewayMacHigh[network]!;
  const low = program.gatewayMacLow[network]!;
  ethernet.write(slab.view, start, toHigh, toLow, high, low, ethernet.TYPE_IPV6);
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
