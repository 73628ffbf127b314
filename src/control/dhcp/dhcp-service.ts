/**
 * The DHCP servers of all networks: takes what the datapath punts, finds out whose port it came from, has dhcp4-server.ts or
 * dhcp6-server.ts answer, and sends the answer out through that port.
 *
 * Leases are what IPAM gave (dhcp4-server.ts says why), so nothing here has to outlive the daemon: what is kept is what the
 * operator was told, and what a client has just declined. Both are bounded by the number of endpoints and their addresses.
 */
import type { CapturedFrame } from '../../capture/capture-ring-reader.js';
import type { EndpointRecord, NetworkRecord } from '../../model/desired-state.js';
import { MAX_OUTBOUND_BYTES } from '../../ports/outbound-ring.js';
import { formatIpv4, formatIpv6Bytes } from '../../wire/addresses.js';
import * as dhcp4 from '../../wire/dhcp4.js';
import * as dhcp6 from '../../wire/dhcp6.js';
import { readUdpFrame, type UdpDatagram, writeUdpFrame } from '../../wire/udp-frame.js';
import { type Context, warn } from '../context.js';
import type { DhcpCount } from '../controller.js';
import type { Attachment } from '../port-table.js';
import { PuntReader } from '../punt-reader.js';
import { bytesOfMac, dhcp4ClientOf, dhcp4NetworkOf, dhcp6ClientOf, dhcp6NetworkOf } from './dhcp-parameters.js';
import { DHCP_IGNORED, type DhcpIgnored, type DhcpMessageName } from './dhcp-tally.js';
import { answerDhcp4, BROADCAST, requestName } from './dhcp4-server.js';
import { answerDhcp6, request6Name } from './dhcp6-server.js';

/** How long an address is not offered to the client that has declined it: whoever else has it may be gone by then. */
const DECLINE_MS = 10_000;

/** What one attachment of an endpoint has asked and said before. */
interface History {
  /** Serial of the attachment. */
  serial: number;
  /** What the operator was told of it. */
  told: Set<string>;
  /** Until when addresses are not offered to it, by text; same clock as `now`. */
  declined: Map<string, number>;
}

/** Who asks: the endpoint that the port belongs to now. */
interface Asker {
  attachment: Attachment;
  endpoint: EndpointRecord;
  network: NetworkRecord;
  gatewayMac: Uint8Array;
}

export interface DhcpServiceParts {
  context: Context;
  /** Monotonic, in ms. */
  now: () => number;
}

export class DhcpService {
  private readonly context: Context;
  private readonly now: () => number;
  /** By endpoint. */
  private readonly histories = new Map<string, History>();
  private readonly tallies = new Map<string, Map<string, number>>();
  private readonly punts: PuntReader;

  constructor({ context, now }: DhcpServiceParts) {
    this.context = context;
    this.now = now;
    const { punts } = context.datapath.tables;
    this.punts = new PuntReader(punts, (frame) => this.serve(frame));
  }

  /** Serves until it is stopped. */
  start(): void {
    void this.punts.run();
  }

  stop(): void {
    this.punts.stop();
  }

  /** A frame that the datapath has punted. Never throws: what it says is the sender's affair. */
  private serve(frame: CapturedFrame): void {
    const datagram = readUdpFrame(frame.bytes.subarray(frame.at, frame.at + frame.captured));
    const attachment = this.context.ports.attachmentAt(frame.port);
    const why = datagram === null || attachment === null ? 'malformed' : this.serveDatagram(attachment, datagram);
    if (why !== null) this.count(attachment?.network ?? '', why);
  }

  /** Everything that happened since the daemon started, in no order. */
  counts(): DhcpCount[] {
    return [...this.tallies].flatMap(([network, tally]) =>
      [...tally].map(([what, count]) => ({ network, what, isIgnored: IGNORED.has(what), count })),
    );
  }

  private askerOf(attachment: Attachment): Asker | null {
    const { state, ports } = this.context;
    const endpoint = attachment.endpoint === null ? undefined : state.endpoints.get(attachment.endpoint);
    const network = state.networks.get(attachment.network);
    const program = ports.latest;
    if (endpoint === undefined || network === undefined || program === null) return null;
    const row = ports.rowOfNetwork(attachment.network);
    const gatewayMac = bytesOfMac(program.gatewayMacHigh[row] ?? 0, program.gatewayMacLow[row] ?? 0);
    return { attachment, endpoint, network, gatewayMac };
  }

  /** Like the functions below: null, or why it was left alone. */
  private serveDatagram(attachment: Attachment, datagram: UdpDatagram): DhcpIgnored | null {
    const asker = this.askerOf(attachment);
    if (asker === null) return 'no-endpoint';
    const { family, destinationPort } = datagram;
    if (family === 4 && destinationPort === dhcp4.SERVER_PORT) return this.serve4(asker, datagram);
    if (family === 6 && destinationPort === dhcp6.SERVER_PORT) return this.serve6(asker, datagram);
    return 'not-a-request';
  }

  private serve4(asker: Asker, datagram: UdpDatagram): DhcpIgnored | null {
    const { attachment, endpoint, network } = asker;
    const { name } = network.spec;
    const message = dhcp4.readDhcp4(datagram.payload);
    if (message === null) return 'malformed';
    const request = requestName(message);
    const settings = dhcp4NetworkOf(network);
    if (request === null || settings === null) return 'not-a-request';
    this.count(name, request);
    const client = dhcp4ClientOf(endpoint, network, this.declinedBy(asker));
    const decision = answerDhcp4(message, settings, client);
    if (decision.kind === 'ignored') return decision.why;
    if (decision.kind === 'heard') {
      if (decision.name === 'decline') this.noteDecline(asker, formatIpv4(decision.address));
      return null;
    }
    const isSent = this.send(attachment, {
      family: 4,
      sourceMac: asker.gatewayMac,
      destinationMac: decision.to === BROADCAST ? ALL_STATIONS : message.hardware,
      source: word32(gatewayOf(client.addresses, decision.address)),
      destination: word32(decision.to),
      sourcePort: dhcp4.SERVER_PORT,
      destinationPort: dhcp4.CLIENT_PORT,
      payload: decision.bytes,
    });
    if (!isSent) return 'busy';
    this.count(name, decision.name);
    if (decision.name === 'ack' && request !== 'inform') this.noteLease(asker, formatIpv4(decision.address));
    return null;
  }

  private serve6(asker: Asker, datagram: UdpDatagram): DhcpIgnored | null {
    const { attachment, endpoint, network, gatewayMac } = asker;
    const { name } = network.spec;
    const message = dhcp6.readDhcp6(datagram.payload);
    const settings = dhcp6NetworkOf(network, gatewayMac);
    // RFC 8415 section 16: clients ask the group of all servers, from their link-local address.
    if (message === null || !isLinkLocal(datagram.source)) return 'malformed';
    const request = request6Name(message);
    if (request === null || settings === null || datagram.destination[0] !== 0xff) return 'not-a-request';
    this.count(name, request);
    const client = dhcp6ClientOf(endpoint, datagram.sourceMac, this.declinedBy(asker));
    const decision = answerDhcp6(message, settings, client);
    if (decision.kind === 'ignored') return decision.why;
    const isSent = this.send(attachment, {
      family: 6,
      sourceMac: gatewayMac,
      destinationMac: datagram.sourceMac,
      source: linkLocalOf(gatewayMac),
      destination: datagram.source,
      sourcePort: dhcp6.SERVER_PORT,
      destinationPort: dhcp6.CLIENT_PORT,
      payload: decision.bytes,
    });
    if (!isSent) return 'busy';
    this.count(name, decision.name);
    for (const address of decision.leased) this.noteLease(asker, formatIpv6Bytes(address));
    for (const address of decision.declined) this.noteDecline(asker, formatIpv6Bytes(address));
    return null;
  }

  private send({ port, serial }: Attachment, datagram: UdpDatagram): boolean {
    const frame = writeUdpFrame(datagram);
    if (frame.length > MAX_OUTBOUND_BYTES || !this.context.outbound.write(port, serial, frame, null)) return false;
    this.context.datapath.wake();
    return true;
  }

  /** The first lease of an attachment is an event; renewals are the daily business. */
  private noteLease(asker: Asker, address: string): void {
    const { name } = asker.endpoint.spec;
    const message = `endpoint ${name} has leased ${address} by DHCP`;
    if (!this.isNews(asker, message)) return;
    this.context.events.add({ type: 'dhcp-leased', object: 'endpoint', name, message });
  }

  private noteDecline(asker: Asker, address: string): void {
    const { name } = asker.endpoint.spec;
    this.historyOf(asker).declined.set(address, this.now() + DECLINE_MS);
    const message = `endpoint ${name} declined ${address}: it says that another station uses it`;
    if (this.isNews(asker, message)) warn(this.context, message, 'endpoint', name);
  }

  private isNews(asker: Asker, message: string): boolean {
    const { told } = this.historyOf(asker);
    if (told.has(message)) return false;
    told.add(message);
    return true;
  }

  /** Addresses that the client has just declined. */
  private declinedBy(asker: Asker): string[] {
    const now = this.now();
    return [...this.historyOf(asker).declined].filter(([, until]) => until > now).map(([address]) => address);
  }

  private historyOf({ endpoint, attachment: { serial } }: Asker): History {
    const { name } = endpoint.spec;
    const known = this.histories.get(name);
    if (known?.serial === serial) return known;
    const history: History = { serial, told: new Set(), declined: new Map() };
    this.histories.set(name, history);
    forgetLost(this.histories, this.context.state.endpoints);
    return history;
  }

  private count(network: string, what: DhcpMessageName | DhcpIgnored): void {
    let tally = this.tallies.get(network);
    if (tally === undefined) {
      tally = new Map();
      this.tallies.set(network, tally);
      forgetLost(this.tallies, this.context.state.networks);
    }
    tally.set(what, (tally.get(what) ?? 0) + 1);
  }
}

const IGNORED: ReadonlySet<string> = new Set(DHCP_IGNORED);

const ALL_STATIONS = Uint8Array.of(255, 255, 255, 255, 255, 255);

/** Entries of what has been deleted go when new ones come, so there are never more than there were objects at once. */
function forgetLost(entries: Map<string, unknown>, objects: ReadonlyMap<string, unknown>): void {
  if (entries.size <= objects.size) return;
  for (const name of entries.keys()) if (!objects.has(name)) entries.delete(name);
}

function gatewayOf(addresses: readonly { address: number; gateway: number }[], address: number): number {
  return addresses.find((own) => own.address === address)?.gateway ?? 0;
}

function word32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/** fe80::/10 (RFC 4291 section 2.5.6). */
function isLinkLocal(address: Uint8Array): boolean {
  return address[0] === 0xfe && (address[1]! & 0xc0) === 0x80;
}

/** fe80:: with the MAC as modified EUI-64 (RFC 4291 appendix A). */
function linkLocalOf(mac: Uint8Array): Uint8Array {
  const address = new Uint8Array(16);
  address.set([0xfe, 0x80]);
  address.set([mac[0]! ^ 2, mac[1]!, mac[2]!, 0xff, 0xfe, mac[3]!, mac[4]!, mac[5]!], 8);
  return address;
}
