/**
 * What a DHCPv4 server answers, RFC 2131 section 4.3, for a network in which every client has its address already: the one that
 * IPAM gave to its endpoint. A lease is therefore nothing that could be used up, lost or stolen: who asks is known by the port
 * that it asks from, and gets the address of that endpoint or nothing.
 *
 * Pure: no clock, no network. dhcp-service.ts finds out who asks and sends what comes of it.
 */
import {
  ACK,
  addressOption,
  DECLINE,
  type Dhcp4Message,
  DISCOVER,
  INFORM,
  NAK,
  OFFER,
  OPTION,
  RELEASE,
  REPLY,
  REQUEST,
  REQUEST_ADDRESS,
  writeDhcp4,
} from '../../wire/dhcp4.js';
import { writeDomainList } from '../../wire/domain-list.js';
import type { DhcpIgnored, DhcpMessageName } from './dhcp-tally.js';

/** What all clients of a network are told. Addresses are int32 in host order. */
export interface Dhcp4Network {
  /** The gateway addresses: each of them names this server. */
  gateways: readonly number[];
  nameServers: readonly number[];
  domain: string | null;
  mtu: number;
  leaseSeconds: number;
  routes: readonly ClasslessRoute[];
}

export interface ClasslessRoute {
  destination: number;
  prefix: number;
  via: number;
}

/** The endpoint whose port the message came from. */
export interface Dhcp4Client {
  hostName: string;
  mac: Uint8Array;
  /** Its addresses, the one that it gets unless it wants another first. */
  addresses: readonly ClientAddress[];
  hasDefaultRoute: boolean;
  /** What the client has just refused because somebody else uses it. */
  declined: readonly number[];
}

export interface ClientAddress {
  address: number;
  prefix: number;
  gateway: number;
}

export type Dhcp4Decision =
  | { kind: 'answer'; name: DhcpMessageName; bytes: Uint8Array; address: number; to: number }
  /** The client tells something and expects no answer. */
  | { kind: 'heard'; name: 'decline' | 'release'; address: number }
  | { kind: 'ignored'; why: DhcpIgnored };

/** Destination of an answer that is a broadcast, 255.255.255.255. */
export const BROADCAST = -1;

/** RFC 2131 section 2: what every client takes in one IP datagram, and the headers of that. */
const MIN_DATAGRAM_BYTES = 576;
const HEADER_BYTES = 28;
const WRONG_NETWORK = 'this address is not the one of your endpoint';

/** Name of the message type of a request, for counting; null for what no client sends. */
export function requestName(message: Dhcp4Message): DhcpMessageName | null {
  if (message.operation !== REQUEST) return null;
  return REQUEST_NAMES[typeOf(message)] ?? null;
}

const REQUEST_NAMES: Record<number, DhcpMessageName> = {
  [DISCOVER]: 'discover',
  [REQUEST_ADDRESS]: 'request',
  [DECLINE]: 'decline',
  [RELEASE]: 'release',
  [INFORM]: 'inform',
};

/** `message` is one that `requestName` has a name for. */
export function answerDhcp4(message: Dhcp4Message, network: Dhcp4Network, client: Dhcp4Client): Dhcp4Decision {
  if (message.relayAddress !== 0) return ignored('relayed');
  if (!message.hardware.every((byte, index) => byte === client.mac[index])) return ignored('foreign-mac');
  const server = addressOption(message, OPTION.serverId);
  if (server !== null && !network.gateways.includes(server)) return ignored('other-server');
  switch (typeOf(message)) {
    case DISCOVER:
      return answerDiscover(message, network, client);
    case REQUEST_ADDRESS:
      return answerRequest(message, network, client);
    case DECLINE: {
      const address = addressOption(message, OPTION.requestedAddress);
      return address !== null && find(client, address) !== null
        ? { kind: 'heard', name: 'decline', address }
        : ignored('no-address');
    }
    case RELEASE:
      return find(client, message.clientAddress) === null
        ? ignored('no-address')
        : { kind: 'heard', name: 'release', address: message.clientAddress };
    default:
      return answerInform(message, network, client);
  }
}

/** RFC 2131 section 4.3.1; with rapid commit (RFC 4039) the lease is given at once. */
function answerDiscover(message: Dhcp4Message, network: Dhcp4Network, client: Dhcp4Client): Dhcp4Decision {
  const wanted = addressOption(message, OPTION.requestedAddress);
  const lease = (wanted === null ? null : find(client, wanted)) ?? client.addresses[0];
  if (lease === undefined) return ignored('no-address');
  if (client.declined.includes(lease.address)) return ignored('declined');
  const isRapid = message.options.has(OPTION.rapidCommit);
  return grant(isRapid ? ACK : OFFER, isRapid, message, network, client, lease);
}

/** RFC 2131 section 4.3.2: the states of a client show in what it fills in. */
function answerRequest(message: Dhcp4Message, network: Dhcp4Network, client: Dhcp4Client): Dhcp4Decision {
  const isSelecting = message.options.has(OPTION.serverId);
  const requested = addressOption(message, OPTION.requestedAddress);
  // SELECTING and INIT-REBOOT name the address in the option, RENEWING and REBINDING have it already.
  const address = isSelecting || message.clientAddress === 0 ? requested : message.clientAddress;
  if (address === null) return ignored('malformed');
  if (client.addresses.length === 0) return ignored('no-address');
  const lease = find(client, address);
  if (lease === null) return refuse(message, network, client);
  if (client.declined.includes(lease.address)) return ignored('declined');
  return grant(ACK, false, message, network, client, lease);
}

/** RFC 2131 section 4.3.5: parameters for who has its address by other means. */
function answerInform(message: Dhcp4Message, network: Dhcp4Network, client: Dhcp4Client): Dhcp4Decision {
  const lease = find(client, message.clientAddress);
  if (lease === null) return ignored('no-address');
  const options = new Map([
    ...heading(ACK, lease.gateway),
    ...echo(message),
    ...parameters(message, network, client, lease),
  ]);
  const bytes = reply(message, network, { ...message, yourAddress: 0, options });
  return { kind: 'answer', name: 'ack', bytes, address: lease.address, to: lease.address };
}

function grant(
  type: number,
  isRapid: boolean,
  message: Dhcp4Message,
  network: Dhcp4Network,
  client: Dhcp4Client,
  lease: ClientAddress,
): Dhcp4Decision {
  const { leaseSeconds } = network;
  const options = new Map([
    ...heading(type, lease.gateway),
    ...(isRapid ? ([[OPTION.rapidCommit, new Uint8Array(0)]] as const) : []),
    [OPTION.leaseTime, word32(leaseSeconds)],
    // RFC 2131 section 4.4.5.
    [OPTION.renewalTime, word32(Math.floor(leaseSeconds / 2))],
    [OPTION.rebindingTime, word32(Math.floor((leaseSeconds * 7) / 8))],
    ...echo(message),
    ...parameters(message, network, client, lease),
  ]);
  // RFC 2131 section 4.3.1, table 3: an offer has no ciaddr.
  const clientAddress = type !== OFFER && message.clientAddress === lease.address ? lease.address : 0;
  const bytes = reply(message, network, { ...message, clientAddress, yourAddress: lease.address, options });
  const name = type === OFFER ? 'offer' : 'ack';
  return { kind: 'answer', name, bytes, address: lease.address, to: destinationOf(message, lease.address) };
}

/** RFC 2131 section 4.1: a client with an address gets unicast there, one without where it can take it. */
function destinationOf(message: Dhcp4Message, address: number): number {
  if (message.clientAddress === address) return address;
  return message.wantsBroadcast ? BROADCAST : address;
}

/** RFC 2131 section 4.3.2: a refusal is a broadcast, because the client may have no address that is good for anything here. */
function refuse(message: Dhcp4Message, network: Dhcp4Network, client: Dhcp4Client): Dhcp4Decision {
  const first = client.addresses[0]!;
  const options = new Map([
    ...heading(NAK, first.gateway),
    ...echo(message),
    [OPTION.message, new TextEncoder().encode(WRONG_NETWORK)],
  ]);
  const bytes = reply(message, network, { ...message, clientAddress: 0, yourAddress: 0, options });
  return { kind: 'answer', name: 'nak', bytes, address: first.address, to: BROADCAST };
}

function reply(request: Dhcp4Message, { mtu }: Dhcp4Network, message: Dhcp4Message): Uint8Array {
  const asked = request.options.get(OPTION.maxMessageBytes);
  const most = asked?.length === 2 ? Math.max(MIN_DATAGRAM_BYTES, asked[0]! * 256 + asked[1]!) : MIN_DATAGRAM_BYTES;
  return writeDhcp4({ ...message, operation: REPLY }, Math.min(most, mtu) - HEADER_BYTES);
}

type Options = [number, Uint8Array][];

function heading(type: number, server: number): Options {
  return [
    [OPTION.messageType, Uint8Array.of(type)],
    [OPTION.serverId, word32(server)],
  ];
}

/** RFC 6842: a client that names itself gets the name back. */
function echo({ options }: Dhcp4Message): Options {
  const clientId = options.get(OPTION.clientId);
  return clientId === undefined ? [] : [[OPTION.clientId, clientId]];
}

/** What the client asks for, or everything when it does not say; the most important first. */
function parameters(
  message: Dhcp4Message,
  network: Dhcp4Network,
  client: Dhcp4Client,
  { address, prefix, gateway }: ClientAddress,
): Options {
  const list = message.options.get(OPTION.parameterList);
  const isWanted = (code: number) => list === undefined || list.includes(code);
  const mask = prefix === 0 ? 0 : (-1 << (32 - prefix)) | 0;
  const options: Options = [[OPTION.subnetMask, word32(mask)]];
  const put = (code: number, value: Uint8Array) => {
    if (isWanted(code) && value.length > 0) options.push([code, value]);
  };
  const routes = network.routes.length > 0 && isWanted(OPTION.classlessRoutes);
  // RFC 3442: who takes classless routes ignores the router, so the default route is among them.
  if (routes) put(OPTION.classlessRoutes, classlessRoutes(network.routes, client.hasDefaultRoute ? gateway : null));
  else if (client.hasDefaultRoute) put(OPTION.router, word32(gateway));
  put(OPTION.nameServer, Uint8Array.from(network.nameServers.flatMap((server) => [...word32(server)])));
  put(OPTION.domainName, new TextEncoder().encode(network.domain ?? ''));
  put(OPTION.mtu, Uint8Array.of(network.mtu >> 8, network.mtu & 0xff));
  put(OPTION.hostName, new TextEncoder().encode(client.hostName));
  if (prefix < 31) put(OPTION.broadcast, word32(address | ~mask));
  put(OPTION.domainSearch, writeDomainList(network.domain === null ? [] : [network.domain]));
  return options;
}

/** RFC 3442: prefix length, the bytes of the destination that it covers, next hop. */
function classlessRoutes(routes: readonly ClasslessRoute[], gateway: number | null): Uint8Array {
  const all = gateway === null ? routes : [...routes, { destination: 0, prefix: 0, via: gateway }];
  return Uint8Array.from(
    all.flatMap(({ destination, prefix, via }) => {
      const significant = word32(destination).subarray(0, (prefix + 7) >> 3);
      return [prefix, ...significant, ...word32(via)];
    }),
  );
}

function find({ addresses }: Dhcp4Client, address: number): ClientAddress | null {
  return addresses.find((own) => own.address === address) ?? null;
}

function typeOf({ options }: Dhcp4Message): number {
  const type = options.get(OPTION.messageType);
  return type?.length === 1 ? type[0]! : 0;
}

function ignored(why: DhcpIgnored): Dhcp4Decision {
  return { kind: 'ignored', why };
}

function word32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}
