/**
 * DHCPv6 messages between client and server, RFC 8415 section 8, and their options, section 21.1.
 *
 *   0        1                          4
 *  +--------+--------------------------+---------------------------------------
 *  |  type  |      transaction         | options: code (2), length (2), value
 *  +--------+--------------------------+---------------------------------------
 *
 * @coldPath a service of the control thread
 */

export const SERVER_PORT = 547;
export const CLIENT_PORT = 546;

/** Message types, RFC 8415 section 7.3. */
export const SOLICIT = 1;
export const ADVERTISE = 2;
export const REQUEST = 3;
export const CONFIRM = 4;
export const RENEW = 5;
export const REBIND = 6;
export const REPLY = 7;
export const RELEASE = 8;
export const DECLINE = 9;
export const INFORMATION_REQUEST = 11;

/** Option codes, IANA "DHCPv6 Option Codes". */
export const OPTION6 = {
  clientId: 1,
  serverId: 2,
  /** IA_NA, and an address in it. */
  addresses: 3,
  temporaryAddresses: 4,
  address: 5,
  optionRequest: 6,
  statusCode: 13,
  rapidCommit: 14,
  nameServers: 23,
  domainSearch: 24,
  prefixes: 25,
  refreshTime: 32,
} as const;

const OPTIONS_AT = 4;
const OPTION_HEADER_BYTES = 4;
/** A DUID has at most 128 bytes besides its type (RFC 8415 section 11.1). */
export const MAX_DUID_BYTES = 130;

export interface Dhcp6Message {
  type: number;
  /** 24 bits. */
  transaction: number;
  /** In the order of the message; a code may stand there more than once. */
  options: { code: number; value: Uint8Array }[];
}

/** Identity association: the addresses that one use of the client's has (RFC 8415 section 21.4). */
export interface Association {
  id: number;
  /** 16 bytes each, with what their option says besides. */
  addresses: { address: Uint8Array; validSeconds: number }[];
}

const ASSOCIATION_BYTES = 12;
const ADDRESS_BYTES = 24;

/** null when an option reaches beyond the end, or the message is one between relays (their types have another layout). */
export function readDhcp6(bytes: Uint8Array): Dhcp6Message | null {
  if (bytes.length < OPTIONS_AT) return null;
  const type = bytes[0]!;
  if (type < SOLICIT || type > INFORMATION_REQUEST) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const options = readOptions(bytes, OPTIONS_AT);
  return options === null ? null : { type, transaction: view.getUint32(0) & 0xffffff, options };
}

function readOptions(bytes: Uint8Array, from: number): Dhcp6Message['options'] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const options: Dhcp6Message['options'] = [];
  for (let at = from; at < bytes.length; ) {
    if (at + OPTION_HEADER_BYTES > bytes.length) return null;
    const end = at + OPTION_HEADER_BYTES + view.getUint16(at + 2);
    if (end > bytes.length) return null;
    options.push({ code: view.getUint16(at), value: bytes.slice(at + OPTION_HEADER_BYTES, end) });
    at = end;
  }
  return options;
}

/** The value of an option IA_NA; null when it is damaged. */
export function readAssociation(value: Uint8Array): Association | null {
  const options = value.length < ASSOCIATION_BYTES ? null : readOptions(value, ASSOCIATION_BYTES);
  if (options === null) return null;
  const id = new DataView(value.buffer, value.byteOffset, 4).getUint32(0);
  const association: Association = { id, addresses: [] };
  for (const option of options) {
    if (option.code !== OPTION6.address) continue;
    if (option.value.length < ADDRESS_BYTES) return null;
    const validSeconds = new DataView(option.value.buffer, option.value.byteOffset, ADDRESS_BYTES).getUint32(20);
    association.addresses.push({ address: option.value.slice(0, 16), validSeconds });
  }
  return association;
}

/**
 * `status`: a code (RFC 8415 section 21.13) where there is something to be said. T1 and T2 are what section 21.4 recommends of the
 * shortest time.
 */
export function writeAssociation({ id, addresses }: Association, status: number | null): Uint8Array {
  const lifetimes = addresses.map(({ validSeconds }) => validSeconds).filter((seconds) => seconds > 0);
  const shortest = lifetimes.length === 0 ? 0 : Math.min(...lifetimes);
  const options = addresses.map(({ address, validSeconds }) => {
    const value = Uint8Array.from([...address, ...word32(validSeconds), ...word32(validSeconds)]);
    return { code: OPTION6.address as number, value };
  });
  if (status !== null) options.push({ code: OPTION6.statusCode, value: Uint8Array.of(status >> 8, status & 0xff) });
  const times = [...word32(Math.floor(shortest / 2)), ...word32(Math.floor((shortest * 4) / 5))];
  return Uint8Array.from([...word32(id), ...times, ...writeOptions(options)]);
}

export function writeDhcp6({ type, transaction, options }: Dhcp6Message): Uint8Array {
  return Uint8Array.from([...word32((type << 24) | transaction), ...writeOptions(options)]);
}

function writeOptions(options: Dhcp6Message['options']): number[] {
  return options.flatMap(({ code, value }) => [
    code >> 8,
    code & 0xff,
    value.length >> 8,
    value.length & 0xff,
    ...value,
  ]);
}

function word32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}

/** The value of the first option of a code, or null. */
export function option6({ options }: Dhcp6Message, code: number): Uint8Array | null {
  return options.find((option) => option.code === code)?.value ?? null;
}
