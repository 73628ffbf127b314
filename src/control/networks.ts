/** Operations on networks: create with its host vNIC, change what can change while it lives, delete. */
import type { NetworkRecord } from '../model/desired-state.js';
import type { NetworkSpec } from '../model/network.js';
import { hasHostVnic, hasUplink } from '../model/network-kind.js';
import { parseNetworkPatch, parseNetworkRequest } from '../model/network-request.js';
import { withOverlayDefaults } from '../model/overlay-defaults.js';
import { RequestError } from '../model/problems.js';
import { doOverlap } from '../model/subnet-overlap.js';
import { tellOfWaitingCaptures } from './captures/capture-subject.js';
import { isShared } from './cluster/shared-network.js';
import type { Context } from './context.js';
import { removeDns, updateDns } from './dns/dns-plugging.js';
import { deleteEndpoints, tapRequestOf } from './endpoints.js';
import { hostIfname } from './kernel/host-interface.js';
import { KernelError, type TapRequest } from './kernel/kernel.js';
import { describeChanges } from './lab/lab-difference.js';
import { leavesMtuOpen, warnOfMtu, withMtu } from './overlay/mtu.js';
import { closeTunnel, measureTunnel, openTunnel, refreshTunnel } from './overlay/tunnels.js';
import { createAttachment, plugIn, unplug } from './plugging.js';
import type { Attachment } from './port-table.js';
import { accepted, listNames } from './refusals.js';
import type { Transaction } from './transaction.js';
import { closeUplink, openUplink, updateUplink } from './uplinks/uplinks.js';

export async function createNetwork(context: Context, transaction: Transaction, request: unknown): Promise<void> {
  const completed = withOverlayDefaults(request, context.overlayDefaults);
  const spec = await withMtu(context, accepted(parseNetworkRequest(completed)), leavesMtuOpen(request));
  context.state.checkRoutesTo(spec);
  await addNetwork(context, transaction, spec);
}

/** Networks that it has routes to may come later. `isKnown`: the cluster has it already, if it is a shared one. */
export async function addNetwork(
  context: Context,
  transaction: Transaction,
  spec: NetworkSpec,
  isKnown = false,
): Promise<void> {
  const { record, undo } = context.state.addNetwork(spec, context.newId());
  transaction.onUndo('add network', undo);
  await checkHostRoutes(context, transaction, spec);
  context.ports.addNetwork(spec.name, spec);
  transaction.onUndo('give the network a row', () => context.ports.removeNetwork(spec.name));
  await openTunnel(context, transaction, record);
  if (record.hostMac !== null) await plugHost(context, transaction, record);
  await openUplink(context, transaction, record);
  await updateDns(context, transaction, record);
  // Last: on other hosts it cannot be taken back without a trace.
  if (!isKnown && isShared(spec)) await share(context, transaction, record);
  const subnets = spec.subnets.length === 0 ? '' : ` with ${spec.subnets.join(', ')}`;
  const message = `network ${spec.name} created: ${spec.type}${subnets}`;
  transaction.emit({ type: 'network-created', object: 'network', name: spec.name, message });
  warnOfMtu(context, transaction, spec);
}

export async function patchNetwork(
  context: Context,
  transaction: Transaction,
  name: string,
  patch: unknown,
): Promise<void> {
  const { spec: former } = context.state.network(name);
  const spec = accepted(parseNetworkPatch(patch, former));
  if (spec.routesTo.some((other) => !former.routesTo.includes(other))) context.state.checkRoutesTo(spec);
  if (spec.overlay !== null && spec.mtu === former.mtu) await lookAgain(context, transaction, name);
  await changeNetwork(context, transaction, name, spec);
}

/** The MTU stays, but the underlay may carry more than it did: who has changed that says the same MTU again. */
async function lookAgain(context: Context, transaction: Transaction, name: string): Promise<void> {
  transaction.onUndo('publish', () => context.ports.publish());
  if (await measureTunnel(context, transaction, name)) await context.ports.publish();
}

/** `spec` differs from the present one only in what can change. `isKnown`: the cluster has the change already. */
export async function changeNetwork(
  context: Context,
  transaction: Transaction,
  name: string,
  spec: NetworkSpec,
  isKnown = false,
): Promise<void> {
  const { spec: former } = context.state.network(name);
  const changes = describeChanges(former, spec);
  if (changes.length === 0) return;
  if (!isKnown && isShared(spec)) {
    transaction.onUndo('change the network of the cluster', () => context.cluster?.changeNetwork(former));
    await context.cluster?.changeNetwork(spec);
  }
  const { record, undo } = context.state.changeNetwork(name, spec);
  transaction.onUndo('publish', () => context.ports.publish());
  if (spec.mtu !== former.mtu) transaction.onUndo('set MTU', () => updateTaps(context, record));
  transaction.onUndo('uplink', () => updateUplink(context, record));
  transaction.onUndo('tunnel', () => refreshTunnel(context, name));
  transaction.onUndo('change network', undo);
  refreshTunnel(context, name);
  if (spec.mtu !== former.mtu) await measureTunnel(context, transaction, name);
  if (spec.mtu !== former.mtu) await updateTaps(context, record);
  await updateUplink(context, record);
  await updateDns(context, transaction, record);
  await context.ports.publish();
  const message = `network ${name} changed: ${changes.join(', ')}`;
  transaction.emit({ type: 'network-changed', object: 'network', name, message });
  if (spec.mtu !== former.mtu) warnOfMtu(context, transaction, spec);
}

/** `isKnown`: the cluster has deleted it already. */
export async function deleteNetwork(
  context: Context,
  transaction: Transaction,
  name: string,
  force: boolean,
  isKnown = false,
): Promise<void> {
  const record = context.state.network(name);
  if (record.endpoints.size > 0 && !force) {
    const message = `network ${name} has ${listNames('endpoint', record.endpoints)}`;
    throw new RequestError('in-use', message, 'delete them first, or use --force to delete them with it');
  }
  if (!isKnown && isShared(record.spec) && context.cluster !== null) {
    transaction.onUndo('delete the network of the cluster', () => context.cluster?.addNetwork(record));
    await context.cluster.removeNetwork(name);
  }
  await deleteEndpoints(context, transaction, [...record.endpoints]);
  const host = context.hostAttachments.get(name);
  if (host !== undefined) await unplug(context, transaction, [host]);
  await removeDns(context, transaction, name);
  await closeUplink(context, transaction, record);
  await closeTunnel(context, transaction, record);
  // What was learned on the row must be gone before another network gets it.
  await context.datapath.flushMacs(context.ports.rowOfNetwork(name));
  const uplinkRow = context.ports.rowOfUplink(name);
  if (uplinkRow !== null) await context.datapath.flushMacs(uplinkRow);
  context.ports.removeNetwork(name);
  transaction.onUndo('release the row', () => context.ports.addNetwork(name, record.spec));
  transaction.onUndo('remove network', context.state.removeNetwork(name).undo);
  await context.ports.publish();
  const message = `network ${name} deleted`;
  transaction.emit({ type: 'network-deleted', object: 'network', name, message });
  tellOfWaitingCaptures(context, transaction, 'network', name);
}

/** Enters a network into the cluster, from where other hosts take it. */
async function share({ cluster }: Context, transaction: Transaction, record: NetworkRecord): Promise<void> {
  const { name } = record.spec;
  if (cluster === null) {
    const message = `network ${name} cannot be shared: weftd has no cluster`;
    throw new RequestError('conflict', message, 'leave shared out, or name etcd in weft.yaml: cluster: {etcd: [URL]}');
  }
  await cluster.addNetwork(record);
  transaction.onUndo('share the network', () => cluster.removeNetwork(name));
}

/** Everything about the host vNIC of a network. */
export function hostTapRequestOf(context: Context, record: NetworkRecord): TapRequest {
  const { spec, hostMac, hostAddresses, addresses } = record;
  return {
    ifname: hostIfname(spec.name),
    alias: context.state.aliasOfHost(record),
    mac: hostMac ?? '',
    mtu: spec.mtu,
    addresses: hostAddresses.map((address) => addresses.withPrefix(address)),
    routes: [],
    offload: true,
    hostSide: true,
  };
}

/** Makes every TAP of the network what the state says, without taking it out of service. */
async function updateTaps(context: Context, record: NetworkRecord): Promise<void> {
  const { attachments, hostAttachments, kernel, state } = context;
  const host = hostAttachments.get(record.spec.name);
  if (host !== undefined) {
    const { ifname } = host.request;
    host.request = { ...hostTapRequestOf(context, record), ifname };
    await kernel.updateTap(host.namespace, host.tap, host.request);
  }
  for (const name of record.endpoints) {
    const attachment = attachments.get(name);
    if (attachment === undefined) continue;
    attachment.request = tapRequestOf(context, state.endpoint(name));
    await kernel.updateTap(attachment.namespace, attachment.tap, attachment.request);
  }
}

/** Two daemons on one machine may have networks of the same name: the second one takes a name with a hash. */
export async function createHostAttachment(
  context: Context,
  transaction: Transaction,
  record: NetworkRecord,
): Promise<Attachment> {
  const namespace = context.kernel.hostNamespace();
  const request = hostTapRequestOf(context, record);
  const plug = { network: record.spec.name, role: 'host' as const, endpoint: null, namespace, request };
  try {
    return await createAttachment(context, transaction, plug);
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== 'EEXIST') throw error;
    const ifname = hostIfname(record.spec.name, context.state.instance);
    return await createAttachment(context, transaction, { ...plug, request: { ...request, ifname } });
  }
}

async function plugHost(context: Context, transaction: Transaction, record: NetworkRecord): Promise<void> {
  const attachment = await createHostAttachment(context, transaction, record);
  await plugIn(context, transaction, attachment, null);
}

/** A host vNIC must not take traffic of the host away from where it goes now; other networks only hide it from their endpoints. */
async function checkHostRoutes(context: Context, transaction: Transaction, spec: NetworkSpec): Promise<void> {
  if (spec.subnets.length === 0) return;
  const hit = await findHostRoute(context, spec).catch((error: unknown) => {
    if (hasHostVnic(spec) || !(error instanceof KernelError)) throw error;
    context.log.warn({ network: spec.name, error: error.message }, 'the routes of the host could not be read');
    return null;
  });
  if (hit === null) return;
  const { subnet, destination, device } = hit;
  const whose = spec.uplinkNetns ?? 'this machine';
  const message = `subnet ${subnet} overlaps the route of ${whose} to ${destination} over ${device}`;
  if (hasHostVnic(spec)) {
    throw new RequestError('conflict', message, 'choose another subnet, or a network without a host vNIC');
  }
  const effect = hasUplink(spec)
    ? 'its endpoints do not reach what is there'
    : 'that is harmless as long as the host is not connected to it';
  const text = `network ${spec.name}: ${message}; ${effect}`;
  context.log.warn({ network: spec.name }, text);
  transaction.emit({ type: 'warning', object: 'network', name: spec.name, message: text });
}

/** Of the namespace that the uplink leads into, or of the machine. */
async function outerRoutes(
  { kernel }: Context,
  { uplinkNetns }: NetworkSpec,
): Promise<{ destination: string; device: string }[]> {
  if (uplinkNetns === null) return kernel.hostRoutes();
  const namespace = await kernel.openNamespace(uplinkNetns);
  try {
    return await kernel.routes(namespace);
  } finally {
    kernel.closeNamespace(namespace);
  }
}

async function findHostRoute(
  context: Context,
  spec: NetworkSpec,
): Promise<{ subnet: string; destination: string; device: string } | null> {
  for (const { destination, device } of await outerRoutes(context, spec)) {
    // A default route overlaps everything and means nothing here.
    if (destination.endsWith('/0')) continue;
    const subnet = spec.subnets.find((candidate) => doOverlap(candidate, destination));
    if (subnet !== undefined) return { subnet, destination, device };
  }
  return null;
}
