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
import type { Condition, EtcdSession, Operation } from './etcd-session.js';
import type { ClusterKeys } from './keys.js';
import { hostOfOwner } from './records.js';
import type { Replica } from './replica.js';
import { isShared, sharedTextOf, specFromShared, whyContradicting } from './shared-network.js';

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
    await this.guarded(async (session) => {
      if ((await session.read(key)) === null) {
        throw new RequestError(
          'conflict',
          `network ${spec.name} is not in the cluster any more`,
          'try again in a moment',
        );
      }
      return { conditions: [{ key, is: 'present' }], operations: [{ put: key, value }] };
    });
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
          if (record.endpoints.size === 0) return deleteNetwork(context, transaction, network, false, true);
          this.parts.reenter(network);
          return;
        }
        if (record !== undefined && !isShared(record.spec)) {
          throw new RequestError('conflict', `a network of this host has the name ${network}`, 'delete that one');
        }
        const parsed = specFromShared(network, text, this.parts.defaults, record?.spec ?? null);
        if (!parsed.ok) {
          const message = parsed.problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
          throw new RequestError(
            'invalid-request',
            message,
            'weft.yaml says where the VTEP is: overlay: {vtep: ADDRESS}',
          );
        }
        const spec = parsed.value;
        if (record === undefined) await addNetwork(context, transaction, spec, true);
        else if (sharedTextOf(record.spec) !== sharedTextOf(spec)) {
          this.checkChange(record.spec, spec);
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

  /** What stations stand on does not change while a network lives: another one has got its name. */
  private checkChange(former: NetworkSpec, spec: NetworkSpec): void {
    const fixed = ({ subnets, gateway, overlay }: NetworkSpec) =>
      `${overlay?.vni} ${overlay?.port} ${subnets} ${gateway}`;
    if (fixed(former) === fixed(spec)) return;
    const message = `it has another VNI, UDP port or subnets there (${spec.overlay?.vni}, ${spec.subnets.join(', ')}) than here`;
    throw new RequestError('conflict', message, 'delete it on one side and create it again');
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

  private async guarded(
    plan: (session: EtcdSession) => Promise<{ conditions: Condition[]; operations: Operation[] }>,
  ): Promise<void> {
    const { keys, ask } = this.parts;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const hasHappened = await ask(async (session) => {
        const guard = await session.read(keys.guard);
        const { conditions, operations } = await plan(session);
        const isUnchanged: Condition =
          guard === null
            ? { key: keys.guard, is: 'absent' }
            : { key: keys.guard, is: 'unchanged', modRevision: guard.modRevision };
        const put: Operation = { put: keys.guard, value: this.parts.owner };
        return (await session.transact([isUnchanged, ...conditions], [put, ...operations])).succeeded;
      });
      if (hasHappened) return;
    }
    throw new RequestError('unavailable', 'other hosts change networks of the cluster all the time', 'try again');
  }
}
