import assert from 'node:assert/strict';
import fc from 'fast-check';
import { RangeSet } from '../../src/model/range-set.js';

const LIMIT = 60;
const range = fc
  .tuple(fc.integer({ min: 0, max: LIMIT }), fc.integer({ min: 0, max: 12 }))
  .map(([first, more]) => [BigInt(first), BigInt(first + more)] as const);
const step = fc.tuple(fc.constantFrom('add' as const, 'remove' as const), range);

describe('model/range-set', () => {
  it('is the same as a set of numbers', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ranges = new RangeSet();
        const plain = new Set<bigint>();
        for (const [action, [first, last]] of steps) {
          ranges[action](first, last);
          for (let value = first; value <= last; value++) {
            if (action === 'add') plain.add(value);
            else plain.delete(value);
          }
          assert.equal(ranges.size, BigInt(plain.size));
          for (let value = 0n; value <= BigInt(LIMIT) + 15n; value++) {
            assert.equal(ranges.has(value), plain.has(value));
            const next = [...plain].filter((each) => each >= value).sort((a, b) => (a < b ? -1 : 1))[0] ?? null;
            assert.equal(ranges.next(value), next);
          }
          const list = ranges.list();
          list.forEach(({ first, last }, index) => {
            assert.ok(first <= last);
            const before = list[index - 1];
            assert.ok(before === undefined || before.last + 1n < first, 'ranges never touch');
          });
        }
      }),
      { numRuns: 60 },
    );
  });
});
