/** Releases what a host had that does not come back, or that came back without what it had. */
import { RequestError } from '../../model/problems.js';
import type { Condition, Entry, EtcdSession } from './etcd-session.js';
import type { ClusterKeys } from './keys.js';
import { hostOfOwner, hostRecordFrom, ownerText } from './records.js';

/** Rejects unless there is something to forget: what a host that is there has is its own. */
export async function forgetHost(session: EtcdSession, keys: ClusterKeys, host: string): Promise<void> {
  const { entries } = await session.readAll(keys.root);
  const presence = entries.find(({ key }) => key === keys.host(host));
  const record = presence === undefined ? null : hostRecordFrom(presence.value);
  const owner = record === null ? null : ownerText(host, record.instance);
  const left = entries.filter((entry) => isLeft(keys, entry, host, owner));
  if (left.length === 0) throw record === null ? unknown(host) : present(host, record.since);
  const presenceKey = keys.host(host);
  // A host that comes back in the meantime has the same claims as before, and they are its own.
  const isAway: Condition[] = presence === undefined ? [{ key: presenceKey, is: 'absent' }] : [];
  for (const { key, modRevision } of left) {
    const conditions: Condition[] = [...isAway, { key, is: 'unchanged', modRevision }];
    const { entries: back } = await session.transact(conditions, [{ delete: key }], [presenceKey]);
    const returned = isAway.length === 0 || back[0] === undefined ? null : hostRecordFrom(back[0].value);
    if (returned !== null) throw present(host, returned.since);
  }
}

function isLeft(keys: ClusterKeys, { key, value }: Entry, host: string, owner: string | null): boolean {
  const parsed = keys.parse(key);
  if (parsed?.kind === 'claim') return hostOfOwner(value) === host && value !== owner;
  if (owner !== null) return false;
  return (parsed?.kind === 'vtep' || parsed?.kind === 'endpoint' || parsed?.kind === 'host') && parsed.host === host;
}

function unknown(host: string): RequestError {
  return new RequestError(
    'not-found',
    `the cluster knows no host ${host}`,
    '`weft cluster status` shows those that it knows',
  );
}

function present(host: string, since: string): RequestError {
  const message = `host ${host} is in the cluster (its weftd runs since ${since})`;
  return new RequestError('in-use', message, 'stop its weftd first, or delete its endpoints there');
}
