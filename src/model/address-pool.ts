/**
 * The addresses of one subnet: who has which, and which one is given out next.
 *
 * Automatic addresses come from the pools, less what is reserved and the gateway. The next one is the first free one after
 * the last that was given out, and the search wraps around: an address that was just freed rests for as long as possible,
 * because neighbours may still have its former owner in their ARP caches. A named address may be any that a station of the
 * subnet can have, in a pool or not, reserved or not.
 *
 * Invariants: `free` = automatic addresses without an owner. An address has at most one owner.
 */
import { bitsOf, contains, formatIp, type IpRange, type Subnet, usableRange } from './ip.js';
import { RangeSet } from './range-set.js';

export interface AddressRules {
  /** Ranges inside the subnet; empty = the whole of it. */
  pools: readonly IpRange[];
  reserved: readonly IpRange[];
  gateway: bigint | null;
}

export class AddressPool {
  readonly subnet: Subnet;
  /** The last address that was given out automatically; null before the first. */
  lastGiven: bigint | null = null;
  private readonly owners = new Map<bigint, string>();
  private automatic = new RangeSet();
  private free = new RangeSet();

  constructor(subnet: Subnet, rules: AddressRules) {
    this.subnet = subnet;
    this.setRules(rules);
  }

  /** Changes what may be given out from now on; owners keep what they have. */
  setRules(rules: AddressRules): void {
    const usable = usableRange(this.subnet);
    const pools = rules.pools.length > 0 ? rules.pools : [usable];
    this.automatic = new RangeSet();
    // A pool that is written as a prefix may hold the network and the broadcast address.
    for (const pool of pools) this.automatic.add(pool.first, pool.last);
    this.automatic.remove(0n, usable.first - 1n);
    this.automatic.remove(usable.last + 1n, this.subnet.last);
    for (const range of rules.reserved) {
      if (range.family === this.subnet.family) this.automatic.remove(range.first, range.last);
    }
    if (rules.gateway !== null) this.automatic.remove(rules.gateway, rules.gateway);
    this.free = new RangeSet();
    for (const range of this.automatic.list()) this.free.add(range.first, range.last);
    for (const value of this.owners.keys()) this.free.remove(value, value);
  }

  /** Addresses with an owner. */
  get usedCount(): number {
    return this.owners.size;
  }

  /** Addresses that can still be given out automatically. */
  get freeCount(): bigint {
    return this.free.size;
  }

  /** Addresses that could be given out automatically if none had an owner. */
  get automaticCount(): bigint {
    return this.automatic.size;
  }

  ownerOf(value: bigint): string | null {
    return this.owners.get(value) ?? null;
  }

  /** Gives out the next free address; null when there is none. */
  take(owner: string): bigint | null {
    const value = this.free.next((this.lastGiven ?? -1n) + 1n) ?? this.free.next(0n);
    if (value === null) return null;
    this.lastGiven = value;
    this.own(value, owner);
    return value;
  }

  /** Where giving out begins if nothing was given out yet. `place`: 0 <= place < 1 of what can be given out. */
  beginAt(place: number): void {
    const ranges = this.automatic.list();
    const [first, last] = [ranges[0]?.first, ranges.at(-1)?.last];
    if (this.lastGiven !== null || first === undefined || last === undefined) return;
    // As many steps as a double tells apart; larger subnets are not filled anyway.
    const step = BigInt(Math.floor(place * 2 ** 32));
    this.lastGiven = first + ((last - first + 1n) * step) / 2n ** 32n - 1n;
  }

  /** Why no station of the subnet can have the address, or null when one can (if nobody has it). */
  whyUnfit(value: bigint): string | null {
    if (contains(usableRange(this.subnet), { family: this.subnet.family, value })) return null;
    const text = formatIp(this.subnet.family, value);
    if (value === this.subnet.last && bitsOf(this.subnet.family) === 32) {
      return `${text} is the broadcast address of ${this.subnet.text}`;
    }
    const what = this.subnet.family === 4 ? 'network' : 'subnet-router anycast';
    return `${text} is the ${what} address of ${this.subnet.text}`;
  }

  /** Makes `owner` the owner of a named address, which must be without one. */
  claim(value: bigint, owner: string): void {
    this.own(value, owner);
  }

  release(value: bigint): void {
    if (this.owners.delete(value) && this.automatic.has(value)) this.free.add(value, value);
  }

  private own(value: bigint, owner: string): void {
    this.owners.set(value, owner);
    this.free.remove(value, value);
  }
}
