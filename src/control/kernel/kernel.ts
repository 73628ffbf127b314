/**
 * What the control thread needs of the kernel, as an interface: linux-kernel.ts has the real thing, tests a fake that
 * injects failures. Rejections are `KernelError`s; on a rejection nothing of the request is left behind.
 */

/** An open network namespace. (device, inode) identify it whatever path it was opened by. */
export interface Namespace {
  readonly fd: number;
  readonly path: string;
  readonly device: number;
  readonly inode: number;
}

export interface RouteRequest {
  /** CIDR; `0.0.0.0/0` and `::/0` are the default routes. */
  destination: string;
  /** Next hop, null for an on-link route. */
  gateway: string | null;
  /** Smaller wins; 0 leaves it to the kernel. */
  metric: number;
}

/** A UDP socket of the namespace: one end of tunnels. It never fragments. */
export interface UdpRequest {
  /** Bare; that of an interface, a multicast group, or `0.0.0.0` and `::` for all. */
  address: string;
  /** Of a sender: 0, a random free one of 49152 .. 65535 (RFC 7348 section 5). */
  port: number;
  /** Sends only; nothing that comes in is heard. */
  isSender: boolean;
  /** Group that a receiver hears, with the interface (null: where the route leads); null = none. */
  group: { address: string; ifname: string | null } | null;
}

/** Everything about one TAP; it is done when `createTap` resolves. */
export interface TapRequest {
  /**
   * `uplink`: the machine's side of a nat network, which sends no ICMP redirects.
   * `packet`: no TAP but an interface that exists and stays somebody else's; frames are exchanged with its wire, and of all
   * that follows only `ifname` matters. `raw`: no interface at all but raw IPv4 sockets; `ifname` is for messages. `service`: the way to the gateway's services, in the namespace of `makeServiceNamespace`;
   * its kernel resolves no addresses, everything it sends is for the gateway's own MAC. `udp`: no interface but a UDP socket
   * (`udp` says which); `ifname` is for messages. Left out: any other TAP.
   */
  kind?: 'uplink' | 'packet' | 'raw' | 'service' | 'udp';
  /** `raw`: takes every IPv4 packet that comes to the namespace for its own addresses. */
  deliver?: (packet: Buffer) => void;
  udp?: UdpRequest;
  /** Whether super-frames inside of VXLAN may pass whole, where the kernel can (Linux 6.17). */
  tunnelOffload?: boolean;
  /** Stations on the interface whose MACs are known and never asked for. */
  neighbours?: { address: string; mac: string }[];
  /** 1..15 bytes; a pattern is not allowed. */
  ifname: string;
  /** `weft:INSTANCE:ENDPOINT-ID`, how weft recognises its own interfaces (IFLA_IFALIAS). */
  alias: string;
  mac: string;
  mtu: number;
  /** With prefix length. */
  addresses: string[];
  routes: RouteRequest[];
  /** Whether the kernel may hand over and take super-frames and unfinished checksums. */
  offload: boolean;
  /** True for a host vNIC: the host's IPv6 must stay silent on it (no router solicitations, no autoconfiguration). */
  hostSide: boolean;
}

/** A TAP that weft holds open, or another descriptor with frames. */
export interface Tap {
  readonly fd: number;
  /** PORT_* of datapath/program.ts. */
  readonly portKind: number;
  readonly request: TapRequest;
  /** Bytes of the vnet header in front of each frame: 12, 24 with tunnel offload, or 0 where the kernel has none. */
  readonly headerBytes: number;
  /** ACCEPTS_* bits of datapath/program.ts. */
  readonly accepts: number;
  /** Of a UDP socket: its own port. */
  readonly udpPort?: number;
  /** Name of the interface now (another program may have renamed it). */
  currentName(): string | null;
}

export interface FoundTap {
  ifname: string;
  alias: string;
  index: number;
}

/** A system call or netlink request that failed: `TUNSETIFF on eth0: EBUSY (Device or resource busy)`. */
export class KernelError extends Error {
  readonly call: string;
  readonly subject: string;
  /** Symbolic, e.g. `EBUSY`. */
  readonly errno: string;

  constructor(call: string, subject: string, errno: string, explanation: string) {
    super(`${call} on ${subject}: ${errno} (${explanation})`);
    this.name = 'KernelError';
    this.call = call;
    this.subject = subject;
    this.errno = errno;
  }
}

/** A route of a namespace over one interface. */
export interface FoundRoute {
  /** CIDR; `0.0.0.0/0` and `::/0` are the default routes. */
  destination: string;
  /** null for an on-link route. */
  gateway: string | null;
  metric: number;
  device: string;
}

/** An interface, whoever made it. */
export interface FoundLink {
  ifname: string;
  /** Another one when the interface was made anew. */
  index: number;
  mac: string;
  mtu: number;
  /** Switched on. */
  up: boolean;
  /** With prefix length, without IPv6 link-local ones. */
  addresses: string[];
}

/** What a namespace is to do for weft's uplinks. */
export interface RoutingRequest {
  /** Forward packets of that family between its interfaces. */
  ipv4: boolean;
  ipv6: boolean;
  /** Chains for weft's table of nftables (inet), in nft's language; null: no table. */
  rules: string | null;
  /** TAPs of uplinks there; with rules they carry packets from loopback addresses of the machine (route_localnet). */
  taps: string[];
  /** Addresses behind weft that the namespace answers ARP and neighbour solicitations for, on the interfaces where they are asked. */
  proxies: ProxyNeighbour[];
}

export interface ProxyNeighbour {
  /** Bare. */
  address: string;
  ifname: string;
}

/** An interface of the kernel that does VXLAN itself. */
export interface FoundVxlan {
  ifname: string;
  udpPort: number;
}

/** A socket that waits for whoever comes: TCP that listens, UDP without a peer. */
export interface FoundListener {
  /** Bare; `0.0.0.0` or `::` for all. */
  address: string;
  port: number;
  inode: number;
}

export interface SocketOwner {
  pid: number;
  name: string;
  /** Whether it is this process. */
  isWeft: boolean;
}

export interface NamespaceWatch {
  stop(): void;
}

export interface Kernel {
  /** Makes /run/netns/NAME with loopback up; refuses (EEXIST) when there is one. Marks it as weft's own. */
  createNamespace(name: string): Promise<Namespace>;
  /** Removes /run/netns/NAME; resolves when it was gone already. */
  removeNamespace(name: string): Promise<void>;
  /** Names of namespaces that weft made on this machine since boot and that this instance has not removed. */
  ownedNamespaces(): Promise<string[]>;
  openNamespace(path: string): Promise<Namespace>;
  /** A namespace without a name, for the services of gateways: it ends when it is closed, or with this process. */
  makeServiceNamespace(): Promise<Namespace>;
  closeNamespace(namespace: Namespace): void;
  /** The daemon's own namespace. */
  hostNamespace(): Namespace;
  /** Calls back once when nothing names the namespace and no process is in it any more. */
  watchNamespace(namespace: Namespace, pid: number | null, gone: () => void): NamespaceWatch;

  createTap(namespace: Namespace, request: TapRequest): Promise<Tap>;
  /** Finds the TAP by alias, attaches to it and repairs what differs; null when there is none. */
  adoptTap(namespace: Namespace, request: TapRequest): Promise<Tap | null>;
  /** Has a UDP socket send to multicast groups over that interface; null: where the route leads. */
  setGroupInterface(tap: Tap, ifname: string | null): void;
  /** Changes MTU, addresses and routes of a TAP in place. */
  updateTap(namespace: Namespace, tap: Tap, request: TapRequest): Promise<void>;
  /** Carrier off, closes the file descriptor; the persistent interface stays. */
  releaseTap(tap: Tap): void;
  /** Closes it and removes the interface, wherever it has been moved; resolves when it was gone already. */
  removeTap(tap: Tap): Promise<void>;
  findTaps(namespace: Namespace, aliasPrefix: string): Promise<FoundTap[]>;
  removeFoundTap(namespace: Namespace, found: FoundTap): Promise<void>;
  /** Names of all interfaces of the namespace (to choose a free one). */
  interfaceNames(namespace: Namespace): Promise<string[]>;
  /**
   * Has the namespace forward, and weft's table there hold these rules and no others, in one step. Returns the settings (as
   * sysctl names them) that had to be changed. Remembered on disk until `clearRouting`.
   */
  setRouting(namespace: Namespace, request: RoutingRequest): Promise<string[]>;
  /** Answers again for what `setRouting` made it answer for: the kernel forgets that whenever an interface goes down or loses its carrier. */
  renewProxies(namespace: Namespace, proxies: readonly ProxyNeighbour[]): Promise<void>;
  /** Takes back whatever `setRouting` did there, in this process or an earlier one. */
  clearRouting(namespace: Namespace): Promise<void>;
  /** Paths of namespaces where something is to be taken back; those that are gone are forgotten. */
  routedNamespaces(): Promise<string[]>;
  /**
   * Chains of nftables there that drop by default what the namespace forwards, as `ip filter FORWARD`; none where it cannot be
   * told. Rules of weft's own cannot overrule them.
   */
  droppingChains(namespace: Namespace): Promise<string[]>;
  /** Unicast routes of the main table, without those over interfaces of this instance. */
  routes(namespace: Namespace): Promise<FoundRoute[]>;
  /** Ports that the namespace takes for connections of its own (ip_local_port_range). */
  localPorts(namespace: Namespace): Promise<{ first: number; last: number }>;
  /** Ports that programs serve there, and what the kernel and this process do. */
  listeners(namespace: Namespace, protocol: 'tcp' | 'udp'): Promise<FoundListener[]>;
  /** The program that has the socket open; null when none is seen. Looks at every process: for messages. */
  socketOwner(inode: number): Promise<SocketOwner | null>;
  /** null when there is none. */
  findInterface(namespace: Namespace, ifname: string): Promise<FoundLink | null>;
  /** Interfaces there whose VXLAN is the kernel's, to say who has a UDP port. */
  vxlanInterfaces(namespace: Namespace): Promise<FoundVxlan[]>;
  /** Routes of the daemon's own namespace, without those over interfaces of this instance. */
  hostRoutes(): Promise<{ destination: string; device: string }[]>;
}
