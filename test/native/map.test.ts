// Files as memory: shared by all who map them, outliving them, and refused when they could be something else.
import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { errorName, MAX_CLAIMED_BYTES, MAX_MAPPED_BYTES, native } from '../../src/native/index.js';

const EINVAL = 22;
const BYTES = 1 << 20;

describe('native: mapped files', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), `wt${process.pid}`));
    path = join(directory, 'memory');
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** Maps the file as words; fails the test when that fails. */
  function map(bytes = BYTES): Int32Array {
    const mapped = native.mapFile(path, bytes);
    assert.ok(typeof mapped !== 'number', `mapFile: ${typeof mapped === 'number' && errorName(mapped)}`);
    assert.equal(mapped.byteLength, bytes);
    return new Int32Array(mapped);
  }

  it('are zero at first, sparse, and for nobody else to read', () => {
    assert.ok(map().every((word) => word === 0));
    const { size, mode } = statSync(path);
    assert.deepEqual([size, mode & 0o777], [BYTES, 0o600]);
  });

  it('are the same memory for all who map them, also in other threads', async () => {
    const [one, other] = [map(), map()];
    one[77] = 42;
    assert.equal(other[77], 42);
    const addon = join(process.cwd(), 'build', 'weft-native.node');
    const worker = new Worker(
      `const { workerData: { addon, path, bytes }, parentPort } = require('node:worker_threads');
       const words = new Int32Array(require(addon).mapFile(path, bytes));
       Atomics.add(words, 77, 1);
       parentPort.postMessage(words[77]);`,
      { eval: true, workerData: { addon, path, bytes: BYTES } },
    );
    const seen = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
    assert.deepEqual([seen, one[77], other[77]], [43, 43, 43]);
    other[78] = 5;
    assert.equal(one[78], 5, 'the end of the other thread took nothing away');
  });

  it('keep what was written when nobody maps them any more, and grow but never shrink', () => {
    const child = `const words = new Int32Array(require(process.argv[1]).mapFile(process.argv[2], 4096));
      words[5] = 1234; process.kill(process.pid, 'SIGKILL');`;
    const addon = join(process.cwd(), 'build', 'weft-native.node');
    assert.throws(() => execFileSync(process.execPath, ['-e', child, addon, path], { stdio: 'ignore' }));
    assert.equal(statSync(path).size, 4096);
    assert.equal(map()[5], 1234);
    assert.equal(statSync(path).size, BYTES);
    assert.equal(map(4096)[5], 1234);
    assert.equal(statSync(path).size, BYTES);
  });

  it('have room where it was claimed', () => {
    map();
    const before = statSync(path).blocks;
    assert.equal(native.claimFile(path, 65536, 131072), 0);
    assert.ok((statSync(path).blocks - before) * 512 >= 131072);
    assert.equal(statSync(path).size, BYTES);
    assert.equal(native.claimFile(path, BYTES, 65536), 0, 'beyond the end');
    assert.equal(statSync(path).size, BYTES);
  });

  it('are refused when they are something else, or somebody may reach them by another name', () => {
    const refusals = (given: string) => [native.mapFile(given, 4096), native.claimFile(given, 0, 4096)];
    const ELOOP = 40;
    const [EPERM, ENOENT, EISDIR] = [1, 2, 21];
    mkdirSync(path);
    assert.deepEqual(refusals(path), [-EISDIR, -EISDIR]);
    assert.deepEqual(refusals('/dev/null'), [-EPERM, -EPERM]);
    const file = join(directory, 'file');
    writeFileSync(file, '');
    symlinkSync(file, join(directory, 'symbolic'));
    assert.deepEqual(refusals(join(directory, 'symbolic')), [-ELOOP, -ELOOP]);
    linkSync(file, join(directory, 'hard'));
    assert.deepEqual(refusals(join(directory, 'hard')), [-EPERM, -EPERM]);
    assert.deepEqual(refusals(join(directory, 'missing', 'file')), [-ENOENT, -ENOENT]);
    assert.equal(native.claimFile(join(directory, 'none'), 0, 4096), -ENOENT, 'claiming makes no file');
    assert.deepEqual(refusals('relative'), [-EINVAL, -EINVAL]);
  });

  it('are refused with numbers that cannot be', () => {
    for (const bytes of [0, -1, 0.5, Number.NaN, MAX_MAPPED_BYTES + 1, 2 ** 53, '4096' as never, undefined as never]) {
      assert.equal(native.mapFile(path, bytes), -EINVAL);
    }
    for (const [at, bytes] of [
      [-1, 1],
      [0, 0],
      [0, MAX_CLAIMED_BYTES + 1],
      [MAX_MAPPED_BYTES + 1, 1],
      [Number.NaN, 1],
    ] as const) {
      assert.equal(native.claimFile(path, at, bytes), -EINVAL);
    }
    for (const given of ['', 'a\0b', `/${'x'.repeat(5000)}`, 5 as never])
      assert.equal(native.mapFile(given, 1), -EINVAL);
  });

  it('are given back when nobody uses them any more', function () {
    this.timeout(120_000);
    const child = `const { mapFile } = require(process.argv[1]);
      const { readFileSync } = require('node:fs');
      const mapped = () => readFileSync('/proc/self/maps', 'utf8').split(process.argv[2]).length - 1;
      for (let i = 0; i < 300; i++) new Int32Array(mapFile(process.argv[2], 4096))[0] = i;
      const rounds = (left) => {
        globalThis.gc();
        if (mapped() < 5 || left === 0) process.stdout.write(String(mapped()));
        else setImmediate(rounds, left - 1);
      };
      setImmediate(rounds, 1000);`;
    const addon = join(process.cwd(), 'build', 'weft-native.node');
    const left = execFileSync(process.execPath, ['--expose-gc', '-e', child, addon, path], { encoding: 'utf8' });
    assert.ok(Number(left) < 5, `${left} mappings are left of 300`);
  });
});
