/**
 * Tabulation hashing (Zobrist 1970; Patrascu and Thorup 2012) for tables whose keys come from strangers.
 *
 * Every byte of three words selects a random word; their exclusive or is the hash. Who does not know the random words cannot
 * find keys that collide, which is not true of multiply-and-xor hashes (lib/hash32.ts): there the keys that collide under
 * every seed can be computed. 12 KiB of table, about 10 ns.
 *
 *   hash(a, b, c, salt) = T0[a.byte0] ^ T1[a.byte1] ^ ... ^ T11[c.byte3] ^ mixed salt
 */
import { halfSipHash } from './half-sip-hash.js';

const TABLES = 12;
const ENTRIES = 256;

export class KeyedHash {
  private readonly words = new Int32Array(TABLES * ENTRIES);

  /** `key0`, `key1`: random integers. `purpose`: makes the functions of several tables with one key independent. */
  constructor(key0: number, key1: number, purpose: number) {
    for (let i = 0; i < this.words.length; i++) this.words[i] = halfSipHash(key0, key1, i, purpose, 0, 0);
  }

  /** A 32-bit integer. `salt`: a part of the key that senders do not choose freely, such as network and protocol. */
  hash(a: number, b: number, c: number, salt: number): number {
    const { words } = this;
    let h = Math.imul(salt, 0x9e3779b1);
    h ^= h >>> 15;
    h ^=
      words[a & 255]! ^ words[256 | ((a >>> 8) & 255)]! ^ words[512 | ((a >>> 16) & 255)]! ^ words[768 | (a >>> 24)]!;
    h ^= words[1024 | (b & 255)]! ^ words[1280 | ((b >>> 8) & 255)]!;
    h ^= words[1536 | ((b >>> 16) & 255)]! ^ words[1792 | (b >>> 24)]!;
    h ^= words[2048 | (c & 255)]! ^ words[2304 | ((c >>> 8) & 255)]!;
    return h ^ words[2560 | ((c >>> 16) & 255)]! ^ words[2816 | (c >>> 24)]!;
  }
}
