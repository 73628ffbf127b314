// Files of captures: what is opened and what is not, and what a full disk leaves behind.
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, linkSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { type FileSink, type FileSinkOptions, openFileSink } from '../../src/capture/file-sink.js';
import { pattern } from '../support/frame-builders.js';
import { useSmallDisk } from '../support/small-disk.js';
import { useDirectory } from './capture-frames.js';

describe('file sink', () => {
  const directory = useDirectory();
  const failures: [string, number][] = [];
  const options: FileSinkOptions = {
    groupId: null,
    claim: () => true,
    release: () => {},
    mostFiles: null,
    onFailure: (reason, frames) => failures.push([reason, frames]),
  };

  beforeEach(() => failures.splice(0));

  async function open(path: string, changes: Partial<FileSinkOptions> = {}): Promise<FileSink> {
    const result = await openFileSink(path, { ...options, ...changes });
    assert.ok(result.kind === 'opened', JSON.stringify(result));
    return result.sink;
  }

  async function refusal(path: string, changes: Partial<FileSinkOptions> = {}): Promise<string> {
    const result = await openFileSink(path, { ...options, ...changes });
    assert.ok(result.kind === 'refused', 'it was opened');
    assert.ok(result.remedy.length > 0);
    return result.reason;
  }

  it('makes a file that only its owner may write and its group read, whatever the umask', async () => {
    const path = directory.path('new.pcapng');
    const before = process.umask(0);
    try {
      const sink = await open(path, { groupId: 12345 });
      sink.write(pattern(10), 0);
      await sink.close();
    } finally {
      process.umask(before);
    }
    const { mode, gid } = statSync(path);
    assert.deepEqual([mode & 0o7777, gid], [0o640, 12345]);
    assert.deepEqual(readFileSync(path), Buffer.from(pattern(10)));
  });

  it('replaces what is in a regular file, and leaves its owner and mode alone', async () => {
    const path = directory.path('old.pcapng');
    writeFileSync(path, pattern(5000));
    chmodSync(path, 0o600);
    const sink = await open(path);
    assert.equal(statSync(path).size, 0);
    sink.write(pattern(10), 0);
    await sink.close();
    assert.deepEqual(readFileSync(path), Buffer.from(pattern(10)));
    assert.equal(statSync(path).mode & 0o7777, 0o600);
  });

  it('writes chunks in order, however many wait', async () => {
    const path = directory.path('order.pcapng');
    const sink = await open(path);
    const chunks = Array.from({ length: 200 }, (_, i) => pattern(1 + 50 * i, i));
    for (const chunk of chunks) sink.write(chunk, 1);
    assert.ok(sink.pendingBytes > 0);
    await sink.close();
    assert.equal(sink.pendingBytes, 0);
    assert.ok(readFileSync(path).equals(Buffer.concat(chunks)));
    assert.deepEqual(failures, []);
  });

  describe('opens nothing else', () => {
    it('a relative path', async () => assert.match(await refusal('capture.pcapng'), /relative path/));

    it('a directory', async () => assert.match(await refusal(directory.path('')), /is a directory|not a regular file/));

    it('a path whose directory does not exist', async () => {
      assert.match(
        await refusal(directory.path('nowhere/file')),
        /the directory of .* does not exist for weftd \(ENOENT\)/,
      );
    });

    it('a path through a file', async () => {
      writeFileSync(directory.path('plain'), '');
      assert.match(await refusal(directory.path('plain/file')), /not a directory \(ENOTDIR\)/);
    });

    it('a symbolic link, to a file or to nothing', async () => {
      const target = directory.path('target');
      writeFileSync(target, 'precious');
      symlinkSync(target, directory.path('link'));
      symlinkSync(directory.path('not-there'), directory.path('dangling'));
      for (const name of ['link', 'dangling'])
        assert.match(await refusal(directory.path(name)), /is a symbolic link \(ELOOP\)/);
      assert.equal(readFileSync(target, 'utf8'), 'precious');
      assert.equal(existsSync(directory.path('not-there')), false);
    });

    it('a FIFO, without waiting for its reader', async () => {
      execFileSync('mkfifo', [directory.path('fifo')]);
      assert.match(await refusal(directory.path('fifo')), /is not a regular file/);
    });

    it('a device', async () => assert.match(await refusal('/dev/null'), /is not a regular file/));

    it('a switch of the kernel', async () => {
      assert.match(await refusal('/proc/self/oom_score_adj'), /belongs to the kernel/);
    });

    it('a file through /proc/self/fd', async () =>
      assert.match(await refusal('/proc/self/fd/1'), /symbolic link|not a regular/));

    it('a path with a zero byte or of any length', async () => {
      assert.match(await refusal('/tmp/a\0b'), /zero byte/);
      assert.match(await refusal(`/${'a'.repeat(5000)}`), /ENAMETOOLONG/);
    });

    it('a file that another capture writes, which keeps what it has', async () => {
      const path = directory.path('busy.pcapng');
      writeFileSync(path, 'precious');
      linkSync(path, directory.path('busy-too.pcapng'));
      const { dev, ino } = statSync(path);
      const claim = (identity: string) => identity !== `${dev}:${ino}`;
      assert.match(await refusal(directory.path('busy-too.pcapng'), { claim }), /another capture/);
      assert.equal(readFileSync(path, 'utf8'), 'precious');
    });
  });

  describe('on a full disk', () => {
    const disk = useSmallDisk(() => directory.path('small-disk'), '128k');

    it('keeps whole chunks, says how many frames it lost, and takes no more', async () => {
      const path = `${disk()}/full.pcapng`;
      const sink = await open(path);
      // Twenty chunks of 10000 bytes: thirteen fit in 32 pages.
      for (let i = 0; i < 20; i++) sink.write(pattern(10_000, i), 3);
      await sink.close();
      const file = readFileSync(path);
      assert.deepEqual(failures, [['the disk is full (ENOSPC)', 3 * (20 - 13)]]);
      assert.equal(file.length, 13 * 10_000);
      assert.ok(file.subarray(-10_000).equals(Buffer.from(pattern(10_000, 12))));
      assert.equal(sink.write(pattern(10), 1), false);
      assert.equal(sink.pendingBytes, 0);
    });
  });
});
