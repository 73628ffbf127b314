/**
 * What a DHCP message says in a few words: what it is, of which client, about which address. Used by describe-ip.ts only.
 *
 * @coldPath text for people
 */
import { formatIpv4, formatMac } from './addresses.js';
import * as dhcp4 from './dhcp4.js';
import * as dhcp6 from './dhcp6.js';

/** RFC 2132 section 9.6. */
const NAMES = ['', 'discover', 'offer', 'request', 'decline', 'ack', 'nak', 'release', 'inform'];
/** RFC 8415 section 7.3. */
const NAMES6 = [
  '',
  ...['solicit', 'advertise', 'request', 'confirm', 'renew', 'rebind'],
  ...['reply', 'release', 'decline', 'reconfigure', 'information-request'],
];

/** A UDP datagram between these ports, whose payload begins at `at`; null when it is no DHCP message, or not all of it is here. */
export function describeDhcp(view: DataView, from: number, to: number, at: number, end: number): string | null {
  if (end <= at) return null;
  const payload = new Uint8Array(view.buffer, view.byteOffset + at, end - at);
  if (isBetween(from, to, dhcp4.CLIENT_PORT, dhcp4.SERVER_PORT)) return describe4(payload);
  return isBetween(from, to, dhcp6.CLIENT_PORT, dhcp6.SERVER_PORT) ? describe6(payload) : null;
}

function isBetween(from: number, to: number, client: number, server: number): boolean {
  return (from === client || from === server) && (to === client || to === server);
}

function describe4(payload: Uint8Array): string | null {
  const message = dhcp4.readDhcp4(payload);
  if (message === null) return null;
  const name = NAMES[message.options.get(dhcp4.OPTION.messageType)?.[0] ?? 0];
  if (!name) return null;
  const { hardware, yourAddress, clientAddress } = message;
  const mac = new DataView(hardware.buffer, hardware.byteOffset, hardware.length);
  const wanted = dhcp4.addressOption(message, dhcp4.OPTION.requestedAddress) ?? 0;
  const address = yourAddress || wanted || clientAddress;
  const about = address === 0 ? '' : `, address ${formatIpv4(address)}`;
  return `DHCP ${name}, client ${formatMac(mac.getUint16(0), mac.getInt32(2))}${about}`;
}

function describe6(payload: Uint8Array): string | null {
  const message = dhcp6.readDhcp6(payload);
  return message === null ? null : `DHCPv6 ${NAMES6[message.type]}`;
}
