/**
 * Follows one frame through the datapath: a datapath of its own, over copies of the program's tables as they are now, with ports
 * that keep what departs. The stages are those of the worker, so what a trace says is what would happen; what the frame would
 * teach the tables or open in them is forgotten with the copies.
 *
 * A frame from another VTEP comes in encapsulated, at the port of the VTEP of this host; what leaves through a tunnel is shown as it is
 * inside, and as it is outside in a step of its own.
 *
 * What is not copied: neighbours that the worker found out by asking (a trace asks anew, and says so), and the budgets of storm
 * control and of ICMP errors.
 */
import { Counters, createCounterMemory, dropAt, TOTAL, totalAt } from '../../datapath/counters.js';
import { Datapath } from '../../datapath/datapath.js';
import { DROP_REASONS } from '../../datapath/drop-reasons.js';
import type { FrameTap } from '../../datapath/frame-tap.js';
import { createNat, Nat } from '../../datapath/nat.js';
import {
  MAX_NETWORKS,
  MAX_PORTS,
  MAX_REMOTES,
  type Program,
  TUNNEL,
  TUNNEL_INTS,
  VTEP,
  VTEP_INTS,
  VTEP_SOCKET,
} from '../../datapath/program.js';
import { Punts } from '../../datapath/punts.js';
import { CONSUMED, DROPPED, FrameVector } from '../../frames/frame-vector.js';
import { createSlab } from '../../frames/slab.js';
import { TransmitQueue } from '../../frames/transmit-queue.js';
import { copyFlowMemory } from '../../tables/flow-memory.js';
import { createMacMemory, listMacs, MAC_CAPACITY, MacTable } from '../../tables/mac-table.js';
import { createRemoteMemory, listRemotes, RemoteTable } from '../../tables/remote-table.js';
import { describeFrame } from '../../wire/describe.js';
import * as vxlan from '../../wire/vxlan.js';
import { l3OffsetOf, makeSuperFrame } from '../captures/super-frame.js';
import type { TraceView } from '../controller.js';
import type { DatapathHost } from '../worker/datapath-host.js';
import { addressText, Narrator, type TraceNames } from './narrator.js';
import { buildOuterFrame, encapsulated, readOuterFrame } from './outer-frame.js';
import { type Departure, NO_OUTLET, type OuterArrival, TraceIo } from './trace-io.js';

/** Hashes only have to spread here: nobody sends more than one frame. */
const SEED = 0x7ace;
/** Flows for which a datapath without a flow table has room. */
const SPARE_FLOWS = 1024;

const SILENT: FrameTap & { lost: number } = { lost: 0, setTime() {}, record() {}, recordSplit() {}, commit() {} };

/** Where a traced frame comes in: at a port, or through the tunnel of a network (row) from the VTEP with this address. */
export type TraceArrival =
  | { port: number }
  | {
      network: number;
      family: 4 | 6 /** Four words. */;
      vtep: Int32Array /** 4 or 16 bytes. */;
      vtepBytes: Uint8Array;
    };

/** `bytes` is a whole Ethernet frame; `bindings`: rows of all that the worker was told of stations on other hosts. */
export function traceFrame(
  host: DatapathHost,
  program: Program,
  names: TraceNames,
  bindings: Int32Array,
  arrival: TraceArrival,
  bytes: Uint8Array,
): Omit<TraceView, 'from'> {
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const queue = new TransmitQueue(slab);
  const io = new TraceIo(slab, frames, queue);
  const nowMs = new Counters(host.tables.counters).values[totalAt(TOTAL.nowMs)]!;
  const macMemory = createMacMemory();
  const macs = new MacTable(macMemory, MAX_PORTS + MAX_REMOTES, MAX_NETWORKS, SEED);
  const remotes = new RemoteTable(createRemoteMemory(MAX_REMOTES), SEED);
  const memory = copyFlowMemory(host.flows);
  const nat = memory === null ? createNat(SPARE_FLOWS, SEED, SEED, nowMs) : new Nat(memory, SEED, SEED, nowMs);
  const counters = new Counters(createCounterMemory());
  const datapath = new Datapath({
    slab,
    frames,
    queue,
    io,
    injector: io,
    outlet: NO_OUTLET,
    punts: new Punts(SILENT),
    macs,
    remotes,
    nat,
    counters,
    tap: SILENT,
    nowMs: () => nowMs,
    wallMs: () => 0,
    seed: SEED,
  });
  datapath.adopt({ ...program, captureSnaplen: 0 });
  datapath.applyBindings(bindings);
  copyLearned(host, macs, remotes, nowMs);
  // What a router has to say when it starts is not about this frame.
  datapath.turn(0);
  io.departures.length = 0;
  const known = listMacs(macMemory);
  const before = counters.values.slice();
  const narrator = new Narrator({ frames, slab, program, nat, remotes, known, names });
  datapath.observer = narrator;
  if ('port' in arrival) putFrame(io, narrator, program, arrival.port, bytes);
  else io.putOuter(outerArrival(program, arrival, bytes));
  datapath.turn(0);
  // A frame whose datagram is dropped never comes to be, and no stage has anything to look at.
  if (frames.count === 0) narrator.steps.push({ stage: 'decapsulate', says: ['dropped here'] });
  const outside = io.departures.flatMap((departure) => outsideOf(departure, program) ?? []);
  if (outside.length > 0) narrator.steps.push({ stage: 'encapsulate', says: outside.map(({ says }) => says) });
  return {
    frame: describe(bytes, true),
    steps: narrator.steps,
    ...fateOf(frames, before, counters),
    departures: departuresOf(io, program, names),
  };
}

/** A TCP frame that is longer than the MTU: stacks with offloads send such ones, and captures have them. */
function putFrame(io: TraceIo, narrator: Narrator, program: Program, port: number, bytes: Uint8Array): void {
  const frame = Uint8Array.from(bytes);
  const view = new DataView(frame.buffer);
  const l3At = l3OffsetOf(view);
  const mtu = program.networkMtu[program.portNetwork[port]!]!;
  const request = l3At >= 0 && frame.length - l3At > mtu ? makeSuperFrame(view, l3At, mtu) : null;
  io.put(port, frame, request);
  if (request === null) return;
  const says = [`longer than the MTU: a super-frame that stands for segments of ${request.gsoSize} bytes`];
  narrator.steps.push({ stage: 'sender', says });
}

/** What was learned, with the rows that other VTEPs have in the copy. Static entries come with the program and the bindings. */
function copyLearned(host: DatapathHost, macs: MacTable, remotes: RemoteTable, nowMs: number): void {
  const byRow = new Map(listRemotes(host.tables.remotes).map((row) => [row.remote, row]));
  for (const row of listMacs(host.tables.macs)) {
    if (row.isStatic) continue;
    let location = row.port;
    if (location >= MAX_PORTS) {
      const remote = byRow.get(location - MAX_PORTS);
      if (remote === undefined) continue;
      const copy = remotes.intern(remote.vtepKey, remote.family, Int32Array.from(remote.address), 0, nowMs);
      if (copy < 0) continue;
      location = MAX_PORTS + copy;
    }
    macs.learn(row.network, row.vlan, row.macHigh, row.macLow, location, row.lastSeenMs, MAC_CAPACITY);
  }
}

/** The frame as the other VTEP would send it: to a socket the payload of a datagram, to a TAP with everything around. */
function outerArrival(
  program: Program,
  from: Extract<TraceArrival, { network: number }>,
  inner: Uint8Array,
): OuterArrival {
  const tunnelAt = program.networkTunnel[from.network]! * TUNNEL_INTS;
  const { tunnels, vteps } = program;
  const at = tunnels[tunnelAt + TUNNEL.vtep]! * VTEP_INTS;
  const payload = encapsulated(tunnels[tunnelAt + TUNNEL.vni]!, inner);
  const port = vteps[at + VTEP.port]!;
  const headerBytes = program.portHeaderBytes[port]!;
  const sourcePort = vxlan.FIRST_SOURCE_PORT;
  if (vteps[at + VTEP.kind] === VTEP_SOCKET) {
    return { port, bytes: payload, headerBytes: 0, peer: { family: from.family, words: from.vtep, port: sourcePort } };
  }
  const ownBytes = new DataView(new ArrayBuffer(16));
  for (let word = 0; word < 4; word++) ownBytes.setInt32(4 * word, vteps[at + VTEP.address + word]!);
  const source = {
    macHigh: vteps[at + VTEP.hostMacHigh]!,
    macLow: vteps[at + VTEP.hostMacLow]!,
    address: from.vtepBytes,
    port: sourcePort,
  };
  const destination = {
    macHigh: vteps[at + VTEP.ownMacHigh]!,
    macLow: vteps[at + VTEP.ownMacLow]!,
    address: new Uint8Array(ownBytes.buffer, 0, from.vtepBytes.length),
    port: vteps[at + VTEP.udpPort]!,
  };
  return { port, bytes: buildOuterFrame(source, destination, payload), headerBytes, peer: null };
}

/** A frame whose datagram was dropped never came to be; then only the counters say why. `before`: as they were. */
function fateOf(frames: FrameVector, before: Float64Array, { values }: Counters): Pick<TraceView, 'fate' | 'drop'> {
  const reason =
    frames.count > 0
      ? frames.reason[0]!
      : DROP_REASONS.findIndex((_, code) => values[dropAt(code)]! > before[dropAt(code)]!);
  const isDropped = frames.count > 0 ? frames.verdict[0] === DROPPED : reason >= 0;
  if (!isDropped) return { fate: frames.verdict[0] === CONSUMED ? 'consumed' : 'forwarded', drop: null };
  const { name, sentence, hint } = DROP_REASONS[reason]!;
  return { fate: 'dropped', drop: { reason: name, sentence, hint } };
}

/** What goes to one port or VTEP counts once, however many segments or fragments it is. */
function departuresOf({ departures }: TraceIo, program: Program, names: TraceNames): TraceView['departures'] {
  const byTarget = new Map<string, TraceView['departures'][number]>();
  for (const departure of departures) {
    const outside = outsideOf(departure, program);
    const to = outside === null ? names.port(departure.port) : `VTEP ${outside.to}`;
    const bytes = outside?.inner ?? departure.bytes;
    const known = byTarget.get(to);
    if (known === undefined) {
      const text = describe(bytes, false);
      byTarget.set(to, {
        to,
        frames: 1,
        bytes: bytes.length,
        frame: outside === null ? text : `${outside.short}: ${text}`,
      });
    } else {
      known.frames++;
      known.bytes += bytes.length;
    }
  }
  return [...byTarget.values()];
}

interface Outside {
  /** Address of the other VTEP. */
  to: string;
  says: string;
  short: string;
  inner: Uint8Array;
}

/** What is around a departure that is encapsulated; null for any other. */
function outsideOf({ port, bytes, peer }: Departure, program: Program): Outside | null {
  const vtep = program.portVtep[port]!;
  if (vtep < 0) return null;
  const at = vtep * VTEP_INTS;
  if (program.vteps[at + VTEP.kind] === VTEP_SOCKET) {
    if (peer === null) return null;
    const own = addressText(program.vteps, at + VTEP.address, program.vteps[at + VTEP.family]!);
    const to = addressText(peer.words, 0, peer.family);
    return outsideText(bytes, to, `a port of the flow of ${own}`, `${to} port ${peer.port}`);
  }
  const outer = readOuterFrame(bytes);
  if (outer === null) return null;
  const { from, to, sourcePort, port: udpPort, payload } = outer;
  return outsideText(payload, to, `${from} port ${sourcePort}`, `${to} port ${udpPort}`);
}

function outsideText(payload: Uint8Array, to: string, source: string, destination: string): Outside {
  const vni = vxlan.vni(new DataView(payload.buffer, payload.byteOffset, payload.byteLength), 0);
  const inner = payload.subarray(vxlan.HEADER_BYTES);
  const short = `VXLAN, vni ${vni}`;
  return { to, inner, short, says: `VNI ${vni}, UDP ${source} > ${destination}, ${inner.length} bytes inside` };
}

function describe(bytes: Uint8Array, withMacs: boolean): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return describeFrame(view, 0, bytes.length, bytes.length, withMacs);
}
