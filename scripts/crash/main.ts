// npm run crash: the crash rig from the command line. Needs root; makes its own namespaces, daemon and directory and removes
// them again, also after a failure or Ctrl-C.
import { parseArgs } from 'node:util';
import { Lab } from '../../test/support/system-lab.js';
import { prepareLab, runCrashes } from './crash-rig.js';

const USAGE = `usage: npm run crash -- [--rounds N] [--seed S]        (as root)

Kills a weftd of its own with SIGKILL at random moments of storms of create, delete, attach, move and detach requests,
while a TCP transfer crosses it; now and then its datapath worker fails first. After every round: what it lists is what was
acknowledged (or what the request under way asked for), the kernel has what it lists and nothing more, no half-written
file is left, and the transfer goes on. At the end every byte of the transfers is compared.

  --rounds N     how many times (default 100; about 1.5 s each)
  --seed S       repeats the choices of another run (their moments differ)
  --help

Exit status: 0 when everything held; 1, with the difference, the seed and the daemon's last words, when not.
`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  let rounds: number;
  let seed: number;
  try {
    const options = { rounds: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean' } } as const;
    const { values } = parseArgs({ args, options });
    if (values.help) {
      process.stdout.write(USAGE);
      return 0;
    }
    rounds = numberOf('--rounds', values.rounds ?? '100', 1);
    seed = numberOf('--seed', values.seed ?? String(Date.now() % 1e9), 0);
    if (process.getuid?.() !== 0) throw new Error('the crash rig makes network namespaces (run it as root)');
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n`);
    return 2;
  }
  return crash(rounds, seed);
}

function numberOf(name: string, text: string, low: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= low) return value;
  throw new Error(`${name} ${text}: a whole number from ${low} was expected`);
}

async function crash(rounds: number, seed: number): Promise<number> {
  const say = (line: string) => process.stdout.write(`${line}\n`);
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      say(`${signal}: ending after this round`);
      abort.abort();
    });
  }
  const lab = new Lab();
  prepareLab(lab);
  say(`seed ${seed}`);
  try {
    await lab.open();
    const report = await runCrashes(lab, { rounds, seed, say, signal: abort.signal });
    await lab.close();
    say(`
${report.rounds} rounds, ${report.acknowledged} requests acknowledged, ${report.workerFaults} worker faults: state exactly as acknowledged, nothing leaked
${(report.transferredBytes / 1e6).toFixed(0)} MB of TCP crossed the crashes and arrived unchanged
back after ${report.restartMs.toFixed(0)} ms (median), ${report.longestRestartMs.toFixed(0)} ms (longest)`);
    return 0;
  } catch (error) {
    process.stderr.write(`\nFAILED (seed ${seed}): ${(error as Error).message}\n\nthe end of the daemon's log:\n`);
    process.stderr.write(`${lab.daemon.log.split('\n').slice(-30).join('\n')}\n`);
    await lab.close().catch((closing: Error) => process.stderr.write(`and cleaning up: ${closing.message}\n`));
    return 1;
  }
}
