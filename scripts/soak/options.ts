// The command line of the soak.
import { parseArgs } from 'node:util';

export const FAULTS = ['throw', 'exit', 'hang'] as const;
export type Fault = (typeof FAULTS)[number];

export interface Options {
  /** Length of the load. */
  readonly seconds: number;
  readonly seed: number;
  readonly operators: number;
  /** How the datapath worker is made to fail at random moments; null = not at all. */
  readonly fault: Fault | null;
}

const LONGEST_MINUTES = 7 * 24 * 60;
const MOST_OPERATORS = 16;

export const USAGE = `usage: npm run soak -- [options]        (as root)

A daemon of its own, four compartments under full load (TCP with and without super-frames, UDP, broadcasts), and operators
that create, change, move and delete compartments, networks, endpoints and captures all the while. Ends with a report.

  --minutes N         length of the load; may be a fraction (default 5)
  --seed S            of everything random; the report names it (default: another one every time)
  --operators N       how many change the lab at the same time (default 3)
  --faults HOW        the datapath worker also fails every few seconds: ${FAULTS.join(', ')}
  --help

Exit status 1, and a sentence for each, when
  - a request is refused that should not be, or accepted that should not be, or the lists show something else than was done
  - a frame is not accounted for: at every sample the two sides of a law may differ by the burst that is being worked on;
    at rest not at all:    arrivals + originated = forwarded + consumed + dropped    departures = sent + dropped at the port
    and then, over a few seconds without operators, the endpoints add up to the totals, and the kernel counted at every
    interface what weft counted
  - memory drifts by more than 5 MB: resident memory (VmRSS) is read every two seconds; drift is the lowest value of the last
    third minus the lowest of the first third after the first minute. Lowest, because above it lies garbage that comes and
    goes in waves of a minute. Runs of less than four minutes report it and do not judge it
  - something is left: file descriptors of the daemon, namespaces, interfaces, markers, processes
`;

/** Parses the arguments; null when help was asked for; throws an Error with one sentence about what is wrong. */
export function parseOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: '5' },
      seed: { type: 'string' },
      operators: { type: 'string', default: '3' },
      faults: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const minutes = Number(values.minutes);
  if (!(minutes >= 0.1 && minutes <= LONGEST_MINUTES)) {
    throw new Error(`--minutes ${values.minutes}: a number from 0.1 to ${LONGEST_MINUTES} was expected`);
  }
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : wholeNumber('--seed', values.seed, 1, 2 ** 31 - 1);
  return {
    seconds: minutes * 60,
    seed,
    operators: wholeNumber('--operators', values.operators, 0, MOST_OPERATORS),
    fault: values.faults === undefined ? null : faultOf(values.faults),
  };
}

function wholeNumber(name: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (text !== '' && Number.isInteger(value) && value >= low && value <= high) return value;
  throw new Error(`${name} ${text}: a whole number from ${low} to ${high} was expected`);
}

function faultOf(text: string): Fault {
  const fault = FAULTS.find((known) => known === text);
  if (fault === undefined) throw new Error(`--faults ${text}: unknown (known: ${FAULTS.join(', ')})`);
  return fault;
}
