// Assertions say what weft got wrong.
import { strict as assert } from 'node:assert';
import { unreachable, assert as weftAssert } from '../../src/lib/assert.js';

describe('assert', () => {
  it('throws with its message when the condition is false, and only then', () => {
    weftAssert(true, 'fine');
    assert.throws(() => weftAssert(false, 'the table is sound'), /assertion failed: the table is sound/);
  });

  it('names the value that cannot be', () => {
    assert.throws(() => unreachable('surprise' as never), /unreachable: surprise/);
  });
});
