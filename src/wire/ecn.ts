/**
 * Explicit congestion notification (RFC 3168) through tunnels (RFC 6040): the two low bits of the TOS byte or traffic class.
 *
 * On the way in, the outer header gets the bits of the inner one (normal mode, section 4.1). On the way out (section 4.2, figure 4) the
 * two are combined, so that a mark of the path reaches the receiver:
 *
 *                     outer:  Not-ECT    ECT(0)     ECT(1)     CE
 *     inner Not-ECT           Not-ECT    Not-ECT    Not-ECT    drop
 *     inner ECT(0)            ECT(0)     ECT(0)     ECT(1)     CE
 *     inner ECT(1)            ECT(1)     ECT(1)     ECT(1)     CE
 *     inner CE                CE         CE         CE         CE
 */
import * as checksum from './checksum.js';

export const MASK = 3;
export const NOT_ECT = 0;
export const ECT_1 = 1;
export const ECT_0 = 2;
export const CE = 3;

/** In place of bits: the packet has to be dropped. */
export const CONGESTED = -1;

/** The bits that the inner header gets when the outer one is taken off, or CONGESTED. */
export function combine(inner: number, outer: number): number {
  if (outer === CE) return inner === NOT_ECT ? CONGESTED : CE;
  return outer === ECT_1 && inner === ECT_0 ? ECT_1 : inner;
}

/** Bits of the IPv4 or IPv6 header at `at`. */
export function bits(view: DataView, at: number, family: number): number {
  return family === 4 ? view.getUint8(at + 1) & MASK : (view.getUint8(at + 1) >>> 4) & MASK;
}

/** Changes them, and with them the checksum of an IPv4 header. */
export function setBits(view: DataView, at: number, family: number, value: number): void {
  const before = view.getUint16(at);
  if (family === 6) {
    view.setUint16(at, (before & ~(MASK << 4)) | (value << 4));
    return;
  }
  const after = (before & ~MASK) | value;
  view.setUint16(at, after);
  view.setUint16(at + 10, checksum.update16(view.getUint16(at + 10), before, after));
}
