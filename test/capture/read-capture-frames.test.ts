// Reading whole captures: what is given of a damaged one, what is said of it, and no more is read than is asked for.
import { strict as assert } from 'node:assert';
import { CaptureFileError, readCaptureFrames } from '../../src/capture/capture-frames.js';
import { ChunkBuilder } from '../../src/capture/chunk-builder.js';
import { createPcapWriter } from '../../src/capture/pcap-writer.js';
import { createPcapngWriter } from '../../src/capture/pcapng-writer.js';
import { pattern } from '../support/frame-builders.js';
import { capturedFrame } from './capture-frames.js';

const SIZES = [60, 1514, 65000, 14, 300];

function fileOf(type: 'pcap' | 'pcapng', sizes: readonly number[]): Uint8Array {
  const options = { application: 'weft', snaplen: 262144, filter: '' };
  const writer = type === 'pcap' ? createPcapWriter(262144) : createPcapngWriter(options);
  const out = new ChunkBuilder();
  writer.begin(out);
  writer.addInterface(out, { name: 'web', description: '', mac: null });
  for (const size of sizes) writer.frame(out, 0, capturedFrame(pattern(size)), size, null, 0);
  return out.take();
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

/** The sizes of the frames, and how it ended. */
async function outcome(input: AsyncIterable<Uint8Array>): Promise<[number[], string | null, boolean | null]> {
  const sizes: number[] = [];
  try {
    for await (const { bytes } of readCaptureFrames(input)) sizes.push(bytes.length);
    return [sizes, null, null];
  } catch (error) {
    assert.ok(error instanceof CaptureFileError, String(error));
    return [sizes, error.message, error.isCut];
  }
}

describe('captures read from a stream', () => {
  for (const type of ['pcapng', 'pcap'] as const) {
    it(`gives every frame of ${type}, however it comes`, async () => {
      const file = fileOf(type, SIZES);
      for (const size of [1, 3, 16, 1000, 70_000, 1 << 20]) {
        assert.deepEqual(await outcome(pieces(file, size)), [SIZES, null, null], `pieces of ${size}`);
      }
    });

    it(`gives the whole frames of ${type} that is cut anywhere, and then says that it is cut`, async () => {
      const file = fileOf(type, [60, 70]);
      const whole = [fileOf(type, []).length, fileOf(type, [60]).length, file.length];
      for (let length = 0; length < file.length; length++) {
        const [sizes, error, isCut] = await outcome(pieces(file.slice(0, length), 50));
        const expected = [60, 70].slice(0, Math.max(0, whole.filter((end) => end <= length).length - 1));
        assert.deepEqual(sizes, expected, `${length} bytes`);
        const isBetween = whole.includes(length) || (type === 'pcapng' && length === sectionBytes(file));
        if (isBetween) assert.equal(error, null, `${length} bytes`);
        else {
          assert.match(error ?? '', length === 0 ? /empty/ : /cut short/, `${length} bytes`);
          assert.equal(isCut, true);
        }
      }
    });
  }

  function sectionBytes(file: Uint8Array): number {
    return new DataView(file.buffer, file.byteOffset).getUint32(4, true);
  }

  it('gives the frames in front of damage, and says what is wrong behind how many', async () => {
    const pcap = fileOf('pcap', [60, 70, 80]);
    new DataView(pcap.buffer, pcap.byteOffset).setUint32(24 + 16 + 60 + 16 + 70 + 8, 262145, true);
    assert.deepEqual(await outcome(pieces(pcap, 1 << 20)), [
      [60, 70],
      'a record claims 262145 bytes, behind 2 frames',
      false,
    ]);
    const pcapng = Uint8Array.from([...fileOf('pcapng', [60]), 6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]);
    assert.deepEqual(await outcome(pieces(pcapng, 100)), [[60], 'a block claims 13 bytes, behind 1 frame', false]);
    assert.deepEqual(await outcome(pieces(pattern(100), 7)), [
      [],
      'this is neither pcapng nor pcap, behind 0 frames',
      false,
    ]);
  });

  it('does not wait for the bytes that a record claims and that are too many', async () => {
    const pcap = fileOf('pcap', [60]);
    new DataView(pcap.buffer, pcap.byteOffset).setUint32(24 + 8, 0xffffffff, true);
    let asked = 0;
    async function* endless() {
      yield pcap;
      for (;;) {
        asked++;
        yield new Uint8Array(1 << 20);
      }
    }
    const [sizes, error] = await outcome(endless());
    assert.deepEqual([sizes, error, asked], [[], 'a record claims 4294967295 bytes, behind 0 frames', 0]);
  });

  it('reads on only when the consumer asks for more', async () => {
    for (const type of ['pcapng', 'pcap'] as const) {
      let given = 0;
      async function* counting() {
        for await (const piece of pieces(fileOf(type, new Array(1000).fill(1000)), 10_000)) {
          given++;
          yield piece;
        }
      }
      const frames = readCaptureFrames(counting());
      await frames.next();
      await frames.next();
      assert.equal(given, 1, type);
      await frames.return();
    }
  });

  it('takes a record in bytes without copying it for every byte', async () => {
    const file = fileOf('pcap', [262_144, 262_144]);
    const startedAt = process.cpuUsage();
    assert.deepEqual(await outcome(pieces(file, 1)), [[262_144, 262_144], null, null]);
    // Copied for every byte, that would be 70 GB. Processor time: other programs may be busy meanwhile.
    const { user } = process.cpuUsage(startedAt);
    assert.ok(user < 8e6, `${user} us`);
  });

  it('knows nanoseconds and microseconds, in both byte orders, and leaves the input as it was', async () => {
    for (const isLittle of [true, false]) {
      for (const [magic, unit] of [
        [0xa1b2c3d4, 1000],
        [0xa1b23c4d, 1],
      ] as const) {
        const file = new Uint8Array(24 + 16 + 2);
        const view = new DataView(file.buffer);
        [magic, isLittle ? 0x00040002 : 0x00020004, 0, 0, 65535, 0x10000001, 4_000_000_000, 987, 2, 60].forEach(
          (word, i) => {
            view.setUint32(4 * i, word, isLittle);
          },
        );
        const before = file.slice();
        async function* whole() {
          yield file;
        }
        const frames = [];
        for await (const frame of readCaptureFrames(whole())) frames.push(frame);
        const common = { interfaceName: null, direction: null, comment: null, lostBefore: 0 };
        const expected = { ...common, linkType: 1, seconds: 4_000_000_000, length: 60, bytes: new Uint8Array(2) };
        assert.deepEqual(frames, [{ ...expected, nanoseconds: 987 * unit }]);
        assert.deepEqual(file, before);
      }
    }
  });
});
