// Whatever the arguments: a number comes back, and the process lives.

import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Lab, needsRoot } from './lab.js';

const PROGRAM = fileURLToPath(new URL('./hostile-program.js', import.meta.url));
const CALLS = 20_000;

describe('native: hostile arguments', function () {
  this.timeout(120_000);
  let lab: Lab;
  let directory: string;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
    directory = mkdtempSync(join(tmpdir(), `wt${process.pid}`));
  });
  afterEach(() => {
    lab.close();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const seed of [1, 2, 3]) {
    it(`are survived (seed ${seed})`, () => {
      const ns = lab.namespace();
      // Pids of its own too: a pidfd of a process outside would be a way into the network of that process.
      const alone = ['netns', 'exec', ns.name, 'unshare', '--pid', '--mount-proc', '--fork', '--kill-child'];
      const program = [process.execPath, PROGRAM, String(seed), String(CALLS), directory];
      const said = execFileSync('ip', [...alone, ...program], { encoding: 'utf8', timeout: 100_000 });
      const [word, answers, successes] = said.trim().split(' ');
      assert.equal(word, 'survived', said);
      assert.ok(Number(answers) > 0.9 * CALLS);
      assert.ok(Number(successes) > 0.02 * CALLS, `only ${successes} calls got past the checks`);
    });
  }
});
