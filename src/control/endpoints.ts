/**
 * Operations on endpoints: create, attach, move, detach, change, delete, and what happens when an interface breaks.
 *
 * An endpoint is attached (it has a TAP), detached (it has no compartment) or degraded (it has a compartment but its TAP
 * is broken or could not be made); attaching a degraded one makes its TAP anew.
 */
import type { EndpointRecord } from '../model/desired-state.js';
import type { EndpointSpec } from '../model/endpoint.js';
import { type EndpointWish, parseEndpointPatch, parseEndpointRequest } from '../model/endpoint-request.js';
import { parseIp } from '../model/ip.js';
import { hasUplink } from '../model/network-kind.js';
import { RequestError } from '../model/problems.js';
import { tellOfWaitingCaptures } from './captures/capture-subject.js';
import { isShared } from './cluster/shared-network.js';
import type { Context } from './context.js';
import { endFlowsOf } from './flows/flows.js';
import { KernelError, type Namespace, type RouteRequest, type TapRequest } from './kernel/kernel.js';
import { updateStation } from './overlay/remote-stations.js';
import { createAttachment, discard, plugIn, unplug } from './plugging.js';
import type { Attachment } from './port-table.js';
import { accepted } from './refusals.js';
import type { Transaction } from './transaction.js';
import { checkServed } from './uplinks/served-ports.js';
import { keepPublished } from './uplinks/uplink-routing.js';

/** Default routes of other programs in a compartment that are stepped over, by choosing the next metric. */
const MAX_FOREIGN_ROUTES = 16;
/** Addresses that are tried one after the other while other hosts take them away; each refusal makes one more known. */
const MAX_CLAIMS = 1000;

/** Addresses are reserved before anything else happens, so whatever fails later, no two endpoints ever had the same. */
export async function createEndpoint(context: Context, transaction: Transaction, request: unknown): Promise<void> {
  await addEndpoint(context, transaction, accepted(parseEndpointRequest(request)));
}

/** `ifname`: what weft should call the interface if it may choose and the name is free. */
export async function addEndpoint(
  context: Context,
  transaction: Transaction,
  wish: EndpointWish,
  ifname?: string,
): Promise<void> {
  if (wish.compartment !== null) openNamespaceOf(context, wish.compartment);
  const publish = wish.publish.length > 0 ? keepPublished(context, transaction, wish.network) : null;
  const record = await enterEndpoint(context, transaction, wish, ifname);
  await checkServed(context, record.spec);
  const { name, network } = record.spec;
  const addresses = record.spec.ip.length === 0 ? '' : ` with ${record.spec.ip.join(', ')}`;
  const message = `endpoint ${name} created on network ${network}${addresses}`;
  transaction.emit({ type: 'endpoint-created', object: 'endpoint', name, message });
  if (wish.compartment !== null) await attach(context, transaction, record, wish.compartment);
  await updateStation(context, transaction, null, record.spec);
  await publish?.();
}

/**
 * Into the desired state, and on a shared network into the cluster: what is chosen here may be taken on another host since, and then
 * something else is chosen.
 */
async function enterEndpoint(
  context: Context,
  transaction: Transaction,
  wish: EndpointWish,
  ifname?: string,
): Promise<EndpointRecord> {
  const { cluster, state } = context;
  const isClaimed = cluster !== null && isShared(state.network(wish.network).spec);
  for (let attempt = 0; ; attempt++) {
    const { record, undo } = state.addEndpoint(wish, context.newId(), ifname);
    if (!isClaimed) {
      transaction.onUndo('add endpoint', undo);
      return record;
    }
    const claimed = await cluster.claim(record).catch((error: unknown) => {
      undo();
      throw error;
    });
    if (claimed.granted) {
      // Not before: there may have been one of this name, which had part of it, and which is there again then.
      transaction.onTakenBack('claim what the endpoint has', () => cluster.release([wish.name]));
      transaction.onUndo('add endpoint', undo);
      return record;
    }
    undo();
    claimed.heed();
    if (claimed.isFinal || attempt === MAX_CLAIMS) failTaken(wish, claimed.taken);
  }
}

function failTaken({ name, network }: EndpointWish, taken: readonly string[]): never {
  const message = `endpoint ${name} cannot be on network ${network}: ${taken.join(', ')}`;
  const remedy =
    'choose something else, or leave it out and weft chooses; what a dead host had: weft cluster forget HOST';
  throw new RequestError('conflict', message, remedy);
}

export async function attachEndpoint(
  context: Context,
  transaction: Transaction,
  name: string,
  compartment: string,
): Promise<void> {
  const record = context.state.endpoint(name);
  openNamespaceOf(context, compartment);
  if (record.spec.compartment === compartment && context.attachments.has(name)) return;
  await attach(context, transaction, record, compartment);
}

export async function detachEndpoint(context: Context, transaction: Transaction, name: string): Promise<void> {
  context.state.endpoint(name);
  await detachAll(context, transaction, [name], null);
}

export async function patchEndpoint(
  context: Context,
  transaction: Transaction,
  name: string,
  patch: unknown,
): Promise<void> {
  const { spec } = context.state.endpoint(name);
  await changeEndpoint(context, transaction, name, accepted(parseEndpointPatch(patch, spec)));
}

/** `changed` differs from the present one only in what can change. */
export async function changeEndpoint(
  context: Context,
  transaction: Transaction,
  name: string,
  changed: EndpointSpec,
): Promise<void> {
  const { spec } = context.state.endpoint(name);
  if (JSON.stringify(changed) === JSON.stringify(spec)) return;
  const publish = `${changed.publish}` === `${spec.publish}` ? null : keepPublished(context, transaction, spec.network);
  const { undo } = context.state.changeEndpoint(name, changed);
  transaction.onUndo('publish', () => context.ports.publish());
  transaction.onUndo('change endpoint', undo);
  await checkServed(context, changed, spec.publish);
  await updateStation(context, transaction, spec, changed);
  await context.ports.publish();
  await publish?.();
  const message = `endpoint ${name} changed`;
  transaction.emit({ type: 'endpoint-changed', object: 'endpoint', name, message });
}

export async function deleteEndpoint(context: Context, transaction: Transaction, name: string): Promise<void> {
  context.state.endpoint(name);
  await deleteEndpoints(context, transaction, [name]);
}

/** Deletes endpoints that exist, in one step of the datapath. */
export async function deleteEndpoints(
  context: Context,
  transaction: Transaction,
  names: readonly string[],
): Promise<void> {
  const all = names.map((name) => context.state.endpoint(name).spec);
  const specs = all.filter(({ publish }) => publish.length > 0);
  const networks = new Set(specs.map(({ network }) => network));
  endFlows(context, transaction, all);
  const publish = [...networks].map((network) => keepPublished(context, transaction, network));
  await detachAll(context, transaction, names, null);
  for (const spec of all) await updateStation(context, transaction, spec, null);
  for (const name of names) forget(context, transaction, name);
  releaseClaims(context, transaction, all);
  for (const sync of publish) await sync();
}

/** Once they are deleted, others may have their names and addresses. */
function releaseClaims({ cluster, state }: Context, transaction: Transaction, specs: readonly EndpointSpec[]): void {
  const shared = specs.filter(({ network }) => isShared(state.network(network).spec)).map(({ name }) => name);
  if (cluster === null || shared.length === 0) return;
  transaction.onCommit('release claims', () => cluster.release(shared));
  transaction.onTakenBack('release claims', () => cluster.release(shared));
}

/** Sees to it that the flows of endpoints end once they are deleted. */
function endFlows(context: Context, transaction: Transaction, specs: readonly EndpointSpec[]): void {
  for (const network of new Set(specs.map((spec) => spec.network))) {
    if (!hasUplink(context.state.network(network).spec)) continue;
    const addresses = new Set(specs.filter((spec) => spec.network === network).flatMap(({ ip }) => ip));
    transaction.onCommit('end flows', () => endFlowsOf(context, network, addresses));
  }
}

function forget(context: Context, transaction: Transaction, name: string): void {
  const reason = context.reasons.get(name);
  context.reasons.delete(name);
  transaction.onUndo('forget reason', () => {
    if (reason !== undefined) context.reasons.set(name, reason);
  });
  transaction.onUndo('remove endpoint', context.state.removeEndpoint(name).undo);
  transaction.emit({ type: 'endpoint-deleted', object: 'endpoint', name, message: `endpoint ${name} deleted` });
  tellOfWaitingCaptures(context, transaction, 'endpoint', name);
}

/** Detaches those of the endpoints that are in a compartment, in one step of the datapath. */
export async function detachAll(
  context: Context,
  transaction: Transaction,
  names: readonly string[],
  reason: string | null,
): Promise<void> {
  const placed = names.filter((name) => context.state.endpoint(name).spec.compartment !== null);
  const attachments = placed.flatMap((name) => context.attachments.get(name) ?? []);
  await unplug(context, transaction, attachments);
  for (const name of placed) markDetached(context, transaction, name, reason);
}

/** The datapath had to take the port of an endpoint out of service. */
export async function degradeEndpoint(
  context: Context,
  transaction: Transaction,
  broken: Attachment,
  reason: string,
): Promise<void> {
  const name = broken.endpoint;
  if (name === null || context.attachments.get(name) !== broken) return;
  await discard(context, [broken]);
  context.reasons.set(name, reason);
  const message = `endpoint ${name} degraded: ${reason}`;
  transaction.emit({ type: 'endpoint-degraded', object: 'endpoint', name, message });
}

/** Everything about the TAP of an endpoint that is in a compartment. */
export function tapRequestOf(context: Context, record: EndpointRecord): TapRequest {
  const { spec, metric } = record;
  const network = context.state.network(spec.network);
  return {
    ifname: spec.ifname,
    alias: context.state.aliasOf(record),
    mac: spec.mac,
    mtu: network.spec.mtu,
    addresses: spec.configure ? spec.ip.map((address) => network.addresses.withPrefix(address)) : [],
    routes: spec.configure ? defaultRoutes(spec, network.spec.gateway, metric) : [],
    offload: spec.offload,
    hostSide: false,
  };
}

/** One default route per family; an endpoint that is the gateway itself has none of that family. */
function defaultRoutes(spec: EndpointSpec, gateways: readonly string[], metric: number): RouteRequest[] {
  if (!spec.defaultRoute) return [];
  const routes: RouteRequest[] = [];
  for (const [family, destination] of [[4, '0.0.0.0/0'] as const, [6, '::/0'] as const]) {
    const candidates = gateways.filter((address) => parseIp(address)?.family === family);
    const isGateway = candidates.some((address) => spec.ip.includes(address));
    if (candidates.length > 0 && !isGateway) routes.push({ destination, gateway: candidates[0]!, metric });
  }
  return routes;
}

async function attach(
  context: Context,
  transaction: Transaction,
  record: EndpointRecord,
  compartment: string,
): Promise<void> {
  const { name } = record.spec;
  const namespace = openNamespaceOf(context, compartment);
  const former = context.attachments.get(name) ?? null;
  const reason = context.reasons.get(name);
  transaction.onUndo('forget reason', () => {
    if (reason !== undefined) context.reasons.set(name, reason);
  });
  const attachment = await createTapOf(context, transaction, record, compartment, namespace);
  await plugIn(context, transaction, attachment, former);
  context.reasons.delete(name);
  const message = `endpoint ${name} attached to compartment ${compartment} as ${record.spec.ifname}`;
  transaction.emit({ type: 'endpoint-attached', object: 'endpoint', name, message });
}

/**
 * Which interface names are free is only looked up in the kernel when the first choice turns out to be taken: asking for
 * all interfaces every time would make the n-th endpoint of a compartment n times as slow.
 */
export async function createTapOf(
  context: Context,
  transaction: Transaction,
  record: EndpointRecord,
  compartment: string,
  namespace: Namespace,
): Promise<Attachment> {
  const { name, network } = record.spec;
  let placed = context.state.attach(name, compartment, () => false);
  transaction.onUndo('attach endpoint', () => placed.undo());
  let isNameChecked = false;
  for (let attempt = 0; ; attempt++) {
    try {
      const request = tapRequestOf(context, record);
      return await createAttachment(context, transaction, {
        network,
        role: 'endpoint',
        endpoint: name,
        namespace,
        request,
      });
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (isTakenRoute(error) && attempt < MAX_FOREIGN_ROUTES) {
        // Another program, or another weft, has a default route of the same metric there: it was first.
        record.metric++;
        record.spec = { ...record.spec };
        continue;
      }
      if (isNameChecked) throw error;
      isNameChecked = true;
      const names = new Set(await context.kernel.interfaceNames(namespace));
      if (!names.has(record.spec.ifname)) throw error;
      placed.undo();
      placed = { record, undo: () => {} };
      placed = context.state.attach(name, compartment, (ifname) => names.has(ifname));
    }
  }
}

function isTakenRoute(error: KernelError): boolean {
  return error.call === 'RTM_NEWROUTE' && error.errno === 'EEXIST';
}

function markDetached(context: Context, transaction: Transaction, name: string, reason: string | null): void {
  const former = context.reasons.get(name);
  transaction.onUndo('detach endpoint', context.state.detach(name).undo);
  transaction.onUndo('reason', () => {
    if (former === undefined) context.reasons.delete(name);
    else context.reasons.set(name, former);
  });
  if (reason === null) context.reasons.delete(name);
  else context.reasons.set(name, reason);
  const message = `endpoint ${name} detached${reason === null ? '' : `: ${reason}`}`;
  transaction.emit({ type: 'endpoint-detached', object: 'endpoint', name, message });
}

function openNamespaceOf(context: Context, compartment: string): Namespace {
  context.state.compartment(compartment);
  const current = context.open.get(compartment);
  if (current !== undefined) return current.namespace;
  const message = `the namespace of compartment ${compartment} is gone`;
  throw new RequestError('conflict', message, 'delete the compartment and create it again');
}
