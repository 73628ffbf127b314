/**
 * Reads how a network translates: the behaviours of RFC 4787 section 4 and 5, timers, limits, and which destinations and
 * addresses are treated differently. What is left out gets the default that the RFCs ask for.
 */
import type { FieldReader } from './field-reader.js';
import {
  bitsOf,
  contains,
  formatIp,
  type Ip,
  parseIp,
  parseSubnet,
  quote,
  type Read,
  type Subnet,
  subnetOf,
  usableRange,
  whyUnusable,
} from './ip.js';
import type { NatFiltering, NatMapping, NatSpec, NatTimers } from './network.js';

export const NAT_MAPPINGS: readonly NatMapping[] = ['endpoint-independent', 'address-and-port-dependent'];
export const NAT_FILTERINGS: readonly NatFiltering[] = [
  'endpoint-independent',
  'address-dependent',
  'address-and-port-dependent',
];
export const NAT_IPV6: readonly NatSpec['ipv6'][] = ['routed', 'nat66', 'nptv6'];

/** RFC 5382 REQ-5 (2 h 4 min, 4 min), RFC 5382 REQ-4, RFC 4787 REQ-5, RFC 5508 REQ-2. */
const TIMER_DEFAULTS: NatTimers = { tcpEstablished: 7440, tcpTransitory: 240, tcpSyn: 6, udp: 300, icmp: 60 };
/** Expiry is kept in int32 milliseconds. */
export const TIMER_MAX_SECONDS = 2_000_000;
const FLOW_LIMIT_DEFAULT = 65536;
export const FLOW_LIMIT_MAX = 1_048_576;
/** RFC 6056 section 3.2: the whole range above the well-known ports. */
const PORTS_DEFAULT = { first: 1024, last: 65535 };
/** Above what Linux takes for its own connections (net.ipv4.ip_local_port_range, 32768..60999). */
const PORTS_OF_RAW = { first: 61000, last: 65535 };
const MAX_STATIC = 1024;
const MAX_PREFIXES = 256;
/** RFC 6296 section 3.5: the interface identifier stays 64 bits. */
const NPT_PREFIX_MAX = 64;

/** `fields`: the object `nat` of a request, null when there is none. */
export function readNat(fields: FieldReader | null, subnets: readonly Subnet[], uplink: string): NatSpec {
  if (fields === null) return defaultNat(uplink);
  const fallback = defaultNat(uplink);
  const ipv6 = fields.choice('ipv6', NAT_IPV6, fallback.ipv6);
  const spec: NatSpec = {
    mapping: fields.choice('mapping', NAT_MAPPINGS, fallback.mapping),
    filtering: fields.choice('filtering', NAT_FILTERINGS, fallback.filtering),
    ipv6,
    prefix: readPrefix(fields, subnets, ipv6),
    timers: readTimers(fields),
    flowLimit: fields.integer('flowLimit', 1, FLOW_LIMIT_MAX, fallback.flowLimit),
    ports: readPorts(fields, fallback.ports),
    exceptions: readPrefixes(fields, 'exceptions'),
    destinations: readPrefixes(fields, 'destinations'),
    static: readStatic(fields, subnets),
    hairpin: fields.flag('hairpin', fallback.hairpin),
  };
  const both = spec.exceptions.find((text) => spec.destinations.includes(text));
  if (both !== undefined) {
    fields.fail('exceptions', 'contradiction', `${both} is among the destinations too: it cannot be both`);
  }
  fields.finish();
  return spec;
}

function defaultNat(uplink: string): NatSpec {
  return {
    mapping: 'endpoint-independent',
    filtering: 'address-dependent',
    ipv6: 'nat66',
    prefix: null,
    timers: { ...TIMER_DEFAULTS },
    flowLimit: FLOW_LIMIT_DEFAULT,
    ports: { ...(uplink === 'raw' ? PORTS_OF_RAW : PORTS_DEFAULT) },
    exceptions: [],
    destinations: [],
    static: [],
    hairpin: true,
  };
}

function readTimers(fields: FieldReader): NatTimers {
  const timers = fields.object('timers');
  if (timers === null) return { ...TIMER_DEFAULTS };
  const seconds = (field: keyof NatTimers) => timers.integer(field, 1, TIMER_MAX_SECONDS, TIMER_DEFAULTS[field]);
  const spec = {
    tcpEstablished: seconds('tcpEstablished'),
    tcpTransitory: seconds('tcpTransitory'),
    tcpSyn: seconds('tcpSyn'),
    udp: seconds('udp'),
    icmp: seconds('icmp'),
  };
  timers.finish();
  return spec;
}

function readPorts(fields: FieldReader, fallback: NatSpec['ports']): NatSpec['ports'] {
  const ports = fields.object('ports');
  if (ports === null) return fallback;
  const first = ports.integer('first', 1, 65535, fallback.first);
  const last = ports.integer('last', 1, 65535, fallback.last);
  if (first > last) ports.fail('last', 'out-of-range', `the range ${first}-${last} ends before it begins`);
  ports.finish();
  return { first, last };
}

function readPrefix(fields: FieldReader, subnets: readonly Subnet[], ipv6: NatSpec['ipv6']): string | null {
  const text = fields.text('prefix');
  if (ipv6 !== 'nptv6') {
    if (text !== undefined) fields.fail('prefix', 'not-applicable', 'it is only for ipv6 nptv6');
    return null;
  }
  const fail = (code: string, message: string) => {
    fields.fail('prefix', code, message);
    return null;
  };
  if (text === undefined) return fail('missing', 'nptv6 needs the external prefix, e.g. 2001:db8:1::/64');
  const read = parseSubnet(text);
  if (!read.ok) return fail('bad-prefix', read.reason);
  const inside = subnets.filter(({ family }) => family === 6);
  if (inside.length !== 1) return fail('bad-prefix', 'nptv6 needs exactly one IPv6 subnet in the network');
  const [subnet] = inside as [Subnet];
  const { family, prefix } = read.value;
  if (family !== 6) return fail('bad-prefix', `${text} is no IPv6 prefix`);
  if (prefix !== subnet.prefix) {
    return fail('bad-prefix', `${text} must be as long as the subnet ${subnet.text} (RFC 6296 section 3)`);
  }
  if (prefix > NPT_PREFIX_MAX) {
    return fail('bad-prefix', `a prefix of nptv6 has at most ${NPT_PREFIX_MAX} bits (RFC 6296 section 3.5)`);
  }
  if (read.value.text === subnet.text) return fail('bad-prefix', `${text} is the subnet itself`);
  const why = whyUnusable(read.value);
  return why === null ? read.value.text : fail('bad-prefix', `${text} cannot be used: ${why}`);
}

/** A list of CIDRs; an address alone is the prefix of its full length. */
function readPrefixes(fields: FieldReader, field: string): string[] {
  const found: string[] = [];
  const texts = fields.texts(field);
  if (texts.length > MAX_PREFIXES) fields.fail(field, 'out-of-range', `there are at most ${MAX_PREFIXES}`);
  for (const { text, path } of texts.slice(0, MAX_PREFIXES)) {
    const read = parsePrefix(text);
    if (!read.ok) fields.problems.push({ path, code: 'bad-prefix', message: read.reason });
    else if (!found.includes(read.value.text)) found.push(read.value.text);
  }
  return found;
}

export function parsePrefix(text: string): Read<Subnet> {
  const ip = parseIp(text);
  return ip === null ? parseSubnet(text) : { ok: true, value: subnetOf(ip, bitsOf(ip.family)) };
}

function readStatic(fields: FieldReader, subnets: readonly Subnet[]): NatSpec['static'] {
  const found: NatSpec['static'] = [];
  const rows = fields.objects('static');
  if (rows.length > MAX_STATIC) fields.fail('static', 'out-of-range', `there are at most ${MAX_STATIC}`);
  for (const row of rows.slice(0, MAX_STATIC)) {
    const inside = readIp(row, 'inside');
    const external = readIp(row, 'external');
    row.finish();
    if (inside === null || external === null) continue;
    const why = whyNoPair(inside, external, subnets, found);
    if (why !== null) row.fail(why.field, 'bad-static', why.message);
    else found.push({ inside: textOf(inside), external: textOf(external) });
  }
  return found;
}

function whyNoPair(
  inside: Ip,
  external: Ip,
  subnets: readonly Subnet[],
  others: NatSpec['static'],
): { field: 'inside' | 'external'; message: string } | null {
  const [inner, outer] = [textOf(inside), textOf(external)];
  if (inside.family !== external.family) {
    return { field: 'external', message: `${inner} and ${outer} are of different families` };
  }
  if (!subnets.some((subnet) => contains(usableRange(subnet), inside))) {
    return { field: 'inside', message: `${inner} is no address of a station of the network` };
  }
  const bad = whyNoExternal(external, subnets);
  if (bad !== null) return { field: 'external', message: bad };
  if (others.some((other) => other.inside === inner)) {
    return { field: 'inside', message: `${inner} has an external address of its own already` };
  }
  if (others.some((other) => other.external === outer)) {
    return { field: 'external', message: `${outer} belongs to another inside address already` };
  }
  return null;
}

/** Why an address cannot be one of the outside, or null. */
export function whyNoExternal(ip: Ip, subnets: readonly Subnet[]): string | null {
  const text = textOf(ip);
  const unusable = whyUnusable({ family: ip.family, first: ip.value, last: ip.value });
  if (unusable !== null) return `${text} cannot be an external address: ${unusable}`;
  const subnet = subnets.find((candidate) => contains(candidate, ip));
  return subnet === undefined ? null : `${text} lies inside the network (${subnet.text}), not outside`;
}

function readIp(fields: FieldReader, field: string): Ip | null {
  const text = fields.requiredText(field);
  if (!fields.has(field)) return null;
  const ip = parseIp(text);
  if (ip === null) fields.fail(field, 'bad-address', `${quote(text)} is no IP address`);
  return ip;
}

function textOf(ip: Ip): string {
  return formatIp(ip.family, ip.value);
}
