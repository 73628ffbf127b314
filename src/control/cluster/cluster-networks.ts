/**
 * Networks of the cluster, there and here: entering, changing and deleting them in etcd, and making the same of them on this host when
 * another one has done so.
 *
 * All changes of networks write one key, the guard, under the condition that it is as it was read: so two hosts never make such changes
 * at once, and each sees what it must not contradict.
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import type { NetworkSpec } from '../../model/network.js';
import type { OverlayDefaults } from '../../model/overlay-defaults.js';
import { RequestError } from '../../model/problems.js';
import { type Context, warn } from '../context.js';
import type { MutationQueue } from '../mutation-queue.js';
import { addNetwork, changeNetwork, deleteNetwork } from '../networks.js';
import { listNames } from '../refusals.js';
import type { Transaction } from '../transaction.js';
import type { Condition, Delta, EtcdSession, Operation } from './etcd-session.js';
import type { ClusterKeys } from './keys.js';
import { hostOfOwner } from './records.js';
import type { Replica } from './replica.js';
import { fixedTextOf, isShared, sharedTextOf, specFromShared, whyContradicting } from './shared-network.js';

const MAX_ATTEMPTS = 8;

export interface ClusterNetworksParts {
  keys: ClusterKeys;
  replica: Replica;
  context: Context;
  queue: MutationQueue;
  defaults: OverlayDefaults;
  /** As the claims of this host say it. */
  owner: string;
  /** Rejects with `unavailable` while etcd cannot be asked. */
  ask<T>(question: (session: EtcdSession) => Promise<T>): Promise<T>;
  /** Enters a network again that etcd has lost. */
  reenter(network: string): void;
  /** What this host has written itself, at a revision. */
  onDeltas(deltas: readonly Delta[], revision: number): void;
}

export class ClusterNetworks {
  /** Networks of the cluster that this host cannot have, and why. */
  readonly missing = new Map<string, string>();
  private readonly parts: ClusterNetworksParts;
  private readonly waiting = new Set<string>();

  constructor(parts: ClusterNetworksParts) {
    this.parts = parts;
  }

  /** `claims`: addresses of this host on it. */
  async add(record: NetworkRecord, claims: ReadonlyMap<string, string>): Promise<void> {
    const { keys } = this.parts;
    const { spec } = record;
    const key = keys.network(spec.name);
    await this.guarded(async (session) => {
      const present = await session.readAll(keys.network(''));
      for (const { key: other, value } of present.entries) this.checkAgainst(spec, other, value);
      return {
        conditions: [
          { key, is: 'absent' },
          { prefix: keys.claims(spec.name), is: 'absent' },
        ],
        operations: [
          { put: key, value: sharedTextOf(spec) },
          ...[...claims].map(([claim, value]): Operation => ({ put: claim, value })),
        ],
      };
    });
  }

  async change(spec: NetworkSpec): Promise<void> {
    const key = this.parts.keys.network(spec.name);
    const value = sharedTextOf(spec);
    if (this.parts.replica.value(key) === value) return;
    const revision = await this.guarded(async (session) => {
      if ((await session.read(key)) === null) {
        throw new RequestError(
          'conflict',
          `network ${spec.name} is not in the cluster any more`,
          'try again in a moment',
        );
      }
      return { conditions: [{ key, is: 'present' }], operations: [{ put: key, value }] };
    });
    // At once, not when the watch tells of it: the change may have to be taken back before.
    this.parts.onDeltas([{ key, value, modRevision: revision }], revision);
  }

  /** Also releases what this host has on it. */
  async remove(network: string): Promise<void> {
    const { keys, owner } = this.parts;
    const claims = keys.claims(network);
    await this.guarded(async (session) => {
      const { entries } = await session.readAll(claims);
      const others = new Set(entries.filter(({ value }) => value !== owner).map(({ value }) => hostOfOwner(value)));
      if (others.size > 0) {
        const hosts = [...others].sort().join(', ');
        const message = `network ${network} has endpoints on other hosts: ${hosts}`;
        throw new RequestError('in-use', message, 'delete them there; what a dead host had: weft cluster forget HOST');
      }
      const condition: Condition =
        entries.length === 0 ? { prefix: claims, is: 'absent' } : { prefix: claims, is: 'equal', value: owner };
      const prefixes = [claims, keys.vtep(network, ''), keys.endpoint(network, '', '').slice(0, -1)];
      return {
        conditions: [condition],
        operations: [
          { delete: keys.network(network) },
          ...prefixes.map((deletePrefix): Operation => ({ deletePrefix })),
        ],
      };
    });
  }

  /** Another host has changed something, or what was in the way is gone: makes this host the same, in the queue. */
  sync(network: string): void {
    if (this.waiting.has(network)) return;
    this.waiting.add(network);
    const { queue, context } = this.parts;
    queue
      .run(`network ${network} of the cluster`, async (transaction) => {
        this.waiting.delete(network);
        const text = this.parts.replica.value(this.parts.keys.network(network));
        const record = context.state.networks.get(network);
        if (text === null) {
          this.missing.delete(network);
          if (record === undefined || !isShared(record.spec)) return;
          if (record.endpoints.size > 0) return this.parts.reenter(network);
          if (await this.isOutdated(network, null)) return;
          return deleteNetwork(context, transaction, network, false, true);
        }
        if (record !== undefined && !isShared(record.spec)) {
          throw new RequestError('conflict', `a network of this host has the name ${network}`, 'delete that one');
        }
        if (record === undefined) await addNetwork(context, transaction, this.specFrom(network, text, null), true);
        else if (sharedTextOf(record.spec) !== text) {
          if (this.isAnother(record.spec, text)) return this.replace(transaction, record, text);
          const spec = this.specFrom(network, text, record.spec);
          await changeNetwork(context, transaction, network, spec, true);
        }
        this.missing.delete(network);
      })
      .catch((error: Error) => this.failed(network, error));
  }

  /** Tries again what this host could not have. */
  retry(): void {
    for (const network of this.missing.keys()) this.sync(network);
  }

  private failed(network: string, error: Error): void {
    this.waiting.delete(network);
    const { context } = this.parts;
    if (!(error instanceof RequestError)) {
      context.log.error({ network, error: error.stack ?? String(error) }, 'a network of the cluster gave trouble');
    }
    if (error instanceof RequestError && error.code === 'unavailable') return;
    if (this.missing.get(network) === error.message) return;
    this.missing.set(network, error.message);
    const message = `network ${network} of the cluster cannot be had here: ${error.message}; weft goes on trying`;
    warn(context, message, 'network', network);
  }

  /** Whether it is not a change of a network, but another one that has got its name. What a host has of its own may fit either. */
  private isAnother(spec: NetworkSpec, text: string): boolean {
    const candidates = [spec, null].map((own) => specFromShared(spec.name, text, this.parts.defaults, own));
    const understood = candidates.find(({ ok }) => ok);
    return understood?.ok === true && fixedTextOf(understood.value) !== fixedTextOf(spec);
  }

  /** It takes the place of the one that had its name here while this host was away, unless that is in use. */
  private async replace(transaction: Transaction, { endpoints, spec }: NetworkRecord, text: string): Promise<void> {
    const { context } = this.parts;
    const fresh = this.specFrom(spec.name, text, null);
    if (endpoints.size > 0) {
      const { overlay, subnets } = fresh;
      const what = `VNI ${overlay?.vni}${subnets.length === 0 ? '' : `, ${subnets.join(', ')}`}`;
      const message = `it was made anew (${what}) and this host has ${listNames('endpoint', endpoints)} on the former one`;
      throw new RequestError('conflict', message, 'delete them');
    }
    if (await this.isOutdated(spec.name, text)) return;
    await deleteNetwork(context, transaction, spec.name, false, true);
    await addNetwork(context, transaction, fresh, true);
    this.missing.delete(spec.name);
  }

  /** This host may have deleted and entered it again, and the watch has told of the first half only. What comes has it looked at again. */
  private async isOutdated(network: string, text: string | null): Promise<boolean> {
    const entry = await this.parts.ask((session) => session.read(this.parts.keys.network(network)));
    return (entry?.value ?? null) !== text;
  }

  /** The network as this host is to have it, as new or with what it has of its own in `current`. */
  private specFrom(network: string, text: string, current: NetworkSpec | null): NetworkSpec {
    const parsed = specFromShared(network, text, this.parts.defaults, current);
    if (parsed.ok) return parsed.value;
    const message = parsed.problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
    throw new RequestError('invalid-request', message, 'weft.yaml says where the VTEP is: overlay: {vtep: ADDRESS}');
  }

  private checkAgainst(spec: NetworkSpec, key: string, value: string): void {
    const parsed = this.parts.keys.parse(key);
    if (parsed?.kind !== 'network') return;
    if (parsed.network === spec.name) {
      const message = `network ${spec.name} exists in the cluster`;
      throw new RequestError('already-exists', message, 'it appears here by itself; see `weft cluster status`');
    }
    const other = specFromShared(parsed.network, value, { vtep: '192.0.2.1' }, null);
    const why = other.ok ? whyContradicting(spec, other.value) : null;
    if (why !== null) throw new RequestError('conflict', why, 'choose another one');
  }

  /** Resolves with the revision at which it has happened. */
  private async guarded(
    plan: (session: EtcdSession) => Promise<{ conditions: Condition[]; operations: Operation[] }>,
  ): Promise<number> {
    const { keys, ask } = this.parts;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const outcome = await ask(async (session) => {
        const guard = await session.read(keys.guard);
        const { conditions, operations } = await plan(session);
        const isUnchanged: Condition =
          guard === null
            ? { key: keys.guard, is: 'absent' }
            : { key: keys.guard, is: 'unchanged', modRevision: guard.modRevision };
        const put: Operation = { put: keys.guard, value: this.parts.owner };
        return session.transact([isUnchanged, ...conditions], [put, ...operations]);
      });
      if (outcome.succeeded) return outcome.revision;
    }
    throw new RequestError('unavailable', 'other hosts change networks of the cluster all the time', 'try again');
  }
}
