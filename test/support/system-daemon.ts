/**
 * A real weftd as a child process, with a socket, state and run directory of its own, and the two ways to talk to it: the
 * CLI (`weft`) and the HTTP interface (`api`).
 *
 * Starting waits until the daemon answers; ending it is the caller's choice of signal. The log is kept and shown when a
 * start fails. Nothing here knows what a test wants to prove.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Background, type Outcome, type RunOptions, run, waitFor } from './system-process.js';

/** The compiled programs lie beside this file's own folder, wherever the build put them. */
const WEFTD = fileURLToPath(new URL('../../daemon/weftd.js', import.meta.url));
export const WEFT = fileURLToPath(new URL('../../daemon/weft.js', import.meta.url));

export interface Reply {
  status: number;
  type: string;
  text: string;
  /** Parsed when the reply is JSON, else undefined. */
  // biome-ignore lint/suspicious/noExplicitAny: replies are asserted on field by field, as a foreign client sees them
  body: any;
}

export class Daemon {
  readonly directory: string;
  readonly socket: string;
  readonly stateDir: string;
  readonly runDir: string;
  #process: Background | null = null;
  #earlierLogs = '';
  #namespace: string | null = null;
  #options: readonly string[] = [];
  #nodeOptions: readonly string[] = [];

  /** Nothing is started or made yet. */
  constructor(directory: string) {
    this.directory = directory;
    this.socket = join(directory, 'weft.sock');
    this.stateDir = join(directory, 'state');
    this.runDir = join(directory, 'run');
  }

  get pid(): number {
    assert.ok(this.#process !== null, 'the daemon runs');
    return this.#process.pid;
  }

  get isRunning(): boolean {
    return this.#process !== null && this.#process.status === null;
  }

  /** Everything it and its predecessors wrote to stderr. */
  get log(): string {
    return this.#earlierLogs + (this.#process?.stderr ?? '');
  }

  get command(): string[] {
    return [process.execPath, ...this.#nodeOptions, WEFTD, ...this.arguments];
  }

  get arguments(): string[] {
    return ['--socket', this.socket, '--state-dir', this.stateDir, '--run-dir', this.runDir, ...this.#options];
  }

  /** Runs it in the network namespace `path` from its next start on: that namespace is then "the host" for it. */
  setHostNamespace(path: string): void {
    this.#namespace = path;
  }

  /** Adds options to its command line from its next start on. */
  setOptions(...options: string[]): void {
    this.#options = options;
  }

  /** Adds options of Node.js itself from its next start on. */
  setNodeOptions(...options: string[]): void {
    this.#nodeOptions = options;
  }

  /** Starts it and waits until it answers; returns the milliseconds from spawn to the first answer. */
  async start(timeoutMs = 40_000): Promise<number> {
    assert.ok(!this.isRunning, 'a daemon is started once at a time');
    const startedAt = performance.now();
    this.#earlierLogs = this.log;
    const process = this.spawn();
    this.#process = process;
    await waitFor(
      'weftd to answer',
      async () => {
        assert.equal(process.status, null, `weftd ended at once with status ${process.status}:\n${this.log}`);
        return (
          existsSync(this.socket) &&
          (await this.api('GET', '/v1/status')
            .then((reply) => reply.status === 200)
            .catch(() => false))
        );
      },
      timeoutMs,
      5,
    ).catch((error: Error) => assert.fail(`${error.message}\n${threadsOf(process)}\n${this.log}`));
    return performance.now() - startedAt;
  }

  /** Starts it without waiting, for tests of a start that fails; `extra` is added to the command line. */
  spawn(extra: readonly string[] = []): Background {
    mkdirSync(this.directory, { recursive: true });
    const command = [...this.command, ...extra];
    return new Background(
      this.#namespace === null ? command : ['nsenter', `--net=${this.#namespace}`, '--', ...command],
    );
  }

  /** SIGTERM, and waits; the outcome tells the exit status (0 when it ended as it should). */
  async terminate(): Promise<Outcome> {
    return await this.#end('SIGTERM');
  }

  /** `kill -9`, and waits until it is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Runs the command line tool; what it prints and how it ends is the result, whatever that is. */
  async weft(parameters: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return await run([process.execPath, WEFT, '--socket', this.socket, ...parameters], options);
  }

  /** Runs the command line tool, which must succeed; returns what it printed. */
  async ok(...parameters: string[]): Promise<string> {
    const outcome = await this.weft(parameters);
    assert.equal(
      outcome.status,
      0,
      `weft ${parameters.join(' ')}\nstdout: ${outcome.stdout}\nstderr: ${outcome.stderr}`,
    );
    return outcome.stdout;
  }

  /** Runs `weft --json ...`, which must succeed and print one JSON document. */
  // biome-ignore lint/suspicious/noExplicitAny: the document is asserted on field by field, as a script would read it
  async json(...parameters: string[]): Promise<any> {
    return JSON.parse(await this.ok('--json', ...parameters));
  }

  /** One HTTP request over the socket; a body that is not a string is sent as JSON. */
  api(method: string, path: string, body?: unknown, timeoutMs = 20_000): Promise<Reply> {
    const payload = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    const headers =
      body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
    return new Promise((resolve, reject) => {
      const outgoing = request(
        { socketPath: this.socket, method, path, headers, agent: false, timeout: timeoutMs },
        (incoming) => {
          let text = '';
          incoming.setEncoding('utf8');
          incoming.on('data', (part: string) => {
            text += part;
          });
          incoming.on('error', reject);
          incoming.on('end', () => {
            const type = incoming.headers['content-type'] ?? '';
            resolve({
              status: incoming.statusCode ?? 0,
              type,
              text,
              body: type.includes('json') ? JSON.parse(text) : undefined,
            });
          });
        },
      );
      outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${path}: no answer within ${timeoutMs} ms`)));
      outgoing.on('error', reject);
      outgoing.end(payload);
    });
  }

  /** A request that must be answered with 2xx; returns the body. */
  // biome-ignore lint/suspicious/noExplicitAny: see Reply
  async call(method: string, path: string, body?: unknown): Promise<any> {
    const reply = await this.api(method, path, body);
    assert.ok(reply.status >= 200 && reply.status < 300, `${method} ${path}: ${reply.status} ${reply.text}`);
    return reply.body;
  }

  async #end(signal: NodeJS.Signals): Promise<Outcome> {
    const process = this.#process;
    assert.ok(process !== null && process.status === null, `the daemon runs when it gets ${signal}\n${this.log}`);
    return await process.stop(signal);
  }
}

/** What every thread of a process waits for in the kernel: for a program that hangs. */
function threadsOf(program: Background): string {
  if (program.status !== null) return `it ended with status ${program.status}`;
  const tasks = `/proc/${program.pid}/task`;
  const read = (thread: string, file: string) => readFileSync(join(tasks, thread, file), 'utf8').trim();
  return readdirSync(tasks)
    .map((thread) => `${thread} ${read(thread, 'comm')}: ${read(thread, 'wchan')}, ${read(thread, 'syscall')}`)
    .join('\n');
}
