// The command line of the benchmark.
import { parseArgs } from 'node:util';
import { families } from './catalogue.js';

export interface Options {
  readonly rounds: number;
  readonly families: readonly string[];
  /** Length of one measurement. */
  readonly seconds: number;
  readonly systems: readonly string[];
  readonly workloads: readonly string[];
  readonly quick: boolean;
  readonly json: string | null;
}

const familyNames = families.map((family) => family.name);
const systemNames = families.flatMap((family) => family.systems.map((system) => system.name));
const workloadNames = families.flatMap((family) =>
  [...family.workloads, ...family.weftWorkloads].map((workload) => workload.name),
);

export const USAGE = `usage: npm run bench -- [options]        (as root)

  --rounds N          rounds; every system is measured once in each (default 3)
  --seconds S         length of one measurement in seconds (default 3)
  --families A,B      of ${familyNames.join(', ')}
  --systems A,B       of ${systemNames.join(', ')}
  --workloads A,B     of ${workloadNames.join(', ')}
  --quick             one round of one second: checks the rig, the figures mean little
  --json FILE         also write all samples, summaries, ratios and verdicts
  --help
`;

/** Parses the arguments; null when help was asked for; throws an Error with one sentence about what is wrong. */
export function parseOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      families: { type: 'string' },
      systems: { type: 'string' },
      workloads: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  return {
    rounds: numberBetween('--rounds', values.rounds, values.quick ? 1 : 3, 1, 100),
    seconds: numberBetween('--seconds', values.seconds, values.quick ? 1 : 3, 1, 600),
    families: choice('--families', values.families, familyNames),
    systems: choice('--systems', values.systems, systemNames),
    workloads: choice('--workloads', values.workloads, workloadNames),
    quick: values.quick,
    json: values.json ?? null,
  };
}

function numberBetween(name: string, text: string | undefined, otherwise: number, low: number, high: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new Error(`${name} ${text}: a whole number from ${low} to ${high} was expected`);
}

function choice(name: string, text: string | undefined, all: readonly string[]): readonly string[] {
  if (text === undefined) return all;
  const wanted = text.split(',').map((word) => word.trim());
  const unknown = wanted.filter((word) => !all.includes(word));
  if (unknown.length > 0) throw new Error(`${name} ${unknown.join(',')}: unknown (known: ${all.join(', ')})`);
  return all.filter((word) => wanted.includes(word));
}
