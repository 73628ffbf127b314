/**
 * The names of one network, as its DNS server answers them.
 *
 *   ENDPOINT.DOMAIN, ALIAS.DOMAIN   the addresses of the endpoint
 *   COMPARTMENT.DOMAIN              the addresses of all its endpoints on this network
 *   gateway.DOMAIN                  the gateway, unless something else is called so
 *   _LABEL._tcp.ENDPOINT.DOMAIN     SRV of a published port (RFC 2782); LABEL is the published port or, where there is one, the
 *   _LABEL._tcp.DOMAIN              name of the service behind it (`_http`); without ENDPOINT: of all endpoints
 *
 * An endpoint goes before a compartment of the same name, and a compartment before an alias. Only endpoints that are in a
 * compartment have names, on this host or behind another VTEP. Plain data: made from the desired state (zone-source.ts) and not changed afterwards.
 */

export interface ZoneHost {
  name: string;
  /** Bare addresses, IPv4 and IPv6. */
  addresses: readonly string[];
  compartment: string;
  aliases: readonly string[];
  published: readonly PublishedService[];
}

/** Ports `first`..`last` of the outside that are ports `inside`.. of the endpoint. */
export interface PublishedService {
  protocol: 'tcp' | 'udp';
  first: number;
  last: number;
  inside: number;
}

export interface ZoneSource {
  /** Lower case, without a dot at the end. */
  domain: string;
  gateway: readonly string[];
  hosts: readonly ZoneHost[];
}

export interface ServiceTarget {
  port: number;
  /** Name of the endpoint. */
  host: string;
  addresses: readonly string[];
}

/** What a name stands for; `null` as a whole: there is no such name. Empty lists: it exists, without records of that type. */
export interface Found {
  addresses: readonly string[];
  services: readonly ServiceTarget[];
}

const NOTHING: Found = { addresses: [], services: [] };
/** A name that stands for more has its first ones only: more do not fit into an answer anyway. */
const MOST_TARGETS = 64;
export const GATEWAY_NAME = 'gateway';

/** Services that people ask for by name (IANA service names), by the port that they listen on. */
const SERVICE_PORTS: Record<string, readonly number[]> = {
  domain: [53],
  ftp: [21],
  http: [80],
  https: [443],
  imap: [143],
  ldap: [389],
  mqtt: [1883],
  mysql: [3306],
  postgresql: [5432],
  rdp: [3389],
  redis: [6379],
  smtp: [25],
  ssh: [22],
};

export class Zone {
  readonly domain: string;
  /** In order, lower case. */
  readonly domainLabels: readonly string[];
  readonly gateway: readonly string[];
  private readonly addresses = new Map<string, readonly string[]>();
  private readonly byEndpoint = new Map<string, ZoneHost>();
  private readonly hosts: readonly ZoneHost[];
  /** Names that exist only because something below them does (RFC 8020). */
  private readonly between = new Set<string>();
  private readonly names = new Map<string, string>();

  constructor({ domain, gateway, hosts }: ZoneSource) {
    this.domain = domain;
    this.domainLabels = domain.split('.');
    this.gateway = gateway;
    this.hosts = hosts;
    const byCompartment = new Map<string, string[]>();
    const byAlias = new Map<string, string[]>();
    for (const host of hosts) {
      this.enter(host.name.toLowerCase(), host.addresses);
      this.byEndpoint.set(host.name.toLowerCase(), host);
      addTo(byCompartment, host.compartment.toLowerCase(), host.addresses);
      for (const alias of host.aliases) addTo(byAlias, alias.toLowerCase(), host.addresses);
      for (const address of host.addresses) this.names.set(address, `${host.name}.${domain}`);
    }
    for (const [name, addresses] of [...byCompartment, ...byAlias]) {
      if (!this.addresses.has(name)) this.enter(name, addresses);
    }
    for (const address of gateway) this.names.set(address, `${GATEWAY_NAME}.${domain}`);
    if (!this.addresses.has(GATEWAY_NAME)) this.enter(GATEWAY_NAME, gateway);
  }

  /** `labels`: what stands before the domain, lower case; empty for the domain itself. */
  find(labels: readonly string[]): Found | null {
    if (labels.length === 0) return NOTHING;
    const services = this.findServices(labels);
    if (services !== null) return services;
    const name = labels.join('.');
    const addresses = this.addresses.get(name);
    if (addresses !== undefined) return { addresses, services: [] };
    return this.between.has(name) ? NOTHING : null;
  }

  /** Complete name of the owner of an address; null when nobody has it. */
  nameOf(address: string): string | null {
    return this.names.get(address) ?? null;
  }

  private enter(name: string, addresses: readonly string[]): void {
    this.addresses.set(name, addresses);
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) this.between.add(name.slice(dot + 1));
  }

  /** null: the name does not have the form of a service, or nobody offers it. */
  private findServices(labels: readonly string[]): Found | null {
    const protocolAt = labels.findIndex((label) => label === '_tcp' || label === '_udp');
    if (protocolAt < 0 || protocolAt > 1) return null;
    const protocol = labels[protocolAt] === '_tcp' ? 'tcp' : 'udp';
    const owner = labels.slice(protocolAt + 1).join('.');
    const host = this.byEndpoint.get(owner);
    const hosts = owner === '' ? this.hosts : host === undefined ? [] : [host];
    const label = protocolAt === 0 ? null : labels[0]!;
    const services: ServiceTarget[] = [];
    for (const { name, addresses, published } of hosts) {
      for (const service of published) {
        const port = service.protocol === protocol ? portOf(service, label) : null;
        if (port === null || services.length >= MOST_TARGETS) continue;
        if (services.some((other) => other.host === name && other.port === port)) continue;
        services.push({ port, host: name, addresses });
      }
    }
    if (services.length === 0) return null;
    return label === null ? NOTHING : { addresses: [], services };
  }
}

/** Port of the endpoint that `_LABEL` means, or null when it means none of these. */
function portOf({ first, last, inside }: PublishedService, label: string | null): number | null {
  if (label === null) return inside;
  const wanted = label.startsWith('_') ? label.slice(1) : '';
  if (/^[1-9][0-9]{0,4}$/.test(wanted)) {
    const port = Number(wanted);
    return port >= first && port <= last ? inside + port - first : null;
  }
  const known = Object.hasOwn(SERVICE_PORTS, wanted) ? SERVICE_PORTS[wanted]! : [];
  return known.find((port) => port >= inside && port <= inside + last - first) ?? null;
}

function addTo(lists: Map<string, string[]>, key: string, values: readonly string[]): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [...values]);
  else for (const value of values) if (!list.includes(value)) list.push(value);
}
