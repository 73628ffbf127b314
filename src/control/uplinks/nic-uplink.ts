/**
 * Uplink of kind `nic:IF`: an interface that exists and stays somebody else's. weft is a station of its own on its segment,
 * with a MAC and addresses that nobody else has, like a container on macvlan; and as there, the machine itself and weft do
 * not hear each other on that interface.
 */
import type { NetworkRecord } from '../../model/desired-state.js';
import { contains, type Ip, parseIp, type Subnet, subnetOf } from '../../model/ip.js';
import { RequestError } from '../../model/problems.js';
import type { Context } from '../context.js';
import type { FoundLink, FoundRoute, Namespace } from '../kernel/kernel.js';
import { placeOf } from '../open-place.js';
import type { UplinkPlan } from './uplink.js';

/** Prefix of a segment on which the machine itself has no address. */
const USUAL_PREFIX = { 4: 24, 6: 64 } as const;

export async function planNicUplink(
  context: Context,
  record: NetworkRecord,
  namespace: Namespace,
  ifname: string,
): Promise<UplinkPlan> {
  const { spec } = record;
  const link = await context.kernel.findInterface(namespace, ifname);
  if (link === null) {
    const message = `there is no interface ${ifname} in ${placeOf(namespace)}`;
    throw new RequestError('conflict', message, 'name one that exists, and its namespace with uplinkNetns');
  }
  if (!link.up) {
    const message = `interface ${ifname} is down`;
    throw new RequestError('conflict', message, `switch it on first: ip link set ${ifname} up`);
  }
  const own = spec.externalIp.map((address) => ownAddress(address, link));
  const routes = await context.kernel.routes(namespace);
  return {
    transit: [],
    warnings: [],
    request: {
      kind: 'packet',
      ifname,
      alias: '',
      mac: link.mac,
      mtu: link.mtu,
      addresses: [],
      routes: [],
      offload: true,
      hostSide: false,
    },
    segment: {
      mtu: link.mtu,
      own,
      external: spec.externalIp.filter((address) => !address.includes(':') || spec.nat?.ipv6 === 'nat66'),
      nextHops: nextHopsOf(spec.nextHop, own, routes, ifname),
      neighbours: [],
    },
  };
}

/** With the prefix length of the subnet that the machine has on that segment. */
function ownAddress(address: string, link: FoundLink): string {
  const ip = parseIp(address) as Ip;
  const subnets = link.addresses.flatMap((text) => subnetAround(text) ?? []);
  if (link.addresses.some((text) => text.split('/')[0] === address)) {
    const message = `${address} is the machine's own address on ${link.ifname}`;
    throw new RequestError('conflict', message, 'choose an address of that segment that nobody has');
  }
  const subnet = subnets.find((candidate) => contains(candidate, ip));
  if (subnet !== undefined) return `${address}/${subnet.prefix}`;
  const ofFamily = subnets.filter(({ family }) => family === ip.family);
  if (ofFamily.length === 0) return `${address}/${USUAL_PREFIX[ip.family]}`;
  const message = `${address} is on no subnet of ${link.ifname} (${ofFamily.map(({ text }) => text).join(', ')})`;
  throw new RequestError('conflict', message, 'choose an address of that segment that nobody has');
}

/** What was asked for, else where the machine itself sends what it knows no other way for. */
function nextHopsOf(
  asked: readonly string[],
  own: readonly string[],
  routes: readonly FoundRoute[],
  ifname: string,
): string[] {
  const isDefault = ({ destination, device, gateway }: FoundRoute) =>
    destination.endsWith('/0') && device === ifname && gateway !== null;
  const defaults = routes.filter(isDefault).sort((a, b) => a.metric - b.metric);
  return ([4, 6] as const).flatMap((family) => {
    const isOfFamily = (text: string) => text.includes(':') === (family === 6);
    if (!own.some(isOfFamily)) return [];
    const found = asked.find(isOfFamily) ?? defaults.map(({ gateway }) => gateway ?? '').find(isOfFamily);
    return found === undefined || found === '' ? [] : [found];
  });
}

/** `192.0.2.1/24` -> 192.0.2.0/24. */
function subnetAround(text: string): Subnet | null {
  const [address = '', prefix = ''] = text.split('/');
  const ip = parseIp(address);
  return ip === null ? null : subnetOf(ip, Number(prefix));
}
