/** From the desired state to the names that the DNS server of one network knows. */
import type { DesiredState, EndpointRecord, NetworkRecord } from '../../model/desired-state.js';
import { type IpRange, parseSubnet } from '../../model/ip.js';
import { publishedFrom } from '../../model/published-port.js';
import { defaultDomain } from '../../model/services-request.js';
import type { LocalNames } from './local-answers.js';
import { type PublishedService, Zone, type ZoneHost } from './zone.js';

/** Whether the network has a DNS server. */
export function servesDns({ spec }: NetworkRecord): boolean {
  return spec.dns?.enabled === true && spec.gateway.length > 0;
}

/**
 * Names of the network itself, and of those that it exchanges packets with: whether those have a server of their own or, like an
 * internal network, none.
 */
export function localNamesOf(
  state: DesiredState,
  network: NetworkRecord,
  remote: (network: string) => readonly ZoneHost[] = () => [],
): LocalNames {
  const visible = [network, ...partnersOf(state, network)];
  const zones = visible.map((record) => zoneOf(state, record, remote(record.spec.name)));
  return { zones, subnets: visible.flatMap(subnetsOf) };
}

/** The subnets whose stations may ask. */
export function subnetsOf({ spec }: NetworkRecord): IpRange[] {
  return spec.subnets.flatMap((text) => {
    const read = parseSubnet(text);
    return read.ok ? [read.value] : [];
  });
}

/** Naming the other one on either side is enough. */
function partnersOf(state: DesiredState, { spec }: NetworkRecord): NetworkRecord[] {
  const isPartner = (other: NetworkRecord) =>
    spec.routesTo.includes(other.spec.name) || other.spec.routesTo.includes(spec.name);
  return [...state.networks.values()].filter((other) => other.spec.name !== spec.name && isPartner(other));
}

function zoneOf(state: DesiredState, { spec, endpoints }: NetworkRecord, remote: readonly ZoneHost[]): Zone {
  const records = [...endpoints].flatMap((name) => state.endpoints.get(name) ?? []);
  const local = records.filter(({ spec: { compartment, vtep } }) => compartment !== null || vtep !== null).map(hostOf);
  const compartments = new Set(local.map(({ compartment }) => compartment));
  // A compartment of another host that is called like one of this host is not that one.
  const others = remote.map((host) =>
    compartments.has(host.compartment) ? { ...host, compartment: host.name } : host,
  );
  const domain = spec.dns?.domain ?? defaultDomain(spec.name);
  return new Zone({ domain, gateway: spec.gateway, hosts: [...local, ...others] });
}

function hostOf({ spec }: EndpointRecord): ZoneHost {
  return {
    name: spec.name,
    addresses: spec.ip,
    compartment: spec.compartment ?? spec.name,
    aliases: spec.aliases,
    published: spec.publish.map(publishedServiceOf),
  };
}

/** `text`: as `model/published-port.ts` writes it. */
export function publishedServiceOf(text: string): PublishedService {
  const { protocol, hostFirst, hostLast, port } = publishedFrom(text);
  return { protocol, first: hostFirst, last: hostLast, inside: port };
}
