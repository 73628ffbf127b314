/**
 * Lines about ICMP (RFC 792) and ICMPv6 (RFC 4443, 4861, 3810). Used by describe-ip.ts only; `at`, `end` and `length` as
 * there.
 *
 * @coldPath text for people
 */
import { formatIpv4, formatIpv6 } from './addresses.js';

const ICMP_UNREACHABLE = 3;
const ICMP_REDIRECT = 5;
const ICMP_TYPES: Record<number, string> = {
  0: 'echo reply',
  [ICMP_UNREACHABLE]: 'unreachable',
  4: 'source quench',
  [ICMP_REDIRECT]: 'redirect',
  8: 'echo request',
  9: 'router advertisement',
  10: 'router solicitation',
  11: 'time exceeded',
  12: 'parameter problem',
  13: 'timestamp request',
  14: 'timestamp reply',
};
/** Codes of `unreachable`, IANA "ICMP Parameters". */
const UNREACHABLE_CODES: Record<number, string> = {
  0: 'net unreachable',
  1: 'host unreachable',
  2: 'protocol unreachable',
  3: 'port unreachable',
  4: 'need to frag',
  9: 'net prohibited',
  10: 'host prohibited',
  13: 'admin prohibited',
};
const NEED_TO_FRAGMENT = 4;

const ICMPV6_TOO_BIG = 2;
const NEIGHBOR_SOLICITATION = 135;
const NEIGHBOR_ADVERTISEMENT = 136;
const ICMPV6_TYPES: Record<number, string> = {
  1: 'unreachable',
  [ICMPV6_TOO_BIG]: 'packet too big',
  3: 'time exceeded',
  4: 'parameter problem',
  128: 'echo request',
  129: 'echo reply',
  130: 'multicast listener query',
  131: 'multicast listener report',
  132: 'multicast listener done',
  133: 'router solicitation',
  134: 'router advertisement',
  [NEIGHBOR_SOLICITATION]: 'neighbor solicitation',
  [NEIGHBOR_ADVERTISEMENT]: 'neighbor advertisement',
  137: 'redirect',
  143: 'multicast listener report v2',
};

export function describeIcmp(view: DataView, at: number, end: number, length: number): string {
  if (at + 8 > end) return `ICMP [|icmp], length ${length}`;
  const type = view.getUint8(at);
  const code = view.getUint8(at + 1);
  let what = ICMP_TYPES[type] ?? `type ${type}, code ${code}`;
  if (type === 0 || type === 8) what += `, id ${view.getUint16(at + 4)}, seq ${view.getUint16(at + 6)}`;
  else if (type === ICMP_REDIRECT) what += ` to ${formatIpv4(view.getInt32(at + 4))}`;
  else if (type === ICMP_UNREACHABLE) {
    what = UNREACHABLE_CODES[code] ?? `unreachable, code ${code}`;
    if (code === NEED_TO_FRAGMENT) what += `, mtu ${view.getUint16(at + 6)}`;
    // The packet that could not be delivered follows; its destination says where the fault is.
    if (at + 28 <= end) what += ` for ${formatIpv4(view.getInt32(at + 24))}`;
  }
  return `ICMP ${what}, length ${length}`;
}

export function describeIcmpv6(view: DataView, at: number, end: number, length: number): string {
  if (at + 8 > end) return `ICMP6 [|icmp6], length ${length}`;
  const type = view.getUint8(at);
  let what = ICMPV6_TYPES[type] ?? `type ${type}, code ${view.getUint8(at + 1)}`;
  if (type === 128 || type === 129) what += `, id ${view.getUint16(at + 4)}, seq ${view.getUint16(at + 6)}`;
  else if (type === ICMPV6_TOO_BIG) what += `, mtu ${view.getUint32(at + 4)}`;
  else if ((type === NEIGHBOR_SOLICITATION || type === NEIGHBOR_ADVERTISEMENT) && at + 24 <= end) {
    what += `, ${type === NEIGHBOR_SOLICITATION ? 'who has' : 'target'} ${formatIpv6(view, at + 8)}`;
  }
  return `ICMP6, ${what}, length ${length}`;
}
