/**
 * Neighbours of one interface over rtnetlink: stations whose MAC is known for good, and addresses that the kernel answers for on
 * behalf of somebody else (proxy ARP, RFC 1027; proxy neighbour discovery). Read first: rtnetlink(7), linux/neighbour.h.
 *
 * What weft adds carries its protocol number (NDA_PROTOCOL, Linux 5.0), so that a person who looks (`ip neighbour`) sees whose it is.
 */
import type * as netlink from 'netlink';
import { parsePrefix } from './ip-prefix.js';
import { isErrno } from './kernel-error.js';
import { WEFT_PROTOCOL } from './link-addresses.js';
import { FlagsNew, rt } from './netlink-package.js';
import { bodyOf, type Rtnetlink } from './rtnetlink.js';

/** Needs no ARP and never ages; one that is there already is replaced. */
export async function setNeighbour(rtnetlink: Rtnetlink, index: number, address: string, mac: string): Promise<void> {
  const lladdr = Buffer.from(mac.replaceAll(':', ''), 'hex');
  const body = neighbourBody(index, address, { state: { permanent: true } }, { lladdr });
  const flags = FlagsNew.CREATE | FlagsNew.REPLACE;
  await rtnetlink.request('RTM_NEWNEIGH', address, rt().MessageType.NEWNEIGH, body, flags);
}

/** Resolves when it was gone already. */
export async function removeNeighbour(rtnetlink: Rtnetlink, index: number, address: string): Promise<void> {
  await remove(rtnetlink, address, neighbourBody(index, address, {}, {}));
}

/** The kernel answers for the address on this interface, while it forwards. */
export async function addProxy(rtnetlink: Rtnetlink, index: number, address: string): Promise<void> {
  const body = neighbourBody(index, address, { flags: { proxy: true } }, { protocol: Buffer.of(WEFT_PROTOCOL) });
  const flags = FlagsNew.CREATE | FlagsNew.REPLACE;
  await rtnetlink.request('RTM_NEWNEIGH', `proxy ${address}`, rt().MessageType.NEWNEIGH, body, flags);
}

/** Resolves when it was gone already, or the interface is. */
export async function removeProxy(rtnetlink: Rtnetlink, index: number, address: string): Promise<void> {
  await remove(rtnetlink, `proxy ${address}`, neighbourBody(index, address, { flags: { proxy: true } }, {}));
}

async function remove(rtnetlink: Rtnetlink, subject: string, body: netlink.AttrStream): Promise<void> {
  try {
    await rtnetlink.request('RTM_DELNEIGH', subject, rt().MessageType.DELNEIGH, body);
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENODEV', 'ENXIO')) throw error;
  }
}

function neighbourBody(
  index: number,
  address: string,
  header: Pick<netlink.rt.Neighbor, 'state' | 'flags'>,
  attributes: netlink.rt.NeighborAttrs,
): netlink.AttrStream {
  const { family, bytes } = parsePrefix(address);
  const data: netlink.rt.Neighbor = { family, ifindex: index, ...header };
  const body = bodyOf();
  rt().formatNeighborMessage({ kind: 'neighbor', data, attrs: { dst: bytes, ...attributes } }, body);
  return body;
}
