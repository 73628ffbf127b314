/**
 * Tunnels of overlay networks: each is a network's share of a VTEP, from its beginning to its end, through restarts of the daemon and
 * the loss of its VTEP.
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import { type Context, warn } from '../context.js';
import type { Namespace } from '../kernel/kernel.js';
import { discard } from '../plugging.js';
import type { Attachment } from '../port-table.js';
import { Transaction } from '../transaction.js';
import { syncRouting } from '../uplinks/uplink-routing.js';
import { aliasOfVtep, attachmentsOf, keyOf, type Vtep } from './vtep.js';
import { hasMovedGroup, joinGroup, leaveGroup } from './vtep-groups.js';
import { closeNamespace, forgetVtep, measureVtep, removeVtep, takeVtep } from './vteps.js';

/** Opens the tunnel of a network that has none; frames flow when it resolves. `isRestored`: there may be something left of it. */
export async function openTunnel(
  context: Context,
  transaction: Transaction,
  record: NetworkRecord,
  isRestored = false,
): Promise<void> {
  const { name, overlay } = record.spec;
  if (overlay === null) return;
  await enterTunnel(context, transaction, record, isRestored);
  await context.ports.publish();
  if (context.overlay.programmed.has(name)) return;
  transaction.onUndo('tell of stations', () => forgetNetwork(context, name));
  await tellStations(context, [name]);
}

/** All but telling the datapath, which can be done for many at once. */
async function enterTunnel(
  context: Context,
  transaction: Transaction,
  record: NetworkRecord,
  isRestored: boolean,
): Promise<void> {
  const { name, overlay } = record.spec;
  if (overlay === null) return;
  const vtep = await takeVtep(context, transaction, record, isRestored);
  transaction.onUndo('publish', () => context.ports.publish());
  transaction.onUndo('open the tunnel', () => {
    vtep.networks.delete(name);
    context.overlay.tunnels.delete(name);
    context.ports.setTunnel(name, null);
  });
  vtep.networks.add(name);
  context.overlay.tunnels.set(name, vtep.key);
  await joinGroup(context, transaction, vtep, name, overlay);
  describeTunnel(context, record, vtep);
}

/** The datapath has rows of the networks now. */
async function tellStations({ overlay }: Context, names: readonly string[]): Promise<void> {
  for (const name of names) {
    overlay.programmed.add(name);
    overlay.bindings.forgetTold(name);
  }
  await overlay.bindings.flush();
}

/** The row of the network is going to be another one's: then the datapath forgets by itself. */
function forgetNetwork({ overlay }: Context, name: string): void {
  overlay.programmed.delete(name);
  overlay.bindings.forgetTold(name);
}

/** Closes the tunnel of a network, whatever is left of it. */
export async function closeTunnel(context: Context, transaction: Transaction, record: NetworkRecord): Promise<void> {
  const { name, overlay } = record.spec;
  if (overlay === null) return;
  transaction.onUndo('publish', async () => {
    await context.ports.publish();
    await tellStations(context, [name]);
  });
  forgetNetwork(context, name);
  const key = context.overlay.tunnels.get(name);
  const vtep = key === undefined ? undefined : context.overlay.vteps.get(key);
  if (key === undefined || vtep === undefined) return;
  transaction.onUndo('close the tunnel', () => {
    vtep.networks.add(name);
    context.overlay.tunnels.set(name, key);
    describeTunnel(context, record, vtep);
  });
  await leaveGroup(context, transaction, vtep, name, overlay);
  vtep.networks.delete(name);
  context.overlay.tunnels.delete(name);
  context.ports.setTunnel(name, null);
  if (vtep.networks.size === 0) await removeVtep(context, transaction, vtep);
}

/**
 * What the next programs say of the tunnel, after a change of its peers: of those that were named, and of those that the control plane
 * knows. The caller publishes.
 */
export function refreshTunnel(context: Context, network: string): void {
  const record = context.state.networks.get(network);
  const vtep = context.overlay.vteps.get(context.overlay.tunnels.get(network) ?? '');
  if (record !== undefined && vtep !== undefined) describeTunnel(context, record, vtep);
}

/** Finds out anew what the underlay of a network carries. True when that is something else; the caller publishes. */
export async function measureTunnel(context: Context, transaction: Transaction, network: string): Promise<boolean> {
  const vtep = context.overlay.vteps.get(context.overlay.tunnels.get(network) ?? '');
  return vtep !== undefined && (await measureVtep(context, transaction, vtep));
}

/** Address of the VTEP that other hosts reach the network at; null while it is lost, or where it is not known. */
export function vtepAddressOf(context: Context, network: string): string | null {
  const vtep = context.overlay.vteps.get(context.overlay.tunnels.get(network) ?? '');
  const isKnown = vtep !== undefined && vtep.address !== '0.0.0.0' && vtep.address !== '::';
  return isKnown ? vtep.address : null;
}

/** When the daemon starts: what fails leaves a network without tunnel for a while, not the lab without a network. Never rejects. */
export async function restoreTunnels(context: Context): Promise<void> {
  const complain = (what: string, error: unknown) => context.log.error({ what, error: String(error) }, 'a step failed');
  const names: string[] = [];
  for (const record of context.state.networks.values()) {
    if (record.spec.overlay === null) continue;
    names.push(record.spec.name);
    const transaction = new Transaction();
    try {
      await enterTunnel(context, transaction, record, true);
    } catch (error) {
      await transaction.rollback(complain);
      lose(context, record.spec.name, (error as Error).message);
    }
  }
  if (names.length === 0) return;
  try {
    await context.ports.publish();
    await tellStations(context, names);
  } catch (error) {
    complain('tell the datapath of tunnels', error);
  }
}

/** Aliases of the TAPs that VTEPs are to have. */
export function vtepAliases(context: Context): string[] {
  const { state } = context;
  return [...state.networks.values()].flatMap(({ spec: { overlay } }) => {
    if (overlay === null || overlay.underlay !== 'tap' || overlay.vtep === null) return [];
    const { underlay, vtep: address, port: udpPort, underlayNetns: netns } = overlay;
    return [aliasOfVtep(state.aliasPrefix, keyOf({ underlay, address, udpPort, netns }))];
  });
}

/** The datapath had to take a port of a VTEP out of service. What can be made again is made again by `reopenTunnel`. */
export async function vtepFailed(context: Context, broken: Attachment, reason: string): Promise<void> {
  const vtep = context.overlay.vteps.get(broken.network);
  if (vtep === undefined) await discard(context, [broken]);
  else await loseVtep(context, vtep, reason);
}

export async function vtepGone(context: Context, key: string, namespace: Namespace): Promise<void> {
  const vtep = context.overlay.vteps.get(key);
  if (vtep?.namespace === namespace) await loseVtep(context, vtep, `the namespace ${namespace.path} is gone`);
}

/** The interface that groups of a VTEP were joined on was made anew: the VTEP is given up, and `reopenTunnel` joins them there. */
export async function groupsMoved(context: Context, key: string): Promise<void> {
  const vtep = context.overlay.vteps.get(key);
  if (vtep === undefined || !(await hasMovedGroup(context, vtep))) return;
  await loseVtep(context, vtep, 'the interface of its multicast groups was made anew');
}

/** Overlay networks that should have a tunnel and have none. */
export function lostTunnels(context: Context): NetworkRecord[] {
  const { state, overlay } = context;
  return [...state.networks.values()].filter(({ spec }) => spec.overlay !== null && !overlay.tunnels.has(spec.name));
}

/** Tries again what was lost. Rejects when it is still not to be had, and has changed nothing then. */
export async function reopenTunnel(context: Context, transaction: Transaction, record: NetworkRecord): Promise<void> {
  const { name } = record.spec;
  if (context.state.networks.get(name) !== record || context.overlay.tunnels.has(name)) return;
  await openTunnel(context, transaction, record, true);
  const message = `the VTEP of network ${name} is back`;
  transaction.emit({ type: 'vtep-restored', object: 'network', name, message });
}

/** At the end of the daemon: descriptors are closed, everything else stays for the next one. */
export function releaseVteps(context: Context): void {
  for (const { tap } of context.underlayAttachments.values()) context.kernel.releaseTap(tap);
  for (const vtep of context.overlay.vteps.values()) closeNamespace(context, vtep);
}

function describeTunnel(context: Context, { spec }: NetworkRecord, vtep: Vtep): void {
  const { name, overlay } = spec;
  if (overlay === null) return;
  const others = context.cluster?.vtepsOf(name) ?? [];
  const floods = new Set([...overlay.peers, ...(overlay.group === null ? [] : [overlay.group]), ...others]);
  // A cluster may know this very host by another name for a moment.
  floods.delete(vtep.address);
  context.ports.setTunnel(name, { vtep: vtep.key, floods: [...floods] });
}

async function loseVtep(context: Context, vtep: Vtep, reason: string): Promise<void> {
  await discard(context, attachmentsOf(vtep));
  const networks = [...vtep.networks];
  for (const name of networks) {
    context.overlay.tunnels.delete(name);
    context.ports.setTunnel(name, null);
  }
  vtep.networks.clear();
  await forgetVtep(context, vtep);
  if (vtep.underlay === 'tap') {
    await syncRouting(context, vtep.namespace).catch((error: Error) => {
      warn(context, `the routing for VTEP ${vtep.key} gave trouble: ${error.message}`, 'daemon', 'weftd');
    });
  }
  closeNamespace(context, vtep);
  for (const name of networks) lose(context, name, reason);
  await context.ports.publish();
}

function lose(context: Context, name: string, reason: string): void {
  const message = `network ${name} has no VTEP: ${reason}; weft goes on trying`;
  warn(context, message, 'network', name);
  context.events.add({ type: 'vtep-lost', object: 'network', name, message });
}
