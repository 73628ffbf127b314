// SYNs that wait for the inside: found by their connection, bounded by network, let go once.
import { strict as assert } from 'node:assert';
import { MAX_PENDING, MAX_PER_NETWORK, PendingSyns } from '../../src/tables/pending-syns.js';

const A = Int32Array.of(1, 2, 3, 4);
const B = Int32Array.of(5, 6, 7, 8);

describe('pending SYNs', () => {
  it('are found by network, addresses and ports', () => {
    const syns = new PendingSyns(1);
    const slot = syns.insert(3, A, B, 0, 77, 6000);
    assert.equal(syns.find(3, A, B, 0, 77), slot);
    assert.equal(syns.find(4, A, B, 0, 77), -1);
    assert.equal(syns.find(3, B, A, 0, 77), -1);
    assert.equal(syns.find(3, A, B, 0, 78), -1);
    syns.remove(slot);
    assert.equal(syns.find(3, A, B, 0, 77), -1);
  });

  it('are let go when their time is up, once, and forgotten when they do not come back', () => {
    const syns = new PendingSyns(1);
    const slot = syns.insert(3, A, B, 0, 77, 6000);
    assert.equal(syns.sweep(5999, MAX_PENDING), -1);
    assert.ok(!syns.isReleased(slot));
    assert.equal(syns.sweep(6000, MAX_PENDING), slot);
    assert.ok(syns.isReleased(slot));
    assert.equal(syns.sweep(7999, MAX_PENDING), -1);
    assert.equal(syns.count, 1);
    syns.sweep(8000, MAX_PENDING);
    assert.equal(syns.count, 0);
  });

  it('are bounded, for one network and for all', () => {
    const syns = new PendingSyns(1);
    let taken = 0;
    for (let network = 0; network < 10; network++) {
      for (let port = 0; port < 100; port++) if (syns.insert(network, A, B, 0, port, 6000) >= 0) taken++;
      assert.equal(taken, Math.min(MAX_PENDING, (network + 1) * MAX_PER_NETWORK));
    }
  });

  it('end when the clock wraps as at any other time', () => {
    const syns = new PendingSyns(1);
    const slot = syns.insert(3, A, B, 0, 77, (0x7fffffff + 1000) | 0);
    assert.equal(syns.sweep(0x7fffffff, MAX_PENDING), -1);
    assert.equal(syns.sweep((0x7fffffff + 1000) | 0, MAX_PENDING), slot);
  });
});
