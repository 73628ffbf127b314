/**
 * Puts a TAP into a namespace and its other end into the datapath, and takes both out again: what is common to the
 * endpoints of compartments and to host vNICs. Each function registers how to take itself back.
 */
import type { PortRole } from '../compile/compile-input.js';
import { type Context, warn } from './context.js';
import { inParallel } from './in-parallel.js';
import type { Namespace, TapRequest } from './kernel/kernel.js';
import type { Attachment } from './port-table.js';
import { Transaction } from './transaction.js';

/** The kernel takes some 16 ms to let go of a TAP, in which others can be removed. */
const REMOVALS_AT_ONCE = 16;

export interface Plug {
  network: string;
  role: PortRole;
  /** null unless the role is `endpoint`. */
  endpoint: string | null;
  namespace: Namespace;
  request: TapRequest;
}

/** Makes the TAP, complete with addresses and routes. It is not connected yet. */
export async function createAttachment(context: Context, transaction: Transaction, plug: Plug): Promise<Attachment> {
  const { namespace, request } = plug;
  const tap = await context.kernel.createTap(namespace, request);
  const attachment: Attachment = { ...plug, tap, isOpen: true, port: -1, serial: 0 };
  transaction.onUndo(`create TAP ${request.ifname}`, async () => {
    if (attachment.isOpen) await context.kernel.removeTap(attachment.tap);
  });
  return attachment;
}

/** Connects `added` and disconnects `removed` in one step; frames flow when it resolves. */
export async function reconnect(
  context: Context,
  transaction: Transaction,
  added: readonly Attachment[],
  removed: readonly Attachment[],
): Promise<void> {
  transaction.onUndo('connect ports', async () => {
    const revived = removed.filter(({ isOpen }) => isOpen);
    try {
      await context.ports.change(revived, added);
    } catch (error) {
      for (const attachment of revived) await abandon(context, attachment, error as Error);
      throw error;
    }
  });
  await context.ports.change(added, removed);
}

/** A TAP that a change had disconnected and that cannot be connected again: its endpoint becomes degraded. */
async function abandon(context: Context, attachment: Attachment, error: Error): Promise<void> {
  if (attachment.endpoint !== null) context.reasons.set(attachment.endpoint, error.message);
  await discard(context, [attachment]);
}

/** Disconnects and removes TAPs that are of no use any more, come what may: there is no way back. */
export async function discard(context: Context, removed: readonly Attachment[]): Promise<void> {
  if (removed.length === 0) return;
  try {
    await context.ports.change([], removed);
  } catch (error) {
    context.log.error({ error: String(error) }, 'the datapath refused to let go of a port');
  }
  for (const attachment of removed) unregister(context, attachment);
  await removeTaps(context, new Transaction(), removed);
}

/**
 * Removes TAPs that are disconnected. A TAP that cannot be removed is reported and left for the next start of the daemon
 * to clean up: a request to delete must not fail because of it.
 */
export async function removeTaps(
  context: Context,
  transaction: Transaction,
  removed: readonly Attachment[],
): Promise<void> {
  await inParallel(removed, REMOVALS_AT_ONCE, async (attachment) => {
    const { tap, request, endpoint, network } = attachment;
    transaction.onUndo(`remove TAP ${request.ifname}`, () => revive(context, attachment));
    attachment.isOpen = false;
    try {
      await context.kernel.removeTap(tap);
    } catch (error) {
      const message = `the interface ${request.ifname} could not be removed: ${(error as Error).message}`;
      warn(context, message, endpoint === null ? 'network' : 'endpoint', endpoint ?? network);
    }
  });
}

/** Makes a TAP anew that was removed by a change that is being taken back. */
async function revive(context: Context, attachment: Attachment): Promise<void> {
  const { endpoint, namespace, request } = attachment;
  try {
    attachment.tap = await context.kernel.createTap(namespace, request);
    attachment.isOpen = true;
  } catch (error) {
    if (endpoint !== null) context.reasons.set(endpoint, (error as Error).message);
    throw error;
  }
}

export function register(context: Context, attachment: Attachment): void {
  tableOf(context, attachment).set(keyOf(attachment), attachment);
}

export function unregister(context: Context, attachment: Attachment): void {
  const table = tableOf(context, attachment);
  if (table.get(keyOf(attachment)) === attachment) table.delete(keyOf(attachment));
}

function tableOf(context: Context, { role }: Attachment): Map<string, Attachment> {
  if (role === 'endpoint') return context.attachments;
  if (role === 'underlay') return context.underlayAttachments;
  if (role === 'host') return context.hostAttachments;
  return role === 'uplink' ? context.uplinkAttachments : context.serviceAttachments;
}

/** A VTEP has several: their interfaces or sockets tell them apart. */
function keyOf({ endpoint, network, role, request }: Attachment): string {
  return role === 'underlay' ? `${network} ${request.ifname}` : (endpoint ?? network);
}

/** Registers and connects an attachment; `former`, of the same endpoint, is taken out in the same step. */
export async function plugIn(
  context: Context,
  transaction: Transaction,
  attachment: Attachment,
  former: Attachment | null,
): Promise<void> {
  transaction.onUndo('register TAP', () => {
    if (former?.isOpen) register(context, former);
    else unregister(context, attachment);
  });
  register(context, attachment);
  const removed = former === null ? [] : [former];
  await reconnect(context, transaction, [attachment], removed);
  await removeTaps(context, transaction, removed);
}

/** Registers and connects several attachments in one step. */
export async function plugInAll(
  context: Context,
  transaction: Transaction,
  attachments: readonly Attachment[],
): Promise<void> {
  transaction.onUndo('register TAPs', () => {
    for (const attachment of attachments) unregister(context, attachment);
  });
  for (const attachment of attachments) register(context, attachment);
  await reconnect(context, transaction, attachments, []);
}

/** Disconnects TAPs and removes them. */
export async function unplug(
  context: Context,
  transaction: Transaction,
  removed: readonly Attachment[],
): Promise<void> {
  if (removed.length === 0) return;
  await reconnect(context, transaction, [], removed);
  transaction.onUndo('forget TAP', () => {
    for (const attachment of removed) if (attachment.isOpen) register(context, attachment);
  });
  for (const attachment of removed) unregister(context, attachment);
  await removeTaps(context, transaction, removed);
}
