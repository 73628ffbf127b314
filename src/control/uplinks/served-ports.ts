/**
 * Ports that programs of the machine serve. Published, they would silently be taken away from those programs, so whoever asks for one is
 * refused. What is published already stays, whatever programs do later.
 */
import type { EndpointSpec } from '../../model/endpoint.js';
import { contains, parseIp, parseSubnet } from '../../model/ip.js';
import type { NetworkSpec } from '../../model/network.js';
import { externalAddresses, familiesOf } from '../../model/outside.js';
import { RequestError } from '../../model/problems.js';
import { isEveryAddress, isOfFamily, type PublishedPort, publishedFrom } from '../../model/published-port.js';
import type { Context } from '../context.js';
import type { FoundListener, SocketOwner } from '../kernel/kernel.js';
import { placeOf } from '../open-place.js';
import { isRouted, type Uplink } from './uplink.js';

/** What a namespace hears at although it is none of its own addresses: published ports leave that alone. */
const GROUPS = ['224.0.0.0/3', 'ff00::/8'].map(parseSubnet);

/**
 * Throws `RequestError` conflict, with the name of the program, when one serves a port that the endpoint publishes and did not before
 * (`former`).
 */
export async function checkServed(
  context: Context,
  { network, publish }: EndpointSpec,
  former: readonly string[] = [],
): Promise<void> {
  const uplink = context.uplinks.get(network);
  const added = publish.filter((text) => !former.includes(text));
  if (added.length === 0 || uplink === undefined || !isRouted(uplink)) return;
  const { spec } = context.state.network(network);
  const tables = new Map<string, FoundListener[]>();
  for (const text of added) {
    const port = publishedFrom(text);
    const { protocol } = port;
    const listeners = tables.get(protocol) ?? (await context.kernel.listeners(uplink.namespace, protocol));
    tables.set(protocol, listeners);
    const taken = listeners.filter((listener) => isTaken(port, spec, uplink, listener)).sort((a, b) => a.port - b.port);
    if (taken[0] !== undefined) await refuse(context, uplink, text, taken[0]);
  }
}

/** Whether something of what comes to the listener would come to weft instead. */
function isTaken(
  port: PublishedPort,
  spec: NetworkSpec,
  uplink: Uplink,
  { address, port: number }: FoundListener,
): boolean {
  if (number < port.hostFirst || number > port.hostLast || isGroup(address)) return false;
  if (uplink.kind === 'raw') return [...uplink.segment.external, '0.0.0.0', '::'].includes(address);
  // Addresses of weft's own are not the machine's.
  if (port.hostIp !== null && [...uplink.segment.external, ...externalAddresses(spec)].includes(port.hostIp))
    return false;
  return familiesOf(spec).some((family) => {
    if (!isOfFamily(port, family)) return false;
    // A socket at `::` is taken for one that hears IPv4 too: whether it does (IPV6_V6ONLY) is nowhere to be read.
    if (address === '::' || (family === 4 && address === '0.0.0.0')) return true;
    // Nothing is forwarded from ::1.
    const isEvery = isEveryAddress(port) && address !== '::1' && address.includes(':') === (family === 6);
    return isEvery || address === port.hostIp;
  });
}

function isGroup(address: string): boolean {
  const ip = parseIp(address);
  return ip !== null && GROUPS.some((group) => group.ok && contains(group.value, ip));
}

async function refuse(context: Context, uplink: Uplink, text: string, listener: FoundListener): Promise<never> {
  const { address, port, inode } = listener;
  const owner = await context.kernel.socketOwner(inode);
  const host = address.includes(':') ? `[${address}]` : address;
  const where = `${host}:${port} in ${placeOf(uplink.namespace)}`;
  const message = `${text} cannot be published: ${nameOf(owner)} listens on ${where}`;
  const isPlain = owner === null || owner.isWeft;
  const remedies = ['choose another host port', ...(isPlain ? [] : [`stop ${owner.name}`])];
  const { hostIp } = publishedFrom(text);
  if (hostIp === null && !['0.0.0.0', '::'].includes(address) && uplink.kind === 'host')
    remedies.push(`name the address of the machine that is meant (HOSTIP:${text})`);
  throw new RequestError('conflict', message, remedies.join(', or '));
}

function nameOf(owner: SocketOwner | null): string {
  if (owner === null) return 'the kernel, or a program that weftd does not see,';
  return owner.isWeft ? `weftd itself (pid ${owner.pid})` : `${owner.name} (pid ${owner.pid})`;
}
