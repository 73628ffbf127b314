/**
 * Reads a request for an endpoint. What the user left open (address, MAC, interface name) stays open here; it is
 * filled in by desired-state.ts, which knows the network and the compartment.
 */
import { formatMac, isStationMac, parseMac } from '../wire/addresses.js';
import type { EndpointSpec, VlanSpec } from './endpoint.js';
import { FieldReader } from './field-reader.js';
import { formatIp, parseIp, quote } from './ip.js';
import { whyBadIfname, whyBadName } from './names.js';
import type { Parsed } from './network-request.js';
import { parseVtep } from './overlay-request.js';
import type { Problem } from './problems.js';
import { doClash, formatPublished, type PublishedPort, parsePublished } from './published-port.js';
import { whyBadDomain } from './services-request.js';

/** An endpoint as asked for: null and [] where weft is to choose. */
export interface EndpointWish extends Omit<EndpointSpec, 'ifname' | 'mac'> {
  ifname: string | null;
  mac: string | null;
}

/** IEEE 802.1Q: 0 is a priority tag and 4095 is reserved. */
const VLAN_MAX = 4094;
const MAX_STATIC_MACS = 1024;
const MAX_PUBLISHED = 256;
const MAX_ALIASES = 64;

export function parseEndpointRequest(request: unknown, path = ''): Parsed<EndpointWish> {
  const problems: Problem[] = [];
  const fields = new FieldReader(request, path, problems);
  const wish: EndpointWish = {
    name: readName(fields, 'name'),
    network: readName(fields, 'network'),
    compartment: fields.has('compartment') ? readName(fields, 'compartment') : null,
    vtep: readVtep(fields),
    ifname: fields.text('ifname') ?? null,
    mac: readMac(fields),
    ip: readAddresses(fields),
    defaultRoute: fields.flag('defaultRoute', true),
    vlan: readVlan(fields),
    isolated: fields.flag('isolated', false),
    offload: fields.flag('offload', true),
    staticMacs: readStaticMacs(fields),
    publish: readPublished(fields),
    configure: fields.flag('configure', true),
    aliases: readAliases(fields),
  };
  const badIfname = wish.ifname === null ? null : whyBadIfname(wish.ifname);
  if (badIfname !== null) {
    fields.fail('ifname', 'bad-name', `${quote(wish.ifname ?? '')} cannot be an interface: ${badIfname}`);
  }
  fields.finish();
  return problems.length === 0 ? { ok: true, value: wish } : { ok: false, problems };
}

/** What a living endpoint would be after a change; the fields that cannot change are refused. */
export function parseEndpointPatch(patch: unknown, current: EndpointSpec): Parsed<EndpointSpec> {
  const problems: Problem[] = [];
  const fields = new FieldReader(patch, '', problems);
  for (const field of ['name', 'network', 'ifname', 'mac', 'ip', 'defaultRoute', 'offload', 'configure']) {
    if (fields.has(field)) {
      fields.fail(
        field,
        'immutable',
        `${field} cannot change while the endpoint exists; delete it and create it again`,
      );
    }
  }
  if (fields.has('compartment')) {
    fields.fail('compartment', 'immutable', 'use attach and detach to move an endpoint between compartments');
  }
  const isVlanNamed = typeof patch === 'object' && patch !== null && Object.hasOwn(patch, 'vlan');
  const vlan = readVlan(fields);
  const changed: EndpointSpec = {
    ...current,
    isolated: fields.flag('isolated', current.isolated),
    vlan: isVlanNamed ? vlan : current.vlan,
    staticMacs: fields.has('staticMacs') ? readStaticMacs(fields) : current.staticMacs,
    publish: fields.has('publish') ? readPublished(fields) : current.publish,
    aliases: fields.has('aliases') ? readAliases(fields) : current.aliases,
    vtep: readVtep(fields) ?? current.vtep,
  };
  if (fields.has('vtep') && current.vtep === null) {
    fields.fail(
      'vtep',
      'immutable',
      'an endpoint of this host does not become a remote one; delete it and create it again',
    );
  }
  fields.finish();
  return problems.length === 0 ? { ok: true, value: changed } : { ok: false, problems };
}

function readName(fields: FieldReader, field: string): string {
  const name = fields.requiredText(field);
  const bad = whyBadName(name);
  if (bad !== null && fields.has(field)) fields.fail(field, 'bad-name', `${quote(name)} cannot be a name: ${bad}`);
  return name;
}

function readVtep(fields: FieldReader): string | null {
  const text = fields.text('vtep');
  if (text === undefined) return null;
  const read = parseVtep(text);
  if (read.ok) return formatIp(read.ip.family, read.ip.value);
  fields.fail('vtep', 'bad-address', read.why);
  return null;
}

function readMac(fields: FieldReader): string | null {
  const text = fields.text('mac');
  if (text === undefined) return null;
  const mac = parseMac(text);
  if (mac !== null && isStationMac(mac.high, mac.low)) return formatMac(mac.high, mac.low);
  fields.fail('mac', 'bad-mac', `${quote(text)} ${whyBadMac(mac !== null)}`);
  return null;
}

function readStaticMacs(fields: FieldReader): string[] {
  const macs = new Set<string>();
  const texts = fields.texts('staticMacs');
  if (texts.length > MAX_STATIC_MACS) {
    fields.fail('staticMacs', 'out-of-range', `an endpoint has at most ${MAX_STATIC_MACS} static MACs`);
  }
  for (const { text, path } of texts.slice(0, MAX_STATIC_MACS)) {
    const mac = parseMac(text);
    if (mac !== null && isStationMac(mac.high, mac.low)) macs.add(formatMac(mac.high, mac.low));
    else fields.problems.push({ path, code: 'bad-mac', message: `${quote(text)} ${whyBadMac(mac !== null)}` });
  }
  return [...macs];
}

/** Canonical texts; whether the network can publish and the ports are free is for desired-state.ts to say. */
function readPublished(fields: FieldReader): string[] {
  const found: PublishedPort[] = [];
  const texts = fields.texts('publish');
  if (texts.length > MAX_PUBLISHED) {
    fields.fail('publish', 'out-of-range', `an endpoint publishes at most ${MAX_PUBLISHED} ports and ranges`);
  }
  for (const { text, path } of texts.slice(0, MAX_PUBLISHED)) {
    const read = parsePublished(text);
    const other = read.ok ? found.find((candidate) => doClash(candidate, read.value)) : undefined;
    if (!read.ok) fields.problems.push({ path, code: 'bad-port', message: read.reason });
    else if (other === undefined) found.push(read.value);
    else if (formatPublished(other) !== formatPublished(read.value)) {
      const message = `${quote(text)} overlaps ${formatPublished(other)} of the same endpoint`;
      fields.problems.push({ path, code: 'bad-port', message });
    }
  }
  return found.map(formatPublished);
}

/** One label each, lower case: case means nothing in DNS (RFC 4343). */
function readAliases(fields: FieldReader): string[] {
  const found: string[] = [];
  const texts = fields.texts('aliases');
  if (texts.length > MAX_ALIASES) fields.fail('aliases', 'out-of-range', `there are at most ${MAX_ALIASES}`);
  for (const { text, path } of texts.slice(0, MAX_ALIASES)) {
    const alias = text.toLowerCase();
    const why = whyBadDomain(alias);
    if (why !== null) fields.problems.push({ path, code: 'bad-name', message: `${quote(text)} is no alias: ${why}` });
    else if (!found.includes(alias)) found.push(alias);
  }
  return found;
}

function whyBadMac(isMac: boolean): string {
  return isMac ? 'is a group address or all zero, no station can have it' : 'is no MAC; write it as 02:00:5e:10:00:01';
}

function readAddresses(fields: FieldReader): string[] {
  const addresses: string[] = [];
  for (const { text, path } of fields.texts('ip')) {
    const ip = parseIp(text);
    if (ip === null) {
      const hint = text.includes('/') ? '; leave the prefix length out, it is that of the subnet' : '';
      fields.problems.push({ path, code: 'bad-address', message: `${quote(text)} is no IP address${hint}` });
      continue;
    }
    const canonical = formatIp(ip.family, ip.value);
    if (!addresses.includes(canonical)) addresses.push(canonical);
  }
  return addresses;
}

function readVlan(fields: FieldReader): VlanSpec | null {
  const vlan = fields.object('vlan');
  if (vlan === null) return null;
  if (!vlan.has('mode')) vlan.fail('mode', 'missing', 'it is required: access or trunk');
  const mode = vlan.choice('mode', ['access', 'trunk'], 'access');
  let spec: VlanSpec;
  if (mode === 'access') {
    if (!vlan.has('id')) vlan.fail('id', 'missing', 'it is required for an access port');
    spec = { mode, id: vlan.integer('id', 1, VLAN_MAX, 1) };
  } else {
    const native = vlan.has('native') ? vlan.integer('native', 1, VLAN_MAX, 1) : null;
    const allowed = vlan.has('allowed')
      ? [...new Set(vlan.integers('allowed', 1, VLAN_MAX))].sort((a, b) => a - b)
      : null;
    spec = { mode, native, allowed };
  }
  vlan.finish();
  return spec;
}
