/**
 * Writes pcapng: one section, an interface per endpoint, nanosecond time stamps. Interfaces may appear at any time; their
 * block precedes their first frame. Direction is that of the switch: inbound = from the endpoint into its network, like
 * `rx` in `weft stats`. Read first: draft-ietf-opsawg-pcapng.
 *
 * Little-endian throughout; the section length is -1 (unknown), as a file that grows must have it.
 */
import { ARRIVAL } from '../datapath/frame-tap.js';
import type { CapturedFrame } from './capture-ring-reader.js';
import {
  type CaptureWriter,
  type InterfaceDescription,
  type InterfaceTotals,
  LINKTYPE_ETHERNET,
} from './capture-writer.js';
import type { ChunkBuilder } from './chunk-builder.js';
import * as pcapng from './pcapng.js';

/** Blocks without text fit in this. */
const SMALL_BLOCK_BYTES = 256;
/** if_tsresol: 10^-9 s. */
const NANOSECONDS = 9;
/** if_filter begins with its kind: 0 = a libpcap expression. */
const FILTER_IS_TEXT = 0;

export interface PcapngOptions {
  /** Program and version, for the section header. */
  application: string;
  snaplen: number;
  /** Expression, empty = none. */
  filter: string;
}

export function createPcapngWriter(options: PcapngOptions): CaptureWriter {
  return new PcapngWriter(options);
}

class PcapngWriter implements CaptureWriter {
  private readonly options: PcapngOptions;

  constructor(options: PcapngOptions) {
    this.options = options;
  }

  begin(out: ChunkBuilder): void {
    const application = out.encode(this.options.application);
    const start = beginBlock(out, pcapng.SECTION_HEADER, SMALL_BLOCK_BYTES + application.length);
    out.uint32(pcapng.BYTE_ORDER_MAGIC);
    out.uint16(1);
    out.uint16(0);
    out.uint32(0xffffffff);
    out.uint32(0xffffffff);
    option(out, pcapng.SHB_APPLICATION, application);
    endOptions(out);
    endBlock(out, start);
  }

  addInterface(out: ChunkBuilder, { name, description, mac }: InterfaceDescription): void {
    const { snaplen } = this.options;
    const nameBytes = out.encode(name);
    const descriptionBytes = out.encode(description);
    const filter = out.encode(this.options.filter);
    const textBytes = nameBytes.length + descriptionBytes.length + filter.length;
    const start = beginBlock(out, pcapng.INTERFACE_DESCRIPTION, SMALL_BLOCK_BYTES + textBytes);
    out.uint16(LINKTYPE_ETHERNET);
    out.uint16(0);
    out.uint32(snaplen);
    option(out, pcapng.IF_NAME, nameBytes);
    option(out, pcapng.IF_DESCRIPTION, descriptionBytes);
    if (mac !== null)
      option(
        out,
        pcapng.IF_MAC,
        Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16)),
      );
    option(out, pcapng.IF_TIME_RESOLUTION, Uint8Array.of(NANOSECONDS));
    if (filter.length > 0) option(out, pcapng.IF_FILTER, Uint8Array.of(FILTER_IS_TEXT, ...filter));
    endOptions(out);
    endBlock(out, start);
  }

  frame(
    out: ChunkBuilder,
    interfaceIndex: number,
    frame: CapturedFrame,
    captured: number,
    comment: string | null,
    lostBefore: number,
  ): void {
    const commentBytes = comment === null ? null : out.encode(comment);
    const start = beginBlock(out, pcapng.ENHANCED_PACKET, SMALL_BLOCK_BYTES + captured + (commentBytes?.length ?? 0));
    out.uint32(interfaceIndex);
    const { high, low } = toNanoseconds(frame.seconds, frame.nanoseconds);
    out.uint32(high);
    out.uint32(low);
    out.uint32(captured);
    out.uint32(frame.length);
    out.copyShared(frame.bytes, frame.at, captured);
    out.pad(start);
    optionHeader(out, pcapng.EPB_FLAGS, 4);
    const direction = frame.direction === ARRIVAL ? pcapng.DIRECTION_INBOUND : pcapng.DIRECTION_OUTBOUND;
    out.uint32(frame.isChecksumComplete ? direction : direction | pcapng.CHECKSUM_NOT_READY);
    if (lostBefore > 0) {
      optionHeader(out, pcapng.EPB_DROP_COUNT, 8);
      out.uint64(lostBefore);
    }
    if (commentBytes !== null) option(out, pcapng.OPTION_COMMENT, commentBytes);
    endOptions(out);
    endBlock(out, start);
  }

  end(out: ChunkBuilder, totals: readonly InterfaceTotals[], startMs: number, endMs: number): void {
    for (const [index, { received, accepted, lost }] of totals.entries()) {
      const start = beginBlock(out, pcapng.INTERFACE_STATISTICS, SMALL_BLOCK_BYTES);
      out.uint32(index);
      timeStamp(out, endMs);
      optionHeader(out, pcapng.ISB_START_TIME, 8);
      timeStamp(out, startMs);
      optionHeader(out, pcapng.ISB_END_TIME, 8);
      timeStamp(out, endMs);
      optionHeader(out, pcapng.ISB_RECEIVED, 8);
      out.uint64(received);
      optionHeader(out, pcapng.ISB_DROPPED, 8);
      out.uint64(lost);
      optionHeader(out, pcapng.ISB_FILTER_ACCEPTED, 8);
      out.uint64(accepted);
      endOptions(out);
      endBlock(out, start);
    }
  }
}

/** Makes room and writes the head of a block; returns where it starts, for `endBlock`. */
function beginBlock(out: ChunkBuilder, type: number, roomBytes: number): number {
  out.ensure(roomBytes);
  const start = out.length;
  out.uint32(type);
  out.uint32(0);
  return start;
}

function endBlock(out: ChunkBuilder, start: number): void {
  const total = out.length + 4 - start;
  out.uint32(total);
  out.setUint32(start + 4, total);
}

function optionHeader(out: ChunkBuilder, code: number, bytes: number): void {
  out.uint16(code);
  out.uint16(bytes);
}

function option(out: ChunkBuilder, code: number, value: Uint8Array): void {
  optionHeader(out, code, value.length);
  const start = out.length;
  out.copy(value, 0, value.length);
  out.pad(start);
}

function endOptions(out: ChunkBuilder): void {
  optionHeader(out, pcapng.OPTION_END, 0);
}

function timeStamp(out: ChunkBuilder, ms: number): void {
  const seconds = Math.floor(ms / 1000);
  const { high, low } = toNanoseconds(seconds, Math.floor((ms - seconds * 1000) * 1e6));
  out.uint32(high);
  out.uint32(low);
}

/** Nanoseconds since 1970 as two halves of 32 bits: they do not fit a double, so they are multiplied in parts. */
export function toNanoseconds(seconds: number, nanoseconds: number): { high: number; low: number } {
  const upper = Math.floor(seconds / 65536) * 1e9;
  const upperHigh = Math.floor(upper / 65536);
  const lower = (upper - upperHigh * 65536) * 65536 + (seconds % 65536) * 1e9 + nanoseconds;
  return { high: upperHigh + Math.floor(lower / 2 ** 32), low: lower % 2 ** 32 };
}
