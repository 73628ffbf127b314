/**
 * ICMP and ICMPv6 errors of weft's own (RFC 792, RFC 1812 section 4.3.2, RFC 4443 section 2.4): one about the packet of a row, to its
 * sender, who is reached through the MAC and the port that the packet came from.
 *
 * There is none about errors, about other fragments than the first, about what came to a group, or to senders that are no
 * station; and there are no more than tables/rate-limiter.ts lets through.
 */
import { isIcmpError } from '../frames/embedded-packet.js';
import { type FrameVector, forward, LATER_FRAGMENT } from '../frames/frame-vector.js';
import { originate } from '../frames/originate.js';
import * as words from '../wire/address-words.js';
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as icmp from '../wire/icmp.js';
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
  if (speaker < 0 || !state.errors.take(network, now)) return;
  const row =
    family === 4 ? writeV4(state, i, speaker, type, code, rest) : writeV6(state, i, speaker, type, code, rest);
  if (row < 0) return;
  const high = program.gatewayMacHigh[network]!;
  const low = program.gatewayMacLow[network]!;
  const etherType = family === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
  const start = frames.start[row]!;
  ethernet.write(state.slab.view, start, frames.sourceHigh[i]!, frames.sourceLow[i]!, high, low, etherType);
  frames.network[row] = network;
  forward(frames, row, frames.ingressPort[i]!);
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
    if (scratch[SOURCE]! >>> 28 === 0xf || scratch[SOURCE]! >>> 24 === 0 || scratch[DESTINATION] === -1) return false;
  }
  return !isIcmpError(frames, slab.view, i);
}

/** Bytes of the IP packet of row `i`. */
function packetBytes(frames: FrameVector, i: number, view: DataView): number {
  const at = frames.l3At[i]!;
  if (frames.family[i] === 4) return ipv4.totalLength(view, at);
  return ipv6.HEADER_BYTES + ipv6.payloadLength(view, at);
}

function writeV4(state: RouterState, i: number, speaker: number, type: number, code: number, rest: number): number {
  const { frames, own, scratch, slab } = state;
  const { view } = slab;
  const headers = ipv4.HEADER_BYTES + icmp.HEADER_BYTES;
  const quoted = Math.min(packetBytes(frames, i, view), MAX_BYTES_V4 - headers);
  const row = originate(frames, slab, ethernet.HEADER_BYTES + headers + quoted);
  if (row < 0) return -1;
  const at = frames.l3At[row]!;
  const from = frames.l3At[i]!;
  const source = own.rows[own.addressAt(speaker)]!;
  const to = scratch[SOURCE]!;
  ipv4.write(view, at, headers + quoted, 0, ORIGIN_TTL, ipv4.PROTOCOL_ICMP, source, to);
  const messageAt = at + ipv4.HEADER_BYTES;
  icmp.writeHeader(view, messageAt, type, code, rest);
  slab.bytes.copyWithin(messageAt + icmp.HEADER_BYTES, from, from + quoted);
  const total = checksum.sum(view, messageAt, icmp.HEADER_BYTES + quoted, 0);
  icmp.setChecksum(view, messageAt, checksum.finish(total));
  return row;
}

function writeV6(state: RouterState, i: number, speaker: number, type: number, code: number, rest: number): number {
  const { frames, own, scratch, slab } = state;
  const { view } = slab;
  const headers = ipv6.HEADER_BYTES + icmp.HEADER_BYTES;
  const quoted = Math.min(packetBytes(frames, i, view), MAX_BYTES_V6 - headers);
  const row = originate(frames, slab, ethernet.HEADER_BYTES + headers + quoted);
  if (row < 0) return -1;
  const at = frames.l3At[row]!;
  const from = frames.l3At[i]!;
  const bytes = icmp.HEADER_BYTES + quoted;
  const sourceAt = own.addressAt(speaker);
  ipv6.write(view, at, bytes, ipv6.PROTOCOL_ICMPV6, ORIGIN_TTL, own.rows, sourceAt, scratch, SOURCE);
  const messageAt = at + ipv6.HEADER_BYTES;
  icmp.writeHeader(view, messageAt, type, code, rest);
  slab.bytes.copyWithin(messageAt + icmp.HEADER_BYTES, from, from + quoted);
  const pseudo = checksum.pseudoSum(view, at, 6, ipv6.PROTOCOL_ICMPV6, bytes);
  icmp.setChecksum(view, messageAt, checksum.finish(checksum.sum(view, messageAt, bytes, pseudo)));
  return row;
}
