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
import type { NetworkSpec, NetworkType, StormLimits } from './network.js';
import type { Problem } from './problems.js';

export const NETWORK_TYPES: readonly NetworkType[] = ['private', 'internal'];
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
  if (type === 'internal') addDefaultGateways(gateways, subnets);
  const mtu = fields.integer('mtu', MTU_MIN, MTU_MAX, MTU_DEFAULT);
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
  };
  fields.finish();
  return problems.length === 0 ? { ok: true, value: spec } : { ok: false, problems };
}

/** What a living network would be after a change; the fields that cannot change are refused as unknown. */
export function parseNetworkPatch(patch: unknown, current: NetworkSpec): Parsed<NetworkSpec> {
  const problems: Problem[] = [];
  const fields = new FieldReader(patch, '', problems);
  for (const field of ['name', 'type', 'subnets', 'gateway', 'pools']) {
    if (fields.has(field)) {
      fields.fail(field, 'immutable', `${field} cannot change while the network exists; delete it and create it again`);
    }
  }
  fields.integer('mtu', MTU_MIN, MTU_MAX, 0);
  fields.integer('ageingSeconds', 1, AGEING_MAX_SECONDS, 0);
  fields.choice('controlFrames', ['pass', 'filter'], 'pass');
  fields.integer('macLimit', 1, MAC_LIMIT_MAX, 0);
  fields.texts('reserved');
  readStorm(fields);
  fields.finish();
  if (problems.length > 0) return { ok: false, problems };
  const entries = Object.entries(patch as object).filter(([, value]) => value !== null && value !== undefined);
  const wanted: { storm?: Partial<StormLimits> } = Object.fromEntries(entries);
  return parseNetworkRequest({ ...current, ...wanted, storm: { ...current.storm, ...wanted.storm } });
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
