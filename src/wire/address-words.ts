/**
 * IP addresses as four int32 words in host order, in arrays that hold many of them: an IPv6 address in all four, an IPv4 address
 * in the first with zeros behind it. Every function takes (array, index of the first word).
 */

/** Index of the words of row `row` in a column with four words per row. */
export function wordsAt(row: number): number {
  return row << 2;
}

export function isSame(a: Int32Array, aAt: number, b: Int32Array, bAt: number): boolean {
  return a[aAt] === b[bAt] && a[aAt + 1] === b[bAt + 1] && a[aAt + 2] === b[bAt + 2] && a[aAt + 3] === b[bAt + 3];
}

export function isZero(a: Int32Array, at: number): boolean {
  return (a[at]! | a[at + 1]! | a[at + 2]! | a[at + 3]!) === 0;
}

export function copy(from: Int32Array, fromAt: number, to: Int32Array, toAt: number): void {
  to[toAt] = from[fromAt]!;
  to[toAt + 1] = from[fromAt + 1]!;
  to[toAt + 2] = from[fromAt + 2]!;
  to[toAt + 3] = from[fromAt + 3]!;
}

/** Whether the first `bits` of both are the same; 0..128, for IPv4 0..32. */
export function hasPrefix(a: Int32Array, aAt: number, b: Int32Array, bAt: number, bits: number): boolean {
  let left = bits;
  for (let word = 0; left > 0; word++) {
    const mask = left >= 32 ? -1 : ~(-1 >>> left);
    if (((a[aAt + word]! ^ b[bAt + word]!) & mask) !== 0) return false;
    left -= 32;
  }
  return true;
}

/** Reads the 4 or 16 bytes of an address at `from`. */
export function read(view: DataView, from: number, family: number, to: Int32Array, toAt: number): void {
  to[toAt] = view.getInt32(from);
  if (family === 4) {
    to[toAt + 1] = 0;
    to[toAt + 2] = 0;
    to[toAt + 3] = 0;
    return;
  }
  to[toAt + 1] = view.getInt32(from + 4);
  to[toAt + 2] = view.getInt32(from + 8);
  to[toAt + 3] = view.getInt32(from + 12);
}

/** Writes the 4 or 16 bytes of an address to `to`. */
export function write(view: DataView, to: number, family: number, from: Int32Array, fromAt: number): void {
  view.setInt32(to, from[fromAt]!);
  if (family === 4) return;
  view.setInt32(to + 4, from[fromAt + 1]!);
  view.setInt32(to + 8, from[fromAt + 2]!);
  view.setInt32(to + 12, from[fromAt + 3]!);
}

/** IPv4 224/4, IPv6 ff00::/8. */
export function isMulticast(a: Int32Array, at: number, family: number): boolean {
  return family === 4 ? (a[at]! & 0xf0000000) === (0xe0000000 | 0) : a[at]! >>> 24 === 0xff;
}

/** IPv4 169.254/16 (RFC 3927), IPv6 fe80::/10 (RFC 4291): never routed. */
export function isLinkLocal(a: Int32Array, at: number, family: number): boolean {
  return family === 4 ? a[at]! >>> 16 === 0xa9fe : a[at]! >>> 22 === 0x3fa;
}

/** 127/8 and ::1. */
export function isLoopback(a: Int32Array, at: number, family: number): boolean {
  if (family === 4) return a[at]! >>> 24 === 127;
  return (a[at]! | a[at + 1]! | a[at + 2]!) === 0 && a[at + 3] === 1;
}
