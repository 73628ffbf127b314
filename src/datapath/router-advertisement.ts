/**
 * Router advertisements (RFC 4861 section 6.2): the gateway says that it is there, which prefixes are on the link, how large packets may be,
 * and which resolver to use (RFC 8106). To those who ask at once, to all every few minutes.
 *
 * A station makes an address of its own (RFC 4862) of a prefix of 64 bits; longer and shorter ones are only on the link.
 */
import { answer, FLOOD, forward } from '../frames/frame-vector.js';
import { mix3 } from '../lib/hash32.js';
import * as words from '../wire/address-words.js';
import * as icmp from '../wire/icmp.js';
import * as icmpv6 from '../wire/icmpv6.js';
import * as ipv6 from '../wire/ipv6.js';
import { finishIcmpv6, MULTICAST_HIGH, originateIpv6 } from './discovery.js';
import { ORIGIN_TTL } from './local-delivery.js';
import { NETWORK_ADVERTISE, NETWORK_DHCP, OWN_GATEWAY, type Program } from './program.js';
import type { RouterState } from './router-state.js';

/** Between two to all: 200 s on average; behind each of the first three at most 16 s (RFC 4861 section 10), 12.8 s on average. */
const INTERVAL_MS = 200_000;
const INITIAL_INTERVAL_MS = 12_800;
const INITIAL_COUNT = 3;
/** In place of a count: the gateway has to say that it is none any more. */
const STOPPING = 255;
/** More than three times the longest interval between two that are not asked for. */
const ROUTER_LIFETIME_S = 1800;
/** RFC 9096 section 3.4 recommends less than the month of RFC 4861, so that stations forget a prefix that has changed. */
const PREFERRED_LIFETIME_S = 2700;
const VALID_LIFETIME_S = 5400;
/** On the link, and for addresses of stations' own. */
const PREFIX_ON_LINK = 0x80;
const PREFIX_AUTONOMOUS = 0x40;
/** Addresses, and more than that, are to be had by DHCPv6: M and O of RFC 4861 section 4.2. */
const FLAGS_DHCP = 0xc0;
const HEADER_BYTES = 16;
const LINK_BYTES = 8;
const MTU_BYTES = 8;
const PREFIX_BYTES = 32;
const DNS_BYTES = 24;
/** Prefixes of one advertisement; a network has few subnets. */
const MAX_PREFIXES = 16;

const ALL_NODES = Int32Array.of(0xff020000 | 0, 0, 0, 1);
const ALL_NODES_LOW = 1;

/** Whether the solicitation of row `i` is one, and the network advertises. */
export function isSolicited(state: RouterState, i: number, program: Program): boolean {
  const { frames, slab } = state;
  if ((program.networkFlags[frames.network[i]!]! & NETWORK_ADVERTISE) === 0) return false;
  const l3At = frames.l3At[i]!;
  const at = frames.l4At[i]!;
  const end = l3At + ipv6.HEADER_BYTES + ipv6.payloadLength(slab.view, l3At);
  return (
    end >= at + icmpv6.SOLICITATION_BYTES && icmpv6.areOptionsValid(slab.view, at + icmpv6.SOLICITATION_BYTES, end)
  );
}

/** Answers the solicitation of row `i`, to its sender alone: by its MAC, which also reaches who has no address yet (RFC 6085). */
export function advertise(state: RouterState, program: Program, i: number, now: number): void {
  const { frames } = state;
  const network = frames.network[i]!;
  if (!state.errors.take(frames.ingressPort[i]!, now)) return;
  const row = words.wordsAt(i);
  const isAnonymous = words.isZero(frames.source, row);
  const to = isAnonymous ? ALL_NODES : frames.source;
  const high = frames.sourceHigh[i]!;
  const low = frames.sourceLow[i]!;
  const made = write(state, program, network, high, low, to, isAnonymous ? 0 : row, ROUTER_LIFETIME_S);
  if (made < 0) return;
  frames.network[made] = network;
  answer(frames, made, i);
}

/** Advertises to all where it is time to. */
export function tickAdvertisements(state: RouterState, program: Program, now: number): void {
  const { frames, advertisedCount, advertiseDueMs } = state;
  for (let network = 0; network < program.networkCount; network++) {
    const isStopping = advertisedCount[network] === STOPPING;
    if (!isStopping && (program.networkFlags[network]! & NETWORK_ADVERTISE) === 0) continue;
    if (state.own.linkLocal(network) < 0 || ((now - advertiseDueMs[network]!) | 0) < 0) continue;
    const lifetime = isStopping ? 0 : ROUTER_LIFETIME_S;
    const made = write(state, program, network, MULTICAST_HIGH, ALL_NODES_LOW, ALL_NODES, 0, lifetime);
    if (made < 0) return;
    frames.network[made] = network;
    forward(frames, made, FLOOD);
    if (isStopping) {
      advertisedCount[network] = 0;
      continue;
    }
    const isInitial = advertisedCount[network]! < INITIAL_COUNT;
    if (isInitial) advertisedCount[network]!++;
    const interval = isInitial ? INITIAL_INTERVAL_MS : INTERVAL_MS;
    // Spread by a quarter either way, so that routers do not fall into step (RFC 4861 section 6.2.4).
    const spread = (mix3(now, network, program.networkKey[network]!, 0) >>> 1) % (interval >> 1);
    advertiseDueMs[network] = now + interval - (interval >> 2) + spread;
  }
}

/** Advertises soon on networks that did not before, and for a last time on those that do not any more (section 6.2.5). @coldPath once per program */
export function adoptAdvertisements(state: RouterState, next: Program, now: number): void {
  const before = state.program;
  for (let network = 0; network < next.networkCount; network++) {
    const isSame = network < before.networkCount && before.networkKey[network] === next.networkKey[network];
    const was = isSame && (before.networkFlags[network]! & NETWORK_ADVERTISE) !== 0;
    const is = (next.networkFlags[network]! & NETWORK_ADVERTISE) !== 0;
    if (was === is && isSame) continue;
    state.advertisedCount[network] = was ? STOPPING : 0;
    state.advertiseDueMs[network] = now;
  }
}

function write(
  state: RouterState,
  program: Program,
  network: number,
  toHigh: number,
  toLow: number,
  to: Int32Array,
  toAt: number,
  lifetimeSeconds: number,
): number {
  const { frames, own, slab } = state;
  const source = own.linkLocal(network);
  if (source < 0) return -1;
  const first = own.firstOf(network);
  const end = first + own.countOf(network);
  let prefixes = 0;
  for (let n = first; n < end; n++) if (isPrefix(state, n)) prefixes++;
  prefixes = Math.min(prefixes, MAX_PREFIXES);
  const hasDns = program.networkServicePort[network]! >= 0 && prefixes > 0;
  const bytes = HEADER_BYTES + LINK_BYTES + MTU_BYTES + prefixes * PREFIX_BYTES + (hasDns ? DNS_BYTES : 0);
  const high = program.gatewayMacHigh[network]!;
  const low = program.gatewayMacLow[network]!;
  const row = originateIpv6(state, high, low, toHigh, toLow, own.rows, own.addressAt(source), to, toAt, bytes);
  if (row < 0) return -1;
  const { view } = slab;
  const messageAt = frames.l3At[row]! + ipv6.HEADER_BYTES;
  const flags = (program.networkFlags[network]! & NETWORK_DHCP) !== 0 ? FLAGS_DHCP : 0;
  const rest = (ORIGIN_TTL << 24) | (flags << 16) | lifetimeSeconds;
  icmp.writeHeader(view, messageAt, icmpv6.ROUTER_ADVERTISEMENT, 0, rest);
  view.setInt32(messageAt + 8, 0);
  view.setInt32(messageAt + 12, 0);
  let at = messageAt + HEADER_BYTES;
  icmpv6.writeLinkOption(view, at, icmpv6.OPTION_SOURCE_LINK, high, low);
  at += LINK_BYTES;
  view.setInt32(at, (icmpv6.OPTION_MTU << 24) | (1 << 16));
  view.setInt32(at + 4, program.networkMtu[network]!);
  at += MTU_BYTES;
  let resolver = -1;
  for (let n = first; n < end && prefixes > 0; n++) {
    if (!isPrefix(state, n)) continue;
    if (resolver < 0) resolver = n;
    writePrefix(state, at, n);
    at += PREFIX_BYTES;
    prefixes--;
  }
  if (hasDns) writeResolver(state, at, resolver);
  finishIcmpv6(state, row, bytes);
  return row;
}

function isPrefix(state: RouterState, row: number): boolean {
  return state.own.family(row) === 6 && (state.own.flags(row) & OWN_GATEWAY) !== 0;
}

/** RFC 4861 section 4.6.2. */
function writePrefix(state: RouterState, at: number, row: number): void {
  const { own, slab } = state;
  const { view } = slab;
  const length = own.prefixLength(row);
  view.setUint8(at, icmpv6.OPTION_PREFIX);
  view.setUint8(at + 1, PREFIX_BYTES >> 3);
  view.setUint8(at + 2, length);
  view.setUint8(at + 3, length === 64 ? PREFIX_ON_LINK | PREFIX_AUTONOMOUS : PREFIX_ON_LINK);
  view.setInt32(at + 4, VALID_LIFETIME_S);
  view.setInt32(at + 8, PREFERRED_LIFETIME_S);
  view.setInt32(at + 12, 0);
  const from = own.addressAt(row);
  for (let word = 0; word < 4; word++) {
    const bits = Math.max(0, Math.min(32, length - 32 * word));
    const mask = bits === 32 ? -1 : ~(-1 >>> bits);
    view.setInt32(at + 16 + 4 * word, own.rows[from + word]! & mask);
  }
}

/** RFC 8106 section 5.1: the gateway itself. */
function writeResolver(state: RouterState, at: number, row: number): void {
  const { own, slab } = state;
  const { view } = slab;
  view.setInt32(at, (icmpv6.OPTION_DNS << 24) | ((DNS_BYTES >> 3) << 16));
  view.setInt32(at + 4, ROUTER_LIFETIME_S);
  words.write(view, at + 8, 6, own.rows, own.addressAt(row));
}
