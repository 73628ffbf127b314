/**
 * Programs that system tests run: to the end, or in the background, in the namespace of the test process or in another.
 *
 * Every background program is remembered until it has ended, so that a lab can end those that a failed test left. Nothing
 * here knows weft. Every wait is bounded.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** How a program ended. */
export interface Outcome {
  /** Exit status, or 128 + signal number as a shell would say (137 for SIGKILL). */
  status: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string | Uint8Array;
  /** Milliseconds after which the program is killed; default 30 000. */
  timeoutMs?: number;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGTERM: 15,
};

/** A program in the background: its output so far, and how to wait for it or end it. */
export class Background {
  readonly child: ChildProcess;
  readonly title: string;
  stdout = '';
  stderr = '';
  /** Set when it has ended and its output is complete. */
  status: number | null = null;
  readonly #ended: Promise<Outcome>;

  constructor(command: readonly string[], options: RunOptions = {}) {
    const [file, ...parameters] = command;
    assert.ok(file !== undefined, 'a command has a first word');
    this.title = command.join(' ').slice(0, 200);
    this.child = spawn(file, parameters, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: options.env ?? process.env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.child.stdin?.on('error', () => {}); // a program that ends without reading its input
    this.#ended = new Promise((resolve) => {
      const settle = (status: number): void => {
        this.status = status;
        running.delete(this);
        resolve({ status, stdout: this.stdout, stderr: this.stderr });
      };
      this.child.once('error', (error) => {
        this.stderr += `${error.message}\n`;
        settle(127);
      });
      this.child.once('close', (code, signal) => settle(code ?? 128 + (SIGNAL_NUMBERS[signal ?? 'SIGKILL'] ?? 0)));
    });
    running.add(this);
  }

  get pid(): number {
    assert.ok(this.child.pid !== undefined, `${this.title}: did not start: ${this.stderr}`);
    return this.child.pid;
  }

  /** Resolves when it has ended by itself; fails (and kills it) after `timeoutMs`. */
  async end(timeoutMs = 30_000): Promise<Outcome> {
    const limit = new AbortController();
    const late = sleep(timeoutMs, 'late' as const, { signal: limit.signal, ref: true }).catch(() => 'ended' as const);
    const first = await Promise.race([this.#ended, late]);
    limit.abort();
    if (typeof first !== 'string') return first;
    this.child.kill('SIGKILL');
    const { stdout, stderr } = await this.#ended;
    assert.fail(`${this.title}: still running after ${timeoutMs} ms\nstdout: ${stdout}\nstderr: ${stderr}`);
  }

  /** Sends a signal and waits for the end; SIGKILL when that takes longer than `timeoutMs`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 20_000): Promise<Outcome> {
    if (this.status === null) this.child.kill(signal);
    const killer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    const outcome = await this.#ended;
    clearTimeout(killer);
    return outcome;
  }
}

const running = new Set<Background>();

/** Ends every background program that matches; returns the titles of those that were still running. */
export async function endBackground(matches: (program: Background) => boolean): Promise<string[]> {
  const left = [...running].filter(matches);
  await Promise.all(left.map((program) => program.stop('SIGKILL')));
  return left.map((program) => program.title);
}

/** Runs a program to its end. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const program = new Background(command, options);
  program.child.stdin?.end(options.input ?? '');
  return await program.end(options.timeoutMs);
}

/** Runs a program that must succeed; returns its standard output. */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await run(command, options);
  assert.equal(outcome.status, 0, `${command.join(' ')}\nstdout: ${outcome.stdout}\nstderr: ${outcome.stderr}`);
  return outcome.stdout;
}

/** The same command, in the network namespace that `path` names (`/run/netns/x`, `/proc/PID/ns/net`). */
export function inNamespace(path: string, command: readonly string[]): string[] {
  return ['nsenter', `--net=${path}`, '--', ...command];
}

/** Waits until `probe` returns something other than undefined, null or false; fails after `timeoutMs`, naming `what`. */
export async function waitFor<T>(
  what: string,
  probe: () => T | Promise<T>,
  timeoutMs = 30_000,
  intervalMs = 20,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== null && found !== false) return found as Exclude<T, undefined | null | false>;
    assert.ok(Date.now() < deadline, `waited ${timeoutMs} ms for: ${what}`);
    await sleep(intervalMs);
  }
}
