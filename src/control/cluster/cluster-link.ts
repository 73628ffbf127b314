/**
 * What the rest of the control plane sees of the cluster; `Context.cluster` is null in a daemon without one.
 *
 * Everything but `claim` and the operations on shared networks answers from memory, and goes on to do so while etcd is away.
 */
import type { EndpointRecord, NetworkRecord } from '../../model/desired-state.js';
import type { NetworkSpec } from '../../model/network.js';
import type { ClusterView } from '../controller.js';
import type { ZoneHost } from '../dns/zone.js';

/** When it is not granted: who has what, in words: `10.90.0.5 belongs to host b`. */
export type Claimed =
  | { granted: true }
  /**
   * `isFinal`: it is not only addresses, so choosing again does not help. `heed`: to be called when the endpoint has given its addresses back:
   * enters those that others have, so that they are not chosen again.
   */
  | { granted: false; taken: readonly string[]; isFinal: boolean; heed(): void };

export interface ClusterLink {
  readonly host: string;
  /** Bare addresses of the VTEPs of other hosts that have the network now. */
  vtepsOf(network: string): string[];
  /** Stations of other hosts, by their names. */
  zoneHostsOf(network: string): ZoneHost[];
  /** Name of the endpoint of another host that has the MAC; null when none has. */
  stationAt(network: string, mac: string): string | null;

  /**
   * Makes the name, MACs and addresses of an endpoint of a shared network this host's alone. Rejects with `unavailable` when etcd cannot be
   * asked: nothing is given out on a guess.
   */
  claim(record: EndpointRecord): Promise<Claimed>;
  /**
   * Endpoints that are not here (any more): what was claimed for them is free when it resolves, all but what an endpoint has that is here.
   * While etcd is away that happens later, and it resolves at once.
   */
  release(endpoints: readonly string[]): Promise<void>;

  /** Enters a network that is to be shared; refuses what contradicts another one of the cluster. */
  addNetwork(record: NetworkRecord): Promise<void>;
  changeNetwork(spec: NetworkSpec): Promise<void>;
  /** Refuses while other hosts, gone ones too, have endpoints on it. */
  removeNetwork(network: string): Promise<void>;

  /** The daemon ends: other hosts go on as if it were there until its lease runs out. */
  close(): Promise<void>;
  view(): ClusterView;
  /** Releases whatever a host that is gone had: addresses, names, endpoints. */
  forget(host: string): Promise<void>;
}
