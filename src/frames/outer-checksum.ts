/**
 * The outer UDP checksum of a super-frame in VXLAN, for those who are shown the frame whole. On its way to or from a kernel the field
 * holds the sum over the pseudo-header (udp_set_csum, net/ipv4/udp.c), which every segment finishes with its own length.
 */
import * as checksum from '../wire/checksum.js';
import * as udp from '../wire/udp.js';

/**
 * Finishes it in the frame whose UDP header is at `udpAt`. Its bytes lie from there to `headEnd` and go on at `bodyAt` (for a frame in one
 * piece the same); the inner checksum is partial, from `innerStart` on, in the field at `innerField`. Once that is finished as well, what
 * it covers adds up to the complement of what its field holds now (Documentation/networking/checksum-offloads.rst, local checksum offload).
 */
export function finishOuterChecksum(
  view: DataView,
  udpAt: number,
  headEnd: number,
  bodyAt: number,
  innerStart: number,
  innerField: number,
): void {
  const head = checksum.sum(view, udpAt, headEnd - udpAt, 0);
  const before = checksum.sum(view, bodyAt, innerStart - bodyAt, head);
  const total = checksum.fold(before + (~view.getUint16(innerField) & 0xffff));
  udp.setChecksum(view, udpAt, checksum.finishUdp(total));
}
