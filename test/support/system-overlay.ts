/**
 * The set-up of the system tests of overlay networks: namespaces that play hosts, on one Ethernet segment with IPv4 and IPv6.
 *
 *   host [ul] ==veth== bridge in `wire` ==veth== [ul] host ...
 *
 * A daemon "on" a host runs in its namespace (`Daemon.setHostNamespace`). Each host has two addresses of each family: its own, for a
 * VTEP that is a socket, and one that nobody has, for a VTEP on a TAP.
 */
import type { Lab } from './system-lab.js';
import type { Addresses } from './system-nat.js';

/** Interface of every host on the wire, and what it can carry. */
export const UNDERLAY_IFNAME = 'ul';
export const UNDERLAY_MTU = 1500;
/** Outer headers and the inner Ethernet header (RFC 7348 section 4.3), by the family of the outer addresses. */
export const VXLAN_OVERHEAD = { v4: 50, v6: 70 };
export const VXLAN_PORT = 4789;

export type Family = 'v4' | 'v6';
export type Underlay = 'socket' | 'tap';

export interface OverlayHost {
  /** What `lab.inside` and its siblings take. */
  base: string;
  mac: string;
  own: Addresses;
  /** On the same subnets, and nobody's until a VTEP has them. */
  spare: Addresses;
}

let wires = 0;

/** Makes hosts of namespaces that exist, joined by a wire. */
export async function createHosts(lab: Lab, bases: readonly string[]): Promise<OverlayHost[]> {
  const wire = `wire${wires++}`;
  const subnet = lab.subnet();
  await lab.addNamespace(wire);
  await lab.inside(wire, ['ip', 'link', 'add', 'wire', 'type', 'bridge', 'stp_state', '0', 'mcast_snooping', '0']);
  await lab.inside(wire, ['ip', 'link', 'set', 'wire', 'up']);
  const hosts: OverlayHost[] = [];
  for (const [i, base] of bases.entries()) {
    const [own, spare] = [i + 1, i + 101].map((n) => ({ v4: `${subnet.v4}.${n}`, v6: `${subnet.v6}::${n}` }));
    const peer = ['type', 'veth', 'peer', 'name', UNDERLAY_IFNAME, 'netns', lab.name(base)];
    await lab.inside(wire, ['ip', 'link', 'add', `w${i}`, 'mtu', String(UNDERLAY_MTU), ...peer]);
    await lab.inside(wire, ['ip', 'link', 'set', `w${i}`, 'master', 'wire', 'up']);
    await lab.inside(base, ['ip', 'link', 'set', 'dev', UNDERLAY_IFNAME, 'mtu', String(UNDERLAY_MTU), 'up']);
    await addUnderlayAddresses(lab, base, UNDERLAY_IFNAME, own!);
    const [link] = await lab.links(base);
    hosts.push({ base, mac: link!.mac, own: own!, spare: spare! });
  }
  return hosts;
}

export async function addUnderlayAddresses(
  lab: Lab,
  base: string,
  ifname: string,
  { v4, v6 }: Addresses,
): Promise<void> {
  await lab.inside(base, ['ip', 'address', 'add', `${v4}/24`, 'dev', ifname]);
  await lab.inside(base, ['ip', 'address', 'add', `${v6}/64`, 'dev', ifname, 'nodad']);
}

/** The address that a host's VTEP has. */
export function vtepOf(host: OverlayHost, underlay: Underlay, family: Family): string {
  return (underlay === 'tap' ? host.spare : host.own)[family];
}

/**
 * Has the host's interface complete checksums and cut super-frames before they leave, as a NIC does: a veth pair otherwise hands both
 * on undone, which only a kernel at the other end makes up for.
 */
export async function finishOnTheWire(lab: Lab, host: OverlayHost, isOn = true): Promise<void> {
  const state = isOn ? 'off' : 'on';
  await lab.inside(host.base, ['ethtool', '-K', UNDERLAY_IFNAME, 'tx', state, 'tso', state, 'gso', state]);
}
