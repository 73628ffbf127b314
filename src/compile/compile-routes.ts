/**
 * Where frames may go that enter the router from a network: its own subnets, those of networks that it has routes to, and the
 * outside. From the outside they may go to the subnets of the one network that the uplink serves, and NAT decides which do.
 */
import { ROUTE_PLAIN, ROUTE_REMOTE } from '../datapath/program.js';
import { type Family, holds, type Ip, parseIp, parseSubnet, type Subnet, subnetOf } from '../model/ip.js';
import type { NatSpec, NetworkSpec, RemoteSubnet } from '../model/network.js';
import { hasGateway, hasOwnGateway } from '../model/network-kind.js';
import { parseMac } from '../wire/addresses.js';
import { addressWords, ipFrom, NO_WORDS } from './address-rows.js';
import type { UplinkSegment } from './uplink-segment.js';

export interface Route {
  subnet: Subnet;
  /** Row of a network. */
  target: number;
  /** null: the destination is on the segment itself. */
  nextHop: Ip | null;
  flags: number;
  /** With ROUTE_REMOTE: the router of the other host, and the VNI of the target network. */
  remote: (RemoteSubnet & { vni: number }) | null;
}

/** A network that the router knows, with the rows of its inside and of its uplink (-1: none). */
export interface RoutedNetwork {
  index: number;
  uplinkIndex: number;
  segment: UplinkSegment | null;
  spec: NetworkSpec;
}

/** Networks that exchange packets with this one; naming one on either side is enough. */
export function routedTogether(network: RoutedNetwork, all: readonly RoutedNetwork[]): RoutedNetwork[] {
  const { name, routesTo } = network.spec;
  if (!hasGateway(network.spec)) return [];
  return all.filter(({ spec }) => {
    if (!hasGateway(spec) || spec.name === name) return false;
    return routesTo.includes(spec.name) || spec.routesTo.includes(name);
  });
}

/** Of the inside of a network, longest prefix first. */
export function insideRoutes(network: RoutedNetwork, others: readonly RoutedNetwork[]): Route[] {
  // Where the host owns the gateway, the host routes between the subnets of the network itself.
  const reached = hasOwnGateway(network.spec) ? [network, ...others] : others;
  const routes = reached.flatMap(connected);
  const { segment, uplinkIndex, spec } = network;
  if (segment !== null && spec.nat !== null) routes.push(...outsideRoutes(segment, spec.nat, uplinkIndex));
  return longestFirst(routes);
}

/** Of an uplink: only the way in. */
export function uplinkRoutes(network: RoutedNetwork): Route[] {
  return longestFirst(connected(network));
}

/** What is on the segment itself, on this host or another, and what is behind the routers of other hosts on it. */
function connected({ index, spec }: RoutedNetwork): Route[] {
  const target = { target: index, nextHop: null };
  const own = spec.subnets.map((text) => ({ ...target, subnet: subnetFrom(text), flags: 0, remote: null }));
  const { overlay } = spec;
  if (overlay === null) return own;
  const remotes = overlay.remoteSubnets.map((remote) => ({
    ...target,
    subnet: subnetFrom(remote.prefix),
    flags: ROUTE_REMOTE,
    remote: { ...remote, vni: remote.vni ?? overlay.vni },
  }));
  return [...own, ...remotes];
}

/**
 * Every prefix of the outside that is treated differently from its surroundings: what is on the segment, what the NAT makes
 * exceptions for, and the rest.
 */
function outsideRoutes(segment: UplinkSegment, nat: NatSpec, uplink: number): Route[] {
  // An address that is routed to weft has nobody beside it.
  const onLink = segment.own.map(segmentFrom).filter(({ first, last }) => first !== last);
  const exceptions = nat.exceptions.map(subnetFrom);
  const destinations = nat.destinations.map(subnetFrom);
  const everything = [subnetOf({ family: 4, value: 0n }, 0), subnetOf({ family: 6, value: 0n }, 0)];
  const byText = new Map([...everything, ...onLink, ...exceptions, ...destinations].map((each) => [each.text, each]));
  return [...byText.values()].flatMap((subnet) => {
    const isOnLink = onLink.some((each) => holds(each, subnet));
    const nextHop = isOnLink ? null : hopOf(segment, subnet.family);
    if (!isOnLink && nextHop === null) return [];
    const flags = isPlain(subnet, exceptions, destinations) ? ROUTE_PLAIN : 0;
    return [{ subnet, target: uplink, nextHop, flags, remote: null }];
  });
}

/** The longest of the prefixes that hold it decides; without any, whether only named destinations are translated. */
function isPlain(subnet: Subnet, exceptions: readonly Subnet[], destinations: readonly Subnet[]): boolean {
  const longest = (among: readonly Subnet[]) =>
    among.reduce((length, each) => (holds(each, subnet) ? Math.max(length, each.prefix) : length), -1);
  const [exception, destination] = [longest(exceptions), longest(destinations)];
  if (exception < 0 && destination < 0) return destinations.length > 0;
  return exception > destination;
}

function hopOf(segment: UplinkSegment, family: Family): Ip | null {
  return segment.nextHops.map(parseIp).find((ip) => ip?.family === family) ?? null;
}

/** Ints of the table `routes` behind each other, in this order. */
export function routeRow({ subnet, target, nextHop, flags, remote }: Route): number[] {
  const prefix = addressWords({ family: subnet.family, value: subnet.first });
  const hop = nextHop === null ? NO_WORDS : addressWords(nextHop);
  return [subnet.family, ...prefix, subnet.prefix, target, ...hop, flags, ...remoteInts(remote)];
}

function remoteInts(remote: Route['remote']): number[] {
  if (remote === null) return [...NO_WORDS, 0, 0, 0, 0];
  const vtep = ipFrom(remote.vtep);
  const mac = parseMac(remote.mac);
  if (mac === null) throw new Error(`${remote.mac} was accepted but is no MAC`);
  return [...addressWords(vtep), vtep.family, mac.high, mac.low, remote.vni];
}

function longestFirst(routes: Route[]): Route[] {
  return routes.sort((a, b) => b.subnet.prefix - a.subnet.prefix || compare(a.subnet, b.subnet) || a.target - b.target);
}

function compare(a: Subnet, b: Subnet): number {
  if (a.family !== b.family) return a.family - b.family;
  return a.first < b.first ? -1 : a.first > b.first ? 1 : 0;
}

export function subnetFrom(text: string): Subnet {
  const read = parseSubnet(text);
  if (!read.ok) throw new Error(read.reason);
  return read.value;
}

/** The subnet that `ADDRESS/PREFIX` of an interface lies in. */
function segmentFrom(text: string): Subnet {
  const slash = text.indexOf('/');
  const ip = parseIp(text.slice(0, slash));
  if (ip === null) throw new Error(`${text} was found on an interface but is no address`);
  return subnetOf(ip, Number(text.slice(slash + 1)));
}
