/**
 * DHCPv4 messages, RFC 2131 section 2, and their options, RFC 2132; options in several parts as RFC 3396 wants them put together,
 * and options in the fields `file` and `sname` (overload, RFC 2132 section 9.3).
 *
 *   0        1        2        3        4                 8        10       12
 *  +--------+--------+--------+--------+-----------------+--------+--------+
 *  |   op   | htype  |  hlen  |  hops  |       xid       |  secs  | flags  |
 *  +--------+--------+--------+--------+-----------------+--------+--------+
 *   12 ciaddr, 16 yiaddr, 20 siaddr, 24 giaddr, 28 chaddr (16), 44 sname (64), 108 file (128), 236 cookie, 240 options
 *
 * Addresses are int32 in host order, as everywhere (wire/addresses.ts).
 *
 * @coldPath a service of the control thread
 */

export const SERVER_PORT = 67;
export const CLIENT_PORT = 68;

const CHADDR_AT = 28;
const SNAME_AT = 44;
const SNAME_BYTES = 64;
const FILE_AT = 108;
const FILE_BYTES = 128;
const COOKIE_AT = 236;
const COOKIE = 0x63825363;
const OPTIONS_AT = 240;
/** BOOTP (RFC 951) messages have 300 bytes, and there are clients and relays that insist. */
const MIN_MESSAGE_BYTES = 300;
const ETHERNET = 1;
const ETHERNET_BYTES = 6;
const BROADCAST_FLAG = 0x8000;
const MAX_OPTION_BYTES = 255;

export const REQUEST = 1;
export const REPLY = 2;

/** DHCP message types, RFC 2132 section 9.6. */
export const DISCOVER = 1;
export const OFFER = 2;
export const REQUEST_ADDRESS = 3;
export const DECLINE = 4;
export const ACK = 5;
export const NAK = 6;
export const RELEASE = 7;
export const INFORM = 8;

/** Option codes, IANA "BOOTP Vendor Extensions and DHCP Options". */
export const OPTION = {
  pad: 0,
  subnetMask: 1,
  router: 3,
  nameServer: 6,
  hostName: 12,
  domainName: 15,
  mtu: 26,
  broadcast: 28,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  parameterList: 55,
  message: 56,
  maxMessageBytes: 57,
  renewalTime: 58,
  rebindingTime: 59,
  clientId: 61,
  rapidCommit: 80,
  domainSearch: 119,
  classlessRoutes: 121,
  end: 255,
} as const;

export interface Dhcp4Message {
  operation: number;
  transaction: number;
  /** The client cannot take unicast before it has its address (RFC 2131 section 4.1). */
  wantsBroadcast: boolean;
  /** ciaddr, yiaddr, giaddr; 0 = none. */
  clientAddress: number;
  yourAddress: number;
  relayAddress: number;
  /** Six bytes. */
  hardware: Uint8Array;
  /** By code; the parts of one option put together. */
  options: Map<number, Uint8Array>;
}

/** null for anything but a sound message of an Ethernet station. */
export function readDhcp4(bytes: Uint8Array): Dhcp4Message | null {
  if (bytes.length < OPTIONS_AT) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(COOKIE_AT) !== COOKIE) return null;
  if (bytes[1] !== ETHERNET || bytes[2] !== ETHERNET_BYTES) return null;
  const options = new Map<number, Uint8Array>();
  if (!readOptions(bytes.subarray(OPTIONS_AT), options)) return null;
  const overload = options.get(OPTION.overload);
  const where = overload?.length === 1 ? overload[0]! : 0;
  // RFC 3396 section 5: the options field first, then file, then sname.
  if ((where & 1) !== 0 && !readOptions(bytes.subarray(FILE_AT, FILE_AT + FILE_BYTES), options)) return null;
  if ((where & 2) !== 0 && !readOptions(bytes.subarray(SNAME_AT, SNAME_AT + SNAME_BYTES), options)) return null;
  return {
    operation: bytes[0]!,
    transaction: view.getUint32(4),
    wantsBroadcast: (view.getUint16(10) & BROADCAST_FLAG) !== 0,
    clientAddress: view.getInt32(12),
    yourAddress: view.getInt32(16),
    relayAddress: view.getInt32(24),
    hardware: bytes.slice(CHADDR_AT, CHADDR_AT + ETHERNET_BYTES),
    options,
  };
}

/** Adds to `options` what stands in one field. False when an option reaches beyond its end. */
function readOptions(field: Uint8Array, options: Map<number, Uint8Array>): boolean {
  for (let at = 0; at < field.length; ) {
    const code = field[at]!;
    if (code === OPTION.end) return true;
    if (code === OPTION.pad) {
      at++;
      continue;
    }
    const length = at + 1 < field.length ? field[at + 1]! : MAX_OPTION_BYTES;
    const end = at + 2 + length;
    if (end > field.length) return false;
    const former = options.get(code);
    const part = field.slice(at + 2, end);
    options.set(code, former === undefined ? part : Uint8Array.from([...former, ...part]));
    at = end;
  }
  return true;
}

/** An int32 option, or null when it is missing or has another length. */
export function addressOption({ options }: Dhcp4Message, code: number): number | null {
  const value = options.get(code);
  return value?.length === 4 ? new DataView(value.buffer, value.byteOffset, 4).getInt32(0) : null;
}

/**
 * Bytes of a message of at most `maxBytes` (576 less IP and UDP headers is what every client takes). `message.options` stand in
 * the order of their importance: what does not fit the options field goes to `file` and `sname`, and what finds no room there
 * either is left out.
 */
export function writeDhcp4(message: Dhcp4Message, maxBytes: number): Uint8Array {
  const fields = distribute(message.options, Math.max(MIN_MESSAGE_BYTES, maxBytes) - OPTIONS_AT);
  const bytes = new Uint8Array(Math.max(MIN_MESSAGE_BYTES, OPTIONS_AT + fields.options.length + 1));
  const view = new DataView(bytes.buffer);
  bytes[0] = message.operation;
  bytes[1] = ETHERNET;
  bytes[2] = ETHERNET_BYTES;
  view.setUint32(4, message.transaction);
  view.setUint16(10, message.wantsBroadcast ? BROADCAST_FLAG : 0);
  view.setInt32(12, message.clientAddress);
  view.setInt32(16, message.yourAddress);
  view.setInt32(24, message.relayAddress);
  bytes.set(message.hardware, CHADDR_AT);
  view.setUint32(COOKIE_AT, COOKIE);
  putField(bytes, OPTIONS_AT, fields.options);
  if (fields.file.length > 0) putField(bytes, FILE_AT, fields.file);
  if (fields.sname.length > 0) putField(bytes, SNAME_AT, fields.sname);
  return bytes;
}

function putField(bytes: Uint8Array, at: number, options: readonly number[]): void {
  bytes.set(options, at);
  bytes[at + options.length] = OPTION.end;
}

interface Fields {
  options: number[];
  file: number[];
  sname: number[];
}

/** `room`: bytes of the options field. Each field needs one for its end, and the first three more to tell of the others. */
function distribute(options: ReadonlyMap<number, Uint8Array>, room: number): Fields {
  const all = [...options].map(([code, value]) => encoded(code, value));
  const total = all.reduce((sum, bytes) => sum + bytes.length, 0);
  if (total + 1 <= room) return { options: all.flat(), file: [], sname: [] };
  const fields: Fields = { options: [], file: [], sname: [] };
  for (const bytes of all) {
    if (fields.options.length + bytes.length <= room - 4) fields.options.push(...bytes);
    else if (fields.file.length + bytes.length < FILE_BYTES) fields.file.push(...bytes);
    else if (fields.sname.length + bytes.length < SNAME_BYTES) fields.sname.push(...bytes);
  }
  const where = (fields.file.length > 0 ? 1 : 0) | (fields.sname.length > 0 ? 2 : 0);
  if (where !== 0) fields.options.push(OPTION.overload, 1, where);
  return fields;
}

/** RFC 3396: a value of more than 255 bytes stands in several parts. */
function encoded(code: number, value: Uint8Array): number[] {
  const bytes: number[] = [];
  let at = 0;
  do {
    const part = value.subarray(at, at + MAX_OPTION_BYTES);
    bytes.push(code, part.length, ...part);
    at += MAX_OPTION_BYTES;
  } while (at < value.length);
  return bytes;
}
