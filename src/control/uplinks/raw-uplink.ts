/**
 * Uplink of kind `raw`: shares an IPv4 address of the machine (of its namespace), of which a range of ports is weft's. Needs no
 * interface, no route and no forwarding; every packet passes this thread, so it is for machines where nothing else is
 * allowed, not for speed.
 *
 * To the router the outside is one station on a segment of its own, which answers no ARP: the dummy address of RFC 7600.
 */
import type { UplinkSegment } from '../../compile/uplink-segment.js';
import type { NetworkRecord } from '../../model/desired-state.js';
import { parseIp } from '../../model/ip.js';
import { assignMac } from '../../model/mac-assignment.js';
import { RequestError } from '../../model/problems.js';
import type { Context } from '../context.js';
import type { FoundLink, Namespace } from '../kernel/kernel.js';
import { placeOf } from '../open-place.js';
import { framesOf, isForWeft, type OwnPorts } from './raw-packet.js';
import type { UplinkPlan } from './uplink.js';

/** RFC 7600 section 4.8: the IPv4 dummy address, which no station has. */
const NEXT_HOP = '192.0.0.8';
/** What the pipe to the sockets takes in one piece (native openFramePipe), less the Ethernet header. */
const LARGEST_MTU = 4096 - 14;
const ETHERTYPE_IPV4 = [0x08, 0x00];

export async function planRawUplink(
  context: Context,
  record: NetworkRecord,
  namespace: Namespace,
): Promise<UplinkPlan> {
  const { spec } = record;
  const link = await sharedLink(context, namespace, spec.externalIp);
  const address = spec.externalIp[0] ?? firstIpv4(link);
  await checkPorts(context, record, namespace);
  const mac = assignMac(context.state.instance, `machine ${spec.name}`, () => false);
  const mtu = Math.min(link.mtu, LARGEST_MTU);
  return {
    transit: [],
    warnings: warningsOf(record),
    request: {
      kind: 'raw',
      ifname: `raw sockets of ${spec.name}`,
      alias: '',
      mac,
      mtu,
      addresses: [],
      routes: [],
      offload: false,
      hostSide: false,
      deliver: delivery(context, record, mac),
    },
    segment: {
      mtu,
      own: [`${address}/32`],
      external: [address],
      nextHops: [NEXT_HOP],
      neighbours: [{ address: NEXT_HOP, mac }],
    },
  };
}

function warningsOf({ spec }: NetworkRecord): string[] {
  if (!spec.subnets.some((subnet) => subnet.includes(':'))) return [];
  return [`network ${spec.name}: uplink raw carries IPv4 only, IPv6 does not leave the network`];
}

/** Which packets of those that come to the address are weft's. */
export function ownPorts(ranges: Record<'tcp' | 'udp', readonly { first: number; last: number }[]>): OwnPorts {
  const has = (list: readonly { first: number; last: number }[]) => (port: number) =>
    list.some(({ first, last }) => first <= port && port <= last);
  // Identifiers of echo requests are given out like ports: from the first range.
  return { hasTcp: has(ranges.tcp), hasUdp: has(ranges.udp), hasIcmp: has(ranges.tcp.slice(0, 1)) };
}

/** Puts what is for weft into the datapath, as if it had come in at the port. */
function delivery(context: Context, record: NetworkRecord, mac: string): (packet: Buffer) => void {
  const { name } = record.spec;
  const header = Uint8Array.from([...macBytes(record.uplinkMac ?? mac), ...macBytes(mac), ...ETHERTYPE_IPV4]);
  let segment: UplinkSegment | null = null;
  const address = new Uint8Array(4);
  return (packet) => {
    const uplink = context.uplinks.get(name);
    const attachment = context.uplinkAttachments.get(name);
    if (!uplink?.ports || attachment === undefined || attachment.port < 0) return;
    // The address that is shared may become another one, when the machine gets another one.
    if (uplink.segment !== segment) {
      segment = uplink.segment;
      address.set(segment.external[0]!.split('.').map(Number));
    }
    if (!isForWeft(packet, address, uplink.ports)) return;
    for (const { frame, unfinished } of framesOf(packet, header, segment.mtu)) {
      context.injector.write(attachment.port, attachment.serial, frame, unfinished);
    }
    context.datapath.wake();
  };
}

/** The interface that has the address, else the one that the default route leads over. */
async function sharedLink(context: Context, namespace: Namespace, asked: readonly string[]): Promise<FoundLink> {
  const { kernel } = context;
  if (asked.length > 1 || asked.some((address) => parseIp(address)?.family !== 4)) {
    const message = 'uplink raw shares one IPv4 address of the machine';
    throw new RequestError('conflict', message, 'name one of its addresses, or none');
  }
  if (asked.length === 1) {
    for (const ifname of await kernel.interfaceNames(namespace)) {
      const link = await kernel.findInterface(namespace, ifname);
      if (link?.addresses.some((text) => text.split('/')[0] === asked[0])) return link;
    }
    const message = `${asked[0]} is no address of ${placeOf(namespace)}`;
    throw new RequestError('conflict', message, 'name an address that one of its interfaces has');
  }
  const routes = (await kernel.routes(namespace)).filter(({ destination }) => destination === '0.0.0.0/0');
  const [best] = routes.sort((a, b) => a.metric - b.metric);
  const link = best === undefined ? null : await kernel.findInterface(namespace, best.device);
  if (link !== null && firstIpv4(link) !== '') return link;
  const message = `${placeOf(namespace)} has no IPv4 address towards a default route`;
  throw new RequestError('conflict', message, 'name the address to share with externalIp');
}

function firstIpv4({ addresses }: FoundLink): string {
  return addresses.map((text) => text.split('/')[0] ?? '').find((text) => !text.includes(':')) ?? '';
}

/** The kernel must not give one of weft's ports to a connection of its own. */
async function checkPorts(context: Context, { spec }: NetworkRecord, namespace: Namespace): Promise<void> {
  const { first, last } = spec.nat?.ports ?? { first: 0, last: 0 };
  const local = await context.kernel.localPorts(namespace);
  if (last < local.first || local.last < first) return;
  const message = `ports ${first}-${last} overlap those that the machine takes itself (${local.first}-${local.last})`;
  throw new RequestError('conflict', message, 'choose others (--ports), or narrow net.ipv4.ip_local_port_range');
}

function macBytes(text: string): number[] {
  return text.split(':').map((part) => Number.parseInt(part, 16));
}
