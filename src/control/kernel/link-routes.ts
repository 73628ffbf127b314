/**
 * Routes of the main table over rtnetlink. Read first: rtnetlink(7), linux/rtnetlink.h.
 *
 * Routes that weft adds carry its protocol number, so that one that weft set earlier and wants no more is told from one
 * that somebody added by hand, which stays.
 */
import type * as netlink from 'netlink';
import { AF_INET, AF_INET6, formatIp, formatPrefix, type IpPrefix, networkOf, parsePrefix } from './ip-prefix.js';
import type { RouteRequest } from './kernel.js';
import { isErrno } from './kernel-error.js';
import { WEFT_PROTOCOL } from './link-addresses.js';
import { FlagsNew, rt } from './netlink-package.js';
import { type Attributes, attributesOf, bodyOf, numberOf, type Rtnetlink } from './rtnetlink.js';

// RTA_* of linux/rtnetlink.h.
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
const HEADER_BYTES = 12;
const MAIN_TABLE = 254;
/** Metric that the kernel gives an IPv6 route which asks for none (IP6_RT_PRIO_USER). */
const IPV6_DEFAULT_METRIC = 1024;

export interface Route {
  /** Canonical network, `10.0.0.0/24`; `0.0.0.0/0` and `::/0` are the default routes. */
  destination: string;
  gateway: string | null;
  metric: number;
  /** Interface indices, several for a multipath route; empty for blackholes and the like. */
  through: number[];
  /** Whether weft added it. */
  marked: boolean;
}

/** Unicast routes of the main table, IPv4 and IPv6. */
export async function listRoutes(rtnetlink: Rtnetlink): Promise<Route[]> {
  const routes: Route[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    const body = bodyOf(rt().formatRoute({ family }));
    const messages = await rtnetlink.dump('RTM_GETROUTE', rt().MessageType.GETROUTE, body);
    for (const message of messages) {
      const route = parseRoute(message);
      if (route !== null) routes.push(route);
    }
  }
  return routes;
}

/** Rejects with EEXIST when there is a route to that destination with that metric. */
export async function addRoute(rtnetlink: Rtnetlink, index: number, route: RouteRequest): Promise<void> {
  const flags = FlagsNew.CREATE | FlagsNew.EXCL;
  await rtnetlink.request('RTM_NEWROUTE', subjectOf(route), rt().MessageType.NEWROUTE, routeBody(index, route), flags);
}

/** Resolves when it was gone already. */
export async function removeRoute(rtnetlink: Rtnetlink, index: number, route: RouteRequest): Promise<void> {
  try {
    await rtnetlink.request('RTM_DELROUTE', subjectOf(route), rt().MessageType.DELROUTE, routeBody(index, route));
  } catch (error) {
    if (!isErrno(error, 'ESRCH', 'ENODEV', 'ENETUNREACH')) throw error;
  }
}

/** On-link routes first: the gateways of the others may lie behind them. */
export function inOrder(routes: RouteRequest[]): RouteRequest[] {
  return [...routes.filter((route) => route.gateway === null), ...routes.filter((route) => route.gateway !== null)];
}

/** Makes `wanted` exist through the interface and removes what else weft had set there. A user's own routes win. */
export async function repairRoutes(rtnetlink: Rtnetlink, index: number, wanted: RouteRequest[]): Promise<void> {
  const present = (await listRoutes(rtnetlink)).filter((route) => route.through.includes(index));
  const names = wanted.map(nameOf);
  for (const route of present) {
    if (route.marked && !names.includes(nameOf(route))) await removeRoute(rtnetlink, index, route);
  }
  for (const route of inOrder(wanted)) {
    if (present.some((other) => nameOf(other) === nameOf(route))) continue;
    try {
      await addRoute(rtnetlink, index, route);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }
}

/** Equal for two spellings of one route. */
export function nameOf(route: RouteRequest): string {
  const destination = networkOf(parsePrefix(route.destination));
  const gateway = route.gateway === null ? '' : formatIp(parsePrefix(route.gateway).bytes);
  const metric = route.metric === 0 && destination.family === AF_INET6 ? IPV6_DEFAULT_METRIC : route.metric;
  return `${formatPrefix(destination)} ${gateway} ${metric}`;
}

function subjectOf(route: RouteRequest): string {
  return route.gateway === null ? route.destination : `${route.destination} via ${route.gateway}`;
}

function routeBody(index: number, route: RouteRequest): ReturnType<typeof bodyOf> {
  const destination: IpPrefix = networkOf(parsePrefix(route.destination));
  const data: netlink.rt.Route = {
    family: destination.family,
    dstLen: destination.length,
    table: MAIN_TABLE,
    protocol: WEFT_PROTOCOL as number,
    scope: route.gateway === null ? 'LINK' : 'UNIVERSE',
    type: 'UNICAST',
  };
  const attrs: netlink.rt.RouteAttrs = { oif: index };
  if (destination.length > 0) attrs.dst = destination.bytes;
  if (route.gateway !== null) attrs.gateway = parsePrefix(route.gateway).bytes;
  if (route.metric > 0) attrs.priority = route.metric;
  const body = bodyOf();
  rt().formatRouteMessage({ kind: 'route', data, attrs }, body);
  return body;
}

/** null for what is no unicast route of the main table. */
function parseRoute(message: netlink.NetlinkMessage): Route | null {
  const [family = 0, length = 0, , , shortTable = 0, protocol = 0, , type = 0] = message.data;
  const attributes = attributesOf(message, HEADER_BYTES);
  const table = numberOf(attributes.get(RTA_TABLE)) ?? shortTable;
  if (table !== MAIN_TABLE || type !== rt().RouteType.UNICAST) return null;
  const bytes = attributes.get(RTA_DST) ?? Buffer.alloc(family === AF_INET ? 4 : 16);
  const gateway = attributes.get(RTA_GATEWAY);
  return {
    destination: formatPrefix({ family, bytes, length }),
    gateway: gateway === undefined ? null : formatIp(gateway),
    metric: numberOf(attributes.get(RTA_PRIORITY)) ?? 0,
    through: interfacesOf(attributes),
    marked: protocol === WEFT_PROTOCOL,
  };
}

/** RTA_OIF, or the interface of each struct rtnexthop (length u16, flags, hops, index at 4) of a multipath route. */
function interfacesOf(attributes: Attributes): number[] {
  const single = numberOf(attributes.get(RTA_OIF));
  if (single !== null) return [single];
  const hops = attributes.get(RTA_MULTIPATH) ?? Buffer.alloc(0);
  const indices: number[] = [];
  for (let at = 0; at + 8 <= hops.length; ) {
    const bytes = new Uint16Array(Uint8Array.from(hops.subarray(at, at + 2)).buffer)[0] ?? 0;
    if (bytes < 8) break;
    indices.push(numberOf(hops.subarray(at + 4, at + 8)) ?? 0);
    at += (bytes + 3) & ~3;
  }
  return indices;
}
