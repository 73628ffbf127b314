/**
 * What a DHCPv6 server answers, RFC 8415 sections 16 and 18.3, for a network in which every client has its addresses already: those
 * that IPAM gave to its endpoint (dhcp4-server.ts says why). Stations that have addresses from router advertisements ask for
 * parameters alone, which everybody gets.
 *
 * Pure: dhcp-service.ts finds out who asks and sends what comes of it.
 */
import {
  ADVERTISE,
  type Association,
  CONFIRM,
  DECLINE,
  type Dhcp6Message,
  INFORMATION_REQUEST,
  MAX_DUID_BYTES,
  OPTION6,
  option6,
  REBIND,
  RELEASE,
  RENEW,
  REPLY,
  REQUEST,
  readAssociation,
  SOLICIT,
  writeAssociation,
  writeDhcp6,
} from '../../wire/dhcp6.js';
import { writeDomainList } from '../../wire/domain-list.js';
import type { DhcpIgnored, DhcpMessageName } from './dhcp-tally.js';

/** What all clients of a network are told. */
export interface Dhcp6Network {
  /** MAC of the gateway, which the name of the server (its DUID) is made of. */
  mac: Uint8Array;
  /** 16 bytes each. */
  nameServers: readonly Uint8Array[];
  domain: string | null;
  leaseSeconds: number;
  /** Whether an address belongs to the network. */
  isOnLink(address: Uint8Array): boolean;
}

/** The endpoint whose port the message came from. */
export interface Dhcp6Client {
  /** Whether it is the endpoint itself that asks, not somebody behind it. */
  isOwnMac: boolean;
  /** 16 bytes each. */
  addresses: readonly Uint8Array[];
  /** It has just refused one because somebody else uses it. */
  hasDeclined: boolean;
}

export type Dhcp6Decision =
  | {
      kind: 'answer';
      name: DhcpMessageName;
      bytes: Uint8Array;
      /** Addresses that the client has from now on. */
      leased: readonly Uint8Array[];
      /** Addresses that it says somebody else uses. */
      declined: readonly Uint8Array[];
    }
  | { kind: 'ignored'; why: DhcpIgnored };

/** RFC 8415 section 7.6. */
const MIN_REFRESH_SECONDS = 600;
/** Status codes, RFC 8415 section 21.13. */
const SUCCESS = 0;
const NO_ADDRESSES_AVAILABLE = 2;
const NOT_ON_LINK = 4;
const NO_PREFIX_AVAILABLE = 6;
/** DUID type 3 (RFC 8415 section 11.4), hardware type Ethernet. */
const DUID_LINK_LAYER = [0, 3, 0, 1];
/** What fits a frame with everything else. */
const MAX_ADDRESSES = 16;
const MAX_ASSOCIATIONS = 8;

const REQUEST_NAMES: Record<number, DhcpMessageName> = {
  [SOLICIT]: 'solicit',
  [REQUEST]: 'request6',
  [CONFIRM]: 'confirm',
  [RENEW]: 'renew',
  [REBIND]: 'rebind',
  [RELEASE]: 'release6',
  [DECLINE]: 'decline6',
  [INFORMATION_REQUEST]: 'information-request',
};

/** Name of the type of a request, for counting; null for what no client sends. */
export function request6Name({ type }: Dhcp6Message): DhcpMessageName | null {
  return REQUEST_NAMES[type] ?? null;
}

type Options = Dhcp6Message['options'];

/** `message` is one that `request6Name` has a name for. */
export function answerDhcp6(message: Dhcp6Message, network: Dhcp6Network, client: Dhcp6Client): Dhcp6Decision {
  const why = whyDiscarded(message, network);
  if (why !== null) return ignored(why);
  if (message.type === INFORMATION_REQUEST) return reply(message, network, REPLY, parameters(message, network));
  const associations = associationsOf(message);
  if (associations === null) return ignored('malformed');
  if (!client.isOwnMac) return ignored('foreign-mac');
  switch (message.type) {
    case CONFIRM:
      return confirm(message, network, associations);
    case RELEASE:
    case DECLINE: {
      const named = associations.flatMap(({ addresses }) => addresses.map(({ address }) => address));
      const declined = message.type === DECLINE ? named.filter((address) => isOwn(client, address)) : [];
      return { ...reply(message, network, REPLY, [status(SUCCESS)]), declined };
    }
    default:
      return lease(message, network, client, associations);
  }
}

/** RFC 8415 section 16: who must be named in a message, and who must not. */
function whyDiscarded(message: Dhcp6Message, network: Dhcp6Network): DhcpIgnored | null {
  const { type } = message;
  const client = option6(message, OPTION6.clientId);
  const server = option6(message, OPTION6.serverId);
  if (client !== null && (client.length < 3 || client.length > MAX_DUID_BYTES)) return 'malformed';
  if (server !== null && !isEqual(server, duidOf(network))) return 'other-server';
  if (type === INFORMATION_REQUEST) {
    return message.options.some(({ code }) => ASSOCIATIONS.includes(code)) ? 'malformed' : null;
  }
  if (client === null) return 'malformed';
  const isForAnybody = type === SOLICIT || type === CONFIRM || type === REBIND;
  return isForAnybody === (server === null) ? null : 'malformed';
}

const ASSOCIATIONS: readonly number[] = [OPTION6.addresses, OPTION6.temporaryAddresses, OPTION6.prefixes];

/** null when one is damaged, or there are more than any client has use for. */
function associationsOf({ options }: Dhcp6Message): Association[] | null {
  const found = options.filter(({ code }) => code === OPTION6.addresses).map(({ value }) => readAssociation(value));
  return found.length > MAX_ASSOCIATIONS || found.includes(null) ? null : (found as Association[]);
}

/** RFC 8415 section 18.3.3: whether addresses that the client has from before are good for this network. */
function confirm(message: Dhcp6Message, network: Dhcp6Network, associations: readonly Association[]): Dhcp6Decision {
  const named = associations.flatMap(({ addresses }) => addresses);
  if (named.length === 0) return ignored('malformed');
  const isGood = named.every(({ address }) => network.isOnLink(address));
  return reply(message, network, REPLY, [status(isGood ? SUCCESS : NOT_ON_LINK)]);
}

/**
 * RFC 8415 sections 18.3.1, 18.3.2, 18.3.4, 18.3.5: the first association gets the addresses of the endpoint, further ones none.
 * Addresses that the client has and that are not its own are taken from it (lifetime 0).
 */
function lease(
  message: Dhcp6Message,
  network: Dhcp6Network,
  client: Dhcp6Client,
  associations: readonly Association[],
): Dhcp6Decision {
  const { leaseSeconds } = network;
  const own = client.hasDeclined ? [] : client.addresses.slice(0, MAX_ADDRESSES);
  const isRenewal = message.type === RENEW || message.type === REBIND;
  const options: Options = associations.map(({ id, addresses }, index) => {
    const given = index === 0 ? own.map((address) => ({ address, validSeconds: leaseSeconds })) : [];
    const foreign = isRenewal ? addresses.filter(({ address }) => !isOwn(client, address)).slice(0, MAX_ADDRESSES) : [];
    const all = [...given, ...foreign.map(({ address }) => ({ address, validSeconds: 0 }))];
    const code = all.length === 0 ? NO_ADDRESSES_AVAILABLE : null;
    return { code: OPTION6.addresses, value: writeAssociation({ id, addresses: all }, code) };
  });
  options.push(...refusedAssociations(message), ...parameters(message, network));
  const isRapid = message.type === SOLICIT && option6(message, OPTION6.rapidCommit) !== null;
  if (isRapid) options.push({ code: OPTION6.rapidCommit, value: new Uint8Array(0) });
  const isOffer = message.type === SOLICIT && !isRapid;
  const leased = isOffer || associations.length === 0 ? [] : own;
  return { ...reply(message, network, isOffer ? ADVERTISE : REPLY, options), leased };
}

/** Temporary addresses and prefixes, which weft does not give. */
function refusedAssociations({ options }: Dhcp6Message): Options {
  const { temporaryAddresses, prefixes } = OPTION6;
  const refused: Options = [];
  for (const { code, value } of options) {
    const id = value.subarray(0, 4);
    if (id.length < 4 || refused.length >= MAX_ASSOCIATIONS) continue;
    if (code === temporaryAddresses) refused.push({ code, value: join(id, statusBytes(NO_ADDRESSES_AVAILABLE)) });
    // Without T1 and T2.
    if (code === prefixes) {
      refused.push({ code, value: join(id, new Uint8Array(8), statusBytes(NO_PREFIX_AVAILABLE)) });
    }
  }
  return refused;
}

function reply(
  message: Dhcp6Message,
  network: Dhcp6Network,
  type: number,
  more: Options,
): Dhcp6Decision & { kind: 'answer' } {
  const client = option6(message, OPTION6.clientId);
  const options: Options = client === null ? [] : [{ code: OPTION6.clientId, value: client }];
  options.push({ code: OPTION6.serverId, value: duidOf(network) }, ...more);
  const bytes = writeDhcp6({ type, transaction: message.transaction, options });
  return { kind: 'answer', name: type === ADVERTISE ? 'advertise' : 'reply', bytes, leased: [], declined: [] };
}

/** What the client asks for, or everything when it does not say. */
function parameters(message: Dhcp6Message, network: Dhcp6Network): Options {
  const list = option6(message, OPTION6.optionRequest);
  const isWanted = (code: number) => list === null || includes16(list, code);
  const refresh = Math.max(MIN_REFRESH_SECONDS, network.leaseSeconds);
  const isInformation = message.type === INFORMATION_REQUEST;
  const all = [
    { code: OPTION6.nameServers, value: join(...network.nameServers) },
    { code: OPTION6.domainSearch, value: writeDomainList(network.domain === null ? [] : [network.domain]) },
    { code: OPTION6.refreshTime, value: isInformation ? word32(refresh) : new Uint8Array(0) },
  ];
  return all.filter(({ code, value }) => isWanted(code) && value.length > 0);
}

function status(code: number): Options[number] {
  return { code: OPTION6.statusCode, value: Uint8Array.of(0, code) };
}

/** An option with a status code, inside of another. */
function statusBytes(code: number): Uint8Array {
  return Uint8Array.of(0, OPTION6.statusCode, 0, 2, 0, code);
}

function duidOf({ mac }: Dhcp6Network): Uint8Array {
  return Uint8Array.from([...DUID_LINK_LAYER, ...mac]);
}

function isOwn({ addresses }: Dhcp6Client, address: Uint8Array): boolean {
  return addresses.some((own) => isEqual(own, address));
}

function includes16(list: Uint8Array, code: number): boolean {
  for (let at = 0; at + 2 <= list.length; at += 2) if (list[at]! * 256 + list[at + 1]! === code) return true;
  return false;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function word32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

function ignored(why: DhcpIgnored): Dhcp6Decision {
  return { kind: 'ignored', why };
}
