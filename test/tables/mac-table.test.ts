// Examples of what the MAC table promises: learning, ageing, moves, limits, fairness, static entries.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { createMacMemory, listMacs, MAC_CAPACITY, MacTable } from '../../src/tables/mac-table.js';
import { checkMacTable } from '../support/mac-table-check.js';

const PORTS = 64;
const NETWORKS = 8;
const AGEING_MS = 300_000;
const NO_LIMIT = MAC_CAPACITY;
const HIGH = 0x0200;
const BLUE = 0;
const RED = 1;

describe('mac table', () => {
  let memory: SharedArrayBuffer;
  let table: MacTable;

  beforeEach(() => {
    memory = createMacMemory();
    table = new MacTable(memory, PORTS, NETWORKS, 0x5eed);
  });

  afterEach(() => checkMacTable(table, memory));

  const learn = (low: number, port: number, now = 0, { network = BLUE, vlan = 0, limit = NO_LIMIT } = {}): void =>
    table.learn(network, vlan, HIGH, low, port, now, limit);
  const find = (low: number, now = 0, { network = BLUE, vlan = 0 } = {}): number =>
    table.find(network, vlan, HIGH, low, now, AGEING_MS);

  it('does not know a station it never heard', () => {
    assert.equal(find(1), -1);
    assert.equal(table.count, 0);
  });

  it('knows a station on the port where it was heard', () => {
    learn(1, 5);
    assert.equal(find(1), 5);
    assert.equal(table.count, 1);
    assert.equal(table.entriesOfPort(5), 1);
  });

  it('keeps networks, VLANs and all 48 bits apart', () => {
    learn(1, 5, 0, { network: BLUE, vlan: 0 });
    learn(1, 6, 0, { network: RED, vlan: 0 });
    learn(1, 7, 0, { network: BLUE, vlan: 4095 });
    table.learn(BLUE, 0, 0xfeff, 1, 8, 0, NO_LIMIT);
    assert.equal(find(1), 5);
    assert.equal(find(1, 0, { network: RED }), 6);
    assert.equal(find(1, 0, { vlan: 4095 }), 7);
    assert.equal(find(1, 0, { vlan: 1 }), -1);
    assert.equal(table.find(BLUE, 0, 0xfeff, 1, 0, AGEING_MS), 8);
    assert.equal(table.count, 4);
  });

  it('follows a station that moves to another port', () => {
    learn(1, 5);
    learn(1, 6, 10);
    assert.equal(find(1, 10), 6);
    assert.equal(table.moves, 1);
    assert.deepEqual([table.count, table.entriesOfPort(5), table.entriesOfPort(6)], [1, 0, 1]);
  });

  it('forgets a station that was silent for the ageing time, to the millisecond', () => {
    learn(1, 5, 1000);
    assert.equal(find(1, 1000 + AGEING_MS - 1), 5);
    assert.equal(find(1, 1000 + AGEING_MS), -1);
  });

  it('keeps a station that goes on talking', () => {
    for (let now = 0; now < 4 * AGEING_MS; now += AGEING_MS / 2) learn(1, 5, now);
    assert.equal(find(1, 4 * AGEING_MS - 1), 5);
  });

  it('ages right across the wrap of the clock', () => {
    const late = 0x7fffffff - 1000;
    learn(1, 5, late);
    assert.equal(find(1, (late + AGEING_MS - 1) | 0), 5);
    assert.equal(find(1, (late + AGEING_MS) | 0), -1);
  });

  it('reclaims aged entries while it sweeps, by the ageing time of each network', () => {
    learn(1, 5, 0, { network: BLUE });
    learn(2, 6, 0, { network: RED });
    const ageing = Int32Array.from([AGEING_MS, 10_000]);
    table.sweep(MAC_CAPACITY, 10_000, ageing);
    assert.equal(table.count, 1);
    assert.equal(find(1, 10_000), 5);
    table.sweep(MAC_CAPACITY, AGEING_MS, ageing);
    assert.equal(table.count, 0);
  });

  it('sweeps everything once in as many steps as it has entries, from wherever it stands', () => {
    for (let i = 0; i < 1000; i++) learn(i, 5);
    const ageing = Int32Array.from([AGEING_MS]);
    table.sweep(MAC_CAPACITY / 2 + 17, 0, ageing);
    table.sweep(MAC_CAPACITY, AGEING_MS, ageing);
    assert.equal(table.count, 0);
  });

  it('reclaims entries of networks that are gone', () => {
    learn(1, 5, 0, { network: RED });
    table.sweep(MAC_CAPACITY, 0, Int32Array.from([AGEING_MS]));
    assert.equal(table.count, 0);
  });

  it('forgets what was learned on a port that is removed, and nothing else', () => {
    for (let i = 0; i < 100; i++) learn(i, i % 2 === 0 ? 5 : 6);
    table.removePort(5);
    for (let i = 0; i < 100; i++) assert.equal(find(i), i % 2 === 0 ? -1 : 6);
    assert.equal(table.count, 50);
  });

  it('flushes one network, or all', () => {
    learn(1, 5, 0, { network: BLUE });
    learn(2, 6, 0, { network: RED });
    table.insertStatic(BLUE, 0, HIGH, 3, 7, 0);
    table.flush(BLUE);
    assert.deepEqual([find(1), find(2, 0, { network: RED }), find(3)], [-1, 6, 7]);
    learn(1, 5);
    table.flush(-1);
    assert.deepEqual([find(1), find(2, 0, { network: RED }), find(3)], [-1, -1, 7]);
  });

  it('lists what it knows', () => {
    table.learn(RED, 4094, 0xfeff, -2, 9, 777, NO_LIMIT);
    table.insertStatic(BLUE, 0, HIGH, 3, 7, 888);
    const rows = listMacs(memory).sort((a, b) => a.network - b.network);
    assert.deepEqual(rows, [
      { network: BLUE, vlan: 0, macHigh: HIGH, macLow: 3, port: 7, isStatic: true, origin: 1, lastSeenMs: 888 },
      { network: RED, vlan: 4094, macHigh: 0xfeff, macLow: -2, port: 9, isStatic: false, origin: 0, lastSeenMs: 777 },
    ]);
  });

  it('is empty before a worker takes its memory over, and after another one did', () => {
    assert.deepEqual(listMacs(createMacMemory()), []);
    learn(1, 5);
    table = new MacTable(memory, PORTS, NETWORKS, 1);
    assert.deepEqual(listMacs(memory), []);
  });

  describe('static entries', () => {
    it('neither age, nor move, nor are learned over', () => {
      table.insertStatic(BLUE, 0, HIGH, 1, 5, 0);
      learn(1, 6, 10);
      table.sweep(MAC_CAPACITY, 10 * AGEING_MS, Int32Array.from([AGEING_MS]));
      assert.equal(find(1, 10 * AGEING_MS), 5);
      assert.equal(table.moves, 0);
    });

    it('replace what was learned', () => {
      learn(1, 6);
      table.insertStatic(BLUE, 0, HIGH, 1, 5, 0);
      assert.equal(find(1), 5);
      assert.deepEqual([table.count, table.entriesOfPort(6)], [1, 0]);
    });

    it('replace each other', () => {
      table.insertStatic(BLUE, 0, HIGH, 1, 5, 0);
      table.insertStatic(BLUE, 0, HIGH, 1, 6, 0);
      assert.equal(find(1), 6);
      assert.equal(table.count, 1);
    });

    it('go together, and leave what was learned', () => {
      table.insertStatic(BLUE, 0, HIGH, 1, 5, 0);
      learn(2, 5);
      table.removeStatic();
      assert.deepEqual([find(1), find(2)], [-1, 5]);
    });

    it('take room from what was learned when the pool is full, but never from each other', () => {
      for (let i = 0; i < MAC_CAPACITY; i++) learn(i, 5);
      assert.equal(table.insertStatic(BLUE, 0, HIGH, -1, 6, 0), true);
      assert.equal(find(-1), 6);
      assert.equal(table.count, MAC_CAPACITY);
      table.flush(-1);
      for (let i = 0; i < MAC_CAPACITY - 1; i++) assert.equal(table.insertStatic(RED, 0, HIGH, i, 6, 0), true);
      assert.equal(table.insertStatic(RED, 0, HIGH, -2, 6, 0), false);
      learn(7, 5);
      assert.equal(find(7), -1, 'nothing can be learned any more');
    });

    it('do not count towards what a network may learn', () => {
      for (let i = 0; i < 100; i++) table.insertStatic(BLUE, 0, HIGH, 1000 + i, 6, 0);
      for (let i = 0; i < 10; i++) learn(i, 5, 0, { limit: 10 });
      for (let i = 0; i < 10; i++) assert.equal(find(i), 5);
    });
  });

  describe('under a flood of source addresses', () => {
    const LIMIT = 1024;

    it('keeps to the limit of the network and forgets the oldest station of the port that floods', () => {
      for (let i = 0; i < 5000; i++) learn(i, 5, i, { limit: LIMIT });
      assert.equal(table.count, LIMIT);
      assert.equal(table.evictions, 5000 - LIMIT);
      assert.equal(find(5000 - LIMIT - 1, 5000), -1);
      assert.equal(find(5000 - LIMIT, 5000), 5);
    });

    it('keeps the stations of the ports that do not flood', () => {
      for (let i = 0; i < 20; i++) learn(i, 1 + (i % 4), 0, { limit: LIMIT });
      for (let i = 100; i < 50_000; i++) learn(i, 5, 0, { limit: LIMIT });
      for (let i = 0; i < 20; i++) assert.equal(find(i), 1 + (i % 4));
    });

    it('still learns stations of other ports, even of one that has more than an equal share', () => {
      // 63 ports share 1024 entries: an equal share is 16. The honest trunk has 300 stations.
      for (let i = 100_000; i < 110_000; i++) learn(i, 5, 0, { limit: LIMIT });
      for (let i = 0; i < 300; i++) {
        learn(i, 6, 0, { limit: LIMIT });
        learn(200_000 + i, 5, 0, { limit: LIMIT });
      }
      for (let i = 0; i < 300; i++) assert.equal(find(i), 6, `station ${i}`);
    });

    it('is not led astray by a port with many static entries', () => {
      for (let i = 0; i < 2 * LIMIT; i++) table.insertStatic(BLUE, 0, HIGH, 1_000_000 + i, 9, 0);
      for (let i = 0; i < 5000; i++) learn(i, 5, 0, { limit: LIMIT });
      learn(77_777, 6, 0, { limit: LIMIT });
      assert.equal(find(77_777), 6);
    });

    it('lets two flooding ports end with equal parts', () => {
      for (let i = 0; i < 20_000; i++) learn(i, 5, 0, { limit: LIMIT });
      for (let i = 20_000; i < 60_000; i++) learn(i, 5 + (i % 2), 0, { limit: LIMIT });
      const difference = Math.abs(table.entriesOfPort(5) - table.entriesOfPort(6));
      assert.ok(difference <= 2, `${table.entriesOfPort(5)} and ${table.entriesOfPort(6)}`);
    });

    it('finds a new greediest port when the old one fell silent', () => {
      for (let i = 0; i < 2000; i++) learn(i, 5, 0, { limit: LIMIT });
      learn(10_000, 7, 0, { limit: LIMIT });
      table.removePort(5);
      for (let i = 20_000; i < 22_000; i++) learn(i, 6, 1, { limit: LIMIT });
      learn(10_001, 7, 1, { limit: LIMIT });
      assert.deepEqual([find(10_000), find(10_001)], [7, 7]);
      assert.equal(table.count, LIMIT);
    });

    it('does not go on taking from a port that is no longer the greediest', () => {
      const limit = 8192;
      for (let i = 0; i <= limit; i++) learn(i, 5, 0, { limit });
      for (let i = 1; i <= 6000; i++) learn(i, 6, 0, { limit });
      const before = table.entriesOfPort(5);
      for (let i = 0; i < 1000; i++) learn(100_000 + i, 7, 0, { limit });
      assert.ok(table.entriesOfPort(5) >= before - 256, `${before} became ${table.entriesOfPort(5)}`);
      assert.equal(table.entriesOfPort(7), 1000);
    });

    it('takes room from the network that floods when the pool is full', () => {
      for (let i = 0; i < MAC_CAPACITY + 1000; i++) learn(i, 5, 0, { network: RED });
      for (let i = 0; i < 50; i++) learn(i, 6, 0, { network: BLUE });
      for (let i = 0; i < 50; i++) assert.equal(find(i), 6);
      assert.equal(table.count, MAC_CAPACITY);
    });

    it('of one network takes nothing from the others behind the same VTEP', () => {
      for (let i = 0; i < 10; i++) learn(i, 5, 0, { network: BLUE });
      for (let i = 0; i < 200; i++) learn(1000 + i, 5, 1, { network: RED, limit: 100 });
      for (let i = 0; i < 10; i++) assert.equal(find(i, 1), 5, `station ${i}`);
      assert.equal(table.count, 110);
      assert.equal(find(1199, 1, { network: RED }), 5, 'and goes on learning its own');
    });

    it('comes down to a limit that was lowered', () => {
      for (let i = 0; i < 1000; i++) learn(i, 5, 0, { limit: LIMIT });
      for (let i = 1000; i < 3000; i++) learn(i, 5, 0, { limit: 100 });
      assert.equal(table.count, 100);
      assert.equal(find(2999), 5);
    });

    it('learns nothing on a network that may learn nothing', () => {
      learn(1, 5, 0, { limit: 0 });
      assert.equal(table.count, 0);
    });

    it('does not search all ports for every frame of the flood', () => {
      // A search looks at 64 ports here and at 4096 in production; with one per frame this would take seconds there.
      const wide = new MacTable(createMacMemory(), 4096, NETWORKS, 1);
      const prng = new Prng(9);
      for (let i = 0; i < LIMIT; i++) wide.learn(BLUE, 0, HIGH, prng.next() | 0, 5, 0, LIMIT);
      const searches = countReads(wide, () => {
        for (let i = 0; i < 10_000; i++) wide.learn(BLUE, 0, HIGH, prng.next() | 0, 5, 0, LIMIT);
      });
      assert.ok(searches <= 10_000 / 256 + 1, `${searches} searches for 10,000 frames`);
    });
  });
});

/** How often `run` searches for the greediest port. */
function countReads(table: MacTable, run: () => void): number {
  const inner = table as unknown as { greediest: Int32Array };
  let searches = 0;
  inner.greediest = new Proxy(inner.greediest, {
    get: (target, key) => Reflect.get(target, key),
    set: (target, key, value) => {
      searches++;
      return Reflect.set(target, key, value);
    },
  });
  run();
  return searches;
}
