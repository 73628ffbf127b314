/** Which programs serve ports of a namespace: its socket tables, and whose a socket is. */
import { readFileSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { printable } from '../../lib/printable.js';
import type { FoundListener, SocketOwner } from './kernel.js';
import { fileError, isErrno } from './kernel-error.js';
import { insideNamespace } from './namespace-visit.js';
import { parseSocketTable } from './socket-table.js';

/** Of the thread that asks: /proc/net is that of the main thread. */
const TABLES = '/proc/thread-self/net';

/** IPv4 first; no IPv6 where the kernel has none. */
export function readListeners(namespaceFd: number, protocol: 'tcp' | 'udp'): FoundListener[] {
  const texts = insideNamespace(namespaceFd, () => [protocol, `${protocol}6`].map((name) => read(`${TABLES}/${name}`)));
  return texts.flatMap((text) => parseSocketTable(text, protocol));
}

/**
 * The program that has a socket open; null when none can be seen that does (the kernel itself, other PID namespaces). Of several it is the
 * oldest, which is the one that others got the socket from; only process 1 comes last, because it opens sockets for services (systemd).
 */
export async function findSocketOwner(inode: number): Promise<SocketOwner | null> {
  const pids = (await namesIn('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  pids.sort((a, b) => Number(a === 1) - Number(b === 1) || a - b);
  for (const pid of pids) {
    if (!(await hasOpen(pid, `socket:[${inode}]`))) continue;
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
    return { pid, name: printable(name.trimEnd()), isWeft: pid === process.pid };
  }
  return null;
}

async function hasOpen(pid: number, target: string): Promise<boolean> {
  for (const fd of await namesIn(`/proc/${pid}/fd`)) {
    if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) === target) return true;
  }
  return false;
}

/** Processes come and go; those of others may be hidden. */
function namesIn(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw fileError('read', path, error);
  }
}
