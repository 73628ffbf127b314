/** The end of a namespace is noticed within about a second, and only then. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kernel, Namespace, NamespaceWatch } from '../../src/control/kernel/kernel.js';
import { needsRoot, run, Scratch, tapRequest, until } from './scratch.js';

/** Far more than it takes, for a machine that has other things to do. */
const SOON_MS = 10_000;

describe('kernel: watching namespaces', function () {
  this.timeout(120_000);
  let scratch: Scratch;
  let kernel: Kernel;
  let watches: NamespaceWatch[];
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
    kernel = scratch.kernel;
    watches = [];
  });
  afterEach(async () => {
    for (const watch of watches) watch.stop();
    await scratch.close();
  });

  /** Number of times that the callback came. */
  function watch(namespace: Namespace, pid: number | null = null): () => number {
    let calls = 0;
    watches.push(
      kernel.watchNamespace(namespace, pid, () => {
        calls += 1;
      }),
    );
    return () => calls;
  }

  it('reports one that was deleted, once, though weft holds it open with a TAP in it', async () => {
    const place = await scratch.foreignPlace();
    const other = await scratch.foreignPlace();
    await scratch.tap(place, tapRequest());
    const [calls, otherCalls] = [watch(place.namespace), watch(other.namespace)];
    await sleep(700);
    assert.equal(calls(), 0);
    run('ip', 'netns', 'del', place.name);
    assert.ok(await until(() => calls() > 0, SOON_MS));
    await sleep(1200);
    assert.deepEqual([calls(), otherCalls()], [1, 0]);
  });

  it('waits for the last process inside', async () => {
    const place = await scratch.foreignPlace();
    const child = scratch.start(place.name, 'sleep', '60');
    assert.ok(await until(() => run('ip', 'netns', 'pids', place.name).trim() !== '', SOON_MS));
    const calls = watch(place.namespace);
    run('ip', 'netns', 'del', place.name);
    await sleep(1500);
    assert.equal(calls(), 0);
    child.kill('SIGKILL');
    assert.ok(await until(() => calls() > 0, SOON_MS));
  });

  it('is not deceived by a new namespace of the same name', async () => {
    const place = await scratch.foreignPlace();
    const calls = watch(place.namespace);
    run('ip', 'netns', 'del', place.name);
    run('ip', 'netns', 'add', place.name);
    assert.ok(await until(() => calls() > 0, SOON_MS));
  });

  it('notices an unmount that leaves the name behind', async () => {
    const place = await scratch.foreignPlace();
    const calls = watch(place.namespace);
    run('umount', '-l', `/run/netns/${place.name}`);
    assert.ok(await until(() => calls() > 0, SOON_MS));
  });

  it('follows a process: reports its end, unless another one is still inside', async () => {
    const place = await scratch.foreignPlace();
    const [first, second] = [1, 2].map(() => scratch.ownChild(spawn('unshare', ['--net', 'sleep', '60'])));
    assert.ok(first?.pid && second?.pid);
    const path = (pid: number | 'self') => `/proc/${pid}/ns/net`;
    const isIn = (pid: number, other: number | 'self') => readlinkSync(path(pid)) === readlinkSync(path(other));
    const [one, two] = [first.pid, second.pid];
    assert.ok(await until(() => !isIn(one, 'self') && !isIn(two, 'self'), SOON_MS));
    const stranger = scratch.ownChild(spawn('nsenter', [`--net=${path(two)}`, 'sleep', '60']));
    assert.ok(await until(() => isIn(stranger.pid!, two), SOON_MS));
    const firstCalls = watch(scratch.keep(await kernel.openNamespace(path(first.pid))), first.pid);
    const secondCalls = watch(scratch.keep(await kernel.openNamespace(path(second.pid))), second.pid);
    const ownCalls = watch(place.namespace);
    await sleep(800);
    assert.deepEqual([firstCalls(), secondCalls(), ownCalls()], [0, 0, 0]);
    first.kill('SIGKILL');
    second.kill('SIGKILL');
    assert.ok(await until(() => firstCalls() > 0, SOON_MS));
    await sleep(1200);
    assert.deepEqual([firstCalls(), secondCalls(), ownCalls()], [1, 0, 0]);
    stranger.kill('SIGKILL');
    assert.ok(await until(() => secondCalls() > 0, SOON_MS));
  });

  it('says nothing after stop', async () => {
    const place = await scratch.foreignPlace();
    const calls = watch(place.namespace);
    watches[0]?.stop();
    run('ip', 'netns', 'del', place.name);
    await sleep(1500);
    assert.equal(calls(), 0);
  });

  it('finds the one that is gone among two hundred, of which it compares only some at each look', async () => {
    const places = [];
    for (let i = 0; i < 3; i++) places.push(await scratch.foreignPlace());
    const [first, last, unmounted] = places;
    assert.ok(first && last && unmounted);
    const calls = watch(first.namespace);
    for (let i = 0; i < 200; i++) watch(i % 2 === 0 ? last.namespace : unmounted.namespace);
    run('ip', 'netns', 'del', first.name);
    assert.ok(await until(() => calls() > 0, SOON_MS), 'a deleted name at once');
    const late = watch(unmounted.namespace);
    run('umount', '-l', `/run/netns/${unmounted.name}`);
    assert.ok(await until(() => late() > 0, SOON_MS), 'an unmounted one when its turn comes');
  });
});
