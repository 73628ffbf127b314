/**
 * A switch on the table: the real datapath over memory ports and a clock that the test moves.
 *
 *   const lab = createLab({ ports: ['web', 'db', 'cache'] });
 *   lab.send('web', question);
 *   lab.expect({ db: [question], cache: [question] });   // everything that left every port since the last call
 *
 * When a test ends its labs are closed: nothing may have left or been dropped that the test did not expect, every frame is
 * accounted for, and the tables are sound.
 */
import { strict as assert } from 'node:assert';
import { createCaptureMemory } from '../../src/capture/capture-layout.js';
import { CaptureRingReader } from '../../src/capture/capture-ring-reader.js';
import { PuntRing } from '../../src/capture/punt-ring.js';
import { Counters, createCounterMemory, dropAt, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { Datapath } from '../../src/datapath/datapath.js';
import { DROP_REASONS, type DropName } from '../../src/datapath/drop-reasons.js';
import type { FrameTap } from '../../src/datapath/frame-tap.js';
import { createNat, type Nat } from '../../src/datapath/nat.js';
import { MAX_NETWORKS, MAX_PORTS, MAX_REMOTES } from '../../src/datapath/program.js';
import { Punts } from '../../src/datapath/punts.js';
import { FrameVector } from '../../src/frames/frame-vector.js';
import { createSlab, type Slab } from '../../src/frames/slab.js';
import { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { createInjectMemory, InjectRingReader, InjectRingWriter } from '../../src/ports/inject-ring.js';
import { OutboundRingReader } from '../../src/ports/outbound-ring.js';
import { createMacMemory, listMacs, MacTable } from '../../src/tables/mac-table.js';
import { createRemoteMemory, listRemotes, RemoteTable } from '../../src/tables/remote-table.js';
import { checkConservation } from './conservation.js';
import type { TestFrame } from './frame-builders.js';
import { printFrame } from './frame-printer.js';
import { checkMacTable } from './mac-table-check.js';
import { MemoryIo } from './memory-io.js';
import {
  buildProgram,
  DEFAULT_NETWORK,
  headerBytesOf,
  type NetworkSettings,
  type PlacedPort,
  type PortSettings,
} from './program-builder.js';
import { addressText, tunnelPorts, underlayNetworks, type VtepSettings } from './tunnel-columns.js';

export interface LabSettings extends NetworkSettings {
  /** Names of ports with default settings, or settings by name. */
  ports: readonly string[] | Readonly<Record<string, PortSettings>>;
  /** More networks than the one that ports belong to unless they say otherwise, whose settings stand beside this. */
  networks?: Readonly<Record<string, NetworkSettings>>;
  /** Ends of tunnels on this host (tunnel-columns.ts), by name. */
  vteps?: Readonly<Record<string, VtepSettings>>;
  /** Bytes that a capture keeps of each frame, 0 = no capture. */
  captureSnaplen?: number;
  tap?: (slab: Slab) => FrameTap;
}

export type DropCounts = Partial<Record<DropName, number>>;

/** No test needs more turns for what it sent; a datapath that never gets done does not hang the suite. */
const MAX_TURNS = 100_000;
const MAC_SEED = 0x5eed;
const NAT_CAPACITY = 4096;

const openLabs = new Set<Lab>();
const failures: string[] = [];

// A failed root hook ends the whole run, so what is wrong at the end of a test is told at the end of all.
afterEach(function () {
  const labs = [...openLabs];
  openLabs.clear();
  if (this.currentTest?.state === 'failed') return;
  for (const lab of labs) {
    try {
      lab.close();
    } catch (error) {
      failures.push(`after "${this.currentTest?.fullTitle()}": ${(error as Error).message}`);
    }
  }
});

after(() => assert.ok(failures.length === 0, failures.join('\n\n')));

/** Makes a lab that is closed when the current test ends. */
export function createLab(settings: LabSettings): Lab {
  const lab = new Lab(settings);
  openLabs.add(lab);
  return lab;
}

export const seconds = (n: number): number => n * 1000;
export const minutes = (n: number): number => n * 60_000;

export class Lab {
  readonly io: MemoryIo;
  readonly datapath: Datapath;
  readonly macs: MacTable;
  readonly remotes: RemoteTable;
  readonly nat: Nat;
  readonly counters: Counters;
  nowMs = 0;
  private readonly macMemory = createMacMemory();
  readonly remoteMemory = createRemoteMemory(MAX_REMOTES);
  private readonly injectMemory = createInjectMemory();
  /** The control thread's end of the injection ring; `inject` is what most tests want. */
  readonly injections = new InjectRingWriter(this.injectMemory);
  private readonly outboundMemory = createInjectMemory(1 << 18);
  /** The control thread's ends of the ways from and to its services. */
  readonly outbound = new InjectRingWriter(this.outboundMemory);
  private readonly puntMemory = createCaptureMemory(1 << 18);
  private readonly puntReader = new CaptureRingReader(this.puntMemory);
  private placed = new Map<string, PlacedPort>();
  private version = 0;
  private serial = 0;
  private readonly seenDrops = new Float64Array(DROP_REASONS.length);

  constructor(settings: LabSettings) {
    const slab = createSlab();
    const frames = new FrameVector(slab);
    const queue = new TransmitQueue(slab);
    this.io = new MemoryIo(slab, frames, queue);
    this.macs = new MacTable(this.macMemory, MAX_PORTS + MAX_REMOTES, MAX_NETWORKS, MAC_SEED);
    this.remotes = new RemoteTable(this.remoteMemory, MAC_SEED);
    this.nat = createNat(NAT_CAPACITY, 0x5eed, 0xbeef, 0);
    this.counters = new Counters(createCounterMemory());
    this.datapath = new Datapath({
      slab,
      frames,
      queue,
      io: this.io,
      injector: new InjectRingReader(this.injectMemory, slab, frames),
      outlet: new OutboundRingReader(this.outboundMemory, slab, frames),
      punts: new Punts(new PuntRing(this.puntMemory, slab.bytes, (...range) => this.io.sum(...range))),
      macs: this.macs,
      remotes: this.remotes,
      nat: this.nat,
      counters: this.counters,
      tap: settings.tap?.(slab) ?? SILENT_TAP,
      nowMs: () => this.nowMs | 0,
      seed: MAC_SEED,
      wallMs: () => this.nowMs,
    });
    this.change(settings);
  }

  /**
   * Compiles other settings and swaps them in, as the control thread does: a port that keeps its name keeps its row and
   * its serial, a new one gets the lowest free row.
   */
  change(settings: LabSettings): void {
    const { ports, networks: others, vteps = {}, captureSnaplen, tap: _tap, ...blue } = settings;
    const networks = new Map([
      [DEFAULT_NETWORK, blue as NetworkSettings],
      ...Object.entries(others ?? {}),
      ...underlayNetworks(vteps),
    ]);
    const given = isNameList(ports) ? ports.map((name): [string, PortSettings] => [name, {}]) : Object.entries(ports);
    const list = [...given, ...tunnelPorts(networks, vteps)];
    const before = this.placed;
    this.placed = new Map();
    for (const [name, port] of list) {
      const known = before.get(name);
      if (known !== undefined) this.placed.set(name, { ...port, name, index: known.index, serial: known.serial });
    }
    for (const [name, port] of list) {
      if (this.placed.has(name)) continue;
      const index = this.lowestFreeRow();
      this.placed.set(name, { ...port, name, index, serial: ++this.serial });
      if (port.isTunnel !== true) this.io.attach(index, headerBytesOf(port), port.isSocket === true);
    }
    this.datapath.adopt(buildProgram(++this.version, networks, [...this.placed.values()], captureSnaplen, vteps));
  }

  private lowestFreeRow(): number {
    const taken = new Set([...this.placed.values()].map(({ index }) => index));
    let index = 0;
    while (taken.has(index)) index++;
    return index;
  }

  index(name: string): number {
    const port = this.placed.get(name);
    assert.ok(port !== undefined, `${name} is a port of the lab`);
    return port.index;
  }

  /** Lets frames arrive at a port, in order, and runs until all is done. */
  send(name: string, ...frames: readonly TestFrame[]): void {
    this.queue(name, ...frames);
    this.run();
  }

  /** Puts frames in from inside weft, as arrivals of a port, without running yet. */
  inject(name: string, ...frames: readonly TestFrame[]): void {
    const port = this.placed.get(name);
    assert.ok(port !== undefined, `${name} is a port of the lab`);
    for (const { bytes, vnet } of frames) {
      const unfinished = vnet === null ? null : { ...vnet, headerBytes: vnet.headerLength };
      assert.ok(this.injections.write(port.index, port.serial, bytes, unfinished), 'there is room in the ring');
    }
  }

  /** Sends a frame out through a port, as a service of the control thread does, and runs. */
  sendOut(name: string, { bytes }: TestFrame): void {
    const port = this.placed.get(name);
    assert.ok(port !== undefined, `${name} is a port of the lab`);
    assert.ok(this.outbound.write(port.index, port.serial, bytes, null), 'there is room in the ring');
    this.run();
  }

  /** What the control thread got for its services since the last call, as `PORT: FRAME`. */
  takePunted(): string[] {
    const nameOf = new Map([...this.placed].map(([name, { index }]) => [index, name]));
    const punted: string[] = [];
    this.puntReader.read(({ bytes, at, captured, port }) => {
      punted.push(`${nameOf.get(port)}: ${printFrame({ bytes: bytes.slice(at, at + captured), vnet: null })}`);
    }, Number.POSITIVE_INFINITY);
    return punted;
  }

  /** Lets frames arrive at a port without running yet. */
  queue(name: string, ...frames: readonly TestFrame[]): void {
    this.io.port(this.index(name)).arrivals.push(...frames);
  }

  /** Runs turns until nothing is left to read. */
  run(): void {
    for (let turn = 0; turn < MAX_TURNS; turn++) {
      const frames = this.datapath.turn(0);
      const isDone = this.io.waiting === 0 && this.injections.isEmpty && this.outbound.isEmpty;
      if (frames === 0 && isDone && !this.datapath.hasWork) return;
    }
    assert.fail(`${this.io.waiting} frames are left after ${MAX_TURNS} turns`);
  }

  advance(ms: number): void {
    this.nowMs += ms;
  }

  /** Compares everything that left every port, and every drop, since the last call. */
  expect(departures: Readonly<Record<string, readonly TestFrame[]>>, drops: DropCounts = {}): void {
    for (const name of Object.keys(departures)) this.index(name);
    const wanted: Record<string, string[]> = {};
    const seen: Record<string, string[]> = {};
    for (const [name, { index, isTunnel }] of this.placed) {
      if (isTunnel === true) continue;
      const left = this.io.take(index);
      const expected = departures[name] ?? [];
      if (left.length === 0 && expected.length === 0) continue;
      const hasHeader = this.io.port(index).headerBytes > 0;
      seen[name] = left.map((frame) => printFrame(frame));
      wanted[name] = expected.map((frame) => printFrame(hasHeader ? frame : { ...frame, vnet: null }));
    }
    assert.deepEqual(seen, wanted);
    assert.deepEqual(this.takeDrops(), drops);
  }

  /** Forgets what left and returns it, for tests that look at one port themselves. */
  take(name: string): TestFrame[] {
    return this.io.take(this.index(name));
  }

  /** Forgets all that left, for tests that look at something else. */
  ignoreDepartures(): void {
    for (const { index, isTunnel } of this.placed.values()) if (isTunnel !== true) this.io.take(index);
  }

  /** Drops by reason since the last call. */
  takeDrops(): DropCounts {
    const drops: DropCounts = {};
    for (const [code, { name }] of DROP_REASONS.entries()) {
      const count = this.counters.values[dropAt(code)]! - this.seenDrops[code]!;
      this.seenDrops[code]! += count;
      if (count !== 0) drops[name] = count;
    }
    return drops;
  }

  total(column: keyof typeof TOTAL): number {
    return this.counters.values[totalAt(TOTAL[column])]!;
  }

  /** The MAC table as operators see it: `NETWORK/VLAN MAC PORT`, sorted, static ones marked. */
  macTable(): string[] {
    const nameOf = new Map([...this.placed].map(([name, { index }]) => [index, name]));
    const rows = listMacs(this.macMemory).map(({ vlan, macHigh, macLow, port, isStatic }) => {
      const digits = macHigh.toString(16).padStart(4, '0') + (macLow >>> 0).toString(16).padStart(8, '0');
      const mac = (digits.match(/../g) ?? []).join(':');
      const place = port < MAX_PORTS ? (nameOf.get(port) ?? `?${port}`) : this.remoteName(port - MAX_PORTS);
      return `${vlan} ${mac} ${place}${isStatic ? ' static' : ''}`;
    });
    return rows.sort();
  }

  /** Address of another VTEP. */
  remoteName(remote: number): string {
    const row = listRemotes(this.remoteMemory).find((each) => each.remote === remote);
    return row === undefined ? `?remote ${remote}` : addressText(row.address, row.family);
  }

  /** Checks that nothing is left over and that all books balance. */
  close(): void {
    openLabs.delete(this);
    this.run();
    this.expect({});
    assert.deepEqual(this.takePunted(), [], 'nothing was left for services');
    checkConservation(this.counters.values);
    checkMacTable(this.macs, this.macMemory);
    assert.deepEqual(this.datapath.faults, [], 'no port failed unexpectedly');
  }
}

function isNameList(ports: LabSettings['ports']): ports is readonly string[] {
  return Array.isArray(ports);
}

const SILENT_TAP: FrameTap = { setTime() {}, record() {}, recordSplit() {}, commit() {} };
