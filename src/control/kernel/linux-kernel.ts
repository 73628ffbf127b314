/**
 * The real `Kernel` (see kernel.ts): network namespaces, TAPs and rtnetlink of the machine that weft runs on. Composition
 * only; the parts are in namespaces.ts, namespace-watch.ts, taps.ts, links.ts, link-addresses.ts and link-routes.ts.
 */
import { networkOf, parsePrefix } from './ip-prefix.js';
import type { FoundTap, Kernel, Namespace } from './kernel.js';
import { listRoutes } from './link-routes.js';
import { deleteLink, findLinkByIndex, listLinks } from './links.js';
import { NamespaceWatcher } from './namespace-watch.js';
import { Namespaces } from './namespaces.js';
import { withRtnetlink } from './rtnetlink.js';
import { adoptTap, createTap, releaseTap, removeTap, updateTap } from './taps.js';

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
  const watcher = new NamespaceWatcher();
  const host = namespaces.open(hostPath ?? '/proc/self/ns/net');
  return {
    createNamespace: async (name) => namespaces.create(name),
    removeNamespace: async (name) => namespaces.remove(name),
    ownedNamespaces: async () => namespaces.owned(),
    openNamespace: async (path) => namespaces.open(path),
    closeNamespace: (namespace) => namespaces.close(namespace),
    hostNamespace: () => host,
    watchNamespace: (namespace, pid, gone) => watcher.watch(namespace, pid, gone),
    createTap,
    adoptTap,
    updateTap,
    releaseTap,
    removeTap,
    findTaps,
    removeFoundTap,
    interfaceNames,
    hostRoutes: () => hostRoutes(host, `weft:${instance}:`),
  };
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
