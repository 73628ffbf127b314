/**
 * Reads the IP and transport headers of the frames that the router looks at into columns.
 *
 * Reads: interest etherType l3At start length gsoType. Writes: family protocol fragment l4At source destination sourcePort
 * destinationPort translation egressNetwork. Drops: bad-ip, bad-fragment, bad-offload.
 *
 * Only frames for the router are judged. What merely floods past it (OVERHEARD) or is meant for the host (FOR_HOST) is somebody
 * else's: if it is damaged, its `family` is 0 and the router leaves it alone.
 *
 * RFC 1812 section 5.2.2 (what a router checks), RFC 8200 section 4 (extension headers), RFC 1858 (fragments that hide their
 * transport header).
 */
import {
  COMPLETE,
  drop,
  FIRST_FRAGMENT,
  FOR_ROUTER,
  type FrameVector,
  LATER_FRAGMENT,
  NO_INTEREST,
  WHOLE,
} from '../../frames/frame-vector.js';
import * as words from '../../wire/address-words.js';
import * as checksum from '../../wire/checksum.js';
import * as ethernet from '../../wire/ethernet.js';
import * as icmp from '../../wire/icmp.js';
import * as icmpv6 from '../../wire/icmpv6.js';
import * as ipv4 from '../../wire/ipv4.js';
import * as ipv6 from '../../wire/ipv6.js';
import * as tcp from '../../wire/tcp.js';
import * as udp from '../../wire/udp.js';
import { DROP } from '../drop-reasons.js';

/** What `read...` says of a packet. */
const GOOD = 0;
const BAD = 1;
const BAD_FRAGMENT = 2;
const BAD_OFFLOAD = 3;

export function parseNetworkLayer(frames: FrameVector, view: DataView): void {
  const { count, interest, family, etherType, translation, egressNetwork } = frames;
  for (let i = 0; i < count; i++) {
    if (interest[i] === NO_INTEREST) continue;
    family[i] = 0;
    translation[i] = 0;
    egressNetwork[i] = -1;
    const type = etherType[i]!;
    let state = GOOD;
    if (type === ethernet.TYPE_IPV4) state = readIpv4(frames, i, view);
    else if (type === ethernet.TYPE_IPV6) state = readIpv6(frames, i, view);
    if (state === GOOD && !isOffloadOfTransport(frames, i)) state = BAD_OFFLOAD;
    if (state === GOOD) continue;
    family[i] = 0;
    if (interest[i] !== FOR_ROUTER) continue;
    drop(frames, i, state === BAD ? DROP.badIp : state === BAD_FRAGMENT ? DROP.badFragment : DROP.badOffload);
  }
}

/**
 * Whether a checksum that is left to be finished is the one of the transport header. A device writes it wherever it is told to,
 * when the router is done with the packet: elsewhere it would put back an address or a port of the sender's choice.
 */
function isOffloadOfTransport(frames: FrameVector, i: number): boolean {
  if (frames.checksumStart[i] === COMPLETE || frames.family[i] === 0) return true;
  if (frames.fragment[i] !== WHOLE || frames.start[i]! + frames.checksumStart[i]! !== frames.l4At[i]) return false;
  switch (frames.protocol[i]) {
    case ipv4.PROTOCOL_TCP:
      return frames.checksumOffset[i] === tcp.CHECKSUM_OFFSET;
    case ipv4.PROTOCOL_UDP:
      return frames.checksumOffset[i] === udp.CHECKSUM_OFFSET;
    case ipv6.PROTOCOL_ICMPV6:
      return frames.checksumOffset[i] === icmp.CHECKSUM_OFFSET;
    default:
      return false;
  }
}

function readIpv4(frames: FrameVector, i: number, view: DataView): number {
  const at = frames.l3At[i]!;
  const room = frames.start[i]! + frames.length[i]! - at;
  if (!ipv4.check(view, at, room)) return BAD;
  const headerBytes = ipv4.headerBytes(view, at);
  const bytes = ipv4.totalLength(view, at);
  if (bytes < headerBytes || bytes > room || checksum.sum(view, at, headerBytes, 0) !== 0xffff) return BAD;
  const field = ipv4.fragmentField(view, at);
  const offset = ipv4.fragmentOffset(field);
  const isLast = !ipv4.hasMoreFragments(field);
  frames.family[i] = 4;
  frames.protocol[i] = ipv4.protocol(view, at);
  frames.l4At[i] = at + headerBytes;
  words.read(view, at + 12, 4, frames.source, words.wordsAt(i));
  words.read(view, at + 16, 4, frames.destination, words.wordsAt(i));
  return readTransport(frames, i, view, bytes - headerBytes, offset, isLast);
}

function readIpv6(frames: FrameVector, i: number, view: DataView): number {
  const at = frames.l3At[i]!;
  const room = frames.start[i]! + frames.length[i]! - at;
  if (!ipv6.check(view, at, room)) return BAD;
  const end = at + ipv6.HEADER_BYTES + ipv6.payloadLength(view, at);
  if (end > at + room) return BAD;
  frames.family[i] = 6;
  words.read(view, at + 8, 6, frames.source, words.wordsAt(i));
  words.read(view, at + 24, 6, frames.destination, words.wordsAt(i));
  let next = ipv6.nextHeader(view, at);
  let cursor = at + ipv6.HEADER_BYTES;
  let offset = 0;
  let isLast = true;
  let isFragment = false;
  for (let n = 0; ipv6.isExtension(next); n++) {
    // RFC 8200 section 4.5: what stands behind the fragment header of a later fragment is payload.
    if (n === ipv6.MAX_EXTENSIONS || cursor + 8 > end || offset > 0) break;
    if (next === ipv6.FRAGMENT) {
      if (isFragment) return BAD;
      isFragment = true;
      const field = ipv6.fragmentField(view, cursor);
      offset = ipv6.fragmentOffset(field);
      isLast = !ipv6.hasMoreFragments(field);
    }
    const bytes = ipv6.extensionBytes(view, cursor, next);
    next = view.getUint8(cursor);
    cursor += bytes;
  }
  if (cursor > end) return BAD;
  frames.protocol[i] = next;
  frames.l4At[i] = cursor;
  return readTransport(frames, i, view, end - cursor, offset, isLast);
}

/** `bytes`: from the transport header (or the payload of a later fragment) to the end of the packet. `offset` in bytes. */
function readTransport(
  frames: FrameVector,
  i: number,
  view: DataView,
  bytes: number,
  offset: number,
  isLast: boolean,
): number {
  frames.sourcePort[i] = 0;
  frames.destinationPort[i] = 0;
  const isFragment = offset > 0 || !isLast;
  frames.fragment[i] = offset > 0 ? LATER_FRAGMENT : isLast ? WHOLE : FIRST_FRAGMENT;
  if (isFragment) {
    // RFC 791 section 3.2 and RFC 8200 section 4.5: all but the last are multiples of 8, and a packet ends at 65535.
    if ((!isLast && (bytes & 7) !== 0) || bytes === 0 || offset + bytes > 65535) return BAD_FRAGMENT;
    if (frames.gsoType[i] !== 0) return BAD;
  }
  const protocol = frames.protocol[i]!;
  const needed = transportBytes(protocol, frames.family[i]!);
  if (offset > 0) {
    // RFC 1858 section 3.3: a fragment that begins inside of a transport header is there to overwrite it.
    return offset < needed ? BAD_FRAGMENT : GOOD;
  }
  if (bytes < needed) return isLast ? BAD : BAD_FRAGMENT;
  const at = frames.l4At[i]!;
  if (protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP || protocol === ipv4.PROTOCOL_SCTP) {
    frames.sourcePort[i] = view.getUint16(at);
    frames.destinationPort[i] = view.getUint16(at + 2);
  } else if (isQuery(view, at, protocol, frames.family[i]!)) {
    const identifier = icmp.identifier(view, at);
    frames.sourcePort[i] = identifier;
    frames.destinationPort[i] = identifier;
  }
  return GOOD;
}

/** Bytes that a transport header has at least; 0 for protocols that nobody here looks into. */
function transportBytes(protocol: number, family: number): number {
  switch (protocol) {
    case ipv4.PROTOCOL_TCP:
      return 20;
    case ipv4.PROTOCOL_UDP:
      return 8;
    case ipv4.PROTOCOL_SCTP:
      return 12;
    case ipv4.PROTOCOL_ICMP:
      return family === 4 ? icmp.HEADER_BYTES : 0;
    case ipv6.PROTOCOL_ICMPV6:
      return family === 6 ? icmp.HEADER_BYTES : 0;
    default:
      return 0;
  }
}

function isQuery(view: DataView, at: number, protocol: number, family: number): boolean {
  if (family === 4) return protocol === ipv4.PROTOCOL_ICMP && icmp.isQuery(icmp.type(view, at));
  return protocol === ipv6.PROTOCOL_ICMPV6 && icmpv6.isEcho(icmp.type(view, at));
}
