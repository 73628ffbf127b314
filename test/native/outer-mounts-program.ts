// Child process of outer-mounts.test.ts: makes a namespace at argv[2] and removes it, and prints as JSON who saw it. Runs in
// a process namespace of its own, in the mount namespace that the test chose.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { native } from '../../src/native/index.js';

const path = process.argv[2]!;

/** What process 1 finds at the path: the type of its file system, or null. */
function seenOutside(): string | null {
  const found = spawnSync('nsenter', ['--target', '1', '--mount', 'stat', '-f', '-c', '%T', path], {
    encoding: 'utf8',
  });
  return found.status === 0 ? found.stdout.trim() : null;
}

const made = native.createNamespace(path);
const again = native.createNamespace(path);
const fd = native.openNamespace(path);
const outside = seenOutside() === 'nsfs';
if (fd >= 0) native.closeFd(fd);
const removed = native.removeNamespace(path);
const left = { inside: existsSync(path), outside: seenOutside() };
process.stdout.write(JSON.stringify({ made, again, opened: fd >= 0, outside, removed, left }));
