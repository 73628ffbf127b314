// IPv6 header, RFC 8200 section 3, and the extension headers that may stand between it and the transport (section 4).
//   0                               4               6        7
//  +---+-------+-------------------+---------------+--------+--------+
//  | 6 | class |    flow label     |payload length |  next  |  hops  |
//  +---+-------+-------------------+---------------+--------+--------+
//   8 source (16), 24 destination (16)
import * as words from './address-words.js';

export const HEADER_BYTES = 40;

/** Extension headers with the common length encoding: (byte 1 + 1) * 8. */
export const HOP_BY_HOP = 0;
export const ROUTING = 43;
export const DESTINATION_OPTIONS = 60;
export const MOBILITY = 135;
export const FRAGMENT = 44;
export const FRAGMENT_BYTES = 8;
/** (byte 1 + 2) * 4 bytes (RFC 4302 section 2.2). */
export const AUTHENTICATION = 51;
export const NO_NEXT_HEADER = 59;
export const PROTOCOL_ICMPV6 = 58;
/** More than this many extension headers on a packet are not a stack's doing. */
export const MAX_EXTENSIONS = 8;

export function check(view: DataView, at: number, roomBytes: number): boolean {
  return roomBytes >= HEADER_BYTES && view.getUint8(at) >>> 4 === 6;
}

export function nextHeader(view: DataView, at: number): number {
  return view.getUint8(at + 6);
}

/** Everything behind the fixed header. */
export function payloadLength(view: DataView, at: number): number {
  return view.getUint16(at + 4);
}

export function hopLimit(view: DataView, at: number): number {
  return view.getUint8(at + 7);
}

export function setHopLimit(view: DataView, at: number, value: number): void {
  view.setUint8(at + 7, value);
}

/** Whether a header of this type may stand between the fixed header and the transport. */
export function isExtension(type: number): boolean {
  return (
    type === HOP_BY_HOP ||
    type === ROUTING ||
    type === FRAGMENT ||
    type === DESTINATION_OPTIONS ||
    type === AUTHENTICATION ||
    type === MOBILITY
  );
}

/** Length of the extension header at `at`, of which 2 bytes are there. */
export function extensionBytes(view: DataView, at: number, type: number): number {
  if (type === FRAGMENT) return FRAGMENT_BYTES;
  const units = view.getUint8(at + 1);
  return type === AUTHENTICATION ? (units + 2) << 2 : (units + 1) << 3;
}

/** Offset of the fragment header of a packet that is known to have one. */
export function fragmentHeaderAt(view: DataView, at: number): number {
  let next = nextHeader(view, at);
  let cursor = at + HEADER_BYTES;
  for (let n = 0; next !== FRAGMENT && n < MAX_EXTENSIONS; n++) {
    const bytes = extensionBytes(view, cursor, next);
    next = view.getUint8(cursor);
    cursor += bytes;
  }
  return cursor;
}

/** Flags and offset of the fragment header at `at`, for the two functions below. */
export function fragmentField(view: DataView, at: number): number {
  return view.getUint16(at + 2);
}

/** In bytes. */
export function fragmentOffset(field: number): number {
  return field & 0xfff8;
}

export function hasMoreFragments(field: number): boolean {
  return (field & 1) !== 0;
}

/** Of the fragment header at `at`. */
export function fragmentIdentification(view: DataView, at: number): number {
  return view.getInt32(at + 4);
}

export function setPayloadLength(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + 4, bytes);
}

/**
 * Protocol of the header that begins at `l4At`, or -1 when the chain of extension headers does not lead exactly there
 * within `end` (offset behind the last byte that may be read). A fragment header ends the search: fragments have no
 * transport header to segment.
 */
export function protocolAt(view: DataView, at: number, l4At: number, end: number): number {
  let next = nextHeader(view, at);
  let cursor = at + HEADER_BYTES;
  for (let i = 0; i < MAX_EXTENSIONS; i++) {
    if (cursor === l4At) return next;
    if (next !== HOP_BY_HOP && next !== ROUTING && next !== DESTINATION_OPTIONS) return -1;
    if (cursor + 2 > end) return -1;
    next = view.getUint8(cursor);
    cursor += (view.getUint8(cursor + 1) + 1) << 3;
  }
  return -1;
}

/** The fixed header; addresses are four words each. */
export function write(
  view: DataView,
  at: number,
  payloadBytes: number,
  nextHeader: number,
  hopLimit: number,
  source: Int32Array,
  sourceAt: number,
  destination: Int32Array,
  destinationAt: number,
): void {
  view.setInt32(at, 0x60000000);
  setPayloadLength(view, at, payloadBytes);
  view.setUint8(at + 6, nextHeader);
  setHopLimit(view, at, hopLimit);
  words.write(view, at + 8, 6, source, sourceAt);
  words.write(view, at + 24, 6, destination, destinationAt);
}
