/**
 * Whole Ethernet frames with one UDP datagram, as services of the control thread read and write them: RFC 768 over RFC 791 and
 * RFC 8200. Everything is checked, checksums too; what is fragmented or has IPv6 extension headers is no request to a service.
 *
 * Values are copied out, so a datagram outlives the memory that it was read from.
 *
 * @coldPath services of the control thread
 */
import * as checksum from './checksum.js';
import * as ethernet from './ethernet.js';
import * as ipv4 from './ipv4.js';
import * as ipv6 from './ipv6.js';
import * as udp from './udp.js';

export const MAC_BYTES = 6;
const TTL = 64;

export interface UdpDatagram {
  family: 4 | 6;
  /** Six bytes each. */
  sourceMac: Uint8Array;
  destinationMac: Uint8Array;
  /** 4 or 16 bytes each. */
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  destinationPort: number;
  payload: Uint8Array;
}

/** The datagram in an untagged frame; null when there is none that is sound. */
export function readUdpFrame(frame: Uint8Array): UdpDatagram | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (!ethernet.check(frame.length)) return null;
  const type = ethernet.etherType(view, 0);
  if (type === ethernet.TYPE_IPV4) return readV4(frame, view);
  return type === ethernet.TYPE_IPV6 ? readV6(frame, view) : null;
}

function readV4(frame: Uint8Array, view: DataView): UdpDatagram | null {
  const at = ethernet.HEADER_BYTES;
  if (!ipv4.check(view, at, frame.length - at)) return null;
  const l4At = at + ipv4.headerBytes(view, at);
  const end = at + view.getUint16(at + 2);
  const isFragment = (view.getUint16(at + 6) & 0x3fff) !== 0;
  if (end > frame.length || isFragment || ipv4.protocol(view, at) !== ipv4.PROTOCOL_UDP) return null;
  if (checksum.sum(view, at, l4At - at, 0) !== 0xffff) return null;
  return readUdp(frame, view, l4At, end, 4);
}

function readV6(frame: Uint8Array, view: DataView): UdpDatagram | null {
  const at = ethernet.HEADER_BYTES;
  if (!ipv6.check(view, at, frame.length - at)) return null;
  const l4At = at + ipv6.HEADER_BYTES;
  const end = l4At + view.getUint16(at + 4);
  if (end > frame.length || ipv6.nextHeader(view, at) !== ipv4.PROTOCOL_UDP) return null;
  return readUdp(frame, view, l4At, end, 6);
}

function readUdp(frame: Uint8Array, view: DataView, at: number, packetEnd: number, family: 4 | 6): UdpDatagram | null {
  if (at + udp.HEADER_BYTES > packetEnd) return null;
  const length = view.getUint16(at + 4);
  if (length < udp.HEADER_BYTES || at + length > packetEnd) return null;
  const l3At = ethernet.HEADER_BYTES;
  const addressesAt = l3At + (family === 4 ? 12 : 8);
  const addressBytes = family === 4 ? 4 : 16;
  const hasChecksum = udp.checksum(view, at) !== 0;
  // RFC 8200 section 8.1: IPv6 receivers discard datagrams without one.
  if (!hasChecksum && family === 6) return null;
  if (hasChecksum) {
    const pseudo = checksum.pseudoSum(view, l3At, family, ipv4.PROTOCOL_UDP, length);
    if (checksum.sum(view, at, length, pseudo) !== 0xffff) return null;
  }
  const destinationAt = addressesAt + addressBytes;
  return {
    family,
    destinationMac: frame.slice(0, MAC_BYTES),
    sourceMac: frame.slice(MAC_BYTES, 2 * MAC_BYTES),
    source: frame.slice(addressesAt, destinationAt),
    destination: frame.slice(destinationAt, destinationAt + addressBytes),
    sourcePort: view.getUint16(at),
    destinationPort: view.getUint16(at + 2),
    payload: frame.slice(at + udp.HEADER_BYTES, at + length),
  };
}

/** The frame of a datagram, all checksums complete, without fragments: the caller knows the MTU. */
export function writeUdpFrame(datagram: UdpDatagram): Uint8Array {
  const { family, payload } = datagram;
  const l3At = ethernet.HEADER_BYTES;
  const ipBytes = family === 4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
  const l4At = l3At + ipBytes;
  const udpBytes = udp.HEADER_BYTES + payload.length;
  const frame = new Uint8Array(l4At + udpBytes);
  const view = new DataView(frame.buffer);
  frame.set(datagram.destinationMac, 0);
  frame.set(datagram.sourceMac, MAC_BYTES);
  view.setUint16(12, family === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6);
  const addressesAt = l3At + (family === 4 ? 12 : 8);
  frame.set(datagram.source, addressesAt);
  frame.set(datagram.destination, addressesAt + datagram.source.length);
  if (family === 4) {
    view.setUint8(l3At, 0x45);
    ipv4.setTotalLength(view, l3At, ipBytes + udpBytes);
    // RFC 6864: no fragments come of it, so the identification may be anything.
    view.setUint16(l3At + 6, 0x4000);
    view.setUint8(l3At + 8, TTL);
    view.setUint8(l3At + 9, ipv4.PROTOCOL_UDP);
    ipv4.setChecksum(view, l3At, checksum.finish(checksum.sum(view, l3At, ipBytes, 0)));
  } else {
    view.setUint8(l3At, 0x60);
    ipv6.setPayloadLength(view, l3At, udpBytes);
    view.setUint8(l3At + 6, ipv4.PROTOCOL_UDP);
    view.setUint8(l3At + 7, TTL);
  }
  view.setUint16(l4At, datagram.sourcePort);
  view.setUint16(l4At + 2, datagram.destinationPort);
  udp.setLength(view, l4At, udpBytes);
  frame.set(payload, l4At + udp.HEADER_BYTES);
  const pseudo = checksum.pseudoSum(view, l3At, family, ipv4.PROTOCOL_UDP, udpBytes);
  udp.setChecksum(view, l4At, checksum.finishUdp(checksum.sum(view, l4At, udpBytes, pseudo)));
  return frame;
}
