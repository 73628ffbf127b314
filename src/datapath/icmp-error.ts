/**
 * ICMP and ICMPv6 errors of weft's own (RFC 792, RFC 1812 section 4.3.2, RFC 4443 section 2.4): one about the packet of a row, to its
 * sender, who is reached through the MAC and the port that the packet came from.
 *
 * There is none about errors, about other fragments than the first, about what came to a group, or to senders that are no
 * station; and there are no more than tables/rate-limiter.ts lets through.
 */
import { isIcmpError } from '../frames/embedded-packet.js';
import { answer, type FrameVector, LATER_FRAGMENT } from '../frames/frame-vector.js';
import { originate } from '../frames/originate.js';
import * as words from '../wire/address-words.js';
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as icmp from '../wire/icmp.js';
import * as icmpv6 from '../wire/icmpv6.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import { ORIGIN_TTL } from './local-delivery.js';
import type { Program } from './program.js';
import type { RouterState } from './router-state.js';

/** RFC 1812 section 4.3.2.3: as much of the packet as fits into 576 bytes. RFC 4443 section 2.4 (c): 1280. */
const MAX_BYTES_V4 = 576;
const MAX_BYTES_V6 = 1280;
/** Where in `scratch` the addresses of the packet stand. */
const SOURCE = 4;
const DESTINATION = 0;

/**
 * Tells the sender of row `i`, whose bytes are as they came, of an error. `rest`: the second word of the ICMP header. The frame goes
 * out in this turn; nothing happens when it may not be told.
 */
export function tellSender(
  state: RouterState,
  program: Program,
  i: number,
  type: number,
  code: number,
  rest: number,
  now: number,
): void {
  const { frames, scratch } = state;
  const family = frames.family[i]!;
  if (family === 0) return;
  // From the bytes, which are as they came: the NAT may have given a hairpin packet other addresses in the columns.
  const l3At = frames.l3At[i]!;
  words.read(state.slab.view, l3At + (family === 4 ? 12 : 8), family, scratch, SOURCE);
  words.read(state.slab.view, l3At + (family === 4 ? 16 : 24), family, scratch, DESTINATION);
  if (!mayBeTold(state, i)) return;
  const network = frames.network[i]!;
  const speaker = state.own.speaker(network, family, scratch, SOURCE);
  if (speaker < 0) return;
  const high = program.gatewayMacHigh[network]!;
  const low = program.gatewayMacLow[network]!;
  send(state, i, state.own.rows, state.own.addressAt(speaker), high, low, type, code, rest, now);
}

/**
 * Tells the sender of row `i`, whose bytes are as they came, that its packet is larger than `mtu` (RFC 1191 section 4, RFC 4443
 * section 3.2). Where weft has no address of its own it speaks for the destination, which is the only one that the sender
 * certainly believes in: as Linux does for its tunnels (iptunnel_pmtud_build_icmp in net/ipv4/ip_tunnel_core.c).
 */
export function tellMtu(state: RouterState, program: Program, i: number, mtu: number, now: number): void {
  const { frames, scratch } = state;
  const family = frames.family[i]!;
  const type = family === 4 ? icmp.UNREACHABLE : icmpv6.PACKET_TOO_BIG;
  const code = family === 4 ? icmp.CODE_FRAGMENTATION_NEEDED : 0;
  if (family === 0 || ethernet.isGroup(frames.destinationHigh[i]!)) return;
  words.copy(frames.source, words.wordsAt(i), scratch, SOURCE);
  words.copy(frames.destination, words.wordsAt(i), scratch, DESTINATION);
  const network = frames.network[i]!;
  if (state.own.speaker(network, family, scratch, SOURCE) >= 0) {
    tellSender(state, program, i, type, code, mtu, now);
    return;
  }
  if (!mayBeTold(state, i)) return;
  const high = frames.destinationHigh[i]!;
  send(state, i, scratch, DESTINATION, high, frames.destinationLow[i]!, type, code, mtu, now);
}

/** Makes the message about row `i`, from that address and MAC to the sender in `scratch`, and sends it. */
function send(
  state: RouterState,
  i: number,
  from: Int32Array,
  fromAt: number,
  high: number,
  low: number,
  type: number,
  code: number,
  rest: number,
  now: number,
): void {
  const { frames } = state;
  const network = frames.network[i]!;
  const family = frames.family[i]!;
  if (!state.errors.take(frames.ingressPort[i]!, now)) return;
  const row =
    family === 4
      ? writeV4(state, i, from, fromAt, type, code, rest)
      : writeV6(state, i, from, fromAt, type, code, rest);
  if (row < 0) return;
  const etherType = family === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
  const start = frames.start[row]!;
  ethernet.write(state.slab.view, start, frames.sourceHigh[i]!, frames.sourceLow[i]!, high, low, etherType);
  frames.network[row] = network;
  frames.vlan[row] = frames.vlan[i]!;
  answer(frames, row, i);
}

/** Looks at the addresses in `scratch`. */
function mayBeTold(state: RouterState, i: number): boolean {
  const { frames, slab, scratch } = state;
  const family = frames.family[i]!;
  if (frames.fragment[i] === LATER_FRAGMENT || words.isZero(scratch, SOURCE)) return false;
  if (words.isMulticast(scratch, SOURCE, family) || words.isLoopback(scratch, SOURCE, family)) return false;
  if (words.isMulticast(scratch, DESTINATION, family)) return false;
  if (family === 4) {
    // 0/8 and 240/4 are no stations, and nothing is told of broadcasts.
    if (scratch[SOURCE]! >>> 28 === 0xf || scratch[SOURCE]! >>> 24 === 0 || isBroadcast(state, i)) return false;
  }
  return !isIcmpError(frames, slab.view, i);
}

/** Whether the IPv4 destination in `scratch` is all stations, or those of a subnet of the network that the packet would leave through. */
function isBroadcast({ frames, own, scratch }: RouterState, i: number): boolean {
  const to = scratch[DESTINATION]!;
  const network = frames.egressNetwork[i]!;
  if (to === -1 || network < 0) return to === -1;
  const subnet = own.speaker(network, 4, scratch, DESTINATION);
  if (subnet < 0) return false;
  const length = own.prefixLength(subnet);
  const isOfSubnet = words.hasPrefix(own.rows, own.addressAt(subnet), scratch, DESTINATION, length);
  return isOfSubnet && length < 31 && (to | (-1 >>> length)) === to;
}

/** Bytes of the IP packet of row `i`. */
function packetBytes(frames: FrameVector, i: number, view: DataView): number {
  const at = frames.l3At[i]!;
  if (frames.family[i] === 4) return ipv4.totalLength(view, at);
  return ipv6.HEADER_BYTES + ipv6.payloadLength(view, at);
}

function writeV4(
  state: RouterState,
  i: number,
  speaker: Int32Array,
  speakerAt: number,
  type: number,
  code: number,
  rest: number,
): number {
  const { frames, scratch, slab } = state;
  const { view } = slab;
  const headers = ipv4.HEADER_BYTES + icmp.HEADER_BYTES;
  const quoted = Math.min(packetBytes(frames, i, view), MAX_BYTES_V4 - headers);
  const row = originate(frames, slab, ethernet.HEADER_BYTES + headers + quoted);
  if (row < 0) return -1;
  const at = frames.l3At[row]!;
  const from = frames.l3At[i]!;
  const source = speaker[speakerAt]!;
  const to = scratch[SOURCE]!;
  ipv4.write(view, at, headers + quoted, 0, ORIGIN_TTL, ipv4.PROTOCOL_ICMP, source, to);
  const messageAt = at + ipv4.HEADER_BYTES;
  icmp.writeHeader(view, messageAt, type, code, rest);
  slab.bytes.copyWithin(messageAt + icmp.HEADER_BYTES, from, from + quoted);
  const total = checksum.sum(view, messageAt, icmp.HEADER_BYTES + quoted, 0);
  icmp.setChecksum(view, messageAt, checksum.finish(total));
  return row;
}

function writeV6(
  state: RouterState,
  i: number,
  speaker: Int32Array,
  speakerAt: number,
  type: number,
  code: number,
  rest: number,
): number {
  const { frames, scratch, slab } = state;
  const { view } = slab;
  const headers = ipv6.HEADER_BYTES + icmp.HEADER_BYTES;
  const quoted = Math.min(packetBytes(frames, i, view), MAX_BYTES_V6 - headers);
  const row = originate(frames, slab, ethernet.HEADER_BYTES + headers + quoted);
  if (row < 0) return -1;
  const at = frames.l3At[row]!;
  const from = frames.l3At[i]!;
  const bytes = icmp.HEADER_BYTES + quoted;
  ipv6.write(view, at, bytes, ipv6.PROTOCOL_ICMPV6, ORIGIN_TTL, speaker, speakerAt, scratch, SOURCE);
  const messageAt = at + ipv6.HEADER_BYTES;
  icmp.writeHeader(view, messageAt, type, code, rest);
  slab.bytes.copyWithin(messageAt + icmp.HEADER_BYTES, from, from + quoted);
  const pseudo = checksum.pseudoSum(view, at, 6, ipv6.PROTOCOL_ICMPV6, bytes);
  icmp.setChecksum(view, messageAt, checksum.finish(checksum.sum(view, messageAt, bytes, pseudo)));
  return row;
}
