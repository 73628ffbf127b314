// The bound memory: kinds of buffers, their bounds, and buffers that are taken away.

import { strict as assert } from 'node:assert';
import { native, PEER_BYTES } from '../../src/native/index.js';
import { bind } from './forwarder.js';
import { Lab, needsRoot, ok } from './lab.js';

const EINVAL = 22;

/** The plain sum of RFC 1071 section 1, word by word. */
function plainSum(bytes: Uint8Array, at: number, length: number, initial: number): number {
  let sum = initial;
  for (let i = 0; i < length; i++) sum += i % 2 === 0 ? bytes[at + i]! * 256 : bytes[at + i]!;
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

/** Numbers that repeat from run to run (mulberry32). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

describe('native: checksum', () => {
  afterEach(() => native.unbindBurst());

  it('equals the plain sum over ranges of any place and length', () => {
    const { slab } = bind(1, 1 << 17);
    const random = randomNumbers(1071);
    for (let i = 0; i < slab.length; i++) slab[i] = random(256);
    for (let round = 0; round < 3000; round++) {
      const at = random(slab.length);
      const length = Math.min(random(2) ? random(100) : random(70_000), slab.length - at);
      const initial = random(2) ? random(0x10000) : random(0xffffffff);
      const expected = plainSum(slab, at, length, initial);
      assert.equal(native.checksum(at, length, initial), expected, `at ${at} length ${length} initial ${initial}`);
    }
  });

  it('carries to the end: ranges of ones, of zeros, of nothing', () => {
    const { slab } = bind(1, 1 << 17);
    slab.fill(0xff);
    assert.equal(native.checksum(0, 1 << 17, 0), 0xffff);
    assert.equal(native.checksum(1, 65_535, 0xffffffff), plainSum(slab, 1, 65_535, 0xffffffff));
    slab.fill(0);
    assert.equal(native.checksum(0, 1 << 17, 0), 0);
    assert.equal(native.checksum(1 << 17, 0, 7), 7);
    assert.equal(native.checksum((1 << 17) - 1, 2, 0), -EINVAL);
    assert.equal(native.checksum(-1, 2, 0), -EINVAL);
    assert.equal(native.checksum(0, 2 ** 31 - 1, 0), -EINVAL);
  });
});

describe('native: bound memory', () => {
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  it('may be shared or not', () => {
    for (const shared of [true, false]) {
      bind(8, 1 << 17, shared).slab.set([1, 2]);
      assert.equal(native.checksum(0, 2, 0), 0x0102);
    }
  });

  it('is refused when resizable, detached, of a wrong type or missing', () => {
    const columns = bind(8, 1 << 17, false);
    const bindTo = (slab: unknown, changed: object = {}) =>
      native.bindBurst(slab as ArrayBuffer, { ...columns, ...changed });
    const detached = new ArrayBuffer(64);
    structuredClone(detached, { transfer: [detached] });
    const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer;
    const resizable = new Resizable(64, { maxByteLength: 128 });
    for (const slab of [undefined, null, 5, 'slab', {}, [], detached, resizable, new ArrayBuffer(0)]) {
      assert.equal(bindTo(slab), -EINVAL);
    }
    const slab = new ArrayBuffer(64);
    for (const rxStart of [undefined, [], new Uint8Array(8), new Float64Array(8), new Int32Array(resizable)]) {
      assert.equal(bindTo(slab, { rxStart }), -EINVAL);
    }
    assert.equal(bindTo(slab, { rxPeer: new Uint8Array(new ArrayBuffer(65), 1) }), -EINVAL, 'misaligned peers');
    assert.equal(native.bindBurst(slab, null as never), -EINVAL);
    assert.equal(native.checksum(0, 2, 0), -EINVAL, 'a binding that failed leaves none');
    assert.equal(bindTo(slab), 0);
  });

  it('that is taken away ends the binding instead of the process', () => {
    for (const name of ['slab', 'rxStart', 'txResult', 'ready', 'txPeer'] as const) {
      const buffer = bind(8, 1 << 17, false)[name].buffer as ArrayBuffer;
      assert.equal(native.checksum(0, 2, 0), 0);
      structuredClone(buffer, { transfer: [buffer] });
      assert.equal(native.checksum(0, 2, 0), -EINVAL, name);
      assert.equal(native.wait(0), -EINVAL);
      assert.equal(native.receiveBurst(0, 0, 8, 0, 1 << 17), -EINVAL);
      assert.equal(native.transmitBurst(0, 8), -EINVAL);
    }
    bind(8, 1 << 17, false);
    assert.equal(native.wait(0), 0, 'and a new binding works');
  });

  it('bounds the rows by the shortest column', function (this: Mocha.Context) {
    if (process.getuid?.() !== 0) this.skip();
    const columns = bind(8, 1 << 18);
    columns.rxLength = new Int32Array(4);
    columns.txBodyBytes = new Int32Array(6);
    columns.rxPeer = new Uint8Array(2 * PEER_BYTES);
    ok(native.bindBurst(columns.slab.buffer, columns));
    const ns = lab.namespace();
    lab.port(0, lab.tap(ns.fd, 'tap0', 0), 0, 0);
    lab.port(1, lab.keep(native.openUdp(ns.fd, '127.0.0.1', 0, 0), 'openUdp'), 2, 0);
    assert.equal(native.receiveBurst(0, 0, 4, 0, 1 << 18), 0);
    assert.equal(native.receiveBurst(0, 1, 4, 0, 1 << 18), -EINVAL);
    assert.equal(native.receiveBurst(0, 0, 4, 0, (1 << 18) + 1), -EINVAL);
    assert.equal(native.receiveBurst(1, 0, 2, 0, 1 << 18), 0);
    assert.equal(native.receiveBurst(1, 0, 3, 0, 1 << 18), -EINVAL);
    assert.equal(native.transmitBurst(0, 7), -EINVAL);
    assert.equal(native.transmitBurst(0, 0), 0);
    assert.equal(native.transmitBurst(6, 0), 0);
    assert.equal(native.transmitBurst(7, 0), -EINVAL);
  });
});

describe('native: descriptors and ports', () => {
  let lab: Lab;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
    bind(8, 1 << 18);
  });
  afterEach(() => lab.close());

  it('one port per descriptor, one descriptor per port, and of its own kind', () => {
    const ns = lab.namespace();
    const [tap, other] = [lab.tap(ns.fd, 'tap0', 0), lab.tap(ns.fd, 'tap1', 0)];
    lab.port(0, tap, 0, 0);
    assert.equal(native.addPort(0, other, 0, 0), -17, 'EEXIST');
    assert.equal(native.addPort(1, tap, 0, 0), -16, 'EBUSY');
    assert.equal(native.addPort(1, other, 2, 0), -9, 'EBADF: not a UDP socket');
    assert.equal(native.addPort(1, 0, 0, 0), -9, 'EBADF: standard input');
    assert.equal(native.addPort(4096, other, 0, 0), -EINVAL);
    assert.equal(native.addPort(1, other, 3, 0), -EINVAL);
    assert.equal(native.addPort(1, other, 0, 65), -EINVAL);
    assert.equal(native.closeFd(tap), -16, 'EBUSY');
    assert.equal(native.removePort(0), 0);
    assert.equal(native.removePort(0), -19, 'ENODEV');
    assert.equal(native.receiveBurst(0, 0, 1, 0, 1 << 18), -19);
    assert.equal(native.addPort(4095, tap, 0, 64), 0);
    assert.equal(native.removePort(4095), 0);
  });
});
