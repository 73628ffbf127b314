/**
 * Super-frames out of files: a capture of weft (or of any host with offloads) has TCP frames of up to 64 KiB as they crossed the
 * switch. On the way back in they need what a file does not keep: a request to be cut into segments, and the partial checksum
 * that such a request goes with (virtio 1.2 section 5.1.6.2). What is behind it, and how it is cut: frames/segment.ts.
 *
 * Only TCP: of a super-frame of UDP nobody can tell any more where one datagram ended and the next began.
 */
import type { UnfinishedFrame } from '../../ports/inject-ring.js';
import * as checksum from '../../wire/checksum.js';
import * as ethernet from '../../wire/ethernet.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as ipv6 from '../../wire/ipv6.js';
import * as tcp from '../../wire/tcp.js';
import * as vlan from '../../wire/vlan.js';
import * as vnet from '../../wire/vnet-header.js';

/** As many as the datapath looks through (stages/parse.ts). */
const MAX_TAGS = 2;
/** Less payload in a segment than this is no stack's doing: every super-frame would be a flood. */
const MIN_SEGMENT_BYTES = 8;

/** Offset of the L3 header of a frame, -1 when it is no Ethernet frame. */
export function l3OffsetOf(view: DataView): number {
  if (!ethernet.check(view.byteLength)) return -1;
  let at = ethernet.HEADER_BYTES;
  for (let tags = 0; tags < MAX_TAGS && vlan.isTag(view.getUint16(at - 2)); tags++) {
    if (at + vlan.TAG_BYTES > view.byteLength) return at;
    at += vlan.TAG_BYTES;
  }
  return at;
}

/**
 * Turns a whole TCP frame that is longer than `mtu` (L3 bytes) into a super-frame of segments that are not: its checksum becomes
 * a partial one, in place. Returns what its vnet header has to say, or null, and changes nothing, when it is no such frame.
 */
export function makeSuperFrame(view: DataView, l3At: number, mtu: number): UnfinishedFrame | null {
  const end = view.byteLength;
  const type = view.getUint16(l3At - 2);
  const l4At = type === ethernet.TYPE_IPV4 ? tcpOverIpv4At(view, l3At, end) : tcpOverIpv6At(view, l3At, end, type);
  if (l4At < 0 || l4At + tcp.HEADER_BYTES > end) return null;
  const headerBytes = tcp.headerBytes(view, l4At);
  const payloadAt = l4At + headerBytes;
  const gsoSize = mtu - (payloadAt - l3At);
  if (headerBytes < tcp.HEADER_BYTES || payloadAt >= end || gsoSize < MIN_SEGMENT_BYTES) return null;
  const isIpv4 = type === ethernet.TYPE_IPV4;
  const addressBytes = isIpv4 ? 8 : 32;
  const addressesAt = isIpv4 ? l3At + 12 : l3At + 8;
  // RFC 9293 section 3.1 and RFC 8200 section 8.1: addresses, protocol and the length of all of it.
  const partial = checksum.sum(view, addressesAt, addressBytes, ipv4.PROTOCOL_TCP + (end - l4At));
  tcp.setChecksum(view, l4At, partial);
  const ecn = (tcp.flags(view, l4At) & tcp.FLAG_CWR) === 0 ? 0 : vnet.GSO_ECN;
  return {
    gsoType: (isIpv4 ? vnet.GSO_TCP4 : vnet.GSO_TCP6) | ecn,
    gsoSize,
    headerBytes: payloadAt,
    checksumStart: l4At,
    checksumOffset: tcp.CHECKSUM_OFFSET,
  };
}

/** Offset of the TCP header, or -1. The lengths must be those of the frame: a padded or cut packet is none to segment. */
function tcpOverIpv4At(view: DataView, at: number, end: number): number {
  if (!ipv4.check(view, at, end - at) || ipv4.protocol(view, at) !== ipv4.PROTOCOL_TCP) return -1;
  // RFC 791 section 3.1: offset and "more fragments" are zero in a packet that is whole.
  if (view.getUint16(at + 2) !== end - at || (view.getUint16(at + 6) & 0x3fff) !== 0) return -1;
  return at + ipv4.headerBytes(view, at);
}

/** Only directly behind the IPv6 header: stacks send no super-frames with anything between. */
function tcpOverIpv6At(view: DataView, at: number, end: number, type: number): number {
  if (type !== ethernet.TYPE_IPV6 || !ipv6.check(view, at, end - at)) return -1;
  const l4At = at + ipv6.HEADER_BYTES;
  if (ipv6.nextHeader(view, at) !== ipv4.PROTOCOL_TCP || view.getUint16(at + 4) !== end - l4At) return -1;
  return l4At;
}
