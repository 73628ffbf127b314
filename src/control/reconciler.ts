/**
 * Makes the kernel and the datapath match the desired state when the daemon starts, after whatever ended the last one.
 *
 *   compartments opened or made anew -> leftovers removed -> TAPs adopted or made anew -> one program for all
 *
 * A TAP that survived is adopted as it is, so that connections over it go on. Only what carries this instance's mark (alias
 * of a TAP, marker of an owned namespace) is ever removed. An object that cannot be restored becomes gone or degraded with
 * a warning, and the rest of the lab comes up.
 */
import { isOwned, pathOfCompartment } from '../model/compartment-request.js';
import type { CompartmentRecord, EndpointRecord, NetworkRecord } from '../model/desired-state.js';
import { checkIdentity, identityOf, open } from './compartments.js';
import { type Context, warn } from './context.js';
import { restoreDns } from './dns/dns-plugging.js';
import { createTapOf, tapRequestOf } from './endpoints.js';
import { inParallel } from './in-parallel.js';
import { type FoundTap, KernelError, type Namespace, type TapRequest } from './kernel/kernel.js';
import { createHostAttachment, hostTapRequestOf } from './networks.js';
import { enterStations } from './overlay/remote-stations.js';
import { restoreTunnels, vtepAliases } from './overlay/tunnels.js';
import { register } from './plugging.js';
import type { Attachment } from './port-table.js';
import { Transaction } from './transaction.js';
import type { Uplink } from './uplinks/uplink.js';
import { hasUplinkTap, openUplinkNamespace, restoreRouting, restoreUplink, wantsUplink } from './uplinks/uplinks.js';

const AT_ONCE = 8;

/** A TAP of this instance and where it is now. */
interface Whereabouts {
  namespace: Namespace;
  found: FoundTap;
}

/** Never rejects because of a single object. Whatever changed in the desired state is for the caller to save. */
export async function reconcile(context: Context): Promise<void> {
  const { state } = context;
  const owned = new Set(await context.kernel.ownedNamespaces());
  await inParallel(state.compartments.values(), AT_ONCE, (record) => reopen(context, record, owned));
  for (const name of [...owned].filter((name) => !isWanted(context, name))) {
    await attempt(context, `the leftover namespace ${name}`, () => context.kernel.removeNamespace(name));
  }
  const uplinks = await openUplinkNamespaces(context);
  const whereabouts = await findOwnTaps(context, uplinks);
  await removeLeftovers(context, whereabouts);
  for (const record of state.networks.values()) context.ports.addNetwork(record.spec.name, record.spec);
  const restored: Attachment[] = [];
  await inParallel(state.networks.values(), AT_ONCE, async (record) => {
    if (record.hostMac === null) return;
    const attachment = await restoreHost(context, record, whereabouts.get(state.aliasOfHost(record)));
    if (attachment !== null) restored.push(attachment);
  });
  // One after the other: each transit subnet is chosen with those of the others known.
  for (const [name, uplink] of uplinks) {
    const record = state.network(name);
    const attachment = await restoreUplink(context, record, uplink, whereabouts.get(state.aliasOfUplink(record)));
    if (attachment !== null) restored.push(attachment);
  }
  await inParallel(state.endpoints.values(), AT_ONCE, async (record) => {
    const attachment = await restoreEndpoint(context, record, whereabouts.get(state.aliasOf(record)));
    if (attachment !== null) restored.push(attachment);
  });
  for (const attachment of restored) register(context, attachment);
  await connect(context, restored);
  enterStations(context);
  await restoreTunnels(context);
  await restoreRouting(context);
  await restoreDns(context);
}

/** By name of the network. */
async function openUplinkNamespaces(context: Context): Promise<Map<string, Uplink>> {
  const uplinks = new Map<string, Uplink>();
  for (const record of context.state.networks.values()) {
    if (!wantsUplink(record)) continue;
    const uplink = await openUplinkNamespace(context, record);
    if (uplink !== null) uplinks.set(record.spec.name, uplink);
  }
  return uplinks;
}

/** Rows in the order of names, so that two starts from one state make the same program. */
async function connect(context: Context, restored: Attachment[]): Promise<void> {
  const key = ({ role, endpoint, network }: Attachment) => endpoint ?? `${role}/${network}`;
  restored.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  await attempt(context, 'a port of the datapath', () => context.ports.change(restored, []));
}

function isWanted(context: Context, name: string): boolean {
  const record = context.state.compartments.get(name);
  return record !== undefined && isOwned(record.spec);
}

async function reopen(context: Context, record: CompartmentRecord, owned: ReadonlySet<string>): Promise<void> {
  const { name } = record.spec;
  try {
    const namespace = isOwned(record.spec)
      ? await reopenOwned(context, record, owned.has(name))
      : await reopenAdopted(context, record);
    record.identity = identityOf(namespace);
    open(context, record, namespace);
  } catch (error) {
    const reason = `the namespace of compartment ${name} is gone`;
    warn(context, `${reason}: ${(error as Error).message}`, 'compartment', name);
    for (const endpoint of [...record.endpoints]) {
      context.state.detach(endpoint);
      context.reasons.set(endpoint, reason);
      const message = `endpoint ${endpoint} detached: ${reason}`;
      context.events.add({ type: 'endpoint-detached', object: 'endpoint', name: endpoint, message });
    }
  }
}

/** A namespace that weft made and that is not there any more (after a reboot it never is) is made anew, empty. */
async function reopenOwned(context: Context, record: CompartmentRecord, isMarked: boolean): Promise<Namespace> {
  const { name } = record.spec;
  const { kernel } = context;
  const path = pathOfCompartment(record.spec);
  const namespace = await openOrNull(context, path);
  if (namespace !== null) {
    if (isMarked || isSameAs(record, namespace)) return namespace;
    kernel.closeNamespace(namespace);
    throw new Error(`another program has made ${path}`);
  }
  if (isMarked) await kernel.removeNamespace(name);
  const made = await kernel.createNamespace(name);
  const message = `compartment ${name} was gone and has been made anew (${path})`;
  context.log.info({ compartment: name }, message);
  context.events.add({ type: 'compartment-created', object: 'compartment', name, message });
  return made;
}

async function reopenAdopted(context: Context, record: CompartmentRecord): Promise<Namespace> {
  const path = pathOfCompartment(record.spec);
  const namespace = await context.kernel.openNamespace(path);
  try {
    checkIdentity(context, namespace, record.spec.name);
    // A path may be given to a new namespace, that is its owner's business; a process id goes to a stranger.
    if (record.spec.pid !== null && !isSameAs(record, namespace)) {
      throw new Error(`process ${record.spec.pid} has ended, its id belongs to another process now`);
    }
    return namespace;
  } catch (error) {
    context.kernel.closeNamespace(namespace);
    throw error;
  }
}

async function openOrNull(context: Context, path: string): Promise<Namespace | null> {
  try {
    return await context.kernel.openNamespace(path);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

function isSameAs({ identity }: CompartmentRecord, namespace: Namespace): boolean {
  return identity !== null && identity.device === namespace.device && identity.inode === namespace.inode;
}

/** By alias. Another program may have moved a TAP, so every namespace that weft knows is searched. */
async function findOwnTaps(context: Context, uplinks: ReadonlyMap<string, Uplink>): Promise<Map<string, Whereabouts>> {
  const { kernel, state } = context;
  const all = [
    kernel.hostNamespace(),
    ...[...context.open.values(), ...uplinks.values()].map(({ namespace }) => namespace),
  ];
  const namespaces = new Map(all.map((namespace) => [`${namespace.device} ${namespace.inode}`, namespace]));
  const whereabouts = new Map<string, Whereabouts>();
  await inParallel(namespaces.values(), AT_ONCE, (namespace) =>
    attempt(context, `the interfaces of ${namespace.path}`, async () => {
      for (const found of await kernel.findTaps(namespace, state.aliasPrefix)) {
        whereabouts.set(found.alias, { namespace, found });
      }
    }),
  );
  return whereabouts;
}

async function removeLeftovers(context: Context, whereabouts: Map<string, Whereabouts>): Promise<void> {
  const { kernel, state } = context;
  const wanted = new Set<string>();
  for (const record of state.endpoints.values())
    if (record.spec.compartment !== null) wanted.add(state.aliasOf(record));
  for (const record of state.networks.values()) {
    if (record.hostMac !== null) wanted.add(state.aliasOfHost(record));
    if (hasUplinkTap(record)) wanted.add(state.aliasOfUplink(record));
  }
  for (const alias of vtepAliases(context)) wanted.add(alias);
  const leftovers = [...whereabouts].filter(([alias]) => !wanted.has(alias));
  await inParallel(leftovers, AT_ONCE, async ([, { namespace, found }]) => {
    await attempt(context, `the leftover interface ${found.ifname}`, () => kernel.removeFoundTap(namespace, found));
    context.log.info({ ifname: found.ifname, namespace: namespace.path }, 'removed a leftover interface');
  });
}

async function restoreHost(
  context: Context,
  record: NetworkRecord,
  where: Whereabouts | undefined,
): Promise<Attachment | null> {
  const { name } = record.spec;
  try {
    const request = hostTapRequestOf(context, record);
    const adopted = await adopt(context, request, where, { network: name, role: 'host', endpoint: null });
    return adopted ?? (await createHostAttachment(context, new Transaction(), record));
  } catch (error) {
    warn(context, `the host interface of network ${name} is missing: ${(error as Error).message}`, 'network', name);
    return null;
  }
}

async function restoreEndpoint(
  context: Context,
  record: EndpointRecord,
  where: Whereabouts | undefined,
): Promise<Attachment | null> {
  const { name, network, compartment } = record.spec;
  if (compartment === null) return null;
  const namespace = context.open.get(compartment)?.namespace;
  if (namespace === undefined) return null;
  try {
    const adopted = await adopt(context, tapRequestOf(context, record), where, {
      network,
      role: 'endpoint',
      endpoint: name,
    });
    return adopted ?? (await createTapOf(context, new Transaction(), record, compartment, namespace));
  } catch (error) {
    const reason = (error as Error).message;
    context.reasons.set(name, reason);
    const message = `endpoint ${name} degraded: ${reason}`;
    warn(context, message, 'endpoint', name);
    context.events.add({ type: 'endpoint-degraded', object: 'endpoint', name, message });
    return null;
  }
}

async function adopt(
  context: Context,
  request: TapRequest,
  where: Whereabouts | undefined,
  owner: Pick<Attachment, 'network' | 'role' | 'endpoint'>,
): Promise<Attachment | null> {
  if (where === undefined) return null;
  const { namespace } = where;
  const tap = await context.kernel.adoptTap(namespace, request);
  return tap === null ? null : { ...owner, namespace, request, tap, isOpen: true, port: -1, serial: 0 };
}

async function attempt(context: Context, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    warn(context, `${what} gave trouble: ${(error as Error).message}`, 'daemon', 'weftd');
  }
}
