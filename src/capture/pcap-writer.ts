/**
 * Writes classic pcap with nanosecond time stamps (magic 0xa1b23c4d), little-endian. The format knows neither interfaces nor
 * directions, comments or lost frames: what pcapng has of those is left out. Read first: draft-ietf-opsawg-pcap.
 *
 *   file:   magic (4) | version 2.4 (2, 2) | 0 (4) | 0 (4) | snaplen (4) | link type (4)
 *   record: seconds (4) | nanoseconds (4) | captured bytes (4) | length (4) | bytes
 */
import type { CapturedFrame } from './capture-ring-reader.js';
import { type CaptureWriter, LINKTYPE_ETHERNET } from './capture-writer.js';
import type { ChunkBuilder } from './chunk-builder.js';

export const PCAP_NANOSECONDS_MAGIC = 0xa1b23c4d;
export const PCAP_HEADER_BYTES = 24;
export const PCAP_RECORD_BYTES = 16;

export function createPcapWriter(snaplen: number): CaptureWriter {
  return {
    begin(out: ChunkBuilder): void {
      out.ensure(PCAP_HEADER_BYTES);
      out.uint32(PCAP_NANOSECONDS_MAGIC);
      out.uint16(2);
      out.uint16(4);
      out.uint32(0);
      out.uint32(0);
      out.uint32(snaplen);
      out.uint32(LINKTYPE_ETHERNET);
    },
    addInterface(): void {},
    frame(out: ChunkBuilder, _interfaceIndex: number, frame: CapturedFrame, captured: number): void {
      out.ensure(PCAP_RECORD_BYTES + captured);
      out.uint32(frame.seconds);
      out.uint32(frame.nanoseconds);
      out.uint32(captured);
      out.uint32(frame.length);
      out.copyShared(frame.bytes, frame.at, captured);
    },
    end(): void {},
  };
}
