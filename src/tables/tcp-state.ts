/**
 * What a NAT knows of a TCP connection: the state machine of RFC 7857 section 2 (adapted from RFC 6146 section 3.5.2.2), as
 * functions over small integers that stand in the flow table.
 *
 *            SYN inside                      SYN outside
 *   CLOSED ------------> SYN_INSIDE   CLOSED ------------> SYN_OUTSIDE
 *                             | SYN outside                  | SYN inside
 *                             +--------> ESTABLISHED <-------+
 *            FIN inside  /          |  ^ any data       \  FIN outside
 *          FIN_INSIDE <-+       RST v  |                 +-> FIN_OUTSIDE
 *               | FIN outside      RESET                        | FIN inside
 *               +--------------------> CLOSING <----------------+
 *
 * It only chooses timers: it neither checks sequence numbers nor drops segments. Two additions: a RST also ends a half-closed
 * connection, and a new SYN reopens one that is closing or was reset, because clients use their ports again (RFC 6191) and the
 * entry of the old connection must not keep them out for its four minutes.
 */
import { FLAG_FIN, FLAG_RST, FLAG_SYN } from '../wire/tcp.js';

/** UDP and ICMP flows, which have no state. */
export const FLOW_STATELESS = 0;
/** The inside opened, nothing came back yet. */
export const TCP_SYN_INSIDE = 1;
/** The outside opened (a published port, or an open filter), the inside did not answer yet. */
export const TCP_SYN_OUTSIDE = 2;
export const TCP_ESTABLISHED = 3;
/** The inside has sent its FIN. */
export const TCP_FIN_INSIDE = 4;
export const TCP_FIN_OUTSIDE = 5;
/** Both have. */
export const TCP_CLOSING = 6;
export const TCP_RESET = 7;

/** The state after a segment with `flags` went through. */
export function afterSegment(state: number, flags: number, isFromInside: boolean): number {
  if ((flags & FLAG_RST) !== 0) return state <= TCP_SYN_OUTSIDE ? state : TCP_RESET;
  if ((flags & FLAG_SYN) !== 0) return afterSyn(state, isFromInside);
  if ((flags & FLAG_FIN) !== 0) return afterFin(state, isFromInside);
  return state === TCP_RESET ? TCP_ESTABLISHED : state;
}

/** Whether the connection is kept for the long time (RFC 5382 REQ-5); otherwise it is being opened or closed. */
export function isLongLived(state: number): boolean {
  return state >= TCP_ESTABLISHED && state <= TCP_FIN_OUTSIDE;
}

function afterSyn(state: number, isFromInside: boolean): number {
  switch (state) {
    case TCP_SYN_INSIDE:
      return isFromInside ? state : TCP_ESTABLISHED;
    case TCP_SYN_OUTSIDE:
      return isFromInside ? TCP_ESTABLISHED : state;
    case TCP_ESTABLISHED:
      return state;
    default:
      return isFromInside ? TCP_SYN_INSIDE : TCP_SYN_OUTSIDE;
  }
}

function afterFin(state: number, isFromInside: boolean): number {
  switch (state) {
    case TCP_ESTABLISHED:
    case TCP_RESET:
      return isFromInside ? TCP_FIN_INSIDE : TCP_FIN_OUTSIDE;
    case TCP_FIN_INSIDE:
      return isFromInside ? state : TCP_CLOSING;
    case TCP_FIN_OUTSIDE:
      return isFromInside ? TCP_CLOSING : state;
    default:
      return state;
  }
}
