/** Plain traffic for millions of frames: what the heap test and the micro-benchmark run through a rig. */
import type { Program } from '../../src/datapath/program.js';
import type { MacTable } from '../../src/tables/mac-table.js';
import {
  BROADCAST,
  ether,
  GSO_TCP4,
  ipv4,
  numberedMac,
  pattern,
  superFrame,
  type TestFrame,
  tcp,
  udp,
  vnetBytes,
} from './frame-builders.js';
import { buildProgram, DEFAULT_NETWORK, type PortSettings } from './program-builder.js';
import type { FrameSource } from './rig.js';

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

export const WORKLOADS: readonly Workload[] = [
  workload('unicast, 60 B', [{}, {}], [small(1, 2)]),
  workload('unicast, 60 B, 65536 stations', [{}, {}], numbered(MANY_MACS)),
  workload('flood to 100 ports, 60 B', new Array<PortSettings>(101).fill({}), [broadcast()]),
  workload('VLAN tag pushed, 60 B', [{ vlan: 10 }, { vlan: { allowed: [10] } }], [small(1, 2)]),
  workload('checksum finished, 1514 B', [{}, { accepts: 0 }], [partialFrame()]),
  workload('super-frame, 64 KiB, whole', [{}, {}], [largest()]),
  workload('super-frame, 64 KiB, cut into 45', [{}, { accepts: 0 }], [largest()]),
];

function workload(name: string, ports: PortSettings[], frames: readonly TestFrame[]): Workload {
  const placed = ports.map((port, index) => ({ ...port, index, serial: index + 1 }));
  const program = buildProgram(1, new Map([[DEFAULT_NETWORK, {}]]), placed);
  const known = frames.length > 1 ? frames.map((_, n) => ({ mac: numberedMac(n), port: RECEIVER })) : [];
  if (frames.length === 1) known.push({ mac: numberedMac(2), port: RECEIVER });
  const isHeavy = ports.length > 2 || frames[0]!.bytes.length > 2000;
  return { name, program, senders: [SENDER], isHeavy, known, source: rotating(frames) };
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

function largest(): TestFrame {
  const frame = ether({ from: numberedMac(1), to: numberedMac(2) }, ipv4(V4, tcp({}, pattern(65_495))));
  return superFrame(frame, GSO_TCP4, 1460);
}

/** Lets the switch hear the stations of a workload. */
export function introduce(macs: MacTable, workload: Workload): void {
  for (const { mac, port } of workload.known) {
    const view = new DataView(Uint8Array.from(mac.split(':'), (digits) => Number.parseInt(digits, 16)).buffer);
    macs.learn(0, workload.program.portVlan[port]!, view.getUint16(0), view.getInt32(2), port, 0, MANY_MACS * 2);
  }
}
