// The index against a plain Map of arrays: what was put in under a hash is found under it, whatever else shares its bucket.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { HashIndex } from '../../src/tables/hash-index.js';

const CAPACITY = 64;

describe('hash index', () => {
  /** All rows that a search for this hash would look at. */
  function rowsOf(index: HashIndex, hash: number): number[] {
    const rows: number[] = [];
    for (let row = index.first(hash); row >= 0; row = index.next(row, hash)) rows.push(row);
    return rows;
  }

  it('finds nothing in an empty one', () => {
    assert.deepEqual(rowsOf(new HashIndex(CAPACITY), 12345), []);
  });

  it('skips rows of the same bucket whose hash differs in its upper bits', () => {
    const index = new HashIndex(CAPACITY);
    index.insert(0x00200005, 1);
    index.insert(0x7fe00005, 2);
    index.insert(-1 << 21, 3);
    index.insert((-1 << 21) | 5, 63);
    assert.deepEqual(rowsOf(index, 0x00200005), [1]);
    assert.deepEqual(rowsOf(index, 0x7fe00005), [2]);
    assert.deepEqual(rowsOf(index, (-1 << 21) | 5), [63]);
    assert.deepEqual(rowsOf(index, -1 << 21), [3]);
    assert.deepEqual(rowsOf(index, 0x00400005), []);
  });

  it('agrees with a map over random operations', () => {
    const prng = new Prng(9);
    const index = new HashIndex(CAPACITY);
    const hashes = Array.from({ length: 12 }, () => prng.next() | 0);
    const model = new Map<number, number>();
    for (let i = 0; i < 20_000; i++) {
      const row = prng.below(CAPACITY);
      const known = model.get(row);
      if (known === undefined) {
        const hash = hashes[prng.below(hashes.length)]!;
        index.insert(hash, row);
        model.set(row, hash);
      } else {
        index.remove(known, row);
        model.delete(row);
      }
      const hash = hashes[prng.below(hashes.length)]!;
      const expected = [...model].filter(([, of]) => of === hash).map(([of]) => of);
      assert.deepEqual(
        rowsOf(index, hash).sort((a, b) => a - b),
        expected.sort((a, b) => a - b),
      );
    }
  });
});
