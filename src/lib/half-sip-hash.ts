/**
 * HalfSipHash-1-3 (Aumasson, Bernstein 2012; the form that Linux calls hsiphash): a keyed function that nobody can predict
 * who does not know the key. Four words in, one out; about 50 ns.
 *
 * For what senders must not guess or steer: external ports, tables of random words (keyed-hash.ts).
 */

/** Rounds: one per word, one for the length, three to finish. */
const ROUNDS = 8;
/** The last word: the length of the input (16 bytes) in its top byte. */
const LENGTH_WORD = 16 << 24;
const LENGTH_ROUND = 4;

/** Mixes four 32-bit words under the key (two words, any integers). */
export function halfSipHash(key0: number, key1: number, a: number, b: number, c: number, d: number): number {
  let v0 = key0;
  let v1 = key1;
  let v2 = 0x6c796765 ^ key0;
  let v3 = 0x74656462 ^ key1;
  for (let round = 0; round < ROUNDS; round++) {
    const word = wordOfRound(round, a, b, c, d);
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
    if (round === LENGTH_ROUND) v2 ^= 0xff;
  }
  return v1 ^ v3;
}

/** What enters in a round; 0 in the last three, which changes nothing. */
function wordOfRound(round: number, a: number, b: number, c: number, d: number): number {
  if (round < 2) return round === 0 ? a : b;
  if (round < LENGTH_ROUND) return round === 2 ? c : d;
  return round === LENGTH_ROUND ? LENGTH_WORD : 0;
}
