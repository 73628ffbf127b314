/**
 * The datapath: everything that happens to frames, one turn at a time. Read `turn` first: it is the list of what happens.
 *
 *   wait       until a port has frames or the control thread rings
 *   receive    injected frames, frames that waited, and ready ports fill the burst, each its fair part;
 *              what came encapsulated is taken out   decapsulate.ts
 *   parse      bytes -> columns                                     stages/parse.ts
 *   ingress    what a port may send (VLAN, MTU, control frames)     stages/ingress.ts
 *   switch     learn, look up, storm control                        stages/switch.ts
 *   router     what is for the gateways of networks: its own stages   router.ts
 *   transmit   departures, each in the form its port takes          stages/transmit.ts
 *   account    settle fates, count, show captured frames, age the MAC table; how long it took: turn-meter.ts
 *
 * Everything hangs off this object and nothing is shared between two of them, so several could share the load. It knows no
 * kernel: frames come and go through a PortIo, time through a clock, and tests drive it over memory.
 *
 * Fairness: the ready list of one wait is served to its end before the next wait, each port with a bounded part of the
 * burst (frames and bytes), so a flooding port costs the others a bounded delay and nothing else.
 *
 * Invariant after each turn: arrivals + originated = forwarded + consumed + dropped (counters.ts).
 */
import { CONSUMED, FORWARDED, type FrameVector } from '../frames/frame-vector.js';
import { BURST_BYTES, BURST_FRAMES, HEADROOM_BYTES, MAX_FRAME_BYTES, type Slab } from '../frames/slab.js';
import type { TransmitQueue } from '../frames/transmit-queue.js';
import { type FrameInjector, type FrameOutlet, type PortIo, READY_ERROR, READY_WAKE } from '../ports/port.js';
import type { MacTable } from '../tables/mac-table.js';
import type { RemoteTable } from '../tables/remote-table.js';
import { StormTable } from '../tables/storm-table.js';
import { ArrivalRecorder } from './arrival-recorder.js';
import { Bindings } from './bindings.js';
import { type Counters, dropAt, PORT, portAt, portDropAt, TOTAL, totalAt } from './counters.js';
import { Decapsulator } from './decapsulate.js';
import { DROP } from './drop-reasons.js';
import type { FrameTap } from './frame-tap.js';
import type { Nat } from './nat.js';
import { OuterRecorder } from './outer-recorder.js';
import { emptyProgram, MAX_PORTS, type Program, STATIC_MAC_INTS } from './program.js';
import type { Punts } from './punts.js';
import { Router } from './router.js';
import { RouterState } from './router-state.js';
import type { StageObserver } from './stage-observer.js';
import { applyIngress } from './stages/ingress.js';
import { parse } from './stages/parse.js';
import { switchFrames } from './stages/switch.js';
import { Transmitter } from './stages/transmit.js';
import { forgetMovedTunnels, Tunnels } from './tunnels.js';
import { TurnMeter } from './turn-meter.js';

/** A ready port may always read this many frames and bytes, however many others are ready. */
const MIN_QUOTA_FRAMES = 8;
const MIN_QUOTA_BYTES = 64 * 1024;
/** Injected frames come first; this leaves three quarters of a burst to the ports, however many wait. */
const INJECTED_BURST_SHIFT = 2;
const INJECTED_BYTES = BURST_BYTES >> INJECTED_BURST_SHIFT;
/** The same for frames that waited: as many again. */
const RETURNED_FRAMES = BURST_FRAMES >> INJECTED_BURST_SHIFT;
const RETURNED_BYTES = BURST_BYTES >> INJECTED_BURST_SHIFT;
/** Room that one more read needs behind the bytes of the burst. */
const READ_ROOM_BYTES = HEADROOM_BYTES + 32 + MAX_FRAME_BYTES;
/**
 * MAC entries looked at for ageing per millisecond that has passed: the whole table in 45 s. By time, not by turn: a look at
 * many entries between two frames of a conversation would cost more than forwarding them.
 */
const SWEEP_STEPS_PER_MS = 3;
const MAX_SWEEP_STEPS = 1024;
/** Of those, looks at other VTEPs: all of them in a few seconds. */
const MAX_REMOTE_STEPS = 16;

/** Flows ended per turn: about 50 us when the table is large. */
const FLOWS_ENDED_PER_TURN = 64;

/**
 * A turn that made more departures than this halves the burst of the next one: 256 broadcasts to 500 ports would keep the
 * control thread waiting for an eighth of a second.
 */
const MAX_TURN_DEPARTURES = 4096;
/** `ingressRemote` of what came from this host. */
const NO_REMOTE = -1;

export interface DatapathParts {
  slab: Slab;
  frames: FrameVector;
  queue: TransmitQueue;
  io: PortIo;
  injector: FrameInjector;
  outlet: FrameOutlet;
  punts: Punts;
  macs: MacTable;
  remotes: RemoteTable;
  nat: Nat;
  counters: Counters;
  tap: FrameTap;
  /** Any integer, not known to senders. */
  seed: number;
  /** Milliseconds since any moment, with fractions. Tables keep it as int32, which wraps. */
  nowMs: () => number;
  /** Milliseconds since 1970 with fractions, for the time stamps of captures. */
  wallMs: () => number;
}

export class Datapath {
  program: Program = emptyProgram();
  /** Set when the control thread rang during the last wait; the owner clears it. */
  isWoken = false;
  /** Ports that failed since the owner last looked: pairs of port and errno. */
  readonly faults: number[] = [];
  readonly meter: TurnMeter;
  /** Told after each stage; only tracing has one. */
  observer: StageObserver | null = null;
  private readonly slab: Slab;
  private readonly frames: FrameVector;
  private readonly io: PortIo;
  private readonly injector: FrameInjector;
  private readonly outlet: FrameOutlet;
  private readonly punts: Punts;
  private readonly router: Router;
  private readonly tunnels: Tunnels;
  private readonly bindings: Bindings;
  private readonly macs: MacTable;
  private readonly nat: Nat;
  private readonly storms = new StormTable(MAX_PORTS);
  private readonly counters: Counters;
  private readonly tap: FrameTap;
  private readonly recorder: ArrivalRecorder;
  private readonly decapsulator: Decapsulator;
  private readonly transmitter: Transmitter;
  private readonly nowMs: () => number;
  private readonly wallMs: () => number;
  private readyCount = 0;
  private readyCursor = 0;
  /** Frames that one turn may take in: BURST_FRAMES, less after turns that flooded a lot. */
  private burstFrames = BURST_FRAMES;
  private sweptMs = 0;
  /** End of what this turn has received, and messages of it that came in at ports of VTEPs. */
  private receivedAt = 0;
  private outerArrivals = 0;

  constructor(parts: DatapathParts) {
    this.slab = parts.slab;
    this.frames = parts.frames;
    this.io = parts.io;
    this.injector = parts.injector;
    this.outlet = parts.outlet;
    this.punts = parts.punts;
    this.macs = parts.macs;
    this.nat = parts.nat;
    this.counters = parts.counters;
    this.meter = new TurnMeter(parts.counters);
    this.tap = parts.tap;
    this.nowMs = parts.nowMs;
    this.wallMs = parts.wallMs;
    const { frames, slab, io, macs, remotes, punts, nat, seed } = parts;
    this.tunnels = new Tunnels(remotes);
    this.recorder = new ArrivalRecorder(frames, parts.tap);
    const outer = new OuterRecorder(slab, parts.tap);
    this.decapsulator = new Decapsulator(frames, slab, io, this.tunnels, parts.counters, outer);
    this.router = new Router(new RouterState(frames, slab, io, macs, remotes, punts, nat, seed));
    this.bindings = new Bindings(macs, this.router.state, this.tunnels, seed);
    this.transmitter = new Transmitter(frames, parts.queue, slab, io, parts.counters, parts.tap, this.tunnels);
  }

  /** One turn. Sleeps up to `timeoutMicros` when nothing is ready. Returns the number of frames that came in or were made. */
  turn(timeoutMicros: number): number {
    const { frames, program, slab } = this;
    let maySleep = false;
    if (this.readyCursor >= this.readyCount) {
      // Flows that are over are waiting to be ended, or frames to be taken up again: only look.
      const sleepMicros = this.nat.isBehind || this.router.hasWork ? 0 : timeoutMicros;
      this.readyCount = this.io.wait(sleepMicros);
      this.readyCursor = 0;
      maySleep = sleepMicros > 0;
    }
    const startMs = this.nowMs();
    const now = startMs | 0;
    this.meter.begin(startMs, maySleep, this.readyCount);
    const isCapturing = program.captureSnaplen > 0;
    this.receive(now);
    frames.routing = 0;
    if (frames.count > 0) {
      if (this.outerArrivals > 0) this.observer?.after('decapsulate');
      parse(frames, slab.view, program);
      this.observer?.after('parse');
      applyIngress(frames, slab.view, program);
      this.observer?.after('ingress');
      if (frames.oversized > 0) this.router.tellOversized(program, now);
      switchFrames(frames, program, this.macs, this.storms, now);
      this.observer?.after('switch');
    }
    this.router.run(program, now, this.observer);
    const rows = frames.count + frames.originated;
    if (rows > 0) {
      this.transmitter.settleFloods(program);
      if (isCapturing) {
        this.recorder.stamp(this.wallMs());
        this.recorder.record(program);
      }
      this.adaptBurst(this.transmitter.transmit(program));
    }
    if (isCapturing && (rows > 0 || this.outerArrivals > 0)) this.tap.commit();
    this.punts.commit();
    this.account(now);
    const taken = rows + this.outerArrivals;
    if (taken > 0) this.meter.end(this.nowMs(), taken);
    return taken;
  }

  /** Whether the next turn has something to do whatever its ports have. */
  get hasWork(): boolean {
    return this.router.hasWork;
  }

  /** Runs `next` from the next turn on. What was learned on ports that are gone or serve another endpoint is forgotten. */
  adopt(next: Program): void {
    const before = this.program;
    for (let port = 0; port < before.portCount; port++) {
      const same =
        port < next.portCount &&
        next.portSerial[port] === before.portSerial[port] &&
        next.portNetwork[port] === before.portNetwork[port];
      if (same) continue;
      this.macs.removePort(port);
      this.storms.resetPort(port);
      this.punts.resetPort(port);
    }
    forgetMovedTunnels(before, next, this.macs);
    if (before.staticMacs.length > 0) this.macs.removeStatic(MAX_PORTS);
    const now = this.nowMs() | 0;
    const rows = next.staticMacs;
    for (let at = 0; at < rows.length; at += STATIC_MAC_INTS) {
      this.macs.insertStatic(rows[at]!, rows[at + 1]!, rows[at + 2]!, rows[at + 3]!, rows[at + 4]!, now);
    }
    this.tunnels.adopt(next, now);
    this.router.adopt(next, now);
    this.bindings.adopt(before, next, now);
    this.program = next;
  }

  /** Takes over what the control plane says of stations behind other VTEPs: rows of BINDING_INTS. @coldPath */
  applyBindings(rows: Int32Array): void {
    this.bindings.apply(rows, this.program, this.nowMs() | 0);
  }

  /**
   * Forgets which ports were ready. To be called after a port was attached or detached: what the last wait said of its row
   * may be about another descriptor, and a hang-up of the old one must not end the new one. The next wait tells anew.
   */
  portsChanged(): void {
    this.readyCursor = this.readyCount;
  }

  /** Fills the burst with injected frames and from the ports that are ready, each with its part. */
  private receive(now: number): void {
    const { io, frames, program } = this;
    let rows = this.takeReturned(this.takeInjected());
    this.receivedAt = rows === 0 ? 0 : frames.start[rows - 1]! + frames.length[rows - 1]!;
    this.outerArrivals = 0;
    const waiting = Math.max(1, this.readyCount - this.readyCursor);
    const quotaFrames = Math.max(MIN_QUOTA_FRAMES, (this.burstFrames / waiting) | 0);
    const quotaBytes = Math.max(MIN_QUOTA_BYTES, (BURST_BYTES / waiting) | 0);
    while (this.readyCursor < this.readyCount && rows < this.burstFrames && this.receivedAt < BURST_BYTES) {
      const entry = io.ready[this.readyCursor++]!;
      if (entry === READY_WAKE) {
        this.isWoken = true;
        continue;
      }
      const port = entry & ~READY_ERROR;
      const frameLimit = Math.min(quotaFrames, this.burstFrames - rows);
      const at = this.receivedAt;
      const endAt = at + Math.min(quotaBytes, BURST_BYTES - at) + READ_ROOM_BYTES;
      const isTunnelled = port < program.portCount && program.portVtep[port]! >= 0;
      const got = isTunnelled
        ? this.receiveTunnelled(port, rows, frameLimit, endAt, now)
        : io.receiveBurst(port, rows, frameLimit, at, endAt);
      if (isTunnelled && got > 0) {
        rows = this.decapsulator.row;
      } else if (got > 0) {
        this.countArrivals(port, rows, got);
        rows += got;
        this.receivedAt = frames.start[rows - 1]! + frames.length[rows - 1]!;
      } else if (got < 0) {
        this.reportFault(port, -got);
      } else if ((entry & READY_ERROR) !== 0) {
        this.reportFault(port, 0);
      }
    }
    frames.count = rows;
    frames.originated = 0;
    const { portCount, portSerial, portNetwork } = this.program;
    this.outlet.take(portCount, portSerial, portNetwork);
  }

  /** Reads from a port of a VTEP; `decapsulator` knows the rows that came of it. Returns messages, or -errno. */
  private receiveTunnelled(port: number, firstRow: number, messages: number, endAt: number, now: number): number {
    const { decapsulator, program } = this;
    if (program.captureSnaplen > 0) this.recorder.stamp(this.wallMs());
    const got = decapsulator.receive(program, port, firstRow, messages, this.receivedAt, endAt, now);
    if (got > 0) this.outerArrivals += got;
    this.receivedAt = decapsulator.receivedAt;
    return got;
  }

  /** Frames from inside weft count as arrivals of the port that they name. A worker without a program leaves them waiting. */
  private takeInjected(): number {
    const { frames, program } = this;
    frames.injected = 0;
    if (program.version === 0) return 0;
    const most = Math.max(1, this.burstFrames >> INJECTED_BURST_SHIFT);
    const rows = this.injector.take(program.portCount, program.portSerial, most, INJECTED_BYTES);
    if (rows === 0) return 0;
    frames.injected = rows;
    const { values } = this.counters;
    for (let row = 0; row < rows; row++) {
      const port = frames.ingressPort[row]!;
      frames.ingressRemote[row] = NO_REMOTE;
      values[portAt(port, PORT.rxFrames)]!++;
      values[portAt(port, PORT.rxBytes)]! += frames.length[row]!;
    }
    return rows;
  }

  /** Frames that were held go behind the injected ones. They were counted at their port when they arrived. */
  private takeReturned(rows: number): number {
    const { frames, program, router } = this;
    frames.returned = 0;
    if (!router.hasWork || program.version === 0) return rows;
    const at = rows === 0 ? 0 : frames.start[rows - 1]! + frames.length[rows - 1]!;
    const returned = router.takeReady(program, rows, at, RETURNED_FRAMES, RETURNED_BYTES);
    frames.returned = returned;
    frames.injected = rows + returned;
    const { lost } = router;
    if (lost > 0) {
      const { values } = this.counters;
      values[totalAt(TOTAL.originated)]! += lost;
      values[totalAt(TOTAL.dropped)]! += lost;
      values[totalAt(TOTAL.ownDropped)]! += lost;
      values[dropAt(DROP.unknownPort)]! += lost;
    }
    return rows + returned;
  }

  /** @coldPath a port fails once, and is then taken out of service */
  private reportFault(port: number, errno: number): void {
    this.faults.push(port, errno);
  }

  private adaptBurst(departures: number): void {
    if (departures > MAX_TURN_DEPARTURES) this.burstFrames = Math.max(MIN_QUOTA_FRAMES, this.burstFrames >> 1);
    else if (this.burstFrames < BURST_FRAMES) this.burstFrames <<= 1;
  }

  private countArrivals(port: number, first: number, count: number): void {
    const { ingressPort, ingressRemote, length } = this.frames;
    const { values } = this.counters;
    let bytes = 0;
    for (let row = first; row < first + count; row++) {
      ingressPort[row] = port;
      ingressRemote[row] = NO_REMOTE;
      bytes += length[row]!;
    }
    values[portAt(port, PORT.rxFrames)]! += count;
    values[portAt(port, PORT.rxBytes)]! += bytes;
  }

  /** Settles the fate of every frame of this turn. */
  private account(now: number): void {
    const { count, originated, returned, verdict, reason, ingressPort } = this.frames;
    const { values } = this.counters;
    const rows = count + originated;
    let forwarded = 0;
    let consumed = 0;
    for (let i = 0; i < rows; i++) {
      if (verdict[i] === FORWARDED) {
        forwarded++;
        continue;
      }
      if (verdict[i] === CONSUMED) {
        consumed++;
        continue;
      }
      const port = ingressPort[i]!;
      values[dropAt(reason[i]!)]!++;
      if (port < 0) {
        values[totalAt(TOTAL.ownDropped)]!++;
        continue;
      }
      values[portAt(port, PORT.rxDropped)]!++;
      values[portDropAt(port, reason[i]!)]!++;
    }
    values[totalAt(TOTAL.turns)]!++;
    values[totalAt(TOTAL.arrivals)]! += count - returned;
    values[totalAt(TOTAL.originated)]! += originated + returned;
    values[totalAt(TOTAL.forwarded)]! += forwarded;
    values[totalAt(TOTAL.consumed)]! += consumed;
    values[totalAt(TOTAL.dropped)]! += rows - forwarded - consumed;
    if (rows === 0 && this.outerArrivals === 0) values[totalAt(TOTAL.idleTurns)]!++;
    this.sweep(now);
    this.nat.sweep(now, FLOWS_ENDED_PER_TURN);
    this.countFlows();
    values[totalAt(TOTAL.macs)] = this.macs.count;
    values[totalAt(TOTAL.macMoves)] = this.macs.moves;
    values[totalAt(TOTAL.macEvictions)] = this.macs.evictions;
    values[totalAt(TOTAL.nowMs)] = now;
  }

  private countFlows(): void {
    const { nat } = this;
    const { values } = this.counters;
    values[totalAt(TOTAL.flows)] = nat.flows.count;
    values[totalAt(TOTAL.flowMappings)] = nat.mappings.count;
    values[totalAt(TOTAL.flowsOpened)] = nat.opened;
    values[totalAt(TOTAL.flowsExpired)] = nat.expired;
    values[totalAt(TOTAL.flowsDeleted)] = nat.deleted;
  }

  private sweep(now: number): void {
    const elapsedMs = (now - this.sweptMs) | 0;
    if (elapsedMs === 0) return;
    this.sweptMs = now;
    const steps = elapsedMs < 0 ? MAX_SWEEP_STEPS : Math.min(MAX_SWEEP_STEPS, elapsedMs * SWEEP_STEPS_PER_MS);
    this.macs.sweep(steps, now, this.program.networkAgeingMs);
    this.tunnels.remotes.sweep(Math.min(steps, MAX_REMOTE_STEPS), now, this.macs.portEntries, MAX_PORTS);
  }
}
