/**
 * Frames of the protocols that a router speaks, byte by byte: ARP, ICMP, ICMPv6 and neighbour discovery. Like frame-builders.ts they
 * share no code with src/wire.
 */
import ipaddr from 'ipaddr.js';
import {
  BROADCAST,
  type BuiltFrame,
  ether,
  join,
  long,
  mac,
  type Packet,
  referenceSum,
  type Transport,
  word,
} from './frame-builders.js';

export const NO_MAC = '00:00:00:00:00:00';

/** ARP, RFC 826, in an Ethernet frame: `who` has `ip` asks for `target` (or tells it, with `reply`). */
export function arp(fields: {
  from: string;
  ip: string;
  target: string;
  /** Asked by broadcast, or of one station. */
  to?: string;
  reply?: boolean;
  /** MAC of the sender in the packet, where it differs from the frame's. */
  sender?: string;
}): BuiltFrame {
  const { from, ip, target, to = BROADCAST, reply = false } = fields;
  const bytes = join(
    word(1),
    word(0x0800),
    [6, 4],
    word(reply ? 2 : 1),
    mac(fields.sender ?? from),
    ipaddr.parse(ip).toByteArray(),
    mac(reply ? to : NO_MAC),
    ipaddr.parse(target).toByteArray(),
  );
  return ether({ from, to, type: 0x0806 }, bytes);
}

/** ICMP, RFC 792: the eight bytes of the header (`rest` is its second half), then `data`. */
export function icmp(type: number, code: number, rest: readonly number[], data: Uint8Array | string = ''): Transport {
  const payload = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  const bytes = join([type, code, 0, 0], rest, payload);
  bytes.set(word(~referenceSum(bytes) & 0xffff), 2);
  return { protocol: 1, bytes, checksumOffset: -1 };
}

/** Echo request, or its answer. */
export function ping(
  identifier: number,
  sequence: number,
  data: Uint8Array | string = 'ping',
  isReply = false,
): Transport {
  return icmp(isReply ? 0 : 8, 0, [...word(identifier), ...word(sequence)], data);
}

/** An error about `packet`, of which as much is quoted as weft quotes. */
export function icmpError(
  type: number,
  code: number,
  packet: Packet,
  rest: readonly number[] = [0, 0, 0, 0],
): Transport {
  return icmp(type, code, rest, packet.bytes.slice(0, 548));
}

/** ICMPv6, RFC 4443; its checksum waits for the pseudo-header. */
export function icmpv6(type: number, code: number, rest: readonly number[], data: Uint8Array | string = ''): Transport {
  const payload = typeof data === 'string' ? new TextEncoder().encode(data) : data;
  return { protocol: 58, bytes: join([type, code, 0, 0], rest, payload), checksumOffset: 2 };
}

export function ping6(
  identifier: number,
  sequence: number,
  data: Uint8Array | string = 'ping',
  isReply = false,
): Transport {
  return icmpv6(isReply ? 129 : 128, 0, [...word(identifier), ...word(sequence)], data);
}

export function icmpv6Error(
  type: number,
  code: number,
  packet: Packet,
  rest: readonly number[] = [0, 0, 0, 0],
): Transport {
  return icmpv6(type, code, rest, packet.bytes.slice(0, 1232));
}

/** Neighbour solicitation, RFC 4861 section 4.3. `link`: MAC of the sender, null without the option. */
export function solicitation(target: string, link: string | null): Transport {
  const option = link === null ? [] : [1, 1, ...mac(link)];
  return icmpv6(135, 0, [0, 0, 0, 0], join(ipaddr.parse(target).toByteArray(), option));
}

/** Neighbour advertisement, section 4.4. */
export function advertisement(
  target: string,
  link: string | null,
  flags: { router?: boolean; solicited?: boolean; override?: boolean } = {},
): Transport {
  const bits = (flags.router ? 0x80 : 0) | (flags.solicited ? 0x40 : 0) | (flags.override ? 0x20 : 0);
  const option = link === null ? [] : [2, 1, ...mac(link)];
  return icmpv6(136, 0, [bits, 0, 0, 0], join(ipaddr.parse(target).toByteArray(), option));
}

export function routerSolicitation(link: string | null): Transport {
  return icmpv6(133, 0, [0, 0, 0, 0], Uint8Array.from(link === null ? [] : [1, 1, ...mac(link)]));
}

/** What stands in a router advertisement of weft (RFC 4861 section 4.2), in the order in which it stands. */
export function routerAdvertisement(fields: {
  link: string;
  mtu: number;
  dhcp?: boolean;
  prefixes: readonly { prefix: string; length: number; autonomous: boolean }[];
  resolver?: string;
}): Transport {
  const { link, mtu, prefixes, resolver } = fields;
  const prefixBytes = prefixes.map(({ prefix, length, autonomous }) =>
    join([3, 4, length, autonomous ? 0xc0 : 0x80], long(5400), long(2700), long(0), ipaddr.parse(prefix).toByteArray()),
  );
  const dns = resolver === undefined ? [] : [25, 3, 0, 0, ...long(1800), ...ipaddr.parse(resolver).toByteArray()];
  const options = join([1, 1, ...mac(link)], [5, 1, 0, 0, ...long(mtu)], ...prefixBytes, dns);
  const head = [64, fields.dhcp ? 0xc0 : 0, ...word(1800)];
  return icmpv6(134, 0, head, join(long(0), long(0), options));
}

/** `33:33:ff:..` of the solicited-node group of an address, and the group (RFC 4291 section 2.7.1). */
export function solicitedNode(address: string): { mac: string; ip: string } {
  const tail = ipaddr.parse(address).toByteArray().slice(13);
  const hex = tail.map((byte) => byte.toString(16).padStart(2, '0'));
  return { mac: `33:33:ff:${hex.join(':')}`, ip: `ff02::1:ff${hex[0]}:${hex[1]}${hex[2]}` };
}

/** The link-local address that belongs to a MAC (RFC 4291 appendix A). */
export function linkLocal(text: string): string {
  const bytes = mac(text);
  const id = [bytes[0]! ^ 2, bytes[1]!, bytes[2]!, 0xff, 0xfe, bytes[3]!, bytes[4]!, bytes[5]!];
  return ipaddr.fromByteArray([0xfe, 0x80, 0, 0, 0, 0, 0, 0, ...id]).toString();
}
