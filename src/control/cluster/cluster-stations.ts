/**
 * From what is known of other hosts to what this one forwards by: flood lists, bindings, names, addresses that are taken.
 *
 * Only differences reach the datapath: the binding book compares, and so does whoever publishes.
 */
import { BINDING_CLUSTER } from '../../datapath/program.js';
import type { Context } from '../context.js';
import type { ZoneHost } from '../dns/zone.js';
import { publishedServiceOf } from '../dns/zone-source.js';
import { refreshTunnel } from '../overlay/tunnels.js';
import type { ClusterKey } from './keys.js';
import { hostOfOwner } from './records.js';
import type { Change, KnownStation, Replica } from './replica.js';

export class ClusterStations {
  private readonly context: Context;
  private readonly replica: Replica;
  private readonly host: string;
  private readonly owner: string;
  /** Ids in the binding book, by `NETWORK/HOST/NAME`. */
  private readonly bound = new Map<string, string[]>();
  /** Names of endpoints of other hosts, by `NETWORK MAC`. */
  private readonly names = new Map<string, string>();

  constructor(context: Context, replica: Replica, host: string, owner: string) {
    this.context = context;
    this.replica = replica;
    this.host = host;
    this.owner = owner;
  }

  /** Everything that is known of a network, when it has just come to this host. */
  enter(network: string): void {
    const { addresses } = this.context.state.network(network);
    addresses.beginAt(placeOf(this.host));
    for (const [claim, owner] of this.replica.claimsOf(network)) this.setOwner(network, claim, owner);
    for (const station of this.replica.stationsOf(network)) this.bind(station.network, station.host, station.name);
    this.publish(new Set([network]));
  }

  apply(changes: readonly Change[]): void {
    const flooded = new Set<string>();
    for (const change of changes) {
      if (change.kind === 'claim') {
        this.enterClaims([change]);
      } else if (change.kind === 'endpoint') {
        this.bind(change.network, change.host, change.name);
      } else if (change.kind === 'vtep') {
        this.bindAll(change.network, change.host);
        flooded.add(change.network);
      } else if (change.kind === 'host') {
        for (const network of this.replica.networksOf(change.host)) {
          this.bindAll(network, change.host);
          flooded.add(network);
        }
      }
    }
    this.publish(flooded);
  }

  /** Whose the addresses are, as far as it is known. */
  enterClaims(keys: readonly (ClusterKey | null)[]): void {
    for (const key of keys) {
      if (key?.kind !== 'claim') continue;
      const claim = `${key.what}/${key.value}`;
      this.setOwner(key.network, claim, this.replica.claimsOf(key.network).get(claim) ?? null);
    }
  }

  stationAt(network: string, mac: string): string | null {
    return this.names.get(`${network} ${mac}`) ?? null;
  }

  zoneHostsOf(network: string): ZoneHost[] {
    const hosts: ZoneHost[] = [];
    for (const station of this.replica.stationsOf(network)) {
      if (this.vtepOf(station) === null) continue;
      const { ip, compartment, aliases, publish } = station.record;
      hosts.push({
        name: station.name,
        addresses: ip,
        compartment: compartment || station.name,
        aliases,
        published: publish.map(publishedServiceOf),
      });
    }
    return hosts;
  }

  private setOwner(network: string, claim: string, owner: string | null): void {
    if (!claim.startsWith('ip/')) return;
    const host = owner === null || owner === this.owner ? null : hostOfOwner(owner);
    this.context.state.networks.get(network)?.addresses.setForeign(claim.slice('ip/'.length), host);
  }

  private bindAll(network: string, host: string): void {
    for (const station of this.replica.stationsOf(network))
      if (station.host === host) this.bind(network, host, station.name);
  }

  private bind(network: string, host: string, name: string): void {
    const { bindings } = this.context.overlay;
    const station = this.replica.station(network, host, name);
    const vtep = station === null ? null : this.vtepOf(station);
    const id = `cluster ${network}/${host}/${name}`;
    const wanted = station === null || vtep === null ? [] : [station.record.mac, ...station.record.macs];
    const ids = wanted.map((mac) => `${id} ${mac}`);
    for (const former of this.bound.get(id) ?? []) {
      if (ids.includes(former)) continue;
      bindings.remove(former);
      this.names.delete(`${network} ${former.slice(id.length + 1)}`);
    }
    if (ids.length === 0) this.bound.delete(id);
    else this.bound.set(id, ids);
    if (station === null || vtep === null) return;
    const { vlan, ip } = station.record;
    // The addresses are those of the first MAC; what is behind it has addresses that nobody knows.
    wanted.forEach((mac, at) => {
      this.names.set(`${network} ${mac}`, name);
      const binding = { network, origin: BINDING_CLUSTER, vlan, mac, vtep, ip: at === 0 ? ip : [] };
      const former = bindings.get(ids[at]!);
      if (JSON.stringify(former) !== JSON.stringify(binding)) bindings.set(ids[at]!, binding);
    });
  }

  /** null: it is one of this host, or its host is gone. */
  private vtepOf({ network, host, record }: KnownStation): string | null {
    if (host === this.host) return null;
    const vtep = this.replica.vtepOf(network, host);
    return vtep === null ? null : (record.vtep ?? vtep);
  }

  private publish(flooded: ReadonlySet<string>): void {
    const { context } = this;
    const complain = (error: unknown) =>
      context.log.error({ error: String(error) }, 'what the cluster says could not be told to the datapath');
    context.dns.service.forgetNames();
    context.overlay.bindings.flush().catch(complain);
    if (flooded.size === 0) return;
    for (const network of flooded) refreshTunnel(context, network);
    context.ports.publish().catch(complain);
  }
}

/** 0 <= place < 1, always the same for a host, far from those of others. */
function placeOf(host: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(host)) hash = Math.imul(hash ^ byte, 0x01000193);
  // Names that differ in their last letter only end up far apart.
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
