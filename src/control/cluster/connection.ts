/**
 * Stays in touch with etcd: opens sessions one after the other, on one member after the other, until it is closed.
 *
 *   read everything -> epoch -> presence (under a lease) -> difference to what was known -> watch from there on -> publish own entries
 *
 * Whatever goes wrong (the member is gone, the watch was cancelled or compacted, the lease has run out, an answer does not come), the
 * session ends and the next one begins from the top. Since only differences count, nothing flaps.
 *
 * The epoch is a random number that the first daemon enters. Another one than the last time means that etcd was wiped or replaced: what is
 * known here is then entered again (`restore`), and what other hosts had stays, doubtful, until they have entered it or are given up.
 */
import { randomUUID } from 'node:crypto';
import type { ClusterOptions } from './cluster-options.js';
import { type Delta, type Entry, EtcdSession } from './etcd-session.js';
import { reasonOf } from './fault-reason.js';
import type { ClusterKey, ClusterKeys } from './keys.js';
import type { Connection } from './publisher.js';
import { hostRecordFrom } from './records.js';
import type { Change, Replica } from './replica.js';

const SHORTEST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3000;

export type LinkState = 'joining' | 'joined' | 'alone' | 'refused';

export interface ConnectionParts {
  options: ClusterOptions;
  keys: ClusterKeys;
  replica: Replica;
  instance: string;
  version: string;
  now(): number;
  /** Enters into an empty etcd what is known here and must not be given away meanwhile. */
  restore(session: EtcdSession): Promise<void>;
  /** Whether keys of the host may still be right, because frames of its VTEP come in. */
  isHeard(host: string): boolean;
  onChanges(changes: Change[]): void;
  /** Every change of a key, as it comes, this host's own ones too. */
  onDeltas(deltas: readonly Delta[]): void;
  onJoined(connection: Connection, entries: Iterable<{ key: string; value: string }>): void;
  /** Also when a session could not be opened. */
  onLost(state: LinkState, reason: string): void;
}

interface Joined {
  connection: Connection;
  entries: readonly Entry[];
  /** Ends the timers. */
  stop(): void;
}

/** The name of this host is taken. */
class Refused extends Error {}

export class ClusterConnection {
  state: LinkState = 'joining';
  reason = 'not asked yet';
  /** ms since 1970. */
  since: number;
  member: string | null = null;
  private readonly parts: ConnectionParts;
  private readonly presenceKey: string;
  private current: Connection | null = null;
  /** Ends the present session. */
  private end: (reason: string) => void = () => {};
  private isClosed = false;
  private wakeUp: () => void = () => {};
  private running: Promise<void> = Promise.resolve();
  /** Until when keys that a wiped etcd has lost are kept for the hosts that will enter them again. */
  private graceEndsAt = 0;

  constructor(parts: ConnectionParts) {
    this.parts = parts;
    this.since = parts.now();
    this.presenceKey = parts.keys.host(parts.options.host);
  }

  start(): void {
    this.running = this.run();
  }

  /** The presence stays until its lease runs out: a daemon that comes back before that was never away. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.end('weftd ends');
    this.wakeUp();
    await this.running;
  }

  /** null while etcd cannot be asked. */
  get connection(): Connection | null {
    return this.state === 'joined' ? this.current : null;
  }

  /** Something went wrong with the session: it ends, unless it has ended already, and another one begins. */
  fault(session: EtcdSession, error: Error): void {
    if (this.current?.session === session) this.end(error.message);
  }

  private async run(): Promise<void> {
    const { etcd } = this.parts.options;
    let failures = 0;
    for (let attempt = 0; !this.isClosed; attempt++) {
      const url = etcd[attempt % etcd.length]!;
      const { hasJoined, state, reason } = await this.converse(url);
      failures = hasJoined ? 0 : failures + 1;
      if (this.isClosed) return;
      this.set(state, reason);
      this.parts.onLost(state, reason);
      // Each member once, quickly; then slower and slower.
      const rounds = Math.floor(failures / etcd.length);
      await this.pause(Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** Math.min(rounds, 10)));
    }
  }

  /** Resolves when the session is over. */
  private async converse(url: string): Promise<{ hasJoined: boolean; state: LinkState; reason: string }> {
    let session: EtcdSession | null = null;
    let joined: Joined | null = null;
    let end: (reason: string) => void = () => {};
    const over = new Promise<string>((resolve) => {
      end = resolve;
    });
    this.end = end;
    try {
      session = new EtcdSession(this.parts.options, url);
      const joining = this.join(session, end);
      joined = await Promise.race([joining, over.then(() => null)]);
      // What it began is to be ended whenever it gets that far.
      if (joined === null) joining.then(({ stop }) => stop()).catch(() => {});
      else this.enter(joined, url);
      return { hasJoined: joined !== null, state: 'alone', reason: `${url}: ${reasonOf(await over)}` };
    } catch (error) {
      const state = error instanceof Refused ? 'refused' : 'alone';
      return { hasJoined: joined !== null, state, reason: `${url}: ${reasonOf((error as Error).message)}` };
    } finally {
      joined?.stop();
      this.current = null;
      this.member = null;
      session?.close();
    }
  }

  private enter({ connection, entries }: Joined, url: string): void {
    this.current = connection;
    this.member = url;
    this.set('joined', '');
    this.parts.onJoined(connection, entries);
  }

  private async join(session: EtcdSession, end: (reason: string) => void): Promise<Joined> {
    const { keys, replica, options } = this.parts;
    let all = await session.readAll(keys.root);
    const isNewEpoch = await this.settleEpoch(
      session,
      all.entries.find(({ key }) => key === keys.epoch)?.value ?? null,
    );
    if (isNewEpoch) {
      await this.parts.restore(session);
      all = await session.readAll(keys.root);
    }
    const { lease, presence } = await this.appear(session);
    if (isNewEpoch) this.graceEndsAt = this.parts.now() + 3000 * options.leaseSeconds;
    const changes = replica.load(all.entries, all.revision, (key) => this.mayLinger(key, this.isGrace));
    this.parts.onChanges(changes);
    const stop = await this.keep(session, lease, end);
    let isOver = false;
    const watching = session.watch(keys.root, all.revision + 1, {
      changed: (deltas, revision) => {
        // What comes behind the reason for the end is for the next session to read.
        if (isOver) return;
        const fault = this.whyOver(deltas, presence);
        isOver = fault !== null;
        if (fault !== null) return end(fault);
        this.parts.onDeltas(deltas);
        this.parts.onChanges(replica.apply(deltas, revision, (key) => this.mayLinger(key, false)));
      },
      ended: end,
    });
    await watching.catch((error: unknown) => {
      stop();
      throw error;
    });
    return { connection: { session, presence }, entries: all.entries, stop };
  }

  /** Somebody has emptied etcd under way, or has taken away what says that this host is there: from the top, then. */
  private whyOver(deltas: readonly Delta[], presence: string): string | null {
    for (const { key, value } of deltas) {
      if (key === this.parts.keys.epoch && value === null) return 'its keys were deleted';
      if (key === this.presenceKey && value !== presence) return 'the presence of this host was deleted';
    }
    return null;
  }

  /** Whether etcd has another past than the one that is known here. */
  private async settleEpoch(session: EtcdSession, found: string | null): Promise<boolean> {
    const { keys, replica } = this.parts;
    if (found !== null) return found !== replica.epoch;
    await session.transact([{ key: keys.epoch, is: 'absent' }], [{ put: keys.epoch, value: randomUUID() }]);
    return true;
  }

  /** Enters the presence key, unless another daemon has the name of this host. */
  private async appear(session: EtcdSession): Promise<{ lease: string; presence: string }> {
    const { options, instance, version } = this.parts;
    const present = await session.read(this.presenceKey);
    const holder = present === null ? null : hostRecordFrom(present.value);
    if (holder !== null && holder.instance !== instance) {
      throw new Refused(
        `another weftd (instance ${holder.instance}) is in the cluster as host ${options.host}; give one of them another name`,
      );
    }
    const lease = await session.grantLease(options.leaseSeconds);
    const since = new Date(this.parts.now()).toISOString();
    const presence = JSON.stringify({ instance, version, since });
    const key = this.presenceKey;
    const { succeeded } = await session.transact(
      [present === null ? { key, is: 'absent' } : { key, is: 'unchanged', modRevision: present.modRevision }],
      [{ put: key, value: presence, lease }],
    );
    if (!succeeded) throw new Error(`another weftd is entering the cluster as host ${options.host} at this moment`);
    return { lease, presence };
  }

  private async keep(session: EtcdSession, lease: string, end: (reason: string) => void): Promise<() => void> {
    const { leaseSeconds } = this.parts.options;
    let renewedAt = performance.now();
    const keeper = await session.keepLease(lease, {
      renewed: (seconds) => {
        renewedAt = performance.now();
        if (seconds <= 0) end('the lease of this host has run out');
      },
      ended: end,
    });
    const timer = setInterval(() => {
      if (performance.now() - renewedAt > leaseSeconds * 750) end('it does not answer');
      else keeper.renew();
      this.giveUp();
    }, leaseSeconds * 250);
    return () => clearInterval(timer);
  }

  private get isGrace(): boolean {
    return this.parts.now() < this.graceEndsAt;
  }

  private mayLinger(key: ClusterKey, isGrace: boolean): boolean {
    if (key.kind !== 'host' && key.kind !== 'vtep' && key.kind !== 'endpoint') return false;
    if (key.host === this.parts.options.host) return false;
    return isGrace || (key.kind === 'host' && this.parts.isHeard(key.host));
  }

  /** Doubtful keys whose time is over. */
  private giveUp(): void {
    const changes = this.parts.replica.dropDoubtful(
      (key) => !this.isGrace && !('host' in key && this.parts.isHeard(key.host)),
    );
    if (changes.length > 0) this.parts.onChanges(changes);
  }

  private set(state: LinkState, reason: string): void {
    if (state !== this.state) this.since = this.parts.now();
    this.state = state;
    this.reason = reason;
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
