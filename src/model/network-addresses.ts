/**
 * IPAM of one network: an endpoint has one address of every subnet, named by the user or given out by weft.
 *
 * All or nothing: an assignment that cannot be made as a whole changes nothing. There is no concurrency to think of: the
 * control thread makes one change at a time, and a change reserves its addresses before anything else happens.
 */
import { AddressPool, type AddressRules } from './address-pool.js';
import { contains, formatIp, type Ip, type IpRange, parseIp, parseRange, parseSubnet, type Subnet } from './ip.js';
import type { NetworkSpec } from './network.js';
import { type Problem, RequestError } from './problems.js';

/** Owners of gateway addresses, names that no endpoint can have: of an internal network, and of one whose gateway is weft. */
export const HOST_OWNER = 'the host';
export const GATEWAY_OWNER = 'the gateway';
/** Of the host vNIC on an overlay network, which is a station like others. */
export const HOST_VNIC_OWNER = 'the host vNIC';

/** With the name of a host behind it: who has an address on another host of the cluster. No endpoint is called so. */
const FOREIGN = 'host ';

/** Code of the problem that somebody else has the address. */
const TAKEN = 'address-taken';

export class NetworkAddresses {
  readonly pools: readonly AddressPool[];
  private readonly networkName: string;

  constructor(spec: NetworkSpec) {
    this.networkName = spec.name;
    this.pools = spec.subnets.map((text) => {
      const subnet = subnetFrom(text);
      return new AddressPool(subnet, rulesOf(spec, subnet));
    });
    if (spec.type === 'private') return;
    const owner = spec.type === 'internal' ? HOST_OWNER : GATEWAY_OWNER;
    for (const gateway of spec.gateway.map(ipFrom)) this.poolOf(gateway)?.claim(gateway.value, owner);
  }

  setRules(spec: NetworkSpec): void {
    for (const pool of this.pools) pool.setRules(rulesOf(spec, pool.subnet));
  }

  /**
   * One address per subnet for `owner`, in the order of the subnets. `wanted`: addresses that it must get. Throws
   * `RequestError`: invalid-request (an address does not fit), conflict (it has an owner), exhausted.
   */
  assign(owner: string, wanted: readonly string[]): string[] {
    const named = this.check(wanted, 'leave ip out and weft chooses a free address');
    const cursors = this.pools.map((pool) => pool.lastGiven);
    const given: Ip[] = [];
    for (const pool of this.pools) {
      const value = named.get(pool) ?? pool.take(owner);
      if (value === null) {
        this.release(given);
        this.pools.forEach((touched, index) => {
          touched.lastGiven = cursors[index] ?? null;
        });
        throw this.exhausted(pool);
      }
      if (named.has(pool)) pool.claim(value, owner);
      given.push({ family: pool.subnet.family, value });
    }
    return given.map((ip) => formatIp(ip.family, ip.value));
  }

  /** Just the addresses that were named, in any order. Throws like `assign`. */
  claim(owner: string, wanted: readonly string[]): string[] {
    const named = this.check(wanted, 'name other addresses of the subnets of the network, or none');
    for (const [pool, value] of named) pool.claim(value, owner);
    return [...named].map(([{ subnet }, value]) => formatIp(subnet.family, value));
  }

  /** Gives addresses back to an owner who had them before; they must be free. */
  restore(owner: string, addresses: readonly string[]): void {
    for (const ip of addresses.map(ipFrom)) this.poolOf(ip)?.claim(ip.value, owner);
  }

  releaseTexts(addresses: readonly string[]): void {
    this.release(addresses.map(ipFrom));
  }

  /** What another host of the cluster has (its name), or has no more (null). What is this host's stays so. */
  setForeign(address: string, host: string | null): void {
    const ip = parseIp(address);
    const pool = ip === null ? undefined : this.poolOf(ip);
    if (ip === null || pool === undefined) return;
    const owner = pool.ownerOf(ip.value);
    if (owner !== null && !owner.startsWith(FOREIGN)) return;
    if (owner !== null) pool.release(ip.value);
    if (host !== null) pool.claim(ip.value, `${FOREIGN}${host}`);
  }

  /** Where giving out begins if it never has: hosts that share a network begin in different places. `place`: 0 <= place < 1. */
  beginAt(place: number): void {
    for (const pool of this.pools) pool.beginAt(place);
  }

  /** Name of the endpoint that has the address, or one of the owners above; null when nobody has it. */
  ownerOf(address: string): string | null {
    const ip = parseIp(address);
    return ip === null ? null : (this.poolOf(ip)?.ownerOf(ip.value) ?? null);
  }

  /** With the prefix length of its subnet, e.g. `10.0.0.2/24`. */
  withPrefix(address: string): string {
    const prefix = this.poolOf(ipFrom(address))?.subnet.prefix ?? 128;
    return `${address}/${prefix}`;
  }

  /** Text of the subnet that holds the address; null when none does. */
  subnetOf(address: string): string | null {
    return this.poolOf(ipFrom(address))?.subnet.text ?? null;
  }

  /** Addresses of endpoints and of gateways. */
  get usedCount(): number {
    return this.pools.reduce((sum, pool) => sum + pool.usedCount, 0);
  }

  get freeCount(): bigint {
    return this.pools.reduce((sum, pool) => sum + pool.freeCount, 0n);
  }

  /** Where giving out stands, per subnet, for the state file. */
  cursors(): (string | null)[] {
    return this.pools.map(({ lastGiven, subnet }) => (lastGiven === null ? null : formatIp(subnet.family, lastGiven)));
  }

  setCursors(cursors: readonly (string | null)[]): void {
    this.pools.forEach((pool, index) => {
      const text = cursors[index] ?? null;
      const ip = text === null ? null : parseIp(text);
      pool.lastGiven = ip === null || ip.family !== pool.subnet.family ? null : ip.value;
    });
  }

  private poolOf(ip: Ip): AddressPool | undefined {
    return this.pools.find((pool) => contains(pool.subnet, ip));
  }

  private release(addresses: readonly Ip[]): void {
    for (const ip of addresses) this.poolOf(ip)?.release(ip.value);
  }

  /** Which pool each wanted address is of, or all reasons why that cannot be. */
  private check(wanted: readonly string[], remedy: string): Map<AddressPool, bigint> {
    const named = new Map<AddressPool, bigint>();
    const problems: Problem[] = [];
    wanted.forEach((text, index) => {
      const problem = this.problemOf(ipFrom(text), text, `ip[${index}]`, named);
      if (problem !== null) problems.push(problem);
    });
    if (problems.length === 0) return named;
    const code = problems.every((problem) => problem.code === TAKEN) ? 'conflict' : 'invalid-request';
    throw new RequestError(code, problems.map((problem) => problem.message).join('; '), remedy, problems);
  }

  /** Enters the address in `named`, or says why that cannot be. */
  private problemOf(ip: Ip, text: string, path: string, named: Map<AddressPool, bigint>): Problem | null {
    const pool = this.poolOf(ip);
    if (pool === undefined) return { path, code: 'bad-address', message: this.whyOutside(text) };
    const unfit = pool.whyUnfit(ip.value);
    if (unfit !== null) return { path, code: 'bad-address', message: unfit };
    if (named.has(pool)) {
      const message = `an endpoint has one address of ${pool.subnet.text}, and two are named`;
      return { path, code: 'bad-address', message };
    }
    const owner = pool.ownerOf(ip.value);
    if (owner !== null) {
      return { path, code: TAKEN, message: `${text} is ${describeOwner(owner)}` };
    }
    named.set(pool, ip.value);
    return null;
  }

  private whyOutside(text: string): string {
    if (this.pools.length === 0) return `${text} cannot be given: network ${this.networkName} has no subnets`;
    const subnets = this.pools.map((pool) => pool.subnet.text).join(', ');
    return `${text} lies outside of network ${this.networkName} (${subnets})`;
  }

  private exhausted(pool: AddressPool): RequestError {
    const used = pool.usedCount;
    const message =
      `network ${this.networkName} has no free address left in ${pool.subnet.text}: ` +
      `${used} in use, ${pool.automaticCount} can be given out automatically`;
    const remedy =
      'delete endpoints that are not needed, name an address outside the pool with ip, or make a larger subnet';
    return new RequestError('exhausted', message, remedy);
  }
}

/** The addresses of the host vNIC: the gateways of an internal network; on an overlay what was asked for, or what it `had`. */
export function giveHostAddresses(spec: NetworkSpec, addresses: NetworkAddresses, had: readonly string[]): string[] {
  if (spec.type === 'internal') return spec.gateway;
  const wanted = spec.overlay?.hostVnic ?? null;
  return wanted === null ? [] : addresses.assign(HOST_VNIC_OWNER, wanted.length > 0 ? wanted : had);
}

function describeOwner(owner: string): string {
  if (owner === HOST_VNIC_OWNER) return 'the address of the host vNIC';
  if (owner === HOST_OWNER) return 'the gateway, which the host has';
  if (owner.startsWith(FOREIGN)) return `an address of ${owner}`;
  return owner === GATEWAY_OWNER ? 'the gateway of the network' : `the address of endpoint ${owner}`;
}

function rulesOf(spec: NetworkSpec, subnet: Subnet): AddressRules {
  const inside = (range: IpRange) =>
    range.family === subnet.family && contains(subnet, { ...range, value: range.first });
  const gateway = spec.gateway.map(ipFrom).find((ip) => contains(subnet, ip));
  const pools = spec.pools.map(rangeFrom);
  const own = pools.filter(inside);
  // Pools that name only other subnets leave this one whole.
  return { pools: own, reserved: spec.reserved.map(rangeFrom), gateway: gateway === undefined ? null : gateway.value };
}

/** The functions below read text that was checked when the request was read. */
function ipFrom(text: string): Ip {
  const ip = parseIp(text);
  if (ip === null) throw new Error(`${text} was accepted but is no address`);
  return ip;
}

function subnetFrom(text: string): Subnet {
  const read = parseSubnet(text);
  if (!read.ok) throw new Error(read.reason);
  return read.value;
}

function rangeFrom(text: string): IpRange {
  const read = parseRange(text);
  if (!read.ok) throw new Error(read.reason);
  return read.value;
}
