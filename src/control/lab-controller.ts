/** The methods of the control API: reads from memory, changes through the queue. No rules of its own. */
import { RequestError } from '../model/problems.js';
import { Replays } from './captures/replay.js';
import { createCompartment, deleteCompartment } from './compartments.js';
import type { Context } from './context.js';
import type * as api from './controller.js';
import type { ControllerOptions, ManagedController } from './controller-options.js';
import { attachEndpoint, createEndpoint, deleteEndpoint, detachEndpoint, patchEndpoint } from './endpoints.js';
import { applyLab, prepareLab } from './lab/lab-apply.js';
import { exportLab } from './lab/lab-export.js';
import type { MutationQueue } from './mutation-queue.js';
import { createNetwork, deleteNetwork, patchNetwork } from './networks.js';
import { viewDrops, viewFdb, viewStats } from './statistics.js';
import type { Transaction } from './transaction.js';
import { stateOf, viewAll, viewCompartment, viewEndpoint, viewNetwork } from './views.js';

export class LabController implements ManagedController {
  private readonly options: ControllerOptions;
  private readonly context: Context;
  private readonly queue: MutationQueue;
  private readonly replays: Replays;
  private closing: Promise<void> | null = null;

  constructor(options: ControllerOptions, context: Context, queue: MutationQueue) {
    this.options = options;
    this.context = context;
    this.queue = queue;
    this.replays = new Replays(context);
  }

  listNetworks(): api.NetworkView[] {
    return viewAll(this.context.state.networks, (record) => viewNetwork(this.context, record));
  }

  getNetwork(name: string): api.NetworkView {
    return viewNetwork(this.context, this.context.state.network(name));
  }

  createNetwork(request: api.NetworkRequest): Promise<api.NetworkView> {
    return this.change('create network', createNetwork, [request], () => this.getNetwork(request.name));
  }

  patchNetwork(name: string, patch: api.NetworkPatch): Promise<api.NetworkView> {
    return this.change('change network', patchNetwork, [name, patch], () => this.getNetwork(name));
  }

  deleteNetwork(name: string, force: boolean): Promise<void> {
    return this.change('delete network', deleteNetwork, [name, force], () => {});
  }

  listCompartments(): api.CompartmentView[] {
    return viewAll(this.context.state.compartments, (record) => viewCompartment(this.context, record));
  }

  getCompartment(name: string): api.CompartmentView {
    return viewCompartment(this.context, this.context.state.compartment(name));
  }

  createCompartment(request: api.CompartmentRequest): Promise<api.CompartmentView> {
    return this.change('create compartment', createCompartment, [request], () => this.getCompartment(request.name));
  }

  deleteCompartment(name: string, force: boolean): Promise<void> {
    return this.change('delete compartment', deleteCompartment, [name, force], () => {});
  }

  listEndpoints(): api.EndpointView[] {
    return viewAll(this.context.state.endpoints, (record) => viewEndpoint(this.context, record));
  }

  getEndpoint(name: string): api.EndpointView {
    return viewEndpoint(this.context, this.context.state.endpoint(name));
  }

  createEndpoint(request: api.EndpointRequest): Promise<api.EndpointView> {
    return this.change('create endpoint', createEndpoint, [request], () => this.getEndpoint(request.name));
  }

  patchEndpoint(name: string, patch: api.EndpointPatch): Promise<api.EndpointView> {
    return this.change('change endpoint', patchEndpoint, [name, patch], () => this.getEndpoint(name));
  }

  deleteEndpoint(name: string): Promise<void> {
    return this.change('delete endpoint', deleteEndpoint, [name], () => {});
  }

  attachEndpoint(name: string, compartment: string): Promise<api.EndpointView> {
    return this.change('attach endpoint', attachEndpoint, [name, compartment], () => this.getEndpoint(name));
  }

  detachEndpoint(name: string): Promise<api.EndpointView> {
    return this.change('detach endpoint', detachEndpoint, [name], () => this.getEndpoint(name));
  }

  listCaptures(): api.CaptureView[] {
    return this.context.captures.list();
  }

  getCapture(name: string): api.CaptureView {
    const found = this.context.captures.find(name);
    if (found !== null) return found;
    throw new RequestError('not-found', `there is no capture ${name}`, '`weft capture list` shows them');
  }

  /** Outside of the queue, because opening a file may take long; only what it changes in the state is queued. */
  async startCapture(request: api.CaptureRequest): Promise<api.CaptureView> {
    this.checkCapture(request);
    const { captures, ports } = this.context;
    const { name, file } = await captures.start(request);
    await ports.settled();
    return this.queue.run('start capture', async (transaction) => {
      transaction.onUndo('start capture', async () => {
        await captures.stop(name);
      });
      const message = `capture ${name} started, into ${file}`;
      transaction.emit({ type: 'capture-started', object: 'capture', name, message });
      return this.getCapture(name);
    });
  }

  /** Frames are captured when this resolves. Nothing of it is remembered: it ends with its reader. */
  async streamCapture(request: api.CaptureRequest): Promise<api.CaptureStream> {
    this.checkCapture(request);
    const stream = await this.context.captures.stream(request);
    await this.context.ports.settled();
    const { name } = stream.view;
    const message = `capture ${name} started, to a reader`;
    this.context.events.add({ type: 'capture-started', object: 'capture', name, message });
    return stream;
  }

  async stopCapture(name: string): Promise<api.CaptureView> {
    const { captures, ports, state } = this.context;
    this.getCapture(name);
    const view = await captures.stop(name);
    await ports.settled();
    return this.queue.run('stop capture', async (transaction) => {
      transaction.isChange = true;
      state.applied.captures.delete(name);
      state.captureRequests.delete(name);
      return view;
    });
  }

  replay(endpoint: string, request: api.ReplayRequest, input: AsyncIterable<Uint8Array>): Promise<api.ReplayView> {
    return this.replays.run(endpoint, request, input);
  }

  stopReplay(endpoint: string): void {
    this.replays.stop(endpoint);
  }

  listFdb(network?: string): api.FdbEntry[] {
    if (network !== undefined) this.context.state.network(network);
    return viewFdb(this.context, network ?? null);
  }

  async flushFdb(network?: string): Promise<void> {
    if (network !== undefined) this.context.state.network(network);
    await this.context.datapath.flushMacs(network === undefined ? -1 : this.context.ports.rowOfNetwork(network));
  }

  listFlows(network?: string): never[] {
    if (network !== undefined) this.context.state.network(network);
    return [];
  }

  listDrops(): api.DropView[] {
    return viewDrops(this.context);
  }

  stats(): api.StatsView {
    return viewStats(this.context, this.options.clock.now());
  }

  status(): api.StatusView {
    const { about, clock } = this.options;
    const { state, datapath, ports, captures, warnings } = this.context;
    const endpoints = { total: state.endpoints.size, attached: 0, detached: 0, degraded: 0 };
    for (const record of state.endpoints.values()) endpoints[stateOf(this.context, record)]++;
    return {
      version: about.version,
      instance: state.instance,
      pid: about.pid,
      startedAt: new Date(about.startedAt).toISOString(),
      uptimeSeconds: Math.max(0, Math.floor((clock.now() - about.startedAt) / 1000)),
      socket: about.socket,
      stateDir: about.stateDir,
      runDir: about.runDir,
      program: { desired: ports.version, applied: datapath.appliedVersion },
      worker: datapath.state,
      networks: state.networks.size,
      compartments: state.compartments.size,
      endpoints,
      captures: captures.list().filter((capture) => capture.state === 'running').length,
      memory: { residentBytes: about.residentBytes() },
      warnings: [...warnings],
    };
  }

  eventsSince(sequence: number): api.WeftEvent[] {
    return this.context.events.since(sequence);
  }

  onEvent(listener: (event: api.WeftEvent) => void): () => void {
    return this.context.events.listen(listener);
  }

  async apply(lab: api.LabFile, dryRun: boolean): Promise<api.ApplyResult> {
    await prepareLab(this.context, lab);
    return this.queue.run('apply', (transaction) => applyLab(this.context, transaction, lab, dryRun));
  }

  exportLab(): api.LabFile {
    return exportLab(this.context);
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  /** Runs a change and then looks at the result, before the next change can touch it. */
  private change<A extends unknown[], V>(
    what: string,
    work: (context: Context, transaction: Transaction, ...args: A) => Promise<void>,
    args: A,
    view: () => V,
  ): Promise<V> {
    return this.queue.run(what, async (transaction) => {
      await work(this.context, transaction, ...args);
      return view();
    });
  }

  private checkCapture(request: api.CaptureRequest): void {
    if (request.network !== undefined) this.context.state.network(request.network);
    if (request.endpoint !== undefined) this.context.state.endpoint(request.endpoint);
  }

  private async shutDown(): Promise<void> {
    const { context } = this;
    this.replays.stopAll();
    await this.queue.close();
    const message = `weftd ${this.options.about.version} is stopping; interfaces and connections stay`;
    context.events.add({ type: 'daemon-stopping', object: 'daemon', name: 'weftd', message });
    await context.captures.close();
    context.events.close();
    for (const { watch } of context.open.values()) watch.stop();
    await context.datapath.stop();
    for (const { tap } of [...context.attachments.values(), ...context.hostAttachments.values()]) {
      context.kernel.releaseTap(tap);
    }
    for (const { namespace } of context.open.values()) context.kernel.closeNamespace(namespace);
    await this.options.store.close();
  }
}
