/**
 * What the program says about NAT, indexed for lookups: external addresses, published ports, 1:1 addresses, prefixes (RFC 6296).
 * Rebuilt with every program; read-only in between. Flows are not here (datapath/nat.ts).
 *
 * Networks are named by their inside row everywhere. Words of addresses are passed as (array, index of the first word).
 */
import { mix3 } from '../lib/hash32.js';
import { AddressMap } from '../tables/address-map.js';
import * as words from '../wire/address-words.js';
import {
  NAT,
  NAT_POLICY_INTS,
  NEIGHBOUR_INTS,
  OWN_ADDRESS_INTS,
  OWN_POOL,
  OWN_STATIC,
  PREFIX_NAT_INTS,
  type Program,
  PUBLISHED_INTS,
  ROLE_INSIDE,
  ROLE_UPLINK,
  ROUTE_INTS,
  ROUTE_PLAIN,
  STATIC_NAT_INTS,
} from './program.js';

const NONE = -1;
const PORTS = 65536;

/** Column of a row of `neighbours`. */
const NEIGHBOUR_PORT = 8;
/** Columns of a row of `routes`. */
const ROUTE_LENGTH = 5;
const ROUTE_NETWORK = 6;
const ROUTE_FLAGS = 11;
/** Columns of a row of `natPublished`. */
const PUBLISHED_PROTOCOL = 1;
const PUBLISHED_FAMILY = 2;
const PUBLISHED_EXTERNAL = 3;
const PUBLISHED_FIRST = 7;
const PUBLISHED_LAST = 8;
const PUBLISHED_INSIDE = 9;
const PUBLISHED_INSIDE_PORT = 13;
/** Ranges up to this many ports have an entry per port; wider ones are looked through one after the other. */
const INDEXED_PORTS = 64;

export class NatRules {
  /** Program that was adopted last. */
  private program: Program | null = null;
  /** Rows of `natPublished`. */
  published: Int32Array = new Int32Array(0);
  private readonly external: AddressMap;
  private readonly staticInside: AddressMap;
  private readonly staticExternal: AddressMap;
  private readonly stations: AddressMap;
  /** Words of the pool addresses, and where those of (network, family) stand in them. */
  private pool = new Int32Array(0);
  private poolFirst = new Int32Array(0);
  private poolCount = new Int32Array(0);
  /** Published rows by (direction, network, protocol, family, port): chains of entries (row, next). */
  private publishedMask = 0;
  private publishedHeads = new Int32Array(1).fill(NONE);
  private publishedRow = new Int32Array(0);
  private publishedNext = new Int32Array(0);
  private wide = new Int32Array(0);
  private readonly seed: number;

  /** `seed`: any integer, not known to senders. */
  constructor(seed: number) {
    this.seed = seed;
    this.external = new AddressMap(seed ^ 0x51);
    this.staticInside = new AddressMap(seed ^ 0x52);
    this.staticExternal = new AddressMap(seed ^ 0x53);
    this.stations = new AddressMap(seed ^ 0x54);
  }

  /** @coldPath once per program */
  adopt(program: Program): void {
    this.program = program;
    this.published = program.natPublished;
    this.indexExternal(program);
    this.indexStatic(program);
    this.indexStations(program);
    this.indexPublished(program.natPublished);
  }

  /** The inside network that frames of `network` are translated for: itself or the one that the uplink serves; -1: none. */
  insideOf(network: number): number {
    const program = this.program!;
    const role = program.networkRole[network]!;
    if (role === ROLE_UPLINK) return program.networkUplink[network]!;
    return role === ROLE_INSIDE && program.networkUplink[network]! >= 0 ? network : NONE;
  }

  /** A column (NAT.*) of the policy of a network. */
  policy(network: number, column: number): number {
    return this.program!.natPolicy[network * NAT_POLICY_INTS + column]!;
  }

  /** How a network translates a family: TRANSLATE_* of program.ts. */
  translates(network: number, family: number): number {
    return this.policy(network, family === 4 ? NAT.translate4 : NAT.translate6);
  }

  /** Whether packets to this address are the NAT's: an address of the pool, of a 1:1 pair, or of an external prefix. */
  isExternal(network: number, family: number, address: Int32Array, at: number): boolean {
    if (this.external.find(network, family, address, at) >= 0) return true;
    if (this.staticExternal.find(network, family, address, at) >= 0) return true;
    return family === 6 && this.findPrefixExternal(network, address, at) >= 0;
  }

  /** Whether the address is one whose ports NAPT gives out. */
  isPool(network: number, family: number, address: Int32Array, at: number): boolean {
    const flags = this.external.find(network, family, address, at);
    return flags >= 0 && (flags & OWN_POOL) !== 0;
  }

  /** How many addresses NAPT has in a family. */
  poolSize(network: number, family: number): number {
    return this.poolCount[poolRow(network, family)]!;
  }

  /** The words of one of them: the array, and the index of the first. */
  get poolWords(): Int32Array {
    return this.pool;
  }

  poolAt(network: number, family: number, index: number): number {
    return (this.poolFirst[poolRow(network, family)]! + index) << 2;
  }

  /** Port of the endpoint that an inside address was given to, or -1: the lab does not know it. */
  stationPort(network: number, family: number, address: Int32Array, at: number): number {
    return this.stations.find(network, family, address, at);
  }

  /** Row of `natStatic` by the inside address, or -1. */
  findStaticInside(network: number, family: number, address: Int32Array, at: number): number {
    return this.staticInside.find(network, family, address, at);
  }

  /** Row of `natStatic` by the external address, or -1. */
  findStaticExternal(network: number, family: number, address: Int32Array, at: number): number {
    return this.staticExternal.find(network, family, address, at);
  }

  get staticWords(): Int32Array {
    return this.program!.natStatic;
  }

  staticInsideAt(row: number): number {
    return row * STATIC_NAT_INTS + 2;
  }

  staticExternalAt(row: number): number {
    return row * STATIC_NAT_INTS + 6;
  }

  /** Row of `natPrefixes` whose inside prefix the address has, or -1. */
  findPrefixInside(network: number, address: Int32Array, at: number): number {
    return this.findPrefix(network, address, at, 2);
  }

  findPrefixExternal(network: number, address: Int32Array, at: number): number {
    return this.findPrefix(network, address, at, 6);
  }

  get prefixWords(): Int32Array {
    return this.program!.natPrefixes;
  }

  prefixLength(row: number): number {
    return this.program!.natPrefixes[row * PREFIX_NAT_INTS + 1]!;
  }

  prefixInsideAt(row: number): number {
    return row * PREFIX_NAT_INTS + 2;
  }

  prefixExternalAt(row: number): number {
    return row * PREFIX_NAT_INTS + 6;
  }

  /** Row of `natPublished` for packets to an external address and port, or -1. */
  findPublished(
    network: number,
    protocol: number,
    family: number,
    address: Int32Array,
    at: number,
    port: number,
  ): number {
    const { published } = this;
    const first = this.firstPublished(0, network, protocol, family, port);
    for (let entry = first; entry !== NONE; entry = this.publishedNext[entry]!) {
      const row = this.publishedRow[entry]!;
      if (!this.servesExternal(row, network, protocol, family, port)) continue;
      const words4 = row * PUBLISHED_INTS + PUBLISHED_EXTERNAL;
      if (words.isZero(published, words4) || words.isSame(published, words4, address, at)) return row;
    }
    for (let i = 0; i < this.wide.length; i++) {
      const row = this.wide[i]!;
      if (!this.servesExternal(row, network, protocol, family, port)) continue;
      const words4 = row * PUBLISHED_INTS + PUBLISHED_EXTERNAL;
      if (words.isZero(published, words4) || words.isSame(published, words4, address, at)) return row;
    }
    return NONE;
  }

  /** Row of `natPublished` that an inside address and port is published by, or -1. */
  findPublisher(
    network: number,
    protocol: number,
    family: number,
    address: Int32Array,
    at: number,
    port: number,
  ): number {
    const { published } = this;
    const first = this.firstPublished(1, network, protocol, family, port);
    for (let entry = first; entry !== NONE; entry = this.publishedNext[entry]!) {
      const row = this.publishedRow[entry]!;
      if (!this.servesInside(row, network, protocol, family, port)) continue;
      if (words.isSame(published, row * PUBLISHED_INTS + PUBLISHED_INSIDE, address, at)) return row;
    }
    for (let i = 0; i < this.wide.length; i++) {
      const row = this.wide[i]!;
      if (!this.servesInside(row, network, protocol, family, port)) continue;
      if (words.isSame(published, row * PUBLISHED_INTS + PUBLISHED_INSIDE, address, at)) return row;
    }
    return NONE;
  }

  /** First external port of a row. */
  publishedFirst(row: number): number {
    return this.published[row * PUBLISHED_INTS + PUBLISHED_FIRST]!;
  }

  publishedLast(row: number): number {
    return this.published[row * PUBLISHED_INTS + PUBLISHED_LAST]!;
  }

  /** Index in `published` of the words of the inside address. */
  publishedInsideAt(row: number): number {
    return row * PUBLISHED_INTS + PUBLISHED_INSIDE;
  }

  /** Index of the words of the external address; all zero: every one of the network. */
  publishedExternalAt(row: number): number {
    return row * PUBLISHED_INTS + PUBLISHED_EXTERNAL;
  }

  /** Inside port that an external one leads to. */
  publishedInsidePort(row: number, externalPort: number): number {
    const at = row * PUBLISHED_INTS;
    return this.published[at + PUBLISHED_INSIDE_PORT]! + externalPort - this.published[at + PUBLISHED_FIRST]!;
  }

  /** External port that leads to an inside one. */
  publishedExternalPort(row: number, insidePort: number): number {
    const at = row * PUBLISHED_INTS;
    return this.published[at + PUBLISHED_FIRST]! + insidePort - this.published[at + PUBLISHED_INSIDE_PORT]!;
  }

  /**
   * Whether the outside station may speak to inside addresses as they are: the route towards it is an exception of the NAT
   * (ROUTE_PLAIN).
   */
  isPlain(network: number, family: number, remote: Int32Array, at: number): boolean {
    const route = this.findRoute(network, family, remote, at);
    return route >= 0 && (this.program!.routes[route + ROUTE_FLAGS]! & ROUTE_PLAIN) !== 0;
  }

  /** Whether the network itself is where the address is. */
  isConnected(network: number, family: number, address: Int32Array, at: number): boolean {
    const route = this.findRoute(network, family, address, at);
    return route >= 0 && this.program!.routes[route + ROUTE_NETWORK] === network;
  }

  /** Index in `routes` of the longest prefix of a network that holds the address, or -1. */
  private findRoute(network: number, family: number, address: Int32Array, at: number): number {
    const program = this.program!;
    const { routes } = program;
    const end = program.routeFirst[network]! + program.routeCount[network]!;
    for (let row = program.routeFirst[network]!; row < end; row++) {
      const route = row * ROUTE_INTS;
      if (routes[route] !== family) continue;
      if (words.hasPrefix(routes, route + 1, address, at, routes[route + ROUTE_LENGTH]!)) return route;
    }
    return NONE;
  }

  private findPrefix(network: number, address: Int32Array, at: number, offset: number): number {
    const { natPrefixes } = this.program!;
    for (let from = 0; from < natPrefixes.length; from += PREFIX_NAT_INTS) {
      if (natPrefixes[from] !== network) continue;
      if (words.hasPrefix(natPrefixes, from + offset, address, at, natPrefixes[from + 1]!)) {
        return (from / PREFIX_NAT_INTS) | 0;
      }
    }
    return NONE;
  }

  private servesExternal(row: number, network: number, protocol: number, family: number, port: number): boolean {
    const at = row * PUBLISHED_INTS;
    const { published } = this;
    return (
      published[at] === network &&
      published[at + PUBLISHED_PROTOCOL] === protocol &&
      published[at + PUBLISHED_FAMILY] === family &&
      port >= published[at + PUBLISHED_FIRST]! &&
      port <= published[at + PUBLISHED_LAST]!
    );
  }

  private servesInside(row: number, network: number, protocol: number, family: number, port: number): boolean {
    return this.servesExternal(row, network, protocol, family, this.publishedExternalPort(row, port));
  }

  private firstPublished(direction: number, network: number, protocol: number, family: number, port: number): number {
    return this.publishedHeads[this.publishedBucket(direction, network, protocol, family, port)]!;
  }

  private publishedBucket(direction: number, network: number, protocol: number, family: number, port: number): number {
    return mix3(port, (network << 1) | direction, (protocol << 4) | family, this.seed) & this.publishedMask;
  }

  /** @coldPath once per program */
  private indexExternal(program: Program): void {
    const { ownAddresses } = program;
    const pools = new Map<number, number[]>();
    this.external.clear(ownAddresses.length / OWN_ADDRESS_INTS);
    for (let at = 0; at < ownAddresses.length; at += OWN_ADDRESS_INTS) {
      const uplink = ownAddresses[at]!;
      const family = ownAddresses[at + 1]!;
      const flags = ownAddresses[at + 7]! & (OWN_POOL | OWN_STATIC);
      if (program.networkRole[uplink] !== ROLE_UPLINK || flags === 0) continue;
      const network = program.networkUplink[uplink]!;
      this.external.insert(network, family, ownAddresses, at + 2, flags);
      if ((flags & OWN_POOL) === 0) continue;
      const row = poolRow(network, family);
      pools.set(row, [...(pools.get(row) ?? []), ...ownAddresses.subarray(at + 2, at + 6)]);
    }
    this.pool = Int32Array.from([...pools.values()].flat());
    this.poolFirst = new Int32Array(program.networkCount * 2);
    this.poolCount = new Int32Array(program.networkCount * 2);
    let first = 0;
    for (const [row, list] of pools) {
      this.poolFirst[row] = first;
      this.poolCount[row] = list.length / 4;
      first += list.length / 4;
    }
  }

  /** @coldPath once per program */
  private indexStations(program: Program): void {
    const { neighbours } = program;
    this.stations.clear(neighbours.length / NEIGHBOUR_INTS);
    for (let at = 0; at < neighbours.length; at += NEIGHBOUR_INTS) {
      const port = neighbours[at + NEIGHBOUR_PORT]!;
      if (port >= 0) this.stations.insert(neighbours[at]!, neighbours[at + 1]!, neighbours, at + 2, port);
    }
  }

  /** @coldPath once per program */
  private indexStatic(program: Program): void {
    const { natStatic } = program;
    const count = natStatic.length / STATIC_NAT_INTS;
    this.staticInside.clear(count);
    this.staticExternal.clear(count);
    for (let row = 0; row < count; row++) {
      const at = row * STATIC_NAT_INTS;
      this.staticInside.insert(natStatic[at]!, natStatic[at + 1]!, natStatic, at + 2, row);
      this.staticExternal.insert(natStatic[at]!, natStatic[at + 1]!, natStatic, at + 6, row);
    }
  }

  /** @coldPath once per program */
  private indexPublished(published: Int32Array): void {
    const rows: number[] = [];
    const buckets: number[] = [];
    const wide: number[] = [];
    const count = published.length / PUBLISHED_INTS;
    let slots = 16;
    for (let row = 0; row < count; row++) slots += 4 * Math.min(INDEXED_PORTS, portsOf(published, row));
    this.publishedMask = 2 ** Math.ceil(Math.log2(slots)) - 1;
    for (let row = 0; row < count; row++) {
      const at = row * PUBLISHED_INTS;
      const ports = portsOf(published, row);
      if (ports > INDEXED_PORTS) wide.push(row);
      for (let i = 0; i < ports && ports <= INDEXED_PORTS; i++) {
        const [network, protocol, family] = published.subarray(at, at + 3) as unknown as [number, number, number];
        const inside = published[at + PUBLISHED_INSIDE_PORT]! + i;
        rows.push(row, row);
        buckets.push(this.publishedBucket(0, network, protocol, family, published[at + PUBLISHED_FIRST]! + i));
        buckets.push(this.publishedBucket(1, network, protocol, family, inside));
      }
    }
    this.wide = Int32Array.from(wide);
    this.publishedRow = Int32Array.from(rows);
    this.publishedNext = new Int32Array(rows.length);
    this.publishedHeads = new Int32Array(this.publishedMask + 1).fill(NONE);
    // From the last to the first, so that chains keep the order of the program.
    for (let entry = rows.length - 1; entry >= 0; entry--) {
      const bucket = buckets[entry]!;
      this.publishedNext[entry] = this.publishedHeads[bucket]!;
      this.publishedHeads[bucket] = entry;
    }
  }
}

function poolRow(network: number, family: number): number {
  return (network << 1) | (family === 4 ? 0 : 1);
}

function portsOf(published: Int32Array, row: number): number {
  const at = row * PUBLISHED_INTS;
  return Math.min(PORTS, Math.max(0, published[at + PUBLISHED_LAST]! - published[at + PUBLISHED_FIRST]! + 1));
}
