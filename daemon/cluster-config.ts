/** `cluster` and `overlay` in the configuration file: with whom this host shares overlay networks, and where its VTEP is. */
import { hostname } from 'node:os';
import { isAbsolute } from 'node:path';
import type { ClusterOptions } from '../src/control/cluster/cluster-options.js';
import { formatIp } from '../src/model/ip.js';
import { whyBadName } from '../src/model/names.js';
import type { OverlayDefaults } from '../src/model/overlay-defaults.js';
import { parseVtep, UNDERLAYS, VXLAN_PORT } from '../src/model/overlay-request.js';

const DEFAULT_PREFIX = '/weft';
const DEFAULT_LEASE_SECONDS = 10;
const LEASE_SECONDS = { least: 2, most: 3600 };
const ETCD_PORT = 2379;

/** What is wrong with a key, without its name: `must be a string`. */
export class ConfigFault extends Error {}

const CLUSTER_KEYS = ['etcd', 'ca', 'cert', 'key', 'user', 'password', 'host', 'prefix', 'leaseSeconds'];
const OVERLAY_KEYS = ['underlay', 'vtep', 'port', 'underlayNetns', 'checksum'];

/** Throws ConfigFault. Whether certificates can be read and etcd answers turns out when it is asked. */
export function clusterFrom(value: unknown): ClusterOptions {
  const fields = mapping(value, CLUSTER_KEYS);
  const etcd = urlsFrom(fields.etcd);
  const isSecure = etcd[0]!.startsWith('https:');
  const host = textOf(fields, 'host') ?? hostname();
  const whyNoHost = whyBadName(host);
  if (whyNoHost !== null) {
    throw new ConfigFault(`host: ${JSON.stringify(host)} cannot be the name of this host: ${whyNoHost}`);
  }
  const [ca, cert, key] = [fileOf(fields, 'ca'), fileOf(fields, 'cert'), fileOf(fields, 'key')];
  if ((cert === null) !== (key === null)) throw new ConfigFault('cert and key go together: one of them is missing');
  if (!isSecure && (ca ?? cert) !== null)
    throw new ConfigFault('ca, cert and key are for https:// URLs, and etcd has http:// ones');
  if (cert !== null && ca === null) throw new ConfigFault('ca is missing: a client certificate needs it');
  const [user, password] = [textOf(fields, 'user'), textOf(fields, 'password')];
  if ((user === null) !== (password === null))
    throw new ConfigFault('user and password go together: one of them is missing');
  return {
    etcd,
    ca,
    cert,
    key,
    user,
    password,
    host,
    prefix: prefixFrom(textOf(fields, 'prefix') ?? DEFAULT_PREFIX),
    leaseSeconds: integerOf(fields, 'leaseSeconds', LEASE_SECONDS.least, LEASE_SECONDS.most) ?? DEFAULT_LEASE_SECONDS,
  };
}

/** Throws ConfigFault. Whether the address is one of this host turns out when a network needs it. */
export function overlayFrom(value: unknown): OverlayDefaults {
  const fields = mapping(value, OVERLAY_KEYS);
  const underlay = textOf(fields, 'underlay');
  const known = UNDERLAYS.find((name) => name === underlay);
  if (underlay !== null && known === undefined)
    throw new ConfigFault(`underlay must be one of ${UNDERLAYS.join(', ')}`);
  const vtepText = textOf(fields, 'vtep');
  const vtep = vtepText === null ? null : parseVtep(vtepText);
  if (vtep !== null && !vtep.ok) throw new ConfigFault(`vtep: ${vtep.why}`);
  if (known === 'tap' && vtep === null)
    throw new ConfigFault('vtep is missing: underlay tap needs an address that nobody has');
  const { checksum } = fields;
  if (checksum !== undefined && checksum !== null && typeof checksum !== 'boolean') {
    throw new ConfigFault('checksum must be true or false');
  }
  const netns = fileOf(fields, 'underlayNetns');
  const port = integerOf(fields, 'port', 1, 65535);
  return {
    ...(known === undefined ? {} : { underlay: known }),
    ...(vtep === null ? {} : { vtep: formatIp(vtep.ip.family, vtep.ip.value) }),
    ...(port === null || port === VXLAN_PORT ? {} : { port }),
    ...(netns === null ? {} : { underlayNetns: netns }),
    ...(typeof checksum === 'boolean' ? { checksum } : {}),
  };
}

type Fields = Record<string, unknown>;

function mapping(value: unknown, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigFault(`must be a mapping of keys to values; known: ${known.join(', ')}`);
  }
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown === undefined) return value as Fields;
  throw new ConfigFault(`has an unknown key ${JSON.stringify(unknown)}; known: ${known.join(', ')}`);
}

function urlsFrom(value: unknown): string[] {
  const list = typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list) || list.length === 0) {
    throw new ConfigFault('etcd must be a list of URLs, e.g. [http://192.0.2.1:2379]');
  }
  const urls = list.map(urlFrom);
  if (new Set(urls.map((url) => new URL(url).protocol)).size === 1) return urls;
  throw new ConfigFault('etcd: either all URLs are https:// or none is');
}

function urlFrom(value: unknown): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null;
  const isPlain =
    url !== null && (url.pathname === '/' || url.pathname === '') && url.username === '' && url.search === '';
  if (url === null || !isPlain || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') {
    throw new ConfigFault(
      `etcd: ${JSON.stringify(value)} is no URL of etcd; write http://HOST:PORT or https://HOST:PORT`,
    );
  }
  // URL drops a port that is the usual one of http; for etcd that is another one, unless it was written.
  const port = /:\d+\/?$/.test(value as string) ? url.port || (url.protocol === 'http:' ? '80' : '443') : ETCD_PORT;
  return `${url.protocol}//${url.hostname}:${port}`;
}

function prefixFrom(text: string): string {
  const prefix = text.replace(/\/+$/, '');
  if (/^(?:\/[A-Za-z0-9._-]+)+$/.test(prefix)) return prefix;
  throw new ConfigFault(`prefix: ${JSON.stringify(text)} cannot begin keys; write /NAME or /NAME/NAME`);
}

function textOf(fields: Fields, key: string): string | null {
  const value = fields[key];
  if (value === undefined || value === null) return null;
  if (typeof value === 'string' && value !== '') return value;
  throw new ConfigFault(`${key} must be a string`);
}

function fileOf(fields: Fields, key: string): string | null {
  const path = textOf(fields, key);
  if (path === null || isAbsolute(path)) return path;
  throw new ConfigFault(`${key}: ${JSON.stringify(path)} is no absolute path`);
}

function integerOf(fields: Fields, key: string, least: number, most: number): number | null {
  const value = fields[key];
  if (value === undefined || value === null) return null;
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
  throw new ConfigFault(`${key} must be a whole number of ${least} to ${most}`);
}
