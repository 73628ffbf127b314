/**
 * Keeps what this host has in etcd: the VTEP of each shared network, its endpoints, and their claims. Looks at the desired state and at
 * what etcd is known to have, and writes the difference; after a change, only that of the objects that changed.
 *
 * Every write holds only while the presence key is this daemon's, so a daemon that was given up for dead and comes back cannot write over
 * another one that has taken its name.
 */
import type { DesiredState, EndpointRecord, NetworkRecord } from '../../model/desired-state.js';
import {
  type Condition,
  type Entry,
  type EtcdSession,
  inParts,
  MAX_OPERATIONS,
  type Operation,
} from './etcd-session.js';
import type { ClaimKind, ClusterKeys } from './keys.js';
import { ownerText, stationOf } from './records.js';
import { isShared, sharedTextOf } from './shared-network.js';

export interface PublisherParts {
  keys: ClusterKeys;
  state: DesiredState;
  host: string;
  /** Address of the VTEP that this host has for a network; null while there is none. */
  vtepOf(network: string): string | null;
  /** Claims of an endpoint that is here, or of the host vNIC of a network, belong to somebody else. */
  onConflict(object: 'endpoint' | 'network', name: string, taken: readonly Entry[]): void;
  onFault(session: EtcdSession, error: Error): void;
}

export interface Connection {
  session: EtcdSession;
  /** Value of the presence key. */
  presence: string;
}

export class Publisher {
  private readonly parts: PublisherParts;
  private readonly owner: string;
  private connection: Connection | null = null;
  /** What etcd has of this host, by key: claims, endpoints, VTEPs. */
  private readonly stored = new Map<string, string>();
  private readonly networks = new Set<string>();
  private readonly endpoints = new Set<string>();
  /** Networks that etcd has lost and that are entered again. */
  private readonly lost = new Set<string>();
  /** Entries that were there when the session began, by the name of the endpoint. */
  private readonly inherited = new Map<string, string[]>();
  /** Claims that endpoints of this host should have and others have. */
  private readonly contested = new Set<string>();
  /** Claims that nobody here needs any more. */
  private readonly leftovers = new Set<string>();
  /** Keys that were written for an endpoint, to find them when it is gone. */
  private readonly written = new Map<string, ReadonlySet<string>>();
  private running: Promise<void> | null = null;

  constructor(parts: PublisherParts) {
    this.parts = parts;
    this.owner = ownerText(parts.host, parts.state.instance);
  }

  /** A session begins: `entries` is what etcd has. Brings all of it up to date. */
  begin(connection: Connection, entries: Iterable<{ key: string; value: string }>): void {
    this.connection = connection;
    this.stored.clear();
    this.inherited.clear();
    this.contested.clear();
    for (const { key, value } of entries) if (this.isOwn(key, value)) this.stored.set(key, value);
    this.touchAll();
  }

  end(): void {
    this.connection = null;
  }

  /** Somebody, perhaps this host, wrote or deleted a key. What is this host's and is not as it must be is written again. */
  observed(key: string, value: string | null): void {
    const known = this.stored.get(key);
    if (value !== null && this.isOwn(key, value)) this.stored.set(key, value);
    else if (known !== undefined) this.stored.delete(key);
    else if (value !== null || !this.contested.has(key)) return;
    if (known === value) return;
    const parsed = this.parts.keys.parse(key);
    if (parsed?.kind === 'vtep') this.touchNetwork(parsed.network);
    else if (parsed?.kind === 'endpoint') this.touchEndpoint(parsed.name);
    else if (parsed?.kind === 'claim' && value === null) this.touchClaimant(parsed.network, parsed.value);
    else if (parsed?.kind === 'claim' && known === undefined && !this.isNeeded(key)) {
      // Another host has entered it again after a loss of data, and does not know that it was given back meanwhile.
      this.leftovers.add(key);
      this.wake();
    }
  }

  /** A network that etcd has lost is entered again by whoever has it; the first one wins. */
  enterNetwork(network: string): void {
    this.lost.add(network);
    this.touchNetwork(network);
  }

  touchNetwork(network: string): void {
    this.networks.add(network);
    this.wake();
  }

  touchEndpoint(name: string): void {
    this.endpoints.add(name);
    this.wake();
  }

  /** Claims that were granted to an endpoint. */
  granted(name: string, keys: Iterable<string>): void {
    const written = new Set(this.written.get(name));
    for (const key of keys) {
      this.stored.set(key, this.owner);
      written.add(key);
    }
    this.written.set(name, written);
  }

  /** Resolves when what was touched is in etcd, or is to wait for another session. */
  async settled(): Promise<void> {
    while (this.running !== null) await this.running;
  }

  /** Keys and values of the claims of an endpoint of a shared network. Static MACs behind it are the user's to keep apart. */
  claimsOf({ spec }: EndpointRecord): Map<string, string> {
    const { keys } = this.parts;
    const { network, name, mac, ip } = spec;
    const claims = new Map([[keys.claim(network, 'name', name), this.owner]]);
    claims.set(keys.claim(network, 'mac', mac), this.owner);
    for (const address of ip) claims.set(keys.claim(network, 'ip', address), this.owner);
    return claims;
  }

  /** Those of the host vNIC of a shared network, whose addresses are weft's choice or the user's. */
  hostClaimsOf({ spec, hostAddresses, hostMac }: NetworkRecord): Map<string, string> {
    const { keys } = this.parts;
    const claims = new Map<string, string>();
    if (hostMac !== null) claims.set(keys.claim(spec.name, 'mac', hostMac), this.owner);
    for (const address of hostAddresses) claims.set(keys.claim(spec.name, 'ip', address), this.owner);
    return claims;
  }

  private isOwn(key: string, value: string): boolean {
    const parsed = this.parts.keys.parse(key);
    if (parsed?.kind === 'claim') return value === this.owner;
    return (parsed?.kind === 'vtep' || parsed?.kind === 'endpoint') && parsed.host === this.parts.host;
  }

  private touchAll(): void {
    const { state, keys } = this.parts;
    for (const [name, { spec }] of state.networks) if (isShared(spec)) this.networks.add(name);
    for (const name of state.endpoints.keys()) this.endpoints.add(name);
    // What is left of endpoints and networks that went while etcd was away.
    for (const key of this.stored.keys()) {
      const parsed = keys.parse(key);
      if (parsed?.kind === 'vtep') this.networks.add(parsed.network);
      else if (parsed?.kind === 'endpoint') this.inherit(parsed.name, key);
      else if (!this.isNeeded(key)) this.leftovers.add(key);
    }
    this.wake();
  }

  /** Whether an endpoint or a host vNIC that is here now has what the key claims. */
  private isNeeded(key: string): boolean {
    const { keys, state } = this.parts;
    const parsed = keys.parse(key);
    const network = parsed?.kind === 'claim' ? state.networks.get(parsed.network) : undefined;
    if (parsed?.kind !== 'claim' || network === undefined || !isShared(network.spec)) return false;
    const { what, value } = parsed;
    const { macs, addresses } = network;
    const whose = what === 'name' ? value : what === 'mac' ? macs.get(value) : addresses.ownerOf(value);
    const isOfEndpoint = typeof whose === 'string' && network.endpoints.has(whose);
    return (isOfEndpoint ? this.claimsOf(state.endpoint(whose)) : this.hostClaimsOf(network)).has(key);
  }

  private touchClaimant(network: string, value: string): void {
    const record = this.parts.state.networks.get(network);
    if (record?.hostMac === value || record?.hostAddresses.includes(value)) this.touchNetwork(network);
    for (const name of record?.endpoints ?? []) {
      const { spec } = this.parts.state.endpoint(name);
      if (name === value || spec.mac === value || spec.ip.includes(value)) {
        this.touchEndpoint(name);
      }
    }
  }

  private wake(): void {
    const { connection } = this;
    if (this.running !== null || connection === null) return;
    // After whatever is being done now: what changes together is written together.
    this.running = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.work(connection))
      .then(
        () => true,
        (error: unknown) => {
          this.parts.onFault(connection.session, error as Error);
          return false;
        },
      )
      .then((isDone) => {
        this.running = null;
        // What was touched between the last look and now has woken nobody.
        if (this.connection !== connection || (isDone && this.hasWork)) this.wake();
      });
  }

  private get hasWork(): boolean {
    return this.networks.size + this.endpoints.size + this.leftovers.size + this.lost.size > 0;
  }

  /** Until there is nothing left to write, or the session has ended. */
  private async work(connection: Connection): Promise<void> {
    while (this.hasWork && this.connection === connection) {
      await this.enterLost(connection);
      await this.writeNetworks(connection);
      await this.writeEndpoints(connection);
      await this.dropLeftovers(connection);
    }
  }

  private async enterLost({ session }: Connection): Promise<void> {
    for (const network of this.lost) {
      this.lost.delete(network);
      const record = this.parts.state.networks.get(network);
      const key = this.parts.keys.network(network);
      if (record !== undefined && isShared(record.spec)) {
        await session.transact([{ key, is: 'absent' }], [{ put: key, value: sharedTextOf(record.spec) }]);
      }
    }
  }

  private async writeNetworks(connection: Connection): Promise<void> {
    const { keys, host, state } = this.parts;
    for (const network of this.networks) {
      this.networks.delete(network);
      const record = state.networks.get(network);
      const isHere = record !== undefined && isShared(record.spec);
      const address = isHere ? this.parts.vtepOf(network) : null;
      const changes: Changes = new Map();
      this.note(changes, keys.vtep(network, host), address === null ? null : JSON.stringify({ address }));
      await this.write(connection, network, changes);
      if (!isHere) continue;
      const taken = await this.claimAgain(connection, network, this.hostClaimsOf(record));
      if (taken.length > 0) this.parts.onConflict('network', network, taken);
    }
  }

  private async writeEndpoints(connection: Connection): Promise<void> {
    const names = [...this.endpoints];
    this.endpoints.clear();
    const byNetwork = new Map<string, Changes>();
    const changesOf = (key: string) => {
      const parsed = this.parts.keys.parse(key);
      const network = parsed?.kind === 'endpoint' ? parsed.network : '';
      const changes: Changes = byNetwork.get(network) ?? new Map();
      byNetwork.set(network, changes);
      return changes;
    };
    for (const name of names) {
      const record = this.parts.state.endpoints.get(name);
      const isHere = record !== undefined && this.isOfShared(record);
      const taken = isHere ? await this.claimAgain(connection, record.spec.network, this.claimsOf(record)) : [];
      if (taken.length > 0) this.parts.onConflict('endpoint', name, taken);
      const wanted = isHere ? this.wantedOf(record) : NOTHING;
      for (const key of this.keysOf(name)) {
        if (wanted.has(key)) continue;
        if (this.parts.keys.parse(key)?.kind === 'claim') this.leftovers.add(key);
        else this.note(changesOf(key), key, null);
      }
      if (wanted.size === 0) this.written.delete(name);
      else this.written.set(name, new Set(wanted.keys()));
      for (const [key, value] of wanted) {
        this.leftovers.delete(key);
        if (this.parts.keys.parse(key)?.kind !== 'claim') this.note(changesOf(key), key, value);
      }
    }
    for (const [network, changes] of byNetwork) await this.write(connection, network, changes);
  }

  /** What was written for an endpoint, by this daemon or by the one before. */
  private keysOf(name: string): Iterable<string> {
    return new Set([...(this.written.get(name) ?? []), ...(this.inherited.get(name) ?? [])]);
  }

  private inherit(name: string, key: string): void {
    this.endpoints.add(name);
    this.inherited.set(name, [...(this.inherited.get(name) ?? []), key]);
  }

  private wantedOf(record: EndpointRecord): Map<string, string> {
    const { keys, host } = this.parts;
    const { spec } = record;
    const wanted = this.claimsOf(record);
    const station = stationOf(spec);
    const has = (what: ClaimKind, value: string) => this.stored.has(keys.claim(spec.network, what, value));
    // Nobody is told that it has what belongs to another one.
    if (station === null || !has('mac', spec.mac) || !has('name', spec.name)) return wanted;
    const ip = spec.ip.filter((address) => has('ip', address));
    wanted.set(keys.endpoint(spec.network, host, spec.name), JSON.stringify({ ...station, ip }));
    return wanted;
  }

  /** Claims that should be there and are not, after a loss of data. Resolves with those that others turn out to have. */
  private async claimAgain(
    { session }: Connection,
    network: string,
    claims: ReadonlyMap<string, string>,
  ): Promise<Entry[]> {
    const taken: Entry[] = [];
    const hasNetwork: Condition = { key: this.parts.keys.network(network), is: 'present' };
    for (const [key, value] of claims) {
      if (this.stored.has(key)) continue;
      const outcome = await session.transact([hasNetwork, { key, is: 'absent' }], [{ put: key, value }], [key]);
      const [entry] = outcome.entries;
      if (outcome.succeeded || entry?.value === this.owner) {
        this.stored.set(key, value);
        this.contested.delete(key);
      } else if (entry !== undefined && !this.contested.has(key)) {
        this.contested.add(key);
        taken.push(entry);
      }
    }
    return taken;
  }

  /** Fenced too: a removal that reaches etcd long after it was given up would take what the same host has claimed since. */
  private async dropLeftovers({ session, presence }: Connection): Promise<void> {
    const { keys, host } = this.parts;
    const fence: Condition = { key: keys.host(host), is: 'equal', value: presence };
    const all = [...this.leftovers].filter((key) => this.stored.has(key));
    this.leftovers.clear();
    for (let first = 0; first < all.length; first += MAX_OPERATIONS) {
      // What a new endpoint was given in the meantime is its own.
      const part = all.slice(first, first + MAX_OPERATIONS).filter((key) => !this.isNeeded(key));
      if (part.length > 0 && !(await session.removeEqual(part, this.owner, fence))) {
        throw new Error('the presence of this host in etcd has run out');
      }
      for (const key of part) this.stored.delete(key);
    }
  }

  private note(changes: Changes, key: string, value: string | null): void {
    if ((this.stored.get(key) ?? null) !== value) changes.set(key, value);
  }

  /** Nothing is entered for a network that the cluster has not (any more): it is just going from this host too. */
  private async write({ session, presence }: Connection, network: string, changes: Changes): Promise<void> {
    const { keys, host } = this.parts;
    const fence: Condition = { key: keys.host(host), is: 'equal', value: presence };
    const hasNetwork: Condition = { key: keys.network(network), is: 'present' };
    const removals = [...changes].filter(([, value]) => value === null);
    const entries = [...changes].filter(([, value]) => value !== null);
    for (const [rows, conditions] of [[removals, [fence]] as const, [entries, [fence, hasNetwork]] as const]) {
      for (const part of inParts(rows, ([key, value]) => key.length + (value?.length ?? 0))) {
        const operations = part.map(
          ([key, value]): Operation => (value === null ? { delete: key } : { put: key, value }),
        );
        const outcome = await session.transact(conditions, operations, [keys.host(host)]);
        if (!outcome.succeeded) {
          if (outcome.entries[0]?.value === presence) return;
          throw new Error('the presence of this host in etcd has run out');
        }
        for (const [key, value] of part) {
          if (value === null) this.stored.delete(key);
          else this.stored.set(key, value);
        }
      }
    }
  }

  private isOfShared({ spec }: EndpointRecord): boolean {
    const network = this.parts.state.networks.get(spec.network);
    return network !== undefined && isShared(network.spec);
  }
}

/** By key; null: it is deleted. */
type Changes = Map<string, string | null>;

const NOTHING: ReadonlyMap<string, string> = new Map();
