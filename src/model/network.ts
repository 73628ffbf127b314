/**
 * What the user asked for: a network, an L2 segment with a type, subnets and switch settings.
 *
 * Plain data, exactly as it stands in the state file and (with the same words) in API bodies and lab files. Runtime facts
 * are in the views (control/controller.ts), never here.
 */

/**
 * `private`: endpoints only. `internal`: plus a host vNIC that owns the gateway addresses. `nat`: weft itself is the gateway,
 * and translates what leaves through the uplink. `overlay`: one segment on several hosts, carried in VXLAN (RFC 7348); weft is the
 * gateway on each of them, with the same addresses and MAC, and translates what leaves where the network has an uplink.
 */
export type NetworkType = 'private' | 'internal' | 'nat' | 'overlay';

/** `socket`: UDP sockets of the host, works everywhere. `tap`: a host vNIC with an address of its own, fastest. */
export type Underlay = 'socket' | 'tap';

/** Every address behind `vtep` that `prefix` holds is routed there (HCN RemoteSubnetRoute). */
export interface RemoteSubnet {
  /** CIDR. */
  prefix: string;
  /** Address of the other VTEP. */
  vtep: string;
  /** VNI to send with; null = that of the network. */
  vni: number | null;
  /** MAC of the distributed router there (HCN DistributedRouterMacAddress). */
  mac: string;
}

export interface OverlaySpec {
  /** 0 .. 16777215. */
  vni: number;
  underlay: Underlay;
  /** Address of the VTEP of this host; null = `socket`: that of the default route of its namespace; `tap` needs one. */
  vtep: string | null;
  /** UDP port of all VTEPs, 1 .. 65535. */
  port: number;
  /** Path of the namespace that the underlay is in; null = the daemon's own. */
  underlayNetns: string | null;
  /** Addresses of other VTEPs, which get copies of what floods (head-end replication). */
  peers: string[];
  /** Only `peers` and VTEPs of known stations may send. */
  peersClosed: boolean;
  /** Multicast group that stands for peers (RFC 7348 section 4.2), and the interface it is joined on; `socket` only. */
  group: string | null;
  groupInterface: string | null;
  /** Whether stations are learned from what comes in (section 4.1). */
  learning: boolean;
  /** `strip`: the tunnel carries untagged frames only (section 6.1). `keep`: VLANs of the network are carried with their tags. */
  innerVlan: 'strip' | 'keep';
  /** Outer DSCP, 0..63; null = that of the inner packet. */
  dscp: number | null;
  /** Outer UDP checksums where they may be left out (`tap`). Over IPv6 the default is true, over IPv4 false. */
  checksum: boolean;
  /** Whether weft answers ARP and neighbour solicitations for stations that it knows. */
  suppress: boolean;
  remoteSubnets: RemoteSubnet[];
  /** The host vNIC on the network: addresses of the host, bare, at most one per subnet; null = there is none. Empty = weft chooses. */
  hostVnic: string[] | null;
  /** Shared with the other hosts of the daemon's cluster. */
  shared: boolean;
}

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
  /** null unless `overlay`. */
  overlay: OverlaySpec | null;
  /**
   * How a nat or overlay network reaches the outside; null for others, and for overlay networks that do not. `host`: a TAP in a network namespace, which forwards like any router.
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
  /** null without an uplink. */
  nat: NatSpec | null;
  /** Networks that this one exchanges packets with through the gateway; naming one on either side is enough, both have gateways. */
  routesTo: string[];
  /** Whether the gateway advertises itself and the IPv6 subnets (RFC 4861, SLAAC). */
  advertise: boolean;
  /** null for networks without a gateway in the datapath (`nat` has one, and `overlay` with subnets). */
  dhcp: DhcpSpec | null;
  dns: DnsSpec | null;
}
