/** What weftd is told: the command line over the configuration file over the defaults. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface WeftdOptions {
  socket: string;
  stateDir: string;
  runDir: string;
  logLevel: LogLevel;
}

/** A command line or file that is wrong; the message is for the operator. */
export class OptionsError extends Error {}

const DEFAULT_CONFIG = '/etc/weft/weft.yaml';
const DEFAULTS: WeftdOptions = {
  socket: '/run/weft/weft.sock',
  stateDir: '/var/lib/weft',
  runDir: '/run/weft',
  logLevel: 'info',
};

export const HELP = `Usage: weftd [options]

The daemon of weft: runs in the foreground, logs to stderr, ends with SIGTERM or SIGINT.

Options:
  --config FILE      configuration (default: ${DEFAULT_CONFIG} if it exists)
  --socket PATH      control socket (default: ${DEFAULTS.socket})
  --state-dir DIR    what must survive a reboot (default: ${DEFAULTS.stateDir})
  --run-dir DIR      what must not (default: ${DEFAULTS.runDir})
  --log-level LEVEL  ${LOG_LEVELS.join(', ')} (default: ${DEFAULTS.logLevel})
  --version          print the version
  --help             print this

The configuration is YAML with the keys socket, stateDir, runDir and logLevel; the command line wins.`;

const COMMAND_LINE = {
  config: { type: 'string' },
  socket: { type: 'string' },
  'state-dir': { type: 'string' },
  'run-dir': { type: 'string' },
  'log-level': { type: 'string' },
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

/** Relative paths in the file start in the daemon's working directory, as those of the command line. */
async function readConfig(file: string | undefined): Promise<Partial<WeftdOptions>> {
  const path = file ?? DEFAULT_CONFIG;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && file === undefined) return {};
    throw new OptionsError(`bad config: ${code === 'ENOENT' ? `there is no ${path}` : message}`);
  }
  // Imported only when there is a file: it takes 50 ms of the start.
  const { parse } = await import('yaml');
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw new OptionsError(
      `bad config: ${path} is not YAML: ${(error as Error).message.split('\n', 1)[0]!.replace(/:$/, '')}`,
    );
  }
  return configOf(document ?? {}, path);
}

function configOf(document: unknown, path: string): Partial<WeftdOptions> {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new OptionsError(`bad config: ${path} holds no mapping of keys to values`);
  }
  for (const [key, value] of Object.entries(document)) {
    if (!(key in DEFAULTS)) {
      throw new OptionsError(
        `bad config: ${path} has an unknown key ${JSON.stringify(key)}; known: ${Object.keys(DEFAULTS).join(', ')}`,
      );
    }
    if (typeof value !== 'string' || value === '')
      throw new OptionsError(`bad config: ${key} in ${path} must be a string`);
    if (key === 'logLevel') levelOf(value, `bad config: logLevel in ${path}`);
  }
  return document as Partial<WeftdOptions>;
}

function levelOf(value: string, where: string): LogLevel {
  if ((LOG_LEVELS as readonly string[]).includes(value)) return value as LogLevel;
  throw new OptionsError(`${where} must be one of ${LOG_LEVELS.join(', ')}`);
}
