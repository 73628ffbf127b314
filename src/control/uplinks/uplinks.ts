/**
 * Uplinks of nat networks, from their beginning to their end: made with the network, restored when the daemon starts, made
 * again after their interface or namespace was lost, and removed without a trace.
 *
 *   plan (what is to be made, by kind) -> interface -> segment in the next program -> forwarding and rules of the namespace
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import { type UplinkKind, uplinkKind } from '../../model/uplink-request.js';
import { type Context, warn } from '../context.js';
import { hostIfname } from '../kernel/host-interface.js';
import { type FoundTap, KernelError, type Namespace } from '../kernel/kernel.js';
import { openPlace, placeOf } from '../open-place.js';
import { vtepAliases } from '../overlay/tunnels.js';
import { createAttachment, discard, plugIn, unplug } from '../plugging.js';
import type { Attachment } from '../port-table.js';
import { Transaction } from '../transaction.js';
import { planHostUplink } from './host-uplink.js';
import { planNicUplink } from './nic-uplink.js';
import { planRawUplink } from './raw-uplink.js';
import { isRouted, type Uplink, type UplinkPlan } from './uplink.js';
import { announceUplink } from './uplink-announcement.js';
import { syncRouting } from './uplink-routing.js';

/** Whether the network is to have an uplink at all. */
export function wantsUplink({ spec }: NetworkRecord): boolean {
  const uplink = uplinkKind(spec.uplink);
  return uplink !== null && uplink.kind !== 'none';
}

/** Whether its uplink is a TAP of weft's, which is found again by its alias. */
export function hasUplinkTap({ spec }: NetworkRecord): boolean {
  return uplinkKind(spec.uplink)?.kind === 'host';
}

/** Makes the uplink of a network that has none; frames flow when it resolves. `again`: there may be something left of it. */
export async function openUplink(
  context: Context,
  transaction: Transaction,
  record: NetworkRecord,
  again = false,
): Promise<void> {
  if (!wantsUplink(record)) return;
  const { name } = record.spec;
  const uplink = await beginUplink(context, transaction, record);
  const { namespace } = uplink;
  const plan = await planUplink(context, record, namespace);
  for (const message of again ? [] : plan.warnings)
    transaction.emit({ type: 'warning', object: 'network', name, message });
  if (again && plan.request.kind === 'uplink') await removeRest(context, namespace, plan.request.alias);
  // Taken back last of all, when this uplink is gone again: then the rules are those of the others there.
  if (isRouted(uplink)) transaction.onUndo(`routing of ${name}`, () => syncRouting(context, namespace));
  enter(context, transaction, record, uplink, plan);
  const attachment = await createUplinkAttachment(context, transaction, record, namespace, plan);
  await plugIn(context, transaction, attachment, null);
  if (isRouted(uplink)) await syncRouting(context, namespace);
  watchUplink(context, uplink);
  transaction.onCommit('announce external addresses', () => announceUplink(context, record));
  if (uplink.kind === 'host' && !again) await warnOfFirewalls(context, transaction, attachment);
}

/** Docker, for one, has such a chain: the first thing to know when nothing comes through. */
async function warnOfFirewalls(context: Context, transaction: Transaction, attachment: Attachment): Promise<void> {
  const { namespace, network, request } = attachment;
  for (const chain of await context.kernel.droppingChains(namespace)) {
    const what = `the firewall of ${placeOf(namespace)} drops what it forwards (chain ${chain})`;
    const message = `network ${network}: ${what}; accept there what goes in and out of ${request.ifname}`;
    transaction.emit({ type: 'warning', object: 'network', name: network, message });
  }
}

/** Removes the uplink of a network, whatever is left of it. */
export async function closeUplink(context: Context, transaction: Transaction, record: NetworkRecord): Promise<void> {
  const { name } = record.spec;
  const uplink = context.uplinks.get(name);
  if (uplink === undefined) return;
  if (isRouted(uplink)) transaction.onUndo(`routing of ${name}`, () => syncRouting(context, uplink.namespace));
  const attachment = context.uplinkAttachments.get(name);
  if (attachment !== undefined) await unplug(context, transaction, [attachment]);
  transaction.onUndo('restore uplink', () => {
    context.uplinks.set(name, uplink);
    context.ports.setSegment(name, uplink.segment);
    watchUplink(context, uplink);
  });
  unwatch(uplink);
  context.uplinks.delete(name);
  context.ports.setSegment(name, null);
  await leave(context, uplink);
  const alias = attachment?.request.alias ?? '';
  // Once more, what could not be removed before: nobody will look there any more.
  if (alias !== '') transaction.onCommit('remove what is left', () => removeRest(context, uplink.namespace, alias));
  transaction.onCommit('close the namespace', () => release(context, uplink));
}

/** After a change of what can change: MTU, addresses of single endpoints. */
export async function updateUplink(context: Context, record: NetworkRecord): Promise<void> {
  const uplink = context.uplinks.get(record.spec.name);
  const attachment = context.uplinkAttachments.get(record.spec.name);
  if (uplink === undefined || attachment === undefined || uplink.kind === 'nic') return;
  const { request, segment } = await planUplink(context, record, uplink.namespace);
  if (uplink.kind === 'host') {
    const { ifname } = attachment.request;
    attachment.request = { ...request, ifname };
    await context.kernel.updateTap(attachment.namespace, attachment.tap, attachment.request);
  }
  uplink.segment = segment;
  context.ports.setSegment(record.spec.name, segment);
  await syncRouting(context, uplink.namespace);
}

/** The namespace of an uplink that is to be restored; null, with a warning, when it cannot be opened. */
export async function openUplinkNamespace(context: Context, record: NetworkRecord): Promise<Uplink | null> {
  try {
    return await beginUplink(context, new Transaction(), record);
  } catch (error) {
    lose(context, record, (error as Error).message);
    return null;
  }
}

/**
 * Adopts the interface of before or makes it anew; null, with a warning, when that fails. Not connected yet, and without
 * rules: `restoreRouting` is for when all uplinks are connected.
 */
export async function restoreUplink(
  context: Context,
  record: NetworkRecord,
  uplink: Uplink,
  where: { namespace: Namespace; found: FoundTap } | undefined,
): Promise<Attachment | null> {
  const transaction = new Transaction();
  try {
    const plan = await planUplink(context, record, uplink.namespace);
    enter(context, transaction, record, uplink, plan);
    const { namespace } = where ?? uplink;
    const tap = where === undefined ? null : await context.kernel.adoptTap(namespace, plan.request);
    watchUplink(context, uplink);
    if (tap === null) return await createUplinkAttachment(context, transaction, record, uplink.namespace, plan);
    const owner = { network: record.spec.name, role: 'uplink' as const, endpoint: null };
    return { ...owner, namespace, request: plan.request, tap, isOpen: true, port: -1, serial: 0 };
  } catch (error) {
    await transaction.rollback(() => {});
    release(context, uplink);
    lose(context, record, (error as Error).message);
    return null;
  }
}

/** Forwarding and rules of all namespaces, and of those of a former daemon nothing is left. Never rejects. */
export async function restoreRouting(context: Context): Promise<void> {
  const { kernel } = context;
  const seen = new Set<number>();
  for (const [name, uplink] of context.uplinks) {
    const { namespace } = uplink;
    if (!isRouted(uplink) || seen.has(namespace.inode)) continue;
    seen.add(namespace.inode);
    await attempt(context, name, () => syncRouting(context, namespace));
  }
  // Those of VTEPs were brought up to date when they came back.
  for (const { underlay, namespace } of context.overlay.vteps.values())
    if (underlay === 'tap') seen.add(namespace.inode);
  await attempt(context, 'weftd', async () => {
    for (const path of await kernel.routedNamespaces()) {
      const namespace = await kernel.openNamespace(path);
      try {
        if (seen.has(namespace.inode)) continue;
        await removeUnknown(context, namespace);
        await kernel.clearRouting(namespace);
      } finally {
        kernel.closeNamespace(namespace);
      }
    }
  });
}

/** The datapath had to take the port out of service. What can be made again is made again by `retryUplinks`. */
export async function uplinkFailed(context: Context, broken: Attachment, reason: string): Promise<void> {
  const record = context.state.network(broken.network);
  await discard(context, [broken]);
  const uplink = context.uplinks.get(broken.network);
  if (uplink !== undefined) unwatch(uplink);
  context.uplinks.delete(broken.network);
  context.ports.setSegment(broken.network, null);
  lose(context, record, reason);
  if (uplink === undefined) return;
  await attempt(context, broken.network, () => leave(context, uplink));
  release(context, uplink);
  await attempt(context, broken.network, () => context.ports.publish());
}

/** Networks that should have an uplink and have none. */
export function lostUplinks(context: Context): NetworkRecord[] {
  const { networks } = context.state;
  return [...networks.values()].filter((record) => wantsUplink(record) && !context.uplinks.has(record.spec.name));
}

/** Tries again what was lost. Rejects when it is still not to be had, and has changed nothing then. */
export async function reopenUplink(context: Context, transaction: Transaction, record: NetworkRecord): Promise<void> {
  const { name } = record.spec;
  if (context.state.networks.get(name) !== record || context.uplinks.has(name)) return;
  await openUplink(context, transaction, record, true);
  const message = `the uplink of network ${name} is back`;
  transaction.emit({ type: 'uplink-restored', object: 'network', name, message });
}

/** At the end of the daemon: descriptors are closed, everything else stays for the next one. */
export function releaseUplinks(context: Context): void {
  for (const { tap } of context.uplinkAttachments.values()) context.kernel.releaseTap(tap);
  for (const uplink of context.uplinks.values()) release(context, uplink);
}

async function beginUplink(context: Context, transaction: Transaction, record: NetworkRecord): Promise<Uplink> {
  const { name, uplinkNetns } = record.spec;
  const { kernel } = context;
  const ownsNamespace = uplinkNetns !== null;
  const namespace = ownsNamespace ? await openPlace(kernel, uplinkNetns, 'uplinkNetns') : kernel.hostNamespace();
  const { kind } = kindOf(record);
  if (kind === 'none') throw new Error(`network ${name} has no uplink`);
  const segment = { mtu: record.spec.mtu, own: [], external: [], nextHops: [], neighbours: [] };
  const uplink: Uplink = { network: name, namespace, ownsNamespace, segment, kind, ports: null, watch: null };
  transaction.onUndo('open the namespace of the uplink', () => release(context, uplink));
  return uplink;
}

function planUplink(context: Context, record: NetworkRecord, namespace: Namespace): Promise<UplinkPlan> {
  const uplink = kindOf(record);
  if (uplink.kind === 'raw') return planRawUplink(context, record, namespace);
  if (uplink.kind === 'nic') return planNicUplink(context, record, namespace, uplink.ifname);
  return planHostUplink(context, record, namespace);
}

function kindOf({ spec }: NetworkRecord): UplinkKind {
  return uplinkKind(spec.uplink) ?? { kind: 'none' };
}

/** From now on programs have the uplink, and the state file its transit subnets. */
function enter(
  context: Context,
  transaction: Transaction,
  record: NetworkRecord,
  uplink: Uplink,
  { segment, transit }: UplinkPlan,
): void {
  const { name } = record.spec;
  const former = record.transit;
  transaction.onUndo('enter uplink', () => {
    context.uplinks.delete(name);
    context.ports.setSegment(name, null);
    record.transit = former;
  });
  uplink.segment = segment;
  record.transit = transit;
  context.uplinks.set(name, uplink);
  context.ports.setSegment(name, segment);
}

/** TAPs of networks that were made and never saved, in a namespace that nothing known leads into. */
async function removeUnknown(context: Context, namespace: Namespace): Promise<void> {
  const { kernel, state } = context;
  const uplinks = [...state.networks.values()].map((record) => state.aliasOfUplink(record));
  const known = new Set([...uplinks, ...vtepAliases(context)]);
  for (const kind of ['uplink.', 'vtep.']) {
    for (const found of await kernel.findTaps(namespace, state.aliasPrefix + kind)) {
      if (!known.has(found.alias)) await kernel.removeFoundTap(namespace, found);
    }
  }
}

/** An interface that could not be adopted has no user any more, but its name and its routes. */
async function removeRest(context: Context, namespace: Namespace, alias: string): Promise<void> {
  for (const found of await context.kernel.findTaps(namespace, alias)) {
    await context.kernel.removeFoundTap(namespace, found);
  }
}

/** Another weft may have a network of the same name in the namespace: the second one takes a name with a hash. */
async function createUplinkAttachment(
  context: Context,
  transaction: Transaction,
  record: NetworkRecord,
  namespace: Namespace,
  { request }: UplinkPlan,
): Promise<Attachment> {
  const { name } = record.spec;
  const plug = { network: name, role: 'uplink' as const, endpoint: null, namespace, request };
  try {
    return await createAttachment(context, transaction, plug);
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== 'EEXIST' || error.call !== 'TUNSETIFF') throw error;
    const ifname = hostIfname(name, context.state.instance);
    return await createAttachment(context, transaction, { ...plug, request: { ...request, ifname } });
  }
}

/** The rules of the others stay. A namespace that is gone needs nothing any more. */
async function leave(context: Context, uplink: Uplink): Promise<void> {
  const { network, namespace } = uplink;
  if (isRouted(uplink)) await attempt(context, network, () => syncRouting(context, namespace));
}

/** A namespace whose name is gone goes on as long as weft has it open, so its end must be heard of. */
function watchUplink(context: Context, uplink: Uplink): void {
  const { network, namespace, ownsNamespace } = uplink;
  if (!ownsNamespace) return;
  uplink.watch = context.kernel.watchNamespace(namespace, null, () => context.onUplinkGone(network, namespace));
}

function unwatch(uplink: Uplink): void {
  uplink.watch?.stop();
  uplink.watch = null;
}

function release(context: Context, uplink: Uplink): void {
  unwatch(uplink);
  if (uplink.ownsNamespace) context.kernel.closeNamespace(uplink.namespace);
  uplink.ownsNamespace = false;
}

function lose(context: Context, { spec }: NetworkRecord, reason: string): void {
  const message = `network ${spec.name} has no uplink: ${reason}; weft goes on trying`;
  warn(context, message, 'network', spec.name);
  context.events.add({ type: 'uplink-lost', object: 'network', name: spec.name, message });
}

async function attempt(context: Context, network: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    warn(context, `the routing for network ${network} gave trouble: ${(error as Error).message}`, 'network', network);
  }
}
