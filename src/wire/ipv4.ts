// IPv4 header, RFC 791 section 3.1: the fields that weft touches.
//   0               2               4               6
//  +---+---+-------+---------------+---------------+---+-----------+
//  | 4 |IHL|  TOS  | total length  |identification |flg| fragment  |
//  +---+---+-------+---------------+---------------+---+-----------+
//   8       9        10              12              16
//  +-------+--------+---------------+---------------+--------------+
//  |  TTL  |protocol|   checksum    |    source     | destination  |
//  +-------+--------+---------------+---------------+--------------+

export const HEADER_BYTES = 20;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

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

export function setTotalLength(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + 2, bytes);
}

export function setIdentification(view: DataView, at: number, id: number): void {
  view.setUint16(at + 4, id);
}

export function setChecksum(view: DataView, at: number, checksum: number): void {
  view.setUint16(at + 10, checksum);
}
