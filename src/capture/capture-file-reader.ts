/**
 * Reads capture files piece by piece, as they arrive: finds out what it is given and hands it to the reader of that format,
 * pcapng-reader.ts or pcap-reader.ts. Most callers want `readCaptureFrames` of capture-frames.ts, which is fed by itself.
 *
 * Input may come from anywhere: damage ends the reading with a sentence in `error` after the frames in front of it were given.
 */
import type { FileFrame, FormatReader } from './file-frame.js';
import { isPcapMagic, PcapReader } from './pcap-reader.js';
import * as pcapng from './pcapng.js';
import { PcapngReader } from './pcapng-reader.js';

/** Every format begins with four bytes that no other begins with. */
const MAGIC_BYTES = 4;

export class CaptureFileReader {
  private format: FormatReader | null = null;
  /** The first bytes, while they do not tell the format. */
  private held = new Uint8Array(0);
  private unknown: string | null = null;

  /** Why reading stopped for good, or null. */
  get error(): string | null {
    return this.unknown ?? this.format?.error ?? null;
  }

  /** Bytes that are not a whole record yet; at the end of a file: that it was cut. */
  get pendingBytes(): number {
    return this.format?.pendingBytes ?? this.held.length;
  }

  /** Whether there was no input at all. */
  get isEmpty(): boolean {
    return this.format === null && this.held.length === 0;
  }

  push(chunk: Uint8Array): void {
    if (this.format !== null) this.format.push(chunk);
    else if (this.unknown === null) this.hold(chunk);
  }

  /** The next frame, or null when there is none before more is pushed (or ever: see `error`). */
  next(): FileFrame | null {
    return this.format?.next() ?? null;
  }

  private hold(chunk: Uint8Array): void {
    const held = new Uint8Array(this.held.length + chunk.length);
    held.set(this.held);
    held.set(chunk, this.held.length);
    this.held = held;
    if (held.length < MAGIC_BYTES) return;
    this.format = formatOf(held);
    if (this.format === null) this.unknown = 'this is neither pcapng nor pcap';
    else this.format.push(held);
  }
}

function formatOf(bytes: Uint8Array): FormatReader | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) === pcapng.SECTION_HEADER) return new PcapngReader();
  return isPcapMagic(view.getUint32(0)) ? new PcapReader() : null;
}
