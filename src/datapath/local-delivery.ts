/**
 * Packets for an address of weft itself: the gateway answers pings and serves nothing else here. Both the gateway stage and the
 * routing stage (for addresses of other networks, and external ones that the NAT leaves alone) end such packets with this.
 */
import { answer, drop, type FrameVector, LATER_FRAGMENT } from '../frames/frame-vector.js';
import { keepOriginal } from '../frames/originals.js';
import * as words from '../wire/address-words.js';
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as icmp from '../wire/icmp.js';
import * as icmpv6 from '../wire/icmpv6.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import { DROP } from './drop-reasons.js';
import { CAPTURE_ARRIVALS, CAPTURE_DROPS, type Program } from './program.js';
import type { RouterState } from './router-state.js';

/** TTL and hop limit of what weft says. */
export const ORIGIN_TTL = 64;

/** Answers a ping, drops everything else. */
export function deliverLocally(state: RouterState, i: number, program: Program): void {
  const { frames } = state;
  if (isEchoRequest(frames, i, state.slab.view)) answerEcho(state, i, program);
  else drop(frames, i, DROP.noService);
}

/** Or a later part of one: large pings come in fragments, and what else of ICMP comes in fragments is forged. */
function isEchoRequest(frames: FrameVector, i: number, view: DataView): boolean {
  const isV4 = frames.family[i] === 4;
  if (frames.protocol[i] !== (isV4 ? ipv4.PROTOCOL_ICMP : ipv6.PROTOCOL_ICMPV6)) return false;
  if (frames.fragment[i] === LATER_FRAGMENT) return true;
  return icmp.type(view, frames.l4At[i]!) === (isV4 ? icmp.ECHO_REQUEST : icmpv6.ECHO_REQUEST);
}

/**
 * Turns the request into its answer where it lies, however large it is, and sends it back to where it came from (RFC 792, RFC 4443
 * section 4.2). The sum over both addresses does not change when they change places, so only the type and the TTL touch checksums,
 * and the fragments of a large one need not be put together: each is answered by a fragment.
 */
function answerEcho(state: RouterState, i: number, program: Program): void {
  const { frames, slab } = state;
  const { view } = slab;
  const port = frames.ingressPort[i]!;
  if ((program.portCapture[port]! & (CAPTURE_ARRIVALS | CAPTURE_DROPS)) !== 0) keepOriginal(frames, slab, i);
  const start = frames.start[i]!;
  // It came to a MAC of the router.
  const { sourceHigh, sourceLow, destinationHigh, destinationLow } = frames;
  ethernet.writeAddresses(view, start, sourceHigh[i]!, sourceLow[i]!, destinationHigh[i]!, destinationLow[i]!);
  const l3At = frames.l3At[i]!;
  const l4At = frames.l4At[i]!;
  const row = words.wordsAt(i);
  if (frames.family[i] === 4) {
    words.write(view, l3At + 12, 4, frames.destination, row);
    words.write(view, l3At + 16, 4, frames.source, row);
    const before = view.getUint16(l3At + 8);
    ipv4.setTtl(view, l3At, ORIGIN_TTL);
    ipv4.setChecksum(view, l3At, checksum.update16(ipv4.checksumOf(view, l3At), before, view.getUint16(l3At + 8)));
  } else {
    words.write(view, l3At + 8, 6, frames.destination, row);
    words.write(view, l3At + 24, 6, frames.source, row);
    ipv6.setHopLimit(view, l3At, ORIGIN_TTL);
  }
  frames.vlan[i] = 0;
  answer(frames, i, i);
  if (frames.fragment[i] === LATER_FRAGMENT) return;
  const before = view.getUint16(l4At);
  icmp.setType(view, l4At, frames.family[i] === 4 ? icmp.ECHO_REPLY : icmpv6.ECHO_REPLY);
  if (frames.checksumStart[i]! < 0) {
    icmp.setChecksum(view, l4At, checksum.update16(icmp.checksumOf(view, l4At), before, view.getUint16(l4At)));
  }
}
