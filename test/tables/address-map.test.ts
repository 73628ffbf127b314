// A map from addresses to numbers: built at once, read for every packet.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { AddressMap } from '../../src/tables/address-map.js';

describe('AddressMap', () => {
  it('is empty until something is put in, and after it was cleared', () => {
    const map = new AddressMap(5);
    const address = Int32Array.of(1, 2, 3, 4);
    assert.equal(map.find(0, 6, address, 0), -1);
    map.insert(0, 6, address, 0, 9);
    assert.equal(map.find(0, 6, address, 0), 9);
    map.clear(1000);
    assert.deepEqual([map.find(0, 6, address, 0), map.count], [-1, 0]);
  });

  it('keeps the first value of an address', () => {
    const map = new AddressMap(5);
    const address = Int32Array.of(1, 0, 0, 0);
    map.insert(0, 4, address, 0, 1);
    map.insert(0, 4, address, 0, 2);
    assert.deepEqual([map.find(0, 4, address, 0), map.count], [1, 1]);
  });

  it('is as good as a Map (seed 11)', () => {
    const prng = new Prng(11);
    const map = new AddressMap(prng.next());
    map.clear(5000);
    const model = new Map<string, number>();
    const random = () => {
      const words = Int32Array.of(0, prng.below(70), prng.below(3), prng.below(2), prng.below(70));
      return { network: prng.below(4), family: prng.below(2) === 0 ? 4 : 6, words };
    };
    for (let n = 0; n < 5000; n++) {
      const { network, family, words } = random();
      const key = `${network} ${family} ${words.join()}`;
      if (!model.has(key)) model.set(key, n);
      map.insert(network, family, words, 1, n);
    }
    assert.equal(map.count, model.size);
    for (let n = 0; n < 20_000; n++) {
      const { network, family, words } = random();
      assert.equal(map.find(network, family, words, 1), model.get(`${network} ${family} ${words.join()}`) ?? -1);
    }
  });
});
