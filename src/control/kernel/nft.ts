/**
 * nftables through the program `nft`, inside a network namespace. A script is one transaction: the kernel takes all of it or
 * nothing. Read first: nft(8).
 *
 * The child is in the namespace because it is forked by the thread that visits it (spawn forks before it returns).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { KernelError } from './kernel.js';
import { insideNamespace } from './namespace-visit.js';

/** nft lives where only root's PATH leads. */
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** The kernel answers within milliseconds; loading its modules for the first time takes longer. */
const TIMEOUT_MS = 20_000;

interface Outcome {
  /** null when it was killed. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Rejects with a `KernelError` that has what nft says of the script; ENOENT when there is no nft. */
export async function runNft(namespaceFd: number, script: string): Promise<void> {
  await call(namespaceFd, ['-f', '-'], script);
}

/** Names of the inet tables of the namespace that begin with `prefix`. */
export async function nftTables(namespaceFd: number, prefix: string): Promise<string[]> {
  const { stdout } = await call(namespaceFd, ['list', 'tables', 'inet'], '');
  const names = stdout.split('\n').map((line) => /^table inet (\S+)$/.exec(line.trim())?.[1] ?? '');
  return names.filter((name) => name !== '' && name.startsWith(prefix));
}

/** Chains of inet tables whose names begin with these words. */
export async function nftChains(
  namespaceFd: number,
  tablePrefix: string,
  chainPrefix: string,
): Promise<{ table: string; name: string }[]> {
  const chains = await listChains(namespaceFd);
  const named = chains.map(({ family, table, name }) => ({ family, table: String(table), name: String(name) }));
  return named.filter(
    ({ family, table, name }) => family === 'inet' && table.startsWith(tablePrefix) && name.startsWith(chainPrefix),
  );
}

/** Base chains of the forward hook with that policy, as `inet filter forward`. */
export async function nftForwardPolicies(namespaceFd: number, policy: 'accept' | 'drop'): Promise<string[]> {
  const chains = await listChains(namespaceFd);
  const found = chains.filter((chain) => chain.hook === 'forward' && chain.policy === policy);
  return found.map(({ family, table, name }) => `${family} ${table} ${name}`);
}

async function listChains(namespaceFd: number): Promise<Record<string, unknown>[]> {
  const { stdout } = await call(namespaceFd, ['-j', 'list', 'chains'], '');
  const { nftables } = JSON.parse(stdout) as { nftables: { chain?: Record<string, unknown> }[] };
  return nftables.flatMap(({ chain }) => (chain === undefined ? [] : [chain]));
}

async function call(namespaceFd: number, parameters: string[], input: string): Promise<Outcome> {
  const subject = parameters.join(' ');
  const outcome = await run(namespaceFd, parameters, input);
  if (outcome.code === 0) return outcome;
  const complaint = /(?:Error|error): (.*)/.exec(outcome.stderr)?.[1] ?? outcome.stderr.trim().split('\n')[0] ?? '';
  const errno = /not permitted/i.test(complaint) ? 'EPERM' : 'EINVAL';
  throw new KernelError('nft', subject, outcome.code === null ? 'ETIMEDOUT' : errno, complaint || 'it gives no reason');
}

function run(namespaceFd: number, parameters: string[], input: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const options = { env: { PATH: SEARCH_PATH, LC_ALL: 'C' }, cwd: '/', timeout: TIMEOUT_MS };
    const child: ChildProcess = insideNamespace(namespaceFd, () => spawn('nft', parameters, options));
    const outcome: Outcome = { code: null, stdout: '', stderr: '' };
    child.stdout?.on('data', (chunk: Buffer) => {
      outcome.stdout += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      outcome.stderr += chunk.toString();
    });
    child.on('error', ({ code = 'EIO' }: NodeJS.ErrnoException) => {
      const isMissing = code === 'ENOENT' || code === 'EACCES';
      const why = isMissing ? 'the program nft is not installed: apt-get install nftables' : 'it could not be started';
      reject(new KernelError('nft', parameters.join(' '), isMissing ? 'ENOENT' : code, why));
    });
    child.on('close', (code) => resolve({ ...outcome, code }));
    child.stdin?.on('error', () => {}); // it ended before it had read everything, and its status says why
    child.stdin?.end(input);
  });
}
