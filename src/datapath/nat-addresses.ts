/**
 * Translation of addresses alone: 1:1 pairs (basic NAT, RFC 3022 section 2.1) and prefixes (NPTv6, RFC 6296). No sessions, no ports, every
 * protocol, and anybody outside may begin: who wants a filter has NAPT.
 */
import * as words from '../wire/address-words.js';
import { translatePrefix } from '../wire/prefix-translation.js';
import type { NatState } from './nat-state.js';

/** Replaces an inside address by its external one. False when it has none of its own. */
export function externalOf(nat: NatState, network: number, family: number, address: Int32Array, at: number): boolean {
  const { rules, scratch } = nat;
  const pair = rules.findStaticInside(network, family, address, at);
  if (pair >= 0) {
    words.copy(rules.staticWords, rules.staticExternalAt(pair), address, at);
    return true;
  }
  const prefix = family === 6 ? rules.findPrefixInside(network, address, at) : -1;
  if (prefix < 0) return false;
  const length = rules.prefixLength(prefix);
  if (!translatePrefix(address, at, length, rules.prefixWords, rules.prefixExternalAt(prefix), scratch, 0))
    return false;
  words.copy(scratch, 0, address, at);
  return true;
}

/** Replaces an external address by the inside one that it belongs to alone. False when there is none. */
export function insideOf(nat: NatState, network: number, family: number, address: Int32Array, at: number): boolean {
  const { rules, scratch } = nat;
  const pair = rules.findStaticExternal(network, family, address, at);
  if (pair >= 0) {
    words.copy(rules.staticWords, rules.staticInsideAt(pair), address, at);
    return true;
  }
  const prefix = family === 6 ? rules.findPrefixExternal(network, address, at) : -1;
  if (prefix < 0) return false;
  const length = rules.prefixLength(prefix);
  if (!translatePrefix(address, at, length, rules.prefixWords, rules.prefixInsideAt(prefix), scratch, 0)) return false;
  words.copy(scratch, 0, address, at);
  return true;
}
