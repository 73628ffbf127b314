/**
 * Runs captures: starts and stops them, tells the compiler which ports to mark, and while any runs, reads the ring that the
 * datapath fills and gives every capture its frames.
 *
 * Which frames: a capture of a network, or of all, has each frame once, where it enters (arrivals; the interface is the
 * sender), and what the router sends into it, where that first leaves. A capture of an endpoint has both directions there: what arrived from it and what it was given. With drops, a
 * frame that was dropped says why, and departures that failed are there too.
 *
 * Costs nothing while no capture runs: no timer, no marked port. Nothing here waits for a disk or a client; a capture whose
 * file fails is `failed`, and nobody else notices.
 */
import { type CapturedFrame, CaptureRingReader } from '../../capture/capture-ring-reader.js';
import { type CaptureRotation, CaptureSession } from '../../capture/capture-session.js';
import type { CaptureSink, SinkFailure } from '../../capture/capture-sink.js';
import type { CaptureWriter } from '../../capture/capture-writer.js';
import { FileSink, openFileSink } from '../../capture/file-sink.js';
import { compileFilter, type FilterResult } from '../../capture/filter.js';
import { createPcapWriter } from '../../capture/pcap-writer.js';
import { createPcapngWriter } from '../../capture/pcapng-writer.js';
import { StreamSink } from '../../capture/stream-sink.js';
import type { FilterCompiler } from '../../capture/tcpdump.js';
import { DROP_REASONS } from '../../datapath/drop-reasons.js';
import { CAPTURE_ARRIVALS, CAPTURE_DEPARTURES, CAPTURE_DROPS } from '../../datapath/program.js';
import { byName } from '../../model/names.js';
import { RequestError } from '../../model/problems.js';
import type { CaptureRequest, CaptureStream, CaptureView } from '../controller/captures.js';
import { type CaptureSpec, readCaptureRequest } from './capture-request.js';
import { CaptureRouter } from './capture-router.js';
import type { CapturePort, CaptureService } from './capture-service.js';

export interface CaptureManagerOptions {
  /** The memory that the datapath records into. */
  tables: { capture: SharedArrayBuffer };
  /** Milliseconds since 1970. */
  clock: { now(): number };
  log: { info(details: object, message: string): void; warn(details: object, message: string): void };
  /** Program and version, as pcapng files name it. */
  application?: string;
  /** Group of the files that are made; that of the process by default. */
  groupId?: number | null;
  filter?: FilterCompiler;
}

/**
 * How often the ring is read. A full ring loses frames and a live view should not lag, but each reading takes a processor
 * from somebody who forwards, so while frames come it is read whenever about READING_BYTES should be there, but at the
 * latest after LIVE_INTERVAL_MS when somebody looks on, and after FILE_INTERVAL_MS when all of them go to files.
 */
const SHORTEST_INTERVAL_MS = 5;
const LIVE_INTERVAL_MS = 20;
const FILE_INTERVAL_MS = 50;
const READING_BYTES = 512 << 10;
/** Records of one read: the control API is answered in between. */
const READ_RECORDS = 8192;
/** Bytes that wait for slow disks and clients: of one capture, and of all together. */
const MAX_PENDING_BYTES = 16 << 20;
const TOTAL_PENDING_BYTES = 64 << 20;
/** Captures that have ended are listed until they are stopped, or so many have ended after them. */
const MAX_ENDED = 64;
/** A compiled filter has the addresses that its host names had then. */
const PREPARED_MS = 60_000;

type CompiledFilter = FilterResult & { kind: 'compiled' };

interface Capture {
  name: string;
  spec: CaptureSpec;
  session: CaptureSession;
  sink: CaptureSink;
  state: CaptureView['state'];
  reason: string | null;
  startedAt: string;
  timer: NodeJS.Timeout | null;
  /** Resolves when its file is complete; null while it runs. */
  ended: Promise<void> | null;
}

export function createCaptureManager(options: CaptureManagerOptions): CaptureService {
  return new CaptureManager(options);
}

class CaptureManager implements CaptureService {
  private readonly options: CaptureManagerOptions;
  private readonly ring: CaptureRingReader;
  private readonly router: CaptureRouter<Capture>;
  private readonly captures = new Map<string, Capture>();
  /** Names of captures that are being started. */
  private readonly reserved = new Set<string>();
  /** Filters of captures that are about to start. */
  private readonly prepared = new Map<string, { filter: CompiledFilter; untilMs: number }>();
  private readonly compiling = new Map<string, Promise<FilterResult>>();
  /** Files that are being written, by device and inode. */
  private readonly files = new Set<string>();
  private readonly changeListeners: (() => void)[] = [];
  private readonly endListeners: ((view: CaptureView) => void)[] = [];
  private timer: NodeJS.Timeout | NodeJS.Immediate | null = null;
  private intervalMs = SHORTEST_INTERVAL_MS;
  private serial = 0;
  private isClosed = false;
  private readonly visit = (frame: CapturedFrame) => this.router.deliver(frame);

  constructor(options: CaptureManagerOptions) {
    this.options = options;
    this.ring = new CaptureRingReader(options.tables.capture);
    this.router = new CaptureRouter(this.ring);
  }

  list(): CaptureView[] {
    return [...this.captures.values()].map(viewOf).sort(byName);
  }

  find(name: string): CaptureView | null {
    const capture = this.captures.get(name);
    return capture === undefined ? null : viewOf(capture);
  }

  async prepareFilter(expression: string): Promise<void> {
    const filter = await this.compile(expression);
    const { clock } = this.options;
    for (const [former, { untilMs }] of this.prepared) if (untilMs < clock.now()) this.prepared.delete(former);
    this.prepared.set(expression, { filter, untilMs: clock.now() + PREPARED_MS });
  }

  async start(request: CaptureRequest): Promise<CaptureView> {
    const spec = readCaptureRequest(request, true);
    const capture = await this.prepare(spec, async (onFailure) => this.openFile(spec, onFailure));
    return viewOf(capture);
  }

  async stream(request: CaptureRequest): Promise<CaptureStream> {
    const spec = readCaptureRequest(request, false);
    let started: Capture | null = null;
    const chunks = new StreamSink(() => {
      if (started !== null) void this.end(started, 'finished', 'the reader went away');
    });
    const capture = await this.prepare(spec, async () => chunks);
    started = capture;
    return {
      get view() {
        return viewOf(capture);
      },
      chunks,
      stop: () => void this.end(capture, 'finished', null),
    };
  }

  async stop(name: string): Promise<CaptureView> {
    const capture = this.captures.get(name);
    if (capture === undefined) throw new RequestError('not-found', `there is no capture ${name}`, 'list the captures');
    await this.end(capture, 'finished', null);
    if (this.captures.get(name) === capture) this.captures.delete(name);
    return viewOf(capture);
  }

  snaplen(): number {
    let bytes = 0;
    for (const { session } of this.running()) bytes = Math.max(bytes, session.neededBytes);
    return bytes;
  }

  flagsOf(endpoint: string | null, network: string, carries?: readonly string[]): number {
    let flags = 0;
    for (const { spec } of this.running()) flags |= flagsFor(spec, endpoint, network, carries);
    return flags;
  }

  setPorts(ports: readonly CapturePort[]): void {
    // What is in the ring belongs to the ports as they were.
    this.drain();
    this.router.setPorts(ports);
  }

  onChange(listener: () => void): void {
    this.changeListeners.push(listener);
  }

  onEnd(listener: (view: CaptureView) => void): void {
    this.endListeners.push(listener);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    const all = [...this.captures.values()];
    await Promise.all(all.map((capture) => this.end(capture, 'finished', 'the daemon ended')));
  }

  private *running(): Iterable<Capture> {
    for (const capture of this.captures.values()) if (capture.state === 'running') yield capture;
  }

  /** Everything up to a capture that runs; leaves nothing behind when it throws. */
  private async prepare(
    spec: CaptureSpec,
    openSink: (onFailure: SinkFailure) => Promise<CaptureSink>,
  ): Promise<Capture> {
    if (this.isClosed) throw new RequestError('unavailable', 'the daemon is ending', 'start it again');
    const name = this.reserveName(spec.name);
    try {
      const prepared = this.prepared.get(spec.filter);
      const isFresh = prepared !== undefined && prepared.untilMs >= this.options.clock.now();
      const filter = isFresh ? prepared.filter : await this.compile(spec.filter);
      let started: Capture | null = null;
      const sink = await openSink((reason, frames) => {
        if (started !== null) this.fail(started, reason, frames);
      });
      const startMs = this.options.clock.now();
      const session = new CaptureSession({
        writer: this.createWriter(spec),
        sink,
        filter: filter.program,
        snaplen: spec.snaplen,
        count: spec.count,
        explainDrop: spec.drops ? explainDrop : null,
        rotation: rotationOf(spec, sink),
        isImmediate: spec.file === null,
        startMs,
      });
      const startedAt = new Date(startMs).toISOString();
      started = { name, spec, session, sink, state: 'running', reason: null, startedAt, timer: null, ended: null };
      this.begin(started);
      return started;
    } finally {
      this.reserved.delete(name);
    }
  }

  private async compile(expression: string): Promise<CompiledFilter> {
    // Captures that are started at once with one filter, a hundred of them maybe, share one run of tcpdump.
    const isDone = () => void this.compiling.delete(expression);
    const running = this.compiling.get(expression) ?? compileFilter(expression, this.options.filter).finally(isDone);
    this.compiling.set(expression, running);
    const filter = await running;
    if (filter.kind === 'refused') throw refusal('filter', 'bad-filter', filter);
    return filter;
  }

  private begin(capture: Capture): void {
    if (this.timer === null) {
      // Nobody has read what former captures left behind.
      this.ring.discard();
      this.schedule(SHORTEST_INTERVAL_MS);
    } else this.drain();
    this.captures.set(capture.name, capture);
    this.shareMemory();
    const { spec } = capture;
    this.router.add(capture, capture.session, ({ endpoint, network, carries }) =>
      flagsFor(spec, endpoint, network, carries),
    );
    // The head of the file is there before the first frame.
    capture.session.handOver();
    const { durationMs } = capture.spec;
    if (durationMs !== null) {
      capture.timer = setTimeout(() => void this.end(capture, 'finished', 'the duration is over'), durationMs);
      capture.timer.unref();
    }
    this.options.log.info({ capture: capture.name, file: capture.spec.file }, 'capture started');
    this.changed();
  }

  /** Ends it unless it has ended; resolves when its file is complete. */
  private async end(capture: Capture, state: 'finished' | 'failed', reason: string | null): Promise<void> {
    if (capture.ended === null) {
      this.drain();
      // Reading may have completed it.
      capture.ended ??= this.conclude(capture, state, reason);
    }
    await capture.ended;
  }

  private async conclude(capture: Capture, state: 'finished' | 'failed', reason: string | null): Promise<void> {
    const { name, session, timer, spec } = capture;
    capture.state = state;
    capture.reason = reason;
    if (timer !== null) clearTimeout(timer);
    this.router.remove(capture);
    this.changed();
    this.shareMemory();
    await session.end(this.options.clock.now());
    this.forgetOld(capture);
    const { frames, lost } = session;
    this.options.log.info({ capture: name, file: spec.file, frames, lost, reason: capture.reason }, 'capture ended');
    const view = viewOf(capture);
    for (const listener of this.endListeners) listener(view);
  }

  private fail(capture: Capture, reason: string, frames: number): void {
    capture.session.takeBack(frames);
    this.options.log.warn({ capture: capture.name, file: capture.spec.file, reason }, 'a capture failed');
    if (capture.ended === null) {
      capture.ended = this.conclude(capture, 'failed', reason);
    } else {
      // Its last bytes could not be written.
      capture.state = 'failed';
      capture.reason = reason;
    }
  }

  private forgetOld(capture: Capture): void {
    if (capture.spec.file === null) this.captures.delete(capture.name);
    const ended = [...this.captures.values()].filter(({ state }) => state !== 'running');
    for (const { name } of ended.slice(0, Math.max(0, ended.length - MAX_ENDED))) this.captures.delete(name);
  }

  private shareMemory(): void {
    const running = [...this.running()];
    const share = Math.min(MAX_PENDING_BYTES, Math.floor(TOTAL_PENDING_BYTES / Math.max(1, running.length)));
    for (const { session } of running) session.maxPendingBytes = share;
  }

  private changed(): void {
    for (const listener of this.changeListeners) listener();
  }

  private schedule(delayMs: number): void {
    this.intervalMs = delayMs;
    if (delayMs === 0) {
      this.timer = setImmediate(() => this.poll());
    } else {
      this.timer = setTimeout(() => this.poll(), delayMs);
      this.timer.unref();
    }
  }

  private poll(): void {
    const waiting = this.ring.pendingBytes();
    const records = this.read(READ_RECORDS);
    const nowMs = this.options.clock.now();
    let isRunning = false;
    // The first frame after a pause may be the head of a flood.
    let isLive = waiting === 0;
    for (const { session, spec } of this.running()) {
      session.flush(nowMs);
      isRunning = true;
      isLive ||= spec.file === null;
    }
    if (!isRunning) this.timer = null;
    else if (records === READ_RECORDS) this.schedule(0);
    else this.schedule(this.intervalFor(waiting, isLive ? LIVE_INTERVAL_MS : FILE_INTERVAL_MS));
  }

  /** `bytes`: what came in the last interval. */
  private intervalFor(bytes: number, longestMs: number): number {
    const wanted = Math.floor((Math.max(1, this.intervalMs) * READING_BYTES) / Math.max(1, bytes));
    return Math.min(longestMs, Math.max(SHORTEST_INTERVAL_MS, wanted));
  }

  /** Reads everything that has been published. */
  private drain(): void {
    if (this.timer !== null) this.read(Number.POSITIVE_INFINITY);
  }

  private read(maxRecords: number): number {
    this.router.sampleLost();
    const records = this.ring.read(this.visit, maxRecords);
    this.router.settleLost();
    for (const capture of this.running()) {
      if (capture.session.isComplete) capture.ended ??= this.conclude(capture, 'finished', 'the count is reached');
    }
    return records;
  }

  private reserveName(wanted: string | null): string {
    const isTaken = (name: string) => this.captures.has(name) || this.reserved.has(name);
    let name = wanted ?? `capture-${++this.serial}`;
    if (wanted !== null && isTaken(wanted)) {
      throw new RequestError('already-exists', `there is a capture ${wanted}`, 'stop it, or choose another name');
    }
    while (isTaken(name)) name = `capture-${++this.serial}`;
    this.reserved.add(name);
    return name;
  }

  private async openFile({ file, rotateFiles }: CaptureSpec, onFailure: SinkFailure): Promise<CaptureSink> {
    let claimed: string | null = null;
    const claim = (identity: string) => {
      if (this.files.has(identity)) return false;
      this.files.add(identity);
      claimed = identity;
      return true;
    };
    const release = (identity: string) => this.files.delete(identity);
    const groupId = this.options.groupId ?? null;
    const opened = await openFileSink(file!, { groupId, claim, release, mostFiles: rotateFiles, onFailure });
    if (opened.kind === 'opened') return opened.sink;
    if (claimed !== null) release(claimed);
    throw refusal('file', opened.isOutOfReach ? 'out-of-reach' : 'bad-file', opened);
  }

  private createWriter({ format, snaplen, filter }: CaptureSpec): CaptureWriter {
    if (format === 'pcap') return createPcapWriter(snaplen);
    return createPcapngWriter({ application: this.options.application ?? 'weft', snaplen, filter });
  }
}

function rotationOf({ rotateSize }: CaptureSpec, sink: CaptureSink): CaptureRotation | null {
  if (rotateSize === null || !(sink instanceof FileSink)) return null;
  return { bytes: rotateSize, startNextFile: () => sink.startNextFile() };
}

/** CAPTURE_* bits that a capture needs on a port. */
function flagsFor(
  spec: CaptureSpec,
  endpoint: string | null,
  network: string,
  carries: readonly string[] | undefined,
): number {
  const drops = spec.drops ? CAPTURE_DROPS : 0;
  if (spec.underlay) {
    const isThere = carries !== undefined && (spec.network === null || carries.includes(spec.network));
    return isThere ? CAPTURE_ARRIVALS | CAPTURE_DEPARTURES | drops : 0;
  }
  if (spec.endpoint !== null) {
    return spec.endpoint === endpoint ? CAPTURE_ARRIVALS | CAPTURE_DEPARTURES | drops : 0;
  }
  return spec.network === null || spec.network === network ? CAPTURE_ARRIVALS | drops : 0;
}

function explainDrop(reason: number): string {
  const entry = DROP_REASONS[reason];
  return entry === undefined ? `dropped: reason ${reason}` : `dropped: ${entry.name}: ${entry.sentence}`;
}

function refusal(path: string, code: string, { reason, remedy }: { reason: string; remedy: string }): RequestError {
  return new RequestError('invalid-request', reason, remedy, [{ path, code, message: reason }]);
}

function viewOf({ name, spec, session, sink, state, reason, startedAt }: Capture): CaptureView {
  return {
    name,
    network: spec.network,
    endpoint: spec.endpoint,
    all: spec.network === null && spec.endpoint === null && !spec.underlay,
    underlay: spec.underlay,
    file: spec.file,
    format: spec.format,
    filter: spec.filter,
    snaplen: spec.snaplen,
    drops: spec.drops,
    rotateSize: spec.rotateSize,
    rotateFiles: spec.rotateFiles,
    files: sink instanceof FileSink ? sink.files : [],
    state,
    reason,
    frames: session.frames,
    bytes: session.bytes,
    lost: session.lost,
    startedAt,
  };
}
