/** The cluster as operators see it (`weft cluster status`). */
import type { ClusterHostView, ClusterView } from '../controller.js';
import type { ClusterOptions } from './cluster-options.js';
import type { ClusterConnection } from './connection.js';
import { hostOfOwner } from './records.js';
import type { Replica } from './replica.js';

export function viewCluster(
  options: ClusterOptions,
  connection: ClusterConnection,
  replica: Replica,
  missing: ReadonlyMap<string, string>,
): ClusterView {
  return {
    host: options.host,
    state: connection.state,
    reason: connection.reason,
    since: new Date(connection.since).toISOString(),
    etcd: [...options.etcd],
    member: connection.member,
    prefix: options.prefix,
    revision: replica.revision,
    keys: replica.size,
    hosts: viewHosts(options.host, connection, replica),
    missing: [...missing].map(([network, reason]) => ({ network, reason })),
  };
}

/** Sorted by name; also hosts of which there is nothing but what they have left. */
function viewHosts(self: string, connection: ClusterConnection, replica: Replica): ClusterHostView[] {
  const hosts = new Map<string, ClusterHostView>();
  const of = (host: string) => {
    const known = hosts.get(host);
    if (known !== undefined) return known;
    const record = replica.hostRecord(host);
    const isThere = replica.isDoubtfulHost(host) ? 'doubtful' : 'there';
    const state = host === self ? 'here' : record === null ? 'gone' : isThere;
    const { version = '', since = '' } = record ?? {};
    const view: ClusterHostView = { host, state, version, since, networks: [], endpoints: 0, addresses: 0 };
    hosts.set(host, view);
    return view;
  };
  if (connection.state === 'joined') of(self);
  for (const host of replica.hostNames()) of(host);
  for (const { host, network, address } of replica.allVteps()) of(host).networks.push({ network, vtep: address });
  for (const { host } of replica.allStations()) of(host).endpoints++;
  for (const { what, owner } of replica.claimOwners()) if (what === 'ip') of(hostOfOwner(owner)).addresses++;
  return [...hosts.values()].sort((a, b) => (a.host < b.host ? -1 : 1));
}
