/**
 * What the user asked for: a network, an L2 segment with a type, subnets and switch settings.
 *
 * Plain data, exactly as it stands in the state file and (with the same words) in API bodies and lab files. Runtime facts
 * are in the views (control/controller.ts), never here.
 */

/** `private`: endpoints only. `internal`: plus a host vNIC that owns the gateway addresses. */
export type NetworkType = 'private' | 'internal';

/** Frames per second that one port may send into the network by kind; 0 means no limit. */
export interface StormLimits {
  broadcast: number;
  multicast: number;
  unknownUnicast: number;
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
}
