// Namespaces made by a process whose mount namespace is not that of process 1: a hardened service, `ip netns exec`.

import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Lab, needsRoot } from './lab.js';

const PROGRAM = fileURLToPath(new URL('./outer-mounts-program.js', import.meta.url));
const EEXIST = 17;

describe('native: network namespaces of a process with mounts of its own', function () {
  this.timeout(120_000);
  let lab: Lab;
  before(needsRoot);
  beforeEach(() => {
    lab = new Lab();
  });
  afterEach(() => lab.close());

  /** In process and mount namespaces of the test, whose process 1 stands for the host's. */
  function run(prefix: readonly string[], path: string) {
    const child = [...prefix, process.execPath, PROGRAM, path];
    const shell = 'mount --make-rshared / && "$@"; status=$?; exit $status';
    const unshare = ['--pid', '--fork', '--mount-proc', '--mount', '--propagation', 'slave'];
    const result = spawnSync('unshare', [...unshare, 'sh', '-c', shell, 'sh', ...child], { encoding: 'utf8' });
    rmSync(path, { force: true });
    assert.equal(result.status, 0, result.stderr);
    return JSON.parse(result.stdout);
  }

  const whole = { made: 0, again: -EEXIST, opened: true, removed: 0, left: { inside: false, outside: null } };

  it('are made where process 1 sees them, when its mounts come through', () => {
    const path = `/run/netns/${lab.name()}`;
    assert.deepEqual(run(['unshare', '--mount', '--propagation', 'slave'], path), { ...whole, outside: true });
  });

  it('are made where process 1 sees them under `ip netns exec`', () => {
    const { name } = lab.namespace();
    const path = `/run/netns/${lab.name()}`;
    assert.deepEqual(run(['ip', 'netns', 'exec', name], path), { ...whole, outside: true });
  });

  it('are made in its own mount namespace when no mounts come through', () => {
    const path = `/run/netns/${lab.name()}`;
    assert.deepEqual(run(['unshare', '--mount', '--propagation', 'private'], path), { ...whole, outside: false });
  });

  it('are made in its own mount namespace when the directory is another one there', () => {
    const path = `/run/netns/${lab.name()}`;
    const shell = 'mount -t tmpfs none /run && "$@"';
    const prefix = ['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', shell, 'sh'];
    assert.deepEqual(run(prefix, path), { ...whole, outside: false });
  });
});
