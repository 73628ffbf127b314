/**
 * Announces where a station is as soon as it is there, so that hosts which knew it elsewhere learn its move at once (RFC 5227 section
 * 3, RFC 4861 section 7.2.6), whatever its own kernel does: gratuitous ARP and an unsolicited neighbour advertisement for each of its
 * addresses. They go in at its own port, as if it had said so itself: this host learns it too, and its neighbours here.
 */

import { type MacAddress, parseIpv4, parseIpv6, parseMac } from '../../wire/addresses.js';
import * as arp from '../../wire/arp.js';
import * as checksum from '../../wire/checksum.js';
import * as ethernet from '../../wire/ethernet.js';
import * as icmpv6 from '../../wire/icmpv6.js';
import * as ipv6 from '../../wire/ipv6.js';
import type { Context } from '../context.js';
import type { WeftEvent } from '../controller.js';

/** IEEE 802.3: shorter ones are padded. */
const MIN_FRAME_BYTES = 60;
/** ff02::1 (RFC 4291 section 2.7.1), and its MAC (RFC 2464 section 7). */
const ALL_NODES = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: MacAddress = { high: 0x3333, low: 1 };
const BROADCAST: MacAddress = { high: 0xffff, low: -1 };

/** For every event; only the attachment of an endpoint to an overlay network matters. */
export function announceAttached(context: Context, { type, name }: Pick<WeftEvent, 'type' | 'name'>): void {
  if (type !== 'endpoint-attached') return;
  const network = context.state.endpoints.get(name)?.spec.network;
  if (network === undefined || context.state.networks.get(network)?.spec.overlay === null) return;
  announce(context, name);
}

/** What does not fit into the ring now is not sent: the station will speak for itself. */
function announce({ state, attachments, injector, datapath }: Context, endpoint: string): void {
  const attachment = attachments.get(endpoint);
  const { spec } = state.endpoint(endpoint);
  const mac = parseMac(spec.mac);
  if (attachment === undefined || attachment.port < 0 || mac === null) return;
  for (const address of spec.ip) {
    const frame = address.includes(':') ? advertisement(mac, address) : gratuitousArp(mac, address);
    if (frame !== null) injector.write(attachment.port, attachment.serial, frame, null);
  }
  datapath.wake();
}

/** RFC 5227 section 3: a request for its own address. */
export function gratuitousArp({ high, low }: MacAddress, address: string): Uint8Array | null {
  const ip = parseIpv4(address);
  if (ip === null) return null;
  const frame = new Uint8Array(MIN_FRAME_BYTES);
  const view = new DataView(frame.buffer);
  ethernet.write(view, 0, BROADCAST.high, BROADCAST.low, high, low, ethernet.TYPE_ARP);
  arp.write(view, ethernet.HEADER_BYTES, arp.REQUEST, high, low, ip, 0, 0, ip);
  return frame;
}

/** RFC 4861 section 7.2.6: to all nodes, override set. */
export function advertisement({ high, low }: MacAddress, address: string): Uint8Array | null {
  const ip = parseIpv6(address);
  if (ip === null) return null;
  const l3At = ethernet.HEADER_BYTES;
  const at = l3At + ipv6.HEADER_BYTES;
  const frame = new Uint8Array(at + icmpv6.NEIGHBOUR_WITH_LINK_BYTES);
  const view = new DataView(frame.buffer);
  ethernet.write(view, 0, ALL_NODES_MAC.high, ALL_NODES_MAC.low, high, low, ethernet.TYPE_IPV6);
  view.setUint8(l3At, 0x60);
  view.setUint16(l3At + 4, icmpv6.NEIGHBOUR_WITH_LINK_BYTES);
  view.setUint8(l3At + 6, ipv6.PROTOCOL_ICMPV6);
  view.setUint8(l3At + 7, icmpv6.HOP_LIMIT);
  frame.set(ip, l3At + 8);
  frame.set(ALL_NODES, l3At + 24);
  view.setUint8(at, icmpv6.NEIGHBOUR_ADVERTISEMENT);
  view.setUint8(at + 4, icmpv6.FLAG_OVERRIDE);
  frame.set(ip, at + icmpv6.TARGET_OFFSET);
  icmpv6.writeLinkOption(view, at + icmpv6.OPTIONS_OFFSET, icmpv6.OPTION_TARGET_LINK, high, low);
  const bytes = icmpv6.NEIGHBOUR_WITH_LINK_BYTES;
  const pseudo = checksum.pseudoSum(view, l3At, 6, ipv6.PROTOCOL_ICMPV6, bytes);
  view.setUint16(at + 2, checksum.finish(checksum.sum(view, at, bytes, pseudo)));
  return frame;
}
