/**
 * What networks and endpoints take of the outside, and who has it already: external addresses and published ports.
 *
 * Networks whose uplink shares the addresses of a namespace (`host`, `raw`) share its ports too; with `nic` a network has
 * addresses of its own. Namespaces are told apart by their paths.
 */
import type { EndpointSpec } from './endpoint.js';
import { contains, parseIp, parseSubnet } from './ip.js';
import type { NetworkSpec } from './network.js';
import { RequestError } from './problems.js';
import {
  doClash,
  formatPublished,
  isEveryAddress,
  isOfFamily,
  type PublishedPort,
  publishedPorts,
} from './published-port.js';
import { uplinkKind } from './uplink-request.js';

/** Whose ports are the same have the same text; null when there is no outside. */
export function outsideOf(spec: NetworkSpec): string | null {
  const known = outsides.get(spec);
  if (known !== undefined) return known;
  const outside = findOutside(spec);
  outsides.set(spec, outside);
  return outside;
}

/** Of specs that were asked for before. A change always makes a new spec. */
const outsides = new WeakMap<NetworkSpec, string | null>();

function findOutside(spec: NetworkSpec): string | null {
  const uplink = uplinkKind(spec.uplink);
  if (uplink === null || uplink.kind === 'none') return null;
  return uplink.kind === 'nic' ? `network ${spec.name}` : `namespace ${spec.uplinkNetns ?? ''}`;
}

/** External addresses of a network, those of single endpoints too. */
export function externalAddresses(spec: NetworkSpec): string[] {
  return [...spec.externalIp, ...(spec.nat?.static ?? []).map(({ external }) => external)];
}

/** Throws `RequestError` conflict when an address or prefix that the network takes outside belongs to somebody. */
export function checkExternal(spec: NetworkSpec, others: Iterable<NetworkSpec>): void {
  const own = externalAddresses(spec);
  const twice = own.find((text, index) => own.indexOf(text) !== index);
  if (twice !== undefined) {
    const message = `${twice} is an external address of the network and also that of one endpoint (static)`;
    throw new RequestError('conflict', message, 'take it out of externalIp or out of static');
  }
  for (const other of others) {
    if (other.name === spec.name) continue;
    const taken = own.find((text) => externalAddresses(other).includes(text));
    if (taken !== undefined && spec.uplinkNetns === other.uplinkNetns) {
      const message = `${taken} is an external address of network ${other.name} already`;
      throw new RequestError('conflict', message, 'choose another external address');
    }
    checkInside(own, other);
    checkInside(externalAddresses(other), spec, other.name);
    checkPrefixes(spec, other);
    checkSharedPorts(spec, other);
  }
}

/** `whose`: the network that the addresses belong to, when it is not the one that is asked for. */
function checkInside(addresses: readonly string[], network: NetworkSpec, whose?: string): void {
  for (const text of addresses) {
    const subnet = network.subnets.find((candidate) => isIn(text, candidate));
    if (subnet === undefined) continue;
    const what = whose === undefined ? `external address ${text}` : `external address ${text} of network ${whose}`;
    const message = `${what} lies inside subnet ${subnet} of network ${network.name}`;
    throw new RequestError('conflict', message, 'choose another address or another subnet');
  }
}

function checkPrefixes(spec: NetworkSpec, other: NetworkSpec): void {
  const prefix = spec.nat?.prefix ?? null;
  if (prefix === null || prefix !== (other.nat?.prefix ?? null)) return;
  const message = `${prefix} is the external prefix of network ${other.name} already`;
  throw new RequestError('conflict', message, 'choose another prefix');
}

/** With `raw` two networks share one address by sharing out its ports. */
function checkSharedPorts(spec: NetworkSpec, other: NetworkSpec): void {
  if (spec.uplink !== 'raw' || other.uplink !== 'raw' || spec.uplinkNetns !== other.uplinkNetns) return;
  const [own, theirs] = [spec.nat?.ports, other.nat?.ports];
  if (own === undefined || theirs === undefined || own.first > theirs.last || theirs.first > own.last) return;
  const message =
    `external ports ${own.first}-${own.last} overlap those of network ${other.name} (${theirs.first}-${theirs.last}), ` +
    'which shares the address of the same namespace';
  throw new RequestError('conflict', message, 'give each of them a range of its own with nat.ports (--ports)');
}

function isIn(address: string, subnet: string): boolean {
  const ip = parseIp(address);
  const read = parseSubnet(subnet);
  return ip !== null && read.ok && contains(read.value, ip);
}

type Publisher = Pick<EndpointSpec, 'name' | 'publish'>;

/** Throws `RequestError` when the network cannot publish a port, or another endpoint has it (`others`: whoever may). */
export function checkPublished(
  endpoint: Publisher,
  network: NetworkSpec,
  others: Iterable<{ endpoint: Publisher; network: NetworkSpec }>,
): void {
  const ports = publishedPorts(endpoint.publish);
  if (ports.length === 0) return;
  for (const port of ports) checkPublishable(port, network);
  const outside = outsideOf(network);
  for (const other of others) {
    if (other.endpoint.name === endpoint.name || outsideOf(other.network) !== outside) continue;
    for (const theirs of publishedPorts(other.endpoint.publish)) {
      const mine = ports.find((port) => doCollide(port, network, theirs, other.network));
      if (mine === undefined) continue;
      const message = `${formatPublished(mine)} is taken: endpoint ${other.endpoint.name} publishes ${formatPublished(theirs)}${onNetwork(other.network, network)}`;
      const remedy = doClash(mine, theirs) ? '' : '; only external addresses of the network can share a port';
      throw new RequestError('conflict', message, `choose another host port, or unpublish that one first${remedy}`);
    }
  }
}

/**
 * Ports of one network are told apart by the port alone: in the datapath every address of the host has become the external
 * address. Only external addresses of its own are told apart further.
 */
function doCollide(mine: PublishedPort, network: NetworkSpec, theirs: PublishedPort, other: NetworkSpec): boolean {
  if (doClash(mine, theirs)) return true;
  if (network.name !== other.name) return false;
  const isOwn = ({ hostIp }: PublishedPort) => hostIp !== null && network.externalIp.includes(hostIp);
  return !isOwn(mine) && !isOwn(theirs) && isSameFamily(mine, theirs) && doClash(everywhere(mine), everywhere(theirs));
}

function isSameFamily(a: PublishedPort, b: PublishedPort): boolean {
  return ([4, 6] as const).some((family) => isOfFamily(a, family) && isOfFamily(b, family));
}

function everywhere(port: PublishedPort): PublishedPort {
  return { ...port, hostIp: null };
}

function onNetwork(other: NetworkSpec, network: NetworkSpec): string {
  return other.name === network.name ? '' : ` on network ${other.name}, which shares the outside with ${network.name}`;
}

function checkPublishable(port: PublishedPort, network: NetworkSpec): void {
  const text = formatPublished(port);
  const refuse = (why: string, remedy: string): never => {
    throw new RequestError('conflict', `${text} cannot be published: ${why}`, remedy);
  };
  const { name, type, uplink, externalIp, nat } = network;
  if (nat === null) {
    const why = type === 'overlay' ? 'has no uplink' : `is of type ${type}`;
    refuse(
      `network ${name} ${why}`,
      'only networks with an uplink publish ports: those of type nat, and overlay with uplink',
    );
  } else if (outsideOf(network) === null) {
    refuse(`network ${name} has no uplink`, 'create the network with an uplink');
  } else if (!familiesOf(network).some((family) => isOfFamily(port, family))) {
    const isV6 = port.hostIp?.includes(':') === true;
    const why = isV6
      ? `network ${name} has no IPv6 subnet whose ports are translated`
      : `network ${name} has no IPv4 subnet`;
    refuse(why, 'leave the host address out, or name one of the other family');
  } else if (uplink === 'host' && port.hostIp === '::1') {
    refuse('Linux forwards nothing from ::1', 'publish it for 127.0.0.1, or for an address of the machine');
  } else if (uplink?.startsWith('nic:') && !isEveryAddress(port) && !externalIp.includes(port.hostIp ?? '')) {
    refuse(`${port.hostIp} is no external address of network ${name}`, `it has ${externalIp.join(', ')}`);
  }
}

/** Families of which ports are translated. IPv6 that is routed or has its prefix translated is reached at its own address. */
export function familiesOf({ subnets, nat }: NetworkSpec): (4 | 6)[] {
  const has4 = subnets.some((text) => !text.includes(':'));
  const has6 = subnets.some((text) => text.includes(':')) && nat?.ipv6 === 'nat66';
  return [...(has4 ? [4 as const] : []), ...(has6 ? [6 as const] : [])];
}
