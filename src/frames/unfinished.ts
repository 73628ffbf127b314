/**
 * Finds out what the sender's kernel has left undone of a frame that came out of a UDP socket.
 *
 * Where the way from a kernel VXLAN device to a socket of weft has no NIC in it (veth pairs, or two guests of one hypervisor), nobody
 * finishes what the device left to the hardware: the transport checksum of the inner packet still holds the sum over its
 * pseudo-header (CHECKSUM_PARTIAL), and a whole TCP super-frame may stand in one datagram. A TAP says so in the vnet header, a socket
 * says nothing (but of UDP super-frames: message-form.ts). So the checksum field is compared with that sum. A finished checksum is the
 * same by chance once in 2^16 packets, and finishing it again then changes nothing.
 *
 * Only packets without IPv6 extension headers and fragments are looked at: for others no kernel leaves anything undone. VLAN tags may
 * stand in front of them.
 */
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as tcp from '../wire/tcp.js';
import * as udp from '../wire/udp.js';
import * as vlan from '../wire/vlan.js';
import * as vnet from '../wire/vnet-header.js';

/** Bits of what `find` returns that hold the offset of the checksum in its header; the offset of the header is above them. */
const FIELD_BITS = 5;
const FIELD_MASK = (1 << FIELD_BITS) - 1;
const NONE = -1;

/** Offset of the transport header whose checksum `find` has found. */
export function headerOffset(found: number): number {
  return found >> FIELD_BITS;
}

/** Offset of the checksum in that header. */
export function fieldOffset(found: number): number {
  return found & FIELD_MASK;
}

/** Where the checksum is in the frame at `at` that nobody has finished; below 0: there is none. */
export function find(view: DataView, at: number, length: number): number {
  const l3At = vlan.payloadAt(view, at, length);
  const room = at + length - l3At;
  const type = view.getUint16(l3At - 2);
  let family = 0;
  let protocol = 0;
  let l4At = 0;
  if (type === ethernet.TYPE_IPV4 && ipv4.check(view, l3At, room)) {
    if ((ipv4.fragmentField(view, l3At) & ~ipv4.DONT_FRAGMENT) !== 0) return NONE;
    if (ipv4.totalLength(view, l3At) !== room) return NONE;
    family = 4;
    protocol = ipv4.protocol(view, l3At);
    l4At = l3At + ipv4.headerBytes(view, l3At);
  } else if (type === ethernet.TYPE_IPV6 && ipv6.check(view, l3At, room)) {
    if (ipv6.payloadLength(view, l3At) !== room - ipv6.HEADER_BYTES) return NONE;
    family = 6;
    protocol = ipv6.nextHeader(view, l3At);
    l4At = l3At + ipv6.HEADER_BYTES;
  } else return NONE;
  const bytes = at + length - l4At;
  const isTcp = protocol === ipv4.PROTOCOL_TCP;
  if (!isTcp && protocol !== ipv4.PROTOCOL_UDP) return NONE;
  if (bytes < (isTcp ? tcp.HEADER_BYTES : udp.HEADER_BYTES)) return NONE;
  const field = isTcp ? tcp.CHECKSUM_OFFSET : udp.CHECKSUM_OFFSET;
  if (view.getUint16(l4At + field) !== checksum.pseudoSum(view, l3At, family, protocol, bytes)) return NONE;
  return ((l4At - at) << FIELD_BITS) | field;
}

/**
 * Writes the vnet header in front of the frame at `at`: what is left to do, or nothing. What is longer than `mtu` (L3 bytes) is then a
 * super-frame; its segments were meant for a network of that MTU. `udpBytes`: data in each segment of what is a UDP super-frame
 * (message-form.ts), else 0. Returns whether something is left to do.
 */
export function writeHeader(view: DataView, at: number, length: number, mtu: number, udpBytes: number): boolean {
  const found = find(view, at, length);
  if (found < 0) {
    vnet.writePlain(view, at - vnet.HEADER_BYTES);
    return false;
  }
  const l4At = at + headerOffset(found);
  const field = fieldOffset(found);
  if (udpBytes > 0) {
    const headerBytes = l4At + udp.HEADER_BYTES - at;
    vnet.writeSuperFrame(view, at - vnet.HEADER_BYTES, vnet.GSO_UDP, headerBytes, udpBytes, l4At - at, field);
    return true;
  }
  const l3At = vlan.payloadAt(view, at, length);
  const isLong = at + length - l3At > mtu;
  if (!isLong || field !== tcp.CHECKSUM_OFFSET || !writeSegmentation(view, at, l3At, l4At, mtu)) {
    vnet.writeSuperFrame(view, at - vnet.HEADER_BYTES, vnet.GSO_NONE, 0, 0, l4At - at, field);
  }
  return true;
}

/** False when the MTU has no room for segments. */
function writeSegmentation(view: DataView, at: number, l3At: number, l4At: number, mtu: number): boolean {
  const payloadAt = l4At + tcp.headerBytes(view, l4At);
  const size = mtu - (payloadAt - l3At);
  if (size <= 0) return false;
  const ecn = (tcp.flags(view, l4At) & tcp.FLAG_CWR) !== 0 ? vnet.GSO_ECN : 0;
  const type = view.getUint16(l3At - 2) === ethernet.TYPE_IPV4 ? vnet.GSO_TCP4 : vnet.GSO_TCP6;
  vnet.writeSuperFrame(view, at - vnet.HEADER_BYTES, type | ecn, payloadAt - at, size, l4At - at, tcp.CHECKSUM_OFFSET);
  return true;
}
