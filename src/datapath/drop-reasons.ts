/**
 * Every reason for which weft drops: one ordered list from which codes, counters, the CLI and the documentation are made.
 *
 * A reason of scope `frame` ends the fate of an arrival (it is dropped as a whole); a reason of scope `departure` ends one
 * of the departures of a frame that was forwarded. Codes are positions in the list and live no longer than a process:
 * whatever is stored or shown uses the name.
 */

export interface DropReason {
  name: string;
  scope: 'frame' | 'departure';
  /** The stage that says so. */
  stage: string;
  /** What happened, for people. */
  sentence: string;
  /** What to do about it. */
  hint: string;
}

export const DROP_REASONS = [
  {
    name: 'truncated',
    scope: 'frame',
    stage: 'parse',
    sentence: 'The frame is shorter than an Ethernet header.',
    hint: 'A program in the sending compartment writes damaged frames; capture on that endpoint with --drops.',
  },
  {
    name: 'bad-offload',
    scope: 'frame',
    stage: 'parse',
    sentence: 'The offload request in front of the frame does not fit the frame.',
    hint: 'The sender asks for a checksum or segmentation outside its frame; check the program or the driver that sends it.',
  },
  {
    name: 'invalid-source',
    scope: 'frame',
    stage: 'parse',
    sentence: 'The source MAC is a group address or all zero.',
    hint: 'IEEE 802.3 allows only individual source addresses; look for the sender in a capture with --drops.',
  },
  {
    name: 'unknown-port',
    scope: 'frame',
    stage: 'parse',
    sentence: 'The frame came from a port that belongs to no network any more.',
    hint: 'Normal for a moment while an endpoint is detached or deleted.',
  },
  {
    name: 'exceeds-mtu',
    scope: 'frame',
    stage: 'ingress',
    sentence: 'The frame is longer than the MTU of its network allows.',
    hint: 'Lower the MTU inside the compartment, or create the network with a larger --mtu.',
  },
  {
    name: 'vlan-not-allowed',
    scope: 'frame',
    stage: 'ingress',
    sentence: 'The VLAN of the frame is not allowed on the port where it came in.',
    hint: 'Check the endpoint with `weft endpoint show`; allow the VLAN on its trunk or send untagged.',
  },
  {
    name: 'control-filtered',
    scope: 'frame',
    stage: 'ingress',
    sentence: 'A link-local control frame (01:80:c2:00:00:0x) on a network that filters them.',
    hint: 'Create the network with --control-frames pass to let STP, LACP and LLDP through.',
  },
  {
    name: 'storm',
    scope: 'frame',
    stage: 'switch',
    sentence:
      'The port sent more broadcast, multicast or unknown unicast than the storm control of the network allows.',
    hint: 'Look for a loop or a flooding program behind the endpoint, or raise the limit of the network.',
  },
  {
    name: 'same-port',
    scope: 'frame',
    stage: 'switch',
    sentence: 'The destination lies behind the port where the frame came in.',
    hint: 'Normal behind a bridge inside a compartment; elsewhere look for two stations with one MAC.',
  },
  {
    name: 'isolated',
    scope: 'frame',
    stage: 'switch',
    sentence: 'Sender and destination are both isolated endpoints.',
    hint: 'Isolated endpoints reach only endpoints that are not isolated; change one of the two.',
  },
  {
    name: 'no-destination',
    scope: 'frame',
    stage: 'transmit',
    sentence: 'No other endpoint of the network could take the frame.',
    hint: 'Attach a second endpoint to the network, or check VLANs and isolation.',
  },
  {
    name: 'vlan-not-carried',
    scope: 'frame',
    stage: 'switch',
    sentence: 'The port of the destination does not carry the VLAN of the frame.',
    hint: 'Allow the VLAN on the trunk of the destination, or put both endpoints in one VLAN.',
  },
  {
    name: 'port-down',
    scope: 'departure',
    stage: 'transmit',
    sentence: 'The interface of the receiving endpoint is down.',
    hint: 'Set it up inside the compartment: `weft exec COMPARTMENT -- ip link set dev IFNAME up`.',
  },
  {
    name: 'port-gone',
    scope: 'departure',
    stage: 'transmit',
    sentence: 'The interface of the receiving endpoint does not exist any more.',
    hint: 'Somebody deleted the interface or its namespace; `weft endpoint show` tells, `weft endpoint attach` makes it anew.',
  },
  {
    name: 'queue-full',
    scope: 'departure',
    stage: 'transmit',
    sentence: 'The kernel had no room to take the frame (EAGAIN or ENOBUFS).',
    hint: 'The receiver cannot keep up; lower the load or raise its socket buffers.',
  },
  {
    name: 'refused',
    scope: 'departure',
    stage: 'transmit',
    sentence: 'The kernel refused the frame (EINVAL or another error).',
    hint: 'Please report it with a capture of the frame; `weft doctor` shows which offloads the kernel has.',
  },
  {
    name: 'not-segmentable',
    scope: 'departure',
    stage: 'transmit',
    sentence: 'A super-frame had to be segmented for the receiving port but its headers do not allow it.',
    hint: 'Only TCP and UDP super-frames over IPv4 and IPv6 exist; look for the sender in a capture with --drops.',
  },
  {
    name: 'bad-ip',
    scope: 'frame',
    stage: 'network-layer',
    sentence: 'The IP header is damaged, or shorter or longer than the frame.',
    hint: 'The sender writes damaged packets; capture on that endpoint with --drops.',
  },
  {
    name: 'bad-ip-source',
    scope: 'frame',
    stage: 'gateway',
    sentence:
      'The source address is none that a station can have there (loopback, multicast, unspecified, or the gateway itself).',
    hint: 'Look for the sender in a capture with --drops.',
  },
  {
    name: 'ttl-expired',
    scope: 'frame',
    stage: 'route',
    sentence: 'The time to live (hop limit) ran out at the gateway.',
    hint: 'That is what traceroute does on purpose; otherwise look for a routing loop.',
  },
  {
    name: 'no-route',
    scope: 'frame',
    stage: 'route',
    sentence: 'The gateway has no route to the destination.',
    hint: 'Networks reach each other only where `routes-to` says so, and the outside only over an uplink: weft network show NAME.',
  },
  {
    name: 'no-neighbour',
    scope: 'frame',
    stage: 'route',
    sentence: 'Nobody answered for the MAC of the next hop (ARP or neighbour discovery).',
    hint: 'The destination does not exist on its network or is down.',
  },
  {
    name: 'neighbour-queue-full',
    scope: 'frame',
    stage: 'route',
    sentence: 'Too many frames wait for the MAC of a next hop.',
    hint: 'Somebody scans addresses that do not exist; weft stats shows who.',
  },
  {
    name: 'too-big',
    scope: 'frame',
    stage: 'route',
    sentence: 'The packet is larger than the MTU of the network that it leaves through and must not be fragmented.',
    hint: 'Path MTU discovery lowers it by itself; a sender that ignores ICMP needs a smaller MTU.',
  },
  {
    name: 'no-service',
    scope: 'frame',
    stage: 'gateway',
    sentence: 'The packet is for an address of weft itself, which does not serve that protocol or port.',
    hint: 'Use the address of a compartment, or publish the port: weft port publish.',
  },
  {
    name: 'nat-no-mapping',
    scope: 'frame',
    stage: 'nat-inbound',
    sentence: 'Nothing inside has asked for packets to this external address and port.',
    hint: 'Publish the port (weft port publish), or let the inside speak first.',
  },
  {
    name: 'nat-filtered',
    scope: 'frame',
    stage: 'nat-inbound',
    sentence: 'A mapping exists, but the network does not let this remote address or port use it.',
    hint: 'The network filters by address or port; weft network show NAME tells, --filtering endpoint-independent lets everybody in.',
  },
  {
    name: 'nat-no-session',
    scope: 'frame',
    stage: 'nat-outbound',
    sentence: 'A TCP segment that belongs to no connection and opens none.',
    hint: 'The connection is older than its entry in the flow table (idle for too long), or was never opened through here.',
  },
  {
    name: 'nat-protocol',
    scope: 'frame',
    stage: 'nat-outbound',
    sentence: 'The NAT does not translate this protocol.',
    hint: 'TCP, UDP and ICMP have ports or identifiers to tell flows apart; others need a 1:1 address (static NAT).',
  },
  {
    name: 'nat-no-port',
    scope: 'frame',
    stage: 'nat-outbound',
    sentence: 'No external port is free for the new flow.',
    hint: 'Give the network more external addresses or a larger port range.',
  },
  {
    name: 'nat-table-full',
    scope: 'frame',
    stage: 'nat-outbound',
    sentence: 'The flow table has no room for another flow.',
    hint: 'See who has them with weft flow list; idle flows go after their timers.',
  },
  {
    name: 'nat-flow-limit',
    scope: 'frame',
    stage: 'nat-outbound',
    sentence: 'The inside address has as many flows as the network allows one address.',
    hint: 'Raise --flow-limit of the network if that is honest traffic.',
  },
  {
    name: 'nat-syn-held',
    scope: 'frame',
    stage: 'nat-inbound',
    sentence: 'An unsolicited TCP SYN is held back in case the inside opens the same connection (RFC 5382).',
    hint: 'Publish the port if connections from outside are wanted.',
  },
  {
    name: 'nat-bad-icmp',
    scope: 'frame',
    stage: 'nat-inbound',
    sentence: 'An ICMP error that speaks of no flow of this network, or is damaged.',
    hint: 'Harmless when a flow has just ended; a flood of them is forged.',
  },
  {
    name: 'bad-fragment',
    scope: 'frame',
    stage: 'nat-inbound',
    sentence:
      'A fragment that cannot be: it overlaps the header, has no first part, or its parts contradict each other.',
    hint: 'The sender or somebody on the way forges fragments; capture with --drops.',
  },
  {
    name: 'fragments-full',
    scope: 'frame',
    stage: 'nat-inbound',
    sentence: 'Too many fragments wait for the first one of their packet.',
    hint: 'A flood of fragments, or heavy loss; others are not affected.',
  },
  {
    name: 'service-limit',
    scope: 'frame',
    stage: 'gateway',
    sentence: 'The port asks a service of the gateway (DHCP, DNS) more often than it is answered.',
    hint: 'Ten requests for DHCP a second are answered, and 3000 for DNS; look for the sender in a capture with --drops.',
  },
] as const satisfies readonly DropReason[];

export type DropName = (typeof DROP_REASONS)[number]['name'];

export const DROP_COUNT = DROP_REASONS.length;

/** Code of every reason by its camel-case name: `DROP.exceedsMtu`. */
export const DROP = {
  truncated: 0,
  badOffload: 1,
  invalidSource: 2,
  unknownPort: 3,
  exceedsMtu: 4,
  vlanNotAllowed: 5,
  controlFiltered: 6,
  storm: 7,
  samePort: 8,
  isolated: 9,
  noDestination: 10,
  vlanNotCarried: 11,
  portDown: 12,
  portGone: 13,
  queueFull: 14,
  refused: 15,
  notSegmentable: 16,
  badIp: 17,
  badIpSource: 18,
  ttlExpired: 19,
  noRoute: 20,
  noNeighbour: 21,
  neighbourQueueFull: 22,
  tooBig: 23,
  noService: 24,
  natNoMapping: 25,
  natFiltered: 26,
  natNoSession: 27,
  natProtocol: 28,
  natNoPort: 29,
  natTableFull: 30,
  natFlowLimit: 31,
  natSynHeld: 32,
  natBadIcmp: 33,
  badFragment: 34,
  fragmentsFull: 35,
  serviceLimit: 36,
} as const;
