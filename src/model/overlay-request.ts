/**
 * Reads what a network of type overlay has besides other networks: its VNI, its VTEP, and the VTEPs of other hosts.
 *
 * The fields stand in an object `overlay` of the request, or beside `type` for those who write them by hand.
 */
import { formatMac, isStationMac, parseMac } from '../wire/addresses.js';
import type { FieldReader, TextAt } from './field-reader.js';
import { contains, formatIp, holds, type Ip, parseIp, parseSubnet, quote, type Subnet, usableRange } from './ip.js';
import { whyBadIfname } from './names.js';
import type { OverlaySpec, RemoteSubnet, Underlay } from './network.js';
import type { Problem } from './problems.js';

export const UNDERLAYS: readonly Underlay[] = ['socket', 'tap'];
export const INNER_VLANS: readonly OverlaySpec['innerVlan'][] = ['strip', 'keep'];
/** RFC 7348 section 5: 24 bits. */
export const VNI_MAX = 2 ** 24 - 1;
/** RFC 7348 section 5: assigned by IANA. */
export const VXLAN_PORT = 4789;
const DSCP_MAX = 63;
const MAX_PEERS = 4096;
const MAX_REMOTE_SUBNETS = 1024;
const PATH_MAX = 4095;

/** Names of the fields of an OverlaySpec. */
export const OVERLAY_FIELDS = [
  'vni',
  'underlay',
  'vtep',
  'port',
  'underlayNetns',
  'peers',
  'peersClosed',
  'group',
  'groupInterface',
  'learning',
  'innerVlan',
  'dscp',
  'checksum',
  'suppress',
  'remoteSubnets',
  'hostVnic',
  'shared',
] as const satisfies readonly (keyof OverlaySpec)[];

/** Of them, what tunnels that are in use stand on. */
export const FIXED_OVERLAY_FIELDS = [
  'vni',
  'underlay',
  'vtep',
  'port',
  'underlayNetns',
  'group',
  'groupInterface',
  'innerVlan',
  'checksum',
  'hostVnic',
  'shared',
] as const satisfies readonly (keyof OverlaySpec)[];

type OverlayField = (typeof OVERLAY_FIELDS)[number];
/** The reader of the object that has the field. */
type Reader = (field: OverlayField) => FieldReader;

export function readOverlay(fields: FieldReader, subnets: readonly Subnet[]): OverlaySpec {
  const nested = fields.object('overlay');
  for (const field of OVERLAY_FIELDS) {
    if (fields.has(field) && nested?.has(field)) {
      fields.fail(field, 'contradiction', 'it is given twice, here and in overlay');
    }
  }
  const at: Reader = (field) => (nested === null || fields.has(field) ? fields : nested);
  if (!at('vni').has('vni')) fields.fail('vni', 'missing', `an overlay network needs one: 0..${VNI_MAX}`);
  const underlay = at('underlay').choice('underlay', UNDERLAYS, 'socket');
  const vtep = readVtep(at, underlay);
  const { group, groupInterface } = readGroup(at, underlay);
  const peers = readPeers(at, vtep, group);
  const family = vtep?.family ?? group?.family ?? firstFamily(peers);
  const spec: OverlaySpec = {
    vni: at('vni').integer('vni', 0, VNI_MAX, 0),
    underlay,
    vtep: vtep === null ? null : textOf(vtep),
    port: at('port').integer('port', 1, 65535, VXLAN_PORT),
    underlayNetns: readNetns(at('underlayNetns')),
    peers,
    peersClosed: at('peersClosed').flag('peersClosed', false),
    group: group === null ? null : textOf(group),
    groupInterface,
    learning: at('learning').flag('learning', true),
    innerVlan: at('innerVlan').choice('innerVlan', INNER_VLANS, 'strip'),
    dscp: at('dscp').has('dscp') ? at('dscp').integer('dscp', 0, DSCP_MAX, 0) : null,
    checksum: at('checksum').flag('checksum', family === 6),
    suppress: at('suppress').flag('suppress', true),
    remoteSubnets: readRemoteSubnets(at('remoteSubnets'), subnets),
    hostVnic: readHostVnic(at('hostVnic'), subnets),
    shared: at('shared').flag('shared', false),
  };
  if (group !== null && vtep !== null && group.family !== vtep.family) {
    at('group').fail('group', 'bad-address', `${spec.group} and the VTEP ${spec.vtep} are of different families`);
  }
  nested?.finish();
  return spec;
}

/** For other types: names the fields that are only for overlays. Empty values are no harm. */
export function refuseOverlay(fields: FieldReader, type: string): void {
  const message = `it is only for networks of type overlay, not for ${type} ones`;
  for (const field of ['overlay', ...OVERLAY_FIELDS]) {
    if (fields.has(field)) fields.fail(field, 'not-applicable', message);
  }
}

/**
 * A change with the fields that stand beside others moved into `overlay`, so that it can be laid over a spec. Fields that are
 * in both places stay in both, which is a problem when they are read.
 */
export function nestOverlay(patch: Record<string, unknown>): Record<string, unknown> {
  const inner: Record<string, unknown> = isObject(patch.overlay) ? { ...patch.overlay } : {};
  const outer: Record<string, unknown> = { ...patch };
  for (const field of OVERLAY_FIELDS) {
    if (!Object.hasOwn(outer, field) || Object.hasOwn(inner, field)) continue;
    inner[field] = outer[field];
    delete outer[field];
  }
  return Object.keys(inner).length === 0 ? patch : { ...outer, overlay: inner };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readVtep(at: Reader, underlay: Underlay): Ip | null {
  const fields = at('vtep');
  const text = fields.text('vtep');
  if (text === undefined) {
    if (underlay === 'tap') {
      const message = 'underlay tap needs an address of its own for the VTEP, one that nobody else has';
      fields.fail('vtep', 'missing', message);
    }
    return null;
  }
  const read = parseVtep(text);
  if (read.ok) return read.ip;
  fields.fail('vtep', 'bad-address', read.why);
  return null;
}

/** The address of a VTEP, of this host or of another. */
export function parseVtep(text: string): { ok: true; ip: Ip } | { ok: false; why: string } {
  const ip = parseIp(text);
  if (ip === null) return { ok: false, why: `${quote(text)} is no IP address` };
  const why = whyNoVtep(ip);
  return why === null ? { ok: true, ip } : { ok: false, why: `${textOf(ip)} cannot be the address of a VTEP: ${why}` };
}

const NO_STATION: readonly [string, string][] = [
  ['0.0.0.0/8', 'it is no address of a station'],
  ['224.0.0.0/4', 'it is a multicast group'],
  ['240.0.0.0/4', 'it is reserved'],
  ['::/128', 'it is no address of a station'],
  ['::ffff:0:0/96', 'write it as an IPv4 address'],
  ['fe80::/10', 'a link-local address means something on one link only'],
  ['ff00::/8', 'it is a multicast group'],
];

function whyNoVtep(ip: Ip): string | null {
  return NO_STATION.find(([prefix]) => contains(subnetFrom(prefix), ip))?.[1] ?? null;
}

function readGroup(at: Reader, underlay: Underlay): { group: Ip | null; groupInterface: string | null } {
  const fields = at('group');
  const text = fields.text('group');
  const groupInterface = readInterface(at('groupInterface'));
  if (text === undefined) {
    if (groupInterface !== null) {
      at('groupInterface').fail('groupInterface', 'not-applicable', 'there is no multicast group to join on it');
    }
    return { group: null, groupInterface };
  }
  const ip = parseIp(text);
  if (ip === null) fields.fail('group', 'bad-address', `${quote(text)} is no IP address`);
  else if (!isGroup(ip)) fields.fail('group', 'bad-address', `${textOf(ip)} is no multicast group`);
  if (underlay === 'tap') fields.fail('group', 'not-applicable', 'it is only for underlay socket, not for tap');
  return { group: ip, groupInterface };
}

function isGroup(ip: Ip): boolean {
  return contains(subnetFrom('224.0.0.0/4'), ip) || contains(subnetFrom('ff00::/8'), ip);
}

function readInterface(fields: FieldReader): string | null {
  const name = fields.text('groupInterface');
  if (name === undefined) return null;
  const why = whyBadIfname(name);
  if (why !== null) fields.fail('groupInterface', 'bad-name', `${quote(name)} names no interface: ${why}`);
  return name;
}

/** Canonical addresses of other VTEPs, all of the family of the own one. */
function readPeers(at: Reader, vtep: Ip | null, group: Ip | null): string[] {
  const found = new Map<string, Ip>();
  const fields = at('peers');
  const texts = fields.texts('peers');
  if (texts.length > MAX_PEERS) fields.fail('peers', 'out-of-range', `a network has at most ${MAX_PEERS} peers`);
  for (const { text, path } of texts.slice(0, MAX_PEERS)) {
    const read = parseVtep(text);
    const why = read.ok ? whyNoPeer(read.ip, vtep, group, found) : read.why;
    if (why !== null) fields.problems.push({ path, code: 'bad-address', message: why });
    else if (read.ok) found.set(textOf(read.ip), read.ip);
  }
  return [...found.keys()];
}

function whyNoPeer(ip: Ip, vtep: Ip | null, group: Ip | null, others: ReadonlyMap<string, Ip>): string | null {
  const text = textOf(ip);
  if (vtep !== null && textOf(vtep) === text) return `${text} is the VTEP of this host itself`;
  const other = vtep ?? group ?? others.values().next().value;
  if (other === undefined || other.family === ip.family) return null;
  const what = other === vtep ? 'the VTEP' : other === group ? 'the group' : 'the peer';
  return `${text} and ${what} ${textOf(other)} are of different families`;
}

function firstFamily(peers: readonly string[]): number | null {
  const first = peers[0];
  return first === undefined ? null : first.includes(':') ? 6 : 4;
}

function readNetns(fields: FieldReader): string | null {
  const path = fields.text('underlayNetns');
  if (path === undefined) return null;
  if (!path.startsWith('/')) {
    const hint = 'name the file of a namespace, e.g. /run/netns/underlay';
    fields.fail('underlayNetns', 'bad-path', `${quote(path)} is no absolute path; ${hint}`);
  } else if (path.length > PATH_MAX || path.includes('\0')) {
    fields.fail('underlayNetns', 'bad-path', `${quote(path)} cannot be a path`);
  }
  return path;
}

function readRemoteSubnets(fields: FieldReader, subnets: readonly Subnet[]): RemoteSubnet[] {
  const found: RemoteSubnet[] = [];
  const rows = fields.objects('remoteSubnets');
  if (rows.length > MAX_REMOTE_SUBNETS) {
    fields.fail('remoteSubnets', 'out-of-range', `there are at most ${MAX_REMOTE_SUBNETS}`);
  }
  for (const row of rows.slice(0, MAX_REMOTE_SUBNETS)) {
    const remote = readRemoteSubnet(row, subnets);
    if (remote === null) continue;
    if (found.some(({ prefix }) => prefix === remote.prefix)) {
      row.fail('prefix', 'contradiction', `${remote.prefix} is named twice`);
    } else found.push(remote);
  }
  return found;
}

function readRemoteSubnet(row: FieldReader, subnets: readonly Subnet[]): RemoteSubnet | null {
  const problems = row.problems.length;
  const text = row.requiredText('prefix');
  const read = parseSubnet(text);
  if (row.has('prefix') && !read.ok) row.fail('prefix', 'bad-prefix', read.reason);
  const vtep = row.requiredText('vtep');
  const behind = parseVtep(vtep);
  if (row.has('vtep') && !behind.ok) row.fail('vtep', 'bad-address', behind.why);
  const vni = row.has('vni') ? row.integer('vni', 0, VNI_MAX, 0) : null;
  const macText = row.requiredText('mac');
  const mac = parseMac(macText);
  if (row.has('mac') && (mac === null || !isStationMac(mac.high, mac.low))) {
    row.fail('mac', 'bad-mac', `${quote(macText)} is no MAC of a router; write it as 02:00:5e:10:00:01`);
  }
  row.finish();
  if (read.ok) {
    const own = subnets.find((subnet) => holds(subnet, read.value));
    if (subnets.length === 0)
      row.fail('prefix', 'bad-prefix', 'a network without subnets has no gateway that could route');
    else if (own !== undefined) {
      row.fail(
        'prefix',
        'bad-prefix',
        `${read.value.text} lies inside ${own.text}, whose stations reach each other without a route`,
      );
    }
  }
  if (row.problems.length > problems || !read.ok || !behind.ok || mac === null) return null;
  return { prefix: read.value.text, vtep: textOf(behind.ip), vni, mac: formatMac(mac.high, mac.low) };
}

/** true: with addresses that weft chooses; or the addresses. */
function readHostVnic(fields: FieldReader, subnets: readonly Subnet[]): string[] | null {
  const given = fields.flagOrTexts('hostVnic', false);
  if (typeof given === 'boolean') return given ? [] : null;
  const found = new Map<string, string>();
  for (const at of given) {
    const fail = (message: string): Problem => ({ path: at.path, code: 'bad-address', message });
    const problem = enterHostAddress(at, subnets, found, fail);
    if (problem !== null) fields.problems.push(problem);
  }
  return [...found.values()];
}

function enterHostAddress(
  { text }: TextAt,
  subnets: readonly Subnet[],
  found: Map<string, string>,
  fail: (message: string) => Problem,
): Problem | null {
  const ip = parseIp(text);
  if (ip === null) return fail(`${quote(text)} is no IP address`);
  const subnet = subnets.find((candidate) => contains(candidate, ip));
  if (subnet === undefined) return fail(`${textOf(ip)} lies in none of the subnets of the network`);
  if (!contains(usableRange(subnet), ip))
    return fail(`${textOf(ip)} is not an address that a station of ${subnet.text} can have`);
  if (found.has(subnet.text)) return fail(`the host has one address of ${subnet.text}, and two are named`);
  found.set(subnet.text, textOf(ip));
  return null;
}

function textOf(ip: Ip): string {
  return formatIp(ip.family, ip.value);
}

function subnetFrom(text: string): Subnet {
  const read = parseSubnet(text);
  if (!read.ok) throw new Error(read.reason);
  return read.value;
}
