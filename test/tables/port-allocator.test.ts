// External ports: unguessable, of the class and parity that the RFCs ask for, each taken once, and none lost.
import { strict as assert } from 'node:assert';
import { KeyedHash } from '../../src/lib/keyed-hash.js';
import { Prng } from '../../src/lib/prng.js';
import { PortAllocator } from '../../src/tables/port-allocator.js';

const UDP = 17;
const OUT = 0x0a000001;
const FIRST = 1024;
const LAST = 65535;

function allocator(key = 1, pools = 64): PortAllocator {
  return new PortAllocator(pools, key, 2, new KeyedHash(3, 4, 5));
}

function take(ports: PortAllocator, insidePort: number, first = FIRST, last = LAST): number {
  return ports.take(0, UDP, 4, OUT, insidePort, first, last);
}

describe('port allocator', () => {
  it('keeps the parity of the inside port (RFC 4787 section 4.2.2)', () => {
    const ports = allocator();
    for (let i = 0; i < 2000; i++) assert.equal(take(ports, 30_000 + i) & 1, i & 1);
  });

  it('keeps the class of the inside port where the range has both (RFC 4787 REQ-3 a)', () => {
    const ports = allocator();
    for (let i = 0; i < 400; i++) {
      assert.ok(take(ports, 500 + (i & 255), 1, LAST) < 1024);
      assert.ok(take(ports, 5000 + i, 1, LAST) >= 1024);
    }
  });

  it('gives a port of the other class, or parity, rather than none', () => {
    const ports = allocator();
    assert.ok(take(ports, 53) >= FIRST, 'there are none below 1024');
    assert.equal(take(ports, 2, 2001, 2001), 2001);
    for (let i = 0; i < 8; i++) assert.ok(take(ports, 2, 3000, 3007) >= 3000);
    assert.equal(take(ports, 2, 3000, 3007), -1);
  });

  it('spreads ports over the range and depends on its key', () => {
    const first = Array.from(
      { length: 500 },
      (
        (ports) => () =>
          take(ports, 4000)
      )(allocator(1)),
    );
    const second = Array.from(
      { length: 500 },
      (
        (ports) => () =>
          take(ports, 4000)
      )(allocator(9)),
    );
    const mean = first.reduce((sum, port) => sum + port, 0) / first.length;
    assert.ok(Math.abs(mean - (FIRST + LAST) / 2) < 4000, `mean ${mean}`);
    assert.ok(first.filter((port) => second.includes(port)).length < 30);
    const steps = first.slice(1).map((port, i) => port - first[i]!);
    assert.ok(new Set(steps).size > 480, 'no two steps are alike');
  });

  it('gives out every port of a range once, then none, then those that came back', () => {
    const ports = allocator();
    const given = new Set<number>();
    for (let i = 0; i < 64_512; i++) given.add(take(ports, i));
    assert.equal(given.size, 64_512);
    assert.equal(ports.taken(0, UDP, 4, OUT), 64_512);
    assert.equal(take(ports, 4000), -1);
    ports.release(0, UDP, 4, OUT, 4711);
    assert.equal(ports.isTaken(0, UDP, 4, OUT, 4711), false);
    assert.equal(take(ports, 4000), 4711);
    for (const port of given) ports.release(0, UDP, 4, OUT, port);
    assert.equal(ports.taken(0, UDP, 4, OUT), 0);
  });

  it('keeps networks, protocols, families and addresses apart', () => {
    const ports = allocator();
    assert.ok(ports.claim(0, UDP, 4, OUT, 5000));
    assert.equal(ports.claim(0, UDP, 4, OUT, 5000), false);
    for (const [network, protocol, family, address] of [
      [1, UDP, 4, OUT],
      [0, 6, 4, OUT],
      [0, UDP, 6, OUT],
      [0, UDP, 4, OUT + 1],
    ] as const) {
      assert.equal(ports.isTaken(network, protocol, family, address, 5000), false);
      assert.ok(ports.claim(network, protocol, family, address, 5000));
    }
  });

  it('has a bounded number of addresses at once and takes idle ones back', () => {
    const ports = allocator(1, 4);
    for (let address = 0; address < 4; address++) assert.ok(ports.claim(0, UDP, 4, address, 7));
    assert.equal(ports.claim(0, UDP, 4, 4, 7), false);
    assert.equal(ports.take(0, UDP, 4, 4, 7, 1, 99), -1);
    ports.release(0, UDP, 4, 2, 7);
    assert.ok(ports.claim(0, UDP, 4, 4, 7));
    assert.equal(ports.isTaken(0, UDP, 4, 2, 7), false);
    assert.deepEqual(
      [0, 1, 3, 4].map((address) => ports.taken(0, UDP, 4, address)),
      [1, 1, 1, 1],
    );
  });

  it('ignores a release of what was not taken', () => {
    const ports = allocator();
    ports.release(0, UDP, 4, OUT, 4711);
    assert.ok(ports.claim(0, UDP, 4, OUT, 4712));
    ports.release(0, UDP, 4, OUT, 4711);
    assert.equal(ports.taken(0, UDP, 4, OUT), 1);
  });

  it('agrees with a set over random operations', () => {
    const ports = allocator();
    const prng = new Prng(77);
    const taken = new Set<number>();
    for (let i = 0; i < 20_000; i++) {
      if (prng.below(3) > 0) {
        const port = take(ports, prng.below(65536), 2000, 2199);
        if (port < 0) assert.equal(taken.size, 200);
        else {
          assert.ok(port >= 2000 && port < 2200 && !taken.has(port));
          taken.add(port);
        }
      } else {
        const port = 2000 + prng.below(200);
        ports.release(0, UDP, 4, OUT, port);
        taken.delete(port);
      }
      assert.equal(ports.taken(0, UDP, 4, OUT), taken.size);
    }
  });
});
