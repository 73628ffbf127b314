/**
 * How the namespace of an underlay reaches other VTEPs: over which interfaces, how large a packet may be on them, which address of
 * this host they see. Found out from routes and interfaces, nothing is changed.
 */
import { type Family, type Ip, parseIp } from '../../model/ip.js';
import type { OverlaySpec } from '../../model/network.js';
import { overlayOverhead } from '../../model/overlay-mtu.js';
import { RequestError } from '../../model/problems.js';
import type { FoundLink, FoundRoute, Kernel, Namespace } from '../kernel/kernel.js';
import { placeOf } from '../open-place.js';

/** Where there is no way to the peers yet. */
const USUAL_MTU = 1500;
const MTU_MIN = 68;
/** RFC 8200 section 5. */
const IPV6_MTU_MIN = 1280;

export interface UnderlayPath {
  family: Family;
  /** Smallest MTU on the way to the peers as far as this host knows it. */
  mtu: number;
  /** Interfaces towards the peers, in the order of the peers; where they are none, that of the default route. */
  links: FoundLink[];
}

/** Of the VTEP, of the peers, of the group; IPv4 when nothing says. */
export function familyOf({ vtep, peers, group }: Pick<OverlaySpec, 'vtep' | 'peers' | 'group'>): Family {
  const text = vtep ?? peers[0] ?? group;
  return text?.includes(':') ? 6 : 4;
}

export async function findPath(kernel: Kernel, namespace: Namespace, overlay: OverlaySpec): Promise<UnderlayPath> {
  const family = familyOf(overlay);
  const routes = await kernel.routes(namespace);
  const names = new Set<string>();
  if (overlay.groupInterface !== null) names.add(overlay.groupInterface);
  for (const peer of overlay.peers) {
    const device = deviceTowards(routes, peer);
    if (device !== null) names.add(device);
  }
  const general = defaultDevice(routes, family);
  if (names.size === 0 && general !== null) names.add(general);
  const links: FoundLink[] = [];
  for (const name of names) {
    const link = await kernel.findInterface(namespace, name);
    if (link !== null) links.push(link);
  }
  if (links.length === 0) links.push(...(await linksAround(kernel, namespace, overlay.vtep, family)));
  const mtu = links.length === 0 ? USUAL_MTU : Math.min(...links.map((link) => link.mtu));
  return { family, mtu, links };
}

/** What stations of the overlay network may send, for packets of `underlayMtu`. */
export function overlayMtu(
  underlayMtu: number,
  family: Family,
  innerVlan: OverlaySpec['innerVlan'],
  hasIpv6: boolean,
): number {
  return Math.max(underlayMtu - overlayOverhead(family, innerVlan), hasIpv6 ? IPV6_MTU_MIN : MTU_MIN);
}

/** Largest outer packet of a network with this MTU. */
export function outerBytes(networkMtu: number, family: Family, innerVlan: OverlaySpec['innerVlan']): number {
  return networkMtu + overlayOverhead(family, innerVlan);
}

/** The address of this host that the peers see, for underlay `socket`. */
export function ownAddress({ family, links }: UnderlayPath, namespace: Namespace): string {
  for (const { addresses } of links) {
    const found = addresses.map(bare).find((text) => isOf(family, text));
    if (found !== undefined) return found;
  }
  const message = `${placeOf(namespace)} has no IPv${family} address towards its default route or the peers`;
  throw new RequestError('conflict', message, 'name the address of this host that the other VTEPs know, with --vtep');
}

/** Name of the interface that has the address; null when none has. */
export async function ownerOf(kernel: Kernel, namespace: Namespace, address: string): Promise<string | null> {
  for (const ifname of await kernel.interfaceNames(namespace)) {
    const link = await kernel.findInterface(namespace, ifname);
    if (link?.addresses.some((text) => bare(text) === address)) return ifname;
  }
  return null;
}

/** The interface `ifname`, or (null) the one that leads to the address; null: there is none. */
export async function linkTowards(
  kernel: Kernel,
  namespace: Namespace,
  address: string,
  ifname: string | null,
): Promise<FoundLink | null> {
  const name = ifname ?? deviceTowards(await kernel.routes(namespace), address);
  return name === null ? null : kernel.findInterface(namespace, name);
}

/** Whether another interface has the name of one that was found before; one that is away now may come back as it was. */
export async function isAnotherLink(
  kernel: Kernel,
  namespace: Namespace,
  { ifname, index }: Pick<FoundLink, 'ifname' | 'index'>,
): Promise<boolean> {
  const present = await kernel.findInterface(namespace, ifname);
  return present !== null && present.index !== index;
}

/** The interface on whose segment the address is: there somebody has to answer for it. null: it has to be routed. */
export function segmentOf(routes: readonly FoundRoute[], address: string): string | null {
  return deviceTowards(
    routes.filter(({ destination, gateway }) => gateway === null && !destination.endsWith('/0')),
    address,
  );
}

/** The interface that has the address, or whose subnet it lies in; where none is given, the only one with addresses of the family. */
async function linksAround(
  kernel: Kernel,
  namespace: Namespace,
  vtep: string | null,
  family: Family,
): Promise<FoundLink[]> {
  const ip = vtep === null ? null : parseIp(vtep);
  const found: FoundLink[] = [];
  for (const ifname of await kernel.interfaceNames(namespace)) {
    const link = ifname === 'lo' ? null : await kernel.findInterface(namespace, ifname);
    const isWanted = (text: string) => (ip === null ? isOf(family, text) : isAround(text, ip));
    if (link?.addresses.some(isWanted)) found.push(link);
  }
  return ip === null && found.length > 1 ? [] : found.slice(0, 1);
}

/** The longest prefix wins, then the smallest metric. */
function deviceTowards(routes: readonly FoundRoute[], address: string): string | null {
  const ip = parseIp(address);
  if (ip === null) return null;
  const fitting = routes.filter(({ destination }) => isAround(destination, ip));
  fitting.sort((a, b) => lengthOf(b) - lengthOf(a) || a.metric - b.metric);
  return fitting[0]?.device ?? null;
}

function defaultDevice(routes: readonly FoundRoute[], family: Family): string | null {
  const destination = family === 4 ? '0.0.0.0/0' : '::/0';
  const found = routes.filter((route) => route.destination === destination).sort((a, b) => a.metric - b.metric);
  return found[0]?.device ?? null;
}

/** Whether `text`, a CIDR with or without bits of a host, has the address in it. */
function isAround(text: string, ip: Ip): boolean {
  const [address = '', length = ''] = text.split('/');
  const other = parseIp(address);
  if (other === null || other.family !== ip.family) return false;
  const shift = BigInt((ip.family === 4 ? 32 : 128) - Number(length));
  return other.value >> shift === ip.value >> shift;
}

function lengthOf({ destination }: FoundRoute): number {
  return Number(destination.split('/')[1]);
}

function isOf(family: Family, text: string): boolean {
  return text.includes(':') === (family === 6);
}

function bare(text: string): string {
  return text.split('/')[0] ?? text;
}
