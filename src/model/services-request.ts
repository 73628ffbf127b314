/** Reads what the gateway of a network serves besides routing: DHCP (RFC 2131) and DNS. */
import type { FieldReader } from './field-reader.js';
import { contains, formatIp, parseIp, parseSubnet, quote, type Subnet } from './ip.js';
import type { DhcpSpec, DnsSpec } from './network.js';

const LEASE_DEFAULT_SECONDS = 3600;
export const LEASE_MIN_SECONDS = 10;
/** Below 0xffffffff, which means for ever (RFC 2131 section 3.3). */
export const LEASE_MAX_SECONDS = 31_536_000;
const MAX_ROUTES = 64;
const MAX_FORWARDERS = 8;

/** RFC 1035 section 2.3.1, with the underscore that names of weft may have; no dot at the end. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const DOMAIN_MAX = 190;

export function readDhcp(fields: FieldReader, subnets: readonly Subnet[]): DhcpSpec {
  const given = fields.flagOrObject('dhcp', true);
  if (typeof given === 'boolean') return { enabled: given, leaseSeconds: LEASE_DEFAULT_SECONDS, routes: [] };
  const spec: DhcpSpec = {
    enabled: given.flag('enabled', true),
    leaseSeconds: given.integer('leaseSeconds', LEASE_MIN_SECONDS, LEASE_MAX_SECONDS, LEASE_DEFAULT_SECONDS),
    routes: readRoutes(given, subnets),
  };
  given.finish();
  return spec;
}

export function readDns(fields: FieldReader, network: string): DnsSpec {
  const given = fields.flagOrObject('dns', true);
  const fallback = defaultDomain(network);
  if (typeof given === 'boolean') return { enabled: given, domain: fallback, forwarders: [] };
  const spec: DnsSpec = {
    enabled: given.flag('enabled', true),
    domain: readDomain(given, fallback),
    forwarders: readForwarders(given),
  };
  given.finish();
  return spec;
}

/** For networks that have no gateway in the datapath; `why`. */
export function refuseServices(fields: FieldReader, why: string): void {
  for (const field of ['dhcp', 'dns']) {
    const given = fields.flagOrObject(field, false);
    if (given !== false) fields.fail(field, 'not-applicable', why);
  }
}

/** Names of networks are letters, digits, `.`, `_` and `-`: made of labels, if they are short enough. */
export function defaultDomain(network: string): string {
  const domain = `${network.toLowerCase()}.weft`;
  return whyBadDomain(domain) === null ? domain : 'weft';
}

/** Why the text is no domain, or null. */
export function whyBadDomain(text: string): string | null {
  if (text.length > DOMAIN_MAX) return `a domain here has at most ${DOMAIN_MAX} characters`;
  if (text.split('.').every((label) => LABEL.test(label))) return null;
  return 'a domain is made of labels of 1 to 63 letters, digits, dashes and underscores, with dots in between';
}

function readDomain(fields: FieldReader, fallback: string): string {
  const text = fields.text('domain');
  if (text === undefined) return fallback;
  const domain = text.replace(/\.$/, '').toLowerCase();
  const why = whyBadDomain(domain);
  if (why !== null) fields.fail('domain', 'bad-domain', `${quote(text)} is no domain: ${why}`);
  return domain;
}

/** `ADDRESS` or `ADDRESS#PORT`, as dnsmasq writes it. */
export function parseForwarder(text: string): { address: string; port: number } | null {
  const [address = '', port = '53', ...more] = text.split('#');
  const ip = parseIp(address);
  const number = /^[1-9]\d{0,4}$/.test(port) ? Number(port) : 0;
  if (ip === null || more.length > 0 || number < 1 || number > 65535) return null;
  return { address: formatIp(ip.family, ip.value), port: number };
}

function readForwarders(fields: FieldReader): string[] {
  const found: string[] = [];
  const texts = fields.texts('forwarders');
  if (texts.length > MAX_FORWARDERS) fields.fail('forwarders', 'out-of-range', `there are at most ${MAX_FORWARDERS}`);
  for (const { text, path } of texts.slice(0, MAX_FORWARDERS)) {
    const forwarder = parseForwarder(text);
    if (forwarder === null) {
      const message = `${quote(text)} is no resolver; write it as ADDRESS or ADDRESS#PORT`;
      fields.problems.push({ path, code: 'bad-address', message });
      continue;
    }
    const canonical = forwarder.port === 53 ? forwarder.address : `${forwarder.address}#${forwarder.port}`;
    if (!found.includes(canonical)) found.push(canonical);
  }
  return found;
}

function readRoutes(fields: FieldReader, subnets: readonly Subnet[]): DhcpSpec['routes'] {
  const rows = fields.objects('routes');
  if (rows.length > MAX_ROUTES) fields.fail('routes', 'out-of-range', `there are at most ${MAX_ROUTES}`);
  return rows.slice(0, MAX_ROUTES).flatMap((row) => {
    const destination = row.requiredText('destination');
    const via = row.requiredText('via');
    row.finish();
    if (!row.has('destination') || !row.has('via')) return [];
    const read = parseSubnet(destination);
    const ip = parseIp(via);
    if (!read.ok) row.fail('destination', 'bad-prefix', read.reason);
    else if (read.value.family !== 4) row.fail('destination', 'bad-prefix', `${destination} is not IPv4`);
    if (ip === null || ip.family !== 4) row.fail('via', 'bad-address', `${quote(via)} is no IPv4 address`);
    else if (!subnets.some((subnet) => contains(subnet, ip))) {
      row.fail('via', 'bad-address', `${via} lies in none of the subnets of the network`);
    } else if (read.ok) return [{ destination: read.value.text, via: formatIp(4, ip.value) }];
    return [];
  });
}
