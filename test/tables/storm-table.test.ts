// Token buckets per port and kind of traffic, with the clock in the hand of the test.
import { strict as assert } from 'node:assert';
import { STORM_BROADCAST, STORM_MULTICAST, STORM_UNKNOWN, StormTable } from '../../src/tables/storm-table.js';

const PORTS = 8;
const NEVER_TRIED = 1e6;

/** Takes until the bucket is empty. */
function drain(table: StormTable, port: number, kind: number, limit: number, now: number): number {
  let taken = 0;
  while (taken < NEVER_TRIED && table.take(port, kind, limit, now)) taken++;
  return taken;
}

describe('storm table', () => {
  it('lets everything pass when there is no limit', () => {
    const table = new StormTable(PORTS);
    for (let i = 0; i < 10_000; i++) assert.equal(table.take(0, STORM_BROADCAST, 0, 0), true);
  });

  it('starts with a tenth of a second worth of frames, and refills at the rate of the limit', () => {
    const table = new StormTable(PORTS);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1000, 0), 100);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1000, 10), 10);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1000, 11), 1);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1000, 60_000), 100, 'never more than it holds');
  });

  it('holds at least eight frames, so that slow limits let an ARP round pass', () => {
    const table = new StormTable(PORTS);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1, 0), 8);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1, 999), 0);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1, 1000), 1);
  });

  it('passes the limit over a long time, whatever the steps of the clock', () => {
    const table = new StormTable(PORTS);
    let passed = 0;
    for (let now = 0; now < 100_000; now += 7) passed += drain(table, 0, STORM_UNKNOWN, 250, now);
    assert.ok(Math.abs(passed - 100 * 250) <= 26, `${passed} frames in 100 s`);
  });

  it('keeps ports and kinds apart', () => {
    const table = new StormTable(PORTS);
    drain(table, 3, STORM_BROADCAST, 100, 0);
    for (const kind of [STORM_MULTICAST, STORM_UNKNOWN]) assert.equal(table.take(3, kind, 100, 0), true);
    for (const port of [2, 4]) assert.equal(table.take(port, STORM_BROADCAST, 100, 0), true);
    assert.equal(table.take(3, STORM_BROADCAST, 100, 0), false);
  });

  it('fills the buckets of a port that is given to another endpoint, and of no other', () => {
    const table = new StormTable(PORTS);
    for (const port of [1, 2]) drain(table, port, STORM_BROADCAST, 100, 0);
    table.resetPort(1);
    assert.equal(drain(table, 1, STORM_BROADCAST, 100, 0), 10);
    assert.equal(drain(table, 2, STORM_BROADCAST, 100, 0), 0);
  });

  it('goes on when the clock wraps', () => {
    const table = new StormTable(PORTS);
    const late = 0x7fffffff;
    drain(table, 0, STORM_BROADCAST, 1000, late);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1000, (late + 10) | 0), 10);
  });

  it('is full after 25 days of silence, which is more than half of what the clock can tell', () => {
    const table = new StormTable(PORTS);
    drain(table, 0, STORM_BROADCAST, 1000, 0);
    assert.equal(drain(table, 0, STORM_BROADCAST, 1000, (25 * 86_400_000) | 0), 100);
  });
});
