// Seeded randomness is only worth something when the same seed gives the same sequence everywhere.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';

describe('prng', () => {
  it('follows xorshift32 with shifts 13, 17 and 5 (Marsaglia 2003)', () => {
    const prng = new Prng(1);
    assert.deepEqual([prng.next(), prng.next(), prng.next()], [270369, 67634689, 2647435461]);
  });

  it('repeats itself for the same seed and differs for another', () => {
    const draw = (seed: number): number[] => {
      const prng = new Prng(seed);
      return Array.from({ length: 100 }, () => prng.next());
    };
    assert.deepEqual(draw(42), draw(42));
    assert.notDeepEqual(draw(42), draw(43));
  });

  it('does not get stuck at zero', () => {
    const prng = new Prng(0);
    assert.notEqual(prng.next(), 0);
    assert.notEqual(prng.next(), prng.next());
  });

  it('stays below its bound and reaches every value', () => {
    const prng = new Prng(7);
    for (const bound of [1, 2, 7, 256]) {
      const seen = new Set(Array.from({ length: 100 * bound }, () => prng.below(bound)));
      assert.equal(seen.size, bound);
      for (const value of seen) assert.ok(Number.isInteger(value) && value >= 0 && value < bound);
    }
    for (let i = 0; i < 1000; i++) assert.ok(prng.below(2 ** 32) < 2 ** 32);
  });
});
