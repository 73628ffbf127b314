/** Plain traffic for millions of frames: what the heap test and the micro-benchmark run through a rig. */
import { ACCEPTS_TUNNEL_GSO, MAX_PORTS, type Program } from '../../src/datapath/program.js';
import type { MacTable } from '../../src/tables/mac-table.js';
import {
  BROADCAST,
  type BuiltFrame,
  ether,
  GSO_TCP4,
  ipv4,
  ipv6,
  numberedMac,
  type Packet,
  pattern,
  superFrame,
  TCP_SYN,
  type TestFrame,
  tcp,
  udp,
  vnetBytes,
} from './frame-builders.js';
import { ping } from './network-frames.js';
import {
  ACCEPTS_ALL,
  buildProgram,
  DEFAULT_NETWORK,
  type NetworkSettings,
  type PortSettings,
} from './program-builder.js';
import type { FrameSource } from './rig.js';
import { gatewayMac } from './router-columns.js';
import { tunnelPorts, underlayNetworks, type VtepSettings } from './tunnel-columns.js';

export interface Workload {
  name: string;
  program: Program;
  /** Ports that send. */
  senders: readonly number[];
  /** Its frames are large, or leave many times. */
  isHeavy: boolean;
  /** Stations that the switch has to know, and where they are. */
  known: readonly { mac: string; port: number }[];
  source: FrameSource;
}

const SMALL_PAYLOAD = 18;
const SENDER = 0;
const RECEIVER = 1;
const V4 = { from: '192.0.2.1', to: '192.0.2.2' };
const MANY_MACS = 65_536;

const INSIDE = '10.0.0.2';
const OTHER = '10.0.1.2';
const WORLD = '198.51.100.7';
const INSIDE6 = 'fd00:a::2';
const WORLD6 = '2001:db8:f::7';
const NEXT_HOPS = ['203.0.113.254', '2001:db8:e::fe'];
const TUNNEL_OFFLOAD = { headerBytes: 24, accepts: ACCEPTS_ALL | ACCEPTS_TUNNEL_GSO };
const GATEWAYS: [string, NetworkSettings][] = [
  [
    DEFAULT_NETWORK,
    {
      gateway: {
        addresses: ['10.0.0.1/24', 'fd00:a::1/64'],
        routesTo: ['other'],
        neighbours: [{ address: INSIDE, mac: numberedMac(1), port: 'port0' }],
        nat: {
          filtering: 'endpoint-independent',
          published: [{ protocol: 'udp', port: 53, inside: INSIDE, insidePort: 53 }],
        },
      },
    },
  ],
  [
    'other',
    { gateway: { addresses: ['10.0.1.1/24'], neighbours: [{ address: OTHER, mac: numberedMac(2), port: 'port1' }] } },
  ],
  [
    'uplink',
    {
      gateway: {
        uplinkOf: DEFAULT_NETWORK,
        addresses: ['203.0.113.1/24', '2001:db8:e::1/64'],
        nextHops: NEXT_HOPS,
        neighbours: NEXT_HOPS.map((address) => ({ address, mac: numberedMac(3), port: 'port2' })),
      },
    },
  ],
];
const PUBLISHED = ether(
  { from: numberedMac(3), to: gatewayMac(2) },
  ipv4({ from: WORLD, to: '203.0.113.1' }, udp(4000, 53, pattern(SMALL_PAYLOAD))),
);

export const WORKLOADS: readonly Workload[] = [
  workload('unicast, 60 B', [{}, {}], [small(1, 2)]),
  workload('unicast, 60 B, 65536 stations', [{}, {}], numbered(MANY_MACS)),
  workload('flood to 100 ports, 60 B', new Array<PortSettings>(101).fill({}), [broadcast()]),
  workload('VLAN tag pushed, 60 B', [{ vlan: 10 }, { vlan: { allowed: [10] } }], [small(1, 2)]),
  workload('checksum finished, 1514 B', [{}, { accepts: 0 }], [partialFrame()]),
  workload('super-frame, 64 KiB, whole', [{}, {}], [largest()]),
  workload('super-frame, 64 KiB, cut into 45', [{}, { accepts: 0 }], [largest()]),
  tunnelled('into a tunnel, socket, 60 B', { kind: 'socket' }, 1, small(1, 2)),
  tunnelled('into a tunnel, TAP, 60 B', { kind: 'tap' }, 1, small(1, 2)),
  tunnelled('into a tunnel, TAP, checksum, 1514 B', { kind: 'tap', checksum: true }, 1, partialFrame()),
  tunnelled('into a tunnel, socket, 64 KiB, cut', { kind: 'socket' }, 1, largest()),
  tunnelled('into a tunnel, TAP, 64 KiB, whole', { kind: 'tap', ...TUNNEL_OFFLOAD }, 1, largest(65_400)),
  tunnelled('into a tunnel, 100 peers, 60 B', { kind: 'socket' }, 100, broadcast()),
  remoteStations('2 stations behind 2 VTEPs, 60 B', 2, 2),
  remoteStations('100000 stations behind 1000 VTEPs, 60 B', 100_000, 1000),
  routed('routed, 60 B', toGateway(ipv4({ from: INSIDE, to: OTHER }, udp(4000, 53, pattern(SMALL_PAYLOAD))))),
  routed('NAT, 60 B', toGateway(ipv4({ from: INSIDE, to: WORLD }, udp(4000, 53, pattern(SMALL_PAYLOAD))))),
  routed('NAT, 60 B, 512 flows', ...numberedFlows(512)),
  routed('NAT, IPv6, 80 B', toGateway(ipv6({ from: INSIDE6, to: WORLD6 }, udp(4000, 53, pattern(SMALL_PAYLOAD))))),
  routed('NAT, super-frame, 64 KiB', natStream()),
  routed('published port, 60 B', PUBLISHED),
  routed('ping answered, 98 B', toGateway(ipv4({ from: INSIDE, to: '10.0.0.1' }, ping(1, 1, pattern(56))))),
  routed('time exceeded', toGateway(ipv4({ from: INSIDE, to: OTHER, ttl: 1 }, udp(4000, 53, pattern(SMALL_PAYLOAD))))),
];

function workload(name: string, ports: PortSettings[], frames: readonly TestFrame[]): Workload {
  const placed = ports.map((port, index) => ({ ...port, index, serial: index + 1 }));
  const program = buildProgram(1, new Map([[DEFAULT_NETWORK, {}]]), placed);
  const known = frames.length > 1 ? frames.map((_, n) => ({ mac: numberedMac(n), port: RECEIVER })) : [];
  if (frames.length === 1) known.push({ mac: numberedMac(2), port: RECEIVER });
  const isHeavy = ports.length > 2 || frames[0]!.bytes.length > 2000;
  return { name, program, senders: [SENDER], isHeavy, known, source: rotating(frames) };
}

/** What a station sends goes to `peers` other VTEPs. */
function tunnelled(name: string, vtep: Omit<VtepSettings, 'address'>, peers: number, frame: TestFrame): Workload {
  const vteps = { v: { ...vtep, address: '192.0.2.1' } };
  const floods = Array.from({ length: peers }, (_, n) => `198.18.${n >> 8}.${n & 255}`);
  const networks = new Map<string, NetworkSettings>([
    [DEFAULT_NETWORK, { overlay: { vtep: 'v', vni: 5000, floods } }],
    ...underlayNetworks(vteps),
  ]);
  const ports: [string, PortSettings][] = [['station', {}], ...tunnelPorts(networks, vteps)];
  const placed = ports.map(([port, settings], index) => ({ ...settings, name: port, index, serial: index + 1 }));
  const program = buildProgram(1, networks, placed, 0, vteps);
  const isHeavy = peers > 1 || frame.bytes.length > 2000;
  return { name, program, senders: [SENDER], isHeavy, known: [], source: rotating([frame]) };
}

/** Stations that the switch knows to be behind other VTEPs; a table that is new gives these the rows 0, 1 ... */
function remoteStations(name: string, stations: number, vteps: number): Workload {
  const known = Array.from({ length: stations }, (_, n) => ({ mac: numberedMac(n), port: MAX_PORTS + (n % vteps) }));
  const frames = known.map((_, n) => small(stations + 1, (n * 40503) % stations));
  const template = tunnelled(name, { kind: 'tap' }, vteps, small(1, 2));
  return { ...template, isHeavy: true, known, source: rotating(frames) };
}

/** A station of a nat network, one of another network, and the outside. */
function routed(name: string, ...frames: readonly TestFrame[]): Workload {
  const ports = [{}, { network: 'other' }, { network: 'uplink' }].map((port, index) => {
    return { ...port, index, serial: index + 1, name: `port${index}` };
  });
  const program = buildProgram(1, new Map(GATEWAYS), ports);
  const isHeavy = frames[0]!.bytes.length > 2000;
  return {
    name,
    program,
    senders: [frames[0] === PUBLISHED ? 2 : SENDER],
    isHeavy,
    known: [],
    source: rotating(frames),
  };
}

function toGateway(packet: Packet): BuiltFrame {
  return ether({ from: numberedMac(1), to: gatewayMac(0) }, packet);
}

function numberedFlows(count: number): TestFrame[] {
  return Array.from({ length: count }, (_, n) =>
    toGateway(ipv4({ from: INSIDE, to: WORLD }, udp(4000 + n, 53, pattern(SMALL_PAYLOAD)))),
  );
}

function natStream(): TestFrame {
  return superFrame(
    toGateway(ipv4({ from: INSIDE, to: WORLD }, tcp({ flags: TCP_SYN }, pattern(65_495)))),
    GSO_TCP4,
    1460,
  );
}

/** Writes one frame after the other, for ever. */
function rotating(frames: readonly TestFrame[]): FrameSource {
  const headers = frames.map(({ vnet }) => vnetBytes(vnet));
  const bodies = frames.map(({ bytes }) => bytes);
  let next = 0;
  return (_port, slab, at) => {
    slab.bytes.set(headers[next]!, at - 12);
    slab.bytes.set(bodies[next]!, at);
    const { length } = bodies[next]!;
    next = next + 1 === bodies.length ? 0 : next + 1;
    return length;
  };
}

function small(from: number, to: number): TestFrame {
  return ether({ from: numberedMac(from), to: numberedMac(to) }, ipv4(V4, udp(4000, 53, pattern(SMALL_PAYLOAD))));
}

function broadcast(): TestFrame {
  return ether({ from: numberedMac(1), to: BROADCAST }, ipv4(V4, udp(4000, 53, pattern(SMALL_PAYLOAD))));
}

/** To `count` stations, in an order that no cache likes. */
function numbered(count: number): TestFrame[] {
  return Array.from({ length: count }, (_, n) => small(count + 1, Math.imul(n, 40503) & (count - 1)));
}

function partialFrame(): TestFrame {
  const frame = ether({ from: numberedMac(1), to: numberedMac(2) }, ipv4(V4, tcp({}, pattern(1460))));
  const whole = superFrame(frame, GSO_TCP4, 0);
  return { bytes: whole.bytes, vnet: { ...whole.vnet!, gsoType: 0 } };
}

function largest(payloadBytes = 65_495): TestFrame {
  const frame = ether({ from: numberedMac(1), to: numberedMac(2) }, ipv4(V4, tcp({}, pattern(payloadBytes))));
  return superFrame(frame, GSO_TCP4, 1460);
}

/** Lets the switch hear the stations of a workload. */
export function introduce(macs: MacTable, workload: Workload): void {
  for (const { mac, port } of workload.known) {
    const view = new DataView(Uint8Array.from(mac.split(':'), (digits) => Number.parseInt(digits, 16)).buffer);
    macs.learn(0, workload.program.portVlan[port] ?? 0, view.getUint16(0), view.getInt32(2), port, 0, MANY_MACS * 2);
  }
}
