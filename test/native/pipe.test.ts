// Whether somebody reads a pipe, found out without writing to it.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorName, native } from '../../src/native/index.js';

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;

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
