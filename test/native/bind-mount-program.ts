// Child process of services.test.ts: sees one file at the place of another, and looks from outside whether others do.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../src/native/index.js';

const directory = mkdtempSync(join(tmpdir(), `wt${process.pid}`));
try {
  const [one, other] = [join(directory, 'one'), join(directory, 'other')];
  writeFileSync(one, 'the one\n');
  writeFileSync(other, 'the other one\n');
  const results = [native.privateMounts(), native.bindMount(other, one)];
  if (results.some((result) => result < 0)) throw new Error(`privateMounts, bindMount: ${results}`);
  const inside = readFileSync(one, 'utf8');
  // The mount namespace of the parent, which has not moved.
  const outside = execFileSync('nsenter', [`--mount=/proc/${process.ppid}/ns/mnt`, 'cat', one], { encoding: 'utf8' });
  const relative = native.bindMount('other', one);
  process.stdout.write(JSON.stringify({ inside, outside, relative }));
  execFileSync('umount', [one]);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
