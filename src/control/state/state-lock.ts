/**
 * Keeps two daemons from sharing one state directory.
 *
 * Node has no flock, so the lock is a file that names its owner, put in place by link(2), which fails when there is one.
 * The owner is a process id with its start time and the boot it belongs to: a lock whose owner is gone (kill -9, power
 * cut) or whose id now belongs to another process is stale and is taken over. A stale lock is moved away by rename(2), and
 * looked at again once it is moved, so that of several daemons that find the same stale lock only one gets through.
 */
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface StateLock {
  release(): Promise<void>;
}

export type LockResult = { ok: true; lock: StateLock } | { ok: false; reason: string };

const ATTEMPTS = 8;

export async function lockDirectory(directory: string): Promise<LockResult> {
  const file = join(directory, 'lock');
  const mine = `${file}.${process.pid}`;
  try {
    const identity = await identityOf(process.pid);
    await writeFile(mine, identity ?? '', { mode: 0o640 });
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (await tryLink(mine, file)) return { ok: true, lock: { release: () => release(file, identity ?? '') } };
      const owner = await readOrNull(file);
      if (owner === null) continue;
      if (await isAlive(owner)) {
        const pid = owner.split(' ')[0];
        return { ok: false, reason: `the state directory ${directory} is in use by the weftd with process id ${pid}` };
      }
      await removeStale(file, `${mine}.stale`, owner);
    }
    return { ok: false, reason: `the lock ${file} cannot be taken; other daemons are starting on the same directory` };
  } catch (error) {
    return { ok: false, reason: `the state directory ${directory} is not writable: ${(error as Error).message}` };
  } finally {
    await rm(mine, { force: true });
  }
}

async function release(file: string, identity: string): Promise<void> {
  if ((await readOrNull(file)) === identity) await rm(file, { force: true });
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function removeStale(file: string, aside: string, seen: string): Promise<void> {
  try {
    await rename(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  // Another daemon may have replaced the stale lock by its own before the rename: it gets it back.
  if ((await readOrNull(aside)) !== seen) await tryLink(aside, file);
  await rm(aside, { force: true });
}

async function isAlive(owner: string): Promise<boolean> {
  const pid = Number.parseInt(owner, 10);
  return pid > 0 && (await identityOf(pid)) === owner;
}

/** `PID START-TICKS BOOT-ID`, or null when there is no such process (a zombie is none: it holds nothing any more). */
async function identityOf(pid: number): Promise<string | null> {
  const stat = await readOrNull(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // proc(5): the name in field 2 may hold spaces and parentheses; field 22 is the start time.
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (state === 'Z' || state === 'X') return null;
  const startTicks = rest[18];
  const boot = (await readOrNull('/proc/sys/kernel/random/boot_id')) ?? '';
  return `${pid} ${startTicks} ${boot.trim()}`;
}

async function readOrNull(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}
