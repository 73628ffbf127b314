/**
 * Mappings of NAPT: which external address and port an inside endpoint has, made when it needs one.
 *
 * RFC 4787 REQ-1 (the same for all destinations, or one each), REQ-2 (one external address for all of an inside address), REQ-3 and REQ-4
 * (ports, which tables/port-allocator.ts chooses). Addresses are ids, `network` is a row of the program and `slot` what flows know it by.
 */
import { mix3 } from '../lib/hash32.js';
import { MAPPING_OF_REMOTE, MAPPING_OWNS_PORT } from '../tables/mapping-table.js';
import * as words from '../wire/address-words.js';
import { DROP } from './drop-reasons.js';
import { isIcmp, refusal } from './nat-common.js';
import { type NatState, PORT_DRAWS } from './nat-state.js';
import { MAPPING_ENDPOINT_INDEPENDENT, NAT } from './program.js';

const NONE = -1;
/** Every port that was drawn is published. */
const ALL_PUBLISHED = -2;

/**
 * Existing or new mapping of an inside endpoint (towards one remote endpoint, if the network maps so), or a refusal. `isKnown`: the
 * lab gave the inside address to an endpoint.
 */
export function mappingFor(
  nat: NatState,
  network: number,
  slot: number,
  protocol: number,
  family: number,
  inside: number,
  insidePort: number,
  remote: number,
  remotePort: number,
  isKnown: boolean,
  now: number,
): number {
  const { flows, rules } = nat;
  const isIndependent = rules.policy(network, NAT.mapping) === MAPPING_ENDPOINT_INDEPENDENT;
  const keyAddress = isIndependent ? 0 : remote;
  const keyPort = isIndependent ? 0 : remotePort;
  const flags = MAPPING_OWNS_PORT | (isIndependent ? 0 : MAPPING_OF_REMOTE);
  const known = flows.mappings.findInside(slot, protocol, family, inside, insidePort, keyAddress, keyPort);
  if (known >= 0 && isPoolAddress(nat, network, family, flows.mappings.outsideAddress(known))) return known;
  const outside = poolAddress(nat, network, slot, family, inside);
  if (outside === NONE) return refusal(rules.poolSize(network, family) === 0 ? DROP.natNoPort : DROP.natTableFull);
  if (isReserved(nat, network, slot, protocol, family, inside, outside, isKnown)) return refusal(DROP.natNoPort);
  const port = freePort(nat, network, slot, protocol, family, outside, insidePort);
  if (port < 0) return refusal(DROP.natNoPort);
  const mapping = flows.openMapping(
    slot,
    protocol,
    family,
    inside,
    insidePort,
    keyAddress,
    keyPort,
    outside,
    port,
    flags,
    now,
  );
  if (mapping >= 0) return mapping;
  flows.ports.release(slot, protocol, family, outside, port);
  return refusal(DROP.natTableFull);
}

/**
 * Whether what is left of the ports of an external address is for others: the last eighth is not for an inside address that has
 * a sixteenth of all of them, so that one that opens as many as it can does not stop the others; the last quarter is not for addresses
 * that the lab gave to nobody.
 */
function isReserved(
  nat: NatState,
  network: number,
  slot: number,
  protocol: number,
  family: number,
  inside: number,
  outside: number,
  isKnown: boolean,
): boolean {
  const { ports, subscribers } = nat.flows;
  const size = nat.rules.policy(network, NAT.portLast) - nat.rules.policy(network, NAT.portFirst) + 1;
  const taken = ports.taken(slot, protocol, family, outside);
  if (!isKnown && taken >= size - (size >> 2)) return true;
  if (taken < size - (size >> 3)) return false;
  const subscriber = subscribers.find(slot, family, inside);
  return size >= 8 && subscriber >= 0 && subscribers.mappings(subscriber) >= size >> 4;
}

/** An external port that is neither taken nor published, taken now; -1 when there is none. */
function freePort(
  nat: NatState,
  network: number,
  slot: number,
  protocol: number,
  family: number,
  outside: number,
  insidePort: number,
): number {
  const { flows, rules, scratch } = nat;
  const first = rules.policy(network, NAT.portFirst);
  const last = rules.policy(network, NAT.portLast);
  if (isIcmp(protocol)) return flows.ports.take(slot, protocol, family, outside, insidePort, first, last);
  const port = drawPort(nat, network, slot, protocol, family, outside, insidePort, first, last);
  if (port !== ALL_PUBLISHED) return port;
  // Most of the range is published, and most of that with what was drawn: the rest is beside it.
  const row = rules.findPublished(network, protocol, family, scratch, 0, nat.drawnPorts[0]!);
  const below = Math.min(last, rules.publishedFirst(row) - 1);
  const above = Math.max(first, rules.publishedLast(row) + 1);
  const high = drawPort(nat, network, slot, protocol, family, outside, insidePort, above, last);
  if (high >= 0) return high;
  return Math.max(NONE, drawPort(nat, network, slot, protocol, family, outside, insidePort, first, below));
}

/** A port of `first..last` that is neither taken nor published, taken now; -1 when all are taken, ALL_PUBLISHED when luck found none. */
function drawPort(
  nat: NatState,
  network: number,
  slot: number,
  protocol: number,
  family: number,
  outside: number,
  insidePort: number,
  first: number,
  last: number,
): number {
  const { flows, rules, scratch } = nat;
  if (first > last) return NONE;
  nat.writeAddress(family, outside, scratch, 0);
  let drawn = 0;
  let port = NONE;
  while (port < 0 && drawn < PORT_DRAWS) {
    const candidate = flows.ports.take(slot, protocol, family, outside, insidePort, first, last);
    if (candidate < 0) break;
    if (rules.findPublished(network, protocol, family, scratch, 0, candidate) < 0) port = candidate;
    // Kept until one is found, so that it is not drawn again.
    else nat.drawnPorts[drawn++] = candidate;
  }
  if (port < 0 && drawn === PORT_DRAWS) port = ALL_PUBLISHED;
  while (drawn > 0) flows.ports.release(slot, protocol, family, outside, nat.drawnPorts[--drawn]!);
  return port;
}

/** External address of an inside one: the one that it has, or one that its address selects (RFC 4787 REQ-2). -1: none. */
function poolAddress(nat: NatState, network: number, slot: number, family: number, inside: number): number {
  const { flows, rules } = nat;
  const subscriber = flows.subscribers.find(slot, family, inside);
  if (subscriber >= 0 && flows.subscribers.hasOutside(subscriber)) {
    const outside = flows.subscribers.outside(subscriber);
    if (isPoolAddress(nat, network, family, outside)) return outside;
  }
  const size = rules.poolSize(network, family);
  if (size === 0) return NONE;
  const last = family === 4 ? 0 : 3;
  const chosen = (mix3(flows.addressWord(family, inside, last), slot, 0, 0) >>> 0) % size;
  return flows.internAddress(family, rules.poolWords, rules.poolAt(network, family, chosen));
}

function isPoolAddress(nat: NatState, network: number, family: number, id: number): boolean {
  nat.writeAddress(family, id, nat.scratch, 0);
  return nat.rules.isPool(network, family, nat.scratch, 0);
}

/** External address that a published port speaks from. */
export function publishedAddress(
  nat: NatState,
  network: number,
  slot: number,
  family: number,
  inside: number,
  publisher: number,
): number {
  const { flows, rules } = nat;
  const at = rules.publishedExternalAt(publisher);
  if (!words.isZero(rules.published, at)) return flows.internAddress(family, rules.published, at);
  return poolAddress(nat, network, slot, family, inside);
}
