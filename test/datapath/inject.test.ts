// Frames that are put in from inside weft: arrivals of the port that they name, and nothing else about them is special.
import { strict as assert } from 'node:assert';
import { PORT, portAt } from '../../src/datapath/counters.js';
import { CAPTURE_ARRIVALS } from '../../src/datapath/program.js';
import { InjectRingWriter } from '../../src/ports/inject-ring.js';
import {
  ether,
  GSO_TCP4,
  ipv4,
  partial,
  pattern,
  superFrame,
  type TestFrame,
  tcp,
  udp,
} from '../support/frame-builders.js';
import { createLab } from '../support/lab.js';
import { buildProgram, DEFAULT_NETWORK } from '../support/program-builder.js';
import { createRig } from '../support/rig.js';
import { CACHE, DB, message, WEB } from './stations.js';

describe('injected frames', () => {
  it('are flooded, switched, learned from and counted like arrivals of their port', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const question = message(WEB, DB, 'who?');
    const answer = message(DB, WEB, 'me');
    lab.inject('web', question);
    lab.run();
    lab.expect({ db: [question], cache: [question] });
    assert.deepEqual(lab.macTable(), [`0 ${WEB} web`]);

    lab.inject('db', answer);
    lab.run();
    lab.expect({ web: [answer] });
    const rx = (name: string, column: number) => lab.counters.values[portAt(lab.index(name), column)];
    assert.deepEqual([rx('web', PORT.rxFrames), rx('web', PORT.rxBytes)], [1, question.bytes.length]);
    assert.deepEqual([rx('db', PORT.rxFrames), lab.total('arrivals'), lab.total('originated')], [1, 2, 0]);
  });

  it('are dropped for the reasons that arrivals are dropped for', () => {
    const lab = createLab({ ports: { web: { vlan: 10 }, db: { vlan: 10 }, cache: { vlan: 20 } } });
    lab.inject('web', message(WEB, DB, 'tagged for another', [20]), { bytes: new Uint8Array(13), vnet: null });
    lab.inject('web', ether({ from: WEB, to: DB }, pattern(1501)), message('ff:ff:ff:ff:ff:ff', DB, 'from nobody'));
    lab.run();
    lab.expect({}, { 'vlan-not-allowed': 1, truncated: 1, 'exceeds-mtu': 1, 'invalid-source': 1 });
    const plain = message(WEB, DB, 'good');
    lab.inject('web', plain);
    lab.run();
    lab.expect({ db: [plain] });
  });

  it('are not taken for a port that serves another endpoint now', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    const row = lab.index('web');
    lab.inject('web', message(WEB, DB, 'too late'));
    lab.change({ ports: ['db'] });
    lab.change({ ports: ['db', 'cache'] });
    assert.equal(lab.index('cache'), row, 'the row is given out again');
    lab.run();
    lab.expect({});
    assert.deepEqual([lab.total('arrivals'), lab.injections.stale(row), lab.injections.isEmpty], [0, 1, true]);
  });

  it('may be super-frames and have partial checksums, also at a port without vnet headers', () => {
    for (const headerBytes of [0, 12]) {
      const lab = createLab({ ports: { web: { headerBytes }, db: {} } });
      const stream = ether({ from: WEB, to: DB }, ipv4(BETWEEN, tcp({}, pattern(20_000))));
      const whole = superFrame(stream, GSO_TCP4, 1448);
      const unfinished = partial(ether({ from: WEB, to: DB }, ipv4(BETWEEN, udp(4000, 9, 'partial'))));
      const plain = message(WEB, DB, 'plain');
      lab.inject('web', whole, unfinished, plain);
      lab.queue('web', { ...plain, vnet: null });
      lab.run();
      lab.expect({ db: [whole, unfinished, plain, plain] });
    }
  });

  it('are cut into segments for a port that takes no super-frames', () => {
    const lab = createLab({ ports: { web: {}, db: { accepts: 0 } } });
    const payload = pattern(4000);
    const stream = ether({ from: WEB, to: DB }, ipv4(BETWEEN, tcp({ sequence: 7 }, payload)));
    lab.inject('web', superFrame(stream, GSO_TCP4, 1448));
    lab.run();
    const segments = [0, 1448, 2896].map((at, n) => {
      const part = tcp({ sequence: 7 + at }, payload.subarray(at, at + 1448));
      return ether({ from: WEB, to: DB }, ipv4({ ...BETWEEN, id: 0x1234 + n }, part));
    });
    lab.expect({ db: segments });
  });

  it('are shown to a capture of their port', () => {
    const shown: number[] = [];
    const tap = () => ({
      setTime() {},
      record: (_at: number, length: number, port: number) => void shown.push(port, length),
      recordSplit() {},
      commit() {},
    });
    const lab = createLab({ ports: { web: { capture: CAPTURE_ARRIVALS }, db: {} }, captureSnaplen: 100, tap });
    const frame = message(WEB, DB, 'seen');
    lab.inject('web', frame);
    lab.run();
    lab.expect({ db: [frame] });
    assert.deepEqual(shown, [lab.index('web'), frame.bytes.length]);
  });

  it('leave the larger part of every turn to the ports, and wait without loss', () => {
    const lab = createLab({ ports: ['web', 'db', 'cache'] });
    const injected: TestFrame[] = Array.from({ length: 1000 }, (_, n) => message(WEB, DB, `injected ${n}`));
    const sent: TestFrame[] = Array.from({ length: 1000 }, (_, n) => message(CACHE, DB, `sent ${n}`));
    lab.send('db', message(DB, STRANGE, 'here'));
    lab.ignoreDepartures();
    lab.inject('web', ...injected);
    lab.queue('cache', ...sent);
    lab.datapath.turn(0);
    const first = lab.take('db').map(({ bytes }) => Buffer.from(bytes).toString('latin1'));
    assert.equal(first.filter((text) => text.includes('injected')).length, 64);
    assert.equal(first.filter((text) => text.includes('sent')).length, 192);
    lab.run();
    const rest = lab.take('db');
    assert.equal(first.length + rest.length, 2000);
    lab.ignoreDepartures();
  });

  it('wait for a worker that has no program yet', () => {
    const program = buildProgram(1, new Map([[DEFAULT_NETWORK, {}]]), PLACED);
    const rig = createRig({ program: { ...program, version: 0 }, senders: [], source: () => -1 });
    const ring = new InjectRingWriter(rig.injectMemory);
    ring.write(0, 1, message(WEB, DB, 'early').bytes, null);
    rig.datapath.turn(0);
    assert.ok(!ring.isEmpty);
    rig.datapath.adopt(program);
    assert.equal(rig.datapath.turn(0), 1);
    assert.ok(ring.isEmpty);
  });
});

const STRANGE = '02:00:5e:00:00:77';
const BETWEEN = { from: '192.0.2.1', to: '192.0.2.2' };
const PLACED = [
  { index: 0, serial: 1 },
  { index: 1, serial: 2 },
];
