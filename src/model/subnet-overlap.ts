/**
 * Which networks may have the same addresses: none that packets are exchanged with. Tenants of overlay networks often do, and
 * the VNI keeps them apart (RFC 7348 section 3), as long as nothing on this host would have to tell their addresses apart.
 */
import { overlaps, parseSubnet, type Subnet } from './ip.js';
import type { NetworkSpec } from './network.js';
import { RequestError } from './problems.js';

/** Throws `RequestError` conflict when subnets of networks that are not kept apart overlap, as `spec` is among `present`. */
export function checkSubnets(spec: NetworkSpec, present: Iterable<NetworkSpec>): void {
  const all = [...[...present].filter(({ name }) => name !== spec.name), spec];
  const routed = new Set(all.flatMap(({ name, routesTo }) => (routesTo.length === 0 ? [] : [name, ...routesTo])));
  const isApart = (each: NetworkSpec) => !routed.has(each.name) && isTenant(each);
  // A network that `spec` has a route to is not apart any more.
  const touched = [spec, ...all.filter(({ name, overlay }) => overlay !== null && spec.routesTo.includes(name))];
  for (const each of touched) {
    const others = all.filter((other) => other !== each && !(isApart(each) && isApart(other)));
    for (const other of others) check(each, other, each === spec ? '' : ` of network ${each.name}`);
  }
}

function isTenant({ overlay, uplink }: NetworkSpec): boolean {
  return overlay !== null && uplink === null && overlay.hostVnic === null;
}

function check(spec: NetworkSpec, other: NetworkSpec, whose: string): void {
  for (const text of spec.subnets) {
    const hit = other.subnets.find((candidate) => doOverlap(candidate, text));
    if (hit === undefined) continue;
    const message = `subnet ${text}${whose} overlaps ${hit} of network ${other.name}`;
    throw new RequestError('conflict', message, 'choose another subnet, or delete that network first');
  }
}

export function doOverlap(a: string, b: string): boolean {
  const [left, right] = [subnetFrom(a), subnetFrom(b)];
  return left !== null && right !== null && overlaps(left, right);
}

function subnetFrom(text: string): Subnet | null {
  const read = parseSubnet(text);
  return read.ok ? read.value : null;
}
