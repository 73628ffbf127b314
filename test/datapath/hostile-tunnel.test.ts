// A million fuzzed datagrams and outer frames into VTEPs over a socket and over a TAP. Every one is named and counted, no tenant sees what
// is another's, nothing that is not a frame is read, memory does not grow, and afterwards it still forwards.
import { strict as assert } from 'node:assert';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { dropAt, PORT, portAt, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { DROP_REASONS } from '../../src/datapath/drop-reasons.js';
import { MAX_REMOTES } from '../../src/datapath/program.js';
import type { Slab } from '../../src/frames/slab.js';
import type { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { listMacs } from '../../src/tables/mac-table.js';
import { checkConservation } from '../support/conservation.js';
import { ether, numberedMac, pattern } from '../support/frame-builders.js';
import { HostileDatagrams } from '../support/hostile-datagrams.js';
import { checkMacTable } from '../support/mac-table-check.js';
import { buildProgram, type NetworkSettings, type PlacedPort } from '../support/program-builder.js';
import { createRig, type Rig } from '../support/rig.js';
import { tunnelPorts, underlayNetworks, type VtepSettings } from '../support/tunnel-columns.js';
import { vxlan } from '../support/vxlan-frames.js';

const SEED = 1789;
const MILLION = 1_000_000;
const WARM_UP = 100_000;
const COMPARED = 40_000;
const GROWTH_BYTES = 1 << 20;
const HERE = '192.0.2.1';

const VTEPS: Record<string, VtepSettings> = {
  s: { kind: 'socket', address: HERE, senders: 1 },
  t: { kind: 'tap', address: HERE, headerBytes: 24 },
};
/** `red` has VNI 6000 at both, by a VTEP of its own, and no datagram names it. */
const NETWORKS = new Map<string, NetworkSettings>([
  ['blue', { mtu: 9000, overlay: { vtep: 's', vni: 5000, floods: ['192.0.2.2'] } }],
  ['green', { mtu: 65521, macLimit: 50, overlay: { vtep: 't', vni: 5000, keepVlans: true } }],
  ['gray', { overlay: { vtep: 's', vni: 5001, closed: true, floods: ['192.0.2.3'] } }],
  ['red', { overlay: { vtep: 's', vni: 6000 } }],
  ['pink', { overlay: { vtep: 't', vni: 6000 } }],
]);

function hostileRig(seed: number, poison: number) {
  const networks = new Map([...NETWORKS, ...underlayNetworks(VTEPS)]);
  const stations = [...NETWORKS.keys()].flatMap((network): [string, Partial<PlacedPort>][] => [
    [`${network} whole`, { network }],
    [`${network} cut`, { network, accepts: 0 }],
  ]);
  const ports = [...tunnelPorts(networks, VTEPS), ...stations].map(
    ([name, port], index): PlacedPort => ({ ...port, name, index, serial: index + 1 }),
  );
  const program = buildProgram(1, networks, ports, 0, VTEPS);
  const indexOf = (name: string) => ports.find((port) => port.name === name)!.index;
  const [socket, tap] = [indexOf('s'), indexOf('t')];
  const source = new HostileDatagrams(seed, { vnis: [5000, 5000, 5001], spared: 6000, to: HERE, taps: [tap] });
  const seen = { byPort: new Int32Array(program.portCount), digest: 0x811c9dc5 };
  const sink = (queue: TransmitQueue, row: number, slab: Slab): number => {
    seen.byPort[queue.port[row]!]!++;
    const [headAt, bodyAt] = [queue.headAt[row]!, queue.bodyAt[row]!];
    const [headEnd, bodyEnd] = [headAt + queue.headBytes[row]!, bodyAt + queue.bodyBytes[row]!];
    if (headAt < 0 || bodyAt < 0 || headEnd > slab.bytes.length || bodyEnd > slab.bytes.length) assert.fail('a range');
    if (poison < 0) return 0;
    let digest = Math.imul(seen.digest ^ queue.port[row]!, 0x01000193);
    for (let at = headAt; at < headEnd; at++) digest = Math.imul(digest ^ slab.bytes[at]!, 0x01000193);
    for (let at = bodyAt; at < bodyEnd; at++) digest = Math.imul(digest ^ slab.bytes[at]!, 0x01000193);
    seen.digest = digest;
    return 0;
  };
  const clock = { nowMs: 0 };
  const sockets = { ports: [socket], writePeer: source.writePeer };
  const nowMs = () => clock.nowMs;
  const rig = createRig({ program, senders: [socket, tap], source: source.write, sink, sockets, poison, nowMs });
  const run = (messages: number): void => {
    while (source.count < messages) {
      clock.nowMs++;
      rig.datapath.turn(0);
    }
  };
  return { rig, source, seen, run, clock, indexOf, program };
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function checkBooks(rig: Rig): void {
  checkConservation(rig.counters.values);
  checkMacTable(rig.macs, rig.macMemory);
  assert.deepEqual(rig.datapath.faults, []);
}

describe('hostile underlay', function () {
  this.timeout(240_000);

  it(`names and counts a million datagrams, and keeps tenants apart (seed ${SEED})`, () => {
    const { rig, source, seen, run, indexOf, program } = hostileRig(SEED, -1);
    run(WARM_UP);
    const before = heapBytes();
    run(MILLION);
    const growth = heapBytes() - before;
    checkBooks(rig);
    assert.ok(growth < GROWTH_BYTES, `the heap grew by ${growth} bytes`);

    const { values } = rig.counters;
    const unmet = DROP_REASONS.filter(({ stage }, code) => stage === 'decapsulate' && values[dropAt(code)] === 0);
    assert.deepEqual(
      unmet.map(({ name }) => name),
      ['remotes-full'],
      'reasons that did not occur',
    );
    assert.ok(values[totalAt(TOTAL.consumed)]! > MILLION / 4, 'many were good');

    // Nobody has sent anything to the tenants of VNI 6000.
    for (const network of ['red', 'pink']) {
      const tunnel = indexOf(`tunnel/${network}`);
      assert.equal(values[portAt(tunnel, PORT.rxFrames)], 0);
      for (const port of [`${network} whole`, `${network} cut`]) assert.equal(seen.byPort[indexOf(port)], 0, port);
      const row = program.portNetwork[tunnel];
      assert.deepEqual(
        listMacs(rig.macMemory).filter((mac) => mac.network === row),
        [],
      );
    }
    for (const network of ['blue', 'green', 'gray']) assert.ok(seen.byPort[indexOf(`${network} whole`)]! > 1000);

    // And it still forwards.
    const good = vxlan(6000, ether({ from: numberedMac(1), to: numberedMac(2) }, pattern(60)).bytes);
    let left = 1;
    rig.io.source = (port, slab, at) => {
      if (port !== indexOf('s') || left-- <= 0) return -1;
      slab.bytes.set(good, at);
      return good.length;
    };
    const peers = (rig.io as unknown as { sockets: { writePeer: unknown } }).sockets;
    peers.writePeer = (rows: typeof rig.frames.rxPeer, row: number) =>
      rows.write(row, 4, 50_000, 0, Int32Array.of(0xc0000202 | 0, 0, 0, 0), 0, 0, 0, 0);
    rig.datapath.turn(0);
    assert.deepEqual([seen.byPort[indexOf('red whole')], seen.byPort[indexOf('pink whole')]], [1, 0]);
    assert.ok(source.count >= MILLION);
  });

  it('reads nothing that is not part of a datagram', () => {
    const runs = [0x00, 0xff].map((poison) => {
      const { rig, seen, run } = hostileRig(SEED + 1, poison);
      run(COMPARED);
      checkBooks(rig);
      const drops = DROP_REASONS.map(({ name }, code) => `${name} ${rig.counters.values[dropAt(code)]}`);
      return { digest: seen.digest, drops, byPort: [...seen.byPort] };
    });
    assert.deepEqual(runs[0], runs[1]);
  });

  it('forgets forged VTEPs again when somebody has sent from more addresses than it can remember', () => {
    const { rig, clock, indexOf } = hostileRig(SEED + 2, -1);
    let n = 0;
    let isQuiet = false;
    const payload = vxlan(5000, ether({ from: numberedMac(1), to: numberedMac(2) }, pattern(60)).bytes);
    rig.io.source = (port, slab, at) => {
      if (isQuiet || port !== indexOf('s')) return -1;
      slab.bytes.set(payload, at);
      return payload.length;
    };
    const words = new Int32Array(4);
    const peers = (rig.io as unknown as { sockets: { writePeer: unknown } }).sockets;
    peers.writePeer = (rows: typeof rig.frames.rxPeer, row: number) => {
      words[0] = 0x0a000000 + n++;
      rows.write(row, 4, 50_000, 0, words, 0, 0, 0, 0);
    };
    while (n < 10_000) rig.datapath.turn(0);
    const full = DROP_REASONS.findIndex(({ name }) => name === 'remotes-full');
    assert.ok(rig.counters.values[dropAt(full)]! > 0);
    assert.equal(rig.remotes.count, (MAX_REMOTES * 3) / 4 + 2, 'three quarters, and those of the flood lists');
    isQuiet = true;
    clock.nowMs += 3_600_000;
    for (let turn = 0; turn < 200_000; turn++) {
      clock.nowMs++;
      rig.datapath.turn(0);
    }
    assert.equal(rig.remotes.count, 2, 'those of the flood lists');
    checkBooks(rig);
  });
});
