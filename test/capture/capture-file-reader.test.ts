// Reading capture files: piece by piece, in every byte order, and whatever somebody made of them.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { CaptureFileReader } from '../../src/capture/capture-file-reader.js';
import { ChunkBuilder } from '../../src/capture/chunk-builder.js';
import type { FileFrame } from '../../src/capture/file-frame.js';
import { createPcapWriter } from '../../src/capture/pcap-writer.js';
import { createPcapngWriter } from '../../src/capture/pcapng-writer.js';
import { Prng } from '../../src/lib/prng.js';
import { pattern } from '../support/frame-builders.js';
import { capturedFrame, corpus } from './capture-frames.js';

function readAll(reader: CaptureFileReader): FileFrame[] {
  const frames: FileFrame[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) frames.push(frame);
  return frames;
}

function pcapngFile(frames: Uint8Array[]): Uint8Array {
  const writer = createPcapngWriter({ application: 'weft', snaplen: 262144, filter: 'ip' });
  const out = new ChunkBuilder();
  writer.begin(out);
  writer.addInterface(out, { name: 'web', description: 'network front', mac: '02:00:00:00:00:01' });
  frames.forEach((bytes, index) => {
    writer.frame(
      out,
      0,
      capturedFrame(bytes, { seconds: index }),
      bytes.length,
      index % 3 === 0 ? 'dropped' : null,
      index % 2,
    );
  });
  writer.end(out, [{ received: frames.length, accepted: frames.length, lost: 0 }], 0, 1);
  return out.take();
}

/** A file with the words of a block given one by one, in either byte order. */
function block(isLittle: boolean, type: number, ...words: number[]): Uint8Array {
  const bytes = new Uint8Array(12 + 4 * words.length);
  const view = new DataView(bytes.buffer);
  [type, bytes.length, ...words, bytes.length].forEach((value, i) => {
    view.setUint32(4 * i, value, isLittle);
  });
  return bytes;
}

describe('capture file reader', function captureFileReader() {
  this.timeout(120_000);

  it('reads a file however it is cut into pieces', () => {
    const seed = Date.now() | 0;
    const prng = new Prng(seed);
    const frames = corpus(prng, 60);
    for (const file of [pcapngFile(frames), pcapFile(frames)]) {
      for (const largest of [1, 7, 100, 5000]) {
        const reader = new CaptureFileReader();
        const seen: FileFrame[] = [];
        for (let at = 0; at < file.length; ) {
          const bytes = 1 + prng.below(largest);
          reader.push(file.subarray(at, at + bytes));
          seen.push(...readAll(reader));
          at += bytes;
        }
        assert.deepEqual([reader.error, reader.pendingBytes], [null, 0]);
        assert.deepEqual(
          seen.map((frame) => Buffer.from(frame.bytes).toString('hex')),
          frames.map((bytes) => Buffer.from(bytes).toString('hex')),
          `seed ${seed}`,
        );
      }
    }
  });

  function pcapFile(frames: Uint8Array[]): Uint8Array {
    const writer = createPcapWriter(262144);
    const out = new ChunkBuilder();
    writer.begin(out);
    for (const bytes of frames) writer.frame(out, 0, capturedFrame(bytes), bytes.length, null, 0);
    return out.take();
  }

  it('says how much of a file that was cut is left over', () => {
    const file = pcapngFile([pattern(60), pattern(61)]);
    const reader = new CaptureFileReader();
    reader.push(file.subarray(0, file.length - 130));
    assert.equal(readAll(reader).length, 1);
    assert.ok(reader.error === null && reader.pendingBytes > 0);
  });

  for (const isLittle of [true, false]) {
    const order = isLittle ? 'little-endian' : 'big-endian';

    it(`reads ${order} pcapng with time stamps of any resolution, and several sections`, () => {
      const section = block(isLittle, 0x0a0d0d0a, 0x1a2b3c4d, isLittle ? 1 : 0x10000, 0xffffffff, 0xffffffff);
      const ethernet = isLittle ? 1 : 0x10000;
      const resolution = (value: number) => (isLittle ? [0x00010009, value] : [0x00090001, value << 24]);
      const packet = (interfaceIndex: number, low: number) => block(isLittle, 6, interfaceIndex, 0, low, 4, 9, 0);
      const parts = [
        section,
        block(isLittle, 1, ethernet, 0),
        block(isLittle, 1, ethernet, 0, ...resolution(0x83)),
        packet(0, 2_500_000),
        packet(1, 20),
        section,
        block(isLittle, 1, ethernet, 0, ...resolution(3)),
        block(isLittle, 0x0bad, 1, 2, 3),
        packet(0, 1500),
        block(isLittle, 3, 4, 0),
      ];
      const reader = new CaptureFileReader();
      reader.push(Buffer.concat(parts));
      const times = readAll(reader).map(({ seconds, nanoseconds, bytes, length }) => [
        seconds,
        nanoseconds,
        bytes.length,
        length,
      ]);
      assert.deepEqual(times, [
        [2, 500_000_000, 4, 9],
        [2, 500_000_000, 4, 9],
        [1, 500_000_000, 4, 9],
        [0, 0, 4, 4],
      ]);
      assert.equal(reader.error, null);
    });

    it(`reads ${order} pcapng with obsolete packet blocks and a time offset`, () => {
      const halves = (first: number, second: number) => (isLittle ? (second << 16) | first : (first << 16) | second);
      const longs = (low: number) => (isLittle ? [low, 0] : [0, low]);
      const parts = [
        block(isLittle, 0x0a0d0d0a, 0x1a2b3c4d, halves(1, 0), 0xffffffff, 0xffffffff),
        block(isLittle, 1, halves(1, 0), 0, halves(14, 8), ...longs(1_700_000_000)),
        block(isLittle, 2, halves(0, 3), 0, 2_500_000, 4, 60, 0xaabbccdd, halves(2, 4), 1),
        block(isLittle, 2, halves(0, 0xffff) >>> 0, 0, 1, 0, 60),
      ];
      const reader = new CaptureFileReader();
      reader.push(Buffer.concat(parts));
      assert.deepEqual(
        readAll(reader).map((frame) => [frame.seconds, frame.nanoseconds, frame.lostBefore, frame.direction]),
        [
          [1_700_000_002, 500_000_000, 3, 'inbound'],
          [1_700_000_000, 1000, 0, null],
        ],
      );
      assert.equal(reader.error, null);
    });

    it(`reads ${order} pcap with microseconds`, () => {
      const bytes = new Uint8Array(24 + 16 + 4);
      const view = new DataView(bytes.buffer);
      [0xa1b2c3d4, isLittle ? 0x00040002 : 0x00020004, 0, 0, 65535, 1, 7, 250_000, 4, 60].forEach((value, i) => {
        view.setUint32(4 * i, value, isLittle);
      });
      const reader = new CaptureFileReader();
      reader.push(bytes);
      const [frame] = readAll(reader);
      assert.deepEqual(
        [frame?.seconds, frame?.nanoseconds, frame?.bytes.length, frame?.length, frame?.interfaceName],
        [7, 250_000_000, 4, 60, null],
      );
    });
  }

  it('reads what tcpdump writes', () => {
    const { stdout } = spawnSync('tcpdump', ['-r', '-', '-w', '-'], { input: pcapFile([pattern(60), pattern(70)]) });
    const reader = new CaptureFileReader();
    reader.push(stdout);
    assert.deepEqual(
      readAll(reader).map(({ bytes }) => bytes),
      [pattern(60), pattern(70)],
    );
  });

  const damages: [string, RegExp, Uint8Array][] = [
    ['no capture file', /neither pcapng nor pcap/, pattern(100)],
    ['a section without byte order', /byte order/, block(true, 0x0a0d0d0a, 1, 2, 3, 4)],
    [
      'a block of an odd length',
      /a block claims 13 bytes/,
      Uint8Array.from([...sectionBytes(), 1, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]),
    ],
    [
      'a block larger than memory',
      /claims 4294967292/,
      Uint8Array.from([...sectionBytes(), 1, 0, 0, 0, 0xfc, 255, 255, 255, 0, 0, 0, 0]),
    ],
    ['a packet of no interface', /interface/, Buffer.concat([sectionBytes(), block(true, 6, 3, 0, 0, 0, 0)])],
    [
      'a packet larger than its block',
      /more bytes than/,
      Buffer.concat([sectionBytes(), block(true, 1, 1, 0), block(true, 6, 0, 0, 0, 5000, 5000)]),
    ],
    ['a packet block without fields', /too short/, Buffer.concat([sectionBytes(), block(true, 6, 1)])],
    ['an interface block without fields', /too short/, Buffer.concat([sectionBytes(), block(true, 1)])],
  ];

  function sectionBytes(): Uint8Array {
    return block(true, 0x0a0d0d0a, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff);
  }

  for (const [what, error, bytes] of damages) {
    it(`stops with a sentence at ${what}`, () => {
      const reader = new CaptureFileReader();
      reader.push(bytes);
      assert.equal(reader.next(), null);
      assert.match(reader.error ?? '', error);
      reader.push(bytes);
      assert.equal(reader.next(), null);
    });
  }

  it('prints no control characters out of a file', () => {
    const writer = createPcapngWriter({ application: 'weft', snaplen: 0, filter: '' });
    const out = new ChunkBuilder();
    writer.begin(out);
    writer.addInterface(out, { name: 'a\u001b[2Jb', description: '', mac: null });
    writer.frame(out, 0, capturedFrame(pattern(20)), 20, 'x\u0007\u009by\n', 0);
    const reader = new CaptureFileReader();
    reader.push(out.take());
    const frame = reader.next();
    assert.deepEqual([frame?.interfaceName, frame?.comment], ['a?[2Jb', 'x??y?']);
  });

  it('survives a hundred thousand damaged files', () => {
    const seed = Date.now() | 0;
    const prng = new Prng(seed);
    // Small frames, so that several of them lie before any cut, and what is damaged is as often theirs as the file's.
    const small = Array.from({ length: 8 }, (_, index) => pattern(40 + 5 * index, index));
    const good = [pcapngFile(small), pcapFile(small)];
    let frames = 0;
    for (let round = 0; round < 100_000; round++) {
      const file = good[round & 1]!.slice(0, 400 + prng.below(400));
      for (let n = prng.below(6); n > 0; n--) {
        // Mostly small numbers, because large ones are found out at once.
        file[prng.below(file.length)] = prng.below(2) === 0 ? prng.below(16) : prng.next();
      }
      const reader = new CaptureFileReader();
      reader.push(file);
      for (let frame = reader.next(); frame !== null; frame = reader.next()) {
        frames++;
        assert.ok(frame.bytes.length <= file.length, `seed ${seed}, round ${round}`);
      }
    }
    assert.ok(frames > 100_000, `seed ${seed}: ${frames} frames were read`);
  });
});
