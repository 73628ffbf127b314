/**
 * The packet inside of an ICMP error: the beginning of the one that caused it, as the sender of the error saw it. A NAT has to
 * find the flow by it, and to put back what the flow looked like where the error goes (RFC 5508 REQ-4, REQ-5).
 *
 * `readEmbedded` reads one; stages change its addresses and ports and keep the result by row (`EmbeddedColumns`), and the rewriting
 * stage writes it (`writeEmbedded`), so that a frame that is held in between is still as it came.
 *
 * Heads up: only the first 8 bytes of the transport header are sure to be there (RFC 792), and nothing behind them is
 * looked at: RFC 5508 REQ-3 forbids to check the transport checksum, which need not even be in the frame. ICMP extensions (RFC 4884)
 * stand behind the packet and stay as they are.
 */
import * as words from '../wire/address-words.js';
import * as checksum from '../wire/checksum.js';
import * as icmp from '../wire/icmp.js';
import * as icmpv6 from '../wire/icmpv6.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as tcp from '../wire/tcp.js';
import * as udp from '../wire/udp.js';
import { COMPLETE, type FrameVector } from './frame-vector.js';
import { ARRIVAL_ROWS } from './slab.js';

/** Bytes of a transport header that a NAT needs: ports, or type and identifier. */
const NEEDED_BYTES = 8;

export class EmbeddedColumns {
  /** 1: the embedded packet is to be written. Whoever begins with the rows of a turn sets all of them to 0. */
  readonly isChanged = new Uint8Array(ARRIVAL_ROWS);
  readonly protocol = new Uint8Array(ARRIVAL_ROWS);
  /** Offsets in the slab of the embedded IP header and of its transport header, and of the end of the frame's data. */
  readonly l3At = new Int32Array(ARRIVAL_ROWS);
  readonly l4At = new Int32Array(ARRIVAL_ROWS);
  readonly end = new Int32Array(ARRIVAL_ROWS);
  /** Four words per row, as in the frame vector. */
  readonly source = new Int32Array(ARRIVAL_ROWS * 4);
  readonly destination = new Int32Array(ARRIVAL_ROWS * 4);
  readonly sourcePort = new Int32Array(ARRIVAL_ROWS);
  readonly destinationPort = new Int32Array(ARRIVAL_ROWS);
}

/** Whether the row is an ICMP error about another packet. Reads the columns of the network layer. */
export function isIcmpError(frames: FrameVector, view: DataView, row: number): boolean {
  const at = frames.l4At[row]!;
  if (frames.family[row] === 4) {
    return frames.protocol[row] === ipv4.PROTOCOL_ICMP && icmp.isError(icmp.type(view, at));
  }
  return frames.protocol[row] === ipv6.PROTOCOL_ICMPV6 && icmpv6.isError(icmp.type(view, at));
}

/**
 * Reads the packet inside of the error of row `row`. False when it is damaged (its own checksum or that of the embedded header, RFC
 * 5508 REQ-3) or does not reach to the ports.
 */
export function readEmbedded(frames: FrameVector, view: DataView, row: number, embedded: EmbeddedColumns): boolean {
  const family = frames.family[row]!;
  const l4At = frames.l4At[row]!;
  const end = endOfPacket(frames, view, row);
  const l3At = l4At + icmp.HEADER_BYTES;
  embedded.isChanged[row] = 0;
  embedded.l3At[row] = l3At;
  embedded.end[row] = end;
  if (!isIcmpSound(frames, view, row)) return false;
  return family === 4 ? readIpv4(view, row, embedded) : readIpv6(view, row, embedded);
}

/** Whether the checksum of the ICMP message of a whole packet, as it came in, is right or still to be finished. */
export function isIcmpSound(frames: FrameVector, view: DataView, row: number): boolean {
  if (frames.checksumStart[row] !== COMPLETE) return true;
  const l4At = frames.l4At[row]!;
  const bytes = endOfPacket(frames, view, row) - l4At;
  // RFC 792: ICMP of IPv4 has no pseudo-header.
  const isIpv6 = frames.family[row] === 6;
  const pseudo = isIpv6 ? checksum.pseudoSum(view, frames.l3At[row]!, 6, ipv6.PROTOCOL_ICMPV6, bytes) : 0;
  return checksum.sum(view, l4At, bytes, pseudo) === 0xffff;
}

/** Behind the last byte of the IP packet; the frame may be padded. */
function endOfPacket(frames: FrameVector, view: DataView, row: number): number {
  const at = frames.l3At[row]!;
  if (frames.family[row] === 4) return at + ipv4.totalLength(view, at);
  return at + ipv6.HEADER_BYTES + ipv6.payloadLength(view, at);
}

function readIpv4(view: DataView, row: number, embedded: EmbeddedColumns): boolean {
  const at = embedded.l3At[row]!;
  if (!ipv4.check(view, at, embedded.end[row]! - at)) return false;
  const bytes = ipv4.headerBytes(view, at);
  if (checksum.sum(view, at, bytes, 0) !== 0xffff) return false;
  // A later fragment has no ports; nothing says which flow it belonged to.
  if (ipv4.fragmentOffset(ipv4.fragmentField(view, at)) !== 0) return false;
  embedded.protocol[row] = ipv4.protocol(view, at);
  embedded.l4At[row] = at + bytes;
  words.read(view, at + 12, 4, embedded.source, words.wordsAt(row));
  words.read(view, at + 16, 4, embedded.destination, words.wordsAt(row));
  return readPorts(view, row, embedded, ipv4.PROTOCOL_ICMP);
}

function readIpv6(view: DataView, row: number, embedded: EmbeddedColumns): boolean {
  const at = embedded.l3At[row]!;
  const end = embedded.end[row]!;
  if (!ipv6.check(view, at, end - at)) return false;
  words.read(view, at + 8, 6, embedded.source, words.wordsAt(row));
  words.read(view, at + 24, 6, embedded.destination, words.wordsAt(row));
  let next = ipv6.nextHeader(view, at);
  let cursor = at + ipv6.HEADER_BYTES;
  for (let n = 0; ipv6.isExtension(next); n++) {
    if (n === ipv6.MAX_EXTENSIONS || cursor + 8 > end) return false;
    if (next === ipv6.FRAGMENT && ipv6.fragmentOffset(ipv6.fragmentField(view, cursor)) !== 0) return false;
    const bytes = ipv6.extensionBytes(view, cursor, next);
    next = view.getUint8(cursor);
    cursor += bytes;
  }
  embedded.protocol[row] = next;
  embedded.l4At[row] = cursor;
  return readPorts(view, row, embedded, ipv6.PROTOCOL_ICMPV6);
}

/** Ports as the columns of the frame vector have them: of an ICMP query both are its identifier. */
function readPorts(view: DataView, row: number, embedded: EmbeddedColumns, icmpProtocol: number): boolean {
  const at = embedded.l4At[row]!;
  const protocol = embedded.protocol[row]!;
  embedded.sourcePort[row] = 0;
  embedded.destinationPort[row] = 0;
  if (at + NEEDED_BYTES > embedded.end[row]!) return false;
  if (protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP || protocol === ipv4.PROTOCOL_SCTP) {
    embedded.sourcePort[row] = view.getUint16(at);
    embedded.destinationPort[row] = view.getUint16(at + 2);
  } else if (protocol === icmpProtocol) {
    const type = icmp.type(view, at);
    // RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e): there are no errors about errors.
    const isQuery = icmpProtocol === ipv4.PROTOCOL_ICMP ? icmp.isQuery(type) : icmpv6.isEcho(type);
    if (!isQuery) return false;
    embedded.sourcePort[row] = icmp.identifier(view, at);
    embedded.destinationPort[row] = embedded.sourcePort[row]!;
  }
  return true;
}

/**
 * Makes the bytes of the embedded packet agree with its columns, and the checksum of the ICMP message around it with the bytes. The
 * addresses of the outer header are not its business. No-op for a row whose embedded packet did not change.
 */
export function writeEmbedded(frames: FrameVector, view: DataView, row: number, embedded: EmbeddedColumns): void {
  if (embedded.isChanged[row] === 0) return;
  embedded.isChanged[row] = 0;
  const messageAt = frames.l4At[row]!;
  const before = changeable(view, row, embedded, frames.family[row]!);
  if (frames.family[row] === 4) writeIpv4(view, row, embedded);
  else writeIpv6(view, row, embedded);
  if (frames.checksumStart[row] !== COMPLETE) return;
  const after = changeable(view, row, embedded, frames.family[row]!);
  icmp.setChecksum(view, messageAt, checksum.update16(icmp.checksumOf(view, messageAt), before, after));
}

/** Sum of all that `writeEmbedded` may change: the headers, as far as they are in the frame. They begin at an even offset of the message. */
function changeable(view: DataView, row: number, embedded: EmbeddedColumns, family: number): number {
  const at = embedded.l3At[row]!;
  const most = family === 4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
  const l4At = embedded.l4At[row]!;
  const l4Bytes = Math.min(tcp.HEADER_BYTES, embedded.end[row]! - l4At) & ~1;
  return checksum.sum(view, l4At, l4Bytes, checksum.sum(view, at, most, 0));
}

function writeIpv4(view: DataView, row: number, embedded: EmbeddedColumns): void {
  const at = embedded.l3At[row]!;
  const word = words.wordsAt(row);
  const source = view.getInt32(at + 12);
  const destination = view.getInt32(at + 16);
  const newSource = embedded.source[word]!;
  const newDestination = embedded.destination[word]!;
  let sum = checksum.update32(ipv4.checksumOf(view, at), source, newSource);
  sum = checksum.update32(sum, destination, newDestination);
  ipv4.setChecksum(view, at, sum);
  view.setInt32(at + 12, newSource);
  view.setInt32(at + 16, newDestination);
  const before = sumOf32(source, destination);
  writeTransport(view, row, embedded, before, sumOf32(newSource, newDestination), ipv4.PROTOCOL_ICMP);
}

function writeIpv6(view: DataView, row: number, embedded: EmbeddedColumns): void {
  const at = embedded.l3At[row]!;
  const word = words.wordsAt(row);
  const before = checksum.sum(view, at + 8, 32, 0);
  words.write(view, at + 8, 6, embedded.source, word);
  words.write(view, at + 24, 6, embedded.destination, word);
  const after = checksum.sum(view, at + 8, 32, 0);
  writeTransport(view, row, embedded, before, after, ipv6.PROTOCOL_ICMPV6);
}

/** Ports or identifier, and the transport checksum where it is in the frame. `before` and `after`: folded sums of the addresses. */
function writeTransport(
  view: DataView,
  row: number,
  embedded: EmbeddedColumns,
  before: number,
  after: number,
  icmpProtocol: number,
): void {
  const at = embedded.l4At[row]!;
  const protocol = embedded.protocol[row]!;
  const sourcePort = embedded.sourcePort[row]!;
  const destinationPort = embedded.destinationPort[row]!;
  if (protocol === icmpProtocol) {
    const identifier = icmp.identifier(view, at);
    const next = sourcePort !== identifier ? sourcePort : destinationPort;
    view.setUint16(at + 4, next);
    let sum = checksum.update16(icmp.checksumOf(view, at), identifier, next);
    // The checksum of ICMPv6 covers the addresses, that of ICMP does not.
    if (icmpProtocol === ipv6.PROTOCOL_ICMPV6) sum = checksum.update16(sum, before, after);
    icmp.setChecksum(view, at, sum);
    return;
  }
  if (protocol !== ipv4.PROTOCOL_TCP && protocol !== ipv4.PROTOCOL_UDP) return;
  const portsBefore = checksum.sum(view, at, 4, before);
  view.setUint16(at, sourcePort);
  view.setUint16(at + 2, destinationPort);
  const portsAfter = checksum.sum(view, at, 4, after);
  if (protocol === ipv4.PROTOCOL_UDP) {
    const sum = udp.checksum(view, at);
    if (sum !== 0) udp.setChecksum(view, at, checksum.update16(sum, portsBefore, portsAfter) || 0xffff);
  } else if (at + tcp.HEADER_BYTES <= embedded.end[row]!) {
    tcp.setChecksum(view, at, checksum.update16(tcp.checksum(view, at), portsBefore, portsAfter));
  }
}

function sumOf32(a: number, b: number): number {
  return checksum.fold((a >>> 16) + (a & 0xffff) + (b >>> 16) + (b & 0xffff));
}
