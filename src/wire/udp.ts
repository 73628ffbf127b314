// UDP header, RFC 768. Heads up: on IPv4 a zero checksum means "not computed"; on IPv6 only tunnels may send zero
// (RFC 8200 section 8.1, RFC 6935).
//   0          2          4          6
//  +----------+----------+----------+----------+
//  | src port | dst port |  length  | checksum |
//  +----------+----------+----------+----------+

export const HEADER_BYTES = 8;
export const CHECKSUM_OFFSET = 6;

export function destinationPort(view: DataView, at: number): number {
  return view.getUint16(at + 2);
}

/** Header and payload, as the header says. */
export function length(view: DataView, at: number): number {
  return view.getUint16(at + 4);
}

export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM_OFFSET);
}

/** Header and payload. */
export function setLength(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + 4, bytes);
}

export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM_OFFSET, value);
}
