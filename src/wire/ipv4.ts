// IPv4 header, RFC 791 section 3.1: the fields that weft touches.
//   0               2               4               6
//  +---+---+-------+---------------+---------------+---+-----------+
//  | 4 |IHL|  TOS  | total length  |identification |flg| fragment  |
//  +---+---+-------+---------------+---------------+---+-----------+
//   8       9        10              12              16
//  +-------+--------+---------------+---------------+--------------+
//  |  TTL  |protocol|   checksum    |    source     | destination  |
//  +-------+--------+---------------+---------------+--------------+
import * as checksum from './checksum.js';

export const HEADER_BYTES = 20;
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_DCCP = 33;
export const PROTOCOL_SCTP = 132;
export const PROTOCOL_UDP_LITE = 136;

/** "Don't fragment" in the fragment field. */
export const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;

/** True when a header with its options lies within `roomBytes`. */
export function check(view: DataView, at: number, roomBytes: number): boolean {
  if (roomBytes < HEADER_BYTES) return false;
  const bytes = headerBytes(view, at);
  return view.getUint8(at) >>> 4 === 4 && bytes >= HEADER_BYTES && bytes <= roomBytes;
}

/** Header with options, 20..60 once checked. */
export function headerBytes(view: DataView, at: number): number {
  return (view.getUint8(at) & 0x0f) << 2;
}

export function identification(view: DataView, at: number): number {
  return view.getUint16(at + 4);
}

export function protocol(view: DataView, at: number): number {
  return view.getUint8(at + 9);
}

/** Header and payload. */
export function totalLength(view: DataView, at: number): number {
  return view.getUint16(at + 2);
}

/** Flags and offset, for the three functions below. */
export function fragmentField(view: DataView, at: number): number {
  return view.getUint16(at + 6);
}

/** In bytes. */
export function fragmentOffset(field: number): number {
  return (field & 0x1fff) << 3;
}

export function hasMoreFragments(field: number): boolean {
  return (field & MORE_FRAGMENTS) !== 0;
}

export function mustNotFragment(field: number): boolean {
  return (field & DONT_FRAGMENT) !== 0;
}

export function ttl(view: DataView, at: number): number {
  return view.getUint8(at + 8);
}

export function checksumOf(view: DataView, at: number): number {
  return view.getUint16(at + 10);
}

export function setTtl(view: DataView, at: number, value: number): void {
  view.setUint8(at + 8, value);
}

export function setFragmentField(view: DataView, at: number, field: number): void {
  view.setUint16(at + 6, field);
}

export function setTotalLength(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + 2, bytes);
}

export function setIdentification(view: DataView, at: number, id: number): void {
  view.setUint16(at + 4, id);
}

export function setChecksum(view: DataView, at: number, checksum: number): void {
  view.setUint16(at + 10, checksum);
}

/** A header without options, "don't fragment" unset, its checksum finished. */
export function write(
  view: DataView,
  at: number,
  totalBytes: number,
  identification: number,
  ttl: number,
  protocol: number,
  source: number,
  destination: number,
): void {
  view.setUint16(at, 0x4500);
  setTotalLength(view, at, totalBytes);
  setIdentification(view, at, identification);
  setFragmentField(view, at, 0);
  setTtl(view, at, ttl);
  view.setUint8(at + 9, protocol);
  setChecksum(view, at, 0);
  view.setInt32(at + 12, source);
  view.setInt32(at + 16, destination);
  setChecksum(view, at, checksum.finish(checksum.sum(view, at, HEADER_BYTES, 0)));
}
