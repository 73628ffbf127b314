// Starts and ends the programs of the benchmark. Every one runs in its own process group (Ctrl-C reaches only us, and
// we end them in order), and dies with us even when we are killed (setpriv --pdeathsig). Nothing is ever killed by
// name.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

export interface RunOptions {
  /** Ends the program, and rejects, when aborted. */
  readonly signal?: AbortSignal;
  /** Milliseconds until it is killed and the run rejects; default 15 000. */
  readonly timeoutMs?: number;
  readonly environment?: Record<string, string>;
}

/** Runs a program to its end and returns what it printed; rejects with its last words unless it exits with 0. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { signal, timeoutMs = 15_000 } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Error('interrupted'));
    const child = launch(command, args, ['ignore', 'pipe', 'pipe'], options.environment);
    let output = '';
    let complaints = '';
    let problem = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-4000);
    });
    const stop = (why: string) => {
      problem = why;
      killGroup(child, 'SIGKILL');
    };
    const interrupt = () => stop('interrupted');
    const timer = setTimeout(() => stop(`no end within ${timeoutMs} ms`), timeoutMs);
    signal?.addEventListener('abort', interrupt);
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', interrupt);
    };
    child.once('error', (error) => {
      settle();
      reject(new Error(`${command}: ${error.message}`));
    });
    child.once('close', (status, killedBy) => {
      settle();
      if (status === 0 && problem === '') return resolve(output);
      const reason = problem || complaints.trim() || output.trim().slice(-500) || `status ${status ?? killedBy}`;
      reject(new Error(`${[command, ...args].join(' ')}: ${reason}`));
    });
  });
}

/** A program that runs until it is stopped: a switch, a daemon, a server. */
export interface Service {
  readonly pid: number;
  /** True once it has ended. */
  hasEnded(): boolean;
  /** Freezes it, so that it cannot disturb the measurement of another system. */
  pause(): void;
  resume(): void;
  /** SIGTERM, and SIGKILL after `patienceMs`; resolves when it is gone. */
  stop(patienceMs?: number): Promise<void>;
  /** The last lines it logged. */
  lastWords(): string;
}

export interface ServiceOptions {
  readonly logFile: string;
  /** Resolves only when this text was printed on stdout or stderr. */
  readonly readyText?: string;
  readonly environment?: Record<string, string>;
}

/** Starts a service; rejects when it ends, or does not print `readyText`, within five seconds. */
export async function startService(
  command: string,
  args: readonly string[],
  options: ServiceOptions,
): Promise<Service> {
  const log = openSync(options.logFile, 'w');
  // stdin is a pipe that is never written: vde_switch ends when its console reaches end of file.
  const child = launch(command, args, ['pipe', log, log], options.environment);
  closeSync(log);
  let ended = false;
  const gone = new Promise<void>((resolve) => {
    const end = () => {
      ended = true;
      resolve();
    };
    child.once('exit', end);
    child.once('error', end);
  });
  const lastWords = () => readFileSync(options.logFile, 'utf8').trim().split('\n').slice(-8).join('\n');
  const service: Service = {
    pid: child.pid ?? -1,
    hasEnded: () => ended,
    pause: () => killGroup(child, 'SIGSTOP'),
    resume: () => killGroup(child, 'SIGCONT'),
    lastWords,
    stop: async (patienceMs = 4000) => {
      if (!ended) {
        killGroup(child, 'SIGCONT');
        killGroup(child, 'SIGTERM');
        const timer = setTimeout(() => killGroup(child, 'SIGKILL'), patienceMs);
        await gone;
        clearTimeout(timer);
      }
      child.stdin?.destroy();
    },
  };
  const deadline = Date.now() + 5000;
  while (options.readyText !== undefined && !readFileSync(options.logFile, 'utf8').includes(options.readyText)) {
    if (ended || Date.now() > deadline) {
      await service.stop();
      throw new Error(`${command} did not start: ${lastWords() || 'it said nothing'}`);
    }
    await sleep(5);
  }
  return service;
}

/** Waits until `check` is true, asking every `everyMs`; rejects after `withinMs`. */
export async function until(what: string, check: () => boolean | Promise<boolean>, withinMs: number, everyMs = 10) {
  const deadline = Date.now() + withinMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${withinMs} ms`);
    await sleep(everyMs);
  }
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Error('interrupted'));
    const interrupt = () => {
      clearTimeout(timer);
      reject(new Error('interrupted'));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', interrupt);
      resolve();
    }, ms);
    signal?.addEventListener('abort', interrupt, { once: true });
  });
}

type Streams = ['ignore' | 'pipe', number | 'pipe', number | 'pipe'];

function launch(command: string, args: readonly string[], stdio: Streams, more: Record<string, string> = {}) {
  return spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], {
    stdio,
    detached: true,
    env: { ...process.env, LC_ALL: 'C', ...more },
  });
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // ESRCH: it ended a moment ago, and its exit is about to be reported.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
