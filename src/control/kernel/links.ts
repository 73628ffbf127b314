/**
 * Interfaces over rtnetlink: what is there, and changing one. Read first: rtnetlink(7), linux/if_link.h.
 *
 * Only the few attributes that weft needs are read, so that an exotic interface next to them cannot make a listing
 * fail.
 */
import type * as netlink from 'netlink';
import type { FoundVxlan } from './kernel.js';
import { isErrno } from './kernel-error.js';
import { rt } from './netlink-package.js';
import { attributesOf, bodyOf, nestedAttributes, numberOf, type Rtnetlink, textOf } from './rtnetlink.js';

// IFLA_* of linux/if_link.h.
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_CARRIER = 33;
// Inside of IFLA_LINKINFO, and inside of IFLA_INFO_DATA of a VXLAN interface.
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_VXLAN_PORT = 15;
// struct ifinfomsg: family, type, index at 4, flags at 8.
const HEADER_BYTES = 16;
const IFF_UP = 1;
/** RTEXT_FILTER_SKIP_STATS: leaves out what is most of a reply. */
const WITHOUT_STATISTICS = Buffer.from(Uint32Array.of(8).buffer);
/** IF_OPER_UP (RFC 2863). */
const OPERSTATE_UP = 6;

export interface Link {
  index: number;
  ifname: string;
  /** Empty when it has none. */
  alias: string;
  mac: string;
  mtu: number;
  up: boolean;
  /** Whether somebody is at the other end: for a TAP, whether a process has it open. */
  carrier: boolean;
}

export interface LinkChange {
  mac?: string;
  mtu?: number;
  alias?: string;
  /**
   * True brings it up, and out of the operational state UNKNOWN, in which a TAP would stay until its carrier changes.
   */
  up?: true;
  /** The kernel resolves no addresses and answers for none over this interface: every frame goes to the interface's own MAC. */
  noArp?: true;
}

export async function listLinks(rtnetlink: Rtnetlink): Promise<Link[]> {
  const body = linkBody({}, { extMask: WITHOUT_STATISTICS });
  return (await rtnetlink.dump('RTM_GETLINK', rt().MessageType.GETLINK, body)).map(parseLink);
}

/** Interfaces that do VXLAN, with their UDP ports. */
export async function listVxlans(rtnetlink: Rtnetlink): Promise<FoundVxlan[]> {
  const body = linkBody({}, { extMask: WITHOUT_STATISTICS });
  const messages = await rtnetlink.dump('RTM_GETLINK', rt().MessageType.GETLINK, body);
  return messages.flatMap((message) => {
    const attributes = attributesOf(message, HEADER_BYTES);
    const info = nestedAttributes(attributes.get(IFLA_LINKINFO));
    if (textOf(info.get(IFLA_INFO_KIND)) !== 'vxlan') return [];
    const port = nestedAttributes(info.get(IFLA_INFO_DATA)).get(IFLA_VXLAN_PORT);
    return [{ ifname: textOf(attributes.get(IFLA_IFNAME)) ?? '', udpPort: port?.readUInt16BE(0) ?? 0 }];
  });
}

/** null when there is none of that name. */
export async function findLink(rtnetlink: Rtnetlink, ifname: string): Promise<Link | null> {
  return getLink(rtnetlink, ifname, linkBody({}, { ifname, extMask: WITHOUT_STATISTICS }));
}

/** null when there is none of that index. */
export async function findLinkByIndex(rtnetlink: Rtnetlink, index: number): Promise<Link | null> {
  return getLink(rtnetlink, `interface ${index}`, linkBody({ index }, { extMask: WITHOUT_STATISTICS }));
}

/** The interface with that alias, tried first under the name that it probably has. */
export async function findLinkByAlias(rtnetlink: Rtnetlink, alias: string, ifname: string): Promise<Link | null> {
  const likely = await findLink(rtnetlink, ifname);
  if (likely?.alias === alias) return likely;
  return (await listLinks(rtnetlink)).find((link) => link.alias === alias) ?? null;
}

/** One request for all changes. `subject` is for the message of the error. */
export async function setLink(rtnetlink: Rtnetlink, index: number, subject: string, change: LinkChange): Promise<void> {
  const attributes: netlink.ifla.LinkAttrs = {};
  if (change.mac !== undefined) attributes.address = Buffer.from(change.mac.replaceAll(':', ''), 'hex');
  if (change.mtu !== undefined) attributes.mtu = change.mtu;
  if (change.alias !== undefined) attributes.ifalias = change.alias;
  const header: netlink.rt.Link = { index };
  if (change.up) {
    attributes.operstate = OPERSTATE_UP;
    header.flags = { up: true };
    header.change = { up: true };
  }
  if (change.noArp) {
    header.flags = { ...header.flags, noarp: true };
    header.change = { ...header.change, noarp: true };
  }
  await rtnetlink.request('RTM_SETLINK', subject, rt().MessageType.SETLINK, linkBody(header, attributes));
}

/** Resolves when it was gone already. */
export async function deleteLink(rtnetlink: Rtnetlink, index: number, subject: string): Promise<void> {
  try {
    await rtnetlink.request('RTM_DELLINK', subject, rt().MessageType.DELLINK, linkBody({ index }, {}));
  } catch (error) {
    if (!isErrno(error, 'ENODEV')) throw error;
  }
}

async function getLink(rtnetlink: Rtnetlink, subject: string, body: ReturnType<typeof bodyOf>): Promise<Link | null> {
  try {
    const [message] = await rtnetlink.request('RTM_GETLINK', subject, rt().MessageType.GETLINK, body);
    return message === undefined ? null : parseLink(message);
  } catch (error) {
    if (isErrno(error, 'ENODEV')) return null;
    throw error;
  }
}

function linkBody(data: netlink.rt.Link, attrs: netlink.ifla.LinkAttrs): ReturnType<typeof bodyOf> {
  const body = bodyOf();
  rt().formatLinkMessage({ kind: 'link', data, attrs }, body);
  return body;
}

function parseLink(message: netlink.NetlinkMessage): Link {
  const attributes = attributesOf(message, HEADER_BYTES);
  return {
    index: numberOf(message.data.subarray(4, 8)) ?? 0,
    ifname: textOf(attributes.get(IFLA_IFNAME)) ?? '',
    alias: textOf(attributes.get(IFLA_IFALIAS)) ?? '',
    mac: (attributes.get(IFLA_ADDRESS)?.toString('hex') ?? '').replace(/..(?!$)/g, '$&:'),
    mtu: numberOf(attributes.get(IFLA_MTU)) ?? 0,
    up: ((numberOf(message.data.subarray(8, 12)) ?? 0) & IFF_UP) !== 0,
    carrier: attributes.get(IFLA_CARRIER)?.[0] === 1,
  };
}
