// Which tunnel a VNI means: every VNI, VTEPs apart, nothing found that is not there.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { VniTable } from '../../src/tables/vni-table.js';

describe('VniTable', () => {
  it('finds nothing while it is empty', () => {
    const table = new VniTable();
    assert.equal(table.find(0, 0), -1);
  });

  it('keeps the VNIs of different VTEPs apart', () => {
    const table = new VniTable();
    table.clear(4);
    table.insert(0, 5000, 0);
    table.insert(1, 5000, 1);
    table.insert(256, 5000, 2);
    table.insert(0, 0, 3);
    assert.deepEqual([table.find(0, 5000), table.find(1, 5000), table.find(256, 5000), table.find(0, 0)], [0, 1, 2, 3]);
    assert.deepEqual([table.find(2, 5000), table.find(1, 0), table.find(0, 0xff_ffff)], [-1, -1, -1]);
  });

  it('keeps the first tunnel of a VNI, and forgets all when it is made anew', () => {
    const table = new VniTable();
    table.clear(2);
    table.insert(0, 7, 4);
    table.insert(0, 7, 5);
    assert.equal(table.find(0, 7), 4);
    table.clear(0);
    assert.equal(table.find(0, 7), -1);
  });

  it('is as good as a Map over as many networks as there can be (seed 2)', () => {
    const prng = new Prng(2);
    const table = new VniTable();
    const model = new Map<string, number>();
    table.clear(1024);
    for (let tunnel = 0; tunnel < 1024; tunnel++) {
      const [vtep, vni] = [prng.below(1000), prng.below(4) === 0 ? prng.below(1 << 24) : 4096 + prng.below(300)];
      table.insert(vtep, vni, tunnel);
      if (!model.has(`${vtep} ${vni}`)) model.set(`${vtep} ${vni}`, tunnel);
    }
    for (const [name, tunnel] of model) {
      const [vtep, vni] = name.split(' ').map(Number) as [number, number];
      assert.equal(table.find(vtep, vni), tunnel);
    }
    for (let n = 0; n < 10_000; n++) {
      const [vtep, vni] = [prng.below(1000), prng.below(1 << 24)];
      assert.equal(table.find(vtep, vni), model.get(`${vtep} ${vni}`) ?? -1);
    }
  });
});
