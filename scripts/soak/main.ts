// The command line of the soak rig: a lab of its own, the soak, the report. README.md in this folder (of the source tree) says
// what is done and what is judged. Needs root; touches nothing outside the namespaces that it makes, and removes them again,
// also when something fails or on Ctrl-C.
import { Lab } from '../../test/support/system-lab.js';
import { STEADY_HEAP } from './memory.js';
import { type Options, parseOptions, USAGE } from './options.js';
import { formatReport } from './report.js';
import { runSoak } from './soak.js';

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options !== null) return await soak(options);
    process.stdout.write(USAGE);
    return 0;
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n`);
    return 1;
  }
}

async function soak(options: Options): Promise<number> {
  if (process.getuid?.() !== 0) throw new Error('the soak makes network namespaces (run it as root)');
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!abort.signal.aborted) say(`${signal}: ending`);
      abort.abort();
    });
  }
  process.stdout.on('error', () => abort.abort());
  const lab = new Lab();
  lab.daemon.setNodeOptions(...STEADY_HEAP);
  if (options.fault !== null) lab.daemon.setOptions('--worker-fault', options.fault);
  say(`seed ${options.seed}: ${options.operators} operators for ${(options.seconds / 60).toFixed(1)} minutes`);
  const leftovers: string[] = [];
  let report: Awaited<ReturnType<typeof runSoak>>;
  try {
    await lab.open();
    report = await runSoak(lab, { ...options, say, signal: abort.signal });
  } finally {
    await lab.close().catch((error: Error) => leftovers.push(error.message));
    for (const leftover of leftovers) process.stderr.write(`error: ${leftover}\n`);
  }
  report.problems.push(...leftovers);
  say(`\n${formatReport(report).trimEnd()}`);
  if (report.problems.length > 0) return 1;
  return abort.signal.aborted ? 130 : 0;
}
