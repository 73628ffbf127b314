// TCP header, RFC 9293 section 3.1: the fields that segmentation and the NAT touch.
//   0          2          4          8          12    13      14        16         18
//  +----------+----------+----------+----------+-----+-------+---------+----------+----------+
//  | src port | dst port | sequence |   ack    |off  | flags | window  | checksum |  urgent  |
//  +----------+----------+----------+----------+-----+-------+---------+----------+----------+

export const HEADER_BYTES = 20;
export const CHECKSUM_OFFSET = 16;

export const FLAG_FIN = 0x01;
export const FLAG_SYN = 0x02;
export const FLAG_RST = 0x04;
export const FLAG_PUSH = 0x08;
export const FLAG_ACK = 0x10;
/** Congestion was seen, RFC 3168 section 6.1. */
export const FLAG_ECE = 0x40;
/** Congestion window reduced, RFC 3168 section 6.1. */
export const FLAG_CWR = 0x80;

/** Header with options; 20..60 in a valid one. */
export function headerBytes(view: DataView, at: number): number {
  return (view.getUint8(at + 12) >>> 4) << 2;
}

export function sequence(view: DataView, at: number): number {
  return view.getInt32(at + 4);
}

export function flags(view: DataView, at: number): number {
  return view.getUint8(at + 13);
}

export function setSequence(view: DataView, at: number, value: number): void {
  view.setInt32(at + 4, value);
}

export function setFlags(view: DataView, at: number, value: number): void {
  view.setUint8(at + 13, value);
}

export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM_OFFSET);
}

export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM_OFFSET, value);
}
