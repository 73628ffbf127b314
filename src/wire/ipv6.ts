// IPv6 header, RFC 8200 section 3, and the extension headers that may stand between it and the transport (section 4).
//   0                               4               6        7
//  +---+-------+-------------------+---------------+--------+--------+
//  | 6 | class |    flow label     |payload length |  next  |  hops  |
//  +---+-------+-------------------+---------------+--------+--------+
//   8 source (16), 24 destination (16)

export const HEADER_BYTES = 40;

/** Extension headers with the common length encoding: (byte 1 + 1) * 8. */
const HOP_BY_HOP = 0;
const ROUTING = 43;
const DESTINATION_OPTIONS = 60;
/** More than this many extension headers on a super-frame are not a stack's doing. */
const MAX_EXTENSIONS = 8;

export function check(view: DataView, at: number, roomBytes: number): boolean {
  return roomBytes >= HEADER_BYTES && view.getUint8(at) >>> 4 === 6;
}

export function nextHeader(view: DataView, at: number): number {
  return view.getUint8(at + 6);
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
