/**
 * Whether the kernel forwards packets between the interfaces of a namespace, and putting back how it was.
 *
 * Heads up: a kernel that forwards IPv6 does not listen to router advertisements any more unless accept_ra is 2
 * (Documentation/networking/ip-sysctl.rst). The machine would lose its own default route some minutes later, so interfaces
 * that listen now are told to go on.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { RoutingRequest } from './kernel.js';
import { fileError, isErrno } from './kernel-error.js';
import { insideNamespace } from './namespace-visit.js';

const IPV4 = '/proc/sys/net/ipv4/ip_forward';
const IPV6 = '/proc/sys/net/ipv6/conf/all/forwarding';
const IPV6_INTERFACES = '/proc/sys/net/ipv6/conf';
/** Beside the interfaces; advertisements come to none of these. */
const NO_INTERFACES = ['all', 'default', 'lo'];
const LISTENS = '1';
const LISTENS_ALTHOUGH_FORWARDING = '2';
/** How long an answer on behalf of another waits for a better one, in ticks: up to 0.8 s unless set. There is no better one here. */
const DELAY = 'proxy_delay';
const AT_ONCE = '0';

/** What was changed, by path below /proc/sys; the value that was there before. */
export type FormerSettings = Record<string, string>;

/**
 * What has to be changed so that the namespace forwards, and answers neighbour solicitations for addresses of others where it is to
 * (ARP needs no setting for that); nothing when all is on. The values are those of now.
 */
export function missingForwarding(
  namespaceFd: number,
  { ipv4, ipv6, proxies }: Pick<RoutingRequest, 'ipv4' | 'ipv6' | 'proxies'>,
): FormerSettings {
  return insideNamespace(namespaceFd, () => {
    const paths: string[] = [];
    if (ipv4 && read(IPV4) === '0') paths.push(IPV4);
    if (ipv6 && read(IPV6) === '0') {
      paths.push(...advertisementPaths().filter((path) => read(path) === LISTENS), IPV6);
    }
    for (const { address, ifname } of proxies) {
      const isIpv6 = address.includes(':');
      const proxying = `${IPV6_INTERFACES}/${ifname}/proxy_ndp`;
      if (isIpv6 && !paths.includes(proxying) && read(proxying) === '0') paths.push(proxying);
      const delay = `/proc/sys/net/${isIpv6 ? 'ipv6' : 'ipv4'}/neigh/${ifname}/${DELAY}`;
      if (!paths.includes(delay) && (read(delay) ?? AT_ONCE) !== AT_ONCE) paths.push(delay);
    }
    return Object.fromEntries(paths.map((path) => [path, read(path) ?? '0']));
  });
}

/** Switches on what `missingForwarding` found, interfaces before forwarding itself; all or nothing. */
export function startForwarding(namespaceFd: number, missing: FormerSettings): void {
  insideNamespace(namespaceFd, () => {
    try {
      for (const path of Object.keys(missing)) write(path, forwardingValue(path));
    } catch (error) {
      putBack(missing);
      throw error;
    }
  });
}

/** Whether a path is one of those that `startForwarding` changes. */
export function isForwardingSetting(path: string): boolean {
  if (path === IPV4 || path === IPV6) return true;
  return /^\/proc\/sys\/net\/(ipv6\/conf\/[^/]+\/(accept_ra|proxy_ndp)|ipv[46]\/neigh\/[^/]+\/proxy_delay)$/.test(path);
}

/** A setting that somebody has changed since then stays as it is. */
export function restoreSettings(namespaceFd: number, former: FormerSettings): void {
  insideNamespace(namespaceFd, () => putBack(former));
}

/** A compartment that asks for a published port of the machine goes in and out there: no reason to redirect it. */
export function suppressRedirects(namespaceFd: number, ifname: string): void {
  insideNamespace(namespaceFd, () => change(`/proc/sys/net/ipv4/conf/${ifname}/send_redirects`, '0'));
}

/** Whether packets with loopback addresses may pass the interfaces. */
export function setLoopbackRouting(namespaceFd: number, ifnames: readonly string[], isOn: boolean): void {
  insideNamespace(namespaceFd, () => {
    for (const ifname of ifnames) change(`/proc/sys/net/ipv4/conf/${ifname}/route_localnet`, isOn ? '1' : '0');
  });
}

/** The last setting that was changed first: forwarding of IPv6 goes off before its interfaces listen as they did. */
function putBack(former: FormerSettings): void {
  for (const [path, value] of Object.entries(former).reverse()) {
    if (read(path) === forwardingValue(path)) write(path, value);
  }
}

function forwardingValue(path: string): string {
  if (path.endsWith(`/${DELAY}`)) return AT_ONCE;
  return path.endsWith('/accept_ra') ? LISTENS_ALTHOUGH_FORWARDING : '1';
}

function advertisementPaths(): string[] {
  try {
    const names = readdirSync(IPV6_INTERFACES).filter((name) => !NO_INTERFACES.includes(name));
    return names.map((name) => `${IPV6_INTERFACES}/${name}/accept_ra`);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw fileError('readdir', IPV6_INTERFACES, error);
  }
}

function change(path: string, value: string): void {
  const before = read(path);
  if (before !== null && before !== value) write(path, value);
}

/** null where the kernel has no such setting. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    throw fileError('read', path, error);
  }
}

function write(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw fileError('write', path, error); // the interface has just gone
  }
}
