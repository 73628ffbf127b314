/**
 * Keeps questions for the MACs of known stations from flooding an overlay network (ARP and ND suppression, RFC 7432 section 10): for a
 * station of this host the question goes to it alone, for one behind another VTEP weft answers in its place.
 *
 * Reads: interest verdict ingressRemote etherType family protocol fragment l3At l4At source. Writes: verdict egressPort.
 *
 * Left alone: what came out of a tunnel (the host that asks has suppressed what it could), questions for one's own address (gratuitous
 * ARP, and duplicate address detection of who rightly has it), stations that weft has only heard of.
 * RFC 826, RFC 5227, RFC 4861 section 7.2.3, RFC 4862 section 5.4.3.
 */
import { isIcmpSound } from '../../frames/embedded-packet.js';
import { consume, FORWARDED, forward, OVERHEARD } from '../../frames/frame-vector.js';
import { FIXED } from '../../tables/neighbour-table.js';
import * as words from '../../wire/address-words.js';
import * as arp from '../../wire/arp.js';
import * as ethernet from '../../wire/ethernet.js';
import * as icmp from '../../wire/icmp.js';
import * as icmpv6 from '../../wire/icmpv6.js';
import * as ipv6 from '../../wire/ipv6.js';
import { answerArp, answerNeighbour } from '../discovery.js';
import { MAX_PORTS, NETWORK_SUPPRESS, PORT_ISOLATED, type Program } from '../program.js';
import type { RouterState } from '../router-state.js';

export function suppressQuestions(state: RouterState, program: Program): void {
  const { frames } = state;
  const { count, interest, verdict, ingressRemote, etherType, family, network } = frames;
  for (let i = 0; i < count; i++) {
    if (interest[i] !== OVERHEARD || verdict[i] !== FORWARDED || ingressRemote[i]! >= 0) continue;
    if ((program.networkFlags[network[i]!]! & NETWORK_SUPPRESS) === 0) continue;
    if (etherType[i] === ethernet.TYPE_ARP) suppressArp(state, program, i);
    else if (family[i] === 6) suppressSolicitation(state, program, i);
  }
}

function suppressArp(state: RouterState, program: Program, i: number): void {
  const { frames, scratch, slab, neighbours } = state;
  const { view } = slab;
  const at = frames.l3At[i]!;
  if (!arp.check(view, at, frames.start[i]! + frames.length[i]! - at)) return;
  if (arp.operation(view, at) !== arp.REQUEST) return;
  const sender = arp.senderAddress(view, at);
  const target = arp.targetAddress(view, at);
  if (sender === target) return;
  scratch.fill(0, 0, 4);
  scratch[0] = target;
  const row = neighbours.find(frames.network[i]!, 4, scratch, 0);
  const high = arp.senderHigh(view, at);
  const low = arp.senderLow(view, at);
  if (!isKnownToOthers(state, row, high, low) || isLedToStation(state, program, i, row)) return;
  const { macHigh, macLow } = neighbours;
  if (answerArp(state, i, macHigh[row]!, macLow[row]!, target, high, low, sender)) consume(frames, i);
}

function suppressSolicitation(state: RouterState, program: Program, i: number): void {
  const { frames, scratch, slab, neighbours } = state;
  const { view } = slab;
  if (frames.protocol[i] !== ipv6.PROTOCOL_ICMPV6 || frames.fragment[i] !== 0) return;
  const at = frames.l4At[i]!;
  const l3At = frames.l3At[i]!;
  if (icmp.type(view, at) !== icmpv6.NEIGHBOUR_SOLICITATION || icmp.code(view, at) !== 0) return;
  const end = l3At + ipv6.HEADER_BYTES + ipv6.payloadLength(view, l3At);
  const optionsAt = at + icmpv6.OPTIONS_OFFSET;
  if (ipv6.hopLimit(view, l3At) !== icmpv6.HOP_LIMIT || optionsAt > end) return;
  if (!icmpv6.areOptionsValid(view, optionsAt, end) || !isIcmpSound(frames, view, i)) return;
  words.read(view, at + icmpv6.TARGET_OFFSET, 6, scratch, 4);
  const row = neighbours.find(frames.network[i]!, 6, scratch, 4);
  const link = icmpv6.linkOptionAt(view, optionsAt, end, icmpv6.OPTION_SOURCE_LINK);
  const high = link < 0 ? frames.sourceHigh[i]! : view.getUint16(link);
  const low = link < 0 ? frames.sourceLow[i]! : view.getInt32(link + 2);
  if (!isKnownToOthers(state, row, high, low) || isLedToStation(state, program, i, row)) return;
  const { macHigh, macLow } = neighbours;
  const to = words.wordsAt(i);
  // Whether it is a router weft does not know, and says no: stations that route IPv6 for others need a network that does not suppress.
  const made = answerNeighbour(state, i, macHigh[row]!, macLow[row]!, 0, scratch, 4, frames.source, to, high, low);
  if (made >= 0) consume(frames, i);
}

/** Whether weft was told of the station (row of the neighbour table, or -1), and it is not the one that asks. */
function isKnownToOthers({ neighbours }: RouterState, row: number, macHigh: number, macLow: number): boolean {
  if (row < 0 || neighbours.state[row] !== FIXED) return false;
  return neighbours.macHigh[row] !== macHigh || neighbours.macLow[row] !== macLow;
}

/** True when the station is on this host: the question goes to it alone, unless the asker is kept from it. */
function isLedToStation({ frames, neighbours }: RouterState, program: Program, i: number, row: number): boolean {
  const port = neighbours.port[row]!;
  if (port < 0 || port >= MAX_PORTS) return false;
  const asker = frames.ingressPort[i]!;
  const isApart = (program.portFlags[port]! & program.portFlags[asker]! & PORT_ISOLATED) !== 0;
  if (port !== asker && !isApart) forward(frames, i, port);
  return true;
}
