/**
 * The router's part of programs for datapath tests, from a few words: what src/compile/compile-router.ts makes of the desired state.
 *
 *   networks: {
 *     blue: { gateway: { addresses: ['10.0.0.1/24', 'fd00::1/64'], nat: {} } },
 *     out: { gateway: { addresses: ['198.51.100.2/24'], uplinkOf: 'blue', nextHops: ['198.51.100.1'] } },
 *   }
 *
 * Routes follow from that: the subnets of a network itself, those of networks that it names in `routesTo`, and everything else to the
 * next hops of its uplink; from an uplink to the subnets of the network that it serves. `routes` adds others.
 */
import { strict as assert } from 'node:assert';
import ipaddr from 'ipaddr.js';
import {
  FILTERING_ADDRESS_AND_PORT_DEPENDENT,
  FILTERING_ADDRESS_DEPENDENT,
  FILTERING_ENDPOINT_INDEPENDENT,
  MAPPING_ADDRESS_AND_PORT_DEPENDENT,
  MAPPING_ENDPOINT_INDEPENDENT,
  NAT,
  NAT_POLICY_INTS,
  NEIGHBOUR_INTS,
  NETWORK_ADVERTISE,
  NETWORK_DHCP,
  NETWORK_SHARED_GATEWAY,
  NETWORK_SUPPRESS,
  OWN_ADDRESS_INTS,
  OWN_GATEWAY,
  OWN_POOL,
  OWN_STATIC,
  PREFIX_NAT_INTS,
  PUBLISHED_INTS,
  ROLE_INSIDE,
  ROLE_UPLINK,
  ROUTE_INTS,
  ROUTE_PLAIN,
  ROUTE_REMOTE,
  STATIC_NAT_INTS,
  TRANSLATE_NONE,
  TRANSLATE_PORTS,
  TRANSLATE_PREFIX,
} from '../../src/datapath/program.js';
import { mac } from './frame-builders.js';

const MAPPING = {
  'endpoint-independent': MAPPING_ENDPOINT_INDEPENDENT,
  'address-and-port-dependent': MAPPING_ADDRESS_AND_PORT_DEPENDENT,
} as const;
const FILTERING = {
  'endpoint-independent': FILTERING_ENDPOINT_INDEPENDENT,
  'address-dependent': FILTERING_ADDRESS_DEPENDENT,
  'address-and-port-dependent': FILTERING_ADDRESS_AND_PORT_DEPENDENT,
} as const;
const TRANSLATE = {
  none: TRANSLATE_NONE,
  ports: TRANSLATE_PORTS,
  prefix: TRANSLATE_PREFIX,
} as const;

export interface NatSettings {
  /** Endpoint-independent unless given. */
  mapping?: keyof typeof MAPPING;
  /** Address-dependent unless given. */
  filtering?: keyof typeof FILTERING;
  /** Of IPv4 and IPv6: `ports` unless given. */
  translate4?: keyof typeof TRANSLATE;
  translate6?: keyof typeof TRANSLATE;
  /** Seconds: 7440, 240, 6, 300, 60 unless given. */
  tcpEstablished?: number;
  tcpTransitory?: number;
  tcpSyn?: number;
  udp?: number;
  icmp?: number;
  /** 65536 unless given. */
  flowLimit?: number;
  /** 1024 to 65535 unless given. */
  ports?: readonly [number, number];
  /** true unless given. */
  hairpin?: boolean;
  /** `to` may be a range by `last`; `external` one external address instead of all. */
  published?: readonly {
    protocol?: 'tcp' | 'udp';
    external?: string;
    port: number;
    last?: number;
    inside: string;
    insidePort: number;
  }[];
  static?: readonly { inside: string; external: string }[];
  prefixes?: readonly { inside: string; external: string }[];
}

export interface GatewaySettings {
  /** With prefix lengths. Of an uplink: its external addresses. */
  addresses: readonly string[];
  /** MAC of the router; `gatewayMac(row)` unless given. */
  mac?: string;
  /** Second MAC of the router, on a network of several hosts. */
  ownMac?: string;
  /** The host owns the addresses. */
  shared?: boolean;
  /** weft keeps questions for known stations from flooding. */
  suppress?: boolean;
  advertise?: boolean;
  dhcp?: boolean;
  /** Name of the port of the gateway's services. */
  service?: string;
  routesTo?: readonly string[];
  routes?: readonly { to: string; network: string; via?: string; plain?: boolean; remote?: RemoteHop }[];
  /** Stations that need no ARP. */
  neighbours?: readonly { address: string; mac: string; port?: string }[];
  /** This is the uplink of another network. */
  uplinkOf?: string;
  nextHops?: readonly string[];
  /** External addresses that belong to one inside address; the others are for NAPT. */
  reserved?: readonly string[];
  nat?: NatSettings;
}

/** Through a tunnel to the router of another host. */
export interface RemoteHop {
  vtep: string;
  mac: string;
  /** -1 = that of the network. */
  vni: number;
}

export interface NetworkWithGateway {
  gateway?: GatewaySettings;
}

/** MAC of the router on the network of this row. */
export function gatewayMac(row: number): string {
  return `02:77:65:66:74:${row.toString(16).padStart(2, '0')}`;
}

/** `networks` in the order of their rows; `portOf` gives the row of a named port. */
export function routerColumns(
  networks: readonly (readonly [string, NetworkWithGateway])[],
  portOf: (name: string) => number,
) {
  const count = networks.length;
  const rowOf = (name: string): number => {
    const row = networks.findIndex(([each]) => each === name);
    assert.ok(row >= 0, `${name} is a network of the lab`);
    return row;
  };
  const gateways = networks.flatMap(([name, { gateway }], row) => (gateway ? [{ name, row, gateway }] : []));
  const uplinkRowOf = (name: string): number => gateways.find((each) => each.gateway.uplinkOf === name)?.row ?? -1;
  const columns = {
    networkRole: new Uint8Array(count),
    networkKey: Int32Array.from({ length: count }, (_, row) => 1000 + row),
    gatewayMacHigh: new Int32Array(count),
    gatewayMacLow: new Int32Array(count),
    ownRouterMacHigh: new Int32Array(count),
    ownRouterMacLow: new Int32Array(count),
    networkServicePort: new Int32Array(count).fill(-1),
    networkUplink: new Int32Array(count).fill(-1),
    natPolicy: new Int32Array(count * NAT_POLICY_INTS),
  };
  for (const { name, row, gateway } of gateways) {
    [columns.gatewayMacHigh[row], columns.gatewayMacLow[row]] = macWords(gateway.mac ?? gatewayMac(row));
    [columns.ownRouterMacHigh[row], columns.ownRouterMacLow[row]] = macWords(gateway.ownMac ?? '00:00:00:00:00:00');
    columns.networkRole[row] = gateway.uplinkOf === undefined ? ROLE_INSIDE : ROLE_UPLINK;
    columns.networkUplink[row] = gateway.uplinkOf === undefined ? uplinkRowOf(name) : rowOf(gateway.uplinkOf);
    if (gateway.service !== undefined) columns.networkServicePort[row] = portOf(gateway.service);
    columns.natPolicy.set(policyRow(gateway.nat ?? {}), row * NAT_POLICY_INTS);
  }
  const routes = networks.map(([name], row) => {
    const gateway = gateways.find((each) => each.row === row)?.gateway;
    return gateway === undefined ? [] : routesOf(name, gateway, gateways, rowOf).sort((a, b) => b[5]! - a[5]!);
  });
  return {
    ...columns,
    ownAddresses: table(
      OWN_ADDRESS_INTS,
      gateways.flatMap(({ row, gateway }) => ownRows(row, gateway)),
    ),
    routeFirst: Int32Array.from(routes, (_, row) => routes.slice(0, row).flat().length),
    routeCount: Int32Array.from(routes, ({ length }) => length),
    routes: table(ROUTE_INTS, routes.flat()),
    neighbours: table(
      NEIGHBOUR_INTS,
      gateways.flatMap(({ row, gateway }) => neighbourRows(row, gateway, portOf)),
    ),
    natPublished: table(
      PUBLISHED_INTS,
      gateways.flatMap(({ row, gateway }) => publishedRows(row, gateway.nat)),
    ),
    natStatic: table(
      STATIC_NAT_INTS,
      gateways.flatMap(({ row, gateway }) =>
        (gateway.nat?.static ?? []).map(({ inside, external }) => [row, ...address(inside), ...words(external)]),
      ),
    ),
    natPrefixes: table(
      PREFIX_NAT_INTS,
      gateways.flatMap(({ row, gateway }) =>
        (gateway.nat?.prefixes ?? []).map(({ inside, external }) => {
          const [prefix, length] = cidr(inside);
          return [row, length, ...prefix.slice(1), ...cidr(external)[0].slice(1)];
        }),
      ),
    ),
  };
}

/** Bits of `networkFlags`. */
export function gatewayFlags({ gateway }: NetworkWithGateway): number {
  if (gateway === undefined) return 0;
  return (
    (gateway.shared ? NETWORK_SHARED_GATEWAY : 0) |
    (gateway.suppress ? NETWORK_SUPPRESS : 0) |
    (gateway.advertise ? NETWORK_ADVERTISE : 0) |
    (gateway.dhcp ? NETWORK_DHCP : 0)
  );
}

function table(ints: number, rows: readonly (readonly number[])[]): Int32Array {
  for (const row of rows) assert.equal(row.length, ints, 'a row has another shape now');
  return Int32Array.from(rows.flat());
}

/** Family and four words. */
function address(text: string): number[] {
  const bytes = ipaddr.parse(text).toByteArray();
  return [bytes.length === 4 ? 4 : 6, ...words(text)];
}

function words(text: string): number[] {
  const view = new DataView(Uint8Array.from(ipaddr.parse(text).toByteArray()).buffer);
  return [0, 4, 8, 12].map((at) => (at < view.byteLength ? view.getInt32(at) : 0));
}

/** Family and words of the first address of a prefix, and its length. */
function cidr(text: string): [number[], number] {
  const [base, length] = text.split('/') as [string, string];
  const ip = ipaddr.parse(base);
  const bits = Number(length);
  const bytes = ip.toByteArray().map((byte, i) => byte & (0xff00 >>> Math.max(0, Math.min(8, bits - 8 * i))) & 0xff);
  return [address(ipaddr.fromByteArray(bytes).toString()), bits];
}

function ownRows(row: number, gateway: GatewaySettings): number[][] {
  return gateway.addresses.map((text) => {
    const [base, length] = text.split('/') as [string, string];
    const isReserved = gateway.reserved?.includes(base) === true;
    const flags = gateway.uplinkOf === undefined ? OWN_GATEWAY : isReserved ? OWN_STATIC : OWN_POOL;
    return [row, ...address(base), Number(length), flags];
  });
}

interface PlacedGateway {
  name: string;
  row: number;
  gateway: GatewaySettings;
}

function routesOf(
  name: string,
  gateway: GatewaySettings,
  gateways: readonly PlacedGateway[],
  rowOf: (name: string) => number,
): number[][] {
  const route = (to: string, network: string, via?: string, plain = false, remote?: RemoteHop) => {
    const [prefix, length] = cidr(to);
    const hop = via === undefined ? [0, 0, 0, 0] : words(via);
    const flags = (plain ? ROUTE_PLAIN : 0) | (remote === undefined ? 0 : ROUTE_REMOTE);
    return [...prefix, length, rowOf(network), ...hop, flags, ...remoteHop(remote)];
  };
  const connected = (of: string) =>
    (gateways.find((each) => each.name === of)?.gateway.addresses ?? []).map((text) => route(text, of));
  const uplink = gateways.find((each) => each.gateway.uplinkOf === name);
  const others = gateway.uplinkOf === undefined ? (gateway.routesTo ?? []) : [gateway.uplinkOf];
  const hops = (of: string, from: GatewaySettings) =>
    (from.nextHops ?? []).map((hop) => route(hop.includes(':') ? '::/0' : '0.0.0.0/0', of, hop));
  return [
    ...(gateway.routes ?? []).map(({ to, network, via, plain, remote }) => route(to, network, via, plain, remote)),
    ...connected(name),
    ...others.flatMap(connected),
    ...(uplink === undefined ? [] : [...connected(uplink.name), ...hops(uplink.name, uplink.gateway)]),
    ...hops(name, gateway),
  ];
}

/** Words and family of the VTEP, MAC, VNI. */
function remoteHop(remote: RemoteHop | undefined): number[] {
  if (remote === undefined) return [0, 0, 0, 0, 0, 0, 0, -1];
  const [family, ...vtep] = address(remote.vtep) as [number, ...number[]];
  return [...vtep, family, ...macWords(remote.mac), remote.vni];
}

/** High and low half. */
function macWords(text: string): [number, number] {
  const bytes = new DataView(Uint8Array.from(mac(text)).buffer);
  return [bytes.getUint16(0), bytes.getInt32(2)];
}

function neighbourRows(row: number, gateway: GatewaySettings, portOf: (name: string) => number): number[][] {
  return (gateway.neighbours ?? []).map(({ address: text, mac: station, port }) => {
    return [row, ...address(text), ...macWords(station), port === undefined ? -1 : portOf(port)];
  });
}

function publishedRows(row: number, nat: NatSettings | undefined): number[][] {
  return (nat?.published ?? []).map(({ protocol, external, port, last, inside, insidePort }) => {
    const to = external === undefined ? [0, 0, 0, 0] : words(external);
    const [family, ...target] = address(inside) as [number, ...number[]];
    return [row, protocol === 'udp' ? 17 : 6, family, ...to, port, last ?? port, ...target, insidePort];
  });
}

function policyRow(nat: NatSettings): Int32Array {
  const row = new Int32Array(NAT_POLICY_INTS);
  row[NAT.mapping] = MAPPING[nat.mapping ?? 'endpoint-independent'];
  row[NAT.filtering] = FILTERING[nat.filtering ?? 'address-dependent'];
  row[NAT.translate4] = TRANSLATE[nat.translate4 ?? 'ports'];
  row[NAT.translate6] = TRANSLATE[nat.translate6 ?? 'ports'];
  row[NAT.tcpEstablished] = nat.tcpEstablished ?? 7440;
  row[NAT.tcpTransitory] = nat.tcpTransitory ?? 240;
  row[NAT.tcpSyn] = nat.tcpSyn ?? 6;
  row[NAT.udp] = nat.udp ?? 300;
  row[NAT.icmp] = nat.icmp ?? 60;
  row[NAT.flowLimit] = nat.flowLimit ?? 65536;
  row[NAT.portFirst] = nat.ports?.[0] ?? 1024;
  row[NAT.portLast] = nat.ports?.[1] ?? 65535;
  row[NAT.hairpin] = nat.hairpin === false ? 0 : 1;
  return row;
}
