// VXLAN header, RFC 7348 section 5: what stands between UDP and the encapsulated Ethernet frame, which has no FCS.
//   0       1                   4                       7        8
//  +-------+-------------------+-----------------------+--------+---------
//  | flags |     reserved      |          VNI          |reserved| Ethernet frame
//  +-------+-------------------+-----------------------+--------+---------
// Heads up: reserved bits are sent as zero and ignored on receipt; only the I flag is looked at.
import * as ethernet from './ethernet.js';

export const HEADER_BYTES = 8;
/** The IANA port; VTEPs may agree on any other. */
export const DEFAULT_PORT = 4789;
/** Source ports come from here, by the flow of the inner frame (RFC 6335 section 6: dynamic ports). */
export const FIRST_SOURCE_PORT = 49152;
export const SOURCE_PORTS = 16384;
/** The shortest payload of a datagram that holds a frame. */
export const MIN_BYTES = HEADER_BYTES + ethernet.HEADER_BYTES;

/** The VNI is valid. */
const FLAG_VNI = 0x08;
/** Of the first word: all but what the group policy option gives a meaning (flags G, D and A, the group). */
const FIXED_BITS = 0x7fb7_0000;

/** True when the payload of a datagram holds the header and an Ethernet header behind it. */
export function check(payloadBytes: number): boolean {
  return payloadBytes >= MIN_BYTES;
}

/** Whether the I flag is set. */
export function hasVni(view: DataView, at: number): boolean {
  return (view.getUint8(at) & FLAG_VNI) !== 0;
}

/** Whether a VTEP sends such a header: the I flag is set and all reserved bits are zero, but for those of a group policy. */
export function isUsual(view: DataView, at: number): boolean {
  return (view.getInt32(at) & FIXED_BITS) === FLAG_VNI << 24 && view.getUint8(at + 7) === 0;
}

export function vni(view: DataView, at: number): number {
  return view.getInt32(at + 4) >>> 8;
}

export function write(view: DataView, at: number, vni: number): void {
  view.setInt32(at, FLAG_VNI << 24);
  view.setInt32(at + 4, vni << 8);
}
