/**
 * VTEPs of this host, from their beginning to their end: made for the first network that needs one, shared, and removed with the last
 * one without a trace.
 *
 *   place (whose address) -> plan (what is to be made) -> sockets or TAP -> VTEP in the next program -> forwarding of the namespace
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import type { OverlaySpec } from '../../model/network.js';
import { RequestError } from '../../model/problems.js';
import type { Context } from '../context.js';
import { KernelError, type Namespace, type TapRequest } from '../kernel/kernel.js';
import { openPlace, placeOf } from '../open-place.js';
import { createAttachment, plugInAll, unplug } from '../plugging.js';
import type { Attachment } from '../port-table.js';
import type { Transaction } from '../transaction.js';
import { syncRouting } from '../uplinks/uplink-routing.js';
import { findPath, isAnotherLink, segmentOf } from './underlay-path.js';
import { usableOffloads } from './usable-offloads.js';
import { attachmentsOf, keyOf, type Vtep, type VtepPlace, type VtepPlan } from './vtep.js';
import { checkPlace, placeFor, planVtep } from './vtep-plan.js';

/** A minute, as long as looks are two seconds apart. */
const MAX_LOOKS_BETWEEN = 32;

/** Where the underlay of a network is, opened. */
export interface Ground {
  namespace: Namespace;
  owns: boolean;
}

export async function openGround(context: Context, { underlayNetns }: OverlaySpec): Promise<Ground> {
  const { kernel } = context;
  if (underlayNetns === null) return { namespace: kernel.hostNamespace(), owns: false };
  return { namespace: await openPlace(kernel, underlayNetns, 'underlayNetns'), owns: true };
}

export function closeGround(context: Context, { namespace, owns }: Ground): void {
  if (owns) context.kernel.closeNamespace(namespace);
}

/** The VTEP that the network is to have: the one that is there, or a new one. `isRestored`: there may be something left of it. */
export async function takeVtep(
  context: Context,
  transaction: Transaction,
  record: NetworkRecord,
  isRestored: boolean,
): Promise<Vtep> {
  const { name, overlay } = record.spec;
  if (overlay === null) throw new Error(`network ${name} is no overlay`);
  const ground = await openGround(context, overlay);
  let isTaken = false;
  try {
    const path = await findPath(context.kernel, ground.namespace, overlay);
    const place = placeFor(ground.namespace, overlay, path);
    const present = context.overlay.vteps.get(keyOf(place));
    if (present !== undefined) {
      await adapt(context, transaction, present, Math.max(present.mtu, path.mtu), present.checksum || overlay.checksum);
      return present;
    }
    await checkPlace(context, ground.namespace, place);
    isTaken = true;
    return await makeVtep(context, transaction, {
      ground,
      place,
      mtu: path.mtu,
      checksum: overlay.checksum,
      isRestored,
    });
  } finally {
    if (!isTaken) closeGround(context, ground);
  }
}

/**
 * Finds out what the ways of its networks carry now: an underlay may have been changed since the VTEP was made. True when that is something
 * else; the caller publishes.
 */
export async function measureVtep(context: Context, transaction: Transaction, vtep: Vtep): Promise<boolean> {
  const former = vtep.mtu;
  let mtu = 0;
  for (const name of vtep.networks) {
    const overlay = context.state.networks.get(name)?.spec.overlay ?? null;
    if (overlay !== null) mtu = Math.max(mtu, (await findPath(context.kernel, vtep.namespace, overlay)).mtu);
  }
  if (mtu > 0) await adapt(context, transaction, vtep, mtu, vtep.checksum);
  return vtep.mtu !== former;
}

/** No network has a tunnel of it any more. */
export async function removeVtep(context: Context, transaction: Transaction, vtep: Vtep): Promise<void> {
  const { key, namespace } = vtep;
  const { ports, overlay } = context;
  if (vtep.underlay === 'tap') transaction.onUndo(`routing of ${key}`, () => syncRouting(context, namespace));
  transaction.onUndo('restore VTEP', () => {
    overlay.vteps.set(key, vtep);
    watchVtep(context, vtep);
  });
  transaction.onUndo('connect VTEP', () => enter(context, vtep));
  await unplug(context, transaction, attachmentsOf(vtep));
  transaction.onUndo('give the VTEP a row', () => ports.addVtep(key));
  await forgetVtep(context, vtep);
  if (vtep.underlay === 'tap') await syncRouting(context, namespace);
  transaction.onCommit('close the namespace', () => closeNamespace(context, vtep));
}

/** Takes it out of all books; its ports must be gone. */
export async function forgetVtep(context: Context, vtep: Vtep): Promise<void> {
  const { key } = vtep;
  unwatch(vtep);
  // What was learned on the row must be gone before another segment gets it.
  await context.datapath.flushMacs(context.ports.rowOfVtep(key));
  context.overlay.vteps.delete(key);
  context.ports.removeVtep(key);
}

export function closeNamespace(context: Context, vtep: Vtep): void {
  unwatch(vtep);
  if (vtep.ownsNamespace) context.kernel.closeNamespace(vtep.namespace);
  vtep.ownsNamespace = false;
}

interface Wanted {
  ground: Ground;
  place: VtepPlace;
  mtu: number;
  checksum: boolean;
  isRestored: boolean;
}

async function makeVtep(context: Context, transaction: Transaction, wanted: Wanted): Promise<Vtep> {
  const { ground, place, mtu, checksum, isRestored } = wanted;
  const { namespace } = ground;
  const key = keyOf(place);
  transaction.onUndo('open the underlay', () => closeGround(context, ground));
  const { joins, tunnelGso } = await usableOffloads(context, namespace);
  const plan = await planVtep(context, namespace, place, mtu, tunnelGso);
  if (place.underlay === 'tap') transaction.onUndo(`routing of ${key}`, () => syncRouting(context, namespace));
  context.ports.addVtep(key);
  transaction.onUndo('give the VTEP a row', () => context.ports.removeVtep(key));
  const receiver =
    (isRestored ? await adopt(context, transaction, namespace, key, plan) : null) ??
    (await createReceiver(context, transaction, namespace, key, plan.receiver, place));
  const senders: Attachment[] = [];
  for (const request of plan.senders) senders.push(await createPart(context, transaction, namespace, key, request));
  const { hostMac, ownMac } = plan;
  const vtep: Vtep = {
    ...{
      ...place,
      key,
      namespace,
      ownsNamespace: ground.owns,
      watch: null,
      plan,
      receiver,
      senders,
      segment: null,
      looks: 0,
      groups: new Map(),
    },
    ...{ networks: new Set<string>(), mtu, checksum, joins, hostMac, ownMac },
  };
  transaction.onUndo('enter VTEP', () => {
    unwatch(vtep);
    context.overlay.vteps.delete(key);
    context.ports.setVtep(key, null);
  });
  context.overlay.vteps.set(key, vtep);
  enter(context, vtep);
  await plugInAll(context, transaction, attachmentsOf(vtep));
  if (place.underlay === 'tap') await startRouting(context, transaction, vtep, isRestored);
  watchVtep(context, vtep);
  return vtep;
}

/** From now on programs have the VTEP as it is now. */
function enter(context: Context, vtep: Vtep): void {
  const { underlay, address, udpPort, checksum, joins, mtu, receiver, senders, plan } = vtep;
  const { hostMac, ownMac } = plan;
  context.ports.setVtep(vtep.key, {
    underlay,
    address,
    udpPort,
    hostMac,
    ownMac,
    checksum,
    joins,
    mtu,
    receiver,
    senders,
  });
}

/** Its networks want more of it, or the underlay is another. */
async function adapt(
  context: Context,
  transaction: Transaction,
  vtep: Vtep,
  mtu: number,
  checksum: boolean,
): Promise<void> {
  if (mtu === vtep.mtu && checksum === vtep.checksum) return;
  const former = { mtu: vtep.mtu, checksum: vtep.checksum };
  const set = async (next: typeof former) => {
    Object.assign(vtep, next);
    enter(context, vtep);
    const { receiver } = vtep;
    if (vtep.underlay === 'socket' || receiver.request.mtu === next.mtu) return;
    receiver.request = { ...receiver.request, mtu: next.mtu };
    await context.kernel.updateTap(receiver.namespace, receiver.tap, receiver.request);
  };
  transaction.onUndo('adapt VTEP', () => set(former));
  await set({ mtu, checksum });
}

async function startRouting(
  context: Context,
  transaction: Transaction,
  vtep: Vtep,
  isRestored: boolean,
): Promise<void> {
  const { namespace, key, receiver } = vtep;
  await findSegment(context, vtep);
  await syncRouting(context, namespace);
  for (const chain of isRestored ? [] : await context.kernel.droppingChains(namespace)) {
    const what = `the firewall of ${placeOf(namespace)} drops what it forwards (chain ${chain})`;
    const message = `VTEP ${key}: ${what}; accept there what goes in and out of ${receiver.request.ifname}`;
    transaction.emit({ type: 'warning', object: 'daemon', name: 'weftd', message });
  }
}

async function findSegment({ kernel }: Context, vtep: Vtep): Promise<void> {
  const [proxy] = vtep.plan.proxies;
  vtep.segment = proxy === undefined ? null : await kernel.findInterface(vtep.namespace, proxy.ifname);
}

/**
 * Has the namespace answer for the address of a VTEP again. The kernel stops whenever the interface goes down or loses its carrier, and one
 * that was made anew has none of the settings.
 */
export async function renewSegment(context: Context, key: string): Promise<void> {
  const vtep = context.overlay.vteps.get(key);
  if (vtep === undefined) return;
  const { namespace, segment, plan } = vtep;
  if (segment === null) await seekSegment(context, vtep);
  else if (!(await isAnotherLink(context.kernel, namespace, segment))) {
    await context.kernel.renewProxies(namespace, plan.proxies);
  } else {
    await syncRouting(context, namespace);
    await findSegment(context, vtep);
  }
}

/**
 * The address is one that is routed to the machine, or its interface had no address yet, as when the machine starts. Looked at ever less
 * often: routing tables may be long.
 */
async function seekSegment(context: Context, vtep: Vtep): Promise<void> {
  const { namespace, address, plan } = vtep;
  vtep.looks++;
  if ((vtep.looks & (vtep.looks - 1)) !== 0 && vtep.looks % MAX_LOOKS_BETWEEN !== 0) return;
  const ifname = segmentOf(await context.kernel.routes(namespace), address);
  if (ifname === null) return;
  plan.proxies = [{ address, ifname }];
  await syncRouting(context, namespace);
  await findSegment(context, vtep);
}

/** A TAP or socket of a VTEP, not connected yet. */
export async function createPart(
  context: Context,
  transaction: Transaction,
  namespace: Namespace,
  key: string,
  request: TapRequest,
): Promise<Attachment> {
  return createAttachment(context, transaction, { network: key, role: 'underlay', endpoint: null, namespace, request });
}

/** null: there is none. A failure later on leaves it where it is, for the next attempt. */
async function adopt(
  context: Context,
  transaction: Transaction,
  namespace: Namespace,
  key: string,
  { receiver: request }: VtepPlan,
): Promise<Attachment | null> {
  if (request.kind !== 'uplink') return null;
  const tap = await context.kernel.adoptTap(namespace, request);
  if (tap === null) return null;
  transaction.onUndo('adopt TAP', () => context.kernel.releaseTap(tap));
  return { network: key, role: 'underlay', endpoint: null, namespace, request, tap, isOpen: true, port: -1, serial: 0 };
}

/** The first thing that goes wrong when something else does VXLAN there: said in words. */
async function createReceiver(
  context: Context,
  transaction: Transaction,
  namespace: Namespace,
  key: string,
  request: TapRequest,
  { address, udpPort }: VtepPlace,
): Promise<Attachment> {
  try {
    return await createPart(context, transaction, namespace, key, request);
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== 'EADDRINUSE') throw error;
    const others = (await context.kernel.vxlanInterfaces(namespace)).filter((other) => other.udpPort === udpPort);
    const device = others[0]?.ifname;
    const who = device === undefined ? 'another program' : `the VXLAN interface ${device} of the kernel`;
    const message = `UDP port ${udpPort} of ${address} is taken by ${who} in ${placeOf(namespace)}`;
    const remedy = device === undefined ? 'end that program' : `remove it (ip link delete ${device})`;
    throw new RequestError('conflict', message, `${remedy}, or choose another port with --port, on all hosts`);
  }
}

/** A namespace whose name is gone goes on as long as weft has it open, so its end must be heard of. */
function watchVtep(context: Context, vtep: Vtep): void {
  const { key, namespace, ownsNamespace } = vtep;
  if (!ownsNamespace || vtep.watch !== null) return;
  vtep.watch = context.kernel.watchNamespace(namespace, null, () => context.onVtepGone(key, namespace));
}

function unwatch(vtep: Vtep): void {
  vtep.watch?.stop();
  vtep.watch = null;
}
