/** What happens to the lab from outside, without a request: ports that fail, namespaces that end, a worker that dies. */
import { getSystemErrorName } from 'node:util';
import { loseCompartment } from './compartments.js';
import { type Context, warn } from './context.js';
import { replaceDns } from './dns/dns-plugging.js';
import { degradeEndpoint } from './endpoints.js';
import type { Namespace } from './kernel/kernel.js';
import type { MutationQueue } from './mutation-queue.js';
import { createHostAttachment } from './networks.js';
import { groupsMoved, lostTunnels, reopenTunnel, vtepFailed, vtepGone } from './overlay/tunnels.js';
import { renewSegment } from './overlay/vteps.js';
import { discard, plugIn } from './plugging.js';
import type { Attachment } from './port-table.js';
import type { Transaction } from './transaction.js';
import { lostUplinks, reopenUplink, uplinkFailed } from './uplinks/uplinks.js';

/** asm-generic/errno.h; libuv does not know it. */
const EBADFD = 77;

/** A lost uplink is looked for this often. */
const RETRY_MS = 2000;

/** Calls back into the queue from now on. */
export function watchDatapath(context: Context, queue: MutationQueue): void {
  context.datapath.onFault((port, errno) => {
    const broken = context.ports.attachmentAt(port);
    if (broken === null) return;
    const { serial } = broken;
    later(context, queue, 'port fault', async (transaction) => {
      // By the time that it is its turn, the row may belong to somebody else.
      if (context.ports.attachmentAt(port) !== broken || broken.serial !== serial) return;
      if (broken.role === 'host') await replaceHost(context, transaction, broken, errno);
      else if (broken.role === 'uplink') await uplinkFailed(context, broken, whyBroken(broken, errno));
      else if (broken.role === 'underlay') await vtepFailed(context, broken, whyBroken(broken, errno));
      else if (broken.role === 'service') await replaceDns(context, transaction, broken);
      else await degradeEndpoint(context, transaction, broken, whyBroken(broken, errno));
    });
  });
  context.datapath.onRestart((reason) => {
    // The log has the whole stack, from datapath-client.ts.
    const message = `the datapath worker died and was started again: ${reason.split('\n', 1)[0]}`;
    warn(context, message, 'daemon', 'weftd');
    context.events.add({ type: 'worker-restarted', object: 'daemon', name: 'weftd', message });
  });
}

/** For `Context.onNamespaceGone`. */
export function loseLater(context: Context, queue: MutationQueue, compartment: string, namespace: Namespace): void {
  later(context, queue, 'namespace gone', (transaction) =>
    loseCompartment(context, transaction, compartment, namespace),
  );
}

/** For `Context.onUplinkGone`. */
export function loseUplinkLater(context: Context, queue: MutationQueue, network: string, namespace: Namespace): void {
  later(context, queue, 'namespace of an uplink gone', async () => {
    const attachment = context.uplinkAttachments.get(network);
    if (context.uplinks.get(network)?.namespace !== namespace || attachment === undefined) return;
    await uplinkFailed(context, attachment, `the namespace ${namespace.path} is gone`);
  });
}

/** For `Context.onVtepGone`. */
export function loseVtepLater(context: Context, queue: MutationQueue, key: string, namespace: Namespace): void {
  later(context, queue, 'namespace of a VTEP gone', () => vtepGone(context, key, namespace));
}

/**
 * Looks now and then whether a lost uplink or VTEP can be had again (an interface is back, a namespace was made), and after what the
 * kernel forgets of VTEPs with the interfaces of the machine. Until `stop`.
 */
export function retryUplinks(context: Context, queue: MutationQueue): { stop(): void } {
  const timer = setInterval(() => {
    for (const record of lostUplinks(context)) {
      queue.runAfterSave('uplink', (transaction) => reopenUplink(context, transaction, record)).catch(() => {}); // still lost
    }
    for (const { key, underlay, groups } of context.overlay.vteps.values()) {
      if (underlay === 'tap') later(context, queue, 'segment of a VTEP', () => renewSegment(context, key));
      if (groups.size > 0) later(context, queue, 'groups of a VTEP', () => groupsMoved(context, key));
    }
    for (const record of lostTunnels(context)) {
      queue.runAfterSave('VTEP', (transaction) => reopenTunnel(context, transaction, record)).catch(() => {}); // still lost
    }
  }, RETRY_MS).unref();
  return { stop: () => clearInterval(timer) };
}

function later(
  context: Context,
  queue: MutationQueue,
  what: string,
  work: (transaction: Transaction) => Promise<void>,
): void {
  queue.runAfterSave(what, work).catch((error: unknown) => {
    context.log.error({ change: what, error: String(error) }, 'a disturbance could not be handled completely');
  });
}

function whyBroken({ request }: Attachment, errno: number): string {
  if (errno === EBADFD) return `its interface ${request.ifname} was removed by another program`;
  return `its interface ${request.ifname} failed (${getSystemErrorName(-errno)})`;
}

/** The host vNIC is weft's alone, so it is made anew at once. */
async function replaceHost(
  context: Context,
  transaction: Transaction,
  broken: Attachment,
  errno: number,
): Promise<void> {
  const { network } = broken;
  warn(context, `the host vNIC of network ${network}: ${whyBroken(broken, errno)}`, 'network', network);
  await discard(context, [broken]);
  const record = context.state.network(network);
  const attachment = await createHostAttachment(context, transaction, record);
  await plugIn(context, transaction, attachment, null);
}
