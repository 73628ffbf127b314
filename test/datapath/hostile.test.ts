// A million damaged and random frames into every port of a switch with every kind of port. Every frame is accounted for, the
// tables stay sound, nothing outside a frame is read or written, memory does not grow, and afterwards it still forwards.
import { strict as assert } from 'node:assert';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { dropAt, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { DROP_REASONS } from '../../src/datapath/drop-reasons.js';
import {
  ACCEPTS_CHECKSUM,
  ACCEPTS_TSO_ECN,
  ACCEPTS_TSO4,
  ACCEPTS_TSO6,
  ACCEPTS_USO,
  type Program,
} from '../../src/datapath/program.js';
import { MAX_FRAME_BYTES, type Slab } from '../../src/frames/slab.js';
import type { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { checkConservation } from '../support/conservation.js';
import { BROADCAST, ether, pattern } from '../support/frame-builders.js';
import { HostileFrames } from '../support/hostile-frames.js';
import { checkMacTable } from '../support/mac-table-check.js';
import { buildProgram, type NetworkSettings, type PortSettings } from '../support/program-builder.js';
import { createRig, type Rig } from '../support/rig.js';

const SEED = 4711;
const MILLION = 1_000_000;
const WARM_UP = 200_000;
const COMPARED = 60_000;
const GROWTH_BYTES = 1 << 20;
/** One departure in so many fails, with a different errno each time. */
const FAILURE_INTERVAL = 97;
const ERRNOS = [5, 9, 11, 12, 19, 22, 77, 100, 105];

/** The router has such a test of its own. */
const SWITCH_STAGES: readonly string[] = ['parse', 'ingress', 'switch', 'transmit'];

const NETWORKS: [string, NetworkSettings][] = [
  ['blue', { mtu: 1500 }],
  ['red', { mtu: 65521, macLimit: 50, ageingSeconds: 1, filterControl: true }],
  ['green', { mtu: 9000, storm: { broadcast: 50, multicast: 50, unknownUnicast: 500 } }],
];
const PORTS: PortSettings[] = [
  {},
  { vlan: 10 },
  { vlan: 10, accepts: 0 },
  { vlan: { native: 10, allowed: [10, 20, 4094] } },
  { accepts: 0 },
  { accepts: ACCEPTS_CHECKSUM, isolated: true },
  { accepts: ACCEPTS_CHECKSUM | ACCEPTS_TSO4, isolated: true, vlan: { allowed: [0, 10] } },
  { network: 'red' },
  { network: 'red', accepts: 0 },
  { network: 'red', accepts: ACCEPTS_CHECKSUM | ACCEPTS_TSO6 | ACCEPTS_TSO_ECN, statics: ['02:00:00:00:00:07'] },
  { network: 'red', vlan: { native: 7 }, accepts: ACCEPTS_CHECKSUM | ACCEPTS_USO },
  { network: 'green', vlan: 20, headerBytes: 12, accepts: 0, statics: ['02:00:00:00:00:08'] },
  { network: 'green' },
  { network: 'green', isolated: true, vlan: 20 },
];

function hostileProgram(): Program {
  const ports = PORTS.map((port, index) => ({ ...port, index, serial: index + 1 }));
  return buildProgram(1, new Map(NETWORKS), ports);
}

/** Checks each departure against what its port may be given, counts it, and lets some fail. */
class SuspiciousSink {
  count = 0;
  /** FNV-1a over the bytes of all departures and their ports. */
  digest = 0x811c9dc5;
  private readonly program: Program;
  private readonly isDigesting: boolean;
  private readonly frame = new Uint8Array(MAX_FRAME_BYTES + 64);
  private readonly view = new DataView(this.frame.buffer);

  constructor(program: Program, isDigesting: boolean) {
    this.program = program;
    this.isDigesting = isDigesting;
  }

  readonly take = (queue: TransmitQueue, row: number, slab: Slab): number => {
    const port = queue.port[row]!;
    const headBytes = queue.headBytes[row]!;
    const length = headBytes + queue.bodyBytes[row]!;
    const [headAt, bodyAt] = [queue.headAt[row]!, queue.bodyAt[row]!];
    if (headBytes < 0 || queue.bodyBytes[row]! < 0 || headAt < 0 || bodyAt < 0) assert.fail('a negative range');
    if (headAt + headBytes > slab.bytes.length || bodyAt + queue.bodyBytes[row]! > slab.bytes.length) {
      assert.fail('a range outside the slab');
    }
    if (port >= this.program.portCount) assert.fail(`port ${port} does not exist`);
    if (length > this.frame.length) assert.fail(`a frame of ${length} bytes`);
    for (let i = 0; i < headBytes; i++) this.frame[i] = slab.bytes[headAt + i]!;
    const shown = this.isDigesting ? length : Math.min(length, 128);
    for (let i = headBytes; i < shown; i++) this.frame[i] = slab.bytes[bodyAt + i - headBytes]!;
    this.check(port, length);
    if (this.isDigesting) this.add(port, length);
    this.count++;
    return this.count % FAILURE_INTERVAL === 0 ? -ERRNOS[(this.count / FAILURE_INTERVAL) % ERRNOS.length]! : 0;
  };

  private check(port: number, length: number): void {
    const overhead = this.program.portHeaderBytes[port]!;
    const accepts = this.program.portAccepts[port]!;
    if (length - overhead < 14) assert.fail(`a frame of ${length - overhead} bytes leaves`);
    if (overhead === 0) return;
    const type = this.view.getUint8(1);
    if ((this.view.getUint8(0) & 1) === 0) {
      if (type !== 0) assert.fail('segmentation is asked for without a checksum');
      return;
    }
    if ((accepts & ACCEPTS_CHECKSUM) === 0) assert.fail(`port ${port} cannot finish checksums`);
    const start = this.view.getUint16(6, true);
    if (start < 14 || start + this.view.getUint16(8, true) + 2 > length - overhead) {
      assert.fail('a checksum outside the frame');
    }
    if (type === 0) return;
    const needed = { 1: ACCEPTS_TSO4, 4: ACCEPTS_TSO6, 5: ACCEPTS_USO }[type & 0x7f] ?? assert.fail(`GSO type ${type}`);
    const ecn = (type & 0x80) === 0 ? 0 : ACCEPTS_TSO_ECN;
    if ((accepts & (needed | ecn)) !== (needed | ecn)) assert.fail(`port ${port} cannot cut type ${type}`);
    if (this.view.getUint16(4, true) === 0) assert.fail('segments of no size');
  }

  private add(port: number, length: number): void {
    let digest = Math.imul(this.digest ^ port, 0x01000193);
    for (let i = 0; i < length; i++) digest = Math.imul(digest ^ this.frame[i]!, 0x01000193);
    this.digest = digest;
  }
}

function hostileRig(seed: number, poison: number, isDigesting: boolean) {
  const program = hostileProgram();
  const source = new HostileFrames(seed);
  const sink = new SuspiciousSink(program, isDigesting);
  let turns = 0;
  const rig = createRig({
    program,
    senders: PORTS.map((_, index) => index),
    source: source.write,
    sink: sink.take,
    poison,
    nowMs: () => turns,
  });
  const run = (frames: number): void => {
    while (source.count < frames) {
      turns++;
      rig.datapath.turn(0);
    }
  };
  return { rig, source, sink, run };
}

function checkBooks(rig: Rig, frames: number): void {
  const { values } = rig.counters;
  assert.equal(values[totalAt(TOTAL.arrivals)], frames, 'every frame was seen');
  checkConservation(values);
  checkMacTable(rig.macs, rig.macMemory);
  assert.deepEqual(rig.datapath.faults, []);
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('hostile input', function () {
  this.timeout(120_000);

  it(`accounts for a million frames, without growing, and forwards afterwards (seed ${SEED})`, () => {
    const { rig, source, sink, run } = hostileRig(SEED, 0xa5, false);
    run(WARM_UP);
    const before = heapBytes();
    run(MILLION);
    const growth = heapBytes() - before;
    checkBooks(rig, source.count);
    assert.ok(growth < GROWTH_BYTES, `the heap grew by ${growth} bytes`);

    // Every reason to drop that depends on bytes only was met, so the frames were hostile enough. There is no tunnel.
    const { values } = rig.counters;
    const ofSwitch = ({ stage }: (typeof DROP_REASONS)[number]) => SWITCH_STAGES.includes(stage);
    const unmet = DROP_REASONS.filter((reason, code) => ofSwitch(reason) && values[dropAt(code)] === 0).map(
      ({ name }) => name,
    );
    const ofTunnels = ['split-horizon', 'exceeds-underlay', 'no-underlay-route'];
    assert.deepEqual(unmet, ['unknown-port', ...ofTunnels], 'reasons that did not occur');
    assert.ok(values[totalAt(TOTAL.segmented)]! > 1000 && values[totalAt(TOTAL.completed)]! > 1000);
    assert.ok(values[totalAt(TOTAL.forwarded)]! > 100_000);

    const hello = ether({ from: '06:00:00:00:00:01', to: BROADCAST }, pattern(100));
    const takers: number[] = [];
    rig.io.sink = (queue, row, slab) => {
      const at = queue.bodyAt[row]! + queue.bodyBytes[row]! - hello.bytes.length;
      assert.deepEqual(Buffer.from(slab.bytes.subarray(at, at + hello.bytes.length)), Buffer.from(hello.bytes));
      takers.push(queue.port[row]!);
      return 0;
    };
    let isSent = false;
    rig.io.source = (port, slab, at) => {
      if (port !== 0 || isSent) return -1;
      isSent = true;
      slab.bytes.fill(0, at - 12, at);
      slab.bytes.set(hello.bytes, at);
      return hello.bytes.length;
    };
    for (let turn = 0; turn < 10; turn++) rig.datapath.turn(0);
    assert.deepEqual(takers, [4, 5, 6], 'the untagged domain of the blue network');
    assert.equal(sink.count > MILLION, true);
    checkConservation(values);
  });

  it('does the same whatever lies in memory around the frames: nothing outside them is read', () => {
    const runs = [0x00, 0xff, 0x81].map((poison) => {
      const { rig, source, sink, run } = hostileRig(SEED + 1, poison, true);
      run(COMPARED);
      checkBooks(rig, source.count);
      return { digest: sink.digest, departures: sink.count, counters: rig.counters.values };
    });
    assert.deepEqual(runs[1], runs[0]);
    assert.deepEqual(runs[2], runs[0]);
  });
});
