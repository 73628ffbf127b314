// The memory of the NAT against a plain Map over random operations, and what another process finds in it, wherever the first one died.
import { strict as assert } from 'node:assert';
import { Prng } from '../../src/lib/prng.js';
import { FlowListing } from '../../src/tables/flow-listing.js';
import { MAPPING_OWNS_PORT, MAPPING_PERMANENT } from '../../src/tables/mapping-table.js';
import { checkNat } from '../support/nat-check.js';
import { BOOT, CAPACITY, NatRig, OUTSIDE4, TIMEOUT_MS, UDP } from '../support/nat-rig.js';

/** Longer than a network may be missing. */
const LONG_MS = 120_000;

describe('nat state', () => {
  it('keeps many sessions of one mapping under one outside port and forgets it with the last of them', () => {
    const rig = new NatRig();
    const { nat } = rig;
    const first = rig.flow(0, 4, 1, 5000, 1, 53);
    const second = rig.flow(0, 4, 1, 5000, 2, 53);
    assert.equal(nat.flows.outsidePort(first), nat.flows.outsidePort(second));
    const mapping = nat.flows.mapping(first);
    assert.equal(nat.mappings.sessions(mapping), 2);
    assert.ok(nat.flows.hasRemote(mapping, rig.address(4, 1001)) && nat.flows.hasRemote(mapping, rig.address(4, 1002)));
    assert.ok(!nat.flows.hasRemote(mapping, rig.address(4, 1003)));
    nat.closeFlow(first);
    assert.ok(!nat.flows.hasRemote(mapping, rig.address(4, 1001)));
    checkNat(nat);
    nat.closeFlow(second);
    assert.deepEqual([nat.flows.count, nat.mappings.count, nat.subscribers.count], [0, 0, 0]);
    assert.equal(nat.ports.taken(nat.slots.slotOf(0), UDP, 4, OUTSIDE4[0]!), 0);
  });

  it('keeps networks with the same addresses apart', () => {
    const rig = new NatRig();
    const one = rig.flow(0, 4, 1, 5000, 1, 53);
    const other = rig.flow(1, 4, 1, 5000, 1, 53);
    assert.notEqual(one, other);
    assert.deepEqual(rig.list(), ['11 v4 1:5000 > 1:53 state 1 bytes 0', '22 v4 1:5000 > 1:53 state 1 bytes 0']);
  });

  it('says no when it is full and takes again when something ended; nothing live goes', () => {
    for (const family of [4, 6]) {
      const rig = new NatRig();
      let opened = 0;
      while (rig.flow(0, family, 1, 5000, opened, 53) >= 0) opened++;
      assert.ok(opened >= CAPACITY - 3 && opened <= CAPACITY, `${opened} of ${CAPACITY}`);
      rig.nat.addresses.collect();
      checkNat(rig.nat);
      assert.equal(rig.flow(0, family, 2, 5000, 1, 53), -1);
      checkNat(rig.nat);
      rig.nat.closeFlow(rig.flow(0, family, 1, 5000, 3, 53));
      rig.nat.addresses.collect();
      assert.ok(rig.flow(0, family, 1, 5001, 2, 53) >= 0);
      checkNat(rig.nat);
    }
  });

  it('says no when the file system has no room for more, and keeps what it has', () => {
    const rig = new NatRig();
    rig.room = false;
    assert.equal(rig.flow(0, 4, 1, 5000, 1, 53), -1);
    checkNat(rig.nat);
    rig.room = true;
    assert.ok(rig.flow(0, 4, 1, 5000, 1, 53) >= 0);
    checkNat(rig.nat);
  });

  it('agrees with a map over random operations, through restarts', () => {
    for (let seed = 1; seed <= 12; seed++) agreesWithAMap(seed);
  });

  it('ends sessions by their timer, a few per turn, and says when there are more', () => {
    const rig = new NatRig();
    for (let i = 0; i < 40; i++) rig.flow(0, 4, i, 5000, 1, 53);
    rig.sweep(TIMEOUT_MS + 600, 15);
    assert.deepEqual([rig.nat.flows.count, rig.nat.isBehind, rig.nat.expired], [25, true, 15]);
    rig.sweep(0, 15);
    rig.sweep(0, 15);
    assert.deepEqual([rig.nat.flows.count, rig.nat.isBehind, rig.nat.expired], [0, false, 40]);
    checkNat(rig.nat);
  });

  it('keeps a session that is used', () => {
    const rig = new NatRig();
    const row = rig.flow(0, 4, 1, 5000, 1, 53);
    for (let i = 0; i < 10; i++) {
      rig.sweep(TIMEOUT_MS - 1000);
      assert.ok(rig.nat.flows.isUsed(row));
      rig.nat.flows.setExpiry(row, (rig.now + TIMEOUT_MS) | 0);
    }
    rig.nat.flows.setExpiry(row, (rig.now + 1000) | 0);
    rig.sweep(1600);
    assert.equal(rig.nat.flows.count, 0);
  });

  it('keeps state, flags, counters and the age of a session', () => {
    const rig = new NatRig({ now: 5000 });
    const row = rig.flow(0, 4, 1, 5000, 1, 53);
    const { flows } = rig.nat;
    flows.setState(row, 200);
    flows.setFlags(row, 130);
    flows.setState(row, 7);
    flows.countOut(row, 64_000);
    flows.countOut(row, 1);
    flows.countIn(row, 2 ** 40);
    const listed = new FlowListing(new Int32Array(rig.buffer)).read(row)!;
    assert.deepEqual(
      { ...listed, outsidePort: 0 },
      {
        row,
        generation: flows.generation(row),
        networkKey: 11,
        protocol: UDP,
        family: 4,
        inside: [0x0a000001, 0, 0, 0],
        remote: [0x0a0003e9, 0, 0, 0],
        outside: [...OUTSIDE4],
        insidePort: 5000,
        remotePort: 53,
        outsidePort: 0,
        state: 7,
        flags: 130,
        hasMapping: true,
        createdMs: 5000,
        expiresMs: 15_000,
        framesOut: 2,
        framesIn: 1,
        bytesOut: 64_001,
        bytesIn: 2 ** 40,
      },
    );
    assert.equal(flows.outsidePort(row), listed.outsidePort);
  });

  it('deletes a session only while the row is still that session', () => {
    const rig = new NatRig();
    const { nat } = rig;
    const row = rig.flow(0, 4, 1, 5000, 1, 53);
    const generation = nat.flows.generation(row);
    nat.closeFlow(row);
    assert.equal(rig.flow(0, 4, 2, 5000, 1, 53), row, 'the row is used again');
    nat.deleteFlow(row, generation);
    assert.equal(nat.flows.count, 1);
    for (const nonsense of [-1, CAPACITY, 1e9]) nat.deleteFlow(nonsense, generation);
    nat.deleteFlow(row, nat.flows.generation(row));
    assert.deepEqual([nat.flows.count, nat.deleted], [0, 1]);
    checkNat(nat);
  });
});

describe('nat state after a restart', () => {
  it('is as it was: sessions, mappings, ports, subscribers, addresses', () => {
    const rig = new NatRig();
    for (let i = 0; i < 20; i++) rig.flow(i & 1, i % 3 ? 4 : 6, i % 5, 5000 + (i % 2), i, 53);
    const before = rig.list();
    const mappings = rig.nat.mappings.count;
    rig.restart();
    assert.deepEqual(rig.list(), before);
    assert.equal(rig.nat.mappings.count, mappings);
    checkNat(rig.nat);
    rig.sweep(TIMEOUT_MS + 600);
    assert.deepEqual([rig.nat.flows.count, rig.nat.mappings.count, rig.nat.subscribers.count], [0, 0, 0]);
    rig.nat.addresses.collect();
    assert.equal(rig.nat.addresses.count, 0, 'no address is left behind');
  });

  it('knows networks by their key, wherever they are in the program', () => {
    const rig = new NatRig({ networks: [11, 22, 33] });
    rig.flow(0, 4, 1, 5000, 1, 53);
    rig.flow(2, 4, 3, 5000, 3, 53);
    rig.networks = [33, 44, 11];
    rig.restart();
    assert.deepEqual(rig.list(), ['11 v4 1:5000 > 1:53 state 1 bytes 0', '33 v4 3:5000 > 3:53 state 1 bytes 0']);
    assert.ok(rig.flow(2, 4, 1, 5000, 1, 53) >= 0);
    assert.equal(rig.nat.flows.count, 2, 'the session of network 11 was found');
  });

  it('waits for networks that come one after the other, and ends the flows of those that do not', () => {
    const rig = new NatRig();
    const row = rig.flow(0, 4, 1, 5000, 1, 53);
    rig.nat.flows.setExpiry(row, (rig.now + 10 * LONG_MS) | 0);
    rig.nat.flows.setExpiry(rig.flow(1, 4, 1, 5000, 1, 53), (rig.now + 10 * LONG_MS) | 0);
    rig.networks = [];
    rig.restart();
    rig.sweep(10_000);
    rig.publish([22]);
    rig.sweep(10_000);
    rig.publish([22, 11]);
    assert.equal(rig.nat.flows.count, 2);
    rig.publish([22]);
    for (let i = 0; i < 10; i++) rig.sweep(LONG_MS / 10);
    assert.deepEqual(rig.list(), ['22 v4 1:5000 > 1:53 state 1 bytes 0']);
    assert.equal(rig.nat.deleted, 1);
    checkNat(rig.nat);
    rig.sweep(2000);
    assert.equal(rig.nat.slots.dying, 0);
  });

  it('gives the slot of a network that is gone to another one, with no flow in it', () => {
    const rig = new NatRig();
    for (let i = 0; i < 5000; i++) {
      rig.publish([1000 + i]);
      rig.sweep(40_000);
      rig.sweep(2000);
    }
    assert.ok(rig.nat.slots.slotOf(0) >= 0);
    assert.ok(rig.flow(0, 4, 1, 5000, 1, 53) >= 0);
  });

  it('is empty after a boot, with another capacity, or in memory that never was a flow table', () => {
    const rig = new NatRig({ capacity: 128 });
    rig.flow(0, 4, 1, 5000, 1, 53);
    assert.equal(rig.restart(128, Int32Array.of(1, 2, 3, 5)).flows.count, 0);
    rig.flow(0, 4, 1, 5000, 1, 53);
    assert.equal(rig.restart(64, BOOT).flows.count, 0);
    const prng = new Prng(3);
    const words = new Int32Array(rig.buffer);
    for (let i = 0; i < words.length; i++) words[i] = prng.next();
    assert.equal(rig.restart(64, BOOT).flows.count, 0);
    assert.ok(rig.flow(0, 4, 1, 5000, 1, 53) >= 0);
    checkNat(rig.nat);
  });

  it('keeps a permanent mapping without sessions, and no other', () => {
    const rig = new NatRig();
    const { nat } = rig;
    const network = nat.slots.slotOf(0);
    const permanent = MAPPING_PERMANENT | MAPPING_OWNS_PORT;
    assert.ok(nat.ports.claim(network, UDP, 4, OUTSIDE4[0]!, 8080));
    nat.openMapping(network, UDP, 4, 0x0a000001, 80, 0, 0, OUTSIDE4[0]!, 8080, permanent, 0);
    nat.openMapping(network, UDP, 4, 0x0a000002, 80, 0, 0, OUTSIDE4[0]!, 8081, 0, 0);
    const after = rig.restart();
    assert.equal(after.mappings.count, 1);
    assert.ok(after.mappings.findOutside(after.slots.slotOf(0), UDP, 4, OUTSIDE4[0]!, 8080) >= 0);
    checkNat(after);
  });

  it('survives any damage to its rows with sound tables', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const rig = new NatRig({ now: seed * 1000 });
      const prng = new Prng(seed);
      for (let i = 0; i < 40; i++)
        rig.flow(i & 1, i % 3 ? 4 : 6, prng.below(9), 5000 + prng.below(3), prng.below(20), 53);
      const words = new Int32Array(rig.buffer);
      for (let i = 0; i < 1 + prng.below(60); i++) {
        // Behind the counts of the header: damage to those means that nothing is taken over.
        const at = 64 + prng.below(words.length - 64);
        words[at] = prng.below(2) ? prng.next() : words[at]! ^ (1 << prng.below(32));
      }
      const nat = rig.restart();
      checkNat(nat);
      for (let i = 0; i < 60; i++)
        rig.flow(i & 1, i % 3 ? 4 : 6, prng.below(9), 5000 + prng.below(3), prng.below(20), 53);
      nat.addresses.collect();
      checkNat(nat);
    }
  });
});

/** Random flows that come, are used and go, against a map of what should be there. */
function agreesWithAMap(seed: number): void {
  const prng = new Prng(seed);
  const rig = new NatRig({ now: prng.next() | 0 });
  const model = new Map<string, number>();
  for (let i = 0; i < 600; i++) {
    const what = prng.below(20);
    const [row, family, inside, insidePort] = [
      prng.below(2),
      prng.below(2) ? 4 : 6,
      prng.below(5),
      6000 + prng.below(3),
    ];
    const [remote, remotePort] = [prng.below(6), 50 + prng.below(3)];
    const key = `${row} ${family} ${inside} ${insidePort} ${remote} ${remotePort}`;
    if (what < 13) {
      const opened = rig.flow(row, family, inside, insidePort, remote, remotePort);
      if (opened >= 0) {
        rig.nat.flows.setExpiry(opened, (rig.now + TIMEOUT_MS) | 0);
        model.set(key, rig.now);
      } else {
        assert.ok(!model.has(key));
        const { flows, mappings, addresses } = rig.nat;
        assert.ok(Math.max(flows.count, mappings.count, addresses.count + 3) >= CAPACITY, 'it is really full');
      }
    } else if (what < 16 && model.has(key)) {
      rig.nat.closeFlow(rig.flow(row, family, inside, insidePort, remote, remotePort));
      model.delete(key);
    } else if (what < 18) {
      rig.sweep(prng.below(4000));
      // What should be over may linger for two ticks of the wheel; what should not must be there.
      for (const [flow, usedAt] of model) {
        const idleMs = (rig.now - usedAt) | 0;
        if (idleMs >= TIMEOUT_MS + 600) model.delete(flow);
        else if (idleMs >= TIMEOUT_MS) forget(rig, model, flow);
      }
    } else if (what === 18 && prng.below(6) === 0) {
      const before = rig.list();
      rig.restart();
      assert.deepEqual(rig.list(), before);
    }
    rig.nat.addresses.collect();
    assert.equal(rig.nat.flows.count, model.size, `seed ${seed}, step ${i}`);
    if (i % 20 === 0) checkNat(rig.nat);
  }
}

/** Ends a flow that may or may not be over, so that both sides agree again. */
function forget(rig: NatRig, model: Map<string, number>, key: string): void {
  const [row, family, inside, insidePort, remote, remotePort] = key.split(' ').map(Number) as number[];
  const { nat } = rig;
  const before = nat.flows.count;
  const found = rig.flow(row!, family!, inside!, insidePort!, remote!, remotePort!);
  assert.ok(found >= 0 && nat.flows.count - before <= 1);
  nat.closeFlow(found);
  model.delete(key);
}
