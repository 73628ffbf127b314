/**
 * The socket file: made for root and the group `weft` only, never taken from a daemon that is alive, replaced when its
 * daemon is dead, removed at the end if it is still ours.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';

/** sun_path of sockaddr_un, with its terminating zero. */
const LONGEST_PATH_BYTES = 107;

/** Who may use the socket beside root. */
const GROUP = 'weft';

/** Why the socket cannot be had; `message` and `remedy` are for the operator. */
export class SocketFileError extends Error {
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.name = 'SocketFileError';
    this.remedy = remedy;
  }
}

/** Rejects when the path cannot be a socket of ours; removes what a dead daemon left. */
export async function claimSocketPath(path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH_BYTES) {
    throw new SocketFileError(`the socket path ${path} is too long`, `use at most ${LONGEST_PATH_BYTES} bytes`);
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new SocketFileError(`${path} exists and is no socket`, 'remove it or choose another --socket');
  }
  if (await answers(path)) {
    throw new SocketFileError(
      `socket in use: a daemon answers on ${path}`,
      'stop it first, or choose another --socket',
    );
  }
  unlinkSync(path);
}

/** Whether somebody accepts connections on the socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const settle = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(2000, () => settle(true));
    socket.once('connect', () => settle(true));
    socket.once('error', (error: NodeJS.ErrnoException) =>
      settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

/** Listens on a claimed path. Returns how to remove the file. */
export async function listenOn(server: Server, path: string): Promise<() => void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // The file appears inside listen(), which binds at once: with this umask it never exists with a wider mode than it is
      // to have. The umask belongs to the process, so it is put back before anything else can run.
      const umask = process.umask(0o117);
      try {
        server.listen({ path, backlog: 4096 }, () => {
          server.off('error', reject);
          resolve();
        });
      } finally {
        process.umask(umask);
      }
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new SocketFileError(`socket in use: another daemon has just taken ${path}`, 'choose another --socket');
  }
  const group = socketGroupId();
  const { dev, ino, gid } = statSync(path);
  // A service that runs in the group already may lack the right to give files away.
  if (group !== null && group !== gid) chownSync(path, -1, group);
  chmodSync(path, 0o660);
  return () => {
    const now = statSync(path, { throwIfNoEntry: false });
    if (now !== undefined && now.dev === dev && now.ino === ino) unlinkSync(path);
  };
}

/** The group that may use the socket, and read what weft captures; null when this machine has none of that name. */
export function socketGroupId(): number | null {
  try {
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((entry) => entry.startsWith(`${GROUP}:`));
    const id = Number(line?.split(':')[2]);
    return line !== undefined && Number.isInteger(id) ? id : null;
  } catch {
    return null;
  }
}
