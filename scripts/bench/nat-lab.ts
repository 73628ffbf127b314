// Labs with a NAT: a compartment, a router and the outside.
//
//   namespace PREFIX-a [inside] ---- NAT under test ---- PREFIX-r [rb 10.214.0.1] ==veth== [pb 10.214.0.2] PREFIX-b
//
// r is "the host" of every system: the kernel masquerades there, the processes of slirp4netns and pasta have their sockets there,
// weft has its uplink there. Whatever a opens comes from r's address in b's eyes, and r's address is where b reaches a's
// published ports. MTU 1500 between r and b, and inside unless the system is defined by another; no IPv6; the whole range of
// ports may be used on both sides of the NAT, so that none of them ends before the NAT does.
import { addNamespace, assembleLab, type Bench, exchange, inNamespace, type Lab, MTU, type Site } from './lab.js';
import { run } from './processes.js';

export const INSIDE = {
  subnet: '10.213.0.0/24',
  gateway: '10.213.0.1',
  address: '10.213.0.10',
  prefixLength: 24,
} as const;
const INSIDE_IFNAME = 'pa';
export const ROUTER = { ifname: 'rb', address: '10.214.0.1' } as const;
export const OUTSIDE = { ifname: 'pb', address: '10.214.0.2', prefixLength: 24 } as const;

export const IPERF_PORT = 5201;
/** Of the server for short connections. */
export const CONNECT_PORT = 4400;
/** TCP ports of a that are published on r. */
export const PUBLISHED_PORTS: readonly number[] = [IPERF_PORT, CONNECT_PORT];

/** What a system put in place. */
export interface Inside {
  readonly namespace: string;
  readonly ifname: string;
  /** Address at which b reaches a; r's, unless nothing is translated. */
  readonly fromOutside?: string;
}

/** Builds the outside, lets `connect` put the NAT and a in place, and proves that datagrams pass in both directions. */
export function buildNatLab(
  bench: Bench,
  system: string,
  connect: (site: Site, router: string, outside: string) => Promise<Inside>,
): Promise<Lab> {
  return assembleLab(bench, system, async (site) => {
    const outside = await addNamespace(site, 'b');
    const router = await addNamespace(site, 'r');
    const { ifname, address, prefixLength } = OUTSIDE;
    const peer = ['type', 'veth', 'peer', 'name', ifname, 'netns', outside];
    await run('ip', ['-n', router, 'link', 'add', ROUTER.ifname, 'mtu', String(MTU), ...peer]);
    await run('ip', ['-n', router, 'addr', 'add', `${ROUTER.address}/${prefixLength}`, 'dev', ROUTER.ifname]);
    await run('ip', ['-n', router, 'link', 'set', ROUTER.ifname, 'up']);
    await run('ip', ['-n', outside, 'addr', 'add', `${address}/${prefixLength}`, 'dev', ifname]);
    await run('ip', ['-n', outside, 'link', 'set', ifname, 'mtu', String(MTU), 'up']);
    await run('ip', ['-n', router, 'route', 'add', 'default', 'via', address]);
    await set(outside, 'net.core.somaxconn', '65535');
    await set(outside, 'net.ipv4.tcp_max_syn_backlog', '65535');
    await allowAllPorts(router);

    const inside = await connect(site, router, outside);
    await allowAllPorts(inside.namespace);
    await set(inside.namespace, 'net.core.somaxconn', '65535');
    const a = await stationAt(inside.namespace, inside.ifname);
    const b = await stationAt(outside, ifname);
    await exchange(bench, a, b, 20);
    return { a, b, aFromB: inside.fromOutside ?? ROUTER.address };
  });
}

/** A second interface of r with a behind it, and r forwarding: the beginning of every NAT in the kernel. */
export async function addRoutedInside(site: Site, router: string): Promise<Inside> {
  const namespace = await addNamespace(site, 'a');
  const peer = ['type', 'veth', 'peer', 'name', INSIDE_IFNAME, 'netns', namespace];
  await run('ip', ['-n', router, 'link', 'add', 'ra', 'mtu', String(MTU), ...peer]);
  await configureRouted(router, namespace);
  return { namespace, ifname: INSIDE_IFNAME };
}

/** Gives `ra` in r and `pa` in a their addresses and a its default route, and lets r forward. */
export async function configureRouted(router: string, namespace: string): Promise<void> {
  const ifname = INSIDE_IFNAME;
  const { address, gateway, prefixLength } = INSIDE;
  await run('ip', ['-n', router, 'addr', 'add', `${gateway}/${prefixLength}`, 'dev', 'ra']);
  await run('ip', ['-n', router, 'link', 'set', 'ra', 'up']);
  await run('ip', ['-n', namespace, 'addr', 'add', `${address}/${prefixLength}`, 'dev', ifname]);
  await run('ip', ['-n', namespace, 'link', 'set', ifname, 'mtu', String(MTU), 'up']);
  await run('ip', ['-n', namespace, 'route', 'add', 'default', 'via', gateway]);
  await set(router, 'net.ipv4.ip_forward', '1');
}

/** Sets a sysctl of a namespace of ours. */
export async function set(namespace: string, name: string, value: string): Promise<void> {
  const file = `/proc/sys/${name.replaceAll('.', '/')}`;
  await run(...inNamespace(namespace, 'sh', '-c', `echo '${value}' > ${file}`));
}

async function allowAllPorts(namespace: string): Promise<void> {
  await set(namespace, 'net.ipv4.ip_local_port_range', '1024 65535');
}

async function stationAt(namespace: string, ifname: string) {
  const [link] = JSON.parse(await run('ip', ['-j', '-4', '-n', namespace, 'addr', 'show', 'dev', ifname])) as {
    addr_info: { local: string }[];
  }[];
  const [hardware] = JSON.parse(await run('ip', ['-j', '-n', namespace, 'link', 'show', 'dev', ifname])) as {
    address: string;
  }[];
  const address = link?.addr_info[0]?.local;
  if (address === undefined) throw new Error(`${ifname} in ${namespace} has no IPv4 address`);
  return { namespace, ifname, address, mac: hardware!.address };
}
