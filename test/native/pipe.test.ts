// Whether somebody reads a pipe, found out without writing to it; pipes that are ports.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorName, native, PORT_TAP } from '../../src/native/index.js';

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;

describe('native: openFramePipe', () => {
  let writer: number;
  let reader: number;
  beforeEach(() => {
    const readers = new Int32Array(1);
    writer = native.openFramePipe(readers);
    reader = readers[0]!;
    assert.ok(writer >= 0 && reader >= 0);
  });
  afterEach(() => {
    native.closeFd(writer);
    native.closeFd(reader);
  });

  it('gives frame by frame what was written, whatever their sizes', () => {
    const sizes = [1514, 60, 4096, 60];
    for (const size of sizes) writeSync(writer, Buffer.alloc(size));
    const room = Buffer.alloc(65_536);
    assert.deepEqual(
      sizes.map(() => readSync(reader, room)),
      sizes,
    );
  });

  it('refuses frames when it is full, and never waits', () => {
    let frames = 0;
    assert.throws(
      () => {
        for (; frames < 10_000; frames++) writeSync(writer, Buffer.alloc(60));
      },
      { code: 'EAGAIN' },
    );
    assert.ok(frames >= 16, `${frames} frames`);
    readSync(reader, Buffer.alloc(100));
    assert.equal(writeSync(writer, Buffer.alloc(60)), 60);
  });

  it('is a port that can be written to', () => {
    const wake = native.createWake();
    assert.equal(native.setWake(wake), 0);
    assert.equal(native.addPort(77, writer, PORT_TAP, 0), 0);
    assert.equal(errorName(native.closeFd(writer)), 'EBUSY', 'not while it is a port');
    assert.equal(native.removePort(77), 0);
  });

  it('needs a place for the reading end', () => {
    for (const place of [new Int32Array(0), new Float64Array(1), [], null]) {
      assert.equal(errorName(native.openFramePipe(place as Int32Array)), 'EINVAL');
    }
  });
});

describe('native: hasReader', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), `wt${process.pid}`));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it('tells when the last reader of a pipe is gone, and when there is one again', () => {
    const path = join(directory, 'fifo');
    assert.equal(spawnSync('mkfifo', [path]).status, 0);
    const readers = [1, 2].map(() => openSync(path, O_RDONLY | O_NONBLOCK));
    const writer = openSync(path, O_WRONLY | O_NONBLOCK);
    const seen = [native.hasReader(writer)];
    for (const reader of readers) {
      closeSync(reader);
      seen.push(native.hasReader(writer));
    }
    const again = openSync(path, O_RDONLY | O_NONBLOCK);
    seen.push(native.hasReader(writer));
    closeSync(again);
    closeSync(writer);
    assert.deepEqual(seen, [1, 1, 0, 1]);
  });

  it('says of a file that it can always be written to, and refuses what is no descriptor', () => {
    const file = openSync(join(directory, 'file'), 'w');
    assert.equal(native.hasReader(file), 1);
    closeSync(file);
    assert.equal(errorName(native.hasReader(file)), 'EBADF');
    assert.equal(errorName(native.hasReader(-1)), 'EINVAL');
  });
});
