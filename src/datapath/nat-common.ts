/**
 * What the parts of the NAT say to each other: refusals, protocols, timers.
 */
import type { FrameVector } from '../frames/frame-vector.js';
import { isLongLived } from '../tables/tcp-state.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as tcp from '../wire/tcp.js';
import type { NatState } from './nat-state.js';
import { NAT } from './program.js';

/** Answer for a packet that has no session, for `reason` (a code of drop-reasons.ts). */
export function refusal(reason: number): number {
  return -1 - reason;
}

/** The reason of a refusal. */
export function reasonOf(refused: number): number {
  return -1 - refused;
}

export function isIcmp(protocol: number): boolean {
  return protocol === ipv4.PROTOCOL_ICMP || protocol === ipv6.PROTOCOL_ICMPV6;
}

/** An ICMP query has one identifier, which is the inside's; the remote side has no port. */
export function remotePortOut(frames: FrameVector, i: number): number {
  return isIcmp(frames.protocol[i]!) ? 0 : frames.destinationPort[i]!;
}

export function isSyn(flags: number): boolean {
  return (flags & (tcp.FLAG_SYN | tcp.FLAG_ACK | tcp.FLAG_RST)) === tcp.FLAG_SYN;
}

/** Idle time that a session is kept, in ms. */
export function lifeMs(nat: NatState, network: number, protocol: number, state: number): number {
  let column: number = NAT.icmp;
  if (protocol === ipv4.PROTOCOL_TCP) column = isLongLived(state) ? NAT.tcpEstablished : NAT.tcpTransitory;
  else if (protocol === ipv4.PROTOCOL_UDP) column = NAT.udp;
  return nat.rules.policy(network, column) * 1000;
}
