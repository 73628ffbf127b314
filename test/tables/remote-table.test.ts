// The table of remotes: who is known, for how long, and what other threads see of it.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { createRemoteMemory, listRemotes, RemoteTable } from '../../src/tables/remote-table.js';

const address = (n: number, rest: readonly number[] = [0, 0, 0]): Int32Array => Int32Array.of(n, ...rest);
const HOUR = 3_600_000;
const NO_STATIONS = new Int32Array(64);

describe('RemoteTable', () => {
  it('keeps VTEPs, families and addresses apart', () => {
    const table = new RemoteTable(createRemoteMemory(16), 1);
    const rows = [
      table.intern(7, 4, address(1), 0, 0),
      table.intern(8, 4, address(1), 0, 0),
      table.intern(7, 6, address(1), 0, 0),
      table.intern(7, 6, address(1, [0, 0, 1]), 0, 0),
    ];
    assert.equal(new Set(rows).size, 4);
    assert.deepEqual(
      [table.find(7, 4, address(1), 0), table.find(8, 4, address(1), 0), table.find(7, 6, address(1, [0, 0, 1]), 0)],
      [rows[0], rows[1], rows[3]],
    );
    assert.equal(table.find(9, 4, address(1), 0), -1);
    assert.equal(table.intern(7, 4, address(1), 0, 0), rows[0], 'the same row while it is used');
  });

  it('has room for so many, evicts nobody, and says so', () => {
    const table = new RemoteTable(createRemoteMemory(8), 1);
    for (let n = 0; n < 8; n++) assert.ok(table.intern(1, 4, address(n), 0, 0) >= 0);
    assert.equal(table.intern(1, 4, address(8), 0, 0), -1);
    assert.ok(table.intern(1, 4, address(3), 0, 0) >= 0);
    assert.equal(table.count, 8);
  });

  it('keeps a quarter of its rows for those that are spoken of', () => {
    const table = new RemoteTable(createRemoteMemory(8), 1);
    table.pin(table.intern(1, 4, address(100), 0, 0));
    const learned = [0, 1, 2, 3, 4, 5].map((n) => table.learn(1, 4, address(n), 0, 0));
    assert.equal(table.learn(1, 4, address(6), 0, 0), -1);
    assert.equal(table.learn(1, 4, address(5), 0, 0), learned[5], 'who is known stays so');
    table.pin(learned[0]!);
    assert.ok(table.learn(1, 4, address(6), 0, 0) >= 0);
    assert.deepEqual([table.learn(1, 4, address(7), 0, 0), table.count], [-1, 8]);
    table.unpin(learned[0]!);
    table.sweep(8, HOUR, NO_STATIONS, 0);
    assert.equal(table.count, 1);
    for (let n = 10; n < 16; n++) assert.ok(table.learn(1, 4, address(n), 0, HOUR) >= 0);
    assert.equal(table.learn(1, 4, address(16), 0, HOUR), -1);
    assert.ok(table.intern(1, 4, address(16), 0, HOUR) >= 0);
  });

  it('frees who was silent, has no stations and is needed by nobody', () => {
    const memory = createRemoteMemory(8);
    const table = new RemoteTable(memory, 1);
    const stations = new Int32Array(20);
    const [silent, pinned, home, heard] = [1, 2, 3, 4].map((n) => table.intern(1, 4, address(n), 0, 0)) as [
      number,
      number,
      number,
      number,
    ];
    table.pin(pinned);
    stations[10 + home] = 1;
    table.countReceived(heard, 1, 100, HOUR - 1000);
    table.sweep(8, HOUR, stations, 10);
    const known = () => listRemotes(memory).map(({ remote }) => remote);
    assert.deepEqual(known(), [pinned, home, heard]);
    assert.equal(table.find(1, 4, address(1), 0), -1);
    table.unpin(pinned);
    stations[10 + home] = 0;
    table.sweep(8, 2 * HOUR, stations, 10);
    assert.deepEqual([known(), table.count], [[], 0]);
    assert.equal(table.intern(1, 4, address(9), 0, 0) >= 0, true);
    assert.ok(silent >= 0);
  });

  it('tells other threads who there is and what was counted, and starts at zero for the next one', () => {
    const memory = createRemoteMemory(1);
    const table = new RemoteTable(memory, 1);
    const row = table.intern(5, 6, address(1, [2, 3, -4]), 0, 0);
    table.pin(row);
    const seen = { remote: row, vtepKey: 5, family: 6, address: [1, 2, 3, -4] };
    const none = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0 };
    assert.deepEqual(listRemotes(memory), [{ ...seen, isPinned: true, lastHeardMs: null, ...none }]);
    table.countReceived(row, 2, 300, 1234);
    table.countSent(row, 1, 60);
    const counts = { rxFrames: 2, rxBytes: 300, txFrames: 1, txBytes: 60 };
    assert.deepEqual(listRemotes(memory), [{ ...seen, isPinned: true, lastHeardMs: 1234, ...counts }]);
    table.unpin(row);
    table.sweep(1, HOUR, NO_STATIONS, 0);
    assert.equal(table.intern(5, 4, address(1), 0, HOUR), row);
    assert.deepEqual(
      listRemotes(memory).map(({ lastHeardMs, rxFrames, txBytes }) => [lastHeardMs, rxFrames, txBytes]),
      [[null, 0, 0]],
    );
  });

  it('empties the memory of a worker that has died', () => {
    const memory = createRemoteMemory(8);
    new RemoteTable(memory, 1).intern(1, 4, address(1), 0, 0);
    assert.equal(listRemotes(memory).length, 1);
    assert.equal(new RemoteTable(memory, 2).count, 0);
    assert.deepEqual(listRemotes(memory), []);
  });

  it('is as good as a Map over random operations (seed 9)', () => {
    const prng = new Prng(9);
    const memory = createRemoteMemory(32);
    const table = new RemoteTable(memory, 3);
    const model = new Map<string, { row: number; pins: number }>();
    for (let n = 0; n < 20_000; n++) {
      const [key, family, word] = [prng.below(2), prng.below(2) === 0 ? 4 : 6, prng.below(12)] as const;
      const name = `${key} ${family} ${word}`;
      const known = model.get(name);
      assert.equal(table.find(key, family, address(word), 0), known?.row ?? -1);
      const deed = prng.below(4);
      if (deed === 0 && known !== undefined) {
        table.pin(known.row);
        known.pins++;
      } else if (deed === 1 && known !== undefined && known.pins > 0) {
        table.unpin(known.row);
        known.pins--;
      } else if (deed === 2 && prng.below(20) === 0) {
        table.sweep(32, n + HOUR, NO_STATIONS, 0);
        for (const [other, { pins }] of model) if (pins === 0) model.delete(other);
      } else if (known === undefined) {
        const row = table.intern(key, family, address(word), 0, n);
        assert.equal(row >= 0, model.size < 32);
        if (row >= 0) model.set(name, { row, pins: 0 });
      }
      assert.equal(table.count, model.size);
    }
    assert.equal(listRemotes(memory).length, model.size);
  });
});
