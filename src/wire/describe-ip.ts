/**
 * Lines about IPv4 (RFC 791), IPv6 (RFC 8200) and what they carry. Used by describe.ts only. `at` is where the header
 * begins, `end` behind the last byte that is here, `length` the bytes on the wire from `at` on (padding may follow the packet).
 *
 * @coldPath text for people
 */
import { formatIpv4, formatIpv6 } from './addresses.js';
import { describeDhcp } from './describe-dhcp.js';
import { describeIcmp, describeIcmpv6 } from './describe-icmp.js';
import * as tcp from './tcp.js';
import * as vxlan from './vxlan.js';

/** IANA protocol numbers. */
const ICMP = 1;
const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;
const NO_NEXT_HEADER = 59;
const PROTOCOL_NAMES: Record<number, string> = {
  2: 'IGMP',
  4: 'IPIP',
  41: 'IPv6',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  89: 'OSPF',
  103: 'PIM',
  112: 'VRRP',
  132: 'SCTP',
};

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
const MAX_EXTENSIONS = 8;

/** In the order of their bits, as tcpdump abbreviates them; ACK, bit 4, is a dot. */
const TCP_FLAGS = 'FSRP.UEWe';

/** Says what is inside of a tunnel: the frame of `length` bytes of which `captured` stand at `at`. */
export type DescribeInner = (view: DataView, at: number, captured: number, length: number) => string;

/** `inner`: null where tunnels are not looked into. */
export function describeIpv4(
  view: DataView,
  at: number,
  end: number,
  length: number,
  inner: DescribeInner | null,
): string {
  if (at + 20 > end) return `IP [|ip], length ${length}`;
  const headerBytes = (view.getUint8(at) & 0x0f) << 2;
  const version = view.getUint8(at) >>> 4;
  const totalLength = view.getUint16(at + 2);
  if (version !== 4) return `IP version ${version}?, length ${length}`;
  if (headerBytes < 20 || totalLength < headerBytes) {
    return `IP bad-length (header ${headerBytes}, packet ${totalLength}), length ${length}`;
  }
  const missing = totalLength > length ? `truncated-ip - ${totalLength - length} bytes missing! ` : '';
  const source = formatIpv4(view.getInt32(at + 12));
  const destination = formatIpv4(view.getInt32(at + 16));
  const protocol = view.getUint8(at + 9);
  const payload = totalLength - headerBytes;
  const fragment = view.getUint16(at + 6);
  const offset = (fragment & 0x1fff) << 3;
  const moreFollow = (fragment & 0x2000) !== 0;
  if (offset > 0) {
    const what = describeFragment(protocol, view.getUint16(at + 4), offset, moreFollow, payload);
    return `${missing}IP ${source} > ${destination}: ${what}`;
  }
  const packetEnd = Math.min(end, at + totalLength);
  const transportAt = at + headerBytes;
  const addresses = { prefix: `${missing}IP`, source, destination };
  const line = describeTransport(view, protocol, transportAt, packetEnd, payload, addresses, inner);
  return moreFollow ? `${line} (first fragment, id ${view.getUint16(at + 4)})` : line;
}

export function describeIpv6(
  view: DataView,
  at: number,
  end: number,
  length: number,
  inner: DescribeInner | null,
): string {
  if (at + 40 > end) return `IP6 [|ip6], length ${length}`;
  const version = view.getUint8(at) >>> 4;
  if (version !== 6) return `IP6 version ${version}?, length ${length}`;
  const payload = view.getUint16(at + 4);
  const missing = payload + 40 > length ? `truncated-ip6 - ${payload + 40 - length} bytes missing! ` : '';
  const addresses = {
    prefix: `${missing}IP6`,
    source: formatIpv6(view, at + 8),
    destination: formatIpv6(view, at + 24),
  };
  const packetEnd = Math.min(end, at + 40 + payload);
  let next = view.getUint8(at + 6);
  let cursor = at + 40;
  for (let i = 0; i < MAX_EXTENSIONS; i++) {
    const isPlain = next === HOP_BY_HOP || next === ROUTING || next === DESTINATION_OPTIONS;
    if (!isPlain && next !== FRAGMENT) break;
    if (cursor + 8 > packetEnd)
      return `${addresses.prefix} ${addresses.source} > ${addresses.destination}: [|ip6 extension]`;
    const header = next;
    next = view.getUint8(cursor);
    if (header === FRAGMENT) {
      const field = view.getUint16(cursor + 2);
      const rest = Math.max(0, payload - (cursor + 8 - at - 40));
      const what = describeFragment(next, view.getUint32(cursor + 4), field & 0xfff8, (field & 1) !== 0, rest);
      return `${addresses.prefix} ${addresses.source} > ${addresses.destination}: ${what}`;
    }
    cursor += (view.getUint8(cursor + 1) + 1) << 3;
  }
  const left = Math.max(0, payload - (cursor - at - 40));
  return describeTransport(view, next, cursor, packetEnd, left, addresses, inner);
}

interface Addresses {
  prefix: string;
  source: string;
  destination: string;
}

/** `length`: bytes of the transport header and its payload, as the IP header has it. */
function describeTransport(
  view: DataView,
  protocol: number,
  at: number,
  end: number,
  length: number,
  { prefix, source, destination }: Addresses,
  inner: DescribeInner | null,
): string {
  const line = `${prefix} ${source} > ${destination}: `;
  switch (protocol) {
    case TCP:
    case UDP: {
      const name = protocol === TCP ? 'tcp' : 'udp';
      if (at + 8 > end) return `${line}[|${name}], length ${length}`;
      const ports = `${prefix} ${source}.${view.getUint16(at)} > ${destination}.${view.getUint16(at + 2)}: `;
      if (protocol === TCP) return ports + describeTcp(view, at, end, length);
      return ports + describeUdp(view, at, end, length, inner);
    }
    case ICMP:
      return line + describeIcmp(view, at, end, length);
    case ICMPV6:
      return line + describeIcmpv6(view, at, end, length);
    case NO_NEXT_HEADER:
      return `${line}no next header, length ${length}`;
    default:
      return `${line}${PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`}, length ${length}`;
  }
}

function describeTcp(view: DataView, at: number, end: number, length: number): string {
  if (at + tcp.HEADER_BYTES > end) return `[|tcp], length ${length}`;
  const headerBytes = tcp.headerBytes(view, at);
  if (headerBytes < tcp.HEADER_BYTES || headerBytes > length)
    return `TCP bad header length ${headerBytes}, length ${length}`;
  const bits = tcp.flags(view, at);
  const payload = length - headerBytes;
  const sequence = tcp.sequence(view, at) >>> 0;
  const hasAck = (bits & 0x10) !== 0;
  const parts = [`Flags [${describeTcpFlags(bits | ((view.getUint8(at + 12) & 1) << 8))}]`];
  // As tcpdump: a plain acknowledgement says nothing with its sequence number.
  if (payload > 0) parts.push(`seq ${sequence}:${(sequence + payload) % 2 ** 32}`);
  else if ((bits & 0x07) !== 0 || !hasAck) parts.push(`seq ${sequence}`);
  if (hasAck) parts.push(`ack ${view.getUint32(at + 8)}`);
  parts.push(`win ${view.getUint16(at + 14)}`, `length ${payload}`);
  return parts.join(', ');
}

/** A length of zero is that of a packet too long to say it (RFC 2675 section 4). */
function describeUdp(view: DataView, at: number, end: number, length: number, inner: DescribeInner | null): string {
  const HEADER_BYTES = 8;
  const claimed = view.getUint16(at + 4);
  if (claimed > 0 && claimed < HEADER_BYTES) return `UDP bad length ${claimed}`;
  const payloadEnd = Math.min(end, at + (claimed || length));
  if (inner !== null && view.getUint16(at + 2) === vxlan.DEFAULT_PORT) {
    const tunnelled = describeVxlan(view, at + HEADER_BYTES, payloadEnd, (claimed || length) - HEADER_BYTES, inner);
    if (tunnelled !== null) return tunnelled;
  }
  const dhcp = describeDhcp(view, view.getUint16(at), view.getUint16(at + 2), at + HEADER_BYTES, payloadEnd);
  return `${dhcp ?? 'UDP'}, length ${(claimed || length) - HEADER_BYTES}`;
}

/** null for what is no frame in VXLAN. `length`: bytes from `at` on the wire; up to `end` they are here. */
function describeVxlan(view: DataView, at: number, end: number, length: number, inner: DescribeInner): string | null {
  if (end < at + vxlan.HEADER_BYTES || !vxlan.check(length) || !vxlan.hasVni(view, at)) return null;
  const frameAt = at + vxlan.HEADER_BYTES;
  return `VXLAN, vni ${vxlan.vni(view, at)}: ${inner(view, frameAt, end - frameAt, length - vxlan.HEADER_BYTES)}`;
}

function describeTcpFlags(bits: number): string {
  let text = '';
  for (let i = 0; i < TCP_FLAGS.length; i++) if ((bits & (1 << i)) !== 0) text += TCP_FLAGS[i];
  return text === '' ? 'none' : text;
}

function describeFragment(protocol: number, id: number, offset: number, moreFollow: boolean, length: number): string {
  const name = PROTOCOL_NAMES[protocol] ?? { [TCP]: 'TCP', [UDP]: 'UDP', [ICMP]: 'ICMP', [ICMPV6]: 'ICMP6' }[protocol];
  return `${name ?? `protocol ${protocol}`} fragment, id ${id}, offset ${offset}${moreFollow ? '+' : ''}, length ${length}`;
}
