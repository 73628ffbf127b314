/** What the DHCP server of a network tells its clients, out of the desired state, where addresses are text. */
import type { EndpointRecord, NetworkRecord } from '../../model/desired-state.js';
import { contains, parseIp, parseSubnet, type Subnet } from '../../model/ip.js';
import { formatIpv6Bytes, parseIpv4, parseIpv6, parseMac } from '../../wire/addresses.js';
import type { ClasslessRoute, ClientAddress, Dhcp4Client, Dhcp4Network } from './dhcp4-server.js';
import type { Dhcp6Client, Dhcp6Network } from './dhcp6-server.js';

/** null for a network without a DHCP server. */
export function dhcp4NetworkOf({ spec }: NetworkRecord): Dhcp4Network | null {
  if (spec.dhcp === null || !spec.dhcp.enabled) return null;
  const gateways = spec.gateway.flatMap((text) => parseIpv4(text) ?? []);
  const dns = spec.dns?.enabled === true ? spec.dns : null;
  return {
    gateways,
    nameServers: dns === null ? [] : gateways,
    domain: dns?.domain ?? null,
    mtu: spec.mtu,
    leaseSeconds: spec.dhcp.leaseSeconds,
    routes: spec.dhcp.routes.flatMap(({ destination, via }) => routeOf(destination, via) ?? []),
  };
}

/** `mac`: of the gateway. null for a network without a DHCP server. */
export function dhcp6NetworkOf({ spec }: NetworkRecord, mac: Uint8Array): Dhcp6Network | null {
  if (spec.dhcp === null || !spec.dhcp.enabled) return null;
  const dns = spec.dns?.enabled === true ? spec.dns : null;
  return {
    mac,
    nameServers: dns === null ? [] : spec.gateway.flatMap((text) => parseIpv6(text) ?? []),
    domain: dns?.domain ?? null,
    leaseSeconds: spec.dhcp.leaseSeconds,
    isOnLink: (address) => {
      const text = formatIpv6Bytes(address);
      return spec.subnets.some((subnet) => isIn(subnetFrom(subnet), text));
    },
  };
}

/** `mac`: of whoever asks. `declined`: addresses that it has just refused. */
export function dhcp6ClientOf({ spec }: EndpointRecord, mac: Uint8Array, declined: readonly string[]): Dhcp6Client {
  const own = spec.ip.flatMap((text) => {
    const bytes = parseIpv6(text);
    return bytes === null ? [] : { text, bytes };
  });
  return {
    isOwnMac: mac.every((byte, index) => byte === macBytes(spec.mac)[index]),
    addresses: own.map(({ bytes }) => bytes),
    hasDeclined: own.some(({ text }) => declined.includes(text)),
  };
}

/** `declined`: addresses that the client has just refused. */
export function dhcp4ClientOf(
  { spec }: EndpointRecord,
  { spec: network }: NetworkRecord,
  declined: readonly string[],
): Dhcp4Client {
  const subnets = network.subnets.map(subnetFrom).filter(({ family }) => family === 4);
  return {
    hostName: spec.name,
    mac: macBytes(spec.mac),
    addresses: spec.ip.flatMap((text) => addressOf(text, subnets, network.gateway) ?? []),
    hasDefaultRoute: spec.defaultRoute,
    declined: declined.flatMap((text) => parseIpv4(text) ?? []),
  };
}

/** null for an address of another family, or of a subnet without a gateway, in whose name the server could speak. */
function addressOf(text: string, subnets: readonly Subnet[], gateways: readonly string[]): ClientAddress | null {
  const address = parseIpv4(text);
  const subnet = subnets.find((candidate) => isIn(candidate, text));
  const gateway = subnet === undefined ? undefined : gateways.find((candidate) => isIn(subnet, candidate));
  if (address === null || subnet === undefined || gateway === undefined) return null;
  return { address, prefix: subnet.prefix, gateway: parseIpv4(gateway)! };
}

function isIn(subnet: Subnet, text: string): boolean {
  const ip = parseIp(text);
  return ip !== null && contains(subnet, ip);
}

function routeOf(destination: string, via: string): ClasslessRoute | null {
  const read = parseSubnet(destination);
  const next = parseIpv4(via);
  if (!read.ok || read.value.family !== 4 || next === null) return null;
  return { destination: Number(read.value.first) | 0, prefix: read.value.prefix, via: next };
}

function subnetFrom(text: string): Subnet {
  const read = parseSubnet(text);
  if (!read.ok) throw new Error(read.reason);
  return read.value;
}

/** The six bytes of a MAC of the state, which is valid. */
export function macBytes(text: string): Uint8Array {
  const mac = parseMac(text);
  if (mac === null) throw new Error(`${text} was accepted but is no MAC`);
  return bytesOfMac(mac.high, mac.low);
}

export function bytesOfMac(high: number, low: number): Uint8Array {
  return Uint8Array.of(high >> 8, high & 0xff, low >>> 24, (low >>> 16) & 0xff, (low >>> 8) & 0xff, low & 0xff);
}
