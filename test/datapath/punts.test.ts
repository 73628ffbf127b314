// The way of frames to the services of the control thread: whole, at once, and no more than it can bear.
import { strict as assert } from 'node:assert';
import { createCaptureMemory } from '../../src/capture/capture-layout.js';
import { CaptureRingReader } from '../../src/capture/capture-ring-reader.js';
import { PuntRing } from '../../src/capture/punt-ring.js';
import { PuntReader } from '../../src/control/punt-reader.js';
import { MAX_PUNTED_BYTES, Punts } from '../../src/datapath/punts.js';
import { COMPLETE, FrameVector } from '../../src/frames/frame-vector.js';
import { createSlab } from '../../src/frames/slab.js';
import * as checksum from '../../src/wire/checksum.js';
import { pattern } from '../support/frame-builders.js';

const AT = 4098;

function open() {
  const memory = createCaptureMemory(1 << 18);
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const sum = (at: number, length: number, initial: number) => checksum.sum(slab.view, at, length, initial);
  const punts = new Punts(new PuntRing(memory, slab.bytes, sum));
  const reader = new CaptureRingReader(memory);
  /** Whether a frame from `port` was taken. */
  const punt = (port: number, now: number, bytes: Uint8Array = pattern(300)): boolean => {
    slab.bytes.set(bytes, AT);
    frames.start[0] = AT;
    frames.length[0] = bytes.length;
    frames.ingressPort[0] = port;
    frames.checksumStart[0] = COMPLETE;
    return punts.take(frames, 0, now);
  };
  const read = () => {
    const seen: { port: number; bytes: Uint8Array }[] = [];
    const copy = ({ bytes, at, captured, port }: { bytes: Uint8Array; at: number; captured: number; port: number }) =>
      void seen.push({ port, bytes: bytes.slice(at, at + captured) });
    reader.read(copy, Number.POSITIVE_INFINITY);
    return seen;
  };
  return { memory, punts, punt, read };
}

describe('punts', () => {
  it('hands frames over whole, when the turn ends', () => {
    const { punts, punt, read } = open();
    assert.ok(punt(7, 0, pattern(342, 1)));
    assert.ok(punt(8, 0, pattern(60, 2)));
    assert.deepEqual(read(), []);
    punts.commit();
    assert.deepEqual(read(), [
      { port: 7, bytes: pattern(342, 1) },
      { port: 8, bytes: pattern(60, 2) },
    ]);
  });

  it('takes eight at once and then ten a second of a port, and nothing from the others', () => {
    const { punt } = open();
    const fates = Array.from({ length: 12 }, () => punt(1, 1000));
    assert.deepEqual(fates, [...new Array(8).fill(true), ...new Array(4).fill(false)]);
    assert.ok(punt(2, 1000));
    assert.deepEqual([punt(1, 1099), punt(1, 1100), punt(1, 1101)], [false, true, false]);
  });

  it('forgets what a port has used when the row goes to another endpoint', () => {
    const { punts, punt } = open();
    while (punt(1, 0));
    punts.resetPort(1);
    assert.ok(punt(1, 0));
  });

  it('refuses what is longer than any request', () => {
    const { punt } = open();
    assert.ok(punt(1, 0, pattern(MAX_PUNTED_BYTES)));
    assert.ok(!punt(1, 0, pattern(MAX_PUNTED_BYTES + 1)));
  });

  it('refuses, and blocks nobody, when all ports together ask too often or nobody reads', () => {
    const { punts, punt, read } = open();
    let consumed = 0;
    for (let port = 0; port < 1000; port++) if (punt(port, 0)) consumed++;
    assert.equal(consumed, 200);
    // A ring of 256 KiB holds some hundred of the longest, and no more than that.
    for (let now = 1000; now < 3000; now += 100) {
      for (let port = 0; port < 100; port++) if (punt(port, now, pattern(2000))) consumed++;
    }
    punts.commit();
    assert.equal(read().length, consumed);
    assert.ok(consumed < 400, `${consumed}`);
    assert.ok(punt(5, 60_000), 'once it was read, it goes on');
  });

  it('wakes the reader, which hands on every frame until it is stopped', async () => {
    const { memory, punts, punt } = open();
    const seen: number[] = [];
    let notice = () => {};
    const reader = new PuntReader(memory, ({ port }) => {
      seen.push(port);
      notice();
    });
    const ended = reader.run();
    for (let port = 1; port <= 3; port++) {
      const noticed = new Promise<void>((resolve) => {
        notice = resolve;
      });
      // By now the reader sleeps: nothing but the notification of the commit gets it going again.
      await new Promise((resolve) => setImmediate(resolve));
      punt(port, port * 1000);
      punts.commit();
      const patience = setTimeout(() => assert.fail('the reader was not woken'), 10_000);
      await noticed;
      clearTimeout(patience);
    }
    reader.stop();
    await ended;
    assert.deepEqual(seen, [1, 2, 3]);
  });
});
