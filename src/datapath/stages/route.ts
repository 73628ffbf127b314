/**
 * Where a packet goes: the route of its destination, the MAC of the next hop, and whether it fits through.
 *
 * Reads: verdict interest network family destination source. Writes: egressNetwork routeFlags nextMac* egressPort egressRemote
 * egressVni pieceBytes; verdict of what has to wait for a MAC (consumed: held). Drops: no-route, ttl-expired, too-big, no-neighbour,
 * neighbour-queue-full, no-service, remotes-full.
 *
 * RFC 1812 section 5.2 (forwarding), 5.3.1 (TTL), RFC 8200 section 3 (hop limit), RFC 2644 (no directed broadcasts).
 */
import {
  drop,
  FOR_HOST,
  type FrameVector,
  haveSameAddresses,
  NO_INTEREST,
  ROUTING,
} from '../../frames/frame-vector.js';
import { largestPacketBytes } from '../../frames/packet-bytes.js';
import * as words from '../../wire/address-words.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as ipv6 from '../../wire/ipv6.js';
import * as vnet from '../../wire/vnet-header.js';
import { DROP } from '../drop-reasons.js';
import { deliverLocally } from '../local-delivery.js';
import { tunnelPortOf } from '../locations.js';
import { nextHopRow, QUEUE_FULL, UNREACHABLE } from '../neighbours.js';
import { type Program, ROUTE_INTS, ROUTE_REMOTE } from '../program.js';
import { NO_REMOTE, ROUTER_MAC_AT, VNI_AT } from '../remote-routes.js';
import type { RouterState } from '../router-state.js';

/** Columns of a row of `routes`. */
const PREFIX_AT = 1;
const LENGTH_AT = 5;
const NETWORK_AT = 6;
const NEXT_HOP_AT = 7;
const FLAGS_AT = 11;
/** In place of an index in `routes`. */
export const NO_ROUTE = -1;

/** Decides about everything that is ROUTING. */
export function route(state: RouterState, program: Program, now: number): void {
  const { frames } = state;
  const { count, verdict, egressNetwork } = frames;
  /** A packet whose way is known: it is that of others with its addresses. */
  let before = -1;
  for (let i = 0; i < count; i++) {
    if (verdict[i] !== ROUTING) continue;
    if (before >= 0 && haveSameAddresses(frames, before, i)) {
      takeWay(frames, before, i);
      mayLeave(frames, i, state.slab.view, program);
      continue;
    }
    before = -1;
    if (isOwn(state, i, frames.network[i]!)) {
      deliverLocally(state, i, program);
      continue;
    }
    const at = findRoute(frames, i, program);
    if (at !== NO_ROUTE) egressNetwork[i] = program.routes[at + NETWORK_AT]!;
    if (at === NO_ROUTE || isNeverRouted(frames, i, program, at)) {
      drop(frames, i, DROP.noRoute);
      continue;
    }
    frames.routeFlags[i] = program.routes[at + FLAGS_AT]!;
    if (isOwn(state, i, egressNetwork[i]!)) {
      deliverLocally(state, i, program);
      continue;
    }
    if (!mayLeave(frames, i, state.slab.view, program)) continue;
    resolve(state, i, program, at, now);
    if (verdict[i] === ROUTING) before = i;
  }
}

/** The way of packet `from` is that of packet `to`. */
function takeWay(frames: FrameVector, from: number, to: number): void {
  frames.egressNetwork[to] = frames.egressNetwork[from]!;
  frames.routeFlags[to] = frames.routeFlags[from]!;
  frames.nextMacHigh[to] = frames.nextMacHigh[from]!;
  frames.nextMacLow[to] = frames.nextMacLow[from]!;
  frames.egressPort[to] = frames.egressPort[from]!;
  frames.egressRemote[to] = frames.egressRemote[from]!;
  frames.egressVni[to] = frames.egressVni[from]!;
}

/** Drops what has been on its way for too long, or is too large. */
function mayLeave(frames: FrameVector, i: number, view: DataView, program: Program): boolean {
  if (timeToLive(frames, i, view) <= 1) drop(frames, i, DROP.ttlExpired);
  else if (!fits(frames, i, view, program)) drop(frames, i, DROP.tooBig);
  else return true;
  return false;
}

/**
 * Takes over frames for a gateway that the host owns, where there is a route to another network. To be called before anything
 * else looks at ROUTING frames.
 */
export function takeFromHost(frames: FrameVector, program: Program): void {
  const { count, interest, family, verdict, network } = frames;
  for (let i = 0; i < count; i++) {
    if (interest[i] !== FOR_HOST) continue;
    const at = family[i] === 0 ? NO_ROUTE : findRoute(frames, i, program);
    if (at === NO_ROUTE || program.routes[at + NETWORK_AT] === network[i]) interest[i] = NO_INTEREST;
    else verdict[i] = ROUTING;
  }
}

/** Whether the destination is an address of weft on the network: of another gateway, or an external one that the NAT left alone. */
function isOwn(state: RouterState, i: number, network: number): boolean {
  return state.own.find(network, state.frames.family[i]!, state.frames.destination, words.wordsAt(i)) >= 0;
}

/** Index in `routes` of the longest prefix that holds the destination, or NO_ROUTE. */
export function findRoute(frames: FrameVector, i: number, program: Program): number {
  const { routes } = program;
  const { destination } = frames;
  const network = frames.network[i]!;
  const family = frames.family[i]!;
  const to = words.wordsAt(i);
  let at = program.routeFirst[network]! * ROUTE_INTS;
  const end = at + program.routeCount[network]! * ROUTE_INTS;
  for (; at < end; at += ROUTE_INTS) {
    if (routes[at] === family && words.hasPrefix(routes, at + PREFIX_AT, destination, to, routes[at + LENGTH_AT]!)) {
      return at;
    }
  }
  return NO_ROUTE;
}

/** Destinations and sources that no router forwards, whatever its routes say. */
function isNeverRouted(frames: FrameVector, i: number, program: Program, at: number): boolean {
  const { source, destination } = frames;
  const family = frames.family[i]!;
  const row = words.wordsAt(i);
  if (words.isMulticast(destination, row, family) || words.isLoopback(destination, row, family)) return true;
  if (words.isMulticast(source, row, family) || words.isLoopback(source, row, family)) return true;
  if (words.isLinkLocal(source, row, family) || words.isLinkLocal(destination, row, family)) return true;
  if (family === 6) return words.isZero(destination, row);
  const to = destination[row]!;
  if (to === -1 || to === 0) return true;
  // RFC 2644: the broadcast address of a subnet that is a neighbour is not forwarded to.
  const length = program.routes[at + LENGTH_AT]!;
  const isConnected = words.isZero(program.routes, at + NEXT_HOP_AT);
  return isConnected && length < 31 && (to | (length === 0 ? -1 : ~(-1 << (32 - length)))) === to;
}

function timeToLive(frames: FrameVector, i: number, view: DataView): number {
  const at = frames.l3At[i]!;
  return frames.family[i] === 4 ? ipv4.ttl(view, at) : ipv6.hopLimit(view, at);
}

/** False when the packet must not leave as large as it is; otherwise `pieceBytes` says whether it has to be cut. */
function fits(frames: FrameVector, i: number, view: DataView, program: Program): boolean {
  const mtu = program.networkMtu[frames.egressNetwork[i]!]!;
  if (largestPacketBytes(frames, i, view) <= mtu) return true;
  if (frames.family[i] !== 4 || frames.gsoType[i] !== vnet.GSO_NONE) return false;
  const at = frames.l3At[i]!;
  // Padding of a short frame is not part of the packet.
  if (ipv4.totalLength(view, at) <= mtu) return true;
  if (ipv4.mustNotFragment(ipv4.fragmentField(view, at))) return false;
  frames.pieceBytes[i] = mtu;
  return true;
}

/** Finds the MAC of the next hop, or lets the frame wait for it. */
function resolve(state: RouterState, i: number, program: Program, at: number, now: number): void {
  const { frames, neighbours } = state;
  if ((program.routes[at + FLAGS_AT]! & ROUTE_REMOTE) !== 0) {
    enterTunnel(state, i, program, at);
    return;
  }
  const network = frames.egressNetwork[i]!;
  const isConnected = words.isZero(program.routes, at + NEXT_HOP_AT);
  const hop = isConnected ? frames.destination : program.routes;
  const hopAt = isConnected ? words.wordsAt(i) : at + NEXT_HOP_AT;
  const row = nextHopRow(state, i, network, frames.family[i]!, hop, hopAt, now);
  if (row >= 0) {
    frames.nextMacHigh[i] = neighbours.macHigh[row]!;
    frames.nextMacLow[i] = neighbours.macLow[row]!;
    frames.egressPort[i] = neighbours.port[row]!;
  } else if (row === UNREACHABLE) drop(frames, i, DROP.noNeighbour);
  else if (row === QUEUE_FULL) drop(frames, i, DROP.neighbourQueueFull);
}

/** To the router of another host, whose MAC the route says. */
function enterTunnel({ frames, remoteRoutes }: RouterState, i: number, program: Program, at: number): void {
  const { routes } = program;
  const remote = remoteRoutes.remoteOf(at);
  const port = tunnelPortOf(program, frames.egressNetwork[i]!);
  if (remote === NO_REMOTE || port < 0) {
    drop(frames, i, port < 0 ? DROP.noRoute : DROP.remotesFull);
    return;
  }
  frames.nextMacHigh[i] = routes[at + ROUTER_MAC_AT]!;
  frames.nextMacLow[i] = routes[at + ROUTER_MAC_AT + 1]!;
  frames.egressPort[i] = port;
  frames.egressRemote[i] = remote;
  frames.egressVni[i] = routes[at + VNI_AT]!;
}
