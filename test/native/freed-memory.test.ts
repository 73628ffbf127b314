// Memory that was freed goes back to the kernel, also when what was freed lay between things that stay.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const NATIVE = fileURLToPath(new URL('../../src/native/index.js', import.meta.url));
const BIG_MEGABYTES = 64;

/** Twice: large buffers, small ones that stay between them, and the large ones dropped. Prints the MB that are left. */
const PROGRAM = `
const { native } = await import(process.argv[1]);
const before = process.memoryUsage.rss();
if (native.returnFreedMemory() !== 0) throw new Error('refused');
const stays = [];
for (let round = 0; round < 2; round++) {
  const goes = [];
  for (let i = 0; i < ${BIG_MEGABYTES} * 2; i++) {
    goes.push(new Uint8Array(512 * 1024).fill(1));
    stays.push(new Uint8Array(4000).fill(1));
  }
  goes.length = 0;
  for (let i = 0; i < 5; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
console.log((process.memoryUsage.rss() - before) / 1024 / 1024, stays.length);
`;

describe('native: returnFreedMemory', () => {
  it('gives large buffers back although small ones stay between them', () => {
    const child = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', PROGRAM, NATIVE], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    assert.equal(child.status, 0, child.stderr);
    const left = Number.parseFloat(child.stdout);
    assert.ok(left < BIG_MEGABYTES / 2, `${left} MB of ${BIG_MEGABYTES} MB are left`);
  });
});
