/**
 * Addresses that a namespace answers for on interfaces of its own although they lie behind weft: others on the segment of such an
 * interface find them without a route. The kernel answers only while it forwards, and has a route to the address elsewhere.
 */
import type { Namespace, ProxyNeighbour } from './kernel.js';
import { addProxy, removeProxy } from './link-neighbours.js';
import { findLink } from './links.js';
import { withRtnetlink } from './rtnetlink.js';

/** Nothing is done on interfaces that are not there any more. */
export async function setProxies(
  namespace: Namespace,
  wanted: readonly ProxyNeighbour[],
  unwanted: readonly ProxyNeighbour[],
): Promise<void> {
  await withRtnetlink(namespace.fd, async (rtnetlink) => {
    const indexOf = async (ifname: string) => (await findLink(rtnetlink, ifname))?.index ?? null;
    for (const { address, ifname } of unwanted) {
      const index = await indexOf(ifname);
      if (index !== null) await removeProxy(rtnetlink, index, address);
    }
    for (const { address, ifname } of wanted) {
      const index = await indexOf(ifname);
      if (index !== null) await addProxy(rtnetlink, index, address);
    }
  });
}

export function isSameProxy(a: ProxyNeighbour, b: ProxyNeighbour): boolean {
  return a.address === b.address && a.ifname === b.ifname;
}
