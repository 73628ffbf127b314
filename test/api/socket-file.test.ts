/** The socket file: who may use it, who gets it, what becomes of it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { claimSocketPath, listenOn, SocketFileError } from '../../src/api/socket-file.js';

describe('API: socket file', () => {
  let directory: string;
  let path: string;
  const servers: Server[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), `weft-socket-${process.pid}-`));
    path = join(directory, 'deep', 'weft.sock');
  });

  afterEach(async () => {
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });

  async function listen(): Promise<() => void> {
    const server = createServer();
    servers.push(server);
    await claimSocketPath(path);
    return listenOn(server, path);
  }

  it('is made with its directory, for its owner and group only, whatever the umask', async () => {
    const umask = process.umask(0);
    try {
      const remove = await listen();
      assert.equal(statSync(path).mode & 0o7777, 0o660);
      assert.equal(process.umask(), 0, 'the umask is as it was');
      remove();
      assert.ok(!existsSync(path));
    } finally {
      process.umask(umask);
    }
  });

  it('is not taken from a daemon that answers', async () => {
    await listen();
    await assert.rejects(claimSocketPath(path), (error: SocketFileError) => {
      assert.match(error.message, /^socket in use: a daemon answers on .*weft\.sock$/);
      assert.match(error.remedy, /--socket/);
      return error instanceof SocketFileError;
    });
  });

  it('of a daemon that is gone is replaced', async () => {
    mkdirSync(dirname(path));
    await leaveStaleSocket(path);
    await listen();
    await assert.rejects(claimSocketPath(path), /^SocketFileError: socket in use/, 'somebody answers on it again');
  });

  it('is not made over something that is no socket', async () => {
    path = join(directory, 'file');
    writeFileSync(path, 'precious');
    await assert.rejects(claimSocketPath(path), /exists and is no socket/);
    assert.equal(statSync(path).size, 8);
  });

  it('has a path that fits a socket address', async () => {
    path = join(directory, 'x'.repeat(110));
    await assert.rejects(claimSocketPath(path), /is too long/);
  });

  it('is not removed when it belongs to somebody else by now', async () => {
    const remove = await listen();
    rmSync(path);
    await listen();
    remove();
    assert.ok(existsSync(path));
  });

  it('goes to one of two daemons that start at the same time', async () => {
    const results = await Promise.allSettled([listen(), listen(), listen()]);
    assert.deepEqual(results.map((result) => result.status).sort(), ['fulfilled', 'rejected', 'rejected']);
    const refused = results.filter((result) => result.status === 'rejected');
    for (const { reason } of refused) assert.match(String(reason.message), /^socket in use/);
    for (const server of servers.splice(0)) if (server.listening) servers.push(server);
  });
});

/** A socket file whose process is gone: Node unlinks on close, so a child makes it and is killed. */
async function leaveStaleSocket(path: string): Promise<void> {
  const { spawn } = await import('node:child_process');
  const child = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`,
  ]);
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  assert.ok(existsSync(path));
}
