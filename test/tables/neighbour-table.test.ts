// The neighbour table: lookups over hash chains, states with timers, and what happens when it is full.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import {
  FAILED,
  FIXED,
  INCOMPLETE,
  MAX_PER_NETWORK,
  MAX_TIMED,
  MAX_TIMED_PER_NETWORK,
  NeighbourTable,
  PROBING,
  REACHABLE,
} from '../../src/tables/neighbour-table.js';

const at = (a: number, b = 0, c = 0, d = 0): Int32Array => Int32Array.of(a, b, c, d);

describe('NeighbourTable', () => {
  it('keeps networks, families and addresses apart', () => {
    const table = new NeighbourTable(4, 1);
    const rows = [
      table.insert(0, 4, at(7), 0, REACHABLE),
      table.insert(1, 4, at(7), 0, REACHABLE),
      table.insert(0, 6, at(7), 0, REACHABLE),
      table.insert(0, 6, at(7, 0, 0, 1), 0, REACHABLE),
    ];
    assert.equal(new Set(rows).size, 4);
    assert.deepEqual(
      [
        table.find(0, 4, at(7), 0),
        table.find(1, 4, at(7), 0),
        table.find(0, 6, at(7), 0),
        table.find(0, 6, at(7, 0, 0, 1), 0),
      ],
      rows,
    );
    assert.equal(table.find(1, 6, at(7), 0), -1);
    table.remove(rows[0]!);
    assert.deepEqual([table.find(0, 4, at(7), 0), table.count], [-1, 3]);
  });

  it('knows which entries have timers', () => {
    const table = new NeighbourTable(4, 1);
    const timed = () => [...table.timed.subarray(0, table.timedCount)].sort((a, b) => a - b);
    const a = table.insert(0, 4, at(1), 0, INCOMPLETE);
    const b = table.insert(0, 4, at(2), 0, REACHABLE);
    const c = table.insert(0, 4, at(3), 0, FAILED);
    assert.deepEqual(timed(), [a, c].sort());
    table.setState(b, PROBING);
    table.setState(a, REACHABLE);
    assert.deepEqual(timed(), [b, c].sort());
    table.remove(c);
    assert.deepEqual(timed(), [b]);
  });

  it('has only so many entries with timers', () => {
    const table = new NeighbourTable(8, 1);
    const share = MAX_TIMED_PER_NETWORK;
    for (let n = 0; n < share; n++) assert.ok(table.insert(0, 4, at(n), 0, INCOMPLETE) >= 0);
    assert.equal(table.insert(0, 4, at(-1), 0, INCOMPLETE), -1);
    for (let n = share; n < MAX_TIMED; n++) {
      assert.ok(table.insert(Math.floor(n / share), 4, at(n), 0, INCOMPLETE) >= 0, 'other networks have their own');
    }
    assert.equal(table.insert(5, 4, at(-1), 0, INCOMPLETE), -1);
    table.remove(table.find(0, 4, at(0), 0));
    assert.ok(table.insert(0, 4, at(0), 0, INCOMPLETE) >= 0);
    const other = table.insert(0, 4, at(-2), 0, REACHABLE);
    assert.equal(table.setState(other, PROBING), false);
    assert.equal(table.state[other], REACHABLE);
  });

  it('replaces what was confirmed longest ago when a network has its share, and never what the program knows', () => {
    const table = new NeighbourTable(4, 1);
    const fixed = table.insert(0, 4, at(-1), 0, FIXED);
    const other = table.insert(1, 4, at(-1), 0, REACHABLE);
    for (let n = 0; n < MAX_PER_NETWORK; n++) {
      const row = table.insert(0, 4, at(n), 0, REACHABLE);
      table.whenMs[row] = n;
    }
    for (let n = 0; n < 1000; n++) {
      const row = table.insert(0, 4, at(100_000 + n), 0, REACHABLE);
      assert.ok(row >= 0);
      table.whenMs[row] = 100_000 + n;
    }
    assert.equal(table.count, MAX_PER_NETWORK + 2);
    assert.deepEqual([table.find(0, 4, at(-1), 0), table.find(1, 4, at(-1), 0)], [fixed, other]);
    assert.equal(table.find(0, 4, at(0), 0), -1, 'the oldest one is gone');
  });

  it('gives nothing up that is being asked for', () => {
    const table = new NeighbourTable(4, 1);
    for (let n = 0; n < MAX_TIMED_PER_NETWORK; n++) table.insert(0, 4, at(n), 0, INCOMPLETE);
    for (let n = MAX_TIMED_PER_NETWORK; n < MAX_PER_NETWORK; n++) table.insert(0, 4, at(n), 0, FIXED);
    assert.equal(table.count, MAX_PER_NETWORK);
    for (let n = 0; n < MAX_TIMED_PER_NETWORK; n++) assert.ok(table.find(0, 4, at(n), 0) >= 0);
  });

  it('is as good as a Map over random operations (seed 3)', () => {
    const prng = new Prng(3);
    const table = new NeighbourTable(8, 77);
    const model = new Map<string, { row: number; state: number }>();
    for (let n = 0; n < 50_000; n++) {
      const network = prng.below(3);
      const family = prng.below(2) === 0 ? 4 : 6;
      const address = at(prng.below(60), 0, 0, family === 6 ? prng.below(3) : 0);
      const key = `${network} ${family} ${address.join()}`;
      const row = table.find(network, family, address, 0);
      assert.equal(row, model.get(key)?.row ?? -1);
      const state = [FIXED, INCOMPLETE, REACHABLE, PROBING, FAILED][prng.below(5)]!;
      if (row < 0) {
        const made = table.insert(network, family, address, 0, state);
        model.set(key, { row: made, state });
      } else if (prng.below(3) === 0) {
        table.remove(row);
        model.delete(key);
      } else if (table.state[row] !== FIXED && state !== FIXED) {
        table.setState(row, state);
        model.set(key, { row, state });
      }
      const timed = [...model.values()].filter((each) => [INCOMPLETE, PROBING, FAILED].includes(each.state));
      assert.deepEqual([table.count, table.timedCount], [model.size, timed.length]);
      if (n % 1000 !== 0) continue;
      const rows = new Set(table.timed.subarray(0, table.timedCount));
      assert.ok(timed.every((each) => rows.has(each.row)));
    }
  });
});
