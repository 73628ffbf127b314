// Frames that wait: what is held comes back as it was, in order, once; nothing is lost but what the pool refuses.
import { strict as assert } from 'node:assert';
import { FrameVector } from '../../src/frames/frame-vector.js';
import { HoldPool, MAX_BYTES_PER_KEY, MAX_HELD, MAX_PER_KEY, MAX_PER_PORT } from '../../src/frames/hold-pool.js';
import { BURST_BYTES, createSlab, MAX_FRAME_BYTES, type Slab } from '../../src/frames/slab.js';
import { Prng } from '../../src/lib/prng.js';
import { pattern } from '../support/frame-builders.js';

const START = 1024;
const PORTS = 8;
const SERIALS = Int32Array.from({ length: PORTS }, (_, port) => 7 + port);

class Bench {
  readonly slab: Slab = createSlab();
  readonly frames = new FrameVector(this.slab);
  readonly pool = new HoldPool(PORTS);

  hold(key: number, bytes: Uint8Array, port = 0): boolean {
    const { frames, slab } = this;
    frames.start[0] = START;
    frames.length[0] = bytes.length;
    frames.ingressPort[0] = port;
    slab.bytes.fill(0x5a, START - 12, START);
    slab.bytes.set(bytes, START);
    return this.pool.hold(frames, slab, 0, key, SERIALS[port]!);
  }

  /** What came back, as port and bytes; the vnet headers are looked at. */
  take(portSerial = SERIALS, most = 1000): [number, Uint8Array][] {
    const { frames, slab, pool } = this;
    const taken: [number, Uint8Array][] = [];
    while (pool.ready > 0 && taken.length < most) {
      const rows = pool.takeReady(frames, slab, portSerial.length, portSerial, 3, 500, 64, BURST_BYTES >> 2);
      for (let row = 3; row < 3 + rows; row++) {
        const start = frames.start[row]!;
        assert.ok(start >= 500 + 12);
        assert.deepEqual([...slab.bytes.slice(start - 12, start)], new Array(12).fill(0x5a));
        taken.push([frames.ingressPort[row]!, slab.bytes.slice(start, start + frames.length[row]!)]);
      }
      if (rows === 0) break;
    }
    return taken;
  }
}

describe('HoldPool', () => {
  it('gives back what was held under a key, in order, and nothing else', () => {
    const bench = new Bench();
    const sent = [60, 1514, 2036, 2037, 65_549, 14].map((length, n) => pattern(length, n));
    for (const bytes of sent) assert.ok(bench.hold(5, bytes, 1));
    assert.ok(bench.hold(6, pattern(99), 2));
    assert.deepEqual(bench.take(), [], 'nothing was released');
    bench.pool.release(5);
    assert.deepEqual(
      bench.take(),
      sent.map((bytes) => [1, bytes]),
    );
    assert.deepEqual([bench.pool.count, bench.pool.has(5), bench.pool.has(6)], [1, false, true]);
    bench.pool.release(6);
    assert.deepEqual(bench.take(), [[2, pattern(99)]]);
  });

  it('holds the largest frame', () => {
    const bench = new Bench();
    const largest = pattern(MAX_FRAME_BYTES);
    assert.ok(bench.hold(0, largest));
    bench.pool.release(0);
    assert.deepEqual(bench.take(), [[0, largest]]);
  });

  it('refuses more than so many frames and so many bytes of one key', () => {
    const bench = new Bench();
    for (let n = 0; n < MAX_PER_KEY; n++) assert.ok(bench.hold(1, pattern(60)));
    assert.equal(bench.hold(1, pattern(60)), false);
    for (let n = 0; n < Math.floor(MAX_BYTES_PER_KEY / 60_000); n++) assert.ok(bench.hold(2, pattern(60_000)));
    assert.equal(bench.hold(2, pattern(60_000)), false);
    assert.ok(bench.hold(3, pattern(60)), 'other keys have their own');
  });

  it('refuses more than so many frames and bytes of one port', () => {
    const bench = new Bench();
    for (let key = 0; key < MAX_PER_PORT; key++) assert.ok(bench.hold(key, pattern(60), 1));
    assert.equal(bench.hold(9999, pattern(60), 1), false);
    assert.ok(bench.hold(9999, pattern(60), 2), 'other ports have their own');
    bench.pool.release(17);
    assert.equal(bench.take().length, 1);
    assert.ok(bench.hold(9999, pattern(60), 1));
    let bytes = 0;
    for (let key = 0; bench.hold(20_000 + key, pattern(60_000), 3); key++) bytes += 60_000;
    assert.ok(bytes > 900_000 && bytes <= 1 << 20, `${bytes} bytes`);
  });

  it('refuses what does not fit at all, and takes it again when there is room', () => {
    const bench = new Bench();
    let frames = 0;
    while (bench.hold(frames, pattern(60), frames % PORTS)) frames++;
    assert.equal(frames, MAX_HELD);
    bench.pool.release(17);
    assert.equal(bench.take().length, 1);
    assert.ok(bench.hold(17, pattern(60), 1));
    const large = new Bench();
    let bytes = 0;
    for (let key = 0; large.hold(key, pattern(60_000), key % PORTS); key++) bytes += 60_000;
    assert.ok(bytes > 3_500_000 && bytes < 4 << 20, `${bytes} bytes`);
    assert.equal(large.hold(9999, pattern(60_000)), false);
  });

  it('forgets frames of ports that are not the same any more, and says so', () => {
    const bench = new Bench();
    bench.hold(1, pattern(60), 0);
    bench.hold(1, pattern(61), 1);
    bench.hold(1, pattern(62), 2);
    bench.pool.release(1);
    assert.deepEqual(bench.take(Int32Array.of(7, 99)), [[0, pattern(60)]]);
    assert.deepEqual([bench.pool.lost, bench.pool.count, bench.pool.ready], [2, 0, 0]);
  });

  it('is as good as lists in a Map over random operations (seed 20)', () => {
    const prng = new Prng(20);
    const bench = new Bench();
    const held = new Map<number, [number, Uint8Array][]>();
    let ready: [number, Uint8Array][] = [];
    for (let n = 0; n < 6000; n++) {
      const key = prng.below(40) * 1024;
      const list = held.get(key) ?? [];
      const bytes = pattern(14 + prng.below(prng.below(10) === 0 ? 20_000 : 300), n);
      const port = prng.below(PORTS);
      if (prng.below(3) !== 0) {
        if (bench.hold(key, bytes, port)) held.set(key, [...list, [port, bytes]]);
        else assert.ok(list.length >= MAX_PER_KEY || bench.pool.count > 100, 'there is a reason to refuse');
      } else if (prng.below(2) === 0) {
        bench.pool.release(key);
        ready.push(...list);
        held.delete(key);
      } else {
        const taken = bench.take(SERIALS, 1);
        assert.deepEqual(taken, ready.slice(0, taken.length));
        ready = ready.slice(taken.length);
      }
      const total = [...held.values()].reduce((sum, { length }) => sum + length, 0);
      assert.deepEqual([bench.pool.count, bench.pool.ready], [total + ready.length, ready.length]);
    }
  });
});
