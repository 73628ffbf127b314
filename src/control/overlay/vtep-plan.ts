/**
 * What a VTEP is made of, by underlay.
 *
 *   socket   a UDP socket that receives, and senders with ports of their own; the kernel does everything below UDP
 *   tap      a TAP in the namespace, behind which the VTEP is a station of its own: the namespace routes its address there, forwards,
 *            and answers for it on the segment where the address lies, so that others find it routed and on-link
 */
import { createHash } from 'node:crypto';
import { assignMac } from '../../model/mac-assignment.js';
import type { OverlaySpec } from '../../model/network.js';
import { RequestError } from '../../model/problems.js';
import type { Context } from '../context.js';
import type { Namespace, TapRequest, UdpRequest } from '../kernel/kernel.js';
import { placeOf } from '../open-place.js';
import { ownAddress, ownerOf, segmentOf, type UnderlayPath } from './underlay-path.js';
import { aliasOfVtep, keyOf, type Vtep, type VtepPlace, type VtepPlan } from './vtep.js';

/** Source ports, for routers and network cards on the way that spread flows by them (RFC 7348 section 5). */
const SENDERS = 16;

/** Where the VTEP of a network is to be. */
export function placeFor(namespace: Namespace, overlay: OverlaySpec, path: UnderlayPath): VtepPlace {
  const { underlay, port: udpPort, underlayNetns: netns } = overlay;
  return { underlay, address: overlay.vtep ?? ownAddress(path, namespace), udpPort, netns };
}

/** Rejects when the address is one that the underlay cannot have. */
export async function checkPlace(
  context: Context,
  namespace: Namespace,
  { underlay, address, udpPort }: VtepPlace,
): Promise<void> {
  const isEverything = address === '0.0.0.0' || address === '::';
  const owner = isEverything ? null : await ownerOf(context.kernel, namespace, address);
  if (underlay === 'tap' && owner !== null) {
    const message = `${address} is an address of interface ${owner} in ${placeOf(namespace)}`;
    throw new RequestError('conflict', message, 'underlay tap needs one that nobody has; or use underlay socket');
  }
  const other = underlay === 'tap' ? tapWith(context, namespace, address, udpPort) : null;
  if (other !== null) {
    const message = `${address} is a VTEP of UDP port ${other.udpPort} already, and a TAP has one`;
    throw new RequestError('conflict', message, 'choose another address for this port, or use the same port');
  }
  if (underlay === 'socket' && owner === null && !isEverything) {
    const message = `no interface in ${placeOf(namespace)} has the address ${address}`;
    throw new RequestError('conflict', message, 'name an address of this host with --vtep, or use underlay tap');
  }
}

/** A VTEP with another port that has the address; null: none. */
function tapWith({ overlay }: Context, { device, inode }: Namespace, address: string, udpPort: number): Vtep | null {
  const others = [...overlay.vteps.values()].filter((vtep) => vtep.underlay === 'tap' && vtep.udpPort !== udpPort);
  const isThere = ({ namespace }: Vtep) => namespace.device === device && namespace.inode === inode;
  return others.find((vtep) => vtep.address === address && isThere(vtep)) ?? null;
}

export async function planVtep(
  context: Context,
  namespace: Namespace,
  place: VtepPlace,
  mtu: number,
  tunnelOffload: boolean,
): Promise<VtepPlan> {
  return place.underlay === 'socket' ? planSockets(place, mtu) : planTap(context, namespace, place, mtu, tunnelOffload);
}

/** A socket that hears a multicast group: one that is bound to an address of the host hears none. */
export function groupRequest(
  { udpPort, address }: VtepPlace,
  group: string,
  ifname: string | null,
  mtu: number,
): TapRequest {
  const udp = { address: group, port: udpPort, isSender: false, group: { address: group, ifname } };
  return socketRequest(`group ${group} of VTEP ${address}`, mtu, udp);
}

function planSockets({ address, udpPort }: VtepPlace, mtu: number): VtepPlan {
  const receiver = { address, port: udpPort, isSender: false, group: null };
  const sender = { address, port: 0, isSender: true, group: null };
  return {
    receiver: socketRequest(`UDP port ${udpPort} of VTEP ${address}`, mtu, receiver),
    senders: Array.from({ length: SENDERS }, (_, i) => socketRequest(`sender ${i} of VTEP ${address}`, mtu, sender)),
    hostMac: null,
    ownMac: null,
    proxies: [],
  };
}

async function planTap(
  context: Context,
  namespace: Namespace,
  place: VtepPlace,
  mtu: number,
  tunnelOffload: boolean,
): Promise<VtepPlan> {
  const { instance, aliasPrefix } = context.state;
  const { address } = place;
  const key = keyOf(place);
  const hostMac = assignMac(instance, `machine ${key}`, () => false);
  const ownMac = assignMac(instance, key, (mac) => mac === hostMac);
  const segment = segmentOf(await context.kernel.routes(namespace), address);
  return {
    receiver: {
      kind: 'uplink',
      ifname: `weft-vtep-${createHash('sha256').update(`${instance}\0${key}`).digest('hex').slice(0, 5)}`,
      alias: aliasOfVtep(aliasPrefix, key),
      mac: hostMac,
      mtu,
      addresses: [],
      routes: [{ destination: `${address}/${address.includes(':') ? 128 : 32}`, gateway: null, metric: 0 }],
      neighbours: [{ address, mac: ownMac }],
      offload: true,
      tunnelOffload,
      hostSide: true,
    },
    senders: [],
    hostMac,
    ownMac,
    proxies: segment === null ? [] : [{ address, ifname: segment }],
  };
}

function socketRequest(ifname: string, mtu: number, udp: UdpRequest): TapRequest {
  return {
    kind: 'udp',
    ifname,
    alias: '',
    mac: '',
    mtu,
    addresses: [],
    routes: [],
    offload: false,
    hostSide: false,
    udp,
  };
}
