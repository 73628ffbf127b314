/**
 * The addresses that weft itself has, looked up by network: those of the program, and for each network where weft has an IPv6
 * address also the link-local ones that belong to its MACs there (RFC 4291 section 2.5.1 and appendix A). On a network whose
 * gateway addresses the host owns, nothing is weft's own but what it may send from.
 */
import { AddressMap } from '../tables/address-map.js';
import * as words from '../wire/address-words.js';
import { NETWORK_SHARED_GATEWAY, OWN_ADDRESS_INTS, type Program, ROLE_SWITCH } from './program.js';
import { isDistributed, ownHigh, ownLow } from './router-mac.js';

/** Flags beside those of the program: a link-local address that follows from the MAC of the gateway, or from the own one of its router. */
export const OWN_LINK_LOCAL = 0x100;
export const OWN_ROUTER_LINK_LOCAL = 0x200;

const FAMILY_AT = 1;
const ADDRESS_AT = 2;
const PREFIX_AT = 6;
const FLAGS_AT = 7;

export class OwnAddresses {
  /** Rows as in the program (OWN_ADDRESS_INTS each), sorted by network. */
  rows = new Int32Array(0);
  private first = new Int32Array(0);
  private counts = new Int32Array(0);
  private isShared = new Uint8Array(0);
  private readonly map: AddressMap;

  constructor(seed: number) {
    this.map = new AddressMap(seed);
  }

  /** @coldPath once per program */
  adopt(program: Program): void {
    const list: number[][] = [];
    const given = program.ownAddresses;
    for (let at = 0; at < given.length; at += OWN_ADDRESS_INTS) {
      list.push([...given.subarray(at, at + OWN_ADDRESS_INTS)]);
    }
    const withIpv6 = new Set(list.filter((row) => row[FAMILY_AT] === 6).map((row) => row[0]!));
    for (const network of withIpv6) {
      const { gatewayMacHigh: high, gatewayMacLow: low } = program;
      list.push(linkLocalRow(network, high[network]!, low[network]!, OWN_LINK_LOCAL));
      if (!isDistributed(program, network)) continue;
      list.push(linkLocalRow(network, ownHigh(program, network), ownLow(program, network), OWN_ROUTER_LINK_LOCAL));
    }
    list.sort((a, b) => a[0]! - b[0]!);
    this.rows = Int32Array.from(list.flat());
    this.isShared = Uint8Array.from(program.networkFlags, (flags) => (flags & NETWORK_SHARED_GATEWAY ? 1 : 0));
    this.first = new Int32Array(program.networkCount);
    this.counts = new Int32Array(program.networkCount);
    this.map.clear(list.length);
    for (let row = list.length - 1; row >= 0; row--) {
      const network = list[row]![0]!;
      this.first[network] = row;
      this.counts[network]!++;
    }
    for (let row = 0; row < list.length; row++) {
      const at = row * OWN_ADDRESS_INTS;
      const network = this.rows[at]!;
      if (program.networkRole[network] === ROLE_SWITCH || this.isShared[network] !== 0) continue;
      this.map.insert(network, this.rows[at + FAMILY_AT]!, this.rows, at + ADDRESS_AT, row);
    }
  }

  /** Row of an address that weft answers for on the network, or -1. */
  find(network: number, family: number, from: Int32Array, at: number): number {
    return this.map.find(network, family, from, at);
  }

  /** Index in `rows` of the four words of the address. */
  addressAt(row: number): number {
    return row * OWN_ADDRESS_INTS + ADDRESS_AT;
  }

  prefixLength(row: number): number {
    return this.rows[row * OWN_ADDRESS_INTS + PREFIX_AT]!;
  }

  family(row: number): number {
    return this.rows[row * OWN_ADDRESS_INTS + FAMILY_AT]!;
  }

  /** OWN_* bits. */
  flags(row: number): number {
    return this.rows[row * OWN_ADDRESS_INTS + FLAGS_AT]!;
  }

  /** Rows of a network are `firstOf .. + countOf`. */
  firstOf(network: number): number {
    return this.first[network]!;
  }

  countOf(network: number): number {
    return this.counts[network]!;
  }

  /**
   * The address that weft speaks to `to` from: one whose subnet `to` is in, else the first of the family that is not link-local,
   * or -1 when there is none.
   */
  speaker(network: number, family: number, to: Int32Array, toAt: number): number {
    const end = this.first[network]! + this.counts[network]!;
    let other = -1;
    for (let row = this.first[network]!; row < end; row++) {
      if (this.family(row) !== family) continue;
      if (words.hasPrefix(this.rows, this.addressAt(row), to, toAt, this.prefixLength(row))) return row;
      if (other < 0 && (this.flags(row) & (OWN_LINK_LOCAL | OWN_ROUTER_LINK_LOCAL)) === 0) other = row;
    }
    return other;
  }

  /** The gateway's link-local address on the network, or -1. */
  linkLocal(network: number): number {
    return this.withFlag(network, OWN_LINK_LOCAL);
  }

  /** The link-local address of the router on this host, on a network of several hosts; else -1. */
  routerLinkLocal(network: number): number {
    return this.withFlag(network, OWN_ROUTER_LINK_LOCAL);
  }

  private withFlag(network: number, flag: number): number {
    const end = this.first[network]! + this.counts[network]!;
    for (let row = this.first[network]!; row < end; row++) {
      if ((this.flags(row) & flag) !== 0) return row;
    }
    return -1;
  }
}

/** fe80:: with the interface identifier of a MAC. @coldPath once per network and program */
function linkLocalRow(network: number, high: number, low: number, flag: number): number[] {
  // RFC 4291 appendix A: the bit that tells universal from local addresses is inverted, ff:fe goes in the middle.
  const third = ((high ^ 0x0200) << 16) | ((low >>> 24) << 8) | 0xff;
  const fourth = (0xfe << 24) | (low & 0xffffff);
  return [network, 6, 0xfe800000 | 0, 0, third, fourth, 64, flag];
}
