/** The end of tunnels on this host, while it is there. Networks with the same underlay, address, UDP port and namespace share it. */
import { createHash } from 'node:crypto';
import type { Underlay } from '../../model/network.js';
import type { FoundLink, Namespace, NamespaceWatch, ProxyNeighbour, TapRequest } from '../kernel/kernel.js';
import type { Attachment } from '../port-table.js';

/** What tells VTEPs of this host apart. */
export interface VtepPlace {
  underlay: Underlay;
  /** Bare. */
  address: string;
  udpPort: number;
  /** Path of the namespace; null = that of the daemon. */
  netns: string | null;
}

/** What is to be made of it, found out before anything is. */
export interface VtepPlan {
  receiver: TapRequest;
  senders: TapRequest[];
  hostMac: string | null;
  ownMac: string | null;
  /** Where somebody has to answer for the address on weft's behalf. */
  proxies: ProxyNeighbour[];
}

export interface VtepGroup {
  attachment: Attachment;
  networks: Set<string>;
  ifname: string | null;
  /** The interface that it is joined on; null: nobody knows. */
  link: FoundLink | null;
}

export interface Vtep extends VtepPlace {
  key: string;
  /** Where the underlay is. */
  namespace: Namespace;
  /** Whether the namespace was opened for this VTEP, and is closed with it. */
  ownsNamespace: boolean;
  watch: NamespaceWatch | null;
  plan: VtepPlan;
  receiver: Attachment;
  senders: readonly Attachment[];
  /** Of a TAP: the interface on whose segment the namespace answers for the address; null: on none. */
  segment: FoundLink | null;
  /** Looks for one so far that found none. */
  looks: number;
  /** Sockets that hear multicast groups, by group and interface, with the networks that want them. */
  groups: Map<string, VtepGroup>;
  /** Names of the networks that have a tunnel there. */
  networks: Set<string>;
  /** Largest outer packet, L3 bytes: the MTU of the interface towards the peers. */
  mtu: number;
  /** Whether outer UDP checksums are computed. */
  checksum: boolean;
  /** Whether datagrams may be joined (UDP_SEGMENT). */
  joins: boolean;
}

/** `socket 192.0.2.1 4789`, and the path of the namespace where it is not the daemon's own: unique, and the same after a restart. */
export function keyOf({ underlay, address, udpPort, netns }: VtepPlace): string {
  return `${underlay} ${address} ${udpPort}${netns === null ? '' : ` ${netns}`}`;
}

/** By which the TAP of a VTEP is found again. `prefix`: of all aliases of this instance. */
export function aliasOfVtep(prefix: string, key: string): string {
  return `${prefix}vtep.${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
}

/** All that the datapath has of it. */
export function attachmentsOf({ receiver, senders, groups }: Vtep): Attachment[] {
  return [receiver, ...senders, ...[...groups.values()].map(({ attachment }) => attachment)];
}
