/**
 * One running capture: takes frames from the ring, filters and cuts them, writes them in a file format and hands the bytes to
 * a sink. Knows nothing of ports and networks: whoever feeds it says which interface a frame belongs to.
 *
 * Never waits: when the sink is behind by `maxPendingBytes`, frames are lost and counted, in the totals and in front of the
 * next frame that is not.
 */
import { ARRIVAL, NOT_DROPPED } from '../datapath/frame-tap.js';
import { accepts, type BpfProgram, PACKET_INBOUND, PACKET_OUTBOUND } from './bpf.js';
import type { CapturedFrame } from './capture-ring-reader.js';
import type { CaptureSink } from './capture-sink.js';
import type { CaptureWriter, InterfaceDescription, InterfaceTotals } from './capture-writer.js';
import { ChunkBuilder } from './chunk-builder.js';

/** A reader that follows the file, and a crash, miss no more than this. */
const FLUSH_INTERVAL_MS = 100;
const CHUNK_BYTES = 256 << 10;

/** A filter sees at least this much of every frame, however little is kept of it. */
const MIN_FILTER_BYTES = 128;

export interface SessionOptions {
  writer: CaptureWriter;
  sink: CaptureSink;
  /** null = everything. */
  filter: BpfProgram | null;
  /** Bytes kept of each frame. */
  snaplen: number;
  /** Frames after which the capture is complete; null = no limit. */
  count: number | null;
  /** Sentence for a drop reason; frames that were dropped get none when it is null. */
  explainDrop: ((reason: number) => string) | null;
  /** null: everything goes into one file. */
  rotation: CaptureRotation | null;
  /** Handed over at every flush: a client wants bytes at once, a file in large writes. */
  isImmediate: boolean;
  /** Milliseconds since 1970. */
  startMs: number;
}

/** A file ends in front of the frame that would make it longer than `bytes`; its closing statistics are not counted. */
export interface CaptureRotation {
  bytes: number;
  /** What is handed over from now on belongs into the next file. */
  startNextFile(): void;
}

/** The totals are those of the present file. */
interface SessionInterface extends InterfaceTotals {
  description: InterfaceDescription;
  /** Frames lost since the last one that was written. */
  lostBefore: number;
}

export class CaptureSession {
  frames = 0;
  /** Bytes of frames kept. */
  bytes = 0;
  lost = 0;
  /** How far the sink may be behind: the owner shares out what all captures may hold. */
  maxPendingBytes = 1 << 20;
  private readonly options: SessionOptions;
  private readonly out = new ChunkBuilder();
  private readonly interfaces: SessionInterface[] = [];
  private outFrames = 0;
  /** Of the present file: what was handed over, and all frames. */
  private fileBytes = 0;
  private fileFrames = 0;
  private fileStartMs: number;
  private lastFlushMs: number;

  constructor(options: SessionOptions) {
    this.options = options;
    this.lastFlushMs = options.startMs;
    this.fileStartMs = options.startMs;
    options.writer.begin(this.out);
  }

  /** Whether `count` frames are there. */
  get isComplete(): boolean {
    return this.options.count !== null && this.frames >= this.options.count;
  }

  /** Bytes of each frame that the ring has to copy for this capture. */
  get neededBytes(): number {
    const { filter, snaplen } = this.options;
    return filter === null ? snaplen : Math.max(snaplen, filter.reachBytes, MIN_FILTER_BYTES);
  }

  /** Returns the index of the new interface. */
  addInterface(description: InterfaceDescription): number {
    this.options.writer.addInterface(this.out, description);
    return this.interfaces.push({ description, received: 0, accepted: 0, lost: 0, lostBefore: 0 }) - 1;
  }

  /** A frame that the capture is to have if it passes the filter. */
  offer(frame: CapturedFrame, interfaceIndex: number): void {
    if (this.isComplete) return;
    const { filter, sink } = this.options;
    const totals = this.interfaces[interfaceIndex]!;
    totals.received++;
    if (filter !== null) {
      const packetType = frame.direction === ARRIVAL ? PACKET_INBOUND : PACKET_OUTBOUND;
      if (!accepts(filter, frame.bytes, frame.at, frame.captured, frame.length, packetType)) return;
    }
    totals.accepted++;
    if (sink.pendingBytes + this.out.length > this.maxPendingBytes) {
      this.addLost(interfaceIndex, 1);
      return;
    }
    const startAt = this.out.length;
    this.append(frame, interfaceIndex);
    const { rotation } = this.options;
    if (rotation !== null && this.fileFrames > 0 && this.fileBytes + this.out.length > rotation.bytes) {
      this.out.length = startAt;
      this.startNextFile(rotation, totals, frame.seconds * 1000 + Math.floor(frame.nanoseconds / 1e6));
      this.append(frame, interfaceIndex);
    }
    totals.lostBefore = 0;
    this.frames++;
    this.fileFrames++;
    this.outFrames++;
    this.bytes += Math.min(frame.captured, this.options.snaplen);
    if (this.out.length >= CHUNK_BYTES) this.handOver();
  }

  private append(frame: CapturedFrame, interfaceIndex: number): void {
    const { snaplen, writer, explainDrop } = this.options;
    const comment = frame.reason === NOT_DROPPED || explainDrop === null ? null : explainDrop(frame.reason);
    const { lostBefore } = this.interfaces[interfaceIndex]!;
    writer.frame(this.out, interfaceIndex, frame, Math.min(frame.captured, snaplen), comment, lostBefore);
  }

  /** Ends the present file and begins another with the same interfaces. `totals` count a frame that belongs to that one. */
  private startNextFile(rotation: CaptureRotation, totals: SessionInterface, nowMs: number): void {
    totals.received--;
    totals.accepted--;
    this.endFile(nowMs);
    rotation.startNextFile();
    this.fileBytes = 0;
    this.fileFrames = 0;
    this.fileStartMs = nowMs;
    this.options.writer.begin(this.out);
    for (const each of this.interfaces) {
      this.options.writer.addInterface(this.out, each.description);
      each.received = 0;
      each.accepted = 0;
      each.lost = 0;
    }
    totals.received++;
    totals.accepted++;
  }

  private endFile(nowMs: number): void {
    this.options.writer.end(this.out, this.interfaces, this.fileStartMs, nowMs);
    this.handOver();
  }

  /** Frames of an interface that never came here. */
  addLost(interfaceIndex: number, frames: number): void {
    const totals = this.interfaces[interfaceIndex]!;
    totals.lost += frames;
    totals.lostBefore += frames;
    this.lost += frames;
  }

  /** The sink could not keep `frames` that it had been given. */
  takeBack(frames: number): void {
    this.frames -= frames;
    this.lost += frames;
  }

  /** Hands bytes over when it is time to. */
  flush(nowMs: number): void {
    // Also after the clock was set back.
    const waitedMs = Math.abs(nowMs - this.lastFlushMs);
    if (this.out.length === 0 || !(this.options.isImmediate || waitedMs >= FLUSH_INTERVAL_MS)) return;
    this.lastFlushMs = nowMs;
    this.handOver();
  }

  /** Writes the numbers at the end and closes the sink; resolves when all is written. */
  async end(nowMs: number): Promise<void> {
    this.endFile(nowMs);
    await this.options.sink.close();
  }

  /** Gives the sink everything there is. */
  handOver(): void {
    if (this.out.length === 0) return;
    this.fileBytes += this.out.length;
    if (!this.options.sink.write(this.out.take(), this.outFrames)) this.takeBack(this.outFrames);
    this.outFrames = 0;
  }
}
