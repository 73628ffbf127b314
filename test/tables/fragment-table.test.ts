// The table of fragmented packets: its states, its bounds, and what it does not believe.
import { strict as assert } from 'node:assert';
import { KeyedHash } from '../../src/lib/keyed-hash.js';
import { Prng } from '../../src/lib/prng.js';
import {
  FRAGMENT_CAPACITY,
  FRAGMENT_COMPLETE,
  FRAGMENT_DEAD,
  FRAGMENT_ENTRY_BYTES,
  FRAGMENT_KNOWN,
  FRAGMENT_WAITING,
  FragmentTable,
  KNOWN_MS,
  MAX_WAITING,
  MAX_WAITING_PER_SOURCE,
  WAIT_MS,
} from '../../src/tables/fragment-table.js';

const UDP = 0x411;

function address(n: number): Int32Array {
  return Int32Array.of(n, 0, 0, 0);
}

class Rig {
  readonly table = new FragmentTable(new KeyedHash(0x5eed, 1, 2));
  now = 1000;

  insert(id: number, source = 1, isFirst = false): number {
    return this.table.insert(0, UDP, id, address(source), address(2), 0, isFirst, this.now);
  }

  find(id: number, source = 1): number {
    return this.table.find(0, UDP, id, address(source), address(2), 0);
  }

  settle(entry: number): void {
    this.table.settle(entry, 1, address(7), address(8), 0, this.now);
  }

  accept(entry: number, offset: number, bytes: number, hasMore: boolean): boolean {
    return this.table.accept(entry, offset, bytes, hasMore, this.now);
  }

  sweep(): number[] {
    const dead: number[] = [];
    for (let entry = this.table.sweep(this.now, 1e6); entry >= 0; entry = this.table.sweep(this.now, 1e6))
      dead.push(entry);
    return dead;
  }
}

describe('fragment table', () => {
  it('knows a packet by network, protocol, identification and both addresses', () => {
    const { table } = new Rig();
    const entry = table.insert(3, UDP, 9, address(1), address(2), 0, false, 0);
    assert.equal(table.find(3, UDP, 9, address(1), address(2), 0), entry);
    assert.equal(table.find(4, UDP, 9, address(1), address(2), 0), -1);
    assert.equal(table.find(3, 0x406, 9, address(1), address(2), 0), -1);
    assert.equal(table.find(3, UDP, 8, address(1), address(2), 0), -1);
    assert.equal(table.find(3, UDP, 9, address(2), address(1), 0), -1);
    assert.equal(table.find(3, UDP, 9, Int32Array.of(1, 0, 0, 1), address(2), 0), -1);
  });

  it('waits for the first part, then knows, then is complete, then forgets', () => {
    const rig = new Rig();
    const entry = rig.insert(1);
    assert.equal(rig.table.state(entry), FRAGMENT_WAITING);
    assert.ok(rig.accept(entry, 0, 800, true));
    rig.settle(entry);
    assert.equal(rig.table.state(entry), FRAGMENT_KNOWN);
    assert.ok(rig.accept(entry, 1600, 100, false));
    assert.ok(rig.accept(entry, 800, 800, true));
    assert.equal(rig.table.state(entry), FRAGMENT_COMPLETE);
    const source = new Int32Array(4);
    const destination = new Int32Array(4);
    rig.table.readAddresses(entry, source, destination, 0);
    assert.deepEqual([[...source], [...destination]], [[...address(7)], [...address(8)]]);
    rig.now += 1000;
    assert.deepEqual(rig.sweep(), []);
    assert.equal(rig.find(1), -1);
    assert.equal(rig.table.count, 0);
  });

  it('gives up waiting after two seconds: dead for two more, so that what waited can be dropped, then gone', () => {
    const rig = new Rig();
    const entry = rig.insert(1);
    rig.now += WAIT_MS - 1;
    assert.deepEqual(rig.sweep(), []);
    rig.now += 1;
    assert.deepEqual(rig.sweep(), [entry]);
    assert.equal(rig.table.state(entry), FRAGMENT_DEAD);
    rig.now += 2000;
    assert.deepEqual(rig.sweep(), []);
    assert.equal(rig.find(1), -1);
  });

  it('forgets a packet of which parts are missing after 30 s', () => {
    const rig = new Rig();
    const entry = rig.insert(1);
    rig.accept(entry, 0, 800, true);
    rig.settle(entry);
    rig.now += KNOWN_MS - 1;
    rig.sweep();
    assert.equal(rig.find(1), entry);
    rig.now += 1;
    rig.sweep();
    assert.equal(rig.find(1), -1);
  });

  it('refuses parts that cannot be', () => {
    const rig = new Rig();
    const entry = rig.insert(1);
    assert.ok(rig.accept(entry, 0, 800, true));
    rig.settle(entry);
    assert.ok(!rig.accept(entry, 792, 800, true), 'into the first part');
    assert.ok(!rig.accept(entry, 800, 801, true), 'no multiple of 8 with more behind it');
    assert.ok(!rig.accept(entry, 800, 0, true), 'empty');
    assert.ok(!rig.accept(entry, 65528, 8, false), 'longer than any packet');
    assert.ok(rig.accept(entry, 2400, 100, false));
    assert.ok(!rig.accept(entry, 3200, 100, false), 'a second end');
    assert.ok(!rig.accept(entry, 2400, 800, true), 'behind the end');
    assert.ok(!rig.accept(entry, 800, 1704, true), 'up to the end with more behind it');
    assert.ok(rig.accept(entry, 800, 1600, true));
    assert.equal(rig.table.state(entry), FRAGMENT_COMPLETE);
  });

  it('refuses an end before what was already seen', () => {
    const rig = new Rig();
    const entry = rig.insert(1);
    rig.accept(entry, 0, 800, true);
    rig.settle(entry);
    assert.ok(rig.accept(entry, 1600, 800, true));
    assert.ok(!rig.accept(entry, 800, 100, false));
  });

  it('lets so many packets wait, of one sender and of all, and not more', () => {
    const rig = new Rig();
    let accepted = 0;
    for (let id = 0; id < 200; id++) if (rig.insert(id, 1) >= 0) accepted++;
    assert.equal(accepted, MAX_WAITING_PER_SOURCE);
    for (let source = 2; source < 2000; source++) if (rig.insert(1, source) >= 0) accepted++;
    assert.equal(accepted, MAX_WAITING);
    rig.now += WAIT_MS;
    assert.equal(rig.sweep().length, MAX_WAITING);
    assert.ok(rig.insert(1, 5000) >= 0, 'those that died wait no more');
  });

  it('has room for packets that come in order when all that may wait do', () => {
    const rig = new Rig();
    for (let source = 1; source < 2000; source++) rig.insert(1, source);
    assert.equal(rig.insert(2, 1), -1);
    const entry = rig.insert(2, 1, true);
    assert.ok(entry >= 0);
    rig.settle(entry);
    assert.equal(rig.insert(3, 1), -1, 'which does not make room for those that would wait');
  });

  it('takes the place of complete packets, then of dead ones, then of the oldest', () => {
    const rig = new Rig();
    for (let id = 0; id < FRAGMENT_CAPACITY; id++) {
      const entry = rig.insert(id, 1, true);
      rig.accept(entry, 0, 800, true);
      if (id === 55) rig.table.condemn(entry, rig.now);
      else rig.settle(entry);
      if (id === 77) rig.accept(entry, 800, 8, false);
    }
    for (const [id, gone] of [77, 55, 0, 1].entries()) {
      assert.ok(rig.insert(100_000 + id) >= 0);
      assert.deepEqual([rig.find(gone), rig.find(2) >= 0], [-1, true], `${gone} has made room`);
    }
    assert.equal(rig.table.count, FRAGMENT_CAPACITY);
  });

  it('is the same as a map of its own kind over many random steps', () => {
    const rig = new Rig();
    const random = new Prng(20260711);
    const model = new Map<number, number>();
    for (let step = 0; step < 50_000; step++) {
      const id = random.below(300);
      const known = rig.find(id);
      assert.equal(known >= 0, model.has(id), `step ${step}`);
      if (known < 0) {
        const entry = rig.insert(id);
        if (entry >= 0) model.set(id, entry);
      } else if (rig.table.state(known) === FRAGMENT_WAITING && random.below(2) === 0) {
        rig.settle(known);
      } else if (random.below(3) === 0) {
        rig.table.condemn(known, rig.now);
      }
      rig.now += random.below(20);
      rig.sweep();
      for (const [key] of model) if (rig.find(key) < 0) model.delete(key);
      assert.equal(rig.table.count, model.size);
    }
  });

  it('has entries of 120 bytes', () => assert.equal(FRAGMENT_ENTRY_BYTES, 120));
});
