/**
 * Capture filters: tcpdump expressions (pcap-filter(7)), compiled to classic BPF by libpcap itself, which `tcpdump -ddd`
 * gives access to; run by bpf.ts. Not a compiler: what tcpdump accepts is what weft accepts.
 *
 * The expression comes from a client: it is passed as one argument behind `--`, never through a shell, and tcpdump opens no
 * device for `-d` with a given link type.
 */
import { execFile } from 'node:child_process';
import { type BpfInstruction, type BpfProgram, checkProgram } from './bpf.js';

export type FilterResult =
  /** `program` is null when everything passes. */
  { kind: 'compiled'; program: BpfProgram | null } | { kind: 'refused'; reason: string; remedy: string };

export interface FilterCompiler {
  /** Path of tcpdump, for tests. */
  tcpdump?: string;
  /** Host names in an expression ask the resolver. */
  timeoutMs?: number;
}

const MAX_EXPRESSION_LENGTH = 4096;
const DEFAULT_TIMEOUT_MS = 3000;
/** tcpdump may live where only root's PATH leads. */
const SEARCH_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const SNAPLEN = '262144';

/** Compiles an expression; an empty one passes everything. Never rejects. */
export async function compileFilter(expression: string, compiler: FilterCompiler = {}): Promise<FilterResult> {
  const trimmed = expression.trim();
  if (trimmed === '') return { kind: 'compiled', program: null };
  if (trimmed.length > MAX_EXPRESSION_LENGTH) {
    return refused(`the filter has ${trimmed.length} characters`, `use at most ${MAX_EXPRESSION_LENGTH}`);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(trimmed)) {
    return refused('the filter has control characters', 'write it in one line of printable characters');
  }
  const run = await runTcpdump(trimmed, compiler);
  if (run.kind === 'refused') return run;
  const instructions = parseDump(run.output);
  if (instructions === null) return refused(`tcpdump did not print a program for \`${trimmed}\``, 'check its version');
  const program = checkProgram(instructions);
  if (typeof program === 'string') {
    return refused(
      `weft cannot run the filter \`${trimmed}\`: ${program}`,
      'filter with tshark when reading the capture',
    );
  }
  return { kind: 'compiled', program };
}

function refused(reason: string, remedy: string): FilterResult & { kind: 'refused' } {
  return { kind: 'refused', reason, remedy };
}

function runTcpdump(
  expression: string,
  { tcpdump = 'tcpdump', timeoutMs = DEFAULT_TIMEOUT_MS }: FilterCompiler,
): Promise<{ kind: 'printed'; output: string } | (FilterResult & { kind: 'refused' })> {
  const options = { timeout: timeoutMs, env: { PATH: SEARCH_PATH, LC_ALL: 'C' }, maxBuffer: 1 << 20, cwd: '/' };
  const parameters = ['-y', 'EN10MB', '-s', SNAPLEN, '-ddd', '--', expression];
  return new Promise((resolve) => {
    execFile(tcpdump, parameters, options, (error, stdout, stderr) => {
      if (error === null) resolve({ kind: 'printed', output: stdout });
      else if (error.code === 'ENOENT' || error.code === 'EACCES') {
        resolve(refused('filters need tcpdump, which is not installed', 'install it: apt-get install tcpdump'));
      } else if (error.killed === true) {
        resolve(
          refused(`tcpdump took too long for the filter \`${expression}\``, 'use addresses in place of host names'),
        );
      } else {
        resolve(refused(`\`${expression}\` is no filter: ${complaint(stderr)}`, 'see pcap-filter(7)'));
      }
    });
  });
}

/** What tcpdump says, without its name and without hints about warnings. */
function complaint(stderr: string): string {
  const lines = stderr
    .split('\n')
    .map((line) => line.replace(/^tcpdump: /, '').trim())
    .filter((line) => line !== '' && !line.startsWith('WARNING'));
  return lines.at(-1) ?? 'tcpdump gives no reason';
}

/** Output of -ddd: the number of instructions, then one `code jt jf k` per line. */
function parseDump(output: string): BpfInstruction[] | null {
  const lines = output.trim().split('\n');
  const count = Number(lines[0]);
  if (!Number.isInteger(count) || lines.length !== count + 1) return null;
  const instructions: BpfInstruction[] = [];
  for (const line of lines.slice(1)) {
    const [code, jt, jf, k] = line.trim().split(/\s+/).map(Number);
    if (code === undefined || jt === undefined || jf === undefined || k === undefined) return null;
    instructions.push({ code, jt, jf, k });
  }
  return instructions;
}
