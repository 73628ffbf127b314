// Internet checksum, RFC 1071. Sums are folded 16-bit ones' complement sums in host order, NOT inverted, so that they
// can be added up; `finish` inverts.

/** In a UDP header; that of TCP is 16. */
const UDP_CHECKSUM_OFFSET = 6;

/** Sum of `length` bytes at `at` plus `initial` (a folded sum); an odd last byte is padded with zero (RFC 1071 section 1). */
export function sum(view: DataView, at: number, length: number, initial: number): number {
  let total = initial;
  const even = at + (length & ~1);
  for (let i = at; i < even; i += 2) total += view.getUint16(i);
  if ((length & 1) !== 0) total += view.getUint8(even) << 8;
  return fold(total);
}

/** Folds a sum of up to 2^32 back to 16 bits. */
export function fold(total: number): number {
  total = (total & 0xffff) + (total >>> 16);
  return (total & 0xffff) + (total >>> 16);
}

/** The value for the checksum field. */
export function finish(total: number): number {
  return ~total & 0xffff;
}

/** UDP: a checksum that comes out as zero is sent as all ones, because zero means "none" (RFC 768). */
export function finishUdp(total: number): number {
  return finish(total) || 0xffff;
}

/**
 * For a partial checksum whose protocol only the place of its field tells: `offset` bytes into the header. It is 6 for UDP, where
 * zero means "none"; TCP and ICMPv6 send zero as it is, and readers warn of its other form (RFC 1624).
 */
export function finishPartial(total: number, offset: number): number {
  return offset === UDP_CHECKSUM_OFFSET ? finishUdp(total) : finish(total);
}

/** A complete checksum after a 16-bit word under it changed from `before` to `after` (RFC 1624 equation 3). */
export function update16(checksum: number, before: number, after: number): number {
  return finish(fold((~checksum & 0xffff) + (~before & 0xffff) + after));
}

/** As `update16` for a word of 32 bits, signed or not. */
export function update32(checksum: number, before: number, after: number): number {
  const total = (~checksum & 0xffff) + (~before >>> 16) + (~before & 0xffff) + (after >>> 16) + (after & 0xffff);
  return finish(fold(total));
}

/**
 * Sum of the pseudo-header of the packet at `l3At` (RFC 9293 section 3.1, RFC 8200 section 8.1) for `bytes` of `protocol`. The
 * addresses are read from the packet.
 */
export function pseudoSum(view: DataView, l3At: number, family: number, protocol: number, bytes: number): number {
  const addresses = family === 4 ? sum(view, l3At + 12, 8, 0) : sum(view, l3At + 8, 32, 0);
  return fold(addresses + protocol + bytes);
}
