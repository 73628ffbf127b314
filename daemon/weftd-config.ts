/** The configuration file of weftd, and what holds without one. */
import { readFileSync } from 'node:fs';
import type { ClusterOptions } from '../src/control/cluster/cluster-options.js';
import type { OverlayDefaults } from '../src/model/overlay-defaults.js';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What the configuration file may say. */
export interface WeftdConfig {
  socket: string;
  stateDir: string;
  runDir: string;
  logLevel: LogLevel;
  /** null: overlay networks are this host's alone. */
  cluster: ClusterOptions | null;
  overlay: OverlayDefaults;
}

/** A command line or file that is wrong; the message is for the operator. */
export class OptionsError extends Error {}

export const DEFAULT_CONFIG = '/etc/weft/weft.yaml';
export const DEFAULTS: WeftdConfig = {
  socket: '/run/weft/weft.sock',
  stateDir: '/var/lib/weft',
  runDir: '/run/weft',
  logLevel: 'info',
  cluster: null,
  overlay: {},
};

/** Relative paths in the file start in the daemon's working directory, as those of the command line. */
export async function readConfig(file: string | undefined): Promise<Partial<WeftdConfig>> {
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
  const { parse } = (await import('yaml')).default;
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

async function configOf(document: unknown, path: string): Promise<Partial<WeftdConfig>> {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new OptionsError(`bad config: ${path} holds no mapping of keys to values`);
  }
  const config: Partial<WeftdConfig> = {};
  for (const [key, value] of Object.entries(document)) {
    if (!(key in DEFAULTS)) {
      throw new OptionsError(
        `bad config: ${path} has an unknown key ${JSON.stringify(key)}; known: ${Object.keys(DEFAULTS).join(', ')}`,
      );
    }
    if (key === 'cluster' || key === 'overlay') {
      Object.assign(config, { [key]: await sectionOf(key, value, path) });
      continue;
    }
    if (typeof value !== 'string' || value === '')
      throw new OptionsError(`bad config: ${key} in ${path} must be a string`);
    if (key === 'logLevel') levelOf(value, `bad config: logLevel in ${path}`);
    Object.assign(config, { [key]: value });
  }
  return config;
}

async function sectionOf(key: 'cluster' | 'overlay', value: unknown, path: string): Promise<object> {
  const { clusterFrom, ConfigFault, overlayFrom } = await import('./cluster-config.js');
  try {
    return key === 'cluster' ? clusterFrom(value) : overlayFrom(value);
  } catch (error) {
    if (!(error instanceof ConfigFault)) throw error;
    throw new OptionsError(`bad config: ${key} in ${path}: ${error.message}`);
  }
}

export function levelOf(value: string, where: string): LogLevel {
  if ((LOG_LEVELS as readonly string[]).includes(value)) return value as LogLevel;
  throw new OptionsError(`${where} must be one of ${LOG_LEVELS.join(', ')}`);
}
