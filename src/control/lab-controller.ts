/** The methods of the control API: reads from memory, changes through the queue. No rules of its own. */
import { RequestError } from '../model/problems.js';
import { Replays } from './captures/replay.js';
import { createCompartment, deleteCompartment } from './compartments.js';
import type { Context } from './context.js';
import type * as captures from './controller/captures.js';
import type * as objects from './controller/lab-objects.js';
import type * as api from './controller.js';
import type { ControllerOptions, ManagedController } from './controller-options.js';
import { DhcpOnDemand } from './dhcp/dhcp-on-demand.js';
import { retryUplinks } from './disturbances.js';
import { closeDns, releaseDns } from './dns/dns-plugging.js';
import { attachEndpoint, createEndpoint, deleteEndpoint, detachEndpoint, patchEndpoint } from './endpoints.js';
import { deleteFlow, deleteFlows, getFlow, listFlows } from './flows/flows.js';
import { viewFdb, viewVteps } from './forwarding-view.js';
import { exportLab } from './lab/lab-export.js';
import type { MutationQueue } from './mutation-queue.js';
import { createNetwork, deleteNetwork, patchNetwork } from './networks.js';
import { releaseVteps } from './overlay/tunnels.js';
import { listPorts, publishPort, unpublishPorts } from './published-ports.js';
import { viewDrops, viewStats } from './statistics.js';
import type { Transaction } from './transaction.js';
import { releaseUplinks } from './uplinks/uplinks.js';
import { stateOf, viewAll, viewCompartment, viewEndpoint, viewNetwork } from './views.js';

/** What `cluster status` says without one. */
const NO_CLUSTER: api.ClusterView = {
  host: null,
  state: 'none',
  reason: 'weft.yaml names no cluster',
  since: '',
  etcd: [],
  member: null,
  prefix: '',
  revision: 0,
  keys: 0,
  hosts: [],
  missing: [],
};

function clusterState({ state, reason }: api.ClusterView): api.StatusView['cluster'] {
  return { state, reason: state === 'none' ? '' : reason };
}

export class LabController implements ManagedController {
  private readonly options: ControllerOptions;
  private readonly context: Context;
  private readonly queue: MutationQueue;
  private readonly replays: Replays;
  private readonly dhcp: DhcpOnDemand;
  private readonly uplinkRetries: { stop(): void };
  private closing: Promise<void> | null = null;

  constructor(options: ControllerOptions, context: Context, queue: MutationQueue) {
    this.options = options;
    this.context = context;
    this.queue = queue;
    this.replays = new Replays(context);
    this.dhcp = new DhcpOnDemand({ context, now: () => performance.now() });
    this.dhcp.start();
    this.uplinkRetries = retryUplinks(context, queue);
  }

  listNetworks(): objects.NetworkView[] {
    return viewAll(this.context.state.networks, (record) => viewNetwork(this.context, record));
  }

  getNetwork(name: string): objects.NetworkView {
    return viewNetwork(this.context, this.context.state.network(name));
  }

  createNetwork(request: objects.NetworkRequest): Promise<objects.NetworkView> {
    return this.change('create network', createNetwork, [request], () => this.getNetwork(request.name));
  }

  patchNetwork(name: string, patch: objects.NetworkPatch): Promise<objects.NetworkView> {
    return this.change('change network', patchNetwork, [name, patch], () => this.getNetwork(name));
  }

  deleteNetwork(name: string, force: boolean): Promise<void> {
    return this.change('delete network', deleteNetwork, [name, force], () => {});
  }

  listCompartments(): objects.CompartmentView[] {
    return viewAll(this.context.state.compartments, (record) => viewCompartment(this.context, record));
  }

  getCompartment(name: string): objects.CompartmentView {
    return viewCompartment(this.context, this.context.state.compartment(name));
  }

  createCompartment(request: objects.CompartmentRequest): Promise<objects.CompartmentView> {
    return this.change('create compartment', createCompartment, [request], () => this.getCompartment(request.name));
  }

  deleteCompartment(name: string, force: boolean): Promise<void> {
    return this.change('delete compartment', deleteCompartment, [name, force], () => {});
  }

  listEndpoints(): objects.EndpointView[] {
    return viewAll(this.context.state.endpoints, (record) => viewEndpoint(this.context, record));
  }

  getEndpoint(name: string): objects.EndpointView {
    return viewEndpoint(this.context, this.context.state.endpoint(name));
  }

  createEndpoint(request: objects.EndpointRequest): Promise<objects.EndpointView> {
    return this.change('create endpoint', createEndpoint, [request], () => this.getEndpoint(request.name));
  }

  patchEndpoint(name: string, patch: objects.EndpointPatch): Promise<objects.EndpointView> {
    return this.change('change endpoint', patchEndpoint, [name, patch], () => this.getEndpoint(name));
  }

  deleteEndpoint(name: string): Promise<void> {
    return this.change('delete endpoint', deleteEndpoint, [name], () => {});
  }

  attachEndpoint(name: string, compartment: string): Promise<objects.EndpointView> {
    return this.change('attach endpoint', attachEndpoint, [name, compartment], () => this.getEndpoint(name));
  }

  detachEndpoint(name: string): Promise<objects.EndpointView> {
    return this.change('detach endpoint', detachEndpoint, [name], () => this.getEndpoint(name));
  }

  listPorts(endpoint?: string, spec?: string): objects.PortView[] {
    return listPorts(this.context, endpoint, spec);
  }

  publishPort(request: objects.PortRequest): Promise<objects.PortView> {
    const { endpoint, spec } = request;
    return this.change('publish port', publishPort, [request], () => listPorts(this.context, endpoint, spec)[0]!);
  }

  unpublishPorts(which: { endpoint?: string; spec?: string }): Promise<objects.PortView[]> {
    return this.queue.run('unpublish port', (transaction) => unpublishPorts(this.context, transaction, which));
  }

  listCaptures(): captures.CaptureView[] {
    return this.context.captures.list();
  }

  getCapture(name: string): captures.CaptureView {
    const found = this.context.captures.find(name);
    if (found !== null) return found;
    throw new RequestError('not-found', `there is no capture ${name}`, '`weft capture list` shows them');
  }

  /** Outside of the queue, because opening a file may take long; only what it changes in the state is queued. */
  async startCapture(request: captures.CaptureRequest): Promise<captures.CaptureView> {
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
  async streamCapture(request: captures.CaptureRequest): Promise<captures.CaptureStream> {
    this.checkCapture(request);
    const stream = await this.context.captures.stream(request);
    await this.context.ports.settled();
    const { name } = stream.view;
    const message = `capture ${name} started, to a reader`;
    this.context.events.add({ type: 'capture-started', object: 'capture', name, message });
    return stream;
  }

  async stopCapture(name: string): Promise<captures.CaptureView> {
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

  replay(
    endpoint: string,
    request: captures.ReplayRequest,
    input: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<captures.ReplayView> {
    return this.replays.run(endpoint, request, input, signal);
  }

  stopReplay(endpoint: string): void {
    this.replays.stop(endpoint);
  }

  async trace(request: api.TraceRequest): Promise<api.TraceView> {
    // It brings a datapath of its own, which a daemon that never traces need not have in memory.
    const { trace } = await import('./trace/trace-request.js');
    return trace(this.context, request);
  }

  listVteps(network?: string): api.VtepView[] {
    if (network !== undefined) this.context.state.network(network);
    return viewVteps(this.context, network ?? null);
  }

  listFdb(network?: string): api.FdbEntry[] {
    if (network !== undefined) this.context.state.network(network);
    return viewFdb(this.context, network ?? null);
  }

  async flushFdb(network?: string): Promise<void> {
    if (network !== undefined) this.context.state.network(network);
    await this.context.datapath.flushMacs(network === undefined ? -1 : this.context.ports.rowOfNetwork(network));
  }

  listFlows(query: api.FlowQuery): Promise<api.FlowView[]> {
    return listFlows(this.context, query);
  }

  getFlow(id: string): api.FlowView {
    return getFlow(this.context, id);
  }

  async deleteFlows(filter: api.FlowFilter): Promise<api.FlowsDeleted> {
    return { deleted: await deleteFlows(this.context, filter) };
  }

  deleteFlow(id: string): Promise<void> {
    return deleteFlow(this.context, id);
  }

  clusterView(): api.ClusterView {
    return this.context.cluster?.view() ?? NO_CLUSTER;
  }

  async forgetHost(host: string): Promise<void> {
    const { cluster } = this.context;
    if (cluster !== null) return cluster.forget(host);
    throw new RequestError('conflict', 'weftd has no cluster', 'name its etcd in weft.yaml: cluster: {etcd: [URL]}');
  }

  listDrops(): api.DropView[] {
    return viewDrops(this.context);
  }

  stats(): api.StatsView {
    return viewStats(this.context, this.dhcp.counts(), this.options.clock.now());
  }

  status(): api.StatusView {
    const { about, clock } = this.options;
    const { state, datapath, ports, captures, warnings } = this.context;
    const endpoints = { total: state.endpoints.size, attached: 0, detached: 0, degraded: 0, remote: 0 };
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
      cluster: clusterState(this.clusterView()),
      warnings: [...warnings],
    };
  }

  eventsSince(sequence: number): api.WeftEvent[] {
    return this.context.events.since(sequence);
  }

  onEvent(listener: (event: api.WeftEvent) => void): () => void {
    return this.context.events.listen(listener);
  }

  async apply(lab: objects.LabFile, dryRun: boolean): Promise<objects.ApplyResult> {
    const { applyLab, prepareLab } = await import('./lab/lab-apply.js');
    await prepareLab(this.context, lab);
    return this.queue.run('apply', (transaction) => applyLab(this.context, transaction, lab, dryRun));
  }

  exportLab(): objects.LabFile {
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

  private checkCapture(request: captures.CaptureRequest): void {
    if (request.network !== undefined) this.context.state.network(request.network);
    if (request.endpoint !== undefined) this.context.state.endpoint(request.endpoint);
  }

  private async shutDown(): Promise<void> {
    const { context } = this;
    this.uplinkRetries.stop();
    this.replays.stopAll();
    this.dhcp.stop();
    await this.queue.close();
    await this.context.cluster?.close();
    const message = `weftd ${this.options.about.version} is stopping; interfaces and connections stay`;
    context.events.add({ type: 'daemon-stopping', object: 'daemon', name: 'weftd', message });
    await context.captures.close();
    context.events.close();
    for (const { watch } of context.open.values()) watch.stop();
    closeDns(context);
    await context.datapath.stop();
    releaseDns(context);
    for (const { tap } of [...context.attachments.values(), ...context.hostAttachments.values()]) {
      context.kernel.releaseTap(tap);
    }
    releaseUplinks(context);
    releaseVteps(context);
    for (const { namespace } of context.open.values()) context.kernel.closeNamespace(namespace);
    await this.options.store.close();
  }
}
