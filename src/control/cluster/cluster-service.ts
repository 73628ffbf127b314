/**
 * The cluster of this daemon: puts the parts together and answers for them.
 *
 *   connection -> replica -> stations (flood lists, bindings, names, taken addresses)
 *        ^            +----> networks (made, changed and deleted here as elsewhere)
 *        +--- publisher <--- desired state (its events say what to look at)
 *        +--- claims    <--- whoever creates an endpoint
 */
import type { DesiredState, EndpointRecord, NetworkRecord } from '../../model/desired-state.js';
import type { NetworkSpec } from '../../model/network.js';
import type { OverlayDefaults } from '../../model/overlay-defaults.js';
import { RequestError } from '../../model/problems.js';
import { type Clock, type Context, type Log, warn } from '../context.js';
import type { ClusterView, WeftEvent } from '../controller.js';
import type { ZoneHost } from '../dns/zone.js';
import type { MutationQueue } from '../mutation-queue.js';
import { vtepAddressOf } from '../overlay/tunnels.js';
import { ClusterCache } from './cluster-cache.js';
import { ClusterClaims } from './cluster-claims.js';
import { isHeard } from './cluster-heard.js';
import type { Claimed, ClusterLink } from './cluster-link.js';
import { ClusterNetworks } from './cluster-networks.js';
import type { ClusterOptions } from './cluster-options.js';
import { ClusterStations } from './cluster-stations.js';
import { viewCluster } from './cluster-view.js';
import { ClusterConnection, type LinkState } from './connection.js';
import type { Delta, Entry, EtcdSession } from './etcd-session.js';
import { reasonOf } from './fault-reason.js';
import { forgetHost } from './forget-host.js';
import { ClusterKeys } from './keys.js';
import { Publisher } from './publisher.js';
import { ownerText } from './records.js';
import { type Change, Replica } from './replica.js';
import { isShared, sharedTextOf } from './shared-network.js';

/** Networks that could not be had are tried again this often, beside when something has changed. */
const RETRY_MS = 10_000;

export interface ClusterParts {
  options: ClusterOptions;
  state: DesiredState;
  stateDir: string;
  version: string;
  clock: Clock;
  log: Log;
  defaults: OverlayDefaults;
}

export class ClusterService implements ClusterLink {
  readonly host: string;
  private readonly parts: ClusterParts;
  private readonly keys: ClusterKeys;
  private readonly replica: Replica;
  private readonly cache: ClusterCache;
  private readonly publisher: Publisher;
  private readonly claims: ClusterClaims;
  private readonly connection: ClusterConnection;
  private readonly owner: string;
  private stations: ClusterStations | null = null;
  private networks: ClusterNetworks | null = null;
  private context: Context | null = null;
  private timer: NodeJS.Timeout | null = null;
  /** Hosts that are there, as far as it was told. */
  private readonly seen = new Set<string>();
  /** Keys that make no sense, of which the log has heard. */
  private readonly toldOf = new Set<string>();
  /** Whether it was told that etcd cannot be reached. */
  private isLost = false;

  /** Knows what the last daemon knew. Nothing is asked before `begin`. */
  constructor(parts: ClusterParts) {
    const { options, state, log, clock, version, stateDir } = parts;
    this.parts = parts;
    this.host = options.host;
    this.owner = ownerText(options.host, state.instance);
    this.keys = new ClusterKeys(options.prefix);
    this.replica = new Replica(this.keys);
    this.cache = new ClusterCache(stateDir, this.replica, log);
    const saved = this.cache.read(this.keys.root);
    this.replica.load(saved.entries, saved.revision, () => false);
    this.publisher = new Publisher({
      keys: this.keys,
      state,
      host: options.host,
      vtepOf: (network) => (this.context === null ? null : vtepAddressOf(this.context, network)),
      onConflict: (object, name, taken) => this.conflict(object, name, taken),
      onFault: (session, error) => this.connection.fault(session, error),
    });
    const ask = <T>(question: (session: EtcdSession) => Promise<T>) => this.ask(question);
    const onDeltas = (deltas: readonly Delta[], revision: number) => this.learn(deltas, revision);
    this.claims = new ClusterClaims({ keys: this.keys, publisher: this.publisher, owner: this.owner, ask, onDeltas });
    this.connection = new ClusterConnection({
      options,
      keys: this.keys,
      replica: this.replica,
      instance: state.instance,
      version,
      now: () => clock.now(),
      restore: (session) => this.restore(session),
      isHeard: (host) =>
        this.context !== null && isHeard(this.context, this.replica, host, 1500 * options.leaseSeconds),
      onChanges: (changes) => this.changed(changes),
      onDeltas: (deltas) => {
        for (const { key, value } of deltas) this.publisher.observed(key, value);
      },
      onJoined: (connection, entries) => {
        this.publisher.begin(connection, entries);
        this.joined();
      },
      onLost: (state, reason) => this.lost(state, reason),
    });
  }

  /** The lab is restored: from now on etcd and this host follow each other. */
  begin(context: Context, queue: MutationQueue): void {
    this.context = context;
    this.stations = new ClusterStations(context, this.replica, this.host, this.owner);
    const { keys, replica, owner } = this;
    this.networks = new ClusterNetworks({
      ...{ keys, replica, owner, context, queue, defaults: this.parts.defaults },
      ask: (question) => this.ask(question),
      reenter: (network) => this.publisher.enterNetwork(network),
      onDeltas: (deltas, revision) => this.learn(deltas, revision),
    });
    for (const [name, { spec }] of context.state.networks) if (isShared(spec)) this.stations.enter(name);
    context.events.listen((event) => this.heard(event));
    this.timer = setInterval(() => this.networks?.retry(), RETRY_MS).unref();
    this.connection.start();
  }

  async close(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    this.publisher.end();
    await this.connection.close();
    this.cache.close();
  }

  vtepsOf(network: string): string[] {
    const others = this.replica.vtepsOf(network).filter(({ host }) => host !== this.host);
    return others.map(({ address }) => address);
  }

  zoneHostsOf(network: string): ZoneHost[] {
    return this.stations?.zoneHostsOf(network) ?? [];
  }

  stationAt(network: string, mac: string): string | null {
    return this.stations?.stationAt(network, mac) ?? null;
  }

  claim(record: EndpointRecord): Promise<Claimed> {
    return this.claims.claim(record);
  }

  async release(endpoints: readonly string[]): Promise<void> {
    for (const name of endpoints) this.publisher.touchEndpoint(name);
    await this.publisher.settled();
  }

  async addNetwork(record: NetworkRecord): Promise<void> {
    await this.networks?.add(record, this.publisher.hostClaimsOf(record));
    // When its deletion is taken back, everything that this host had on it is gone from etcd.
    this.publisher.touchNetwork(record.spec.name);
    for (const name of record.endpoints) this.publisher.touchEndpoint(name);
  }

  async changeNetwork(spec: NetworkSpec): Promise<void> {
    await this.networks?.change(spec);
  }

  async removeNetwork(network: string): Promise<void> {
    await this.networks?.remove(network);
  }

  view(): ClusterView {
    const { options } = this.parts;
    return viewCluster(options, this.connection, this.replica, this.networks?.missing ?? new Map());
  }

  async forget(host: string): Promise<void> {
    await this.ask((session) => forgetHost(session, this.keys, host));
    const message = `host ${host} was forgotten: what it had is free`;
    this.context?.events.add({ type: 'cluster-host-forgotten', object: 'daemon', name: host, message });
  }

  private async ask<T>(question: (session: EtcdSession) => Promise<T>): Promise<T> {
    const { connection } = this.connection;
    if (connection === null) throw this.unavailable(this.connection.reason || 'weftd is joining it');
    try {
      return await question(connection.session);
    } catch (error) {
      if (error instanceof RequestError) throw error;
      // Whether it has happened is not known: a new session finds out.
      this.connection.fault(connection.session, error as Error);
      throw this.unavailable(reasonOf((error as Error).message));
    }
  }

  private unavailable(reason: string): RequestError {
    const remedy = 'nothing that other hosts must agree to can change until it answers: see `weft cluster status`';
    return new RequestError('unavailable', `the cluster cannot be asked: ${reason}`, remedy);
  }

  /** An empty etcd gets back what must not be given to others: claims of every host that is known here, and networks of this one. */
  private async restore(session: EtcdSession): Promise<void> {
    const specs = [...this.parts.state.networks.values()].map(({ spec }) => spec).filter(isShared);
    const networks = specs.map((spec) => ({ key: this.keys.network(spec.name), value: sharedTextOf(spec) }));
    await session.putAbsent([...networks, ...this.replica.allClaims()]);
  }

  /** What was read at a revision beside the watch, which may have told of later changes already. */
  private learn(deltas: readonly Delta[], revision: number): void {
    const { replica } = this;
    if (revision > replica.revision) this.changed(replica.apply(deltas, replica.revision, () => false));
    // Also what was known before there was a network to enter it in.
    this.stations?.enterClaims(deltas.map(({ key }) => this.keys.parse(key)));
  }

  private changed(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    this.cache.touch();
    this.tellOfHosts(changes);
    this.tellOfStrange();
    this.stations?.apply(changes);
    for (const change of changes) if (change.kind === 'network') this.networks?.sync(change.network);
  }

  private joined(): void {
    this.isLost = false;
    this.cache.touch();
    const message = `joined the cluster as host ${this.host}, through ${this.connection.member}`;
    this.context?.events.add({ type: 'cluster-joined', object: 'daemon', name: this.host, message });
    // What went while etcd was away has no change that would tell of it.
    for (const [name, { spec }] of this.parts.state.networks) if (isShared(spec)) this.networks?.sync(name);
    for (const name of this.replica.networkNames()) this.networks?.sync(name);
  }

  private lost(state: LinkState, reason: string): void {
    this.publisher.end();
    if (this.isLost || this.context === null) return;
    this.isLost = true;
    const effect = state === 'refused' ? 'it shares nothing' : 'it goes on with what it knows';
    const message = `this host is not in the cluster, and ${effect}: ${reason}`;
    this.parts.log.warn({ host: this.host }, message);
    this.context.events.add({ type: 'cluster-lost', object: 'daemon', name: this.host, message });
  }

  private tellOfHosts(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind !== 'host' || change.host === this.host) continue;
      const isThere = this.replica.hostRecord(change.host) !== null;
      if (isThere === this.seen.has(change.host)) continue;
      if (isThere) this.seen.add(change.host);
      else this.seen.delete(change.host);
      const type = isThere ? 'cluster-host-joined' : 'cluster-host-gone';
      const message = isThere
        ? `host ${change.host} is in the cluster`
        : `host ${change.host} is gone from the cluster`;
      this.context?.events.add({ type, object: 'daemon', name: change.host, message });
    }
  }

  private tellOfStrange(): void {
    for (const key of this.replica.strange) {
      if (this.toldOf.has(key)) continue;
      this.toldOf.add(key);
      this.parts.log.warn({ key }, 'the value of a key of the cluster makes no sense to this weft: it is ignored');
    }
  }

  /** Something of the desired state has changed, for good. */
  private heard({ type, object, name }: WeftEvent): void {
    if (type === 'warning') return;
    if (object === 'endpoint') this.publisher.touchEndpoint(name);
    if (object !== 'network') return;
    const isHere = this.parts.state.networks.has(name);
    if (type === 'network-created' && isHere && isShared(this.parts.state.network(name).spec))
      this.stations?.enter(name);
    this.publisher.touchNetwork(name);
    if (type === 'network-deleted') this.networks?.retry();
  }

  private conflict(object: 'endpoint' | 'network', name: string, taken: readonly Entry[]): void {
    if (this.context === null) return;
    const whose = taken.map(({ key, value }) => this.claims.describe(key, value)).join(', ');
    const isEndpoint = object === 'endpoint';
    const what = isEndpoint ? `endpoint ${name}` : `the host vNIC of network ${name}`;
    const remedy = isEndpoint ? 'delete it, or that one' : 'delete that one';
    warn(this.context, `${what} contradicts the cluster: ${whose}; ${remedy}`, object, name);
  }
}
