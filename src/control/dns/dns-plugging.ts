/**
 * The DNS server of a network as a part of the lab: a TAP in the service namespace that has the gateway's MAC and addresses and
 * is a port of the network, and sockets on it. The router hands it what is for port 53 of the gateway, and takes its answers
 * like any packet that is to be routed.
 *
 *   compartment -> network -> router -> service TAP -> kernel of the service namespace -> socket -> Responder
 *
 * Nothing of it outlives the daemon: the namespace has no name.
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import { type Context, warn } from '../context.js';
import type { Namespace, TapRequest } from '../kernel/kernel.js';
import { createAttachment, discard, plugIn, unplug } from '../plugging.js';
import type { Attachment } from '../port-table.js';
import { Transaction } from '../transaction.js';
import { servesDns } from './zone-source.js';

/** Makes what the network's settings say: a server, or none. */
export async function updateDns(context: Context, transaction: Transaction, record: NetworkRecord): Promise<void> {
  const { name } = record.spec;
  const attachment = context.serviceAttachments.get(name);
  if (attachment === undefined) {
    if (servesDns(record)) await plug(context, transaction, record);
  } else if (servesDns(record)) {
    await adapt(context, transaction, attachment, requestOf(context, record));
  } else {
    await removeDns(context, transaction, name);
  }
}

export async function removeDns(context: Context, transaction: Transaction, network: string): Promise<void> {
  const attachment = context.serviceAttachments.get(network);
  if (attachment === undefined) return;
  // Registered first, so that it is taken back last, when the TAP is there again.
  transaction.onUndo('serve DNS', () => open(context, attachment));
  close(context, network);
  await unplug(context, transaction, [attachment]);
  transaction.onCommit('close the service namespace', () => closeNamespace(context));
}

/** When the daemon starts: as `updateDns`, but what fails leaves a network without DNS, not the lab without a network. */
export async function restoreDns(context: Context): Promise<void> {
  for (const record of context.state.networks.values()) {
    if (!servesDns(record)) continue;
    const transaction = new Transaction();
    try {
      await plug(context, transaction, record);
    } catch (error) {
      await transaction.rollback(() => {});
      const { name } = record.spec;
      warn(context, `network ${name} has no DNS server: ${(error as Error).message}`, 'network', name);
    }
  }
}

/** The datapath had to take the port out of service: both of its ends are weft's alone, so they are made anew. */
export async function replaceDns(context: Context, transaction: Transaction, broken: Attachment): Promise<void> {
  close(context, broken.network);
  await discard(context, [broken]);
  await plug(context, transaction, context.state.network(broken.network));
}

/** The daemon ends: nobody is answered any more. */
export function closeDns(context: Context): void {
  for (const network of [...context.dns.servers.keys()]) close(context, network);
}

/** The daemon ends, and the datapath has let go of the TAPs. */
export function releaseDns(context: Context): void {
  for (const { tap } of context.serviceAttachments.values()) context.kernel.releaseTap(tap);
  context.serviceAttachments.clear();
  closeNamespace(context);
}

async function plug(context: Context, transaction: Transaction, record: NetworkRecord): Promise<void> {
  const namespace = await openNamespace(context, transaction);
  const { name } = record.spec;
  const request = requestOf(context, record);
  const attachment = await createAttachment(context, transaction, {
    network: name,
    role: 'service',
    endpoint: null,
    namespace,
    request,
  });
  await plugIn(context, transaction, attachment, null);
  transaction.onUndo('serve DNS', () => close(context, name));
  open(context, attachment);
}

function requestOf(context: Context, { spec, gatewayMac, addresses, id }: NetworkRecord): TapRequest {
  return {
    kind: 'service',
    // Rows are unique; the name of a network may be too long for an interface.
    ifname: `dns${context.ports.rowOfNetwork(spec.name)}`,
    alias: `${context.state.aliasPrefix}service.${id}`,
    mac: gatewayMac ?? '',
    mtu: spec.mtu,
    addresses: spec.gateway.map((address) => addresses.withPrefix(address)),
    routes: [],
    offload: true,
    hostSide: true,
  };
}

/** Only the MTU of a living network can change. */
async function adapt(
  context: Context,
  transaction: Transaction,
  attachment: Attachment,
  request: TapRequest,
): Promise<void> {
  const former = attachment.request;
  if (request.mtu === former.mtu) return;
  const apply = async (next: TapRequest) => {
    attachment.request = next;
    await context.kernel.updateTap(attachment.namespace, attachment.tap, next);
  };
  transaction.onUndo('set MTU', () => apply(former));
  await apply(request);
}

function open({ dns, log }: Context, { namespace, request, network }: Attachment): void {
  const addresses = request.addresses.map((text) => text.slice(0, text.indexOf('/')));
  const onError = (error: Error) => log.error({ network, error: String(error) }, 'a socket of DNS failed');
  const responder = dns.service.responderOf(network);
  dns.servers.set(network, dns.serve(namespace, request.ifname, addresses, responder, onError));
}

function close({ dns }: Context, network: string): void {
  dns.servers.get(network)?.close();
  dns.servers.delete(network);
}

async function openNamespace(context: Context, transaction: Transaction): Promise<Namespace> {
  const { dns, kernel } = context;
  if (dns.namespace !== null) return dns.namespace;
  dns.namespace = await kernel.makeServiceNamespace();
  transaction.onUndo('make the service namespace', () => closeNamespace(context));
  return dns.namespace;
}

/** Unless somebody still uses it. */
function closeNamespace({ dns, kernel, serviceAttachments }: Context): void {
  if (dns.namespace === null || serviceAttachments.size > 0) return;
  kernel.closeNamespace(dns.namespace);
  dns.namespace = null;
}
