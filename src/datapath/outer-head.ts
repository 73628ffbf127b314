/**
 * The headers in front of VXLAN: Ethernet, IPv4 or IPv6, UDP. Never fragmented (RFC 7348 section 4.3), hop limit 64, the checksum of
 * UDP left to the caller (zero: RFC 7348 section 5, RFC 6935 for IPv6).
 */
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as udp from '../wire/udp.js';
import { VTEP } from './program.js';

const TTL = 64;
const DONT_FRAGMENT = 0x4000;

/** Bytes of the IP header of an outer packet. */
export function outerIpBytes(family: number): number {
  return family === 4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
}

/** From the first byte of the outer frame to the VXLAN header. */
export function outerHeadBytes(family: number): number {
  return ethernet.HEADER_BYTES + outerIpBytes(family) + udp.HEADER_BYTES;
}

/**
 * Writes the head of an outer frame from a VTEP (`vteps` from `vtepAt` on) to an address (four words) for `payload` bytes from the
 * VXLAN header on. `flow` becomes the IPv6 flow label (RFC 6438). Returns where the UDP header is.
 */
export function writeOuterHead(
  view: DataView,
  at: number,
  vteps: Int32Array,
  vtepAt: number,
  to: Int32Array,
  toAt: number,
  trafficClass: number,
  flow: number,
  sourcePort: number,
  payload: number,
): number {
  const family = vteps[vtepAt + VTEP.family]!;
  ethernet.write(
    view,
    at,
    vteps[vtepAt + VTEP.hostMacHigh]!,
    vteps[vtepAt + VTEP.hostMacLow]!,
    vteps[vtepAt + VTEP.ownMacHigh]!,
    vteps[vtepAt + VTEP.ownMacLow]!,
    family === 4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6,
  );
  const l3At = at + ethernet.HEADER_BYTES;
  const udpAt = l3At + outerIpBytes(family);
  const udpBytes = udp.HEADER_BYTES + payload;
  if (family === 4) writeIpv4(view, l3At, udpBytes, trafficClass, vteps[vtepAt + VTEP.address]!, to[toAt]!);
  else {
    ipv6.write(view, l3At, udpBytes, ipv4.PROTOCOL_UDP, TTL, vteps, vtepAt + VTEP.address, to, toAt);
    view.setInt32(l3At, 0x60000000 | (trafficClass << 20) | (flow & 0xfffff));
  }
  view.setUint16(udpAt, sourcePort);
  view.setUint16(udpAt + 2, vteps[vtepAt + VTEP.udpPort]!);
  udp.setLength(view, udpAt, udpBytes);
  udp.setChecksum(view, udpAt, 0);
  return udpAt;
}

/**
 * Makes the outer frame that begins at `at`, with its UDP header at `udpAt`, one of `payload` bytes from the VXLAN header on. The checksum
 * of UDP becomes a partial one: that of the pseudo-header.
 */
export function setOuterPayload(view: DataView, at: number, udpAt: number, payload: number): void {
  const l3At = at + ethernet.HEADER_BYTES;
  const udpBytes = udp.HEADER_BYTES + payload;
  const family = ethernet.etherType(view, at) === ethernet.TYPE_IPV4 ? 4 : 6;
  if (family === 4) {
    const before = ipv4.totalLength(view, l3At);
    const after = udpAt - l3At + udpBytes;
    ipv4.setTotalLength(view, l3At, after);
    ipv4.setChecksum(view, l3At, checksum.update16(ipv4.checksumOf(view, l3At), before, after));
  } else {
    ipv6.setPayloadLength(view, l3At, udpAt - l3At - ipv6.HEADER_BYTES + udpBytes);
  }
  udp.setLength(view, udpAt, udpBytes);
  udp.setChecksum(view, udpAt, checksum.pseudoSum(view, l3At, family, ipv4.PROTOCOL_UDP, udpBytes));
}

/** Not fragmented, so its identification may be anything (RFC 6864 section 4.1). */
function writeIpv4(
  view: DataView,
  at: number,
  udpBytes: number,
  trafficClass: number,
  source: number,
  destination: number,
): void {
  ipv4.write(view, at, ipv4.HEADER_BYTES + udpBytes, 0, TTL, ipv4.PROTOCOL_UDP, source, destination);
  view.setUint8(at + 1, trafficClass);
  ipv4.setFragmentField(view, at, DONT_FRAGMENT);
  ipv4.setChecksum(view, at, 0);
  ipv4.setChecksum(view, at, checksum.finish(checksum.sum(view, at, ipv4.HEADER_BYTES, 0)));
}

/** Sum of the pseudo-header of an outer frame whose head is written. */
export function outerPseudoSum(view: DataView, udpAt: number, family: number, payload: number): number {
  const l3At = udpAt - outerIpBytes(family);
  return checksum.pseudoSum(view, l3At, family, ipv4.PROTOCOL_UDP, udp.HEADER_BYTES + payload);
}
