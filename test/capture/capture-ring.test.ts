// The capture ring: what is recorded comes out in order and unharmed, through wrap-around, full rings and two threads.
import { strict as assert } from 'node:assert';
import { Worker } from 'node:worker_threads';
import { createCaptureMemory } from '../../src/capture/capture-layout.js';
import { CaptureRing } from '../../src/capture/capture-ring.js';
import { type CapturedFrame, CaptureRingReader } from '../../src/capture/capture-ring-reader.js';
import { ARRIVAL, DEPARTURE, NOT_DROPPED } from '../../src/datapath/frame-tap.js';
import { Prng } from '../../src/lib/prng.js';
import * as checksum from '../../src/wire/checksum.js';
import { type BuiltFrame, ether, ipv4, ipv6, partial, pattern, tcp, udp } from '../support/frame-builders.js';
import type { RingWorkerData } from './ring-worker.js';

const RING_BYTES = 1 << 18;
const SLAB_BYTES = 256 << 10;
const WHOLE = 262144;

interface Seen {
  data: string;
  length: number;
  port: number;
  direction: number;
  reason: number;
  time: string;
  isComplete: boolean;
}

function see(frame: CapturedFrame): Seen {
  const { bytes, at, captured, length, port, direction, reason, seconds, nanoseconds, isChecksumComplete } = frame;
  const data = Buffer.from(bytes.slice(at, at + captured)).toString('latin1');
  return { data, length, port, direction, reason, time: `${seconds}.${nanoseconds}`, isComplete: isChecksumComplete };
}

describe('capture ring', () => {
  let memory: SharedArrayBuffer;
  let slab: Uint8Array;
  let ring: CaptureRing;
  let reader: CaptureRingReader;

  beforeEach(() => {
    memory = createCaptureMemory(RING_BYTES);
    slab = new Uint8Array(SLAB_BYTES);
    const view = new DataView(slab.buffer);
    ring = new CaptureRing(memory, slab, (at, length, initial) => checksum.sum(view, at, length, initial));
    reader = new CaptureRingReader(memory);
  });

  const readAll = (limit = Number.POSITIVE_INFINITY): Seen[] => {
    const seen: Seen[] = [];
    reader.read((frame) => seen.push(see(frame)), limit);
    return seen;
  };

  it('shows nothing before the commit', () => {
    ring.record(0, 60, 1, ARRIVAL, NOT_DROPPED, -1, 0, WHOLE);
    assert.deepEqual(readAll(), []);
    ring.commit();
    assert.equal(readAll().length, 1);
  });

  it('gives every field back', () => {
    slab.set(pattern(100), 130);
    ring.setTime(4_000_000_000, 999_999_999);
    ring.record(130, 100, 4095, DEPARTURE, 16, -1, 0xffff, 60);
    ring.commit();
    const data = Buffer.from(pattern(100).subarray(0, 60)).toString('latin1');
    const of = { length: 100, port: 4095, direction: DEPARTURE, reason: 16, isComplete: true };
    const expected = { data, ...of, time: '4000000000.999999999' };
    assert.deepEqual(readAll(), [expected]);
  });

  it('behaves like a queue of copies under random operations', () => {
    const seed = Date.now() | 0;
    const prng = new Prng(seed);
    for (let i = 0; i < SLAB_BYTES; i++) slab[i] = prng.next();
    const model: Seen[] = [];
    const fresh: Seen[] = [];
    let lost = 0;
    for (let step = 0; step < 40_000; step++) {
      const action = prng.below(10);
      if (action < 7) {
        const headBytes = prng.below(3) === 0 ? prng.below(40) : 0;
        const bodyBytes = prng.below(prng.below(20) === 0 ? 65_600 : 1600);
        const headAt = 200_000 + prng.below(1000);
        const bodyAt = prng.below(100_000);
        const snaplen = [0, 14, 60, 128, 1000, WHOLE][prng.below(6)]!;
        const port = prng.below(4096);
        const direction = prng.below(2);
        const reason = prng.below(18) - 1;
        const seconds = prng.next();
        const lostBefore = ring.lost;
        ring.setTime(seconds, step);
        ring.recordSplit(headAt, headBytes, bodyAt, bodyBytes, port, direction, reason, -1, 0, snaplen);
        if (ring.lost > lostBefore) {
          lost++;
          continue;
        }
        const frame = Buffer.concat([
          slab.subarray(headAt, headAt + headBytes),
          slab.subarray(bodyAt, bodyAt + bodyBytes),
        ]);
        const data = frame.subarray(0, snaplen).toString('latin1');
        fresh.push({
          data,
          length: frame.length,
          port,
          direction,
          reason,
          time: `${seconds}.${step}`,
          isComplete: true,
        });
      } else if (action < 9) {
        ring.commit();
        model.push(...fresh.splice(0));
      } else {
        // Now and then the reader falls behind.
        const limit = 1 + prng.below(step % 4000 < 2000 ? 200 : 5);
        assert.deepEqual(readAll(limit), model.splice(0, limit), `seed ${seed}, step ${step}`);
      }
    }
    ring.commit();
    assert.deepEqual(readAll(), [...model, ...fresh], `seed ${seed}`);
    assert.ok(lost > 0, 'the ring was full at times');
    assert.equal(reader.lostTotal(), ring.lost);
  });

  it('counts what it loses by port and direction, and keeps what it has', () => {
    slab.fill(7);
    let recorded = 0;
    for (let i = 0; i < 1000; i++) {
      ring.record(0, 1000, 3, DEPARTURE, NOT_DROPPED, -1, 0, WHOLE);
      ring.commit();
      recorded++;
    }
    const lost = reader.lost(3, DEPARTURE);
    assert.ok(lost > 700);
    assert.deepEqual([reader.lost(3, ARRIVAL), reader.lost(2, DEPARTURE), reader.lostTotal()], [0, 0, lost]);
    const seen = readAll();
    assert.equal(seen.length, recorded - lost);
    assert.ok(seen.every(({ data }) => data === '\u0007'.repeat(1000)));
  });

  it('goes on where a former producer had published, without what it had not', () => {
    ring.record(0, 60, 1, ARRIVAL, NOT_DROPPED, -1, 0, WHOLE);
    ring.commit();
    ring.record(0, 60, 2, ARRIVAL, NOT_DROPPED, -1, 0, WHOLE);
    const next = new CaptureRing(memory, slab, () => 0);
    next.record(0, 60, 3, ARRIVAL, NOT_DROPPED, -1, 0, WHOLE);
    next.commit();
    assert.deepEqual(
      readAll().map(({ port }) => port),
      [1, 3],
    );
  });

  it('refuses sizes that are no power of two or cannot hold a super-frame', () => {
    for (const bytes of [0, 1 << 17, (1 << 18) + 8, 1 << 31, Number.NaN]) {
      assert.throws(() => createCaptureMemory(bytes), RangeError);
    }
  });

  describe('completes checksums', () => {
    const WEB = '02:00:00:00:00:01';
    const DB = '02:00:00:00:00:02';
    const v4 = { from: '192.0.2.1', to: '192.0.2.2' };
    const v6 = { from: '2001:db8::1', to: '2001:db8::2' };
    const frames: [string, BuiltFrame][] = [
      ['TCP', ether({ from: WEB, to: DB }, ipv4(v4, tcp({}, pattern(777))))],
      ['a TCP super-frame', ether({ from: WEB, to: DB }, ipv4(v4, tcp({}, pattern(64_001))))],
      [
        'the longest frame that is summed when it is cut',
        ether({ from: WEB, to: DB }, ipv4(v4, tcp({}, pattern(8964)))),
      ],
      ['UDP over IPv6', ether({ from: WEB, to: DB, tags: [7] }, ipv6(v6, udp(4000, 53, pattern(301))))],
      ['UDP whose checksum comes out as zero', ether({ from: WEB, to: DB }, ipv4(v4, udp(1, 2, zeroSumPayload())))],
      ['TCP whose checksum comes out as zero', ether({ from: WEB, to: DB }, ipv4(v4, tcp({}, zeroTcpPayload())))],
    ];

    /** Two bytes that make the sum of the datagram below all ones. */
    function zeroSumPayload(): Uint8Array {
      for (let value = 0; value < 65536; value++) {
        const payload = Uint8Array.of(value >>> 8, value & 0xff);
        const { bytes, l4At, checksumOffset } = ether({ from: WEB, to: DB }, ipv4(v4, udp(1, 2, payload)));
        if (bytes[l4At + checksumOffset] === 0xff && bytes[l4At + checksumOffset + 1] === 0xff) return payload;
      }
      throw new Error('no payload makes the checksum zero');
    }

    /** The same for TCP, which sends zero as zero. */
    function zeroTcpPayload(): Uint8Array {
      for (let value = 0; value < 65536; value++) {
        const payload = Uint8Array.of(value >>> 8, value & 0xff);
        const { bytes, l4At, checksumOffset } = ether({ from: WEB, to: DB }, ipv4(v4, tcp({}, payload)));
        if (bytes[l4At + checksumOffset] === 0 && bytes[l4At + checksumOffset + 1] === 0) return payload;
      }
      throw new Error('no payload makes the checksum zero');
    }

    for (const [name, whole] of frames) {
      const { bytes, l4At, checksumOffset } = partial(whole);
      const end = l4At + checksumOffset + 2;
      for (const snaplen of [WHOLE, bytes.length - 1, 128, end, end - 1]) {
        it(`of ${name}, ${Math.min(snaplen, bytes.length)} of ${bytes.length} bytes kept, in one piece and in two`, () => {
          for (const headBytes of [0, 13, 18, 35, end + 1]) {
            const headAt = 100_001;
            const bodyAt = 130;
            slab.set(bytes.subarray(0, headBytes), headAt);
            slab.set(bytes.subarray(headBytes), bodyAt);
            const bodyBytes = bytes.length - headBytes;
            ring.recordSplit(headAt, headBytes, bodyAt, bodyBytes, 1, 0, -1, l4At, checksumOffset, snaplen);
            ring.commit();
            const isLeft = bytes.length > 9018 && snaplen < bytes.length;
            // A field that is cut off stays as it is, and so does that of a super-frame.
            const expected = (end <= snaplen && !isLeft ? whole.bytes : bytes).subarray(0, snaplen);
            const [seen] = readAll();
            assert.equal(seen!.data, Buffer.from(expected).toString('latin1'), `head of ${headBytes}`);
            assert.equal(seen!.isComplete, !isLeft);
          }
        });
      }
    }

    it('of nothing when a sender asks for a field outside its frame', () => {
      slab.set(pattern(100), 130);
      for (const [start, offset] of [
        [100, 0],
        [99, 0],
        [0, 99],
        [65535, 65535],
        [14, 65535],
      ] as const) {
        for (const snaplen of [WHOLE, 99]) {
          ring.record(130, 100, 1, ARRIVAL, 1, start, offset, snaplen);
          ring.commit();
          assert.equal(readAll()[0]!.data, Buffer.from(pattern(100).subarray(0, snaplen)).toString('latin1'));
        }
      }
    });
  });

  it('carries frames from one thread to another, whole and in order, and accounts for every one', async () => {
    const frames = 60_000;
    const shared = createCaptureMemory(1 << 20);
    const seed = Date.now() | 0;
    const data: RingWorkerData = { memory: shared, frames, seed };
    const other = new CaptureRingReader(shared);
    const worker = new Worker(new URL('./ring-worker.js', import.meta.url), { workerData: data });
    let last = -1;
    let read = 0;
    const visit = ({ bytes, at, captured, length, port }: CapturedFrame) => {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at, captured);
      const number = view.getInt32(0);
      assert.ok(number > last, `frame ${number} after ${last}, seed ${seed}`);
      assert.deepEqual([port, captured, length], [number % 7, view.getInt32(4), view.getInt32(4)], `seed ${seed}`);
      for (let i = 8; i < captured; i++) assert.ok(view.getUint8(i) === (number & 0xff), `byte ${i}, seed ${seed}`);
      last = number;
      read++;
    };
    const lost = await new Promise<number>((resolve, reject) => {
      const timer = setInterval(() => other.read(visit, 1000), 0);
      worker.once('error', reject);
      worker.once('message', (total: number) => {
        clearInterval(timer);
        resolve(total);
      });
    });
    other.read(visit, Number.POSITIVE_INFINITY);
    assert.equal(read + lost, frames);
    assert.ok(read > 0);
    assert.equal(other.lostTotal(), lost);
  });

  it('allocates nothing for frames of which few bytes are kept', () => {
    const record = (times: number) => {
      for (let i = 0; i < times; i++) {
        ring.record(130, 1500, 1, ARRIVAL, NOT_DROPPED, -1, 0, 128);
        if ((i & 63) === 0) {
          ring.commit();
          reader.discard();
        }
      }
    };
    record(100_000);
    const before = process.memoryUsage().heapUsed;
    record(1_000_000);
    const grown = process.memoryUsage().heapUsed - before;
    assert.ok(grown < 1 << 20, `the heap grew by ${grown} bytes`);
  });
});
