// Captures that go on in another file: every file is whole and small enough, together they have every frame once, and only
// what the capture wrote is renamed or deleted.
import { strict as assert } from 'node:assert';
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, format, parse } from 'node:path';
import { runningCaptures } from '../../src/control/captures/capture-resume.js';
import { pattern } from '../support/frame-builders.js';
import { brief, datagram, read, useCaptureLab, waitFor } from './capture-lab.js';

const SIZE = 65536;

describe('capture rotation', () => {
  const lab = useCaptureLab();

  function numbered(file: string, number: number): string {
    const { dir, name, ext } = parse(file);
    return format({ dir, name: `${name}.${number}`, ext });
  }

  /** Numbers `from` to `to`, as source ports of datagrams of a kilobyte from web to db. */
  function send(from: number, to: number): void {
    for (let n = from; n <= to; n++) lab().recorder.arrive(0, datagram(0, 1, n, pattern(1000)));
  }

  function numbers(file: string): number[] {
    return read(readFileSync(file)).map((frame) => Number(brief(frame).split(' ')[2]));
  }

  const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

  it('has every frame once, in files that can each be read and are no longer than asked for', async () => {
    for (const type of ['pcapng', 'pcap'] as const) {
      const file = lab().newFile();
      const { name } = await lab().captures.start({ file, network: 'front', format: type, rotateSize: SIZE });
      send(1, 320);
      const view = await lab().captures.stop(name);
      assert.deepEqual(view.files, [1, 2, 3, 4, 5].map((n) => numbered(file, n)).concat(file));
      assert.deepEqual([view.frames, view.lost, view.rotateSize, view.rotateFiles], [320, 0, SIZE, null]);
      const seen = view.files.flatMap((path) =>
        read(readFileSync(path)).map(({ bytes }) => (bytes[34]! << 8) | bytes[35]!),
      );
      assert.deepEqual(seen, upTo(320));
      for (const path of view.files) {
        // The closing statistics of an interface have 84 bytes.
        assert.ok(statSync(path).size <= SIZE + 3 * 84, `${path}: ${statSync(path).size}`);
        assert.equal(statSync(path).mode & 0o777, 0o640);
      }
      for (const path of view.files.slice(0, -1)) assert.ok(statSync(path).size > SIZE - 1200, 'no file ends early');
    }
  });

  it('describes the interfaces in every file, and counts in its statistics what is in that file', async () => {
    const file = lab().newFile();
    const { name } = await lab().captures.start({ file, network: 'front', rotateSize: SIZE });
    send(1, 100);
    const { files } = await lab().captures.stop(name);
    assert.equal(files.length, 2);
    for (const path of files) {
      const frames = read(readFileSync(path));
      assert.deepEqual(new Set(frames.map(({ interfaceName }) => interfaceName)), new Set(['web']));
      assert.deepEqual(received(readFileSync(path)), [frames.length, 0, 0]);
    }
  });

  /** isb_ifrecv of every interface: option 4 of block type 5. */
  function received(bytes: Buffer): number[] {
    const counts: number[] = [];
    for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
      if (bytes.readUInt32LE(at) !== 5) continue;
      let option = at + 20;
      while (bytes.readUInt16LE(option) !== 4) option += 4 + bytes.readUInt16LE(option + 2);
      counts.push(Number(bytes.readBigUInt64LE(option + 4)));
    }
    return counts;
  }

  it('keeps the newest files when their number is limited', async () => {
    for (const [rotateFiles, kept] of [
      [1, []],
      [3, [4, 5]],
    ] as const) {
      const file = lab().newFile();
      const { name } = await lab().captures.start({ file, network: 'front', rotateSize: SIZE, rotateFiles });
      send(1, 300);
      const { files } = await lab().captures.stop(name);
      assert.deepEqual(files, kept.map((n) => numbered(file, n)).concat(file));
      const own = readdirSync(dirname(file)).filter((entry) => entry.startsWith(parse(file).name));
      assert.deepEqual(own.sort(), files.map((path) => basename(path)).sort());
      assert.deepEqual(files.flatMap(numbers), upTo(300).slice(-files.flatMap(numbers).length));
    }
  });

  it('goes on behind numbers that are there, and touches nothing that somebody else put there', async () => {
    const file = lab().newFile();
    writeFileSync(numbered(file, 7), 'mine');
    const { name } = await lab().captures.start({ file, network: 'front', rotateSize: SIZE, rotateFiles: 2 });
    send(1, 100);
    await waitFor('the second file', () => existsSync(numbered(file, 8)));
    // Moved away and replaced while it was kept: now they are somebody's.
    renameSync(numbered(file, 8), `${file}.saved`);
    writeFileSync(numbered(file, 8), 'mine too');
    send(101, 300);
    const { files } = await lab().captures.stop(name);
    assert.deepEqual(files, [numbered(file, 12), file]);
    assert.equal(readFileSync(numbered(file, 7), 'utf8'), 'mine');
    assert.equal(readFileSync(numbered(file, 8), 'utf8'), 'mine too');
    assert.equal(numbers(`${file}.saved`)[0], 1);
    assert.deepEqual(
      [9, 10, 11].map((n) => existsSync(numbered(file, n))),
      [false, false, false],
    );
  });

  it('fails when another file lies in the place of the next one, and leaves both as they are', async () => {
    const file = lab().newFile();
    const { name } = await lab().captures.start({ file, network: 'front', rotateSize: SIZE });
    renameSync(file, `${file}.moved`);
    writeFileSync(file, 'another');
    send(1, 100);
    await waitFor('the failure', () => lab().captures.find(name)?.state === 'failed');
    assert.match(lab().captures.find(name)?.reason ?? '', /another file in the place of the next one \(EEXIST\)/);
    assert.equal(readFileSync(file, 'utf8'), 'another');
    const first = numbers(`${file}.moved`);
    assert.deepEqual(first, upTo(first.length));
    assert.equal(lab().captures.find(name)?.frames, first.length, 'what is in no file is not counted');
  });

  it('lets the path be captured to again when it has ended, and not before', async () => {
    const file = lab().newFile();
    const { name } = await lab().captures.start({ file, network: 'front', rotateSize: SIZE });
    send(1, 100);
    await waitFor('the second file', () => existsSync(numbered(file, 1)));
    assert.match((await lab().refusal({ file, network: 'front' })).message, /another capture is writing/);
    await lab().captures.stop(name);
    await lab().captures.stop((await lab().captures.start({ file, network: 'front' })).name);
  });

  it('is remembered by the path that was asked for', async () => {
    const file = lab().newFile();
    const { name } = await lab().captures.start({ file, network: 'front', rotateSize: SIZE });
    send(1, 100);
    assert.deepEqual(runningCaptures(lab().captures), [{ name, file }]);
  });

  it('is refused without a file, below the smallest size, and as a number of files without a size', async () => {
    const file = lab().newFile();
    assert.match((await lab().refusal({ file, rotateSize: SIZE - 1 })).message, /rotateSize: .*from 65536/);
    assert.match((await lab().refusal({ file, rotateFiles: 3 })).message, /rotateFiles: .*needs rotateSize/);
    assert.match((await lab().refusal({ file, rotateSize: SIZE, rotateFiles: 0 })).message, /rotateFiles: .*1 to 1000/);
    await assert.rejects(lab().captures.stream({ rotateSize: SIZE }), /rotateSize: only a capture to a file/);
  });
});
