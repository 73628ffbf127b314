/**
 * Follows one frame through the datapath: a datapath of its own, over copies of the program's tables as they are now, with ports
 * that keep what departs. The stages are those of the worker, so what a trace says is what would happen; what the frame would
 * teach the tables or open in them is forgotten with the copies.
 *
 * What is not copied: neighbours that the worker found out by asking (a trace asks anew, and says so), and the budgets of storm
 * control and of ICMP errors.
 */
import { Counters, createCounterMemory, TOTAL, totalAt } from '../../datapath/counters.js';
import { Datapath } from '../../datapath/datapath.js';
import { DROP_REASONS } from '../../datapath/drop-reasons.js';
import type { FrameTap } from '../../datapath/frame-tap.js';
import { createNat, Nat } from '../../datapath/nat.js';
import { MAX_NETWORKS, MAX_PORTS, type Program } from '../../datapath/program.js';
import { Punts } from '../../datapath/punts.js';
import { CONSUMED, DROPPED, FrameVector } from '../../frames/frame-vector.js';
import { createSlab } from '../../frames/slab.js';
import { TransmitQueue } from '../../frames/transmit-queue.js';
import { copyFlowMemory } from '../../tables/flow-memory.js';
import { createMacMemory, listMacs, MAC_CAPACITY, MacTable } from '../../tables/mac-table.js';
import { describeFrame } from '../../wire/describe.js';
import type { TraceView } from '../controller.js';
import type { DatapathHost } from '../worker/datapath-host.js';
import { Narrator, type TraceNames } from './narrator.js';
import { NO_OUTLET, TraceIo } from './trace-io.js';

/** Hashes only have to spread here: nobody sends more than one frame. */
const SEED = 0x7ace;
/** Flows for which a datapath without a flow table has room. */
const SPARE_FLOWS = 1024;

const SILENT: FrameTap & { lost: number } = { lost: 0, setTime() {}, record() {}, recordSplit() {}, commit() {} };

/** `bytes` is a whole Ethernet frame that arrives at `port`. */
export function traceFrame(
  host: DatapathHost,
  program: Program,
  names: TraceNames,
  port: number,
  bytes: Uint8Array,
): Omit<TraceView, 'from'> {
  const slab = createSlab();
  const frames = new FrameVector(slab);
  const queue = new TransmitQueue(slab);
  const io = new TraceIo(slab, frames, queue);
  const nowMs = new Counters(host.tables.counters).values[totalAt(TOTAL.nowMs)]!;
  const macs = new MacTable(createMacMemory(), MAX_PORTS, MAX_NETWORKS, SEED);
  const memory = copyFlowMemory(host.flows);
  const nat = memory === null ? createNat(SPARE_FLOWS, SEED, SEED, nowMs) : new Nat(memory, SEED, SEED, nowMs);
  const datapath = new Datapath({
    slab,
    frames,
    queue,
    io,
    injector: io,
    outlet: NO_OUTLET,
    punts: new Punts(SILENT),
    macs,
    nat,
    counters: new Counters(createCounterMemory()),
    tap: SILENT,
    nowMs: () => nowMs,
    wallMs: () => 0,
    seed: SEED,
  });
  datapath.adopt({ ...program, captureSnaplen: 0 });
  for (const row of listMacs(host.tables.macs)) {
    if (row.isStatic) continue;
    macs.learn(row.network, row.vlan, row.macHigh, row.macLow, row.port, row.lastSeenMs, MAC_CAPACITY);
  }
  // What a router has to say when it starts is not about this frame.
  datapath.turn(0);
  io.departures.length = 0;
  const narrator = new Narrator(frames, slab, program, nat, names);
  datapath.observer = narrator;
  io.put(port, bytes);
  datapath.turn(0);
  return {
    frame: describe(bytes, true),
    steps: narrator.steps,
    ...fateOf(frames),
    departures: departuresOf(io, names),
  };
}

function fateOf(frames: FrameVector): Pick<TraceView, 'fate' | 'drop'> {
  const verdict = frames.verdict[0]!;
  if (verdict === CONSUMED) return { fate: 'consumed', drop: null };
  if (verdict !== DROPPED) return { fate: 'forwarded', drop: null };
  const { name, sentence, hint } = DROP_REASONS[frames.reason[0]!]!;
  return { fate: 'dropped', drop: { reason: name, sentence, hint } };
}

/** What goes to one port counts once, however many segments or fragments it is. */
function departuresOf({ departures }: TraceIo, names: TraceNames): TraceView['departures'] {
  const byPort = new Map<number, TraceView['departures'][number]>();
  for (const { port, bytes } of departures) {
    const known = byPort.get(port);
    if (known === undefined) {
      byPort.set(port, { to: names.port(port), frames: 1, bytes: bytes.length, frame: describe(bytes, false) });
    } else {
      known.frames++;
      known.bytes += bytes.length;
    }
  }
  return [...byPort.values()];
}

function describe(bytes: Uint8Array, withMacs: boolean): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return describeFrame(view, 0, bytes.length, bytes.length, withMacs);
}
