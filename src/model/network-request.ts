/**
 * Reads a request for a network: fills in defaults, brings addresses into canonical text and reports every problem.
 * Only what can be said about one network by itself is checked here; neighbours are desired-state.ts's business.
 */
import { FieldReader, type TextAt } from './field-reader.js';
import {
  contains,
  formatIp,
  formatRange,
  holds,
  type Ip,
  type IpRange,
  overlaps,
  parseIp,
  parseRange,
  parseSubnet,
  quote,
  type Subnet,
  usableRange,
  whyUnusable,
} from './ip.js';
import { whyBadName } from './names.js';
import { readNat } from './nat-request.js';
import type { NetworkSpec, NetworkType, OverlaySpec, StormLimits } from './network.js';
import { overlayOverhead } from './overlay-mtu.js';
import { FIXED_OVERLAY_FIELDS, nestOverlay, readOverlay, refuseOverlay } from './overlay-request.js';
import type { Problem } from './problems.js';
import { readDhcp, readDns, refuseServices } from './services-request.js';
import { readUplink, refuseUplink } from './uplink-request.js';

export const NETWORK_TYPES: readonly NetworkType[] = ['private', 'internal', 'nat', 'overlay'];
export const MTU_MIN = 68;
/** What a TAP takes: 65535 less the Ethernet header (drivers/net/tun.c). */
export const MTU_MAX = 65521;
const MTU_DEFAULT = 1500;
/** RFC 8200 section 5: below this a link cannot carry IPv6. */
const MTU_IPV6_MIN = 1280;
const AGEING_DEFAULT_SECONDS = 300;
const AGEING_MAX_SECONDS = 86400;
export const MAC_LIMIT_MAX = 131072;
const STORM_MAX = 2 ** 31 - 1;
const MAX_SUBNETS = 64;
const MAX_ROUTES_TO = 256;

/** What is wired into the kernel and into endpoints when the network is made. */
export const FIXED_FIELDS = [
  'type',
  'subnets',
  'gateway',
  'uplink',
  'uplinkNetns',
  'externalIp',
  'nextHop',
  'masquerade',
] as const satisfies readonly (keyof NetworkSpec)[];
/** Of `nat`: what existing flows stand on. */
export const FIXED_NAT_FIELDS = ['ipv6', 'prefix'] as const;

export type Parsed<T> = { ok: true; value: T } | { ok: false; problems: Problem[] };

/** `path`: where the request stands in a larger document, e.g. `networks.lan`; empty when it is the whole. */
export function parseNetworkRequest(request: unknown, path = ''): Parsed<NetworkSpec> {
  const problems: Problem[] = [];
  const fields = new FieldReader(request, path, problems);
  const name = fields.requiredText('name');
  const badName = whyBadName(name);
  if (badName !== null && fields.has('name'))
    fields.fail('name', 'bad-name', `${quote(name)} cannot be a name: ${badName}`);
  if (!fields.has('type')) fields.fail('type', 'missing', `it is required: one of ${NETWORK_TYPES.join(', ')}`);
  const type = fields.choice('type', NETWORK_TYPES, 'private');
  const subnets = readSubnets(fields);
  const gateways = readGateways(fields, subnets);
  if (type !== 'private') addDefaultGateways(gateways, subnets);
  if (type === 'nat' && subnets.length === 0 && !fields.has('subnets')) {
    fields.fail('subnets', 'missing', 'a nat network needs at least one subnet, e.g. 10.80.0.0/24');
  }
  const overlay = type === 'overlay' ? readOverlay(fields, subnets) : null;
  if (overlay === null) refuseOverlay(fields, type);
  const mtu = fields.integer('mtu', MTU_MIN, MTU_MAX, overlay === null ? MTU_DEFAULT : usualMtu(overlay));
  if (mtu < MTU_IPV6_MIN && subnets.some((subnet) => subnet.family === 6)) {
    fields.fail('mtu', 'out-of-range', `${mtu} is too small for IPv6, which needs at least ${MTU_IPV6_MIN}`);
  }
  const spec: NetworkSpec = {
    name,
    type,
    subnets: subnets.map((subnet) => subnet.text),
    gateway: subnets.flatMap((subnet) => {
      const gateway = gateways.get(subnet.text);
      return gateway === undefined ? [] : [formatIp(subnet.family, gateway.value)];
    }),
    pools: readPools(fields, subnets),
    reserved: readReserved(fields, subnets),
    mtu,
    ageingSeconds: fields.integer('ageingSeconds', 1, AGEING_MAX_SECONDS, AGEING_DEFAULT_SECONDS),
    controlFrames: fields.choice('controlFrames', ['pass', 'filter'], 'pass'),
    storm: readStorm(fields),
    macLimit: fields.integer('macLimit', 1, MAC_LIMIT_MAX, MAC_LIMIT_MAX),
    overlay,
    ...readGateway(fields, name, type, subnets),
  };
  fields.finish();
  return problems.length === 0 ? { ok: true, value: spec } : { ok: false, problems };
}

/** MTU of an overlay network on an underlay like most. */
function usualMtu({ vtep, peers, group, innerVlan }: OverlaySpec): number {
  const isV6 = (vtep ?? group ?? peers[0] ?? '').includes(':');
  return MTU_DEFAULT - overlayOverhead(isV6 ? 6 : 4, innerVlan);
}

type GatewaySpec = Pick<
  NetworkSpec,
  'uplink' | 'uplinkNetns' | 'externalIp' | 'nextHop' | 'masquerade' | 'nat' | 'routesTo' | 'advertise' | 'dhcp' | 'dns'
>;

/** What only networks have whose gateway is weft itself; `routesTo` those with any gateway. */
function readGateway(fields: FieldReader, name: string, type: NetworkType, subnets: readonly Subnet[]): GatewaySpec {
  const routesTo = readRoutesTo(fields, name, type);
  const advertise = fields.flag('advertise', false);
  if (type === 'overlay') return readOverlayGateway(fields, name, subnets, { routesTo, advertise });
  if (type === 'nat') {
    const uplink = readUplink(fields, subnets);
    const nat = readNat(fields.object('nat'), subnets, uplink.uplink ?? 'host');
    checkAdvertise(fields, advertise, subnets);
    return { ...uplink, nat, routesTo, advertise, dhcp: readDhcp(fields, subnets), dns: readDns(fields, name) };
  }
  const why = `it is only for networks of type nat and overlay, not for ${type} ones`;
  const uplink = refuseUplink(fields, why);
  refuseServices(fields, why);
  if (fields.object('nat') !== null) fields.fail('nat', 'not-applicable', why);
  if (advertise) fields.fail('advertise', 'not-applicable', why);
  return { ...uplink, nat: null, routesTo, advertise: false, dhcp: null, dns: null };
}

/** An overlay with subnets has a gateway, and an uplink only where one was asked for. */
function readOverlayGateway(
  fields: FieldReader,
  name: string,
  subnets: readonly Subnet[],
  { routesTo, advertise }: Pick<GatewaySpec, 'routesTo' | 'advertise'>,
): GatewaySpec {
  const wantsUplink = (fields.text('uplink') ?? 'none') !== 'none';
  if (subnets.length === 0) {
    const why = 'an overlay network without subnets has no gateway';
    refuseServices(fields, why);
    if (wantsUplink) fields.fail('uplink', 'not-applicable', why);
    if (routesTo.length > 0) fields.fail('routesTo', 'not-applicable', why);
  }
  checkAdvertise(fields, advertise, subnets);
  const services = subnets.length === 0 ? NO_SERVICES : { dhcp: readDhcp(fields, subnets), dns: readDns(fields, name) };
  if (wantsUplink) {
    const uplink = readUplink(fields, subnets);
    const nat = readNat(fields.object('nat'), subnets, uplink.uplink ?? 'host');
    return { ...uplink, nat, routesTo, advertise, ...services };
  }
  const why = 'the network has no uplink';
  const uplink = refuseUplink(fields, why, 'none');
  if (fields.object('nat') !== null) fields.fail('nat', 'not-applicable', why);
  return { ...uplink, nat: null, routesTo, advertise, ...services };
}

const NO_SERVICES = { dhcp: null, dns: null } as const;

function checkAdvertise(fields: FieldReader, advertise: boolean, subnets: readonly Subnet[]): void {
  if (!advertise || subnets.some(({ family }) => family === 6)) return;
  fields.fail('advertise', 'not-applicable', 'there is no IPv6 subnet to advertise');
}

/** Whether the networks exist and have gateways is for desired-state.ts to say. */
function readRoutesTo(fields: FieldReader, name: string, type: NetworkType): string[] {
  const found: string[] = [];
  const texts = fields.texts('routesTo');
  if (texts.length > MAX_ROUTES_TO) fields.fail('routesTo', 'out-of-range', `there are at most ${MAX_ROUTES_TO}`);
  if (texts.length > 0 && type === 'private') {
    fields.fail('routesTo', 'not-applicable', 'a private network has no gateway that could route');
  }
  for (const { text, path } of texts.slice(0, MAX_ROUTES_TO)) {
    const bad = text === name ? 'a network reaches itself without a route' : whyBadName(text);
    if (bad !== null) fields.problems.push({ path, code: 'bad-name', message: `${quote(text)}: ${bad}` });
    else if (!found.includes(text)) found.push(text);
  }
  return found;
}

/**
 * What a living network would be after a change: fields of the request replace those of the present, and so do the fields
 * inside of its objects. What cannot change is refused.
 */
export function parseNetworkPatch(patch: unknown, current: NetworkSpec): Parsed<NetworkSpec> {
  const problems: Problem[] = [];
  const fields = new FieldReader(patch, '', problems);
  const nat = fields.object('nat');
  const overlay = fields.object('overlay');
  if (problems.length > 0) return { ok: false, problems };
  const refuse = (reader: FieldReader | null, names: readonly string[]) => {
    for (const field of names.filter((name) => reader?.has(name))) {
      const message = `${field} cannot change while the network exists; delete it and create it again`;
      reader?.fail(field, 'immutable', message);
    }
  };
  refuse(fields, IMMUTABLE);
  refuse(nat, FIXED_NAT_FIELDS);
  if (current.overlay !== null) for (const reader of [fields, overlay]) refuse(reader, FIXED_OVERLAY_FIELDS);
  const changes = withoutFixed(patch as Record<string, unknown>, current);
  const parsed = parseNetworkRequest(withClearedDscp(merge(current, changes), changes));
  if (parsed.ok && problems.length === 0) return parsed;
  return { ok: false, problems: [...problems, ...(parsed.ok ? [] : parsed.problems)] };
}

const IMMUTABLE: readonly string[] = ['name', ...FIXED_FIELDS, 'pools'];

function withoutFixed(patch: Record<string, unknown>, current: NetworkSpec): Record<string, unknown> {
  const left = omit(patch, IMMUTABLE);
  if (isGiven(patch.nat)) left.nat = omit(patch.nat, FIXED_NAT_FIELDS);
  if (current.overlay === null) return left;
  const nested = nestOverlay(left);
  return isGiven(nested.overlay) ? { ...nested, overlay: omit(nested.overlay, FIXED_OVERLAY_FIELDS) } : nested;
}

/** The one field of which null is a value like others: that of the inner packet. */
function withClearedDscp(merged: unknown, { overlay }: Record<string, unknown>): unknown {
  if (!isGiven(overlay) || (overlay as { dscp?: unknown }).dscp !== null) return merged;
  const spec = merged as NetworkSpec;
  return { ...spec, overlay: { ...spec.overlay, dscp: null } };
}

function isGiven(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function omit(from: object, fields: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(from).filter(([field]) => !fields.includes(field)));
}

/** `patch` laid over `current`; null leaves what is there, lists are replaced whole, true and false switch a service. */
function merge(current: unknown, patch: unknown): unknown {
  if (patch === null || patch === undefined) return current;
  if (typeof current !== 'object' || current === null || Array.isArray(current)) return patch;
  if (typeof patch === 'boolean') return { ...current, enabled: patch };
  if (typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const merged: Record<string, unknown> = { ...current };
  for (const [field, value] of Object.entries(patch)) merged[field] = merge(merged[field], value);
  return merged;
}

function readSubnets(fields: FieldReader): Subnet[] {
  const subnets: Subnet[] = [];
  const texts = fields.texts('subnets');
  if (texts.length > MAX_SUBNETS)
    fields.fail('subnets', 'out-of-range', `a network has at most ${MAX_SUBNETS} subnets`);
  for (const { text, path } of texts.slice(0, MAX_SUBNETS)) {
    const read = parseSubnet(text);
    const why = read.ok ? whyBadSubnet(read.value, subnets) : read.reason;
    if (why !== null) fields.problems.push({ path, code: 'bad-subnet', message: why });
    else if (read.ok) subnets.push(read.value);
  }
  return subnets;
}

function whyBadSubnet(subnet: Subnet, others: readonly Subnet[]): string | null {
  if (subnet.prefix === 0) return `${subnet.text} is the whole address space`;
  const why = whyUnusable(subnet);
  if (why !== null) return `${subnet.text} cannot be used: ${why}`;
  const other = others.find((candidate) => overlaps(candidate, subnet));
  return other === undefined ? null : `${subnet.text} overlaps ${other.text} of the same network`;
}

/** By subnet text. */
function readGateways(fields: FieldReader, subnets: readonly Subnet[]): Map<string, Ip> {
  const gateways = new Map<string, Ip>();
  for (const { text, path } of fields.texts('gateway')) {
    const fail = (message: string) => fields.problems.push({ path, code: 'bad-gateway', message });
    const ip = parseIp(text);
    if (ip === null) {
      fail(`${quote(text)} is no IP address`);
      continue;
    }
    const subnet = subnets.find((candidate) => contains(candidate, ip));
    if (subnet === undefined) fail(`${text} lies in none of the subnets of the network`);
    else if (!contains(usableRange(subnet), ip))
      fail(`${text} is not an address that a station of ${subnet.text} can have`);
    else if (gateways.has(subnet.text)) fail(`${subnet.text} has a gateway already; there is one per subnet`);
    else gateways.set(subnet.text, ip);
  }
  return gateways;
}

function addDefaultGateways(gateways: Map<string, Ip>, subnets: readonly Subnet[]): void {
  for (const subnet of subnets) {
    if (!gateways.has(subnet.text))
      gateways.set(subnet.text, { family: subnet.family, value: usableRange(subnet).first });
  }
}

function readPools(fields: FieldReader, subnets: readonly Subnet[]): string[] {
  const pools: IpRange[] = [];
  for (const at of fields.texts('pools')) {
    const range = readRange(fields, at, 'bad-pool');
    if (range === null) continue;
    const fail = (message: string) => fields.problems.push({ path: at.path, code: 'bad-pool', message });
    const other = pools.find((candidate) => overlaps(candidate, range));
    if (!subnets.some((subnet) => holds(subnet, range))) fail(`${at.text} lies in none of the subnets of the network`);
    else if (other !== undefined) fail(`${at.text} overlaps ${formatRange(other)}`);
    else pools.push(range);
  }
  return pools.map(formatRange);
}

function readReserved(fields: FieldReader, subnets: readonly Subnet[]): string[] {
  const reserved: string[] = [];
  for (const at of fields.texts('reserved')) {
    const range = readRange(fields, at, 'bad-range');
    if (range === null) continue;
    if (!subnets.some((subnet) => overlaps(subnet, range))) {
      const message = `${at.text} lies in none of the subnets of the network`;
      fields.problems.push({ path: at.path, code: 'bad-range', message });
    } else if (!reserved.includes(formatRange(range))) {
      reserved.push(formatRange(range));
    }
  }
  return reserved;
}

function readRange(fields: FieldReader, { text, path }: TextAt, code: string): IpRange | null {
  const read = parseRange(text);
  if (read.ok) return read.value;
  fields.problems.push({ path, code, message: read.reason });
  return null;
}

function readStorm(fields: FieldReader): StormLimits {
  const storm = fields.object('storm');
  if (storm === null) return { broadcast: 0, multicast: 0, unknownUnicast: 0 };
  const limits = {
    broadcast: storm.integer('broadcast', 0, STORM_MAX, 0),
    multicast: storm.integer('multicast', 0, STORM_MAX, 0),
    unknownUnicast: storm.integer('unknownUnicast', 0, STORM_MAX, 0),
  };
  storm.finish();
  return limits;
}
