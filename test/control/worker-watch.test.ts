// When a datapath worker is held to hang, and when it is not.
import assert from 'node:assert/strict';
import { WorkerWatch } from '../../src/control/worker/worker-watch.js';

/** How many looks pass before it says that the worker hangs, at most `limit`. */
function looksUntilHang(watch: WorkerWatch, turns: number, isReady: boolean, limit = 1000): number {
  for (let look = 1; look <= limit; look++) if (watch.look(turns, isReady)) return look;
  return limit;
}

describe('the watch over the datapath worker', () => {
  it('never complains while turns are made, however few', () => {
    const watch = new WorkerWatch();
    for (let turns = 0; turns < 1000; turns++) assert.equal(watch.look(turns, true), false);
  });

  it('complains within a second of looks when a worker that ran stands still', () => {
    const watch = new WorkerWatch();
    watch.look(7, true);
    assert.equal(looksUntilHang(watch, 7, true), 4);
  });

  it('has more patience with one that is still loading, and begins anew with each', () => {
    const watch = new WorkerWatch();
    watch.look(7, true);
    assert.equal(looksUntilHang(watch, 7, false, 50), 50);
    watch.begin();
    assert.equal(looksUntilHang(watch, 7, false), 100);
  });

  it('does not hold the past against a worker that was slow', () => {
    const watch = new WorkerWatch();
    for (let i = 0; i < 100; i++) {
      const isMoving = i % 3 === 0;
      assert.equal(watch.look(isMoving ? i : i - (i % 3), true), false);
    }
  });
});
