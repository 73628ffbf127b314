/**
 * From what the user asked to trace to a frame at a port: which attachment it comes in at, and, where it is only described, the
 * addresses that the stack of the compartment would put into it.
 *
 * The destination MAC is that of the station that has the address, as weft knows it, and otherwise that of the gateway, as a
 * compartment with a default route would choose.
 */
import { randomInt } from 'node:crypto';
import type { NetworkRecord } from '../../model/desired-state.js';
import { contains, type Ip, parseIp, parseSubnet } from '../../model/ip.js';
import { RequestError } from '../../model/problems.js';
import { parseMac } from '../../wire/addresses.js';
import type { Context } from '../context.js';
import type { TraceRequest, TraceView } from '../controller.js';
import type { Attachment } from '../port-table.js';
import { buildTraceFrame, type TraceStation } from './trace-frame.js';
import { traceFrame } from './tracer.js';

const FLAG_BITS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, '.': 16, U: 32, E: 64, W: 128 };
const SYN = 2;
const DEFAULT_TTL = 64;
/** Linux: net.ipv4.ip_local_port_range. */
const FIRST_LOCAL_PORT = 32768;
const LAST_LOCAL_PORT = 60999;
const MAC_BYTES = 6;
const NO_MAC = { high: 0xffff, low: -1 };

export async function trace(context: Context, request: TraceRequest): Promise<TraceView> {
  await context.ports.settled();
  const { latest } = context.ports;
  const { attachment, label } = whereFrom(context, request);
  const bytes =
    request.frame === undefined ? describedFrame(context, request, attachment) : Buffer.from(request.frame, 'hex');
  if (latest === null) throw new RequestError('conflict', 'nothing is connected yet', 'attach an endpoint first');
  const names = {
    network: (row: number) => nameOfRow(context, row),
    port: (port: number) => labelOf(context.ports.at(port)),
  };
  const view = traceFrame(context.datapath, latest, names, attachment.port, bytes);
  if (request.frame === undefined && isForAll(bytes)) {
    const says = `weft knows no station with ${request.to}: the sender would ask for its MAC; this frame goes to all`;
    view.steps.unshift({ stage: 'sender', says: [says] });
  }
  return { from: label, ...view };
}

function isForAll(bytes: Uint8Array): boolean {
  return bytes.subarray(0, MAC_BYTES).every((byte) => byte === 0xff);
}

function whereFrom(context: Context, request: TraceRequest): { attachment: Attachment; label: string } {
  const { from, fromUplink } = request;
  if ((from === undefined) === (fromUplink === undefined)) {
    throw new RequestError('invalid-request', 'either from or fromUplink has to say where the frame comes in', '');
  }
  if (from !== undefined) {
    context.state.endpoint(from);
    const attachment = context.attachments.get(from);
    if (attachment === undefined) {
      throw new RequestError('conflict', `endpoint ${from} is not attached`, `attach it: weft endpoint attach ${from}`);
    }
    return { attachment, label: labelOf(attachment) };
  }
  const { spec } = context.state.network(fromUplink!);
  const attachment = context.uplinkAttachments.get(spec.name);
  if (attachment === undefined) {
    const why = spec.type === 'nat' ? 'has no uplink now' : `is of type ${spec.type}, which has no uplink`;
    throw new RequestError('conflict', `network ${spec.name} ${why}`, `weft network show ${spec.name} tells more`);
  }
  return { attachment, label: labelOf(attachment) };
}

function labelOf(attachment: Attachment | null): string {
  if (attachment === null) return 'nobody';
  if (attachment.endpoint !== null) return `endpoint ${attachment.endpoint}`;
  const { role, network } = attachment;
  if (role === 'uplink') return `the uplink of ${network}`;
  return role === 'service' ? `the services of ${network}` : `the host on ${network}`;
}

function nameOfRow(context: Context, row: number): string {
  const name = context.ports.networkAt(row) ?? `row ${row}`;
  return name !== null && context.ports.rowOfUplink(name) === row ? `the uplink of ${name}` : name;
}

function describedFrame(context: Context, request: TraceRequest, attachment: Attachment): Uint8Array {
  const record = context.state.network(attachment.network);
  const to = addressOf(request.to, 'to');
  const source = sourceOf(context, request, attachment, to);
  if (source.family !== to.family) {
    throw new RequestError('invalid-request', `${request.source} and ${request.to} are of different families`, '');
  }
  const protocol = request.protocol ?? 'icmp';
  if (protocol !== 'icmp' && request.port === undefined) {
    throw new RequestError('invalid-request', `a port is needed for ${protocol}`, 'give port');
  }
  return buildTraceFrame({
    source: station(sourceMac(context, attachment), source),
    destination: station(destinationMac(context, record, attachment, to), to),
    protocol,
    sourcePort: request.sourcePort ?? randomInt(FIRST_LOCAL_PORT, LAST_LOCAL_PORT + 1),
    destinationPort: request.port ?? 0,
    flags: request.flags === undefined ? SYN : flagsOf(request.flags),
    ttl: request.ttl ?? DEFAULT_TTL,
    payloadBytes: request.payloadBytes ?? 0,
  });
}

function sourceOf(context: Context, request: TraceRequest, { endpoint }: Attachment, to: Ip): Ip {
  if (request.source !== undefined) return addressOf(request.source, 'source');
  if (endpoint === null) {
    throw new RequestError('invalid-request', 'a frame from an uplink needs a source address', 'give source');
  }
  const own = context.state.endpoint(endpoint).spec.ip.map((text) => addressOf(text, 'ip'));
  const found = own.find(({ family }) => family === to.family);
  if (found !== undefined) return found;
  throw new RequestError('invalid-request', `endpoint ${endpoint} has no IPv${to.family} address`, 'give source');
}

/** Of a frame from an uplink: its next hop is the station that knows weft. */
function sourceMac(context: Context, { endpoint, network, request }: Attachment) {
  if (endpoint !== null) return context.state.endpoint(endpoint).spec.mac;
  const neighbour = context.uplinks.get(network)?.segment.neighbours[0];
  return neighbour?.mac ?? request.mac;
}

function destinationMac(context: Context, record: NetworkRecord, attachment: Attachment, to: Ip): string | null {
  if (attachment.endpoint === null) return record.uplinkMac;
  const isOnSegment = record.spec.subnets.some((text) => {
    const subnet = parseSubnet(text);
    return subnet.ok && contains(subnet.value, to);
  });
  const neighbour = isOnSegment ? ownerOf(context, record, to) : null;
  if (neighbour !== null) return neighbour;
  const gateway = record.gatewayMac ?? record.hostMac;
  if (!isOnSegment && gateway !== null) return gateway;
  const isGateway = record.spec.gateway.some((text) => isSame(parseIp(text), to));
  if (isGateway) return gateway;
  if (isOnSegment) return null;
  const message = `network ${record.spec.name} has no gateway that leads to other networks`;
  throw new RequestError('conflict', message, 'trace to an address of its subnets');
}

function ownerOf(context: Context, record: NetworkRecord, to: Ip): string | null {
  for (const name of record.endpoints) {
    const { spec } = context.state.endpoint(name);
    if (spec.ip.some((text) => isSame(parseIp(text), to))) return spec.mac;
  }
  return null;
}

function isSame(a: Ip | null, b: Ip): boolean {
  return a !== null && a.family === b.family && a.value === b.value;
}

/** A station that nobody knows is asked for first: the frame that the trace shows goes to everybody. */
function station(mac: string | null, ip: Ip): TraceStation {
  const { high, low } = (mac === null ? null : parseMac(mac)) ?? NO_MAC;
  return { macHigh: high, macLow: low, address: bytesOf(ip) };
}

function bytesOf({ family, value }: Ip): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  let rest = value;
  for (let at = bytes.length - 1; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 255n);
  return bytes;
}

function addressOf(text: string | undefined, field: string): Ip {
  if (text === undefined) throw new RequestError('invalid-request', `${field} is needed`, 'give an address');
  const ip = parseIp(text);
  if (ip !== null) return ip;
  throw new RequestError('invalid-request', `${field}: ${JSON.stringify(text)} is no IP address`, 'give an address');
}

function flagsOf(text: string): number {
  let bits = 0;
  for (const letter of text.toUpperCase()) {
    const bit = FLAG_BITS[letter];
    if (bit === undefined) {
      const known = Object.keys(FLAG_BITS).join(' ');
      throw new RequestError('invalid-request', `${JSON.stringify(letter)} is no TCP flag`, `the flags are ${known}`);
    }
    bits |= bit;
  }
  return bits;
}
