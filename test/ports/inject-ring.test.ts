// The injection ring: what the control thread writes is what the worker takes, byte for byte and in order, whatever the sizes.
import { strict as assert } from 'node:assert';
import { Worker } from 'node:worker_threads';
import { FrameVector } from '../../src/frames/frame-vector.js';
import { BURST_BYTES, BURST_FRAMES, createSlab, HEADROOM_BYTES } from '../../src/frames/slab.js';
import { Prng } from '../../src/lib/prng.js';
import {
  createInjectMemory,
  InjectRingReader,
  InjectRingWriter,
  MAX_INJECTED_BYTES,
  type UnfinishedFrame,
} from '../../src/ports/inject-ring.js';
import { pattern, VNET_BYTES } from '../support/frame-builders.js';
import { SEEN } from './inject-ring-worker.js';

const CONSUMER = new URL('./inject-ring-worker.js', import.meta.url);
const THREAD_FRAMES = 20_000;
const RING_BYTES = 1 << 18;
/** Of ports 0 to 3. */
const SERIALS = Int32Array.of(11, 12, 13, 14);
const SUPER: UnfinishedFrame = { gsoType: 1, gsoSize: 1448, headerBytes: 66, checksumStart: 34, checksumOffset: 16 };

/** One frame as it was taken. */
interface Taken {
  port: number;
  bytes: string;
  vnet: string;
}

describe('the injection ring', () => {
  it('hands over frames in order, as arrivals behind their headroom, with their vnet header', () => {
    const { writer, take } = openRing();
    const small = pattern(60, 1);
    const large = pattern(65_536, 2);
    assert.ok(writer.write(2, 13, small, null));
    assert.ok(writer.write(0, 11, large, SUPER));
    assert.equal(writer.isEmpty, false);

    assert.deepEqual(take(), [
      { port: 2, bytes: hex(small), vnet: '00'.repeat(12) },
      { port: 0, bytes: hex(large), vnet: '01014200a805220010000000' },
    ]);
    assert.equal(writer.isEmpty, true);
    assert.deepEqual(take(), []);
  });

  it('discards and counts frames for a port that is not the same any more, and takes the others', () => {
    const { writer, take } = openRing();
    writer.write(1, 99, pattern(60), null);
    writer.write(4000, 12, pattern(60), null);
    writer.write(1, 12, pattern(61), null);
    assert.deepEqual(
      take().map(({ bytes }) => bytes),
      [hex(pattern(61))],
    );
    assert.deepEqual([writer.stale(1), writer.stale(4000), writer.stale(0)], [1, 1, 0]);
  });

  it('passes over any number of stale frames at once, so that nothing is left waiting behind them', () => {
    const { writer, take } = openRing();
    while (writer.write(1, 99, pattern(14), null));
    const stale = Math.floor(RING_BYTES / 48);
    assert.deepEqual(take(), []);
    assert.equal(writer.stale(1), stale);
    assert.ok(writer.isEmpty);
  });

  it('takes no more frames and bytes at once than it may', () => {
    const { writer, take } = openRing();
    for (let i = 0; i < 5; i++) writer.write(0, 11, pattern(100, i), null);
    assert.equal(take(3).length, 3);
    assert.equal(take(3).length, 2);
    for (let i = 0; i < 3; i++) writer.write(0, 11, pattern(60_000, i), null);
    assert.equal(take(BURST_FRAMES, 64_000).length, 2, 'the second begins below the limit');
    assert.equal(take(BURST_FRAMES, 64_000).length, 1);
  });

  it('refuses what does not fit now, and takes it once there is room', () => {
    const { writer, take } = openRing();
    const largest = pattern(MAX_INJECTED_BYTES);
    let written = 0;
    while (writer.write(3, 14, largest, null)) written++;
    assert.equal(written, 3, 'of four that fit by their size alone, the headers displace one');
    assert.equal(take().length, 3);
    assert.ok(writer.write(3, 14, largest, null));
    assert.equal(take()[0]?.bytes, hex(largest));
  });

  it('refuses frames longer than any frame, and sizes that are no power of two', () => {
    const { writer } = openRing();
    assert.throws(() => writer.write(0, 11, new Uint8Array(MAX_INJECTED_BYTES + 1), null), RangeError);
    for (const bytes of [0, 1 << 17, (1 << 18) + 8, Number.NaN, -1]) {
      assert.throws(() => createInjectMemory(bytes), RangeError, String(bytes));
    }
  });

  it('goes on with the next frame when one end or the other is made anew', () => {
    const memory = createInjectMemory(RING_BYTES);
    const first = openRing(memory);
    first.writer.write(0, 11, pattern(60, 1), null);
    first.writer.write(0, 11, pattern(60, 2), null);
    assert.equal(first.take(1)[0]?.bytes, hex(pattern(60, 1)));

    const second = openRing(memory);
    assert.equal(second.take()[0]?.bytes, hex(pattern(60, 2)), 'a worker that takes over');
    second.writer.write(0, 11, pattern(60, 3), null);
    assert.equal(second.take()[0]?.bytes, hex(pattern(60, 3)), 'a writer that takes over');
  });

  it('goes between two threads without damage, and a consumer that is killed costs no more than what it had taken', async () => {
    const memory = createInjectMemory(RING_BYTES);
    const shared = new SharedArrayBuffer(4 * (SEEN.timesOfFrame + 1 + THREAD_FRAMES));
    const seen = new Int32Array(shared);
    const consumer = (seed: number) => new Worker(CONSUMER, { workerData: { memory, seen: shared, seed } });
    let worker = consumer(1);
    const writer = new InjectRingWriter(memory);
    const prng = new Prng(7);
    const deadline = Date.now() + 20_000;
    for (let number = 1; number <= THREAD_FRAMES; number++) {
      const frame = new Uint8Array(14 + prng.below(prng.below(100) === 0 ? 60_000 : 500)).fill(number & 0xff);
      new DataView(frame.buffer).setInt32(0, number);
      while (!writer.write(0, 1, frame, null)) {
        assert.ok(Date.now() < deadline, 'the consumer takes frames');
        await new Promise((resolve) => setImmediate(resolve));
      }
      if (number === THREAD_FRAMES / 2) {
        await worker.terminate();
        worker = consumer(2);
      }
    }
    while (!writer.isEmpty || Atomics.load(seen, SEEN.last) !== THREAD_FRAMES) {
      assert.ok(Date.now() < deadline, 'the consumer takes the last frame');
      await new Promise((resolve) => setImmediate(resolve));
    }
    Atomics.store(seen, SEEN.isStopped, 1);
    await new Promise((resolve) => worker.once('exit', resolve));
    const times = seen.subarray(SEEN.timesOfFrame + 1, SEEN.timesOfFrame + 1 + THREAD_FRAMES);
    const missing = times.filter((count) => count === 0).length;
    assert.equal(seen[SEEN.damaged], 0, 'whole, and in order');
    assert.ok(
      times.every((count) => count <= 1),
      'none twice',
    );
    assert.ok(missing <= 64, `${missing} frames died with the first consumer`);
  });

  for (const seed of [1, 2, 3, 4]) {
    it(`agrees with a plain queue over random sizes, stale frames and limits, seed ${seed}`, () => {
      const prng = new Prng(seed);
      const { writer, take } = openRing();
      const queue: Taken[] = [];
      const lost = new Float64Array(SERIALS.length);
      let bytesThrough = 0;
      for (let step = 0; step < 800; step++) {
        for (let i = prng.below(8); i > 0; i--) {
          const port = prng.below(SERIALS.length);
          const isStale = prng.below(10) === 0;
          const frame = pattern(14 + prng.below(prng.below(20) === 0 ? 65_000 : 1500), step + i);
          const unfinished = prng.below(3) === 0 ? { ...SUPER, gsoSize: prng.below(65_536) } : null;
          if (!writer.write(port, SERIALS[port]! + (isStale ? 100 : 0), frame, unfinished)) break;
          bytesThrough += frame.length;
          if (isStale) lost[port]!++;
          else queue.push({ port, bytes: hex(frame), vnet: vnetText(unfinished) });
        }
        const taken = take(1 + prng.below(20), 1 + prng.below(BURST_BYTES));
        assert.deepEqual(taken, queue.splice(0, taken.length), `step ${step}`);
      }
      while (queue.length > 0) {
        const taken = take();
        assert.notEqual(taken.length, 0, 'everything that was written comes out');
        assert.deepEqual(taken, queue.splice(0, taken.length));
      }
      assert.deepEqual(take(), []);
      assert.deepEqual(
        [...lost.keys()].map((port) => writer.stale(port)),
        [...lost],
      );
      assert.ok(bytesThrough > 8 * RING_BYTES, 'the ring went round many times');
    });
  }
});

function openRing(memory = createInjectMemory(RING_BYTES)) {
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const reader = new InjectRingReader(memory, slab, frames);
  const take = (maxFrames = BURST_FRAMES, maxBytes = BURST_BYTES): Taken[] => {
    const count = reader.take(SERIALS.length, SERIALS, maxFrames, maxBytes);
    assert.ok(count <= maxFrames);
    let end = 0;
    return Array.from({ length: count }, (_, row) => {
      const start = frames.start[row]!;
      assert.ok(start - end >= HEADROOM_BYTES, 'there is headroom');
      assert.equal(start % 16, 2, 'the L3 header is aligned');
      end = start + frames.length[row]!;
      assert.ok(end <= slab.bytes.length);
      const bytes = hex(slab.bytes.subarray(start, end));
      return { port: frames.ingressPort[row]!, bytes, vnet: hex(slab.bytes.subarray(start - VNET_BYTES, start)) };
    });
  };
  return { writer: new InjectRingWriter(memory), take };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Little-endian, as struct virtio_net_hdr_mrg_rxbuf. */
function vnetText(unfinished: UnfinishedFrame | null): string {
  if (unfinished === null) return '00'.repeat(VNET_BYTES);
  const { gsoType, gsoSize, headerBytes, checksumStart, checksumOffset } = unfinished;
  const word = (value: number) => hex(Uint8Array.of(value & 0xff, value >>> 8));
  return `01${hex(Uint8Array.of(gsoType))}${[headerBytes, gsoSize, checksumStart, checksumOffset, 0].map(word).join('')}`;
}
