// When a datapath worker is held to hang, and when it is not.
import assert from 'node:assert/strict';
import { WorkerWatch } from '../../src/control/worker/worker-watch.js';

/** Processor time of a process that spins between two looks, and of one that gets next to none. */
const BUSY_MS = 150;
const STARVED_MS = 10;

/** How many looks pass before it says that the worker hangs, at most `limit`. */
function looksUntilHang(watch: WorkerWatch, turns: number, isReady: boolean, limit = 1000, busyMs = BUSY_MS): number {
  for (let look = 1; look <= limit; look++) if (watch.look(turns, isReady, busyMs)) return look;
  return limit;
}

describe('the watch over the datapath worker', () => {
  it('never complains while turns are made, however few', () => {
    const watch = new WorkerWatch();
    for (let turns = 0; turns < 1000; turns++) assert.equal(watch.look(turns, true, BUSY_MS), false);
  });

  it('complains within a second of looks when a worker that ran stands still', () => {
    const watch = new WorkerWatch();
    watch.look(7, true, BUSY_MS);
    assert.equal(looksUntilHang(watch, 7, true), 4);
  });

  it('has more patience with one that is still loading, and begins anew with each', () => {
    const watch = new WorkerWatch();
    watch.look(7, true, BUSY_MS);
    assert.equal(looksUntilHang(watch, 7, false, 50), 50);
    watch.begin();
    assert.equal(looksUntilHang(watch, 7, false), 100);
  });

  it('gives one that has loaded for long as much time for its first turn as for any other', () => {
    const watch = new WorkerWatch();
    assert.equal(looksUntilHang(watch, 0, false, 50), 50);
    assert.equal(watch.look(0, true, BUSY_MS), false);
    assert.equal(looksUntilHang(watch, 0, true), 4);
    watch.begin();
    watch.look(0, false, BUSY_MS);
    assert.equal(looksUntilHang(watch, 0, true), 5);
  });

  it('gives one that stands still without the processor five times as long: others may have it', () => {
    const watch = new WorkerWatch();
    watch.look(7, true, STARVED_MS);
    assert.equal(looksUntilHang(watch, 7, true, 1000, STARVED_MS), 20);
  });

  it('does not hold the past against a worker that was slow', () => {
    const watch = new WorkerWatch();
    for (let i = 0; i < 100; i++) {
      const isMoving = i % 3 === 0;
      assert.equal(watch.look(isMoving ? i : i - (i % 3), true, BUSY_MS), false);
    }
  });
});
