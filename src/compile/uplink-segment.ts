/**
 * The segment between a nat network and the outside as the router has to see it: facts that the uplink found out or made
 * (control/uplinks), in texts. What of it follows from the request alone (1:1 addresses, prefixes, policy) is not in here.
 */
export interface UplinkSegment {
  /** L3 bytes. */
  mtu: number;
  /** Addresses of the router on the segment, with the prefix length of what is on it: `100.64.0.2/30`. */
  own: string[];
  /** Addresses of which NAT takes ports, bare; those that are not in `own` are routed to it by the other side. */
  external: string[];
  /** Routers towards the rest of the world, bare, at most one of each family; none: that family ends here. */
  nextHops: string[];
  /** Stations that need no ARP. */
  neighbours: { address: string; mac: string }[];
}
