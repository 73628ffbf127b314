/**
 * A published port: what arrives for a port of the outside goes to a port of an endpoint.
 *
 * Text: `[HOSTIP:]HOSTPORT[-END]:PORT[-END][/tcp|udp]`, e.g. `8080:80`, `192.0.2.1:8000-8010:9000/udp`, `[2001:db8::1]:53:53/udp`.
 * Without HOSTIP every address of the outside is meant, with `0.0.0.0` or `[::]` every one of that family.
 */
import { contains, type Family, formatIp, parseIp, parseSubnet, quote, type Read } from './ip.js';

export type PublishProtocol = 'tcp' | 'udp';

export interface PublishedPort {
  /** Canonical; null = every address, `0.0.0.0` or `::` = every one of the family. */
  hostIp: string | null;
  /** Both included; `hostFirst` goes to `port`, the next one to the next port. */
  hostFirst: number;
  hostLast: number;
  port: number;
  protocol: PublishProtocol;
}

const SYNTAX = 'write it as [HOSTIP:]HOSTPORT[-END]:PORT[/tcp|udp], e.g. 8080:80/tcp';
/** Address of the host (in brackets for IPv6), its ports, the port of the endpoint, protocol. */
const SPEC = /^(?:(\[[^\]]*\]|[^:[\]]*):)?(\d{1,5})(?:-(\d{1,5}))?:(\d{1,5})(?:-(\d{1,5}))?(?:\/([a-zA-Z]+))?$/;

export function parsePublished(text: string): Read<PublishedPort> {
  const fail = (why: string): Read<PublishedPort> => ({ ok: false, reason: `${quote(text)}: ${why}` });
  const parts = SPEC.exec(text.trim());
  if (parts === null) return fail(`that is no published port; ${SYNTAX}`);
  const [, host, hostText = '', hostEnd = hostText, portText = '', portEnd, protocolText = 'tcp'] = parts;
  const protocol = protocolText.toLowerCase();
  if (protocol !== 'tcp' && protocol !== 'udp') return fail('only tcp and udp ports can be published');
  const [hostFirst, hostLast, port] = [Number(hostText), Number(hostEnd), Number(portText)];
  const last = port + hostLast - hostFirst;
  if ([hostFirst, hostLast, port].some((number) => number < 1 || number > 65535)) return fail('ports are 1 to 65535');
  if (hostLast < hostFirst) return fail(`the range ${hostFirst}-${hostLast} ends before it begins`);
  if (last > 65535) return fail(`the range would end at port ${last} of the endpoint`);
  if (portEnd !== undefined && Number(portEnd) !== last) return fail('the two ranges are of different lengths');
  const hostIp = readHostIp(host);
  if (hostIp === undefined)
    return fail(`that is no published port: ${quote(host ?? '')} is no address of a host; ${SYNTAX}`);
  return { ok: true, value: { hostIp, hostFirst, hostLast, port, protocol } };
}

/** Multicast and what is above it, IPv6 multicast, IPv4-mapped: what no host has. */
const NO_HOSTS = ['224.0.0.0/3', 'ff00::/8', '::ffff:0:0/96'].map(parseSubnet);

/** undefined: no address that a host has. */
function readHostIp(text: string | undefined): string | null | undefined {
  if (text === undefined) return null;
  const isBracketed = text.startsWith('[');
  const ip = parseIp(isBracketed ? text.slice(1, -1) : text);
  if (ip === null || (ip.family === 6) !== isBracketed) return undefined;
  if (NO_HOSTS.some((subnet) => subnet.ok && contains(subnet.value, ip))) return undefined;
  return formatIp(ip.family, ip.value);
}

/** Canonical text; the same port has the same text. */
export function formatPublished({ hostIp, hostFirst, hostLast, port, protocol }: PublishedPort): string {
  const host = hostIp === null ? '' : `${hostIp.includes(':') ? `[${hostIp}]` : hostIp}:`;
  const range = hostFirst === hostLast ? `${hostFirst}` : `${hostFirst}-${hostLast}`;
  return `${host}${range}:${port}/${protocol}`;
}

/** A canonical text, which was accepted before. */
export function publishedFrom(text: string): PublishedPort {
  const read = parsePublished(text);
  if (!read.ok) throw new Error(read.reason);
  return read.value;
}

/** Lists of canonical texts, which never change, and what they say. */
const readLists = new WeakMap<readonly string[], readonly PublishedPort[]>();

/** All published ports of an endpoint; read once, because every change looks at those of all endpoints. */
export function publishedPorts(publish: readonly string[]): readonly PublishedPort[] {
  const known = readLists.get(publish);
  if (known !== undefined) return known;
  const ports = publish.map(publishedFrom);
  readLists.set(publish, ports);
  return ports;
}

/** Whether the port is published for addresses of the family. */
export function isOfFamily({ hostIp }: PublishedPort, family: Family): boolean {
  return hostIp === null || hostIp.includes(':') === (family === 6);
}

export function isEveryAddress({ hostIp }: PublishedPort): boolean {
  return hostIp === null || hostIp === '0.0.0.0' || hostIp === '::';
}

/** Whether two published ports cannot be together on the same outside. */
export function doClash(a: PublishedPort, b: PublishedPort): boolean {
  if (a.protocol !== b.protocol || a.hostFirst > b.hostLast || b.hostFirst > a.hostLast) return false;
  if (a.hostIp === b.hostIp || a.hostIp === null || b.hostIp === null) return true;
  return (isEveryAddress(a) || isEveryAddress(b)) && a.hostIp.includes(':') === b.hostIp.includes(':');
}
