/**
 * The columns and tables of the program that the router and the NAT work with: who weft is on each segment, where frames may
 * go, which stations are known, and how addresses are translated.
 *
 * A nat network has two rows, its inside and its uplink. An internal network that routes to others has the router on its
 * row too, behind the MAC of the host vNIC, which keeps the gateway addresses (NETWORK_SHARED_GATEWAY).
 */
import {
  FILTERING_ADDRESS_AND_PORT_DEPENDENT,
  FILTERING_ADDRESS_DEPENDENT,
  FILTERING_ENDPOINT_INDEPENDENT,
  MAPPING_ADDRESS_AND_PORT_DEPENDENT,
  MAPPING_ENDPOINT_INDEPENDENT,
  NAT,
  NAT_POLICY_INTS,
  NETWORK_ADVERTISE,
  NETWORK_DHCP,
  NETWORK_SHARED_GATEWAY,
  NETWORK_SUPPRESS,
  NETWORK_TELLS_MTU,
  OWN_GATEWAY,
  OWN_POOL,
  OWN_STATIC,
  type Program,
  ROLE_INSIDE,
  ROLE_SWITCH,
  ROLE_UPLINK,
  TRANSLATE_NONE,
  TRANSLATE_PORTS,
  TRANSLATE_PREFIX,
} from '../datapath/program.js';
import type { EndpointSpec } from '../model/endpoint.js';
import type { NatSpec } from '../model/network.js';
import { hasOwnGateway } from '../model/network-kind.js';
import { familiesOf } from '../model/outside.js';
import { isEveryAddress, isOfFamily, publishedPorts } from '../model/published-port.js';
import { parseMac } from '../wire/addresses.js';
import { addressWords, familyAndWords, ipFrom, NO_WORDS } from './address-rows.js';
import type { CompiledNetwork, CompiledPort } from './compile-input.js';
import { fillUnderlays } from './compile-overlay.js';
import { insideRoutes, type Route, routedTogether, routeRow, subnetFrom, uplinkRoutes } from './compile-routes.js';
import { endpointRows } from './endpoint-rows.js';
import { IntRows } from './int-rows.js';
import { keyOf } from './network-key.js';
import type { CompiledVtep } from './overlay-tunnel.js';

type RouterColumns = Pick<
  Program,
  | 'networkRole'
  | 'networkKey'
  | 'gatewayMacHigh'
  | 'gatewayMacLow'
  | 'networkServicePort'
  | 'networkUplink'
  | 'ownAddresses'
  | 'routeFirst'
  | 'routeCount'
  | 'routes'
  | 'neighbours'
  | 'natPolicy'
  | 'natPublished'
  | 'natStatic'
  | 'natPrefixes'
>;

const PROTOCOL = { tcp: 6, udp: 17 } as const;
const MAPPING = {
  'endpoint-independent': MAPPING_ENDPOINT_INDEPENDENT,
  'address-and-port-dependent': MAPPING_ADDRESS_AND_PORT_DEPENDENT,
} as const;
const FILTERING = {
  'endpoint-independent': FILTERING_ENDPOINT_INDEPENDENT,
  'address-dependent': FILTERING_ADDRESS_DEPENDENT,
  'address-and-port-dependent': FILTERING_ADDRESS_AND_PORT_DEPENDENT,
} as const;
const TRANSLATE6 = { routed: TRANSLATE_NONE, nat66: TRANSLATE_PORTS, nptv6: TRANSLATE_PREFIX } as const;

/** `ports` in the order of their rows. */
export function compileRouter(
  networks: readonly CompiledNetwork[],
  vteps: readonly CompiledVtep[],
  ports: readonly CompiledPort[],
  count: number,
): RouterColumns {
  const columns = emptyColumns(count);
  const byRow = [...networks].sort((a, b) => a.index - b.index);
  const routes = new Map<number, Route[]>();
  const own: number[] = fillUnderlays(vteps, columns);
  for (const network of byRow) {
    const { index, uplinkIndex, spec } = network;
    columns.networkKey[index] = keyOf(network.id);
    const others = routedTogether(network, byRow);
    if (!hasOwnGateway(spec) && others.length === 0) continue;
    columns.networkRole[index] = ROLE_INSIDE;
    setMac(columns, index, network.gatewayMac);
    own.push(...gatewayRows(network));
    routes.set(index, insideRoutes(network, others));
    if (uplinkIndex < 0) continue;
    columns.networkRole[uplinkIndex] = ROLE_UPLINK;
    columns.networkKey[uplinkIndex] = keyOf(`uplink ${network.id}`);
    columns.networkUplink[index] = uplinkIndex;
    columns.networkUplink[uplinkIndex] = index;
    setMac(columns, uplinkIndex, network.uplinkMac);
    own.push(...externalRows(network));
    routes.set(uplinkIndex, uplinkRoutes(network));
    if (spec.nat !== null) fillPolicy(columns.natPolicy, index * NAT_POLICY_INTS, spec.nat);
  }
  const byName = new Map(networks.map((network) => [network.spec.name, network]));
  const neighbours = new IntRows();
  const published = new IntRows();
  for (const port of ports) {
    const network = byName.get(port.network);
    if (network === undefined || port.role === 'underlay') continue;
    if (port.role === 'service') columns.networkServicePort[network.index] = port.index;
    if (columns.networkRole[network.index] === ROLE_SWITCH) continue;
    neighbourRows(neighbours, port, network);
    if (port.endpoint !== null && port.endpoint.publish.length > 0) publishedRows(published, port.endpoint, network);
  }
  return {
    ...columns,
    ...routeTable(routes, count),
    ownAddresses: Int32Array.from(own),
    neighbours: neighbours.toTable(),
    natPublished: published.toTable(),
    natStatic: Int32Array.from(byRow.flatMap(staticRows)),
    natPrefixes: Int32Array.from(byRow.flatMap(prefixRows)),
  };
}

/** Bits of `networkFlags` of the inside of a network. */
export function routerFlags(network: CompiledNetwork, all: readonly CompiledNetwork[]): number {
  const { advertise, dhcp, overlay } = network.spec;
  const ofTunnel = overlay === null ? 0 : NETWORK_TELLS_MTU | (overlay.suppress ? NETWORK_SUPPRESS : 0);
  if (hasOwnGateway(network.spec)) {
    return ofTunnel | (advertise ? NETWORK_ADVERTISE : 0) | (dhcp?.enabled === true ? NETWORK_DHCP : 0);
  }
  return ofTunnel | (routedTogether(network, all).length > 0 ? NETWORK_SHARED_GATEWAY : 0);
}

function emptyColumns(count: number) {
  return {
    networkRole: new Uint8Array(count),
    networkKey: new Int32Array(count),
    gatewayMacHigh: new Int32Array(count),
    gatewayMacLow: new Int32Array(count),
    networkServicePort: new Int32Array(count).fill(-1),
    networkUplink: new Int32Array(count).fill(-1),
    natPolicy: new Int32Array(count * NAT_POLICY_INTS),
  };
}

function setMac(columns: Pick<RouterColumns, 'gatewayMacHigh' | 'gatewayMacLow'>, row: number, text: string | null) {
  const mac = text === null ? null : parseMac(text);
  if (mac === null) throw new Error('a network with a router has no MAC for it');
  columns.gatewayMacHigh[row] = mac.high;
  columns.gatewayMacLow[row] = mac.low;
}

function routeTable(byRow: ReadonlyMap<number, Route[]>, count: number) {
  const routeFirst = new Int32Array(count);
  const routeCount = new Int32Array(count);
  const rows: number[] = [];
  let first = 0;
  for (let row = 0; row < count; row++) {
    const routes = byRow.get(row) ?? [];
    routeFirst[row] = first;
    routeCount[row] = routes.length;
    first += routes.length;
    for (const route of routes) rows.push(...routeRow(route));
  }
  return { routeFirst, routeCount, routes: Int32Array.from(rows) };
}

/** Rows of `ownAddresses` of the inside. */
function gatewayRows({ index, spec }: CompiledNetwork): number[] {
  return spec.gateway.flatMap((text) => {
    const ip = ipFrom(text);
    const subnet = spec.subnets.map(subnetFrom).find((each) => each.family === ip.family && isIn(ip.value, each));
    return [index, ...familyAndWords(text), subnet?.prefix ?? (ip.family === 4 ? 32 : 128), OWN_GATEWAY];
  });
}

function isIn(value: bigint, { first, last }: { first: bigint; last: bigint }): boolean {
  return first <= value && value <= last;
}

/** Rows of `ownAddresses` of the uplink; addresses that are not on its segment are routed to weft by the other side. */
function externalRows({ uplinkIndex, segment, spec }: CompiledNetwork): number[] {
  if (segment === null) return [];
  const prefixOf = new Map(segment.own.map((text) => text.split('/') as [string, string]));
  const flagsOf = new Map([...prefixOf.keys()].map((text) => [text, 0]));
  for (const text of segment.external) flagsOf.set(text, (flagsOf.get(text) ?? 0) | OWN_POOL);
  for (const { external } of spec.nat?.static ?? []) flagsOf.set(external, OWN_STATIC);
  return [...flagsOf].flatMap(([text, flags]) => {
    const whole = text.includes(':') ? 128 : 32;
    return [uplinkIndex, ...familyAndWords(text), Number(prefixOf.get(text) ?? whole), flags];
  });
}

/** Stations of which the MAC is known because weft chose it. */
function neighbourRows(rows: IntRows, port: CompiledPort, network: CompiledNetwork): void {
  const { role, endpoint, index } = port;
  if (role === 'uplink') {
    for (const { address, mac } of network.segment?.neighbours ?? []) {
      rows.addAll([network.uplinkIndex, ...familyAndWords(address), ...macInts(mac), index]);
    }
  } else if (role === 'host') {
    const { mac, addresses } = network.host ?? { mac: '', addresses: [] };
    for (const address of addresses) rows.addAll([network.index, ...familyAndWords(address), ...macInts(mac), index]);
  } else if (endpoint !== null) {
    for (const neighbour of endpointRows(endpoint).neighbours) {
      rows.add(network.index);
      rows.addAll(neighbour);
      rows.add(index);
    }
  }
}

function macInts(text: string): [number, number] {
  const mac = parseMac(text);
  if (mac === null) throw new Error(`${text} is no MAC`);
  return [mac.high, mac.low];
}

function fillPolicy(policy: Int32Array, at: number, nat: NatSpec): void {
  const set = (column: number, value: number) => {
    policy[at + column] = value;
  };
  set(NAT.mapping, MAPPING[nat.mapping]);
  set(NAT.filtering, FILTERING[nat.filtering]);
  set(NAT.translate4, TRANSLATE_PORTS);
  set(NAT.translate6, TRANSLATE6[nat.ipv6]);
  set(NAT.tcpEstablished, nat.timers.tcpEstablished);
  set(NAT.tcpTransitory, nat.timers.tcpTransitory);
  set(NAT.tcpSyn, nat.timers.tcpSyn);
  set(NAT.udp, nat.timers.udp);
  set(NAT.icmp, nat.timers.icmp);
  set(NAT.flowLimit, nat.flowLimit);
  set(NAT.portFirst, nat.ports.first);
  set(NAT.portLast, nat.ports.last);
  set(NAT.hairpin, nat.hairpin ? 1 : 0);
}

/** A host address that is none of the external ones has become an external one when a packet gets here. */
function publishedRows(rows: IntRows, endpoint: EndpointSpec, { index, segment, spec }: CompiledNetwork): void {
  if (segment === null) return;
  const { inside } = endpointRows(endpoint);
  const families = familiesOf(spec);
  for (const port of publishedPorts(endpoint.publish)) {
    const isOwn = !isEveryAddress(port) && segment.external.includes(port.hostIp!);
    const external = isOwn ? addressWords(ipFrom(port.hostIp!)) : NO_WORDS;
    for (const family of families) {
      const words = inside[family];
      if (words === null || !isOfFamily(port, family)) continue;
      rows.add(index);
      rows.add(PROTOCOL[port.protocol]);
      rows.add(family);
      rows.addAll(external);
      rows.add(port.hostFirst);
      rows.add(port.hostLast);
      rows.addAll(words);
      rows.add(port.port);
    }
  }
}

function staticRows({ index, segment, spec }: CompiledNetwork): number[] {
  if (segment === null) return [];
  return (spec.nat?.static ?? []).flatMap(({ inside, external }) => [
    index,
    ...familyAndWords(inside),
    ...addressWords(ipFrom(external)),
  ]);
}

function prefixRows({ index, segment, spec }: CompiledNetwork): number[] {
  const prefix = spec.nat?.prefix ?? null;
  const inside = spec.subnets.map(subnetFrom).find(({ family }) => family === 6);
  if (segment === null || prefix === null || inside === undefined) return [];
  const outside = subnetFrom(prefix);
  const words = [inside, outside].flatMap(({ family, first }) => addressWords({ family, value: first }));
  return [index, outside.prefix, ...words];
}
