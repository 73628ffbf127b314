/**
 * Capture filters: tcpdump expressions (pcap-filter(7)), compiled to classic BPF by libpcap itself, which `tcpdump -ddd`
 * gives access to; run by bpf.ts. Not a compiler: what tcpdump accepts is what weft accepts.
 */
import { type BpfInstruction, type BpfProgram, checkProgram } from './bpf.js';
import { describeFault } from './filter-fault.js';
import { DEFAULT_TIMEOUT_MS, type FilterCompiler, runTcpdump } from './tcpdump.js';

export type FilterResult =
  /** `program` is null when everything passes. */
  { kind: 'compiled'; program: BpfProgram | null } | { kind: 'refused'; reason: string; remedy: string };

const MAX_EXPRESSION_LENGTH = 4096;

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
  const printed = await printProgram(trimmed, compiler);
  if (typeof printed !== 'string') return printed;
  const instructions = parseDump(printed);
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

async function printProgram(
  expression: string,
  { tcpdump = 'tcpdump', timeoutMs = DEFAULT_TIMEOUT_MS }: FilterCompiler,
): Promise<string | (FilterResult & { kind: 'refused' })> {
  const endMs = performance.now() + timeoutMs;
  const run = (text: string) => runTcpdump(text, tcpdump, endMs - performance.now());
  const answer = await run(expression);
  switch (answer.kind) {
    case 'printed':
      return answer.output;
    case 'absent':
      return refused('filters need tcpdump, which is not installed', 'install it: apt-get install tcpdump');
    case 'late':
      return refused(`tcpdump took too long for the filter \`${expression}\``, 'use addresses in place of host names');
    case 'complained': {
      const fault = await describeFault(expression, answer.complaint, run);
      return refused(`\`${expression}\` is no filter: ${fault}`, 'see pcap-filter(7)');
    }
  }
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
