/**
 * Where frames may go that enter the router from a network: its own subnets, those of networks that it has routes to, and the
 * outside. From the outside they may go to the subnets of the one network that the uplink serves, and NAT decides which do.
 */
import { ROUTE_PLAIN } from '../datapath/program.js';
import { type Family, holds, type Ip, parseIp, parseSubnet, type Subnet, subnetOf } from '../model/ip.js';
import type { NatSpec, NetworkSpec } from '../model/network.js';
import { addressWords, NO_WORDS } from './address-rows.js';
import type { UplinkSegment } from './uplink-segment.js';

export interface Route {
  subnet: Subnet;
  /** Row of a network. */
  target: number;
  /** null: the destination is on the segment itself. */
  nextHop: Ip | null;
  flags: number;
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
  const { name, type, routesTo } = network.spec;
  if (type === 'private') return [];
  return all.filter(({ spec }) => {
    if (spec.type === 'private' || spec.name === name) return false;
    return routesTo.includes(spec.name) || spec.routesTo.includes(name);
  });
}

/** Of the inside of a network, longest prefix first. */
export function insideRoutes(network: RoutedNetwork, others: readonly RoutedNetwork[]): Route[] {
  // Where the host owns the gateway, the host routes between the subnets of the network itself.
  const reached = network.spec.type === 'nat' ? [network, ...others] : others;
  const routes = reached.flatMap(connected);
  const { segment, uplinkIndex, spec } = network;
  if (segment !== null && spec.nat !== null) routes.push(...outsideRoutes(segment, spec.nat, uplinkIndex));
  return longestFirst(routes);
}

/** Of an uplink: only the way in. */
export function uplinkRoutes(network: RoutedNetwork): Route[] {
  return longestFirst(connected(network));
}

function connected({ index, spec }: RoutedNetwork): Route[] {
  return spec.subnets.map((text) => ({ subnet: subnetFrom(text), target: index, nextHop: null, flags: 0 }));
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
    return [{ subnet, target: uplink, nextHop, flags: isPlain(subnet, exceptions, destinations) ? ROUTE_PLAIN : 0 }];
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
export function routeRow({ subnet, target, nextHop, flags }: Route): number[] {
  const prefix = addressWords({ family: subnet.family, value: subnet.first });
  const hop = nextHop === null ? NO_WORDS : addressWords(nextHop);
  return [subnet.family, ...prefix, subnet.prefix, target, ...hop, flags];
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
