/**
 * Uplink of kind `host`: a TAP in a network namespace, whose kernel forwards like any router. Between the two lies a transit
 * subnet; external addresses of the user's own are routed to weft over it.
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import { type Family, type IpRange, parseIp, parseSubnet } from '../../model/ip.js';
import { assignMac } from '../../model/mac-assignment.js';
import { RequestError } from '../../model/problems.js';
import type { Context } from '../context.js';
import { hostIfname } from '../kernel/host-interface.js';
import type { FoundRoute, Namespace, RouteRequest } from '../kernel/kernel.js';
import { placeOf } from '../open-place.js';
import { chooseTransit, type TransitSubnet, transitOf } from './transit-subnet.js';
import type { UplinkPlan } from './uplink.js';

export async function planHostUplink(
  context: Context,
  record: NetworkRecord,
  namespace: Namespace,
): Promise<UplinkPlan> {
  const { state } = context;
  const { spec } = record;
  const routes = await context.kernel.routes(namespace);
  await refuseOwnAddresses(context, record, namespace, routes);
  const transits = transitsOf(context, record, routes, placeOf(namespace));
  const mac = assignMac(state.instance, `machine ${spec.name}`, () => false);
  const withPrefix = (address: string, { subnet }: TransitSubnet) => `${address}/${subnet.prefix}`;
  const external = transits.flatMap((transit) => externalOf(record, transit));
  return {
    transit: transits.map(({ subnet }) => subnet.text),
    warnings: warningsOf(record, routes),
    request: {
      kind: 'uplink',
      ifname: hostIfname(spec.name),
      alias: state.aliasOfUplink(record),
      mac,
      mtu: spec.mtu,
      addresses: transits.map((transit) => withPrefix(transit.machine, transit)),
      routes: transits.flatMap((transit) => routesTo(record, transit)),
      offload: true,
      hostSide: true,
    },
    segment: {
      mtu: spec.mtu,
      own: [
        ...transits.map((transit) => withPrefix(transit.weft, transit)),
        ...spec.externalIp.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
      ],
      external,
      nextHops: transits.map(({ machine }) => machine),
      neighbours: transits.map(({ machine }) => ({ address: machine, mac })),
    },
  };
}

/** Those of before as long as they are free: mappings that outlived the daemon name their addresses. */
function transitsOf(
  context: Context,
  record: NetworkRecord,
  routes: readonly FoundRoute[],
  place: string,
): TransitSubnet[] {
  const taken = rangesInUse(context, record, routes);
  return familiesOf(record).map((family) => {
    const former = record.transit.map(rangeOf).find((range) => range?.family === family);
    const kept = former !== undefined && former !== null && 'text' in former ? parseSubnet(String(former.text)) : null;
    if (kept?.ok && !taken.some((range) => doCollide(range, kept.value))) return transitOf(kept.value);
    const chosen = chooseTransit(family, context.state.instance, record.id, taken);
    if (chosen !== null) return chosen;
    const message = `no transit subnet is left for IPv${family} in ${place}`;
    throw new RequestError('exhausted', message, 'remove routes that overlap all of 100.64.0.0/10');
  });
}

/** What a transit subnet must not overlap: routes of the namespace, and all that this daemon uses anywhere. */
function rangesInUse({ state }: Context, record: NetworkRecord, routes: readonly FoundRoute[]): IpRange[] {
  // A default route leads to everything that nothing else leads to.
  const texts = routes.map(({ destination }) => destination).filter((text) => !text.endsWith('/0'));
  for (const other of state.networks.values()) {
    texts.push(...other.spec.subnets, ...other.spec.externalIp, ...(other.spec.nat?.destinations ?? []));
    if (other !== record) texts.push(...other.transit);
  }
  return texts.flatMap((text) => rangeOf(text) ?? []);
}

/** What is for an address of the machine goes to the machine, whatever its routes say: weft would never see it. */
async function refuseOwnAddresses(
  { kernel }: Context,
  { spec }: NetworkRecord,
  namespace: Namespace,
  routes: readonly FoundRoute[],
): Promise<void> {
  if (spec.externalIp.length === 0) return;
  for (const ifname of new Set(routes.map(({ device }) => device))) {
    const link = await kernel.findInterface(namespace, ifname);
    const own = link?.addresses.map((text) => text.split('/')[0]) ?? [];
    const hit = spec.externalIp.find((address) => own.includes(address));
    if (hit === undefined) continue;
    const message = `${hit} is an address of ${ifname} in ${placeOf(namespace)} itself`;
    throw new RequestError(
      'conflict',
      message,
      'leave externalIp out to share it, or choose an address that nobody has',
    );
  }
}

/** On the segment of an interface others ask by ARP for an address; the machine answers only for its own. */
function warningsOf({ spec }: NetworkRecord, routes: readonly FoundRoute[]): string[] {
  return spec.externalIp.flatMap((address) => {
    const range = rangeOf(address);
    const isOnSegment = ({ destination, gateway }: FoundRoute) => {
      const subnet = gateway === null && !destination.endsWith('/0') ? rangeOf(destination) : null;
      return range !== null && subnet !== null && doCollide(range, subnet);
    };
    const hit = routes.find(isOnSegment);
    if (hit === undefined) return [];
    const remedy = `ip neighbour add proxy ${address} dev ${hit.device}, or uplink nic:${hit.device}`;
    return [`network ${spec.name}: nobody on the segment of ${hit.device} finds ${address} (${remedy})`];
  });
}

function doCollide(a: IpRange, b: IpRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

function rangeOf(text: string): IpRange | null {
  const subnet = text.includes('/') ? parseSubnet(text) : null;
  if (subnet !== null) return subnet.ok ? subnet.value : null;
  const ip = parseIp(text);
  return ip === null ? null : { family: ip.family, first: ip.value, last: ip.value };
}

/** Of the subnets and of the external addresses. */
function familiesOf({ spec }: NetworkRecord): Family[] {
  const texts = [...spec.subnets, ...spec.externalIp];
  return ([4, 6] as const).filter((family) => texts.some((text) => familyOf(text) === family));
}

/** The addresses of which NAT takes ports: those that were asked for, else weft's on the transit subnet. */
function externalOf({ spec }: NetworkRecord, { subnet, weft }: TransitSubnet): string[] {
  const { family } = subnet;
  if (family === 6 && spec.nat?.ipv6 !== 'nat66') return [];
  const asked = spec.externalIp.filter((address) => familyOf(address) === family);
  return asked.length > 0 ? asked : [weft];
}

/** What the machine sends to weft, besides what is on the transit subnet. */
function routesTo({ spec }: NetworkRecord, { subnet, weft }: TransitSubnet): RouteRequest[] {
  const { nat } = spec;
  const destinations = [...spec.externalIp, ...(nat?.static ?? []).map(({ external }) => external)];
  if (nat?.ipv6 === 'routed') destinations.push(...spec.subnets.filter((text) => familyOf(text) === 6));
  // What leaves untranslated has to find its way back.
  if (nat !== null && nat.exceptions.length + nat.destinations.length > 0) destinations.push(...spec.subnets);
  if (nat?.ipv6 === 'nptv6' && nat.prefix !== null) destinations.push(nat.prefix);
  const ofFamily = [...new Set(destinations)].filter((text) => familyOf(text) === subnet.family);
  return ofFamily.map((destination) => ({ destination, gateway: weft, metric: 0 }));
}

function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4;
}
