/**
 * Settings of one interface under /proc/sys/net, which shows the namespace of the thread that opens it: so everything
 * here is synchronous and happens inside the namespace. Read first: Documentation/networking/ip-sysctl.rst.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { TapRequest } from './kernel.js';
import { fileError, isErrno } from './kernel-error.js';
import { insideNamespace } from './namespace-visit.js';

/**
 * What keeps the IPv6 of the host silent on a host vNIC: no link-local address of its own making
 * (IN6_ADDR_GEN_MODE_NONE), no router solicitations, no autoconfiguration from what a compartment announces.
 */
const SILENT_IPV6: Record<string, string> = { addr_gen_mode: '1', accept_ra: '0', router_solicitations: '0' };
/**
 * The machine's side of an uplink forwards, and a kernel that has no link-local address asks for no neighbour on behalf of what it
 * forwards (ndisc_solicit in net/ipv6/ndisc.c). It may use the address at once: weft is the only other station.
 */
const UPLINK_IPV6: Record<string, string> = { ...SILENT_IPV6, addr_gen_mode: '0', accept_dad: '0' };

/**
 * Prepares IPv6 of an interface, before it goes up. With `hostSide` it stays silent, and is off when `hasIpv6` is
 * false. Otherwise the namespace decides, except that IPv6 is switched on where an address needs it (container engines
 * switch it off). A kernel without IPv6 needs nothing.
 */
export function prepareIpv6(
  namespaceFd: number,
  ifname: string,
  { hostSide, kind }: Pick<TapRequest, 'hostSide' | 'kind'>,
  hasIpv6: boolean,
): void {
  if (!hostSide && !hasIpv6) return;
  const silence = kind === 'uplink' ? UPLINK_IPV6 : SILENT_IPV6;
  const settings = { disable_ipv6: hasIpv6 ? '0' : '1', ...(hostSide ? silence : {}) };
  insideNamespace(namespaceFd, () => {
    for (const [key, value] of Object.entries(settings))
      writeIfDifferent(`/proc/sys/net/ipv6/conf/${ifname}/${key}`, value);
  });
}

/** net.ipv4.ip_local_port_range. */
export function readLocalPorts(namespaceFd: number): { first: number; last: number } {
  const path = '/proc/sys/net/ipv4/ip_local_port_range';
  return insideNamespace(namespaceFd, () => {
    try {
      const [first = 0, last = 0] = readFileSync(path, 'utf8').trim().split(/\s+/).map(Number);
      return { first, last };
    } catch (error) {
      throw fileError('read', path, error);
    }
  });
}

function writeIfDifferent(path: string, value: string): void {
  try {
    if (readFileSync(path, 'utf8').trim() !== value) writeFileSync(path, value);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw fileError('write', path, error);
  }
}
