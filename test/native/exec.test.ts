// execProgram: the process becomes another program, inside the namespace that its thread entered, with usual signals.

import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { finished, Lab, needsRoot } from './lab.js';

const PROGRAM = fileURLToPath(new URL('./exec-program.js', import.meta.url));

describe('native: execProgram', function () {
  this.timeout(120_000);
  let lab: Lab;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  it('becomes a program found in PATH, inside the namespace, with default signals and blocking stdio', async () => {
    const ns = lab.namespace();
    const script =
      'readlink /proc/self/ns/net; grep -E "SigIgn|SigBlk" /proc/self/status; cat /proc/self/fdinfo/1; exit 7';
    const child = spawn(process.execPath, [PROGRAM, ns.path, 'sh', '-c', script]);
    const { code, stdout } = await finished(child);
    const inode = /net:\[(\d+)\]/.exec((await lab.run(ns.name, 'readlink', ['/proc/self/ns/net'])).stdout)?.[1];
    assert.equal(code, 7);
    const lines = stdout.split('\n');
    assert.equal(lines[0], '-2 0', 'ENOENT, and the program went on');
    assert.equal(lines[1], `net:[${inode}]`);
    assert.match(stdout, /SigBlk:\s0+\n/);
    assert.match(stdout, /SigIgn:\s0+\n/);
    const flags = Number.parseInt(/flags:\s(\d+)/.exec(stdout)?.[1] ?? '', 8);
    assert.equal(flags & 0o4000, 0, 'O_NONBLOCK is off');
  });

  it('keeps arguments as they are', async () => {
    const ns = lab.namespace();
    const child = spawn(process.execPath, [PROGRAM, ns.path, 'printf', '%s|', 'a b', '', '$HOME', 'ü']);
    const { stdout } = await finished(child);
    assert.equal(stdout.split('\n')[1], 'a b||$HOME|ü|');
  });
});
