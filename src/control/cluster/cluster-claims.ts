/**
 * What must be unique on a shared network (names, MACs and addresses of endpoints) belongs to the host that has entered it first: one key
 * each, all of an endpoint or none. The keys are under no lease, so that an address stays taken while its host is cut off from etcd.
 */
import type { EndpointRecord } from '../../model/desired-state.js';
import { RequestError } from '../../model/problems.js';
import type { Claimed } from './cluster-link.js';
import type { Condition, Delta, EtcdSession, Outcome } from './etcd-session.js';
import type { ClusterKeys } from './keys.js';
import type { Publisher } from './publisher.js';
import { hostOfOwner } from './records.js';

export interface ClaimsParts {
  keys: ClusterKeys;
  publisher: Publisher;
  owner: string;
  /** Rejects with `unavailable` while etcd cannot be asked. */
  ask<T>(question: (session: EtcdSession) => Promise<T>): Promise<T>;
  /** Claims of others that turned up, as they were at a revision. */
  onDeltas(deltas: readonly Delta[], revision: number): void;
}

export class ClusterClaims {
  private readonly parts: ClaimsParts;

  constructor(parts: ClaimsParts) {
    this.parts = parts;
  }

  async claim(record: EndpointRecord): Promise<Claimed> {
    const { publisher, owner, ask } = this.parts;
    const claims = publisher.claimsOf(record);
    let outcome = await ask((session) => this.enter(session, record, claims, new Set()));
    const own = outcome.entries.filter(({ value }) => value === owner).map(({ key }) => key);
    // What a former endpoint of this host has left, which is not taken out of etcd yet.
    if (!outcome.succeeded && own.length > 0) {
      // What is just being taken out would take the new claim with it.
      await publisher.settled();
      outcome = await ask((session) => this.enter(session, record, claims, new Set(own)));
    }
    if (outcome.succeeded) {
      publisher.granted(record.spec.name, claims.keys());
      return { granted: true };
    }
    const taken = outcome.entries.filter(({ key, value }) => claims.has(key) && value !== owner);
    if (taken.length === 0) this.checkNetwork(record, outcome);
    const isFinal = taken.some(({ key }) => !key.startsWith(this.parts.keys.claim(record.spec.network, 'ip', '')));
    const { revision } = outcome;
    const described = taken.map(({ key, value }) => this.describe(key, value));
    return { granted: false, taken: described, isFinal, heed: () => this.parts.onDeltas(taken, revision) };
  }

  /** `192.0.2.5 belongs to host b`. */
  describe(key: string, owner: string): string {
    const parsed = this.parts.keys.parse(key);
    if (parsed?.kind !== 'claim') return key;
    const what = parsed.what === 'name' ? 'the name ' : parsed.what === 'mac' ? 'MAC ' : '';
    const host = hostOfOwner(owner);
    const isFormer = owner !== this.parts.owner && host === hostOfOwner(this.parts.owner);
    return `${what}${parsed.value} belongs to ${isFormer ? `a former weftd of this host, ${host}` : `host ${host}`}`;
  }

  private enter(
    session: EtcdSession,
    { spec }: EndpointRecord,
    claims: ReadonlyMap<string, string>,
    own: ReadonlySet<string>,
  ): Promise<Outcome> {
    const { keys, owner } = this.parts;
    const network = keys.network(spec.network);
    const conditions = [...claims.keys()].map(
      (key): Condition => (own.has(key) ? { key, is: 'equal', value: owner } : { key, is: 'absent' }),
    );
    const operations = [...claims].map(([put, value]) => ({ put, value }));
    return session.transact([{ key: network, is: 'present' }, ...conditions], operations, [network, ...claims.keys()]);
  }

  private checkNetwork({ spec }: EndpointRecord, { entries }: Outcome): void {
    if (entries.some(({ key }) => key === this.parts.keys.network(spec.network))) return;
    const message = `network ${spec.network} is not in the cluster any more`;
    throw new RequestError('conflict', message, 'it goes here too in a moment; create it again, or name another one');
  }
}
