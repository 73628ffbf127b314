/**
 * The shape of what the control thread compiles and the datapath worker runs: flat typed arrays, immutable once published,
 * swapped whole between two turns. Learned state (MACs, storm budgets) is not in here: it stays in the worker.
 *
 * Also the messages between the two threads, and nothing else crosses between them but shared memory.
 *
 * Invariants: a port index is a row of every `port...` column and a network index a row of every `network...` column;
 * a free row has `portNetwork` -1. Members of network n are `members[memberFirst[n] .. + memberCount[n])`, in port order.
 */

export const MAX_PORTS = 4096;
export const MAX_NETWORKS = 1024;
/** Other VTEPs that are known at once. A station behind remote r has the location MAX_PORTS + r in the MAC table. */
export const MAX_REMOTES = 4096;
/** What the MAC table may name as the place of a station. */
export const MAX_LOCATIONS = MAX_PORTS + MAX_REMOTES;

/** Port carries every VLAN (or those of its trunk set); untagged frames belong to `portVlan` (0 = untagged domain). */
export const VLAN_TRUNK = 0;
/** Port carries VLAN `portVlan` only, untagged on the wire. */
export const VLAN_ACCESS = 1;

/** Bits of `portFlags`. */
export const PORT_ISOLATED = 1;

/** Bits of `portAccepts`: what may be written to the port as it is. Equal to TUN_F_* (linux/if_tun.h) where both exist. */
export const ACCEPTS_CHECKSUM = 0x01;
export const ACCEPTS_TSO4 = 0x02;
export const ACCEPTS_TSO6 = 0x04;
export const ACCEPTS_TSO_ECN = 0x08;
export const ACCEPTS_USO = 0x20;
/** Super-frames inside of VXLAN go out whole, without and with an outer UDP checksum (Linux 6.17). */
export const ACCEPTS_TUNNEL_GSO = 0x80;
export const ACCEPTS_TUNNEL_CSUM = 0x100;

/** Bits of `networkFlags`. */
export const NETWORK_FILTER_CONTROL = 1;
/** The host vNIC owns the gateway addresses and their MAC; weft takes only what it routes to other networks. */
export const NETWORK_SHARED_GATEWAY = 2;
/** Routers are advertised on this network (RFC 4861), so that stations configure themselves. */
export const NETWORK_ADVERTISE = 4;
/** weft answers DHCP there: such requests go to the control thread instead of the other stations. */
export const NETWORK_DHCP = 8;
/** weft answers ARP and neighbour solicitations for stations that it knows (`neighbours` and bindings), so that they do not flood. */
export const NETWORK_SUPPRESS = 16;
/** Too big a packet of a station is answered with ICMP (the tunnel cannot carry it), not only dropped. */
export const NETWORK_TELLS_MTU = 32;

/** Values of `networkRole`: an L2 segment that weft only switches. */
export const ROLE_SWITCH = 0;
/** weft has the gateway addresses of the segment and routes for it. */
export const ROLE_INSIDE = 1;
/** The segment towards the outside of one nat network; its addresses are the external ones. */
export const ROLE_UPLINK = 2;
/** The segment of one VTEP: where encapsulated frames leave and come in. Its own address is that of the VTEP. */
export const ROLE_UNDERLAY = 3;

/**
 * Ints of a row of `ownAddresses`, addresses that weft itself has: network, family (4 or 6), four words of the address (IPv4: the
 * first, the others 0), prefix length, flags.
 */
export const OWN_ADDRESS_INTS = 8;
/** A gateway address of an inside network. */
export const OWN_GATEWAY = 1;
/** On an uplink: NAPT takes ports of this address. */
export const OWN_POOL = 2;
/** On an uplink: belongs to one inside address alone (a row of `natStatic`). */
export const OWN_STATIC = 4;

/**
 * Ints of a row of `routes`: family, four words of the prefix, prefix length, target network, four words of the next hop (all zero:
 * the destination itself is on the segment), flags; then, only with ROUTE_REMOTE: four words of the address of the VTEP behind which
 * the prefix is, its family, MAC high and low of the distributed router there, VNI. Rows of network n are `routeFirst[n] .. + routeCount[n])`, the longest prefix first.
 * They say where frames may go that enter the router from network n.
 */
export const ROUTE_INTS = 20;
/** What takes this route to an uplink keeps its source address (exceptions of the NAT). */
export const ROUTE_PLAIN = 1;
/** Through the tunnel of the target network to the router of another host (HCN RemoteSubnetRoute); no neighbour is asked for. */
export const ROUTE_REMOTE = 2;

/** Ints of a row of `neighbours`, stations that need no ARP: network, family, four words of the address, MAC high, MAC low, port. */
export const NEIGHBOUR_INTS = 9;

/** Ints of a row of `natPolicy`, which has one row per network. */
export const NAT_POLICY_INTS = 16;
/** Columns of `natPolicy`. Times in seconds. */
export const NAT = {
  /** MAPPING_*. */
  mapping: 0,
  /** FILTERING_*. */
  filtering: 1,
  /** TRANSLATE_* of IPv4 and of IPv6. */
  translate4: 2,
  translate6: 3,
  tcpEstablished: 4,
  tcpTransitory: 5,
  /** How long an unsolicited SYN is held (RFC 5382 REQ-4). */
  tcpSyn: 6,
  udp: 7,
  icmp: 8,
  /** Flows that one inside address may have. */
  flowLimit: 9,
  /** External ports given out automatically. */
  portFirst: 10,
  portLast: 11,
  /** 1: inside stations reach external addresses of their own network (RFC 4787 REQ-9). */
  hairpin: 12,
} as const;
/** RFC 4787 section 4.1. */
export const MAPPING_ENDPOINT_INDEPENDENT = 0;
export const MAPPING_ADDRESS_AND_PORT_DEPENDENT = 1;
/** RFC 4787 section 5. */
export const FILTERING_ENDPOINT_INDEPENDENT = 0;
export const FILTERING_ADDRESS_DEPENDENT = 1;
export const FILTERING_ADDRESS_AND_PORT_DEPENDENT = 2;
/** Not translated: routed as it is. */
export const TRANSLATE_NONE = 0;
/** NAPT, stateful (RFC 3022; for IPv6: NAT66 with ports). */
export const TRANSLATE_PORTS = 1;
/** NPTv6, stateless, IPv6 only (RFC 6296; `natPrefixes`). */
export const TRANSLATE_PREFIX = 2;

/**
 * Ints of a row of `natPublished`: inside network, protocol (6, 17), family, four words of the external address (all zero: every
 * external address of the network), first and last external port, four words of the inside address, first inside port.
 */
export const PUBLISHED_INTS = 14;
/** Ints of a row of `natStatic` (1:1): inside network, family, four words of the inside and four of the external address. */
export const STATIC_NAT_INTS = 10;
/** Ints of a row of `natPrefixes` (NPTv6): inside network, prefix length, four words of the inside and four of the external prefix. */
export const PREFIX_NAT_INTS = 10;

/** Ints of a row of `vteps`, the ends of tunnels on this host. Many tunnels share one. */
export const VTEP_INTS = 24;
/** Columns of `vteps`. */
export const VTEP = {
  /** The same for a VTEP in every program, and not 0: what was learned of peers is known by it. */
  key: 0,
  /** VTEP_SOCKET or VTEP_TAP. */
  kind: 1,
  /** Row of the network columns (ROLE_UNDERLAY). */
  network: 2,
  /** Port that encapsulated frames come in by; of a TAP they also leave there. */
  port: 3,
  /** Of its address: 4 or 6, and four words (IPv4: the first). All words zero: a socket bound to every address. */
  family: 4,
  address: 5,
  /** UDP port, here and at the peers. */
  udpPort: 9,
  /** VTEP_SOCKET: rows `vtepSenders[senderFirst .. + senderCount)` are ports that send, each with a source port of its own. */
  senderFirst: 10,
  senderCount: 11,
  /** VTEP_TAP: MAC of the host's side, which everything goes to, and weft's own. */
  hostMacHigh: 12,
  hostMacLow: 13,
  ownMacHigh: 14,
  ownMacLow: 15,
  /** VTEP_* bits. */
  flags: 16,
  /** Largest outer packet, L3 bytes. */
  mtu: 17,
} as const;
/** Values of `VTEP.kind`: UDP sockets of the host; a TAP on whose segment the VTEP has an address. */
export const VTEP_SOCKET = 0;
export const VTEP_TAP = 1;
/** Bits of `VTEP.flags`: outer UDP checksums are computed (always so over a socket, and over IPv6 unless switched off). */
export const VTEP_CHECKSUM = 1;
/** Datagrams of one size to one peer leave joined (UDP_SEGMENT works there). */
export const VTEP_JOINS = 2;

/** Ints of a row of `tunnels`: an overlay network's share of a VTEP. */
export const TUNNEL_INTS = 8;
/** Columns of `tunnels`. */
export const TUNNEL = {
  /** Row of the overlay network. */
  network: 0,
  /** 0 .. 2^24 - 1. */
  vni: 1,
  /** Row of `vteps`. */
  vtep: 2,
  /** Port that stands for the tunnel on the overlay network; it has no descriptor. */
  port: 3,
  /** TUNNEL_* bits. */
  flags: 4,
  /** DSCP of outer headers (0..63), -1 = that of the inner packet (RFC 2983, uniform model). */
  dscp: 5,
  /** Rows of `floods`: the peers that get a copy of what floods. */
  floodFirst: 6,
  floodCount: 7,
} as const;
/** Bits of `TUNNEL.flags`: only peers that are listed, or that bindings name, may send. */
export const TUNNEL_CLOSED = 1;
/** Inner source MACs are learned (RFC 7348 section 4.1). */
export const TUNNEL_LEARNS = 2;

/** Ints of a row of `floods`: family and four words of the address of a VTEP, or of a multicast group. */
export const FLOOD_INTS = 5;

/**
 * Ints of a row of a `bindings` message, stations behind other VTEPs: operation (1 = add or replace, 0 = remove), row of the overlay
 * network, VLAN, MAC high, MAC low, family and four words of the VTEP, origin (BINDING_*), family (0 = only the MAC is known) and four
 * words of an address of the station. One row per address; a removal of a row with family 0 removes all of the MAC.
 */
export const BINDING_INTS = 16;
/** Origins of bindings: the state file, the control plane. A binding of the first kind wins. */
export const BINDING_STATIC = 1;
export const BINDING_CLUSTER = 2;

/** Bits of `portCapture`: copy frames that arrive from / depart to / are dropped at this port into the capture ring. */
export const CAPTURE_ARRIVALS = 1;
export const CAPTURE_DEPARTURES = 2;
export const CAPTURE_DROPS = 4;

/** Words (32 VLANs each) of one trunk set: VLAN v is allowed when bit v of row `portTrunk` is set. */
export const TRUNK_WORDS = 128;

/** Ints of one row of `staticMacs`: network index, VLAN (0 = untagged domain), MAC high 16 bits, MAC low 32 bits, port index. */
export const STATIC_MAC_INTS = 5;

export interface Program {
  version: number;
  /** Rows in use of the port columns: highest port index + 1. */
  portCount: number;
  portNetwork: Int32Array;
  /** Serial of the attachment: changes when the row is reused, so that learned MACs of the former port are flushed. */
  portSerial: Int32Array;
  /** Bytes of vnet header in front of each frame of this port: 0 or 12. */
  portHeaderBytes: Uint8Array;
  portAccepts: Uint16Array;
  portFlags: Uint8Array;
  portVlanMode: Uint8Array;
  portVlan: Int32Array;
  /** Row of `trunkSets`, -1 = every VLAN. */
  portTrunk: Int32Array;
  portCapture: Uint8Array;
  trunkSets: Int32Array;
  networkCount: number;
  /** L3 bytes. */
  networkMtu: Int32Array;
  networkAgeingMs: Int32Array;
  networkFlags: Uint8Array;
  networkMacLimit: Int32Array;
  /** Frames per second and port; 0 = no limit. */
  networkStormBroadcast: Int32Array;
  networkStormMulticast: Int32Array;
  networkStormUnknown: Int32Array;
  memberFirst: Int32Array;
  memberCount: Int32Array;
  members: Int32Array;
  staticMacs: Int32Array;
  /** ROLE_*. */
  networkRole: Uint8Array;
  /** The same for a network in every process of this daemon's state: what flows of before a restart are known by. */
  networkKey: Int32Array;
  /** MAC of the router on the network; meaningless for ROLE_SWITCH. */
  gatewayMacHigh: Int32Array;
  gatewayMacLow: Int32Array;
  /** Port that takes what is for the gateway's services (DNS), -1 = none. */
  networkServicePort: Int32Array;
  /** Of an inside network: row of its uplink, or -1. Of an uplink: row of the network that it serves. */
  networkUplink: Int32Array;
  ownAddresses: Int32Array;
  routeFirst: Int32Array;
  routeCount: Int32Array;
  routes: Int32Array;
  neighbours: Int32Array;
  natPolicy: Int32Array;
  natPublished: Int32Array;
  natStatic: Int32Array;
  natPrefixes: Int32Array;
  /** Of a port that encapsulated frames come in or leave by: row of `vteps`; else -1. */
  portVtep: Int32Array;
  /** Of a port that stands for a tunnel: row of `tunnels`; else -1. */
  portTunnel: Int32Array;
  /** Of a UDP socket its own port, which captures show; else 0. */
  portUdp: Int32Array;
  /** Of an overlay network: row of `tunnels`; else -1. */
  networkTunnel: Int32Array;
  /** Second MAC of the router on an overlay network, which no other host has (HCN DrMacAddress); 0 = none. */
  ownRouterMacHigh: Int32Array;
  ownRouterMacLow: Int32Array;
  vteps: Int32Array;
  vtepSenders: Int32Array;
  tunnels: Int32Array;
  floods: Int32Array;
  /** Bytes copied of each captured frame; 0 = no capture is running. */
  captureSnaplen: number;
}

/** A program with no ports: what a worker runs until it gets its first. @coldPath once per datapath */
export function emptyProgram(): Program {
  return {
    version: 0,
    portCount: 0,
    portNetwork: new Int32Array(0),
    portSerial: new Int32Array(0),
    portHeaderBytes: new Uint8Array(0),
    portAccepts: new Uint16Array(0),
    portFlags: new Uint8Array(0),
    portVlanMode: new Uint8Array(0),
    portVlan: new Int32Array(0),
    portTrunk: new Int32Array(0),
    portCapture: new Uint8Array(0),
    trunkSets: new Int32Array(0),
    networkCount: 0,
    networkMtu: new Int32Array(0),
    networkAgeingMs: new Int32Array(0),
    networkFlags: new Uint8Array(0),
    networkMacLimit: new Int32Array(0),
    networkStormBroadcast: new Int32Array(0),
    networkStormMulticast: new Int32Array(0),
    networkStormUnknown: new Int32Array(0),
    memberFirst: new Int32Array(0),
    memberCount: new Int32Array(0),
    members: new Int32Array(0),
    staticMacs: new Int32Array(0),
    networkRole: new Uint8Array(0),
    networkKey: new Int32Array(0),
    gatewayMacHigh: new Int32Array(0),
    gatewayMacLow: new Int32Array(0),
    networkServicePort: new Int32Array(0),
    networkUplink: new Int32Array(0),
    ownAddresses: new Int32Array(0),
    routeFirst: new Int32Array(0),
    routeCount: new Int32Array(0),
    routes: new Int32Array(0),
    neighbours: new Int32Array(0),
    natPolicy: new Int32Array(0),
    natPublished: new Int32Array(0),
    natStatic: new Int32Array(0),
    natPrefixes: new Int32Array(0),
    portVtep: new Int32Array(0),
    portTunnel: new Int32Array(0),
    portUdp: new Int32Array(0),
    networkTunnel: new Int32Array(0),
    ownRouterMacHigh: new Int32Array(0),
    ownRouterMacLow: new Int32Array(0),
    vteps: new Int32Array(0),
    vtepSenders: new Int32Array(0),
    tunnels: new Int32Array(0),
    floods: new Int32Array(0),
    captureSnaplen: 0,
  };
}

/** Kinds of ports that the worker reads and writes; equal to the constants of the native addon. */
export const PORT_TAP = 0;
export const PORT_PACKET = 1;
export const PORT_UDP = 2;

/** Ways for a worker to fail, to try out that it is replaced: throw an exception, end, never come back from a turn. */
export const WORKER_FAULTS = ['throw', 'exit', 'hang'] as const;
export type WorkerFault = (typeof WORKER_FAULTS)[number];

/** The first message to a worker, which boots while the control thread finds out what to say here. Answered with `ready`. */
export interface WorkerStart {
  tables: SharedTables;
  wakeFd: number;
  /** Seed of the MAC table's hash. */
  seed: number;
  /** File of the flow table (ports/flow-file.ts). */
  flowFile: string;
  /** Two random integers: what senders must not guess of the NAT. */
  natKey: readonly [number, number];
}

/** Control thread to worker, after that. Every message is answered with an `Ack` of the same `sequence`, in order. */
export type ToWorker =
  | { kind: 'attach'; sequence: number; port: number; fd: number; portKind: number; headerBytes: number }
  | { kind: 'detach'; sequence: number; port: number }
  | { kind: 'program'; sequence: number; program: Program }
  | { kind: 'flush-macs'; sequence: number; network: number }
  /** Pairs of row and generation (nat.ts): flows to end, unless the row belongs to another by now. */
  | { kind: 'delete-flows'; sequence: number; flows: Int32Array }
  /** Rows of BINDING_INTS. What a network knew is forgotten when its row gets another `networkKey`. */
  | { kind: 'bindings'; sequence: number; bindings: Int32Array }
  | { kind: 'stop'; sequence: number }
  | { kind: 'fail'; sequence: number; how: WorkerFault };

/** Worker to control thread. `fault`: the port was taken out of service because of `errno`. */
export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'ack'; sequence: number; errno: number }
  | { kind: 'fault'; port: number; errno: number };

/** Memory that both threads see; made by the control thread, so that it outlives a worker. */
export interface SharedTables {
  counters: SharedArrayBuffer;
  macs: SharedArrayBuffer;
  /** Other VTEPs (tables/remote-table.ts). */
  remotes: SharedArrayBuffer;
  capture: SharedArrayBuffer;
  /** Frames from the control thread to the worker (ports/inject-ring.ts). */
  inject: SharedArrayBuffer;
  /** Frames from the worker to services of the control thread (capture/punt-ring.ts). */
  punts: SharedArrayBuffer;
  /** Frames that the control thread sends out through ports (ports/outbound-ring.ts). */
  outbound: SharedArrayBuffer;
}
