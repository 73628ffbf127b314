/**
 * From what the user asked to trace to a frame at a port: which attachment it comes in at, and, where it is only described, the
 * addresses that the stack of the compartment would put into it.
 *
 * The destination MAC is that of the station that has the address, as weft knows it, and otherwise that of the gateway, as a
 * compartment with a default route would choose.
 */
import { randomInt } from 'node:crypto';
import { addressWords } from '../../compile/address-rows.js';
import { type Program, TUNNEL, TUNNEL_INTS, VTEP, VTEP_INTS } from '../../datapath/program.js';
import type { NetworkRecord } from '../../model/desired-state.js';
import { contains, formatIp, type Ip, parseIp, parseSubnet } from '../../model/ip.js';
import { hasUplink } from '../../model/network-kind.js';
import { RequestError } from '../../model/problems.js';
import { parseMac } from '../../wire/addresses.js';
import type { Context } from '../context.js';
import type { TraceRequest, TraceView } from '../controller.js';
import type { PortOwner } from '../port-table.js';
import { buildTraceFrame, type TraceStation } from './trace-frame.js';
import { type TraceArrival, traceFrame } from './tracer.js';

const FLAG_BITS: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16, '.': 16, U: 32, E: 64, W: 128 };
const SYN = 2;
const DEFAULT_TTL = 64;
/** Linux: net.ipv4.ip_local_port_range. */
const FIRST_LOCAL_PORT = 32768;
const LAST_LOCAL_PORT = 60999;
const MAC_BYTES = 6;
const NO_MAC = { high: 0xffff, low: -1 };
/** Of a station on another host that nobody has named; locally administered. */
const FOREIGN_MAC = '02:00:00:00:00:01';

export async function trace(context: Context, request: TraceRequest): Promise<TraceView> {
  await context.ports.settled();
  const { latest } = context.ports;
  const { owner, label, vtep } = whereFrom(context, request);
  const bytes =
    request.frame === undefined ? describedFrame(context, request, owner) : Buffer.from(request.frame, 'hex');
  if (latest === null) throw new RequestError('conflict', 'nothing is connected yet', 'attach an endpoint first');
  const names = {
    network: (row: number) => nameOfRow(context, row),
    port: (port: number) => labelOf(context.ports.at(port)),
  };
  const arrival = vtep === null ? { port: owner.port } : arrivalFrom(context, latest, owner, vtep);
  const bindings = context.overlay.bindings.toldRows();
  const view = traceFrame(context.datapath, latest, names, bindings, arrival, bytes);
  if (request.frame === undefined && request.toMac === undefined && isForAll(bytes)) {
    const says = `weft knows no station with ${request.to}: the sender would ask for its MAC; this frame goes to all`;
    view.steps.unshift({ stage: 'sender', says: [says] });
  }
  return { from: label, ...view };
}

function isForAll(bytes: Uint8Array): boolean {
  return bytes.subarray(0, MAC_BYTES).every((byte) => byte === 0xff);
}

/** Who the port belongs to that the frame comes in at; `vtep`: the other VTEP, if it comes from one. */
interface Entrance {
  owner: PortOwner;
  label: string;
  vtep: Ip | null;
}

function whereFrom(context: Context, request: TraceRequest): Entrance {
  const { from, fromUplink, fromVtep } = request;
  if ([from, fromUplink, fromVtep].filter((each) => each !== undefined).length !== 1) {
    throw new RequestError(
      'invalid-request',
      'one of from, fromUplink and fromVtep has to say where the frame comes in',
      '',
    );
  }
  if (fromVtep !== undefined) return tunnelEntrance(context, fromVtep, request.network);
  if (from !== undefined) {
    context.state.endpoint(from);
    const attachment = context.attachments.get(from);
    if (attachment === undefined) {
      throw new RequestError('conflict', `endpoint ${from} is not attached`, `attach it: weft endpoint attach ${from}`);
    }
    return { owner: attachment, label: labelOf(attachment), vtep: null };
  }
  const { spec } = context.state.network(fromUplink!);
  const attachment = context.uplinkAttachments.get(spec.name);
  if (attachment === undefined) {
    const why = hasUplink(spec) ? 'has no uplink now' : `is of type ${spec.type}, and has no uplink`;
    throw new RequestError('conflict', `network ${spec.name} ${why}`, `weft network show ${spec.name} tells more`);
  }
  return { owner: attachment, label: labelOf(attachment), vtep: null };
}

function tunnelEntrance(context: Context, address: string, name: string | undefined): Entrance {
  const vtep = addressOf(address, 'fromVtep');
  if (name === undefined) {
    throw new RequestError('invalid-request', 'fromVtep needs the network whose tunnel it is', 'give network');
  }
  const { spec } = context.state.network(name);
  if (spec.overlay === null) {
    throw new RequestError(
      'conflict',
      `network ${name} is of type ${spec.type}, which has no tunnel`,
      `weft network show ${name} tells more`,
    );
  }
  const owner = context.ports.tunnelPortOf(name);
  if (owner === null)
    throw new RequestError('conflict', `network ${name} has no tunnel now`, 'weft vtep list tells more');
  return { owner, label: `VTEP ${address} through the tunnel of ${name}`, vtep };
}

function arrivalFrom(context: Context, program: Program, owner: PortOwner, vtep: Ip): TraceArrival {
  const network = context.ports.rowOfNetwork(owner.network);
  const tunnel = program.networkTunnel[network]!;
  const at = tunnel < 0 ? -1 : program.tunnels[tunnel * TUNNEL_INTS + TUNNEL.vtep]! * VTEP_INTS;
  if (at < 0 || program.vteps[at + VTEP.port]! < 0) {
    throw new RequestError(
      'conflict',
      `the VTEP of network ${owner.network} is not there now`,
      'weft vtep list tells more',
    );
  }
  if (program.vteps[at + VTEP.family] !== vtep.family) {
    const message = `fromVtep is an IPv${vtep.family} address, but the VTEP of ${owner.network} is of the other family`;
    throw new RequestError('invalid-request', message, '');
  }
  return { network, family: vtep.family, vtep: Int32Array.from(addressWords(vtep)), vtepBytes: bytesOf(vtep) };
}

function labelOf(owner: PortOwner | null): string {
  if (owner === null) return 'nobody';
  if (owner.endpoint !== null) return `endpoint ${owner.endpoint}`;
  const { role, network } = owner;
  if (role === 'tunnel') return `the tunnel of ${network}`;
  if (role === 'underlay') return `VTEP ${network}`;
  if (role === 'uplink') return `the uplink of ${network}`;
  return role === 'service' ? `the services of ${network}` : `the host on ${network}`;
}

function nameOfRow(context: Context, row: number): string {
  const name = context.ports.networkAt(row) ?? `row ${row}`;
  return name !== null && context.ports.rowOfUplink(name) === row ? `the uplink of ${name}` : name;
}

function describedFrame(context: Context, request: TraceRequest, owner: PortOwner): Uint8Array {
  const record = context.state.network(owner.network);
  const to = addressOf(request.to, 'to');
  const source = sourceOf(context, request, owner, to);
  if (source.family !== to.family) {
    throw new RequestError('invalid-request', `${request.source} and ${request.to} are of different families`, '');
  }
  const protocol = request.protocol ?? 'icmp';
  if (protocol !== 'icmp' && request.port === undefined) {
    throw new RequestError('invalid-request', `a port is needed for ${protocol}`, 'give port');
  }
  return buildTraceFrame({
    source: station(sourceMac(context, record, owner, source), source),
    destination: station(request.toMac ?? destinationMac(context, record, owner, to), to),
    protocol,
    sourcePort: request.sourcePort ?? randomInt(FIRST_LOCAL_PORT, LAST_LOCAL_PORT + 1),
    destinationPort: request.port ?? 0,
    flags: request.flags === undefined ? SYN : flagsOf(request.flags),
    ttl: request.ttl ?? DEFAULT_TTL,
    payloadBytes: request.payloadBytes ?? 0,
  });
}

function sourceOf(context: Context, request: TraceRequest, { endpoint }: PortOwner, to: Ip): Ip {
  if (request.source !== undefined) return addressOf(request.source, 'source');
  if (endpoint === null) {
    throw new RequestError('invalid-request', 'a frame from outside needs a source address', 'give source');
  }
  const own = context.state.endpoint(endpoint).spec.ip.map((text) => addressOf(text, 'ip'));
  const found = own.find(({ family }) => family === to.family);
  if (found !== undefined) return found;
  throw new RequestError('invalid-request', `endpoint ${endpoint} has no IPv${to.family} address`, 'give source');
}

/** Of a frame from an uplink: its next hop is the station that knows weft. */
function sourceMac(context: Context, record: NetworkRecord, owner: PortOwner, source: Ip): string | null {
  const { endpoint, network, port, role } = owner;
  if (endpoint !== null) return context.state.endpoint(endpoint).spec.mac;
  if (role === 'tunnel') return ownerOf(context, record, source) ?? FOREIGN_MAC;
  const neighbour = context.uplinks.get(network)?.segment.neighbours[0];
  return neighbour?.mac ?? context.ports.attachmentAt(port)?.request.mac ?? null;
}

function destinationMac(context: Context, record: NetworkRecord, owner: PortOwner, to: Ip): string | null {
  if (owner.role === 'uplink') return record.uplinkMac;
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
  return context.overlay.bindings.macOf(record.spec.name, formatIp(to.family, to.value));
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
