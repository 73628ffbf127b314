/**
 * Replays captures: reads the frames of a capture file as it comes and puts them into a network as if an endpoint had sent
 * them, at the pace of the file or as fast as the datapath takes them. The way into the datapath is ports/inject-ring.ts; from
 * there on a frame is an arrival like any other: learned from, counted, captured, dropped.
 *
 * Nothing is buffered but the ring and what the reader of the file holds: when the ring is full, or a frame's time has not come,
 * the file is not read on. A replay never outlives the attachment of its endpoint.
 *
 * Precision: a frame goes in within a millisecond or two of its time; frames closer together than that go in together.
 */
import { setImmediate } from 'node:timers/promises';
import { CaptureFileError, readCaptureFrames } from '../../capture/capture-frames.js';
import type { FileFrame } from '../../capture/file-frame.js';
import { Counters, PORT, portAt, TOTAL, totalAt } from '../../datapath/counters.js';
import { RequestError } from '../../model/problems.js';
import { type InjectRingWriter, MAX_INJECTED_BYTES } from '../../ports/inject-ring.js';
import type { Context } from '../context.js';
import type { ReplayRequest, ReplayView } from '../controller/captures.js';
import type { Attachment } from '../port-table.js';
import { l3OffsetOf, makeSuperFrame } from './super-frame.js';

/** LINKTYPE_ETHERNET, https://www.tcpdump.org/linktypes.html */
const ETHERNET = 1;
const MAX_REPLAYS = 16;
/** After so many frames without a pause the rest of the daemon gets its turn. */
const FRAMES_PER_SLICE = 256;
const FULL_RING_PAUSE_MS = 1;
/** A worker that takes nothing for so long is dead, and so is its successor. */
const STUCK_MS = 10_000;
const LONGEST_TIMER_MS = 60_000;

interface Job {
  endpoint: string;
  attachment: Attachment;
  port: number;
  serial: number;
  view: ReplayView;
  isStopped: boolean;
  /** Ends whatever the job waits for. */
  interrupt: () => void;
  /** Whether frames were written that the worker has not been told of. */
  isUntold: boolean;
}

export class Replays {
  private readonly context: Context;
  private readonly ring: InjectRingWriter;
  private readonly counters: Counters;
  private readonly jobs = new Map<string, Job>();

  constructor(context: Context) {
    this.context = context;
    this.ring = context.injector;
    this.counters = new Counters(context.datapath.tables.counters);
  }

  /**
   * Resolves when the file has ended, `request.count` frames are in, `stop` was called or `signal` has it end, and the worker has
   * taken every frame. Rejects with a `RequestError`; what was injected by then stays so.
   */
  async run(
    endpoint: string,
    request: ReplayRequest,
    input: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<ReplayView> {
    const job = this.begin(endpoint);
    signal.addEventListener('abort', () => interrupt(job), { once: true });
    const { view, port } = job;
    const { events } = this.context;
    const staleBefore = this.ring.stale(port);
    const droppedBefore = this.dropped(port);
    const startedAt = performance.now();
    const from = { object: 'endpoint', name: endpoint } as const;
    events.add({ type: 'replay-started', ...from, message: `a capture is replayed into endpoint ${endpoint}` });
    let failure = '';
    try {
      await this.context.ports.settled();
      await this.copyFrames(job, request, input).catch((error: unknown) => {
        // A file that was not read to its end is no damaged one.
        if (!job.isStopped) throw error;
      });
      if (job.isStopped) view.ended = 'stopped';
      await this.drain(job);
    } catch (error) {
      failure = `: ${(error as Error).message}`;
      throw refusalOf(error, view.injected);
    } finally {
      this.tell(job);
      this.jobs.delete(endpoint);
      view.injected -= this.ring.stale(port) - staleBefore;
      view.dropped = this.dropped(port) - droppedBefore;
      view.seconds = Math.round(performance.now() - startedAt) / 1000;
      const message = `the replay into endpoint ${endpoint} ended after ${view.injected} frames${failure}`;
      events.add({ type: 'replay-ended', ...from, message });
    }
    return view;
  }

  /** Ends the replay into an endpoint; `run` then resolves. */
  stop(endpoint: string): void {
    this.context.state.endpoint(endpoint);
    const job = this.jobs.get(endpoint);
    if (job === undefined) {
      throw new RequestError('not-found', `nothing is replayed into endpoint ${endpoint}`, 'it may have ended already');
    }
    interrupt(job);
  }

  stopAll(): void {
    for (const job of this.jobs.values()) interrupt(job);
  }

  private begin(endpoint: string): Job {
    this.context.state.endpoint(endpoint);
    const attachment = this.context.attachments.get(endpoint);
    if (attachment === undefined || attachment.port < 0) {
      const remedy = `attach it: weft endpoint attach ${endpoint} --compartment NAME`;
      throw new RequestError('conflict', `endpoint ${endpoint} is not attached`, remedy);
    }
    if (this.jobs.has(endpoint)) {
      throw new RequestError('conflict', `a capture is being replayed into endpoint ${endpoint}`, 'wait for its end');
    }
    if (this.jobs.size >= MAX_REPLAYS) {
      throw new RequestError('exhausted', `${MAX_REPLAYS} replays run already`, 'wait for the end of one');
    }
    const { port, serial } = attachment;
    const view = newView(endpoint);
    const job: Job = { endpoint, attachment, port, serial, view, isStopped: false, interrupt() {}, isUntold: false };
    this.jobs.set(endpoint, job);
    return job;
  }

  private async copyFrames(job: Job, request: ReplayRequest, input: AsyncIterable<Uint8Array>): Promise<void> {
    const { view } = job;
    const pace = request.topSpeed === true ? null : new Pace(request.speed ?? 1);
    let sliceFrames = 0;
    for await (const frame of readCaptureFrames(this.untilStopped(job, input))) {
      if (++sliceFrames >= FRAMES_PER_SLICE) {
        sliceFrames = 0;
        this.tell(job);
        await setImmediate();
      }
      if (job.isStopped) break;
      if (!isSelected(frame, request)) {
        view.skipped.notSelected++;
        continue;
      }
      const waitMs = pace?.waitFor(frame) ?? 0;
      if (waitMs >= 1) await this.waitUntil(job, performance.now() + waitMs);
      if (job.isStopped) break;
      this.checkAttachment(job);
      await this.injectFrame(job, frame);
      if (view.injected === request.count) {
        view.ended = 'count';
        return;
      }
    }
  }

  /** The input up to the moment that the job is stopped, also in the middle of a wait for more. The input is not closed. */
  private async *untilStopped(job: Job, input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    const iterator = input[Symbol.asyncIterator]();
    while (!job.isStopped) {
      // More may be long in coming.
      this.tell(job);
      const next = await new Promise<IteratorResult<Uint8Array> | null>((resolve, reject) => {
        job.interrupt = () => resolve(null);
        iterator.next().then(resolve, reject);
      });
      if (next === null || next.done === true) return;
      yield next.value;
    }
  }

  private async injectFrame(job: Job, frame: FileFrame): Promise<void> {
    const { view, port, serial } = job;
    const { bytes } = frame;
    const reason = whyUnfit(frame);
    if (reason !== null) {
      view.skipped[reason]++;
      return;
    }
    const content = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const l3At = l3OffsetOf(content);
    const { mtu } = this.context.state.network(job.attachment.network).spec;
    const request = bytes.length - l3At > mtu ? makeSuperFrame(content, l3At, mtu) : null;
    if (request === null && bytes.length - l3At > mtu) {
      view.skipped.tooLong++;
      return;
    }
    const deadline = performance.now() + STUCK_MS;
    while (!this.ring.write(port, serial, bytes, request)) {
      this.tell(job);
      await pause(job, FULL_RING_PAUSE_MS);
      this.checkAttachment(job);
      if (job.isStopped) return;
      if (performance.now() > deadline) throw stuck();
    }
    job.isUntold = true;
    view.injected++;
    view.bytes += bytes.length;
    if (request !== null) view.superFrames++;
  }

  /** Until the worker has taken everything, also what others have written, and has ended the turn in which it did. */
  private async drain(job: Job): Promise<void> {
    const deadline = performance.now() + STUCK_MS;
    let turnsBefore = -1;
    while (turnsBefore < 0 || this.turns === turnsBefore) {
      if (turnsBefore < 0 && this.ring.isEmpty) turnsBefore = this.turns;
      this.context.datapath.wake();
      if (performance.now() > deadline) throw stuck();
      await pause(job, FULL_RING_PAUSE_MS);
    }
  }

  private get turns(): number {
    return this.counters.values[totalAt(TOTAL.turns)]!;
  }

  /** Arrivals at a port that were dropped. */
  private dropped(port: number): number {
    return this.counters.values[portAt(port, PORT.rxDropped)]!;
  }

  private async waitUntil(job: Job, due: number): Promise<void> {
    this.tell(job);
    for (let left = due - performance.now(); left >= 1 && !job.isStopped; left = due - performance.now()) {
      await pause(job, Math.min(left, LONGEST_TIMER_MS));
      this.checkAttachment(job);
    }
  }

  private tell(job: Job): void {
    if (!job.isUntold) return;
    job.isUntold = false;
    this.context.datapath.wake();
  }

  private checkAttachment({ endpoint, attachment, port, serial }: Job): void {
    const now = this.context.attachments.get(endpoint);
    if (now === attachment && now.port === port && now.serial === serial) return;
    throw new RequestError(
      'conflict',
      `endpoint ${endpoint} was detached, moved or deleted`,
      'replay the capture again',
    );
  }
}

/** When frames are due: as far apart as they were, divided by the speed. Time that goes backwards in a file is no wait. */
class Pace {
  private readonly speed: number;
  private startedAt = -1;
  private firstMs = 0;

  constructor(speed: number) {
    this.speed = speed;
  }

  /** Milliseconds from now on, 0 or less for at once. */
  waitFor({ seconds, nanoseconds }: FileFrame): number {
    const frameMs = seconds * 1000 + nanoseconds / 1e6;
    const now = performance.now();
    if (this.startedAt < 0) {
      this.startedAt = now;
      this.firstMs = frameMs;
    }
    return this.startedAt + (frameMs - this.firstMs) / this.speed - now;
  }
}

function newView(endpoint: string): ReplayView {
  const skipped = { notSelected: 0, notEthernet: 0, cut: 0, tooShort: 0, tooLong: 0 };
  return { endpoint, injected: 0, bytes: 0, superFrames: 0, dropped: 0, skipped, seconds: 0, ended: 'end-of-file' };
}

/**
 * A capture of one endpoint of weft has both what it had sent, which came in, and what it had received, which its own senders
 * would send again. Injected is what came in, and what says nothing about that.
 */
function isSelected({ interfaceName, direction }: FileFrame, request: ReplayRequest): boolean {
  if (request.fromInterface !== undefined && interfaceName !== request.fromInterface) return false;
  switch (request.direction ?? 'in') {
    case 'in':
      return direction !== 'outbound';
    case 'out':
      return direction === 'outbound';
    case 'any':
      return true;
  }
}

function whyUnfit({ linkType, bytes, length }: FileFrame): Exclude<keyof ReplayView['skipped'], 'notSelected'> | null {
  if (linkType !== ETHERNET) return 'notEthernet';
  if (bytes.length < length) return 'cut';
  if (bytes.length < 14) return 'tooShort';
  return bytes.length > MAX_INJECTED_BYTES ? 'tooLong' : null;
}

function interrupt(job: Job): void {
  job.isStopped = true;
  job.interrupt();
}

/** Resolves after the time, or when the job is stopped. */
function pause(job: Job, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    job.interrupt = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

function refusalOf(error: unknown, injected: number): unknown {
  if (!(error instanceof CaptureFileError)) return error;
  const remedy = `injected before that: ${injected}; check the file with weft capture read`;
  return new RequestError('invalid-request', error.message, remedy);
}

function stuck(): RequestError {
  return new RequestError('unavailable', 'the datapath takes no frames', 'see `weft status` and the log of weftd');
}
