// The benchmark: weft's switch against a bare C loop over TAPs (the limit), the kernel's bridge and other userspace switches;
// weft's NAT against the kernel's and against other userspace NATs.
// README.md in this folder (of the source tree) describes the method. Needs root; touches nothing outside the
// namespaces that it makes, and removes them again, also when a measurement fails or on Ctrl-C.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { families } from './catalogue.js';
import { type Bench, ownPrefix, removeLeftovers, UndoStack } from './lab.js';
import { type Options, parseOptions, USAGE } from './options.js';
import { run } from './processes.js';
import { formatReport, type Results, toDocument } from './report.js';
import { type Outcome, runRounds, type Selection } from './rounds.js';
import { missingPrograms } from './systems/system.js';

const HELPERS = ['tap-loop', 'udp-flood', 'udp-sink', 'ping-pong', 'frame-flood', 'frame-count', 'connect-load'];
/** Above this load at the start somebody else is using the machine, and the figures are theirs as well. */
const BUSY = 0.5;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options !== null) return await benchmark(options);
    process.stdout.write(USAGE);
    return 0;
  } catch (error) {
    process.stderr.write(`error: ${(error as Error).message}\n`);
    return 1;
  }
}

async function benchmark(options: Options): Promise<number> {
  if (process.getuid?.() !== 0) throw new Error('the benchmark makes network namespaces (run it as root)');
  const basics = missingPrograms(['ip', 'setpriv', 'cc']);
  if (basics.length > 0) {
    throw new Error(`${basics.join(', ')} not found (on Debian: apt-get install iproute2 util-linux gcc libc6-dev)`);
  }
  const prefix = ownPrefix();
  const abort = new AbortController();
  const bench: Bench = {
    directory: mkdtempSync(join(tmpdir(), `${prefix}-`)),
    prefix,
    packageRoot: findPackageRoot(),
    signal: abort.signal,
    seconds: options.seconds,
    quick: options.quick,
    undo: new UndoStack(),
    say: (line) => process.stdout.write(`${line}\n`),
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!abort.signal.aborted) bench.say(`${signal}: cleaning up`);
      abort.abort();
    });
  }
  // Whoever read our output has gone (`| head`): end in order instead of at the next line.
  process.stdout.on('error', () => abort.abort());
  try {
    return await measureAndReport(bench, options);
  } finally {
    const problems = await bench.undo.run();
    rmSync(bench.directory, { recursive: true, force: true });
    for (const problem of problems) process.stderr.write(`error: ${problem}\n`);
  }
}

async function measureAndReport(bench: Bench, options: Options): Promise<number> {
  await removeLeftovers(bench.say);
  await compileHelpers(bench);
  const selection = select(options);
  const [load] = loadavg();
  if (load! > BUSY) bench.say(`warning: the machine is busy (load ${load!.toFixed(2)}); do not trust the figures`);
  const versions: Record<string, string> = {};
  for (const { systems } of selection.families) {
    for (const system of systems) versions[system.name] = await system.version(bench);
  }
  for (const [name, reason] of Object.entries(selection.skipped)) bench.say(`skipping ${name}: ${reason}`);

  const startedAt = new Date().toISOString();
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    kernel: release(),
    node: process.version,
    loadAverage: load!.toFixed(2),
  };
  const outcome: Outcome = { samples: [], failures: [], background: [] };
  await runRounds(bench, options.rounds, selection.families, outcome);
  const results: Results = {
    ...{ startedAt, machine, options: { ...options }, versions },
    ...{ skipped: selection.skipped, ...outcome },
  };
  process.stdout.write(`\n${formatReport(results)}`);
  if (options.json !== null) {
    writeFileSync(options.json, `${JSON.stringify(toDocument(results), null, 2)}\n`);
    bench.say(`\nwritten: ${options.json}`);
  }
  if (bench.signal.aborted) return 130;
  return outcome.failures.length === 0 ? 0 : 1;
}

/** What was asked for and can run here; what cannot is skipped with the package that would help. */
function select(options: Options) {
  const skipped: Record<string, string> = {};
  const isThere = (thing: { name: string; programs: readonly string[]; packages: readonly string[] }) => {
    const missing = missingPrograms(thing.programs);
    if (missing.length === 0) return true;
    skipped[thing.name] = `${missing.join(', ')} not found (on Debian: apt-get install ${thing.packages.join(' ')})`;
    return false;
  };
  const chosen = families.filter((family) => options.families.includes(family.name));
  const selections = chosen.map(({ subject, ...family }): Selection => {
    const systems = family.systems.filter((system) => options.systems.includes(system.name) && isThere(system));
    const shared = family.workloads.filter(
      (workload) => options.workloads.includes(workload.name) && isThere(workload),
    );
    const hasSubject = systems.some((system) => system.name === subject);
    const alone = family.weftWorkloads.filter((workload) => hasSubject && options.workloads.includes(workload.name));
    return { subject, systems, workloads: systems.length > 0 ? shared : [], weftWorkloads: alone };
  });
  return { families: selections, skipped };
}

async function compileHelpers(bench: Bench): Promise<void> {
  const sources = join(bench.packageRoot, 'scripts', 'bench', 'c');
  const binaries = join(bench.directory, 'bin');
  mkdirSync(binaries);
  for (const name of HELPERS) {
    const args = ['-O2', '-Wall', '-Wextra', '-Werror', '-o', join(binaries, name), join(sources, `${name}.c`)];
    await run('cc', args, { signal: bench.signal, timeoutMs: 60_000 });
  }
}

function findPackageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    if (dirname(folder) === folder) throw new Error('package.json of weft not found above this program');
    folder = dirname(folder);
  }
  return folder;
}
