/**
 * Reads classic pcap: micro- and nanoseconds, any byte order. The package pcap-parser parses; this feeds it, and guards
 * against what it does not know:
 *
 *   nanoseconds      their magic number is unknown to it: it is shown that of microseconds, and the unit is kept here
 *   record length    it would buffer whatever a record claims: a claim above MAX_RECORD_BYTES ends the reading
 *   back-pressure    it emits all that it has: it gets the next bytes only when the frames of the last ones are taken
 *   small pieces     it copies what it holds for every piece: it gets none before they complete what it waits for
 *
 * Read first: draft-ietf-opsawg-pcap.
 */
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import type * as pcapParser from 'pcap-parser';
import type { FileFrame, FormatReader } from './file-frame.js';
import { PCAP_HEADER_BYTES, PCAP_NANOSECONDS_MAGIC, PCAP_RECORD_BYTES } from './pcap-writer.js';

// The package is CommonJS without named exports.
const { parse } = createRequire(import.meta.url)('pcap-parser') as typeof pcapParser;

const MICROSECONDS_MAGIC = 0xa1b2c3d4;
/** The limit of libpcap for Ethernet, MAXIMUM_SNAPLEN. */
const MAX_RECORD_BYTES = 262144;
/** What the parser gets at once, unless a record is longer. */
const PIECE_BYTES = 64 << 10;

/** `magic`: the first four bytes of a file, big-endian. */
export function isPcapMagic(magic: number): boolean {
  return [MICROSECONDS_MAGIC, PCAP_NANOSECONDS_MAGIC].some((known) => magic === known || magic === swapped(known));
}

export class PcapReader implements FormatReader {
  error: string | null = null;
  /** Parsed and not taken yet. */
  private readonly frames: FileFrame[] = [];
  /** What the parser takes for the stream that it reads. */
  private readonly source = new InputEvents();
  /** Pushed, not given to the parser yet; `chunkAt` is the place in the first one. */
  private readonly chunks: Uint8Array[] = [];
  private chunkAt = 0;
  private waitingBytes = 0;
  /** Bytes that the parser has. */
  private given = 0;
  /** Bytes that it has to have to get any further. */
  private wanted = PCAP_HEADER_BYTES;
  /** End of the last whole record, or of the header. */
  private parsed = 0;
  private linkType = 0;
  /** Nanoseconds in one unit of the fraction of a second. */
  private fractionUnit = 1000;

  constructor() {
    const parser = parse(this.source);
    parser.on('globalHeader', ({ linkLayerType }) => {
      this.linkType = linkLayerType & 0xffff;
      this.advance(PCAP_HEADER_BYTES);
    });
    parser.on('packetHeader', ({ capturedLength }) => {
      if (capturedLength > MAX_RECORD_BYTES) this.error ??= `a record claims ${capturedLength} bytes`;
      this.wanted = this.parsed + PCAP_RECORD_BYTES + capturedLength;
    });
    parser.on('packet', ({ header, data }) => {
      if (this.error !== null) return;
      this.advance(PCAP_RECORD_BYTES + data.length);
      this.frames.push(this.frameOf(header, data));
    });
    parser.on('error', ({ message }) => {
      this.error ??= message;
    });
  }

  get pendingBytes(): number {
    return this.given - this.parsed + this.waitingBytes;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0 || this.error !== null) return;
    this.chunks.push(chunk);
    this.waitingBytes += chunk.length;
  }

  next(): FileFrame | null {
    while (this.frames.length === 0 && this.error === null && this.given + this.waitingBytes >= this.wanted)
      this.feed();
    return this.frames.shift() ?? null;
  }

  private advance(bytes: number): void {
    this.parsed += bytes;
    this.wanted = this.parsed + PCAP_RECORD_BYTES;
  }

  private feed(): void {
    const bytes = Math.max(this.wanted - this.given, Math.min(this.waitingBytes, PIECE_BYTES));
    const piece = this.take(bytes);
    if (this.given === 0) this.hideNanoseconds(piece);
    this.given += bytes;
    this.source.emit('data', piece);
  }

  /** The next bytes that were pushed, as a copy: what the chunks lie in belongs to the caller. */
  private take(bytes: number): Buffer {
    const piece = Buffer.allocUnsafe(bytes);
    let emptied = 0;
    for (let filled = 0; filled < bytes; ) {
      const chunk = this.chunks[emptied]!;
      const part = chunk.subarray(this.chunkAt, this.chunkAt + bytes - filled);
      piece.set(part, filled);
      filled += part.length;
      this.chunkAt += part.length;
      if (this.chunkAt === chunk.length) {
        emptied++;
        this.chunkAt = 0;
      }
    }
    this.chunks.splice(0, emptied);
    this.waitingBytes -= bytes;
    return piece;
  }

  private hideNanoseconds(head: Buffer): void {
    const magic = head.readUInt32BE(0);
    if (magic === PCAP_NANOSECONDS_MAGIC) head.writeUInt32BE(MICROSECONDS_MAGIC, 0);
    else if (magic === swapped(PCAP_NANOSECONDS_MAGIC)) head.writeUInt32LE(MICROSECONDS_MAGIC, 0);
    else return;
    this.fractionUnit = 1;
  }

  private frameOf(header: pcapParser.PacketHeader, data: Buffer): FileFrame {
    return {
      interfaceName: null,
      seconds: header.timestampSeconds,
      nanoseconds: header.timestampMicroseconds * this.fractionUnit,
      direction: null,
      comment: null,
      lostBefore: 0,
      linkType: this.linkType,
      bytes: new Uint8Array(data),
      length: header.originalLength,
    };
  }
}

/** A stream as far as pcap-parser looks: it pauses it at once and resumes it later, which means nothing here. */
class InputEvents extends EventEmitter {
  pause(): void {}
  resume(): void {}
}

function swapped(word: number): number {
  return (((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0;
}
