/**
 * Reads what /proc/net/{tcp,tcp6,udp,udp6} say: which sockets of a namespace wait for whoever comes. Pure. Read first:
 * Documentation/networking/proc_net_tcp.rst.
 *
 *   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ...
 *    0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31337 1 ...
 */
import { formatIp } from '../../model/ip.js';
import type { FoundListener } from './kernel.js';

const ROW =
  /^ *\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2})(?: +[\dA-F:]+){5} +(\d+) +\d/;
/** TCP_LISTEN; a UDP socket without a peer is in the state TCP_CLOSE. */
const WAITING = { tcp: '0A', udp: '07' };
/** ::ffff:0:0/96 */
const MAPPED = 0xffffn;

/** In the order of the table. Rows of other states, and what is no row, are left out. */
export function parseSocketTable(text: string, protocol: 'tcp' | 'udp'): FoundListener[] {
  return text.split('\n').flatMap((line) => {
    const [, address, port, state, inode] = ROW.exec(line) ?? [];
    if (address === undefined || port === undefined || state !== WAITING[protocol]) return [];
    return [{ address: formatAddress(address), port: Number.parseInt(port, 16), inode: Number(inode) }];
  });
}

/** The kernel prints the words of an address, which are in network byte order, as if they were numbers of this machine. */
function formatAddress(hex: string): string {
  const words = hex.match(/.{8}/g)!.map((word) => Number.parseInt(word, 16));
  const value = BigInt(`0x${Buffer.from(Uint32Array.from(words).buffer).toString('hex')}`);
  if (words.length === 1) return formatIp(4, value);
  return value >> 32n === MAPPED ? formatIp(4, value & 0xffffffffn) : formatIp(6, value);
}
