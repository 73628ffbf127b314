/** Runs the command line tool inside the test's own process, with everything that it could reach stood in for. */
import { PassThrough, Readable } from 'node:stream';
import { runCli } from '../../src/cli/run.js';
import type { CliWorld, Terminal } from '../../src/cli/session.js';

export interface CliOutcome {
  status: number;
  stdout: string;
  stderr: string;
}

export interface CliRun {
  readonly stdout: string;
  readonly stderr: string;
  /** As Ctrl-C does. */
  interrupt(): void;
  /** Whether an interrupt found the command listening: else it would have killed it. */
  readonly wasInterrupted: boolean;
  done: Promise<CliOutcome>;
}

export interface RunnerOptions extends Partial<CliWorld> {
  input?: string;
  terminal?: boolean;
}

/** Runs to the end. */
export function runWeft(
  socketPath: string,
  parameters: readonly string[],
  options: RunnerOptions = {},
): Promise<CliOutcome> {
  return startWeft(socketPath, parameters, options).done;
}

export function startWeft(socketPath: string, parameters: readonly string[], options: RunnerOptions = {}): CliRun {
  const { input = '', terminal = false, ...world } = options;
  const output = { stdout: '', stderr: '' };
  const interrupts = new Set<() => void>();
  let wasInterrupted = false;
  const sink = (name: 'stdout' | 'stderr'): Terminal => {
    const stream: Terminal = new PassThrough();
    stream.on('data', (chunk: Buffer) => {
      output[name] += chunk.toString('utf8');
    });
    return Object.assign(stream, { isTTY: terminal, columns: 100, rows: 24 });
  };
  const status = runCli(parameters, {
    stdin: Readable.from([Buffer.from(input)]),
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    cwd: '/somewhere',
    socketVariable: socketPath,
    version: '1.2.3',
    isRoot: true,
    onInterrupt(listener) {
      interrupts.add(listener);
      return () => interrupts.delete(listener);
    },
    checkMachine: async () => [],
    loadNative: async () => {
      throw new Error('no test of this kind enters namespaces');
    },
    ...world,
  });
  return {
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    get wasInterrupted() {
      return wasInterrupted;
    },
    interrupt() {
      wasInterrupted ||= interrupts.size > 0;
      for (const listener of interrupts) listener();
    },
    done: status.then(async (code) => {
      // What was written last reaches the listeners in the next turn.
      await new Promise((resolve) => setImmediate(resolve));
      return { status: code, ...output };
    }),
  };
}
