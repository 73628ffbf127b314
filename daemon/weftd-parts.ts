/** Puts the daemon together from its parts, in the order in which they need each other, and takes it apart in reverse. */
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { claimSocketPath, listenOn, socketGroupId } from '../src/api/socket-file.js';
import { openStore } from '../src/control/state/store.js';
import { type Supervised, statusLine } from '../src/control/supervisor.js';
import { startDatapath } from '../src/control/worker/datapath-client.js';
import type { DatapathHost } from '../src/control/worker/datapath-host.js';
import { Counters, TOTAL, totalAt } from '../src/datapath/counters.js';
import type { WorkerFault } from '../src/datapath/program.js';
import { native } from '../src/native/index.js';
import type { Logger } from './weftd-log.js';
import type { WeftdOptions } from './weftd-options.js';
import { DATAPATH_WORKER } from './worker-module.js';

/** Whoever waited for the daemon to be ready asks first; what takes time comes after that. */
const WARM_UP_MS = 100;

export interface CreatedDaemon extends Supervised {
  close(): Promise<void>;
}

export interface Surroundings {
  log: Logger;
  /** A datapath worker that boots already. */
  worker: Worker;
  /** ms since 1970. */
  startedAt: number;
  version: string;
  maxConnections: number;
}

/** Resolves when the lab forwards and the API answers. Rejects with what the operator should read; then nothing runs. */
export async function createDaemon(options: WeftdOptions, around: Surroundings): Promise<CreatedDaemon> {
  const undo: (() => unknown)[] = [];
  try {
    const supervised = await build(options, around, undo);
    return { ...supervised, close: () => unwind(undo) };
  } catch (error) {
    await unwind(undo);
    throw error;
  }
}

async function build(options: WeftdOptions, around: Surroundings, undo: (() => unknown)[]): Promise<Supervised> {
  const { log } = around;
  const { socket, stateDir, runDir } = options;
  const clock = { now: () => Date.now() };

  native.returnFreedMemory();
  await claimSocketPath(socket);
  const store = await openStore({ directory: stateDir, clock });
  undo.push(() => store.close());
  const starting = startDatapath({
    workerUrl: DATAPATH_WORKER,
    booting: around.worker,
    flowFile: join(runDir, `flows-${store.state.instance}.bin`),
    log,
  });
  undo.push(() => starting.then((datapath) => datapath.stop()));
  // Meanwhile the worker makes its tables.
  const [datapath, parts] = await Promise.all([starting, loadParts()]);
  const { createApiServer, createCaptureManager, createController, createLinuxKernel } = parts;

  if (options.workerFault !== null) injectFaultsOn('SIGUSR2', datapath, options.workerFault);

  const kernel = createLinuxKernel({ runDir, instance: store.state.instance });
  const application = `weft ${around.version}`;
  const groupId = socketGroupId();
  const captures = createCaptureManager({ tables: datapath.tables, clock, log, application, groupId });
  const about = {
    version: around.version,
    pid: process.pid,
    startedAt: around.startedAt,
    socket,
    stateDir,
    runDir,
    residentBytes: () => process.memoryUsage.rss(),
  };
  const netnsConfiguration = parts.NETNS_CONFIGURATION;
  const services = { captures, clock, log, about, netnsConfiguration, overlayDefaults: options.overlay };
  const controller = await createController({ kernel, datapath, store, ...services, ...clusterOf(options) });
  // From here on the controller ends the datapath and the store, in its own order.
  undo.splice(0, undo.length, () => controller.close());
  const api = await createApiServer({ controller, log, limits: { connections: around.maxConnections } });
  undo.push(() => api.stop());
  undo.push(await listenOn(api.http, socket));
  const complain = (error: unknown) => log.warn({ error: String(error) }, 'the API could not get ready ahead of time');
  setTimeout(() => api.warmUp().catch(complain), WARM_UP_MS).unref();
  const { values } = new Counters(datapath.tables.counters);
  return { heartbeat: () => values[totalAt(TOTAL.turns)]!, status: () => statusLine(controller.status()) };
}

function clusterOf({ cluster }: WeftdOptions) {
  return cluster === null ? {} : { cluster };
}

/** Until the process ends. */
function injectFaultsOn(signal: NodeJS.Signals, datapath: DatapathHost, how: WorkerFault): void {
  process.on(signal, () => datapath.injectFault(how));
}

/** One after the other: all at once was no faster, since one thread loads them. */
async function loadParts() {
  const { createLinuxKernel } = await import('../src/control/kernel/linux-kernel.js');
  const { createController } = await import('../src/control/engine.js');
  const { createCaptureManager } = await import('../src/control/captures/capture-manager.js');
  const { createApiServer } = await import('../src/api/server.js');
  const { NETNS_CONFIGURATION } = await import('../src/control/dns/compartment-resolvers.js');
  return { createLinuxKernel, createController, createCaptureManager, createApiServer, NETNS_CONFIGURATION };
}

/** The last one first. */
async function unwind(undo: (() => unknown)[]): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
}
