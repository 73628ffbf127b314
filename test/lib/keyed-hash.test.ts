// The keyed functions: the vector that Linux tests its hsiphash with, and hashes that nobody can aim without the key.
import { strict as assert } from 'node:assert';
import { halfSipHash } from '../../src/lib/half-sip-hash.js';
import { mix3 } from '../../src/lib/hash32.js';
import { KeyedHash } from '../../src/lib/keyed-hash.js';

describe('half sip hash', () => {
  it('agrees with the vector of Linux (lib/tests/siphash_kunit.c, 16 bytes)', () => {
    const hash = halfSipHash(0x03020100, 0x07060504, 0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);
    assert.equal(hash >>> 0, 0x8b31d501);
  });
});

/** Inverse of an odd number modulo 2^32. */
function inverse(odd: number): number {
  let x = odd;
  for (let i = 0; i < 5; i++) x = Math.imul(x, 2 - Math.imul(odd, x));
  return x;
}

describe('keyed hash', () => {
  it('spreads neighbours evenly', () => {
    const keyed = new KeyedHash(1, 2, 3);
    const buckets = new Int32Array(1024);
    for (let i = 0; i < 65536; i++) buckets[keyed.hash(0x0a000000 + (i >> 8), i & 255, 443, 6) & 1023]!++;
    assert.ok(Math.max(...buckets) < 110, `64 expected, ${Math.max(...buckets)} found`);
    assert.ok(Math.min(...buckets) > 25);
  });

  it('is another function with another key or purpose', () => {
    const input = [0x0a000001, 0x08080808, 0x12345678, 42] as const;
    const hashes = [new KeyedHash(1, 2, 3), new KeyedHash(1, 3, 3), new KeyedHash(2, 2, 3), new KeyedHash(1, 2, 4)];
    assert.equal(new Set(hashes.map((keyed) => keyed.hash(...input))).size, 4);
    assert.equal(hashes[0]!.hash(...input), new KeyedHash(1, 2, 3).hash(...input));
  });

  it('has no collisions that are known beforehand, as a multiply-and-xor hash has', () => {
    const keyed = new KeyedHash(5, 6, 7);
    const seen = new Set<number>();
    const mixed = new Set<number>();
    for (let a = 0; a < 1000; a++) {
      // Chosen so that the first two words cancel in mix3, whatever the seed.
      const x = Math.imul(a, 0xcc9e2d51);
      const b = Math.imul((x << 15) | (x >>> 17), inverse(0x1b873593));
      mixed.add(mix3(a, b, 0, 0x5eed));
      seen.add(keyed.hash(a, b, 0, 0));
    }
    assert.equal(mixed.size, 1, 'mix3 has them');
    assert.ok(seen.size > 998);
  });
});
