/**
 * What a network's DNS server answers itself: names of the network and of those it is connected to, addresses of their
 * subnets, and names that must never be asked of anybody else. Pure; records are encoded by the package dns-packet.
 *
 * Negative answers carry an SOA, whose MINIMUM is how long they may be kept (RFC 2308): seconds, because endpoints come and
 * go. Records of the name that was asked for point to it in the question (RFC 1035 section 4.1.4), whatever bytes it has.
 */
import { createRequire } from 'node:module';
import type { Answer as Content } from 'dns-packet';
import { onDemand } from '../../lib/on-demand.js';
import { contains, formatIp, type Ip, type IpRange, parseIp } from '../../model/ip.js';
import { HEADER_BYTES, type Query, RCODE, TYPE } from './message.js';
import type { Reply } from './message-writer.js';
import { type Found, GATEWAY_NAME, type Zone } from './zone.js';

/** Required, not imported: a lab without questions for names does without it. */
const dnsPacket = onDemand((): typeof import('dns-packet') => createRequire(import.meta.url)('dns-packet'));

/** Seconds for which clients may keep what is answered here. */
export const LOCAL_TTL = 5;

/** As the name of a record: the name that was asked for. (The root, which has no records here, stands for it.) */
const QUESTION = '.';
const POINTER_TO_QUESTION = Buffer.of(0xc0, HEADER_BYTES);

/** The names and addresses that one network's server knows. */
export interface LocalNames {
  /** The network's own zone first. */
  zones: readonly Zone[];
  /** Subnets of all these networks. */
  subnets: readonly IpRange[];
}

/** RFC 6761 (invalid), 6762 (local), 7686 (onion), 9462 section 6.4 (resolver.arpa): nobody outside knows them. */
const NEVER_FORWARDED = [['invalid'], ['local'], ['onion'], ['resolver', 'arpa']];

/** null: somebody else has to be asked. */
export function answerLocally(names: LocalNames, query: Query): Reply | null {
  const { labels } = query;
  const zone = nearestZone(names, labels);
  if (zone !== null) return answerOfZones(names, zone, query);
  const reverse = parseReverse(labels);
  if (reverse !== null && names.subnets.some((subnet) => contains(subnet, reverse))) {
    return answerReverse(names, query, formatIp(reverse.family, reverse.value));
  }
  if (endsWith(labels, ['localhost'])) return answerAddresses(query, ['127.0.0.1', '::1'], 'localhost');
  if (NEVER_FORWARDED.some((name) => endsWith(labels, name))) return negative(RCODE.noName, QUESTION);
  return labels.length === 1 ? answerSingle(names, query) : null;
}

/** RFC 1034 section 4.3.2: of the domains that a name is in, one may be in another, and the inner one knows. */
function nearestZone({ zones }: LocalNames, labels: readonly string[]): Zone | null {
  let nearest: Zone | null = null;
  for (const zone of zones) {
    if (!endsWith(labels, zone.domainLabels)) continue;
    if (nearest === null || zone.domainLabels.length > nearest.domainLabels.length) nearest = zone;
  }
  return nearest;
}

/** Several networks may have one domain: whichever knows the name answers. */
function answerOfZones({ zones }: LocalNames, first: Zone, query: Query): Reply {
  const before = query.labels.slice(0, query.labels.length - first.domainLabels.length);
  for (const zone of zones) {
    if (zone.domain !== first.domain) continue;
    const found = zone.find(before);
    if (found === null) continue;
    return before.length === 0 ? answerApex(zone, query) : answerFound(zone, found, query);
  }
  return negative(RCODE.noName, first.domain);
}

function answerApex(zone: Zone, { type }: Query): Reply {
  const nameServer = `${GATEWAY_NAME}.${zone.domain}`;
  const answers: Buffer[] = [];
  if (type === TYPE.soa || type === TYPE.any) answers.push(soa(zone.domain));
  if (type === TYPE.ns || type === TYPE.any) {
    answers.push(write({ type: 'NS', name: QUESTION, ttl: LOCAL_TTL, class: 'IN', data: nameServer }));
  }
  if (answers.length === 0) return negative(RCODE.ok, zone.domain);
  return { rcode: RCODE.ok, isAuthoritative: true, answers, additionals: addressRecords(nameServer, zone.gateway) };
}

function answerFound(zone: Zone, found: Found, query: Query): Reply {
  if (found.services.length === 0 || (query.type !== TYPE.srv && query.type !== TYPE.any)) {
    return answerAddresses(query, found.addresses, zone.domain);
  }
  const answers = found.services.map(({ port, host }) =>
    write({
      type: 'SRV',
      name: QUESTION,
      ttl: LOCAL_TTL,
      class: 'IN',
      data: { priority: 0, weight: 0, port, target: `${host}.${zone.domain}` },
    }),
  );
  const hosts = new Map(found.services.map(({ host, addresses }) => [host, addresses]));
  const additionals = [...hosts].flatMap(([host, addresses]) => addressRecords(`${host}.${zone.domain}`, addresses));
  return { rcode: RCODE.ok, isAuthoritative: true, answers, additionals };
}

function answerAddresses({ type }: Query, addresses: readonly string[], zone: string): Reply {
  const wanted = addresses.filter((address) => type === TYPE.any || type === typeOf(address));
  const answers = addressRecords(QUESTION, wanted);
  if (answers.length === 0) return negative(RCODE.ok, zone);
  return { rcode: RCODE.ok, isAuthoritative: true, answers };
}

/** Addresses of these networks have the names that they have here, or none. */
function answerReverse({ zones }: LocalNames, { type }: Query, address: string): Reply {
  const names = zones.flatMap((zone) => zone.nameOf(address) ?? []);
  // The zone is the name itself: nobody else's is claimed by that.
  if (names.length === 0) return negative(RCODE.noName, QUESTION);
  if (type !== TYPE.ptr && type !== TYPE.any) return negative(RCODE.ok, QUESTION);
  const answers = [...new Set(names)].map((data) =>
    write({ type: 'PTR', name: QUESTION, ttl: LOCAL_TTL, class: 'IN', data }),
  );
  return { rcode: RCODE.ok, isAuthoritative: true, answers };
}

/**
 * A name of one label is a name of the network for clients that know no search list. The outside is asked only for what is
 * not an address: `com NS` is a good question, the address of `web` is none.
 */
function answerSingle({ zones }: LocalNames, query: Query): Reply | null {
  const { labels, type } = query;
  for (const zone of zones) {
    const found = zone.find(labels);
    if (found !== null) return answerAddresses(query, found.addresses, zone.domain);
  }
  if (zones.some(({ domainLabels }) => endsWith(domainLabels, labels))) return negative(RCODE.ok, QUESTION);
  const isAddress = type === TYPE.a || type === TYPE.aaaa || type === TYPE.any;
  return isAddress ? negative(RCODE.noName, QUESTION) : null;
}

function negative(rcode: number, zone: string): Reply {
  return { rcode, isAuthoritative: true, authorities: [soa(zone)] };
}

function soa(zone: string): Buffer {
  const below = zone === QUESTION ? '' : `.${zone}`;
  return write({
    type: 'SOA',
    name: zone,
    ttl: LOCAL_TTL,
    data: {
      mname: GATEWAY_NAME + below,
      rname: `hostmaster${below}`,
      // Nobody transfers the zone, so nobody compares serials.
      serial: 1,
      refresh: 3600,
      retry: 600,
      expire: 86_400,
      minimum: LOCAL_TTL,
    },
  });
}

function addressRecords(name: string, addresses: readonly string[]): Buffer[] {
  return addresses.map((data) =>
    write({ type: typeOf(data) === TYPE.a ? 'A' : 'AAAA', name, ttl: LOCAL_TTL, class: 'IN', data }),
  );
}

function typeOf(address: string): number {
  return address.includes(':') ? TYPE.aaaa : TYPE.a;
}

/** One record. The package knows only whole messages, and no names that point elsewhere. */
function write(content: Content): Buffer {
  const bytes = dnsPacket()
    .encode({ type: 'response', answers: [content] })
    .subarray(HEADER_BYTES);
  return content.name === QUESTION ? Buffer.concat([POINTER_TO_QUESTION, bytes.subarray(1)]) : bytes;
}

function endsWith(labels: readonly string[], suffix: readonly string[]): boolean {
  const from = labels.length - suffix.length;
  return from >= 0 && suffix.every((label, index) => labels[from + index] === label);
}

/** The address that `4.3.2.1.in-addr.arpa` or 32 nibbles of `ip6.arpa` (RFC 3596 section 2.5) stand for, or null. */
export function parseReverse(labels: readonly string[]): Ip | null {
  if (labels.length === 6 && endsWith(labels, ['in-addr', 'arpa'])) {
    return parseIp(labels.slice(0, 4).reverse().join('.'));
  }
  if (labels.length !== 34 || !endsWith(labels, ['ip6', 'arpa'])) return null;
  const nibbles = labels.slice(0, 32).reverse();
  if (!nibbles.every((nibble) => /^[0-9a-f]$/.test(nibble))) return null;
  return parseIp(nibbles.join('').replace(/....(?=.)/g, '$&:'));
}
