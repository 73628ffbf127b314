/** Integer mixing for hash tables. Not for security: tables that hostile input can fill are bounded and seeded. */

/** Spreads three 32-bit integers and a seed over 32 bits (the finaliser of MurmurHash3 over an xor-multiply chain). */
export function mix3(a: number, b: number, c: number, seed: number): number {
  let h = seed ^ Math.imul(a, 0xcc9e2d51);
  h = (h << 15) | (h >>> 17);
  h = Math.imul(h ^ Math.imul(b, 0x1b873593), 5) + 0xe6546b64;
  h = (h << 13) | (h >>> 19);
  h ^= Math.imul(c, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
