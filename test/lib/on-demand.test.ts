// What is made when it is first needed.
import { strict as assert } from 'node:assert';
import { onDemand } from '../../src/lib/on-demand.js';

describe('what is made on demand', () => {
  it('is made when it is first asked for, and then stays the same', () => {
    let made = 0;
    const get = onDemand(() => ({ number: ++made }));
    assert.equal(made, 0);
    const first = get();
    assert.equal(get(), first);
    assert.equal(made, 1);
  });

  it('is made once for all who wait for it', async () => {
    let made = 0;
    const get = onDemand(async () => ++made);
    assert.deepEqual(await Promise.all([get(), get()]), [1, 1]);
    assert.equal(await get(), 1);
  });

  it('is tried again after a failure, which each who waited hears of', async () => {
    let tries = 0;
    const get = onDemand(async () => {
      if (++tries === 1) throw new Error('the disk is gone');
      return tries;
    });
    const outcomes = await Promise.allSettled([get(), get()]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ['rejected', 'rejected'],
    );
    assert.equal(await get(), 2);

    let throws = 0;
    const thrown = onDemand(() => {
      if (++throws === 1) throw new Error('not yet');
      return throws;
    });
    assert.throws(thrown, /not yet/);
    assert.equal(thrown(), 2);
  });
});
