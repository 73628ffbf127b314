/**
 * The control thread's side of the datapath worker: starts it, talks to it, restarts it when it dies.
 *
 * Requests are numbered and answered in order; each resolves when the worker has done it. What the worker must run (ports
 * and the last program) is kept here, so that a new worker gets everything back before anybody notices more than a pause;
 * requests that were under way when it died resolve once the new one runs, because it starts from their outcome.
 *
 * A worker that hangs is ended and replaced like one that died: it turns every 100 ms at the latest, and says so in the
 * counters. terminate() interrupts any JavaScript; the only native call that blocks, `wait`, lasts 100 ms at most.
 */
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { createCaptureMemory } from '../../capture/capture-layout.js';
import { PUNT_RING_BYTES } from '../../capture/punt-ring.js';
import { Counters, createCounterMemory, TOTAL, totalAt } from '../../datapath/counters.js';
import {
  BINDING_INTS,
  emptyProgram,
  type FromWorker,
  MAX_REMOTES,
  type Program,
  type SharedTables,
  type ToWorker,
  type WorkerFault,
  type WorkerStart,
} from '../../datapath/program.js';
import { errorName, native } from '../../native/index.js';
import { mapFlowFile } from '../../ports/flow-file.js';
import { createInjectMemory } from '../../ports/inject-ring.js';
import { OUTBOUND_RING_BYTES } from '../../ports/outbound-ring.js';
import { createMacMemory } from '../../tables/mac-table.js';
import { createRemoteMemory } from '../../tables/remote-table.js';
import { KernelError } from '../kernel/kernel.js';
import { BindingSet, isSameNetwork } from './binding-set.js';
import type { DatapathHost } from './datapath-host.js';
import { LOOK_MS, WorkerWatch } from './worker-watch.js';

/** A worker that dies again within this time after its start is started later and later, up to a second apart. */
const STABLE_MS = 5000;
/** A worker that has not stopped by then is ended. */
const STOP_PATIENCE_MS = 1000;
/** Bindings of one message: the worker needs a millisecond or two for so many. */
const BINDING_PART_INTS = 1024 * BINDING_INTS;

export interface DatapathOptions {
  /** Module of the worker (daemon/datapath-worker.js). */
  workerUrl: URL;
  /** A worker of it that boots already, for the first start. */
  booting?: Worker;
  /** Where the flow table is, for as long as the machine runs. */
  flowFile: string;
  log: { warn(details: object, message: string): void; error(details: object, message: string): void };
}

interface AttachedPort {
  fd: number;
  portKind: number;
  headerBytes: number;
}

interface Pending {
  message: ToWorker;
  resolve: (errno: number) => void;
}

/** A request without its number. */
type Request = ToWorker extends infer M ? (M extends ToWorker ? Omit<M, 'sequence'> : never) : never;

/** Starts the worker; resolves when it runs turns. Rejects when it cannot start at all. */
export async function startDatapath(options: DatapathOptions): Promise<DatapathHost> {
  const client = new DatapathClient(options);
  await client.start();
  return client;
}

class DatapathClient implements DatapathHost {
  readonly tables: SharedTables = {
    counters: createCounterMemory(),
    macs: createMacMemory(),
    remotes: createRemoteMemory(MAX_REMOTES),
    capture: createCaptureMemory(),
    inject: createInjectMemory(),
    punts: createCaptureMemory(PUNT_RING_BYTES),
    outbound: createInjectMemory(OUTBOUND_RING_BYTES),
  };
  readonly flows: Int32Array;
  state: 'running' | 'restarting' = 'restarting';
  appliedVersion = 0;
  private readonly options: DatapathOptions;
  private readonly wakeFd: number;
  private readonly ports = new Map<number, AttachedPort>();
  private program: Program = emptyProgram();
  private readonly bindings = new BindingSet();
  /** When what was said last of them holds. */
  private bindingsDone: Promise<void> = Promise.resolve();
  private worker: Worker | null = null;
  private readonly counters = new Counters(this.tables.counters);
  private readonly watch = new WorkerWatch();
  private readonly watchTimer: NodeJS.Timeout;
  private hangs = false;
  /** Processor time of the process at the last look. */
  private usedMs = 0;
  private startedAt = 0;
  private quickDeaths = 0;
  private isStopping = false;
  private sequence = 0;
  private readonly pending = new Map<number, Pending>();
  private readonly faultListeners: ((port: number, errno: number) => void)[] = [];
  private readonly restartListeners: ((reason: string) => void)[] = [];

  constructor(options: DatapathOptions) {
    this.options = { ...options };
    this.flows = new Int32Array(mapFlowFile(options.flowFile));
    this.wakeFd = native.createWake();
    if (this.wakeFd < 0) throw new KernelError('eventfd2', 'the datapath', errorName(this.wakeFd), 'no wake-up');
    this.watchTimer = setInterval(() => this.look(), LOOK_MS).unref();
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      const random = randomBytes(12);
      const seed = random.readInt32LE();
      const natKey = [random.readInt32LE(4), random.readInt32LE(8)] as const;
      const { tables, wakeFd } = this;
      const { flowFile } = this.options;
      const worker = this.takeBooting() ?? new Worker(this.options.workerUrl, { name: 'datapath' });
      worker.postMessage({ tables, wakeFd, seed, natKey, flowFile } satisfies WorkerStart);
      let failure = 'it ended by itself';
      this.worker = worker;
      this.watch.begin();
      this.hangs = false;
      this.startedAt = Date.now();
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') {
          this.state = 'running';
          resolve();
        } else this.receive(message);
      });
      worker.on('error', (error) => {
        failure = error.stack ?? String(error);
      });
      worker.on('exit', () => {
        if (this.worker !== worker) return;
        this.worker = null;
        if (this.hangs) failure = 'it made no turn for too long';
        reject(new Error(`the datapath worker ended: ${failure}`));
        if (this.state === 'running' && !this.isStopping) this.restart(failure);
      });
    });
  }

  /** The worker that boots already, once, if it has not ended meanwhile. */
  private takeBooting(): Worker | null {
    const { booting } = this.options;
    delete this.options.booting;
    return booting === undefined || booting.threadId < 0 ? null : booting;
  }

  async attachPort(port: number, fd: number, portKind: number, headerBytes: number): Promise<void> {
    this.ports.set(port, { fd, portKind, headerBytes });
    const errno = await this.request({ kind: 'attach', port, fd, portKind, headerBytes });
    if (errno === 0) return;
    this.ports.delete(port);
    throw new KernelError('epoll_ctl', `port ${port}`, errorName(errno), 'the datapath cannot poll it');
  }

  async detachPort(port: number): Promise<void> {
    this.ports.delete(port);
    // An answer of ENOENT or the like means that the worker had taken it out of service: that is what was asked for.
    await this.request({ kind: 'detach', port });
  }

  async publish(program: Program): Promise<void> {
    this.bindings.adopt(this.program, program);
    this.program = program;
    await this.request({ kind: 'program', program });
    if (program.version > this.appliedVersion) this.appliedVersion = program.version;
  }

  async flushMacs(network: number): Promise<void> {
    await this.request({ kind: 'flush-macs', network });
  }

  setBindings(rows: Int32Array): Promise<void> {
    const { program } = this;
    const known = withNetworks(rows, (network) => network < program.networkCount);
    this.bindings.apply(known);
    // One after the other: what was said last is to hold.
    const done = this.bindingsDone.then(() => this.sendBindings(known, program));
    this.bindingsDone = done;
    return done;
  }

  /** In parts, so that frames wait for none of them for long; leaves out networks that are gone from the program meanwhile. */
  private async sendBindings(rows: Int32Array, from: Program): Promise<void> {
    for (let at = 0; at < rows.length; at += BINDING_PART_INTS) {
      const part = rows.subarray(at, at + BINDING_PART_INTS);
      const bindings = withNetworks(part, (network) => isSameNetwork(from, this.program, network));
      await this.request({ kind: 'bindings', bindings });
    }
  }

  async deleteFlows(flows: Int32Array): Promise<void> {
    await this.request({ kind: 'delete-flows', flows });
  }

  injectFault(how: WorkerFault): void {
    // Never answered: the worker that replaces this one is not to get it again.
    if (this.state === 'running') this.send({ kind: 'fail', sequence: 0, how });
  }

  wake(): void {
    if (!this.isStopping) native.wake(this.wakeFd);
  }

  onFault(listener: (port: number, errno: number) => void): void {
    this.faultListeners.push(listener);
  }

  onRestart(listener: (reason: string) => void): void {
    this.restartListeners.push(listener);
  }

  async stop(): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    clearInterval(this.watchTimer);
    const { worker } = this;
    if (worker !== null) {
      const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      this.send({ kind: 'stop', sequence: ++this.sequence });
      // A worker that hangs does not read it.
      const impatience = setTimeout(() => void worker.terminate(), STOP_PATIENCE_MS);
      await exited;
      clearTimeout(impatience);
    }
    native.closeFd(this.wakeFd);
  }

  /** Ends a worker that hangs; its end has another one started. */
  private look(): void {
    if (this.worker === null || this.hangs) return;
    const used = process.cpuUsage();
    const busyMs = (used.user + used.system) / 1000 - this.usedMs;
    this.usedMs += busyMs;
    this.hangs = this.watch.look(this.counters.values[totalAt(TOTAL.turns)]!, this.state === 'running', busyMs);
    if (this.hangs) void this.worker.terminate();
  }

  private request(request: Request): Promise<number> {
    if (this.isStopping) return Promise.resolve(0);
    const message = { ...request, sequence: ++this.sequence } as ToWorker;
    return new Promise((resolve) => {
      this.pending.set(message.sequence, { message, resolve });
      if (this.state === 'running') this.send(message);
    });
  }

  private send(message: ToWorker): void {
    this.worker?.postMessage(message);
    native.wake(this.wakeFd);
  }

  private receive(message: FromWorker): void {
    if (message.kind === 'ack') {
      const pending = this.pending.get(message.sequence);
      this.pending.delete(message.sequence);
      pending?.resolve(message.errno);
    } else if (message.kind === 'fault') {
      this.ports.delete(message.port);
      for (const listener of this.faultListeners) listener(message.port, message.errno);
    }
  }

  /** Starts another worker and gives it every port and the last program. */
  private restart(reason: string): void {
    this.state = 'restarting';
    const isQuick = Date.now() - this.startedAt < STABLE_MS;
    this.quickDeaths = isQuick ? this.quickDeaths + 1 : 0;
    const delayMs = this.quickDeaths === 0 ? 0 : Math.min(1000, 10 * 2 ** this.quickDeaths);
    this.options.log.error({ reason, delayMs }, 'the datapath worker died; starting another');
    setTimeout(() => {
      if (this.isStopping) return;
      this.start().then(
        () => this.replay(reason),
        (error: unknown) => {
          if (!this.isStopping) this.restart(String(error));
        },
      );
    }, delayMs);
  }

  private replay(reason: string): void {
    const unanswered = [...this.pending.values()];
    this.pending.clear();
    // The program first: a frame of a port that no program knows would be dropped.
    const done = [this.request({ kind: 'program', program: this.program })];
    for (const [port, { fd, portKind, headerBytes }] of this.ports) {
      done.push(this.request({ kind: 'attach', port, fd, portKind, headerBytes }));
    }
    const bindings = this.bindings.all();
    for (let at = 0; at < bindings.length; at += BINDING_PART_INTS) {
      const part = bindings.slice(at, at + BINDING_PART_INTS);
      done.push(this.request({ kind: 'bindings', bindings: part }));
    }
    // The rows are still there and still have their generation.
    for (const { message } of unanswered) {
      if (message.kind === 'delete-flows') done.push(this.request({ kind: message.kind, flows: message.flows }));
    }
    Promise.all(done).then(() => {
      for (const { resolve } of unanswered) resolve(0);
      for (const listener of this.restartListeners) listener(reason);
    });
  }
}

/** The rows of bindings whose network is wanted. */
function withNetworks(rows: Int32Array, isWanted: (network: number) => boolean): Int32Array {
  const wanted: Int32Array[] = [];
  for (let at = 0; at + BINDING_INTS <= rows.length; at += BINDING_INTS) {
    if (isWanted(rows[at + 1]!)) wanted.push(rows.subarray(at, at + BINDING_INTS));
  }
  const list = new Int32Array(wanted.length * BINDING_INTS);
  for (const [n, row] of wanted.entries()) list.set(row, n * BINDING_INTS);
  return list;
}
