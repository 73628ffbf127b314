/**
 * Checks the inner order of a MacTable. It reads private fields, because what it checks are the promises that the header of
 * mac-table.ts makes about them.
 */
import { strict as assert } from 'node:assert';
import { mix3 } from '../../src/lib/hash32.js';
import { listMacs, MAC_CAPACITY, type MacTable } from '../../src/tables/mac-table.js';

interface Internals {
  count: number;
  entries: Int32Array;
  buckets: Int32Array;
  newer: Int32Array;
  older: Int32Array;
  oldestOfPort: Int32Array;
  newestOfPort: Int32Array;
  portEntries: Int32Array;
  networkEntries: Int32Array;
  seed: number;
  free: number;
}

const STRIDE = 8;
const LOW = 0;
const HIGH_VLAN = 1;
const NETWORK = 2;
const PORT = 3;
const SEEN = 4;
const VERSION = 5;
const NEXT = 6;
const STATIC = 7;
const NONE = -1;

/** Throws when an entry is lost, is in two places, or is counted wrongly. */
export function checkMacTable(table: MacTable, memory: SharedArrayBuffer): void {
  const inner = table as unknown as Internals;
  const { entries } = inner;
  const state = new Uint8Array(MAC_CAPACITY);
  const field = (entry: number, word: number): number => entries[entry * STRIDE + word]!;

  let inUse = 0;
  for (let bucket = 0; bucket < inner.buckets.length; bucket++) {
    for (let entry = inner.buckets[bucket]!; entry !== NONE; entry = field(entry, NEXT)) {
      if (state[entry] !== 0) assert.fail(`entry ${entry} is in two chains`);
      state[entry] = 1;
      inUse++;
      const hash = mix3(field(entry, LOW), field(entry, HIGH_VLAN), field(entry, NETWORK), inner.seed);
      if ((hash & (inner.buckets.length - 1)) !== bucket) assert.fail(`entry ${entry} is in the wrong chain`);
      if (field(entry, NETWORK) < 0) assert.fail(`entry ${entry} is in a chain but not in use`);
    }
  }
  assert.equal(inUse, table.count, 'entries in use');
  assert.equal(listMacs(memory).length, table.count, 'entries that other threads see');

  let unused = 0;
  for (let entry = inner.free; entry !== NONE; entry = field(entry, NEXT)) {
    if (state[entry] !== 0) assert.fail(`entry ${entry} is free and in use`);
    state[entry] = 2;
    unused++;
  }
  assert.equal(inUse + unused, MAC_CAPACITY, 'no entry is lost');
  for (let entry = 0; entry < MAC_CAPACITY; entry++) {
    if ((field(entry, VERSION) & 1) !== 0) assert.fail(`entry ${entry} looks as if it were being written`);
  }
  checkPortLists(inner, field, state);
}

/** Learned entries hang in the list of their port, oldest first; static ones in none. */
function checkPortLists(inner: Internals, field: (entry: number, word: number) => number, state: Uint8Array): void {
  const ofNetwork = new Int32Array(inner.networkEntries.length);
  for (let port = 0; port < inner.oldestOfPort.length; port++) {
    let count = 0;
    let previous = NONE;
    for (let entry = inner.oldestOfPort[port]!; entry !== NONE; entry = inner.newer[entry]!) {
      if (state[entry] !== 1) assert.fail(`entry ${entry} of port ${port} is not in use, or in two lists`);
      state[entry] = 3;
      assert.equal(field(entry, PORT), port, 'an entry hangs in the list of its port');
      assert.equal(field(entry, STATIC), 0, 'static entries hang in no list');
      assert.equal(inner.older[entry], previous, 'lists are linked both ways');
      const isInOrder = previous === NONE || ((field(entry, SEEN) - field(previous, SEEN)) | 0) >= 0;
      assert.ok(isInOrder, 'lists are in the order of the last refresh');
      ofNetwork[field(entry, NETWORK)]!++;
      previous = entry;
      count++;
    }
    assert.equal(inner.newestOfPort[port], previous, 'the newest entry ends the list');
    assert.equal(inner.portEntries[port], count, 'entries of a port');
  }
  assert.deepEqual(inner.networkEntries, ofNetwork, 'entries of the networks');
  for (let entry = 0; entry < state.length; entry++) {
    if (state[entry] === 1 && field(entry, STATIC) === 0) assert.fail(`learned entry ${entry} hangs in no list`);
  }
}
