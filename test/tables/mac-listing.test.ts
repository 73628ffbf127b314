// Operators list the MAC table from another thread while the datapath rewrites it: every row they get was true at some
// moment, and nothing is ever half one station and half another.
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { createMacMemory, listMacs, type MacRow, MacTable } from '../../src/tables/mac-table.js';

const LISTINGS = 600;
/** Where an entry has its version, counted from the low half of its address (the layout in mac-table.ts). */
const VERSION_WORD = 5;
const MIN_ROWS_SEEN = 10_000;

describe('mac table, listed from another thread', function () {
  this.timeout(120_000);

  it('leaves out an entry that is being written at this moment', () => {
    const memory = createMacMemory();
    const table = new MacTable(memory, 4, 4, 1);
    table.learn(0, 0, 0x0200, 1, 1, 0, 10);
    table.learn(0, 0, 0x0200, 2, 2, 0, 10);
    const words = new Int32Array(memory);
    const first = listMacs(memory)[0]!;
    words[words.indexOf(first.macLow) + VERSION_WORD]! += 1;
    assert.deepEqual(
      listMacs(memory).map(({ macLow }) => macLow),
      [1, 2].filter((low) => low !== first.macLow),
    );
  });

  it('shows only rows that belong together while stations come, move, age and go', async () => {
    const memory = createMacMemory();
    const stop = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(new URL('./mac-churn-worker.js', import.meta.url), { workerData: { memory, stop } });
    await once(worker, 'message');
    let seen = 0;
    let isChanging = false;
    let before = '';
    try {
      for (let i = 0; i < LISTINGS; i++) {
        const rows = listMacs(memory);
        seen += rows.length;
        for (const row of rows) if (!isConsistent(row)) assert.fail(`a torn row: ${JSON.stringify(row)}`);
        const now = JSON.stringify(rows.slice(0, 50));
        isChanging ||= i > 0 && now !== before;
        before = now;
      }
    } finally {
      Atomics.store(stop, 0, 1);
    }
    const [churned] = (await once(worker, 'message')) as [number];
    assert.ok(churned > 100_000, `${churned} operations`);
    assert.ok(isChanging, 'the table changed between listings');
    assert.ok(seen > MIN_ROWS_SEEN, `${seen} rows`);
  });
});

/** The worker gives a station a VLAN, network and high half that follow from its low half; only its port is free to move. */
function isConsistent(row: MacRow): boolean {
  const { macLow } = row;
  return (
    row.vlan === macLow % 4095 &&
    row.network === macLow % 7 &&
    row.macHigh === ((macLow * 3) & 0xfeff) &&
    row.isStatic === (macLow % 11 === 0) &&
    row.port % 5 === macLow % 5
  );
}
