// A capture manager over a ring that a test fills the way the datapath does, and what comes out of it.
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { CaptureFileReader } from '../../src/capture/capture-file-reader.js';
import { createCaptureMemory } from '../../src/capture/capture-layout.js';
import { CaptureRing } from '../../src/capture/capture-ring.js';
import type { FileFrame } from '../../src/capture/file-frame.js';
import { createCaptureManager } from '../../src/control/captures/capture-manager.js';
import type { CapturePort, CaptureService } from '../../src/control/captures/capture-service.js';
import type { CaptureRequest, CaptureView } from '../../src/control/controller/captures.js';
import { ARRIVAL, DEPARTURE, NOT_DROPPED } from '../../src/datapath/frame-tap.js';
import { CAPTURE_ARRIVALS, CAPTURE_DEPARTURES, CAPTURE_DROPS } from '../../src/datapath/program.js';
import { RequestError } from '../../src/model/problems.js';
import * as checksum from '../../src/wire/checksum.js';
import { type BuiltFrame, ether, ipv4, udp } from '../support/frame-builders.js';
import { useDirectory } from './capture-frames.js';

export const PORTS: readonly CapturePort[] = [
  { port: 0, endpoint: 'web', network: 'front', ifname: 'eth0', mac: '02:00:00:00:00:01' },
  { port: 1, endpoint: 'db', network: 'front', ifname: 'eth0', mac: '02:00:00:00:00:02' },
  { port: 2, endpoint: null, network: 'front', ifname: 'weft-front', mac: '02:00:00:00:00:03' },
  { port: 3, endpoint: 'cache', network: 'back', ifname: 'eth0', mac: '02:00:00:00:00:04' },
];
export const HOST_OF = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '198.51.100.4'];
const RING_BYTES = 1 << 20;

/** The part of the datapath that matters here: records what the marks of a port ask for, like datapath.ts does. */
export class Recorder {
  private readonly slab = new Uint8Array(256 << 10);
  private readonly ring: CaptureRing;
  private readonly captures: CaptureService;
  private ports: readonly CapturePort[] = [];
  private seconds = 1_700_000_000;

  constructor(memory: SharedArrayBuffer, captures: CaptureService) {
    const view = new DataView(this.slab.buffer);
    this.ring = new CaptureRing(memory, this.slab, (at, length, initial) => checksum.sum(view, at, length, initial));
    this.captures = captures;
  }

  setPorts(ports: readonly CapturePort[]): void {
    this.ports = ports;
    this.captures.setPorts(ports);
  }

  arrive(port: number, frame: BuiltFrame, reason: number = NOT_DROPPED): void {
    this.record(port, ARRIVAL, frame, reason, CAPTURE_ARRIVALS);
  }

  depart(port: number, frame: BuiltFrame, reason: number = NOT_DROPPED): void {
    this.record(port, DEPARTURE, frame, reason, CAPTURE_DEPARTURES);
  }

  private record(port: number, direction: number, { bytes, vnet }: BuiltFrame, reason: number, flag: number): void {
    const entry = this.ports.find((candidate) => candidate.port === port);
    if (entry === undefined) return;
    const wanted = reason === NOT_DROPPED ? flag : flag | CAPTURE_DROPS;
    if ((this.captures.flagsOf(entry.endpoint, entry.network) & wanted) === 0) return;
    this.slab.set(bytes, 130);
    this.ring.setTime(this.seconds++, 5);
    const snaplen = this.captures.snaplen();
    const start = vnet?.checksumStart ?? -1;
    this.ring.record(130, bytes.length, port, direction, reason, start, vnet?.checksumOffset ?? 0, snaplen);
    this.ring.commit();
  }
}

/** A datagram from the host of one port to that of another; `n` is its source port. */
export function datagram(from: number, to: number, n: number, payload: string | Uint8Array = 'x'): BuiltFrame {
  const macs = { from: PORTS[from]!.mac, to: PORTS[to]!.mac };
  return ether(macs, ipv4({ from: HOST_OF[from]!, to: HOST_OF[to]! }, udp(n, 9, payload)));
}

export function read(bytes: Uint8Array, isComplete = true): FileFrame[] {
  const reader = new CaptureFileReader();
  reader.push(bytes);
  const frames: FileFrame[] = [];
  for (let frame = reader.next(); frame !== null; frame = reader.next()) frames.push(frame);
  assert.equal(reader.error, null);
  if (isComplete) assert.equal(reader.pendingBytes, 0, 'whole records, and nothing else');
  return frames;
}

/** `web in 7`: interface, direction and source port of the datagram. */
export function brief({ interfaceName, direction, bytes, comment }: FileFrame): string {
  const name = `${interfaceName} ${direction === 'inbound' ? 'in' : 'out'} ${(bytes[34]! << 8) | bytes[35]!}`;
  return comment === null ? name : `${name} (${comment.split(':').slice(0, 2).join(':')})`;
}

export interface StartedCapture {
  name: string;
  file: string;
  /** Stops it and says what is in its file. */
  frames(): Promise<string[]>;
}

/** One for every test of a suite. */
export class CaptureLab {
  readonly captures: CaptureService;
  readonly recorder: Recorder;
  /** How often other ports or another snaplen were asked for. */
  changes = 0;
  readonly ended: CaptureView[] = [];
  private readonly directory: { path(name: string): string };
  private files = 0;

  constructor(directory: { path(name: string): string }) {
    const memory = createCaptureMemory(RING_BYTES);
    const log = { info: () => {}, warn: () => {} };
    const options = { tables: { capture: memory }, clock: { now: Date.now }, log, application: 'weft test' };
    this.directory = directory;
    this.captures = createCaptureManager(options);
    this.recorder = new Recorder(memory, this.captures);
    this.captures.onChange(() => this.changes++);
    this.captures.onEnd((view) => this.ended.push(view));
    this.recorder.setPorts(PORTS);
  }

  newFile(): string {
    return this.directory.path(`${performance.now()}-${this.files++}.pcapng`);
  }

  async start(request: CaptureRequest = {}): Promise<StartedCapture> {
    const file = request.file ?? this.newFile();
    const { name } = await this.captures.start({ ...request, file });
    const frames = async () => {
      if (this.captures.find(name) !== null) await this.captures.stop(name);
      return read(readFileSync(file)).map(brief);
    };
    return { name, file, frames };
  }

  async refusal(request: CaptureRequest): Promise<RequestError> {
    const error = await this.captures.start(request).then(
      () => assert.fail('it was started'),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof RequestError, String(error));
    return error;
  }

  /** web asks db, which answers; the host speaks to web, and cache to itself. */
  conversation(): void {
    const { recorder } = this;
    recorder.arrive(0, datagram(0, 1, 1));
    recorder.depart(1, datagram(0, 1, 1));
    recorder.arrive(1, datagram(1, 0, 2));
    recorder.depart(0, datagram(1, 0, 2));
    recorder.arrive(2, datagram(2, 0, 3));
    recorder.depart(0, datagram(2, 0, 3));
    recorder.arrive(3, datagram(3, 3, 4));
  }
}

/** A fresh lab for every test of the suite; its captures are closed afterwards. */
export function useCaptureLab(): () => CaptureLab {
  const directory = useDirectory();
  let lab: CaptureLab;
  beforeEach(() => {
    lab = new CaptureLab(directory);
  });
  afterEach(() => lab.captures.close());
  return () => lab;
}

/** Looks every few milliseconds, for up to half a minute. */
export async function waitFor(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 30_000;
  while (!condition()) {
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
