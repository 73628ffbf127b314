// Network namespaces: made, opened, compared, removed, and nothing removed that is something else.

import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../src/native/index.js';
import { ip, Lab, needsRoot, ok } from './lab.js';

const [ENOENT, EBADF, EEXIST, EINVAL] = [2, 9, 17, 22];

describe('native: network namespaces', () => {
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

  it('makes one that `ip netns` knows, with the loopback up, and removes it', () => {
    const ns = lab.namespace();
    assert.ok(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).includes(ns.name));
    assert.match(ip(ns.name, 'address', 'show', 'lo'), /127\.0\.0\.1/);
    assert.equal(native.createNamespace(ns.path), -EEXIST);
    assert.equal(native.removeNamespace(ns.path), 0);
    assert.ok(!existsSync(ns.path));
    assert.equal(native.removeNamespace(ns.path), -ENOENT);
  });

  it('removes what `ip netns add` made, and the file of an interrupted creation', () => {
    const name = lab.name();
    execFileSync('ip', ['netns', 'add', name]);
    lab.defer(() => native.removeNamespace(`/run/netns/${name}`));
    assert.equal(native.removeNamespace(`/run/netns/${name}`), 0);
    const path = join(directory, 'interrupted');
    writeFileSync(path, '', { mode: 0 });
    assert.equal(native.removeNamespace(path), 0);
  });

  it('works in any directory, and leaves that directory as it is', () => {
    const path = join(directory, 'ns');
    ok(native.createNamespace(path));
    lab.defer(() => native.removeNamespace(path));
    const fd = lab.keep(native.openNamespace(path), 'openNamespace');
    assert.ok(fd > 2);
    assert.equal(native.removeNamespace(path), 0);
    assert.equal(statSync(directory).dev, statSync(tmpdir()).dev, 'nothing is mounted on it');
    assert.equal(native.createNamespace(join(directory, 'missing', 'ns')), -ENOENT);
    assert.equal(native.createNamespace('relative'), -EINVAL);
  });

  it('removes nothing else', () => {
    const file = join(directory, 'file');
    writeFileSync(file, 'precious');
    writeFileSync(join(directory, 'empty'), '');
    symlinkSync(lab.namespace().path, join(directory, 'link'));
    for (const name of ['file', 'empty', 'link', '.', '']) {
      assert.equal(native.removeNamespace(`${directory}/${name}`), -EINVAL, name);
    }
    assert.ok(existsSync(file) && existsSync(join(directory, 'empty')) && existsSync(join(directory, 'link')));
  });

  it('opens network namespaces and nothing else', () => {
    const own = lab.keep(native.openNamespace(`/proc/${process.pid}/ns/net`), 'own namespace');
    assert.ok(own > 2);
    assert.equal(native.openNamespace('/proc/self/ns/mnt'), -EINVAL);
    assert.equal(native.openNamespace('/etc/hostname'), -EINVAL);
    assert.equal(native.openNamespace('/dev/null'), -EINVAL);
    assert.equal(native.openNamespace(directory), -EINVAL);
    assert.equal(native.openNamespace(join(directory, 'missing')), -ENOENT);
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    assert.equal(native.openNamespace(join(directory, 'fifo')), -EINVAL, 'and does not wait for a writer');
  });

  it('tells whether two descriptors are of one namespace', () => {
    const ns = lab.namespace();
    const again = lab.keep(native.openNamespace(ns.path), 'openNamespace');
    const [first, second, other] = [new Float64Array(2), new Float64Array(2), new Float64Array(2)];
    ok(native.namespaceIdentity(ns.fd, first));
    ok(native.namespaceIdentity(again, second));
    ok(native.namespaceIdentity(lab.namespace().fd, other));
    assert.deepEqual(first, second);
    assert.notDeepEqual(first, other);
    assert.equal(native.namespaceIdentity(ns.fd, new Float64Array(1)), -EINVAL);
  });

  it('moves the calling thread, and back', () => {
    const ns = lab.namespace();
    const home = lab.keep(native.openNamespace('/proc/thread-self/ns/net'), 'own namespace');
    const [inside, expected] = [new Float64Array(2), new Float64Array(2)];
    ok(native.namespaceIdentity(ns.fd, expected));
    ok(native.enterNamespace(ns.fd));
    try {
      ok(native.namespaceIdentity(lab.keep(native.openNamespace('/proc/thread-self/ns/net'), 'inside'), inside));
    } finally {
      ok(native.enterNamespace(home));
    }
    assert.deepEqual(inside, expected);
  });

  it('closes only descriptors of its own, and only once', () => {
    assert.equal(native.closeFd(0), -EBADF);
    assert.equal(native.closeFd(1_000_000), -EBADF);
    const fd = ok(native.pidfdOpen(process.pid));
    assert.equal(native.closeFd(fd), 0);
    assert.equal(native.closeFd(fd), -EBADF);
    const given = ok(native.pidfdOpen(process.pid));
    assert.equal(native.disownFd(given), 0);
    assert.equal(native.closeFd(given), -EBADF, 'it is no longer its own');
    assert.equal(native.disownFd(given), -EBADF);
    closeSync(given);
  });
});
