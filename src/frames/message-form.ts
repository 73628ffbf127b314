/**
 * Tells what a message of a VTEP's socket is that the kernel gives a piece size for (UDP_GRO): it does so for two things.
 *
 *   joined datagrams    |VXLAN| frame |VXLAN| frame |VXLAN| frame |         pieces of that size, each from a VTEP
 *   UDP super-frame     |VXLAN|Ethernet| IP | UDP | data   data   dat|      one datagram; that many bytes of data per segment
 *
 * The second comes where a station has used UDP_SEGMENT and the way from its kernel's VXLAN device has no NIC in it (unfinished.ts): the size
 * of a super-frame inside of a tunnel is told as if it were that of the datagrams (udp_cmsg_recv, include/linux/udp.h).
 *
 * What a station writes must not decide it: read as joined datagrams, the data of a super-frame would be VXLAN headers, and with them
 * frames of any network; read as a super-frame, joined datagrams would carry frames of other networks to the station that sent the first.
 * Neither can be feigned with the kernel's own headers: its super-frame says in its IP header that it fills the message, which no frame
 * in the first of several datagrams does; and each further datagram begins with a VXLAN header. What looks like both is neither.
 *
 * Heads up: a station that writes the headers of super-frames itself (a raw socket or a guest's NIC, with vnet headers) can still make one
 * that is joined datagrams byte by byte. Where such stations are not trusted, the underlay `tap` is told by the kernel what is what.
 */
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as udp from '../wire/udp.js';
import * as vlan from '../wire/vlan.js';
import * as vxlan from '../wire/vxlan.js';
import * as unfinished from './unfinished.js';

export const JOINED = 0;
export const SUPER_FRAME = 1;
export const NEITHER = 2;

/** Of the message of `length` bytes at `at`, longer than `pieceBytes`. */
export function tell(view: DataView, at: number, length: number, pieceBytes: number): number {
  const frameAt = at + vxlan.HEADER_BYTES;
  const frameBytes = length - vxlan.HEADER_BYTES;
  if (!vxlan.check(length) || !fillsMessage(view, frameAt, frameBytes)) return JOINED;
  if (!isSegmentable(view, frameAt, frameBytes, pieceBytes)) return NEITHER;
  return mayBeJoined(view, at, length, pieceBytes) ? NEITHER : SUPER_FRAME;
}

/** Whether the frame is an IP packet that ends with the message, by what its header says. */
function fillsMessage(view: DataView, at: number, length: number): boolean {
  const l3At = vlan.payloadAt(view, at, length);
  const type = view.getUint16(l3At - 2);
  const room = at + length - l3At;
  if (type === ethernet.TYPE_IPV4) return ipv4.check(view, l3At, room) && ipv4.totalLength(view, l3At) === room;
  if (type !== ethernet.TYPE_IPV6 || !ipv6.check(view, l3At, room)) return false;
  return ipv6.payloadLength(view, l3At) === room - ipv6.HEADER_BYTES;
}

/** Whether the frame is a UDP packet whose checksum is left to do, with data for more than one segment. */
function isSegmentable(view: DataView, at: number, length: number, segmentBytes: number): boolean {
  const found = unfinished.find(view, at, length);
  if (found < 0 || unfinished.fieldOffset(found) !== udp.CHECKSUM_OFFSET) return false;
  const l4At = at + unfinished.headerOffset(found);
  const l4Bytes = at + length - l4At;
  return udp.length(view, l4At) === l4Bytes && l4Bytes - udp.HEADER_BYTES > segmentBytes;
}

/** Whether every piece but the first can be a datagram of a VTEP. */
function mayBeJoined(view: DataView, at: number, length: number, pieceBytes: number): boolean {
  for (let piece = pieceBytes; piece < length; piece += pieceBytes) {
    const isDatagram = vxlan.check(Math.min(pieceBytes, length - piece)) && vxlan.isUsual(view, at + piece);
    if (!isDatagram) return false;
  }
  return true;
}
