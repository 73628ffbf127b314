/**
 * NAT for packets that leave an inside network through its uplink: they get a source that the outside can answer to.
 *
 * Reads: verdict network egressNetwork routeFlags translation family protocol fragment l4At source destination *Port.
 * Writes: source sourcePort translation; verdict of fragments that have to wait. Bytes are not touched: stages/rewrite.ts makes them agree.
 * Drops: nat-protocol, nat-no-port, nat-table-full, nat-flow-limit, nat-no-session, nat-bad-icmp, bad-ip-source, no-route, bad-fragment,
 * fragments-full.
 */
import { isIcmpError, readEmbedded } from '../../frames/embedded-packet.js';
import { drop, LATER_FRAGMENT, ROUTING, TRANSLATE_SOURCE, WHOLE } from '../../frames/frame-vector.js';
import * as words from '../../wire/address-words.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as ipv6 from '../../wire/ipv6.js';
import { DROP } from '../drop-reasons.js';
import { externalOf } from '../nat-addresses.js';
import { reasonOf } from '../nat-common.js';
import { errorOut } from '../nat-errors.js';
import { beginFragment, endFragment, SETTLED } from '../nat-fragments.js';
import { hasPorts, sessionOut } from '../nat-sessions.js';
import type { NatState } from '../nat-state.js';
import { type Program, ROUTE_PLAIN, TRANSLATE_NONE, TRANSLATE_PREFIX } from '../program.js';
import type { RouterState } from '../router-state.js';

export function translateOutbound(state: RouterState, program: Program, now: number): void {
  const { frames, nat } = state;
  const { rules } = nat;
  const { count, verdict, network, family, egressNetwork, translation, routeFlags } = frames;
  for (let i = 0; i < count; i++) {
    if (verdict[i] !== ROUTING || translation[i] !== 0) continue;
    const inside = network[i]!;
    if (rules.insideOf(inside) !== inside || egressNetwork[i] !== program.networkUplink[inside]) continue;
    if ((routeFlags[i]! & ROUTE_PLAIN) !== 0) continue;
    const how = rules.translates(inside, family[i]!);
    if (how !== TRANSLATE_NONE) translate(state, nat, program, i, inside, how, now);
  }
}

function translate(
  state: RouterState,
  nat: NatState,
  program: Program,
  i: number,
  inside: number,
  how: number,
  now: number,
): void {
  const { frames } = state;
  const { view } = state.slab;
  const family = frames.family[i]!;
  const protocol = frames.protocol[i]!;
  const at = words.wordsAt(i);
  const isLater = frames.fragment[i] === LATER_FRAGMENT;
  if (!isLater && isIcmpError(frames, view, i)) {
    const isSound = frames.fragment[i] === WHOLE && readEmbedded(frames, view, i, nat.embedded);
    if (!isSound || !errorOut(nat, frames, i, inside)) drop(frames, i, DROP.natBadIcmp);
    return;
  }
  if (externalOf(nat, inside, family, frames.source, at)) {
    frames.translation[i] = TRANSLATE_SOURCE;
    return;
  }
  if (how === TRANSLATE_PREFIX) {
    // RFC 6296 section 3.4: what has no external address is unreachable from here.
    drop(frames, i, DROP.noRoute);
    return;
  }
  // What the header of a later fragment of IPv6 names may be an extension header.
  if (!hasPorts(protocol, family) && (!isLater || family === 4)) {
    drop(frames, i, DROP.natProtocol);
    return;
  }
  const entry = frames.fragment[i] === WHOLE ? SETTLED : beginFragment(state, nat, program, i, now);
  if (entry === SETTLED && frames.fragment[i] !== WHOLE) return;
  const session = sessionOut(nat, frames, view, i, inside, now);
  if (session < 0) {
    drop(frames, i, reasonOf(session));
  } else {
    const { flows } = nat.flows;
    nat.writeAddress(family, flows.outsideAddress(session), frames.source, at);
    frames.sourcePort[i] = flows.outsidePort(session);
    if (protocol === ipv4.PROTOCOL_ICMP || protocol === ipv6.PROTOCOL_ICMPV6) {
      frames.destinationPort[i] = frames.sourcePort[i]!;
    }
    frames.translation[i] = TRANSLATE_SOURCE;
  }
  if (entry !== SETTLED) endFragment(state, nat, i, entry, now);
}
