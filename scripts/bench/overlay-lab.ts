// Labs with a tunnel: two hosts with a compartment each, and a wire between the hosts.
//
//   PREFIX-a [pa] -- system under test in PREFIX-x [ux 10.216.0.1] ==wire PREFIX-w== [uy 10.216.0.2] PREFIX-y, the same -- [pb] PREFIX-b
//
// The wire is a kernel bridge with two veth pairs of MTU 1500, and the tunnel is VXLAN over IPv4 with VNI 5000 on port 4789, so that
// the compartments have MTU 1450. Each host is a namespace of its own with everything that belongs to it.
import { addNamespace, type Bench, buildLab, type End, type Lab, MTU, type Site } from './lab.js';
import { run } from './processes.js';

/** Outer IPv4, UDP and VXLAN headers, and the inner Ethernet header (RFC 7348 section 4.3). */
const VXLAN_BYTES = 50;
export const INNER_MTU = MTU - VXLAN_BYTES;
export const VNI = 5000;
export const UNDERLAY_PREFIX_LENGTH = 24;

export interface Host {
  readonly side: 'a' | 'b';
  readonly namespace: string;
  /** Its interface on the wire, up and without address. */
  readonly ifname: string;
  /** What it has there; given to whatever interface the system needs it on. */
  readonly address: string;
  /** Another one of the same subnet, for a VTEP that has an address of its own. */
  readonly secondAddress: string;
}

const HOSTS = [
  { side: 'a', suffix: 'x', ifname: 'ux', address: '10.216.0.1', secondAddress: '10.216.0.11' },
  { side: 'b', suffix: 'y', ifname: 'uy', address: '10.216.0.2', secondAddress: '10.216.0.12' },
] as const;

/** Builds wire and hosts and lets `connect` join a host and its compartment, told also of the other host; first a's, then b's. */
export function buildOverlayLab(
  bench: Bench,
  system: string,
  connect: (site: Site, here: Host, there: Host) => Promise<End>,
): Promise<Lab> {
  const build = async (site: Site) => {
    const wire = await addNamespace(site, 'w');
    await run('ip', ['-n', wire, 'link', 'add', 'name', 'wire', 'type', 'bridge', 'stp_state', '0']);
    await run('ip', ['-n', wire, 'link', 'set', 'wire', 'up']);
    const hosts: Host[] = [];
    for (const { suffix, ...host } of HOSTS) {
      const namespace = await addNamespace(site, suffix);
      const peer = ['type', 'veth', 'peer', 'name', host.ifname, 'netns', namespace];
      await run('ip', ['-n', wire, 'link', 'add', `w${host.side}`, 'mtu', String(MTU), ...peer]);
      await run('ip', ['-n', wire, 'link', 'set', `w${host.side}`, 'master', 'wire', 'up']);
      await run('ip', ['-n', namespace, 'link', 'set', host.ifname, 'mtu', String(MTU), 'up']);
      hosts.push({ ...host, namespace });
    }
    const [x, y] = hosts as [Host, Host];
    return { a: await connect(site, x, y), b: await connect(site, y, x) };
  };
  return buildLab(bench, system, build, INNER_MTU);
}

/** Gives an interface of a host the host's address. */
export async function addUnderlayAddress(host: Host, ifname = host.ifname): Promise<void> {
  const address = `${host.address}/${UNDERLAY_PREFIX_LENGTH}`;
  await run('ip', ['-n', host.namespace, 'addr', 'add', address, 'dev', ifname]);
}
