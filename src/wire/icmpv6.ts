// ICMPv6, RFC 4443; neighbour discovery, RFC 4861. The header is laid out as that of ICMP (icmp.ts), its checksum covers a
// pseudo-header (RFC 8200 section 8.1).
//
// Neighbour solicitation and advertisement (sections 4.3, 4.4), behind the 8 bytes of the header, whose last 4 are flags:
//   8               24
//  +---------------+---------------------------------------------+
//  | target (16)   | options: type, length in units of 8, ...    |
//  +---------------+---------------------------------------------+
// Heads up: such messages count only with hop limit 255 and code 0 (sections 7.1.1, 7.1.2, 6.1.1).

export const UNREACHABLE = 1;
export const PACKET_TOO_BIG = 2;
export const TIME_EXCEEDED = 3;
export const PARAMETER_PROBLEM = 4;
export const ECHO_REQUEST = 128;
export const ECHO_REPLY = 129;
export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOUR_SOLICITATION = 135;
export const NEIGHBOUR_ADVERTISEMENT = 136;
export const REDIRECT = 137;

/** Codes of UNREACHABLE. */
export const CODE_NO_ROUTE = 0;
export const CODE_PROHIBITED = 1;
export const CODE_BEYOND_SCOPE = 2;
export const CODE_ADDRESS = 3;
export const CODE_PORT = 4;
/** Of PARAMETER_PROBLEM. */
export const CODE_UNKNOWN_NEXT_HEADER = 1;

/** Flags of a neighbour advertisement, in the first byte behind the checksum. */
export const FLAG_ROUTER = 0x80;
export const FLAG_SOLICITED = 0x40;
export const FLAG_OVERRIDE = 0x20;

/** Options, RFC 4861 section 4.6, RFC 8106 section 5.1. */
export const OPTION_SOURCE_LINK = 1;
export const OPTION_TARGET_LINK = 2;
export const OPTION_PREFIX = 3;
export const OPTION_MTU = 5;
export const OPTION_DNS = 25;

/** Solicitation or advertisement without options. */
export const NEIGHBOUR_BYTES = 24;
/** With the link-layer address. */
export const NEIGHBOUR_WITH_LINK_BYTES = 32;
export const TARGET_OFFSET = 8;
export const OPTIONS_OFFSET = 24;
export const SOLICITATION_BYTES = 8;
/** Neighbour discovery is done with this hop limit only, so that nobody off the link can take part. */
export const HOP_LIMIT = 255;

/** Whether a message of this type has an identifier by which sessions are told apart. */
export function isEcho(type: number): boolean {
  return type === ECHO_REQUEST || type === ECHO_REPLY;
}

/** RFC 4443 section 2.1: errors have the high bit clear. */
export function isError(type: number): boolean {
  return type < 128;
}

/** Whether the message is one of neighbour discovery. */
export function isDiscovery(type: number): boolean {
  return type >= ROUTER_SOLICITATION && type <= REDIRECT;
}

export function neighbourFlags(view: DataView, at: number): number {
  return view.getUint8(at + 4);
}

/**
 * Position of the 6-byte link-layer address in the option of this type, or -1 when there is none, or when the options are not
 * what they must be (length 0, past `end`).
 */
export function linkOptionAt(view: DataView, optionsAt: number, end: number, type: number): number {
  let found = -1;
  for (let at = optionsAt; at < end; ) {
    if (at + 8 > end) return -1;
    const bytes = view.getUint8(at + 1) << 3;
    if (bytes === 0 || at + bytes > end) return -1;
    if (view.getUint8(at) === type && found < 0) found = at + 2;
    at += bytes;
  }
  return found;
}

/** Whether the options are well formed up to `end` (RFC 4861 section 7.1.1: none has length zero). */
export function areOptionsValid(view: DataView, optionsAt: number, end: number): boolean {
  let at = optionsAt;
  while (at < end) {
    if (at + 8 > end) return false;
    const bytes = view.getUint8(at + 1) << 3;
    if (bytes === 0) return false;
    at += bytes;
  }
  return at === end;
}

/** Source or target link-layer address option: 8 bytes. */
export function writeLinkOption(view: DataView, at: number, type: number, macHigh: number, macLow: number): void {
  view.setUint8(at, type);
  view.setUint8(at + 1, 1);
  view.setUint16(at + 2, macHigh);
  view.setInt32(at + 4, macLow);
}
