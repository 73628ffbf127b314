/** What weftd is told: the command line over the configuration file over the defaults. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { WORKER_FAULTS, type WorkerFault } from '../src/datapath/program.js';
import {
  DEFAULT_CONFIG,
  DEFAULTS,
  LOG_LEVELS,
  levelOf,
  OptionsError,
  readConfig,
  type WeftdConfig,
} from './weftd-config.js';

export interface WeftdOptions extends WeftdConfig {
  /** What SIGUSR2 makes the datapath worker do; null = nothing. */
  workerFault: WorkerFault | null;
}

export const HELP = `Usage: weftd [options]

The daemon of weft: runs in the foreground, logs to stderr, ends with SIGTERM or SIGINT.

Options:
  --config FILE      configuration (default: ${DEFAULT_CONFIG} if it exists)
  --socket PATH      control socket (default: ${DEFAULTS.socket})
  --state-dir DIR    what must survive a reboot (default: ${DEFAULTS.stateDir})
  --run-dir DIR      what must not (default: ${DEFAULTS.runDir})
  --log-level LEVEL  ${LOG_LEVELS.join(', ')} (default: ${DEFAULTS.logLevel})
  --worker-fault HOW SIGUSR2 makes the datapath worker fail, to try out that it is replaced:
                     ${WORKER_FAULTS.join(', ')}
  --version          print the version
  --help             print this

The configuration is YAML with the keys socket, stateDir, runDir and logLevel, over which the command line wins,
and cluster (with whom overlay networks are shared) and overlay (where the VTEP of this host is).`;

const COMMAND_LINE = {
  config: { type: 'string' },
  socket: { type: 'string' },
  'state-dir': { type: 'string' },
  'run-dir': { type: 'string' },
  'log-level': { type: 'string' },
  'worker-fault': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
} as const;

export type Request = { kind: 'help' } | { kind: 'version' } | { kind: 'run'; options: WeftdOptions };

/** Throws OptionsError. */
export async function readOptions(parameters: string[]): Promise<Request> {
  const values = parseCommandLine(parameters);
  if (values.help) return { kind: 'help' };
  if (values.version) return { kind: 'version' };
  const configured = await readConfig(values.config);
  const merged = {
    ...DEFAULTS,
    ...configured,
    ...(values.socket === undefined ? {} : { socket: values.socket }),
    ...(values['state-dir'] === undefined ? {} : { stateDir: values['state-dir'] }),
    ...(values['run-dir'] === undefined ? {} : { runDir: values['run-dir'] }),
    ...(values['log-level'] === undefined ? {} : { logLevel: levelOf(values['log-level'], '--log-level') }),
  };
  return {
    kind: 'run',
    options: {
      socket: resolve(merged.socket),
      stateDir: resolve(merged.stateDir),
      runDir: resolve(merged.runDir),
      logLevel: merged.logLevel,
      cluster: merged.cluster,
      overlay: merged.overlay,
      workerFault: values['worker-fault'] === undefined ? null : faultOf(values['worker-fault']),
    },
  };
}

function parseCommandLine(parameters: string[]) {
  try {
    const { values } = parseArgs({ args: parameters, options: COMMAND_LINE, strict: true, allowPositionals: false });
    for (const [name, value] of Object.entries(values)) {
      if (value === '') throw new OptionsError(`--${name} is empty`);
    }
    return values;
  } catch (error) {
    if (error instanceof OptionsError) throw error;
    throw new OptionsError(`${(error as Error).message.split('\n', 1)[0]!.replace(/\. .*$/, '')} (see weftd --help)`);
  }
}

function faultOf(value: string): WorkerFault {
  const fault = WORKER_FAULTS.find((known) => known === value);
  if (fault === undefined) throw new OptionsError(`--worker-fault must be one of ${WORKER_FAULTS.join(', ')}`);
  return fault;
}
