/**
 * What the user asked for: a network, an L2 segment with a type, subnets and switch settings.
 *
 * Plain data, exactly as it stands in the state file and (with the same words) in API bodies and lab files. Runtime facts
 * are in the views (control/controller.ts), never here.
 */

/**
 * `private`: endpoints only. `internal`: plus a host vNIC that owns the gateway addresses. `nat`: weft itself is the gateway,
 * and translates what leaves through the uplink.
 */
export type NetworkType = 'private' | 'internal' | 'nat';

/** Frames per second that one port may send into the network by kind; 0 means no limit. */
export interface StormLimits {
  broadcast: number;
  multicast: number;
  unknownUnicast: number;
}

export type NatMapping = 'endpoint-independent' | 'address-and-port-dependent';
export type NatFiltering = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

/** Seconds. RFC 5382, 7857, 6146 (TCP), 4787 (UDP), 5508 (ICMP). */
export interface NatTimers {
  tcpEstablished: number;
  tcpTransitory: number;
  tcpSyn: number;
  udp: number;
  icmp: number;
}

export interface NatSpec {
  mapping: NatMapping;
  filtering: NatFiltering;
  /** What happens to IPv6: routed as it is, NAPT with one external address (`nat66`), or prefix translation (RFC 6296). */
  ipv6: 'routed' | 'nat66' | 'nptv6';
  /** External prefix of `nptv6`, same length as the subnet; null otherwise. */
  prefix: string | null;
  timers: NatTimers;
  /** Flows that one inside address may have. */
  flowLimit: number;
  /** External ports given out automatically. */
  ports: { first: number; last: number };
  /** Destinations (CIDR) that are reached untranslated (HCN OutBoundNAT Exceptions). */
  exceptions: string[];
  /** Only these destinations (CIDR) are translated; empty = all (HCN OutBoundNAT Destinations). */
  destinations: string[];
  /** 1:1: addresses of endpoints that have an external address of their own. */
  static: { inside: string; external: string }[];
  hairpin: boolean;
}

export interface DhcpSpec {
  enabled: boolean;
  leaseSeconds: number;
  /** Classless static routes (RFC 3442) besides the default route: CIDR via address. */
  routes: { destination: string; via: string }[];
}

export interface DnsSpec {
  enabled: boolean;
  /** Domain of the names of endpoints and compartments, without a dot at the end. */
  domain: string;
  /** Resolvers for everything else, `ADDRESS` or `ADDRESS#PORT`; empty = those of the host's resolv.conf. */
  forwarders: string[];
}

export interface NetworkSpec {
  name: string;
  type: NetworkType;
  /** CIDR, canonical text (`10.0.0.0/24`, `fd00::/64`); pairwise disjoint. */
  subnets: string[];
  /** Bare addresses, at most one per subnet. `internal`: always one per subnet; `private`: only those that were asked for. */
  gateway: string[];
  /** Where automatic addresses come from: `FIRST-LAST` or CIDR inside a subnet; empty = the whole subnet. */
  pools: string[];
  /** Addresses, ranges or CIDRs never given out automatically. */
  reserved: string[];
  /** Largest L3 packet in bytes, 68..65521. */
  mtu: number;
  /** Seconds after which an unused learned MAC is forgotten, 1..86400. */
  ageingSeconds: number;
  /** Whether 01:80:c2:00:00:00..0f (STP, LACP, LLDP, ...) pass like any multicast or are dropped. */
  controlFrames: 'pass' | 'filter';
  storm: StormLimits;
  /** Upper bound of MACs learned on this network, 1..131072. */
  macLimit: number;
  /**
   * How a nat network reaches the outside; null unless `nat`. `host`: a TAP in a network namespace, which forwards like any router.
   * `nic:IFNAME`: an existing interface, on whose segment weft has an address of its own. `raw`: shares the address of the
   * namespace, by a range of ports. `none`: not at all.
   */
  uplink: string | null;
  /** Path of the namespace that the uplink is in; null = the daemon's own. */
  uplinkNetns: string | null;
  /** External addresses, bare, IPv4 and IPv6 (for `nic` those of its segment). Empty = weft takes one of the transit subnet. */
  externalIp: string[];
  /** `nic`: next hops towards the rest of the world, at most one per family; empty = those of the namespace's default routes. */
  nextHop: string[];
  /** `host`: nftables masquerade in the namespace, added and removed by weft. */
  masquerade: boolean;
  /** null unless `nat`. */
  nat: NatSpec | null;
  /** Networks that this one exchanges packets with through the gateway; naming one on either side is enough, both have gateways. */
  routesTo: string[];
  /** Whether the gateway advertises itself and the IPv6 subnets (RFC 4861, SLAAC). */
  advertise: boolean;
  /** null for networks without a gateway in the datapath (only `nat` has one). */
  dhcp: DhcpSpec | null;
  dns: DnsSpec | null;
}
