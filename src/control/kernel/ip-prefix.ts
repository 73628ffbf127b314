/** An IP address with a prefix length as rtnetlink wants it: family, bytes in network order, length. */
import ipaddr from 'ipaddr.js';
import { KernelError } from './kernel.js';

/** AF_INET and AF_INET6 of linux/socket.h. */
export const AF_INET = 2;
export const AF_INET6 = 10;

export interface IpPrefix {
  family: number;
  bytes: Buffer;
  /** 0..32 or 0..128. */
  length: number;
}

/** `10.0.0.2/24`, `fd00::2/64`; a bare address is one with all bits. Throws `KernelError` EINVAL for anything else. */
export function parsePrefix(text: string): IpPrefix {
  const [address = '', length, ...rest] = text.split('/');
  const isIpv4 = ipaddr.IPv4.isValidFourPartDecimal(address);
  const bits = isIpv4 ? 32 : 128;
  const prefixLength = length === undefined ? bits : Number(length);
  const isLength = /^\d{1,3}$/.test(length ?? '0') && prefixLength <= bits;
  if (rest.length > 0 || !isLength || (!isIpv4 && (!ipaddr.IPv6.isValid(address) || address.includes('%')))) {
    throw new KernelError('parse', text, 'EINVAL', 'not an IP address with a prefix length');
  }
  const bytes = Buffer.from(ipaddr.parse(address).toByteArray());
  return { family: isIpv4 ? AF_INET : AF_INET6, bytes, length: prefixLength };
}

/** Canonical text, `10.0.0.2/24`. */
export function formatPrefix(prefix: IpPrefix): string {
  return `${formatIp(prefix.bytes)}/${prefix.length}`;
}

/** `bytes`: 4 or 16. */
export function formatIp(bytes: Uint8Array): string {
  const address = ipaddr.fromByteArray([...bytes]);
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}

/** The same network with all host bits zero. */
export function networkOf(prefix: IpPrefix): IpPrefix {
  return { ...prefix, bytes: withHostBits(prefix, 0) };
}

/** The last address of the network; null where IPv4 has no broadcast address (RFC 3021: /31, and /32). */
export function broadcastOf(prefix: IpPrefix): Buffer | null {
  return prefix.family === AF_INET && prefix.length <= 30 ? withHostBits(prefix, 0xff) : null;
}

function withHostBits(prefix: IpPrefix, fill: 0 | 0xff): Buffer {
  return Buffer.from(
    prefix.bytes.map((byte, i) => {
      const networkBits = Math.min(8, Math.max(0, prefix.length - 8 * i));
      const hostMask = 0xff >> networkBits;
      return (byte & ~hostMask) | (fill & hostMask);
    }),
  );
}
