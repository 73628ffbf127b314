// ICMP, RFC 792 and RFC 1812 section 4.3 (IPv4), and what ICMPv6 (icmpv6.ts) has in common with it.
//   0       1       2             4
//  +-------+-------+-------------+------------------------------+
//  | type  | code  |  checksum   | rest: identifier, sequence;  |
//  +-------+-------+-------------+ next-hop MTU; pointer ...    |
//  an error carries the beginning of the packet that caused it behind these 8 bytes

export const HEADER_BYTES = 8;
export const CHECKSUM_OFFSET = 2;

export const ECHO_REPLY = 0;
export const UNREACHABLE = 3;
export const SOURCE_QUENCH = 4;
export const REDIRECT = 5;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;
export const TIMESTAMP = 13;
export const TIMESTAMP_REPLY = 14;

/** Codes of UNREACHABLE. */
export const CODE_NETWORK = 0;
export const CODE_HOST = 1;
export const CODE_PROTOCOL = 2;
export const CODE_PORT = 3;
export const CODE_FRAGMENTATION_NEEDED = 4;
/** RFC 1812 section 5.2.7.1. */
export const CODE_PROHIBITED = 13;

export function type(view: DataView, at: number): number {
  return view.getUint8(at);
}

export function code(view: DataView, at: number): number {
  return view.getUint8(at + 1);
}

export function checksumOf(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM_OFFSET);
}

/** Of a query. */
export function identifier(view: DataView, at: number): number {
  return view.getUint16(at + 4);
}

/** Of "fragmentation needed" (RFC 1191 section 4); 0 from routers that are older than that. */
export function nextHopMtu(view: DataView, at: number): number {
  return view.getUint16(at + 6);
}

export function setType(view: DataView, at: number, value: number): void {
  view.setUint8(at, value);
}

export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM_OFFSET, value);
}

/** The eight bytes of the header; `rest` is the second word. The checksum is the caller's. */
export function writeHeader(view: DataView, at: number, type: number, code: number, rest: number): void {
  view.setUint8(at, type);
  view.setUint8(at + 1, code);
  view.setUint16(at + CHECKSUM_OFFSET, 0);
  view.setInt32(at + 4, rest);
}

/** Whether an IPv4 message of this type has an identifier by which a NAT can tell sessions apart (RFC 5508 section 3). */
export function isQuery(type: number): boolean {
  return type === ECHO_REQUEST || type === ECHO_REPLY || type === TIMESTAMP || type === TIMESTAMP_REPLY;
}

/** Whether an IPv4 message of this type is about another packet; such a one is never answered (RFC 1812 section 4.3.2.7). */
export function isError(type: number): boolean {
  return (
    type === UNREACHABLE ||
    type === SOURCE_QUENCH ||
    type === REDIRECT ||
    type === TIME_EXCEEDED ||
    type === PARAMETER_PROBLEM
  );
}
