/**
 * Tells senders why the router dropped their packets, where an RFC wants them to know.
 *
 * Reads: verdict reason interest and the columns of the network layer. Writes: originated rows.
 *
 *   reason                                            ICMP    ICMPv6   RFC
 *   ttl-expired                                       11/0    3/0      1812 4.3.3.4, 4443 3.3
 *   no-route                                          3/0     1/0      1812 4.3.3.1, 4443 3.1 (source of the link only: 1/2)
 *   no-neighbour                                      3/1     1/3
 *   too-big                                           3/4     2/0      1191 section 4, 4443 3.2
 *   no-service, nat-no-mapping, UDP and TCP           3/3     1/4      5382 REQ-4
 *   no-service, other protocols                       3/2     4/1      8200 section 4
 *   nat-no-port nat-table-full nat-flow-limit
 *   nat-protocol                                      3/13    1/1      5508 REQ-8
 *   exceeds-mtu (answerOversized)                     3/4     2/0      1191 section 4, 4443 3.2
 */
import { DROPPED, FOR_HOST, FOR_ROUTER, type FrameVector, NO_INTEREST, OVERHEARD } from '../../frames/frame-vector.js';
import * as words from '../../wire/address-words.js';
import * as icmp from '../../wire/icmp.js';
import * as icmpv6 from '../../wire/icmpv6.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as ipv6 from '../../wire/ipv6.js';
import { DROP } from '../drop-reasons.js';
import { tellMtu, tellSender } from '../icmp-error.js';
import type { Program } from '../program.js';
import type { RouterState } from '../router-state.js';

export function answerErrors(state: RouterState, program: Program, now: number): void {
  const { frames } = state;
  const { count, interest, verdict, family } = frames;
  for (let i = 0; i < count; i++) {
    if (verdict[i] !== DROPPED || (interest[i] !== FOR_ROUTER && interest[i] !== FOR_HOST)) continue;
    if (family[i] === 4) answerV4(state, program, i, now);
    else if (family[i] === 6) answerV6(state, program, i, now);
  }
}

/**
 * Tells stations whose packets are too large for their own network that they are (exceeds-mtu), which nobody else can where a tunnel
 * makes it smaller than the interface that they have. To be called before the switch, whose columns are not there yet.
 */
export function answerOversized(state: RouterState, program: Program, now: number): void {
  const { frames } = state;
  const { count, interest, network } = frames;
  for (let i = 0; i < count; i++) {
    if (interest[i] !== OVERHEARD) continue;
    interest[i] = NO_INTEREST;
    tellMtu(state, program, i, program.networkMtu[network[i]!]!, now);
  }
  frames.oversized = 0;
}

function answerV4(state: RouterState, program: Program, i: number, now: number): void {
  const { frames } = state;
  const protocol = frames.protocol[i]!;
  switch (frames.reason[i]) {
    case DROP.ttlExpired:
      tellSender(state, program, i, icmp.TIME_EXCEEDED, 0, 0, now);
      return;
    case DROP.noRoute:
      tellSender(state, program, i, icmp.UNREACHABLE, icmp.CODE_NETWORK, 0, now);
      return;
    case DROP.noNeighbour:
      tellSender(state, program, i, icmp.UNREACHABLE, icmp.CODE_HOST, 0, now);
      return;
    case DROP.tooBig:
      tellSender(
        state,
        program,
        i,
        icmp.UNREACHABLE,
        icmp.CODE_FRAGMENTATION_NEEDED,
        egressMtu(frames, i, program),
        now,
      );
      return;
    case DROP.natNoMapping:
    case DROP.noService:
      if (protocol === ipv4.PROTOCOL_UDP || protocol === ipv4.PROTOCOL_TCP) {
        tellSender(state, program, i, icmp.UNREACHABLE, icmp.CODE_PORT, 0, now);
      } else if (protocol !== ipv4.PROTOCOL_ICMP) {
        tellSender(state, program, i, icmp.UNREACHABLE, icmp.CODE_PROTOCOL, 0, now);
      }
      return;
    default:
      if (!isRefusal(frames.reason[i]!)) return;
      tellSender(state, program, i, icmp.UNREACHABLE, icmp.CODE_PROHIBITED, 0, now);
  }
}

function answerV6(state: RouterState, program: Program, i: number, now: number): void {
  const { frames } = state;
  const protocol = frames.protocol[i]!;
  switch (frames.reason[i]) {
    case DROP.ttlExpired:
      tellSender(state, program, i, icmpv6.TIME_EXCEEDED, 0, 0, now);
      return;
    case DROP.noRoute: {
      const isLocal = words.isLinkLocal(frames.source, words.wordsAt(i), 6);
      const code = isLocal ? icmpv6.CODE_BEYOND_SCOPE : icmpv6.CODE_NO_ROUTE;
      tellSender(state, program, i, icmpv6.UNREACHABLE, code, 0, now);
      return;
    }
    case DROP.noNeighbour:
      tellSender(state, program, i, icmpv6.UNREACHABLE, icmpv6.CODE_ADDRESS, 0, now);
      return;
    case DROP.tooBig:
      tellSender(state, program, i, icmpv6.PACKET_TOO_BIG, 0, egressMtu(frames, i, program), now);
      return;
    case DROP.natNoMapping:
    case DROP.noService:
      if (protocol === ipv4.PROTOCOL_UDP || protocol === ipv4.PROTOCOL_TCP) {
        tellSender(state, program, i, icmpv6.UNREACHABLE, icmpv6.CODE_PORT, 0, now);
      } else if (protocol !== ipv6.PROTOCOL_ICMPV6 && protocol !== ipv6.NO_NEXT_HEADER) {
        const pointer = nextHeaderOffset(frames, i, state.slab.view);
        tellSender(state, program, i, icmpv6.PARAMETER_PROBLEM, icmpv6.CODE_UNKNOWN_NEXT_HEADER, pointer, now);
      }
      return;
    default:
      if (!isRefusal(frames.reason[i]!)) return;
      tellSender(state, program, i, icmpv6.UNREACHABLE, icmpv6.CODE_PROHIBITED, 0, now);
  }
}

/** The NAT could not or would not open a flow. */
function isRefusal(reason: number): boolean {
  return (
    reason === DROP.natNoPort ||
    reason === DROP.natTableFull ||
    reason === DROP.natFlowLimit ||
    reason === DROP.natProtocol
  );
}

function egressMtu(frames: FrameVector, i: number, program: Program): number {
  return program.networkMtu[frames.egressNetwork[i]!]!;
}

/** Offset in the packet of the field that names the transport protocol. */
function nextHeaderOffset(frames: FrameVector, i: number, view: DataView): number {
  const l3At = frames.l3At[i]!;
  const l4At = frames.l4At[i]!;
  let field = l3At + 6;
  let cursor = l3At + ipv6.HEADER_BYTES;
  while (cursor < l4At) {
    const type = view.getUint8(field);
    field = cursor;
    cursor += ipv6.extensionBytes(view, cursor, type);
  }
  return field - l3At;
}
