/**
 * Addresses as text and as numbers: MAC (IEEE 802), IPv4 (RFC 791), IPv6 (RFC 4291, printed as RFC 5952 wants it).
 *
 * What the hot path uses: a MAC is (high 16 bits, low 32 bits as signed int32), an IPv4 address one signed int32, an IPv6
 * address 16 bytes. Text is for people, so everything here that touches it is off the hot path. Subnets, ranges and
 * arithmetic with addresses are not here: see model/ip.ts.
 *
 * Reading is strict: one spelling per IPv4 address (no `10.1`, no leading zeros, no hex), no zone in an IPv6 address.
 */
import ipaddr from 'ipaddr.js';

export interface MacAddress {
  /** First two bytes, 0..65535. */
  high: number;
  /** Last four bytes, signed int32. */
  low: number;
}

const MAC_TEXT = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}$/i;

/** `02:00:5e:10:00:01`, or with dashes. null when the text is no MAC. @coldPath text */
export function parseMac(text: string): MacAddress | null {
  if (!MAC_TEXT.test(text)) return null;
  const digits = text.replace(/[:-]/g, '');
  return { high: Number.parseInt(digits.slice(0, 4), 16), low: Number.parseInt(digits.slice(4), 16) | 0 };
}

/** Lower case with colons. `high` 0..65535, `low` any int32. @coldPath text */
export function formatMac(high: number, low: number): string {
  const digits = (high & 0xffff).toString(16).padStart(4, '0') + (low >>> 0).toString(16).padStart(8, '0');
  return `${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4, 6)}:${digits.slice(6, 8)}:${digits.slice(8, 10)}:${digits.slice(10)}`;
}

/** IEEE 802 section 8.2: the first bit on the wire marks broadcast and multicast. */
export function isGroupMac(high: number): boolean {
  return (high & 0x0100) !== 0;
}

/** Whether the address may belong to one station: neither group nor all zero. */
export function isStationMac(high: number, low: number): boolean {
  return (high & 0x0100) === 0 && (high | low) !== 0;
}

/** Dotted decimal as signed int32. null when the text is no address. @coldPath text */
export function parseIpv4(text: string): number | null {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) || /(?:^|\.)0[0-9]/.test(text)) return null;
  let address = 0;
  for (const byte of ipaddr.IPv4.parse(text).octets) address = (address << 8) | byte;
  return address;
}

/** `address`: int32, signed or not. @coldPath text */
export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** The 16 bytes of an address. null when the text is none (a zone like `%eth0` is refused too). @coldPath text */
export function parseIpv6(text: string): Uint8Array | null {
  if (text.includes('%') || !text.includes(':') || !ipaddr.IPv6.isValid(text)) return null;
  return Uint8Array.from(ipaddr.IPv6.parse(text).toByteArray());
}

/** RFC 5952: lower case, the longest run of zero groups (at least two) as `::`. `view` holds 16 bytes from `at` on. @coldPath text */
export function formatIpv6(view: DataView, at: number): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push(view.getUint16(at + 2 * i));
  return new ipaddr.IPv6(groups).toRFC5952String();
}

/** As `formatIpv6`, over bytes. @coldPath text */
export function formatIpv6Bytes(bytes: Uint8Array): string {
  return formatIpv6(new DataView(bytes.buffer, bytes.byteOffset, 16), 0);
}
