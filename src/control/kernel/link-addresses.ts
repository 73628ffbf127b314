/**
 * IP addresses of one interface over rtnetlink. Read first: rtnetlink(7), linux/if_addr.h.
 *
 * Addresses that weft adds carry its mark (IFA_PROTO, Linux 5.18), so that one that weft set earlier and wants no more
 * is told from one that somebody added by hand, which stays. An older kernel drops the mark, and then none is removed.
 */
import type * as netlink from 'netlink';
import { AF_INET, broadcastOf, formatPrefix, type IpPrefix, parsePrefix } from './ip-prefix.js';
import { isErrno } from './kernel-error.js';
import { FlagsNew, rt } from './netlink-package.js';
import { attributesOf, bodyOf, numberOf, type Rtnetlink } from './rtnetlink.js';

/** Origin of addresses and routes that weft made, in IFA_PROTO and rtm_protocol; not taken in iproute2's tables. */
export const WEFT_PROTOCOL = 119;

// IFA_* of linux/if_addr.h.
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_PROTO = 11;
// struct ifaddrmsg: family, prefix length, flags, scope, index at 4.
const HEADER_BYTES = 8;
const SCOPE_LINK = 253;

export interface LinkAddress {
  /** Canonical, `10.0.0.2/24`. */
  text: string;
  /** Whether weft added it. */
  marked: boolean;
}

/** Addresses of one interface, without IPv6 link-local ones. */
export async function listAddresses(rtnetlink: Rtnetlink, index: number): Promise<LinkAddress[]> {
  const messages = await rtnetlink.dump('RTM_GETADDR', rt().MessageType.GETADDR, bodyOf(rt().formatAddress({ index })));
  const addresses: LinkAddress[] = [];
  for (const { data, ...rest } of messages) {
    if (numberOf(data.subarray(4, 8)) !== index || data[3] === SCOPE_LINK) continue;
    const attributes = attributesOf({ data, ...rest }, HEADER_BYTES);
    const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
    if (bytes === undefined) continue;
    const text = formatPrefix({ family: data[0] ?? 0, bytes, length: data[1] ?? 0 });
    addresses.push({ text, marked: attributes.get(IFA_PROTO)?.[0] === WEFT_PROTOCOL });
  }
  return addresses;
}

/** Usable at once: without duplicate address detection (RFC 4862 section 5.4), because weft gives each address once. */
export async function addAddress(rtnetlink: Rtnetlink, index: number, text: string, marked = true): Promise<void> {
  const body = addressBody(index, parsePrefix(text));
  if (marked) body.push(IFA_PROTO, Buffer.of(WEFT_PROTOCOL));
  const flags = FlagsNew.CREATE | FlagsNew.EXCL;
  await rtnetlink.request('RTM_NEWADDR', text, rt().MessageType.NEWADDR, body, flags);
}

/** Resolves when it was gone already. */
export async function removeAddress(rtnetlink: Rtnetlink, index: number, text: string): Promise<void> {
  try {
    const body = addressBody(index, parsePrefix(text));
    await rtnetlink.request('RTM_DELADDR', text, rt().MessageType.DELADDR, body);
  } catch (error) {
    if (!isErrno(error, 'EADDRNOTAVAIL', 'ENODEV')) throw error;
  }
}

/**
 * Makes the interface have `wanted`. Touches nothing that is right: established connections must not notice. Addresses
 * that weft did not add stay.
 */
export async function repairAddresses(rtnetlink: Rtnetlink, index: number, wanted: string[]): Promise<void> {
  const names = wanted.map((text) => formatPrefix(parsePrefix(text)));
  const before = await listAddresses(rtnetlink, index);
  const stale = before.filter((address) => address.marked && !names.includes(address.text));
  const kept = before.filter((address) => !stale.includes(address));
  for (const { text } of stale) await removeAddress(rtnetlink, index, text);
  // Removing the first IPv4 address of a subnet takes its further ones along (see promote_secondaries): back with them.
  const now = stale.length === 0 ? before : await listAddresses(rtnetlink, index);
  const missing = kept.filter((address) => !now.some(({ text }) => text === address.text));
  for (const { text, marked } of missing) await addAddress(rtnetlink, index, text, marked);
  for (const text of names) {
    if (!kept.some((address) => address.text === text)) await addAddress(rtnetlink, index, text);
  }
}

function addressBody(index: number, prefix: IpPrefix): ReturnType<typeof bodyOf> {
  const data: netlink.rt.Address = { family: prefix.family, prefixlen: prefix.length, index };
  const attrs: netlink.rt.AddressAttrs = { local: prefix.bytes, address: prefix.bytes };
  const broadcast = broadcastOf(prefix);
  if (broadcast !== null) attrs.broadcast = broadcast;
  if (prefix.family !== AF_INET) attrs.flags = { nodad: true };
  const body = bodyOf();
  rt().formatAddressMessage({ kind: 'address', data, attrs }, body);
  return body;
}
