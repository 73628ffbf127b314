/**
 * What the DNS servers of all networks share: the names of the desired state, the resolvers that are asked for everything
 * else, the cache of their answers, limits and counters. Makes the `Responder` of each network; sockets are elsewhere
 * (listener.ts), and so are TAPs (dns-plugging.ts).
 */
import { randomInt } from 'node:crypto';
import type { DesiredState } from '../../model/desired-state.js';
import { parseForwarder } from '../../model/services-request.js';
import type { DnsStats } from '../controller.js';
import { AnswerCache } from './answer-cache.js';
import { type DnsCounters, newDnsCounters } from './dns-counters.js';
import { type Exchange, exchange } from './exchange.js';
import { Forwarder } from './forwarder.js';
import type { LocalNames } from './local-answers.js';
import { QueryLimits } from './query-limits.js';
import { HostResolvers, type UpstreamServer } from './resolv-conf.js';
import { Responder } from './responder.js';
import type { ZoneHost } from './zone.js';
import { localNamesOf, subnetsOf } from './zone-source.js';

const RESOLV_CONF = '/etc/resolv.conf';
/** Each question that waits for a server has a socket of its own. */
const MAX_WAITING = 256;
/** Names are looked up anew after any event; a change that is taken back tells none. */
const NAMES_MS = 1000;
const NO_NAMES: LocalNames = { zones: [], subnets: [] };

export interface NameServiceParts {
  state: DesiredState;
  /** Stations of other hosts on a network, by its name. */
  remote?: (network: string) => readonly ZoneHost[];
  /** Never goes back. */
  nowMs?: () => number;
  exchange?: Exchange;
  resolvConf?: string;
}

interface KnownNames {
  names: LocalNames;
  atMs: number;
}

export class NameService {
  readonly counters: DnsCounters = newDnsCounters();
  private readonly state: DesiredState;
  private readonly remote: (network: string) => readonly ZoneHost[];
  private readonly nowMs: () => number;
  private readonly exchange: Exchange;
  private readonly hostResolvers: HostResolvers;
  private readonly cache: AnswerCache;
  private readonly known = new Map<string, KnownNames>();
  /** By the forwarders of the network, joined; empty for the resolvers of the host. */
  private readonly forwarders = new Map<string, Forwarder>();
  /** Questions that forwarders which are forgotten had sent. */
  private askedBefore = 0;

  constructor(parts: NameServiceParts) {
    this.state = parts.state;
    this.remote = parts.remote ?? (() => []);
    this.nowMs = parts.nowMs ?? (() => performance.now());
    this.exchange = parts.exchange ?? exchange;
    this.hostResolvers = new HostResolvers(parts.resolvConf ?? RESOLV_CONF, this.nowMs);
    this.cache = new AnswerCache(this.nowMs);
  }

  stats(): DnsStats {
    let asked = this.askedBefore;
    for (const forwarder of this.forwarders.values()) asked += forwarder.asked;
    return { ...this.counters, asked, cached: this.cache.count };
  }

  /** Who answers the stations of a network, as the network is at the moment of each question. */
  responderOf(network: string): Responder {
    return new Responder({
      names: () => this.namesOf(network),
      clients: () => {
        const record = this.state.networks.get(network);
        return record === undefined ? [] : subnetsOf(record);
      },
      forwarder: () => this.forwarderOf(this.state.networks.get(network)?.spec.dns?.forwarders ?? []),
      limits: new QueryLimits(this.nowMs),
      counters: this.counters,
    });
  }

  /** Something of the desired state has changed. */
  forgetNames(): void {
    this.known.clear();
  }

  private namesOf(network: string): LocalNames {
    const now = this.nowMs();
    const known = this.known.get(network);
    if (known !== undefined && now - known.atMs < NAMES_MS) return known.names;
    const record = this.state.networks.get(network);
    const names = record === undefined ? NO_NAMES : localNamesOf(this.state, record, this.remote);
    this.known.set(network, { names, atMs: now });
    return names;
  }

  private forwarderOf(forwarders: readonly string[]): Forwarder {
    const name = forwarders.join(',');
    const known = this.forwarders.get(name);
    if (known !== undefined) return known;
    const { cache, nowMs, exchange } = this;
    const servers = forwarders.length > 0 ? fixed(forwarders) : () => this.hostServers();
    const newId = () => randomInt(0x1_0000);
    const forwarder = new Forwarder({ cache, exchange, servers, nowMs, newId, most: MAX_WAITING, name });
    // Lists that no network has any more are forgotten; a question that still waits keeps its own.
    const used = new Set([...this.state.networks.values()].map(({ spec }) => spec.dns?.forwarders.join(',') ?? ''));
    for (const [other, { asked }] of this.forwarders) {
      if (used.has(other)) continue;
      this.forwarders.delete(other);
      this.askedBefore += asked;
    }
    this.forwarders.set(name, forwarder);
    return forwarder;
  }

  private lastListed: readonly UpstreamServer[] = [];
  private lastServers: readonly UpstreamServer[] = [];

  /** Without weft's own gateways: a question must not come back to whoever asks it. */
  private hostServers(): readonly UpstreamServer[] {
    const listed = this.hostResolvers.list();
    if (listed === this.lastListed) return this.lastServers;
    const own = new Set([...this.state.networks.values()].flatMap(({ spec }) => spec.gateway));
    this.lastListed = listed;
    this.lastServers = listed.filter(({ address }) => !own.has(address));
    return this.lastServers;
  }
}

function fixed(forwarders: readonly string[]): () => readonly UpstreamServer[] {
  const servers = forwarders.flatMap((text) => parseForwarder(text) ?? []);
  return () => servers;
}
