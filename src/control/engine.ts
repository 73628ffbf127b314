/**
 * Makes the controller: the one object behind the control API (controller.ts), over a kernel, a datapath and a store.
 *
 * Reads answer at once from memory. Changes go through one queue (mutation-queue.ts); what each kind of change does is in
 * networks.ts, compartments.ts, endpoints.ts and lab-apply.ts. Only wiring is here.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { SavedCapture } from '../model/state-file.js';
import { InjectRingWriter } from '../ports/inject-ring.js';
import { resumeCaptures, runningCaptures } from './captures/capture-resume.js';
import type { ClusterService } from './cluster/cluster-service.js';
import { type Context, warn } from './context.js';
import type { ControllerOptions, ManagedController } from './controller-options.js';
import { loseLater, loseUplinkLater, loseVtepLater, watchDatapath } from './disturbances.js';
import { CompartmentResolvers } from './dns/compartment-resolvers.js';
import { NameService } from './dns/name-service.js';
import { serveDns } from './dns/service-sockets.js';
import { LabController } from './lab-controller.js';
import { MutationQueue } from './mutation-queue.js';
import { announceAttached } from './overlay/announcements.js';
import { createOverlayState } from './overlay/overlay-state.js';
import { PortTable } from './port-table.js';
import { reconcile } from './reconciler.js';
import { openEventJournal } from './state/event-journal.js';
import { EventLog, KEPT_EVENTS } from './state/event-log.js';
import type { Transaction } from './transaction.js';

/**
 * Restores the desired state in the kernel and the datapath; resolves when the lab forwards. Rejects only when the state
 * cannot be written or the kernel cannot be asked at all.
 */
export async function createController(options: ControllerOptions): Promise<ManagedController> {
  const { kernel, datapath, store, captures, clock, log } = options;
  const { state } = store;
  const events = openEvents(options);
  const save = (saved: readonly SavedCapture[]) => {
    state.eventsReserved = events.reserve();
    return store.save(saved);
  };
  const queue = new MutationQueue({
    save: () => save(runningCaptures(captures)),
    events,
    clock,
    log,
  });
  const cluster = await openCluster(options);
  const names = new NameService({ state, remote: (network) => cluster?.zoneHostsOf(network) ?? [] });
  events.listen(() => names.forgetNames());
  const ports = new PortTable({ state, datapath, captures });
  const context: Context = {
    kernel,
    datapath,
    captures,
    log,
    state,
    events,
    ports,
    warnings: [],
    open: new Map(),
    attachments: new Map(),
    hostAttachments: new Map(),
    uplinkAttachments: new Map(),
    uplinks: new Map(),
    injector: new InjectRingWriter(datapath.tables.inject),
    outbound: new InjectRingWriter(datapath.tables.outbound),
    serviceAttachments: new Map(),
    underlayAttachments: new Map(),
    overlay: createOverlayState(ports, datapath, options.testOffloads),
    dns: { service: names, serve: options.serveDns ?? serveDns, namespace: null, servers: new Map() },
    cluster,
    overlayDefaults: { ...options.overlayDefaults, ...(cluster === null ? {} : { shared: true }) },
    reasons: new Map(),
    newId: options.newId ?? randomUUID,
    onNamespaceGone: (compartment, namespace) => loseLater(context, queue, compartment, namespace),
    onUplinkGone: (network, namespace) => loseUplinkLater(context, queue, network, namespace),
    onVtepGone: (key, namespace) => loseVtepLater(context, queue, key, namespace),
  };
  events.listen((event) => announceAttached(context, event));
  for (const warning of store.warnings) warn(context, warning, 'daemon', 'weftd');
  // The instance id must be on disk before the first TAP carries it, or a crash would leave TAPs that nobody owns.
  await save(store.captures);
  watchDatapath(context, queue);
  await reconcile(context);
  if (options.netnsConfiguration !== undefined) keepResolvers(context, options.netnsConfiguration);
  watchCaptures(context);
  await resumeCaptures(context, store.captures);
  await save(runningCaptures(captures));
  events.onReserveLow = () => void queue.run('event numbers', reserveEvents).catch(() => {});
  const counts = `${state.networks.size} networks, ${state.compartments.size} compartments, ${state.endpoints.size} endpoints`;
  const message = `weftd ${options.about.version} started with ${counts}`;
  events.add({ type: 'daemon-started', object: 'daemon', name: 'weftd', message });
  cluster?.begin(context, queue);
  return new LabController(options, context, queue);
}

/** Loaded only by a daemon that has one: what speaks with etcd is 100 ms and 20 MB. */
async function openCluster(options: ControllerOptions): Promise<ClusterService | null> {
  if (options.cluster === undefined) return null;
  const { ClusterService } = await import('./cluster/cluster-service.js');
  const { cluster, store, clock, log, about, overlayDefaults = {} } = options;
  const { version, stateDir } = about;
  return new ClusterService({
    options: cluster,
    state: store.state,
    stateDir,
    version,
    clock,
    log,
    defaults: overlayDefaults,
  });
}

/** The events of former daemons, and every new one in the operator's log; a warning is there already. */
function openEvents({ store, clock, log, about }: ControllerOptions): EventLog {
  const journal = openEventJournal(join(about.runDir, 'events.jsonl'), KEPT_EVENTS, (reason) => {
    log.warn({ reason }, 'events will not outlive this daemon: their journal cannot be written');
  });
  const events = new EventLog({ now: () => clock.now(), reserved: store.state.eventsReserved, journal });
  events.listen(({ sequence, type, object, name, message }) => {
    if (type !== 'warning') log.info({ event: sequence, type, object, name }, message);
  });
  return events;
}

/** A change of nothing but the numbers that the save writes down. */
async function reserveEvents(transaction: Transaction): Promise<void> {
  transaction.isChange = true;
}

/** The resolv.conf of compartments, now and after every change. */
function keepResolvers(context: Context, directory: string): void {
  const complain = (message: string) => warn(context, message, 'daemon', 'weftd');
  const resolvers = new CompartmentResolvers(context.state, directory, complain);
  resolvers.refreshAll();
  context.events.listen((event) => resolvers.update(event));
}

function watchCaptures(context: Context): void {
  context.captures.onChange(() => {
    context.ports.publish().catch((error: unknown) => {
      context.log.error({ error: String(error) }, 'a change of captures could not be published');
    });
  });
  context.captures.onEnd(({ name, frames, lost, reason }) => {
    const message = `capture ${name} ended with ${frames} frames, ${lost} lost${reason === null ? '' : `: ${reason}`}`;
    context.events.add({ type: 'capture-ended', object: 'capture', name, message });
  });
}
