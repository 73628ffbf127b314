/**
 * weft makes and removes its own namespaces, remembers them over its own death, and never removes another program's.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLinuxKernel } from '../../src/control/kernel/linux-kernel.js';
import { ip, needsRoot, rejectsWith, run, Scratch } from './scratch.js';

describe('kernel: namespaces', () => {
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  const markers = () => join(scratch.runDir, 'owned');
  const isThere = (name: string) => existsSync(`/run/netns/${name}`);

  it('are made where `ip netns` finds them, with loopback up, and remembered', async () => {
    const { name, namespace } = await scratch.place();
    assert.match(ip(name, 'address', 'show', 'lo'), /UP.*127\.0\.0\.1\/8/s);
    assert.equal(namespace.path, `/run/netns/${name}`);
    const inside = run('ip', 'netns', 'exec', name, 'readlink', '/proc/self/ns/net').trim();
    assert.equal(inside, `net:[${namespace.inode}]`);
    assert.deepEqual(await scratch.kernel.ownedNamespaces(), [name]);
  });

  it('are known to the next daemon with the same run directory', async () => {
    const { name, namespace } = await scratch.place();
    const next = createLinuxKernel({ runDir: scratch.runDir, instance: 'test' });
    scratch.keep(next.hostNamespace());
    assert.deepEqual(await next.ownedNamespaces(), [name]);
    const again = scratch.keep(await next.openNamespace(`/run/netns/${name}`));
    assert.deepEqual([again.device, again.inode], [namespace.device, namespace.inode]);
    await next.removeNamespace(name);
    assert.ok(!isThere(name));
  });

  it('are gone, and forgotten, when removal resolves; removing twice is no fault', async () => {
    const { name } = await scratch.place();
    await scratch.kernel.removeNamespace(name);
    await scratch.kernel.removeNamespace(name);
    assert.ok(!isThere(name));
    assert.deepEqual(readdirSync(markers()), []);
  });

  it('of a name that exists are refused with EEXIST, whoever has it', async () => {
    const own = await scratch.place();
    const foreign = await scratch.foreignPlace();
    for (const { name } of [own, foreign]) {
      await rejectsWith(scratch.kernel.createNamespace(name), 'EEXIST', new RegExp(`/run/netns/${name}`));
      assert.ok(isThere(name));
    }
    assert.deepEqual(await scratch.kernel.ownedNamespaces(), [own.name]);
  });

  it('of another program are not removed, even where weft once had one of that name', async () => {
    const foreign = await scratch.foreignPlace();
    await scratch.kernel.removeNamespace(foreign.name);
    assert.ok(isThere(foreign.name));

    const { name } = await scratch.place();
    run('ip', 'netns', 'del', name);
    run('ip', 'netns', 'add', name);
    assert.deepEqual(await scratch.kernel.ownedNamespaces(), []);
    await scratch.kernel.removeNamespace(name);
    assert.ok(isThere(name));
  });

  it('that another program removed are forgotten', async () => {
    const { name } = await scratch.place();
    run('ip', 'netns', 'del', name);
    assert.deepEqual(await scratch.kernel.ownedNamespaces(), []);
    assert.deepEqual(readdirSync(markers()), []);
  });

  it('of an earlier boot are not taken for its own', async () => {
    const { name } = await scratch.place();
    const file = join(markers(), name);
    const marker = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...marker, boot: 'another' }));
    assert.deepEqual(await scratch.kernel.ownedNamespaces(), []);
    assert.ok(isThere(name));
  });

  it('are recognised when weft was killed before it could note which one it made, and only then', async () => {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const mark = (name: string, secondsAgo: number) => {
      mkdirSync(markers(), { recursive: true });
      writeFileSync(join(markers(), name), JSON.stringify({ name, boot, device: null, inode: null }));
      const time = Date.now() / 1000 - secondsAgo;
      utimesSync(join(markers(), name), time, time);
    };
    const [own, late] = [scratch.name(), scratch.name()];
    mark(own, 0);
    run('ip', 'netns', 'add', own);
    run('ip', 'netns', 'add', late);
    mark(late, 60);
    assert.deepEqual(await scratch.kernel.ownedNamespaces(), [own]);
    assert.ok(isThere(late));
  });

  it('of which only the empty file is there, because weft was killed, are cleaned up', async () => {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const { name, namespace } = await scratch.place();
    for (const identity of [
      { device: null, inode: null }, // killed while it made it
      { device: namespace.device, inode: namespace.inode }, // killed while it removed it
    ]) {
      run('ip', 'netns', 'del', name);
      writeFileSync(`/run/netns/${name}`, '', { mode: 0 });
      writeFileSync(join(markers(), name), JSON.stringify({ name, boot, ...identity }));
      assert.deepEqual(await scratch.kernel.ownedNamespaces(), []);
      assert.ok(!isThere(name));
      scratch.keep(await scratch.kernel.createNamespace(name));
    }
  });

  it('are opened by path; anything else is refused', async () => {
    await rejectsWith(scratch.kernel.openNamespace('/run/netns/weft-no-such'), 'ENOENT', /open on \/run\/netns/);
    await rejectsWith(scratch.kernel.openNamespace('/proc/self/ns/mnt'), 'EINVAL', /\/proc\/self\/ns\/mnt/);
    await rejectsWith(scratch.kernel.openNamespace('/etc/passwd'), 'EINVAL', /\/etc\/passwd/);
    const host = scratch.kernel.hostNamespace();
    assert.equal(readlinkSync('/proc/self/ns/net'), `net:[${host.inode}]`);
  });

  it('have no names that lead elsewhere', async () => {
    for (const name of ['', '.', '..', '../x', 'a/b', 'a\0b']) {
      await rejectsWith(scratch.kernel.createNamespace(name), 'EINVAL', /no name for a namespace/);
      await rejectsWith(scratch.kernel.removeNamespace(name), 'EINVAL', /no name for a namespace/);
    }
    assert.ok(!existsSync(markers()));
  });
});
