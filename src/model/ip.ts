/**
 * IP addresses, subnets and ranges as values that can be compared and counted, for the control thread only.
 *
 * An address is its family and one bigint, so that IPv4 and IPv6 share all arithmetic. Text stays canonical (RFC 5952),
 * which makes comparing texts the same as comparing addresses. The datapath uses numbers and bytes: wire/addresses.ts.
 */
import { formatIpv4, formatIpv6Bytes, parseIpv4, parseIpv6 } from '../wire/addresses.js';

export type Family = 4 | 6;

export interface Ip {
  family: Family;
  value: bigint;
}

/** Addresses `first`..`last`, both included. */
export interface IpRange {
  family: Family;
  first: bigint;
  last: bigint;
}

/** A range that is aligned to a prefix length. */
export interface Subnet extends IpRange {
  prefix: number;
  /** Canonical, e.g. `10.0.0.0/24`. */
  text: string;
}

/** Reading that fails says why, for people. */
export type Read<T> = { ok: true; value: T } | { ok: false; reason: string };

export function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** null when the text is no address. */
export function parseIp(text: string): Ip | null {
  if (text.includes(':')) {
    const bytes = parseIpv6(text);
    if (bytes === null) return null;
    let value = 0n;
    for (const byte of bytes) value = (value << 8n) | BigInt(byte);
    return { family: 6, value };
  }
  const address = parseIpv4(text);
  return address === null ? null : { family: 4, value: BigInt(address >>> 0) };
}

export function formatIp(family: Family, value: bigint): string {
  if (family === 4) return formatIpv4(Number(value) | 0);
  const bytes = new Uint8Array(16);
  for (let i = 15, rest = value; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 255n);
  return formatIpv6Bytes(bytes);
}

/** `10.0.0.0/24`. The address must be the first of the prefix: `10.0.0.1/24` is refused, with the right spelling named. */
export function parseSubnet(text: string): Read<Subnet> {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? null : parseIp(text.slice(0, slash));
  if (ip === null)
    return { ok: false, reason: `${quote(text)} is no subnet; write it as ADDRESS/PREFIX, e.g. 10.0.0.0/24` };
  const bits = bitsOf(ip.family);
  const prefixText = text.slice(slash + 1);
  const prefix = /^(0|[1-9][0-9]{0,2})$/.test(prefixText) ? Number(prefixText) : -1;
  if (prefix < 0 || prefix > bits)
    return { ok: false, reason: `${quote(text)} is no subnet: the prefix length is 0..${bits}` };
  const subnet = subnetOf(ip, prefix);
  if (subnet.first !== ip.value) {
    return { ok: false, reason: `${text} has host bits set; did you mean ${subnet.text}?` };
  }
  return { ok: true, value: subnet };
}

/** The subnet of a prefix length that holds the address. */
export function subnetOf(ip: Ip, prefix: number): Subnet {
  const hostBits = BigInt(bitsOf(ip.family) - prefix);
  const first = (ip.value >> hostBits) << hostBits;
  const last = first | ((1n << hostBits) - 1n);
  return { family: ip.family, first, last, prefix, text: `${formatIp(ip.family, first)}/${prefix}` };
}

/** `10.0.0.10-10.0.0.99`, a subnet, or one address. */
export function parseRange(text: string): Read<IpRange> {
  if (text.includes('/')) return parseSubnet(text);
  const dash = text.indexOf('-');
  const first = parseIp(dash < 0 ? text : text.slice(0, dash).trim());
  const last = dash < 0 ? first : parseIp(text.slice(dash + 1).trim());
  if (first === null || last === null) {
    return { ok: false, reason: `${quote(text)} is neither FIRST-LAST nor ADDRESS/PREFIX nor an address` };
  }
  if (first.family !== last.family) return { ok: false, reason: `${text} mixes IPv4 and IPv6` };
  if (first.value > last.value) return { ok: false, reason: `${text} ends before it begins` };
  return { ok: true, value: { family: first.family, first: first.value, last: last.value } };
}

/** Canonical: one address, or FIRST-LAST; a range that was written as a subnet stays one. */
export function formatRange(range: IpRange): string {
  if ('text' in range) return (range as Subnet).text;
  const first = formatIp(range.family, range.first);
  return range.first === range.last ? first : `${first}-${formatIp(range.family, range.last)}`;
}

export function contains(range: IpRange, ip: Ip): boolean {
  return range.family === ip.family && range.first <= ip.value && ip.value <= range.last;
}

export function holds(outer: IpRange, inner: IpRange): boolean {
  return outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;
}

export function overlaps(a: IpRange, b: IpRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last;
}

/**
 * The addresses of a subnet that an interface may have. IPv4: without network and broadcast address, except that a /31 has
 * two (RFC 3021) and a /32 one. IPv6: without the subnet-router anycast address (RFC 4291 section 2.6.1), except that a
 * /127 has two (RFC 6164) and a /128 one.
 */
export function usableRange(subnet: Subnet): IpRange {
  const { family, first, last } = subnet;
  const isTiny = subnet.prefix >= bitsOf(family) - 1;
  if (isTiny) return { family, first, last };
  return { family, first: first + 1n, last: family === 4 ? last - 1n : last };
}

const IPV4_FORBIDDEN: [string, string][] = [
  ['0.0.0.0/8', '"this network"'],
  ['127.0.0.0/8', 'loopback'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
];
const IPV6_FORBIDDEN: [string, string][] = [
  ['::/127', 'unspecified and loopback'],
  ['::ffff:0:0/96', 'IPv4-mapped'],
  ['fe80::/10', 'link-local, which every interface has already'],
  ['ff00::/8', 'multicast'],
];
const FORBIDDEN = [...IPV4_FORBIDDEN, ...IPV6_FORBIDDEN].map(([text, what]) => {
  const read = parseSubnet(text);
  if (!read.ok) throw new Error(read.reason);
  return { range: read.value, what };
});

/** Why no network can have these addresses, or null when it can. */
export function whyUnusable(range: IpRange): string | null {
  for (const { range: forbidden, what } of FORBIDDEN) {
    if (overlaps(range, forbidden)) return `it overlaps ${forbidden.text} (${what})`;
  }
  return null;
}

/** Text from outside, made safe for a message: bounded, control characters escaped. */
export function quote(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 77)}...` : text;
  return JSON.stringify(short);
}
