/**
 * One end of a TCP transfer whose content is checked; a program of its own, so that it can run inside a compartment.
 *
 *   node system-stream-program.js receive PORT
 *   node system-stream-program.js send HOST PORT BYTES BYTES-PER-SECOND
 *
 * The sender makes pseudo-random bytes, so that a byte that is lost, doubled or moved changes the hash. Both ends print
 * JSON lines: progress (`{"bytes": n}`) at most ten times a second and `{"bytes": n, "sha256": "..."}` at the end. A
 * transfer that stands still for 30 s ends with status 1.
 */
import { createHash } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';

const CHUNK_BYTES = 65536;
const TICK_MS = 10;
const STALL_MS = 30_000;

const hash = createHash('sha256');
let bytes = 0;
let shownAt = 0;

function print(final: boolean): void {
  if (!final && Date.now() - shownAt < 100) return;
  shownAt = Date.now();
  process.stdout.write(`${JSON.stringify(final ? { bytes, sha256: hash.digest('hex') } : { bytes })}\n`);
}

function fail(reason: string): never {
  process.stderr.write(`${reason} after ${bytes} bytes\n`);
  process.exit(1);
}

function guard(socket: Socket): void {
  socket.setTimeout(STALL_MS, () => fail('no progress for 30 s'));
  socket.on('error', (error) => fail(error.message));
}

function receive(port: number): void {
  const server = createServer((socket) => {
    server.close();
    guard(socket);
    socket.on('data', (chunk) => {
      hash.update(chunk);
      bytes += chunk.length;
      print(false);
    });
    socket.on('end', () => print(true));
  });
  server.listen(port, '::', () => process.stdout.write('{"listening":true}\n'));
}

/** xorshift32: fast, and every chunk differs from every other. */
function fill(words: Uint32Array, seed: number): number {
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return state;
}

function send(host: string, port: number, total: number, bytesPerSecond: number): void {
  const startedAt = Date.now();
  let state = 0x9e3779b9;
  const socket = connect(port, host);
  guard(socket);
  const tick = (): void => {
    const due = Math.min(total, ((Date.now() - startedAt) * bytesPerSecond) / 1000);
    while (bytes < due && socket.writableLength < 4 * CHUNK_BYTES) {
      const words = new Uint32Array(CHUNK_BYTES / 4);
      state = fill(words, state);
      const chunk = new Uint8Array(words.buffer, 0, Math.min(CHUNK_BYTES, total - bytes));
      hash.update(chunk);
      bytes += chunk.length;
      socket.write(chunk);
    }
    print(false);
    if (bytes < total) setTimeout(tick, TICK_MS);
    else socket.end(() => print(true));
  };
  socket.on('connect', tick);
}

const [role, ...rest] = process.argv.slice(2);
if (role === 'receive') receive(Number(rest[0]));
else if (role === 'send') send(String(rest[0]), Number(rest[1]), Number(rest[2]), Number(rest[3]));
else fail('usage: receive PORT | send HOST PORT BYTES BYTES-PER-SECOND');
