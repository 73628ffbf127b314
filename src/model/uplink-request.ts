/** Reads how a network reaches the outside. What the machine has to say to it (is there such an interface?) comes later. */
import type { FieldReader } from './field-reader.js';
import { formatIp, parseIp, quote, type Subnet } from './ip.js';
import { whyBadIfname } from './names.js';
import { whyNoExternal } from './nat-request.js';
import type { NetworkSpec } from './network.js';

export type UplinkSpec = Pick<NetworkSpec, 'uplink' | 'uplinkNetns' | 'externalIp' | 'nextHop' | 'masquerade'>;

/** Where the outside is: what `uplink` of a spec says. */
export type UplinkKind = { kind: 'host' | 'raw' | 'none' } | { kind: 'nic'; ifname: string };

const UPLINK_HINT = 'one of host, raw, none, nic:INTERFACE';
const PATH_MAX = 4095;
const MAX_EXTERNAL = 64;

export const NO_UPLINK: UplinkSpec = {
  uplink: null,
  uplinkNetns: null,
  externalIp: [],
  nextHop: [],
  masquerade: false,
};

/** Why the text names no uplink, or what it names. */
export function parseUplink(text: string): { ok: true; value: UplinkKind } | { ok: false; reason: string } {
  if (text === 'host' || text === 'raw' || text === 'none') return { ok: true, value: { kind: text } };
  if (!text.startsWith('nic:')) return { ok: false, reason: `${quote(text)} is no uplink: ${UPLINK_HINT}` };
  const ifname = text.slice('nic:'.length);
  const why = whyBadIfname(ifname);
  if (why === null) return { ok: true, value: { kind: 'nic', ifname } };
  return { ok: false, reason: `${quote(text)} names no interface: ${why}` };
}

/** `uplink` of a spec that was accepted; null for networks without one. */
export function uplinkKind(uplink: string | null): UplinkKind | null {
  if (uplink === null) return null;
  const read = parseUplink(uplink);
  if (!read.ok) throw new Error(read.reason);
  return read.value;
}

/** The uplink of a nat network, or of an overlay network that is to have one. */
export function readUplink(fields: FieldReader, subnets: readonly Subnet[]): UplinkSpec {
  const text = fields.text('uplink') ?? 'host';
  const read = parseUplink(text);
  if (!read.ok) fields.fail('uplink', 'bad-uplink', read.reason);
  const kind = read.ok ? read.value.kind : 'host';
  const spec: UplinkSpec = {
    uplink: text,
    uplinkNetns: readNetns(fields),
    externalIp: readExternal(fields, subnets),
    nextHop: readNextHops(fields, subnets),
    masquerade: fields.flag('masquerade', kind === 'host'),
  };
  if (!read.ok) return spec;
  if (kind === 'none' && spec.externalIp.length > 0) {
    fields.fail('externalIp', 'not-applicable', 'a network without an uplink has no external address');
  }
  if (kind === 'nic' && spec.externalIp.length === 0) {
    const message = 'uplink nic needs an address of its own on the segment of the interface, one that nobody else has';
    fields.fail('externalIp', 'missing', message);
  }
  const twice = spec.nextHop.find((address) => spec.externalIp.includes(address));
  if (twice !== undefined) {
    fields.fail(
      'nextHop',
      'contradiction',
      `${twice} is among the external addresses, so weft itself would be the next hop`,
    );
  }
  if (kind !== 'nic' && spec.nextHop.length > 0) {
    fields.fail('nextHop', 'not-applicable', `it is only for uplink nic:INTERFACE, not for ${text}`);
  }
  if (kind !== 'host' && spec.masquerade) {
    fields.fail('masquerade', 'not-applicable', `it is only for uplink host, not for ${text}`);
  }
  return spec;
}

/** For networks without an uplink: names the fields that are only for others, and why. Empty values are no harm, nor is `harmless`. */
export function refuseUplink(fields: FieldReader, why: string, harmless?: string): UplinkSpec {
  const uplink = fields.text('uplink');
  const isGiven: [string, boolean][] = [
    ['uplink', uplink !== undefined && uplink !== harmless],
    ['uplinkNetns', fields.text('uplinkNetns') !== undefined],
    ['externalIp', fields.texts('externalIp').length > 0],
    ['nextHop', fields.texts('nextHop').length > 0],
    ['masquerade', fields.flag('masquerade', false)],
  ];
  for (const [field, isThere] of isGiven) {
    if (isThere) fields.fail(field, 'not-applicable', why);
  }
  return { ...NO_UPLINK, externalIp: [], nextHop: [] };
}

function readNetns(fields: FieldReader): string | null {
  const path = fields.text('uplinkNetns') ?? null;
  if (path === null) return null;
  if (!path.startsWith('/')) {
    const hint = 'name the file of a namespace, e.g. /run/netns/router';
    fields.fail('uplinkNetns', 'bad-path', `${quote(path)} is no absolute path; ${hint}`);
  } else if (path.length > PATH_MAX || path.includes('\0')) {
    fields.fail('uplinkNetns', 'bad-path', `${quote(path)} cannot be a path`);
  }
  return path;
}

function readExternal(fields: FieldReader, subnets: readonly Subnet[]): string[] {
  const found: string[] = [];
  const texts = fields.texts('externalIp');
  if (texts.length > MAX_EXTERNAL) {
    fields.fail('externalIp', 'out-of-range', `a network has at most ${MAX_EXTERNAL} external addresses`);
  }
  for (const { text, path } of texts.slice(0, MAX_EXTERNAL)) {
    const ip = parseIp(text);
    const why = ip === null ? `${quote(text)} is no IP address` : whyNoExternal(ip, subnets);
    if (why !== null || ip === null) fields.problems.push({ path, code: 'bad-address', message: why ?? '' });
    else if (!found.includes(formatIp(ip.family, ip.value))) found.push(formatIp(ip.family, ip.value));
  }
  return found;
}

/** Link-local IPv6 addresses are what routers advertise themselves with, so they are welcome here. */
function readNextHops(fields: FieldReader, subnets: readonly Subnet[]): string[] {
  const found: { family: number; text: string }[] = [];
  for (const { text, path } of fields.texts('nextHop')) {
    const ip = parseIp(text);
    const fail = (message: string) => fields.problems.push({ path, code: 'bad-address', message });
    if (ip === null) {
      fail(`${quote(text)} is no IP address`);
      continue;
    }
    const canonical = formatIp(ip.family, ip.value);
    const why = canonical.startsWith('fe80:') ? null : whyNoExternal(ip, subnets);
    if (why !== null) fail(why.replace('an external address', 'a next hop'));
    else if (found.some(({ family }) => family === ip.family)) {
      fail(`there is one next hop per family, and ${canonical} is the second of IPv${ip.family}`);
    } else found.push({ family: ip.family, text: canonical });
  }
  return found.map(({ text }) => text);
}
