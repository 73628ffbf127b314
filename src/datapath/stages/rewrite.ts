/**
 * Makes the bytes of routed frames agree with what was decided: MACs, TTL, and translated addresses and ports with their
 * checksums. Ends their fate: they are forwarded.
 *
 * Reads: verdict egressNetwork egressPort egressRemote egressVni routeFlags nextMac* translation and the columns of the network
 * layer. Writes: the frame; original* of captured frames; network vlan verdict egress*. Drops: isolated.
 *
 * Checksums are changed by what changed, never computed anew (RFC 1624): a damaged packet arrives as damaged. A partial checksum
 * holds the sum over the pseudo-header, not inverted, and stays partial: ports are under the part that is added later. The first
 * fragment carries the checksum of the whole packet, the others have nothing of it.
 */

import { writeEmbedded } from '../../frames/embedded-packet.js';
import {
  COMPLETE,
  drop,
  type FrameVector,
  forwardToRemote,
  LATER_FRAGMENT,
  ROUTING,
  TRANSLATE_DESTINATION,
  TRANSLATE_SOURCE,
} from '../../frames/frame-vector.js';
import { keepOriginal } from '../../frames/originals.js';
import * as words from '../../wire/address-words.js';
import * as checksum from '../../wire/checksum.js';
import * as ethernet from '../../wire/ethernet.js';
import * as icmp from '../../wire/icmp.js';
import * as icmpv6 from '../../wire/icmpv6.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as ipv6 from '../../wire/ipv6.js';
import * as tcp from '../../wire/tcp.js';
import * as udp from '../../wire/udp.js';
import { locationOf } from '../discovery.js';
import { DROP } from '../drop-reasons.js';
import { forwardTo } from '../locations.js';
import { CAPTURE_ARRIVALS, CAPTURE_DROPS, MAX_PORTS, PORT_ISOLATED, type Program, ROUTE_REMOTE } from '../program.js';
import { ownHigh, ownLow } from '../router-mac.js';
import type { RouterState } from '../router-state.js';

export function rewrite(state: RouterState, program: Program, now: number): void {
  const { frames, slab } = state;
  const { count, verdict, egressNetwork, nextMacHigh, nextMacLow, egressPort, ingressPort, translation, routeFlags } =
    frames;
  const { view } = slab;
  for (let i = 0; i < count; i++) {
    if (verdict[i] !== ROUTING) continue;
    if ((program.portCapture[ingressPort[i]!]! & (CAPTURE_ARRIVALS | CAPTURE_DROPS)) !== 0)
      keepOriginal(frames, slab, i);
    const network = egressNetwork[i]!;
    const toHigh = nextMacHigh[i]!;
    const toLow = nextMacLow[i]!;
    const known = egressPort[i]!;
    const location = known < 0 ? locationOf(state, program, network, toHigh, toLow, now) : known;
    if (isShortCut(frames, i, program, location)) {
      drop(frames, i, DROP.isolated);
      continue;
    }
    const start = frames.start[i]!;
    // What may leave by a tunnel says from which host it is.
    const isNear = location >= 0 && location < MAX_PORTS && (routeFlags[i]! & ROUTE_REMOTE) === 0;
    const high = isNear ? program.gatewayMacHigh[network]! : ownHigh(program, network);
    const low = isNear ? program.gatewayMacLow[network]! : ownLow(program, network);
    ethernet.writeAddresses(view, start, toHigh, toLow, high, low);
    decrementTtl(frames, i, view);
    if (translation[i] !== 0) translate(state, i);
    frames.network[i] = network;
    frames.vlan[i] = 0;
    if ((routeFlags[i]! & ROUTE_REMOTE) === 0) forwardTo(frames, i, program, network, location);
    else forwardToRemote(frames, i, location, frames.egressRemote[i]!, frames.egressVni[i]!);
  }
}

/** Isolated ports of a network do not reach each other by way of the gateway either; what was published is for everybody. */
function isShortCut(frames: FrameVector, i: number, program: Program, port: number): boolean {
  if (port < 0 || port >= MAX_PORTS || frames.translation[i] !== 0 || frames.egressNetwork[i] !== frames.network[i])
    return false;
  return (program.portFlags[port]! & program.portFlags[frames.ingressPort[i]!]! & PORT_ISOLATED) !== 0;
}

function decrementTtl(frames: FrameVector, i: number, view: DataView): void {
  const at = frames.l3At[i]!;
  if (frames.family[i] === 6) {
    ipv6.setHopLimit(view, at, ipv6.hopLimit(view, at) - 1);
    return;
  }
  const before = view.getUint16(at + 8);
  ipv4.setTtl(view, at, ipv4.ttl(view, at) - 1);
  ipv4.setChecksum(view, at, checksum.update16(ipv4.checksumOf(view, at), before, before - 0x100));
}

/** Writes the address and port columns into the packet, and those of the packet inside of an error. */
function translate(state: RouterState, i: number): void {
  const { frames, slab } = state;
  const { view } = slab;
  const l3At = frames.l3At[i]!;
  const family = frames.family[i]!;
  const row = words.wordsAt(i);
  const sourceAt = l3At + (family === 4 ? 12 : 8);
  const bytes = family === 4 ? 4 : 16;
  const before = checksum.sum(view, sourceAt, bytes * 2, 0);
  if ((frames.translation[i]! & TRANSLATE_SOURCE) !== 0) words.write(view, sourceAt, family, frames.source, row);
  if ((frames.translation[i]! & TRANSLATE_DESTINATION) !== 0) {
    words.write(view, sourceAt + bytes, family, frames.destination, row);
  }
  const after = checksum.sum(view, sourceAt, bytes * 2, 0);
  if (family === 4) {
    ipv4.setChecksum(view, l3At, checksum.update16(ipv4.checksumOf(view, l3At), before, after));
  }
  if (frames.fragment[i] === LATER_FRAGMENT) return;
  writeEmbedded(frames, view, i, state.nat.embedded);
  writeTransport(frames, i, view, before, after);
}

/** Ports or identifier, and the transport checksum. `before` and `after`: sums over both addresses. */
function writeTransport(frames: FrameVector, i: number, view: DataView, before: number, after: number): void {
  const at = frames.l4At[i]!;
  const isPartial = frames.checksumStart[i] !== COMPLETE;
  switch (frames.protocol[i]) {
    case ipv4.PROTOCOL_TCP: {
      const portsBefore = checksum.sum(view, at, 4, 0);
      writePorts(frames, i, view, at);
      const portsAfter = checksum.sum(view, at, 4, 0);
      const field = tcp.checksum(view, at);
      if (isPartial) tcp.setChecksum(view, at, shifted(field, before, after));
      else tcp.setChecksum(view, at, updated(field, before, after, portsBefore, portsAfter));
      return;
    }
    case ipv4.PROTOCOL_UDP: {
      const portsBefore = checksum.sum(view, at, 4, 0);
      writePorts(frames, i, view, at);
      const portsAfter = checksum.sum(view, at, 4, 0);
      const field = udp.checksum(view, at);
      if (isPartial) udp.setChecksum(view, at, shifted(field, before, after));
      // RFC 768: zero means that there is none; a sum that comes out as zero is sent as all ones.
      else if (field !== 0) udp.setChecksum(view, at, updated(field, before, after, portsBefore, portsAfter) || 0xffff);
      return;
    }
    case ipv4.PROTOCOL_ICMP:
      if (frames.family[i] === 4) writeIdentifier(frames, i, view, at, isPartial);
      return;
    case ipv6.PROTOCOL_ICMPV6: {
      if (frames.family[i] !== 6) return;
      const field = icmp.checksumOf(view, at);
      icmp.setChecksum(view, at, isPartial ? shifted(field, before, after) : checksum.update16(field, before, after));
      writeIdentifier(frames, i, view, at, isPartial);
      return;
    }
    case ipv4.PROTOCOL_SCTP:
      // Its checksum (RFC 9260 section 6.8) covers ports but no addresses, and only addresses are translated.
      return;
    case ipv4.PROTOCOL_DCCP:
    case ipv4.PROTOCOL_UDP_LITE: {
      // RFC 4340 section 9.1, RFC 3828 section 3.1: over the addresses too, and where UDP has it.
      if (at + udp.HEADER_BYTES > frames.start[i]! + frames.length[i]!) return;
      udp.setChecksum(view, at, checksum.update16(udp.checksum(view, at), before, after) || 0xffff);
      return;
    }
    default:
      return;
  }
}

function writePorts(frames: FrameVector, i: number, view: DataView, at: number): void {
  view.setUint16(at, frames.sourcePort[i]!);
  view.setUint16(at + 2, frames.destinationPort[i]!);
}

/** The identifier of a query; errors have none. */
function writeIdentifier(frames: FrameVector, i: number, view: DataView, at: number, isPartial: boolean): void {
  const type = icmp.type(view, at);
  if (frames.family[i] === 4 ? !icmp.isQuery(type) : !icmpv6.isEcho(type)) return;
  const isToInside = (frames.translation[i]! & TRANSLATE_DESTINATION) !== 0;
  const next = isToInside ? frames.destinationPort[i]! : frames.sourcePort[i]!;
  const before = icmp.identifier(view, at);
  if (next === before) return;
  view.setUint16(at + 4, next);
  if (!isPartial) icmp.setChecksum(view, at, checksum.update16(icmp.checksumOf(view, at), before, next));
}

/** A partial checksum after the addresses under it changed. */
function shifted(field: number, before: number, after: number): number {
  return checksum.fold(field + (~before & 0xffff) + after);
}

function updated(field: number, before: number, after: number, portsBefore: number, portsAfter: number): number {
  return checksum.update16(checksum.update16(field, before, after), portsBefore, portsAfter);
}
