/**
 * Runs tcpdump on an expression, to compile it and nothing else: `-d` with a given link type opens no device. The expression
 * comes from a client: it is one argument behind `--` and never passes through a shell.
 */
import { execFile } from 'node:child_process';

export interface FilterCompiler {
  /** Path of tcpdump, for tests. */
  tcpdump?: string;
  /** For one expression, however often tcpdump is asked about it: host names in it ask the resolver. */
  timeoutMs?: number;
}

export type TcpdumpRun =
  /** Output of -ddd. */
  | { kind: 'printed'; output: string }
  /** The expression is wrong; what tcpdump says of it. */
  | { kind: 'complained'; complaint: string }
  | { kind: 'absent' }
  | { kind: 'late' };

export const DEFAULT_TIMEOUT_MS = 3000;
/** tcpdump may live where only root's PATH leads. */
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const SNAPLEN = '262144';

/** Never rejects. */
export function runTcpdump(expression: string, tcpdump: string, timeoutMs: number): Promise<TcpdumpRun> {
  const timeout = Math.max(1, Math.round(timeoutMs));
  const options = { env: { PATH: SEARCH_PATH, LC_ALL: 'C' }, maxBuffer: 1 << 20, cwd: '/' };
  const parameters = ['-y', 'EN10MB', '-s', SNAPLEN, '-ddd', '--', expression];
  return new Promise((resolve) => {
    let isLate = false;
    const child = execFile(tcpdump, parameters, options, (error, stdout, stderr) => {
      clearTimeout(timer);
      if (isLate) resolve({ kind: 'late' });
      else if (error === null) resolve({ kind: 'printed', output: stdout });
      else if (error.code === 'ENOENT' || error.code === 'EACCES') resolve({ kind: 'absent' });
      else resolve({ kind: 'complained', complaint: complaintIn(stderr) });
    });
    // Not `timeout` of execFile: a program that ends well just as its time is up would have succeeded, and printed nothing.
    const timer = setTimeout(() => {
      isLate = true;
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.kill('SIGKILL');
    }, timeout);
  });
}

/** What tcpdump says, without its name and without hints about warnings. */
function complaintIn(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^tcpdump: (can't parse filter expression: )?/, '').trim())
    .filter((line) => line !== '' && !line.startsWith('WARNING'));
  return lines.at(-1) ?? 'tcpdump gives no reason';
}
