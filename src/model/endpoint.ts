/** What the user asked for: an endpoint, one NIC of one compartment on one network. Plain data. */

/** `access`: untagged frames belong to VLAN `id`. `trunk`: tagged frames of the allowed VLANs, untagged ones belong to `native`. */
export type VlanSpec =
  | { mode: 'access'; id: number }
  | { mode: 'trunk'; native: number | null; allowed: number[] | null };

export interface EndpointSpec {
  name: string;
  network: string;
  /** null while detached, and for a remote one. */
  compartment: string | null;
  /** Address of the VTEP behind which the station is (HCN RemoteEndpoint, ProviderAddress); null: it is an endpoint of this host. */
  vtep: string | null;
  /** Interface name inside the compartment, 1..15 bytes. */
  ifname: string;
  /** `02:xx:xx:xx:xx:xx` unless the user chose one. */
  mac: string;
  /** Bare addresses, at most one per subnet of the network; kept until the endpoint is deleted. */
  ip: string[];
  /** Whether the network's gateways become default routes of the compartment. */
  defaultRoute: boolean;
  /** null: a port that carries every VLAN and does not touch tags. */
  vlan: VlanSpec | null;
  /** Isolated endpoints of a network reach only those that are not isolated. */
  isolated: boolean;
  /** false: the compartment gets finished checksums and no super-frames (for programs that read raw frames). */
  offload: boolean;
  /** Further MACs behind this endpoint, entered in the MAC table as static entries. */
  staticMacs: string[];
  /** Published ports, canonical text `[HOSTIP:]HOSTPORT[-END]:PORT/tcp|udp` (an IPv6 HOSTIP in brackets). */
  publish: string[];
  /** false: the interface is up but has no addresses and routes; the compartment asks DHCP. */
  configure: boolean;
  /** More names in the network's domain. */
  aliases: string[];
}
