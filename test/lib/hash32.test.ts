// What hash tables need from the mixer: int32 results, that depend on every bit, spread evenly over low bits.
import { strict as assert } from 'node:assert';
import { mix3 } from '../../src/lib/hash32.js';
import { Prng } from '../../src/lib/prng.js';

describe('hash32', () => {
  it('answers with a signed 32-bit integer', () => {
    const prng = new Prng(1);
    for (let i = 0; i < 1000; i++) {
      const hash = mix3(prng.next() | 0, prng.next() | 0, prng.next() | 0, prng.next() | 0);
      assert.equal(hash, hash | 0);
    }
  });

  it('changes about half of its bits when one bit of the input changes', () => {
    const prng = new Prng(2);
    let changed = 0;
    const trials = 4 * 32 * 50;
    for (let trial = 0; trial < trials; trial++) {
      const words = [prng.next() | 0, prng.next() | 0, prng.next() | 0, prng.next() | 0] as const;
      const flipped = words.map((word, i) => (i === trial % 4 ? word ^ (1 << ((trial >> 2) % 32)) : word));
      let difference = mix3(...words) ^ mix3(flipped[0]!, flipped[1]!, flipped[2]!, flipped[3]!);
      for (; difference !== 0; difference &= difference - 1) changed++;
    }
    const average = changed / trials;
    assert.ok(average > 14 && average < 18, `${average} of 32 bits`);
  });

  it('spreads consecutive station addresses over buckets', () => {
    const buckets = new Int32Array(1024);
    for (let n = 0; n < 65536; n++) buckets[mix3(n, 0x0200 << 12, 0, 99) & 1023]!++;
    assert.ok(Math.max(...buckets) < 2 * 64, `longest chain ${Math.max(...buckets)}, mean 64`);
  });
});
