/**
 * The real `Kernel` (see kernel.ts): network namespaces, TAPs and rtnetlink of the machine that weft runs on. Composition
 * only; the parts are in namespaces.ts, namespace-watch.ts, taps.ts, links.ts, link-addresses.ts and link-routes.ts.
 */
import { networkOf, parsePrefix } from './ip-prefix.js';
import {
  type FoundLink,
  type FoundRoute,
  type FoundTap,
  type Kernel,
  KernelError,
  type Namespace,
  type Tap,
} from './kernel.js';
import { listAddresses } from './link-addresses.js';
import { listRoutes } from './link-routes.js';
import { deleteLink, findLink, findLinkByIndex, listLinks, listVxlans } from './links.js';
import { findSocketOwner, readListeners } from './listeners.js';
import { NamespaceRouting } from './namespace-routing.js';
import { NamespaceWatcher } from './namespace-watch.js';
import { Namespaces } from './namespaces.js';
import { nftForwardPolicies } from './nft.js';
import { openPacketPort, PacketPort } from './packet-port.js';
import { setProxies } from './proxy-neighbours.js';
import { openRawPort, RawPort } from './raw-port.js';
import { withRtnetlink } from './rtnetlink.js';
import { makeServiceNamespace } from './service-namespace.js';
import { readLocalPorts } from './sysctl.js';
import { adoptTap, createTap, releaseTap, removeTap, updateTap } from './taps.js';
import { openUdpPort, UdpPort } from './udp-port.js';

export interface LinuxKernelOptions {
  /** Where markers of owned namespaces are kept; made when needed. */
  runDir: string;
  /** Instance id, as in the aliases `weft:INSTANCE:...`. */
  instance: string;
  /** Namespace that stands for the host; the daemon's own unless given. */
  hostPath?: string;
}

/** Throws `KernelError` when the host's namespace cannot be opened. */
export function createLinuxKernel({ runDir, instance, hostPath }: LinuxKernelOptions): Kernel {
  const namespaces = new Namespaces(runDir);
  const routing = new NamespaceRouting(runDir, instance);
  const watcher = new NamespaceWatcher();
  const host = namespaces.open(hostPath ?? '/proc/self/ns/net');
  return {
    createNamespace: async (name) => namespaces.create(name),
    removeNamespace: async (name) => namespaces.remove(name),
    ownedNamespaces: async () => namespaces.owned(),
    openNamespace: async (path) => namespaces.open(path),
    makeServiceNamespace: async () => makeServiceNamespace(),
    closeNamespace: (namespace) => namespaces.close(namespace),
    hostNamespace: () => host,
    watchNamespace: (namespace, pid, gone) => watcher.watch(namespace, pid, gone),
    createTap: async (namespace, request) => {
      if (request.kind === 'packet') return openPacketPort(namespace, request);
      if (request.kind === 'udp') return openUdpPort(namespace, request);
      return request.kind === 'raw' ? openRawPort(namespace, request) : createTap(namespace, request);
    },
    adoptTap,
    setGroupInterface: (tap, ifname) => {
      if (tap instanceof UdpPort) tap.setGroupInterface(ifname);
    },
    updateTap,
    releaseTap: (tap) => (isSocket(tap) ? tap.release() : releaseTap(tap)),
    removeTap: async (tap) => (isSocket(tap) ? tap.close() : removeTap(tap)),
    findTaps,
    removeFoundTap,
    interfaceNames,
    setRouting: (namespace, request) => routing.set(namespace, request),
    renewProxies: (namespace, proxies) => setProxies(namespace, proxies, []),
    clearRouting: (namespace) => routing.clear(namespace),
    routedNamespaces: async () => stillThere(namespaces, routing),
    routes: (namespace) => routesOf(namespace, `weft:${instance}:`),
    localPorts: async (namespace) => readLocalPorts(namespace.fd),
    listeners: async (namespace, protocol) => readListeners(namespace.fd, protocol),
    socketOwner: findSocketOwner,
    droppingChains: (namespace) => nftForwardPolicies(namespace.fd, 'drop').catch(() => []),
    findInterface,
    vxlanInterfaces: (namespace) => withRtnetlink(namespace.fd, listVxlans),
    hostRoutes: () => hostRoutes(host, `weft:${instance}:`),
  };
}

function isSocket(tap: Tap): tap is PacketPort | RawPort | UdpPort {
  return tap instanceof PacketPort || tap instanceof RawPort || tap instanceof UdpPort;
}

async function findTaps(namespace: Namespace, aliasPrefix: string): Promise<FoundTap[]> {
  const links = await withRtnetlink(namespace.fd, listLinks);
  const found = links.filter((link) => link.alias.startsWith(aliasPrefix));
  return found.map(({ ifname, alias, index }) => ({ ifname, alias, index }));
}

/** Only while it still has its alias: the index may have been given to another interface since. */
async function removeFoundTap(namespace: Namespace, found: FoundTap): Promise<void> {
  await withRtnetlink(namespace.fd, async (rtnetlink) => {
    const link = await findLinkByIndex(rtnetlink, found.index);
    if (link?.alias === found.alias) await deleteLink(rtnetlink, link.index, link.ifname);
  });
}

async function interfaceNames(namespace: Namespace): Promise<string[]> {
  return (await withRtnetlink(namespace.fd, listLinks)).map((link) => link.ifname);
}

/** A name may have gone to another namespace since, which is nobody's business here. */
function stillThere(namespaces: Namespaces, routing: NamespaceRouting): string[] {
  return routing.marks().flatMap(({ path, device, inode, forget }) => {
    try {
      const namespace = namespaces.open(path);
      namespaces.close(namespace);
      if (namespace.device === device && namespace.inode === inode) return [path];
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
    forget();
    return [];
  });
}

async function routesOf(namespace: Namespace, ownPrefix: string): Promise<FoundRoute[]> {
  return withRtnetlink(namespace.fd, async (rtnetlink) => {
    const links = (await listLinks(rtnetlink)).filter(({ alias }) => !alias.startsWith(ownPrefix));
    const devices = new Map(links.map(({ index, ifname }) => [index, ifname]));
    return (await listRoutes(rtnetlink)).flatMap(({ destination, gateway, metric, through }) => {
      const device = devices.get(through[0] ?? -1);
      return device === undefined ? [] : [{ destination, gateway, metric, device }];
    });
  });
}

async function findInterface(namespace: Namespace, ifname: string): Promise<FoundLink | null> {
  return withRtnetlink(namespace.fd, async (rtnetlink) => {
    const link = await findLink(rtnetlink, ifname);
    if (link === null) return null;
    const addresses = await listAddresses(rtnetlink, link.index);
    const { index, mac, mtu, up } = link;
    return { ifname, index, mac, mtu, up, addresses: addresses.map(({ text }) => text) };
  });
}

/**
 * Networks that the host reaches, for finding overlaps: without default routes (everything overlaps those), loopback,
 * IPv6 link-local and multicast.
 */
async function hostRoutes(host: Namespace, ownPrefix: string): Promise<{ destination: string; device: string }[]> {
  return withRtnetlink(host.fd, async (rtnetlink) => {
    const devices = new Map<number, string>();
    for (const { index, ifname, alias } of await listLinks(rtnetlink)) {
      if (ifname !== 'lo' && !alias.startsWith(ownPrefix)) devices.set(index, ifname);
    }
    return (await listRoutes(rtnetlink)).flatMap(({ destination, through }) => {
      const device = through.map((index) => devices.get(index)).find((name) => name !== undefined);
      return device === undefined || !isPlace(destination) ? [] : [{ destination, device }];
    });
  });
}

/** False for the default routes, fe80::/10 and ff00::/8. */
function isPlace(destination: string): boolean {
  const { bytes, length } = networkOf(parsePrefix(destination));
  const [first = 0, second = 0] = bytes;
  return length > 0 && !(bytes.length === 16 && (first === 0xff || (first === 0xfe && (second & 0xc0) === 0x80)));
}
