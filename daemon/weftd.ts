#!/usr/bin/env node
/**
 * The daemon: reads what it is told, wires kernel, datapath, controller and API together, and takes them apart again.
 * Every fault of the start is one line on stderr and exit status 1.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { readVersion } from './package-version.js';
import { OptionsError } from './weftd-config.js';
import { createLog, type Logger } from './weftd-log.js';
import { HELP, readOptions, type WeftdOptions } from './weftd-options.js';
import type { CreatedDaemon } from './weftd-parts.js';
import { DATAPATH_WORKER } from './worker-module.js';

/** An orderly end takes milliseconds; one that hangs is cut off. */
const LONGEST_END_MS = 8000;

const startedAt = Date.now();

try {
  const request = await readOptions(process.argv.slice(2));
  if (request.kind === 'help') process.stdout.write(`${HELP}\n`);
  else if (request.kind === 'version') process.stdout.write(`weftd ${readVersion()}\n`);
  else await run(request.options);
} catch (error) {
  fail(error as Error);
}

async function run(options: WeftdOptions): Promise<void> {
  checkRights();
  const log = createLog(options.logLevel, process.stderr.isTTY === true);
  dieOnFaults(log);
  logWarnings(log);
  const stopRequest = whenAskedToStop();
  // Boots in its own thread while this one loads the rest of the program: whichever takes longer is what a start takes.
  const worker = new Worker(DATAPATH_WORKER, { name: 'datapath' });
  worker.on('error', () => {}); // one that ends before it is needed is replaced, and that one says why it cannot start
  const { Supervisor, takeSupervision } = await import('../src/control/supervisor.js');
  const supervisor = new Supervisor({ supervision: takeSupervision(process.env, process.pid), log });
  supervisor.say('Starting');
  const { createDaemon } = await import('./weftd-parts.js');
  const daemon = await createDaemon(options, {
    log,
    worker,
    startedAt,
    version: readVersion(),
    maxConnections: maxConnections(),
  });
  log.info({ socket: options.socket, ms: Math.round(process.uptime() * 1000) }, 'ready');
  supervisor.ready(daemon);
  const signal = await stopRequest;
  supervisor.stopping();
  await end(daemon, signal, log);
}

async function end(daemon: CreatedDaemon, signal: string, log: Logger): Promise<void> {
  log.info({ signal }, 'stopping');
  setTimeout(() => {
    log.error({}, 'the end took too long: cut off; the saved state is complete');
    process.exit(1);
  }, LONGEST_END_MS).unref();
  await daemon.close();
  log.info({}, 'stopped');
  process.exit(0);
}

/** Resolves with the name of the signal. Signals that come during the start are kept until it is over. */
function whenAskedToStop(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
    // A closed terminal ends a foreground program.
    process.on('SIGHUP', () => resolve('SIGHUP'));
  });
}

/** A bug: the state on disk is complete, interfaces persist, whoever supervises starts weftd again. */
function dieOnFaults(log: Logger): void {
  process.on('uncaughtException', (error) => {
    log.fatal({ error: error.stack ?? String(error) }, 'weftd met a fault of its own and ends');
    process.exit(1);
  });
}

/** What Node itself warns of is a line of the log like any other, instead of text that it writes between them. */
function logWarnings(log: Logger): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning: Error & { code?: string }) => {
    log.warn({ warning: warning.code ?? warning.name }, warning.message);
  });
}

function checkRights(): void {
  if (process.geteuid?.() !== 0 && !hasCapabilities()) {
    throw new OptionsError('not root: weftd makes interfaces and enters network namespaces (start it with sudo)');
  }
  try {
    closeSync(openSync('/dev/net/tun', 'r+')); // access(2) knows nothing of capabilities
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new OptionsError(
      missing
        ? 'no /dev/net/tun: the kernel module tun is not loaded (modprobe tun; in a container: --device /dev/net/tun)'
        : '/dev/net/tun cannot be opened (in a container: --device /dev/net/tun --cap-add NET_ADMIN)',
    );
  }
}

/** CAP_NET_ADMIN and CAP_SYS_ADMIN, which a service manager can give to any user. */
function hasCapabilities(): boolean {
  const line = readFileSync('/proc/self/status', 'utf8').match(/^CapEff:\s*([0-9a-f]+)/m);
  const needed = (1n << 12n) | (1n << 21n);
  return line !== null && (BigInt(`0x${line[1]}`) & needed) === needed;
}

/** Half of the file descriptors of the process are for interfaces and files. */
function maxConnections(): number {
  const line = readFileSync('/proc/self/limits', 'utf8').match(/^Max open files\s+(\d+)/m);
  const descriptors = line === null ? 1024 : Number(line[1]);
  return Math.max(64, Math.min(4096, Math.floor(descriptors / 2)));
}

function fail(error: Error & { remedy?: string }): never {
  const remedy = error.remedy ? ` (${error.remedy})` : '';
  process.stderr.write(`error: ${error.message.split('\n', 1)[0]}${remedy}\n`);
  process.exit(1);
}
