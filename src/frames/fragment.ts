/**
 * Fragmentation of IPv4 packets that are larger than the MTU of the network that they leave through and may be cut (RFC 791 section
 * 3.2). Every piece gets a copy of the header; payload stays where it is.
 *
 * A packet that is a fragment itself is cut further: offsets count on, and only the last piece of the last fragment has no more
 * fragments behind it. Options that are not to be copied (their first bit is clear) are in the first piece only.
 */
import * as checksum from '../wire/checksum.js';
import * as ipv4 from '../wire/ipv4.js';
import type { FrameVector } from './frame-vector.js';

/** Options, RFC 791 section 3.1. */
const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_COPIED = 0x80;
const MORE_FRAGMENTS = 0x2000;
const LARGEST_HEADER_BYTES = 60;

/** What one packet is cut into; filled by `planPieces`, one instance per datapath. */
export class PiecePlan {
  headerBytes = 0;
  payloadAt = 0;
  payloadBytes = 0;
  /** Payload of each piece but the last one. */
  pieceBytes = 0;
  count = 0;
}

/** Works out how row `i` is cut into pieces of `pieceBytes[i]` (L3). False when they are too small to hold anything. */
export function planPieces(frames: FrameVector, i: number, view: DataView, plan: PiecePlan): boolean {
  const at = frames.l3At[i]!;
  plan.headerBytes = ipv4.headerBytes(view, at);
  plan.payloadAt = at + plan.headerBytes;
  plan.payloadBytes = ipv4.totalLength(view, at) - plan.headerBytes;
  plan.pieceBytes = (frames.pieceBytes[i]! - plan.headerBytes) & ~7;
  if (plan.pieceBytes <= 0) return false;
  plan.count = Math.ceil(plan.payloadBytes / plan.pieceBytes);
  return true;
}

/** Payload bytes of piece `n`. */
export function payloadBytesOfPiece(plan: PiecePlan, n: number): number {
  return Math.min(plan.pieceBytes, plan.payloadBytes - n * plan.pieceBytes);
}

/**
 * Writes the header of piece `n` to `at` (the caller has made room for 60 bytes), made of the one at `l3At`. Returns its length.
 */
export function writePieceHeader(
  view: DataView,
  bytes: Uint8Array,
  plan: PiecePlan,
  l3At: number,
  n: number,
  at: number,
): number {
  const headerBytes = n === 0 ? copyHeader(bytes, l3At, plan, at) : copyOptions(view, bytes, l3At, plan, at);
  view.setUint8(at, 0x40 | (headerBytes >> 2));
  ipv4.setTotalLength(view, at, headerBytes + payloadBytesOfPiece(plan, n));
  const field = ipv4.fragmentField(view, l3At);
  const more = n < plan.count - 1 ? MORE_FRAGMENTS : field & MORE_FRAGMENTS;
  const offset = ipv4.fragmentOffset(field) + n * plan.pieceBytes;
  ipv4.setFragmentField(view, at, (field & ~(MORE_FRAGMENTS | 0x1fff)) | more | (offset >> 3));
  ipv4.setChecksum(view, at, 0);
  ipv4.setChecksum(view, at, checksum.finish(checksum.sum(view, at, headerBytes, 0)));
  return headerBytes;
}

function copyHeader(bytes: Uint8Array, l3At: number, plan: PiecePlan, at: number): number {
  bytes.copyWithin(at, l3At, l3At + plan.headerBytes);
  return plan.headerBytes;
}

/** The fixed header and the options that every piece has. */
function copyOptions(view: DataView, bytes: Uint8Array, l3At: number, plan: PiecePlan, at: number): number {
  bytes.copyWithin(at, l3At, l3At + ipv4.HEADER_BYTES);
  const end = l3At + plan.headerBytes;
  let to = at + ipv4.HEADER_BYTES;
  for (let from = l3At + ipv4.HEADER_BYTES; from < end; ) {
    const option = view.getUint8(from);
    if (option === OPTION_END) break;
    if (option === OPTION_NOTHING) {
      from++;
      continue;
    }
    const length = from + 1 < end ? view.getUint8(from + 1) : 0;
    // Damaged options are left out with all that follows.
    if (length < 2 || from + length > end) break;
    if ((option & OPTION_COPIED) !== 0) {
      bytes.copyWithin(to, from, from + length);
      to += length;
    }
    from += length;
  }
  while (((to - at) & 3) !== 0 && to - at < LARGEST_HEADER_BYTES) view.setUint8(to++, OPTION_END);
  return to - at;
}
