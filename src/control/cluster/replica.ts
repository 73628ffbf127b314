/**
 * What this host knows of the cluster: a copy of every key, and the same by meaning. It is what forwarding goes by, so it stays as it is
 * while etcd is away, and is written to a file (cluster-cache.ts) for a daemon that starts without etcd.
 *
 * A host counts while its presence key is there. What a host had stays known when it is gone: it is valid again when the host is back.
 *
 * Keys may be *doubtful*: etcd does not have them (any more), and still there is reason to think that they are right: etcd was wiped and
 * their host has not entered them again yet, or the presence of a host has run out while frames of its VTEP still come in. Whoever drives
 * the replica decides when to give them up.
 */
import type { Delta, Entry } from './etcd-session.js';
import type { ClaimKind, ClusterKey, ClusterKeys } from './keys.js';
import {
  type HostRecord,
  hostRecordFrom,
  type StationRecord,
  stationRecordFrom,
  type VtepRecord,
  vtepRecordFrom,
} from './records.js';

/** What a change of keys means. `network` changes of claims come without the rest. */
export type Change =
  | { kind: 'epoch' }
  | { kind: 'host'; host: string }
  | { kind: 'network'; network: string }
  | { kind: 'vtep'; network: string; host: string }
  | { kind: 'endpoint'; network: string; host: string; name: string }
  | { kind: 'claim'; network: string; what: ClaimKind; value: string };

export interface KnownStation {
  network: string;
  host: string;
  name: string;
  record: StationRecord;
}

interface Known {
  value: string;
  modRevision: number;
  isDoubtful: boolean;
}

export class Replica {
  /** The last change that is in here. */
  revision = 0;
  /** Values that could not be understood, by key. */
  readonly strange = new Set<string>();
  private readonly keys: ClusterKeys;
  private readonly known = new Map<string, Known>();
  private readonly hosts = new Map<string, HostRecord>();
  private readonly vteps = new Map<string, Map<string, VtepRecord>>();
  /** By network, then by `HOST/NAME`. */
  private readonly stations = new Map<string, Map<string, KnownStation>>();
  /** By network, then by `KIND/VALUE`: owners. */
  private readonly claims = new Map<string, Map<string, string>>();

  constructor(keys: ClusterKeys) {
    this.keys = keys;
  }

  get size(): number {
    return this.known.size;
  }

  get epoch(): string | null {
    return this.known.get(this.keys.epoch)?.value ?? null;
  }

  /**
   * Makes it equal to what was read. `mayLinger`: of keys that are not there any more, which ones stay, doubtful. What is told is the
   * difference, so that a connection that was lost for a moment changes nothing.
   */
  load(entries: readonly Entry[], revision: number, mayLinger: (key: ClusterKey) => boolean): Change[] {
    const changes: Change[] = [];
    const gone = new Set(this.known.keys());
    for (const entry of entries) {
      gone.delete(entry.key);
      this.set(entry.key, entry.value, entry.modRevision, changes);
    }
    for (const key of gone) {
      const parsed = this.keys.parse(key);
      // An etcd that was wiped counts its revisions from 1 again.
      if (parsed !== null && mayLinger(parsed))
        Object.assign(this.known.get(key)!, { isDoubtful: true, modRevision: 0 });
      else this.delete(key, changes);
    }
    this.revision = revision;
    return changes;
  }

  /** `mayLinger`: as for `load`. */
  apply(deltas: readonly Delta[], revision: number, mayLinger: (key: ClusterKey) => boolean): Change[] {
    const changes: Change[] = [];
    for (const { key, value, modRevision } of deltas) {
      // After a new session the watch may tell of what was read already.
      if (modRevision <= (this.known.get(key)?.modRevision ?? 0)) continue;
      if (value !== null) this.set(key, value, modRevision, changes);
      else {
        const parsed = this.keys.parse(key);
        const known = this.known.get(key);
        if (known !== undefined && parsed !== null && mayLinger(parsed)) known.isDoubtful = true;
        else this.delete(key, changes);
      }
    }
    this.revision = Math.max(this.revision, revision);
    return changes;
  }

  /** Gives up doubtful keys that `isLost`. */
  dropDoubtful(isLost: (key: ClusterKey) => boolean): Change[] {
    const changes: Change[] = [];
    for (const [key, { isDoubtful }] of this.known) {
      if (!isDoubtful) continue;
      const parsed = this.keys.parse(key);
      if (parsed === null || isLost(parsed)) this.delete(key, changes);
    }
    return changes;
  }

  *entries(): Iterable<Entry> {
    for (const [key, { value, modRevision }] of this.known) yield { key, value, modRevision };
  }

  *doubtful(): Iterable<ClusterKey> {
    for (const [key, { isDoubtful }] of this.known) {
      const parsed = isDoubtful ? this.keys.parse(key) : null;
      if (parsed !== null) yield parsed;
    }
  }

  value(key: string): string | null {
    return this.known.get(key)?.value ?? null;
  }

  /** 0: the key is not there. */
  modRevision(key: string): number {
    return this.known.get(key)?.modRevision ?? 0;
  }

  hostNames(): string[] {
    return [...this.hosts.keys()].sort();
  }

  /** null: it is gone. */
  hostRecord(host: string): HostRecord | null {
    return this.hosts.get(host) ?? null;
  }

  isDoubtfulHost(host: string): boolean {
    return this.known.get(this.keys.host(host))?.isDoubtful ?? false;
  }

  networkNames(): string[] {
    const prefix = this.keys.network('');
    return [...this.known.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  }

  /** Address of the VTEP of a host that is there; null when it has none on this network. */
  vtepOf(network: string, host: string): string | null {
    if (!this.hosts.has(host)) return null;
    return this.vteps.get(network)?.get(host)?.address ?? null;
  }

  /** The same, also of a host that is gone. */
  recordedVtepOf(network: string, host: string): string | null {
    return this.vteps.get(network)?.get(host)?.address ?? null;
  }

  /** Hosts that are there and have the network, with their VTEPs. */
  vtepsOf(network: string): { host: string; address: string }[] {
    const rows = [...(this.vteps.get(network) ?? [])].filter(([host]) => this.hosts.has(host));
    return rows.map(([host, { address }]) => ({ host, address })).sort((a, b) => (a.host < b.host ? -1 : 1));
  }

  /** Also of hosts that are gone. */
  networksOf(host: string): string[] {
    return [...this.vteps].filter(([, hosts]) => hosts.has(host)).map(([network]) => network);
  }

  stationsOf(network: string): Iterable<KnownStation> {
    return this.stations.get(network)?.values() ?? [];
  }

  station(network: string, host: string, name: string): KnownStation | null {
    return this.stations.get(network)?.get(`${host}/${name}`) ?? null;
  }

  claimsOf(network: string): ReadonlyMap<string, string> {
    return this.claims.get(network) ?? NO_CLAIMS;
  }

  *allVteps(): Iterable<{ host: string; network: string; address: string }> {
    for (const [network, hosts] of this.vteps) {
      for (const [host, { address }] of hosts) yield { host, network, address };
    }
  }

  *allStations(): Iterable<KnownStation> {
    for (const stations of this.stations.values()) yield* stations.values();
  }

  *claimOwners(): Iterable<{ what: string; owner: string }> {
    for (const claims of this.claims.values()) {
      for (const [claim, owner] of claims) yield { what: claim.slice(0, claim.indexOf('/')), owner };
    }
  }

  /** Every claim that there is, with its key. */
  *allClaims(): Iterable<Entry> {
    for (const entry of this.entries()) if (this.keys.parse(entry.key)?.kind === 'claim') yield entry;
  }

  private set(key: string, value: string, modRevision: number, changes: Change[]): void {
    const former = this.known.get(key);
    this.known.set(key, { value, modRevision, isDoubtful: false });
    if (former?.value === value) return;
    const parsed = this.keys.parse(key);
    if (parsed === null || parsed.kind === 'guard') return;
    if (this.understand(parsed, value)) this.strange.delete(key);
    else this.strange.add(key);
    changes.push(parsed);
  }

  private delete(key: string, changes: Change[]): void {
    if (!this.known.delete(key)) return;
    this.strange.delete(key);
    const parsed = this.keys.parse(key);
    if (parsed === null || parsed.kind === 'guard') return;
    this.forget(parsed);
    changes.push(parsed);
  }

  /** false: the value makes no sense, and nothing is known under the key. */
  private understand(key: ClusterKey, value: string): boolean {
    this.forget(key);
    if (key.kind === 'host') return put(this.hosts, key.host, hostRecordFrom(value));
    if (key.kind === 'vtep') return put(child(this.vteps, key.network), key.host, vtepRecordFrom(value));
    if (key.kind === 'claim') return put(child(this.claims, key.network), `${key.what}/${key.value}`, value);
    if (key.kind !== 'endpoint') return true;
    const record = stationRecordFrom(value);
    const { network, host, name } = key;
    const station = record === null ? null : { network, host, name, record };
    return put(child(this.stations, network), `${host}/${name}`, station);
  }

  private forget(key: ClusterKey): void {
    if (key.kind === 'host') this.hosts.delete(key.host);
    else if (key.kind === 'vtep') remove(this.vteps, key.network, key.host);
    else if (key.kind === 'claim') remove(this.claims, key.network, `${key.what}/${key.value}`);
    else if (key.kind === 'endpoint') remove(this.stations, key.network, `${key.host}/${key.name}`);
  }
}

const NO_CLAIMS: ReadonlyMap<string, string> = new Map();

function put<V>(map: Map<string, V>, key: string, value: V | null): boolean {
  if (value === null) return false;
  map.set(key, value);
  return true;
}

function child<V>(maps: Map<string, Map<string, V>>, key: string): Map<string, V> {
  let found = maps.get(key);
  if (found === undefined) {
    found = new Map();
    maps.set(key, found);
  }
  return found;
}

function remove<V>(maps: Map<string, Map<string, V>>, key: string, entry: string): void {
  const found = maps.get(key);
  if (found?.delete(entry) && found.size === 0) maps.delete(key);
}
