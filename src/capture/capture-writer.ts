/** What the two file formats have in common: capture-session.ts writes through this. Every call appends whole records. */
import type { CapturedFrame } from './capture-ring-reader.js';
import type { ChunkBuilder } from './chunk-builder.js';

/** Link-layer type of every capture: LINKTYPE_ETHERNET. */
export const LINKTYPE_ETHERNET = 1;

/** Bytes kept of a frame when nobody asks for fewer: the limit of libpcap, above any frame. */
export const MAX_SNAPLEN = 262144;

export interface InterfaceDescription {
  name: string;
  description: string;
  /** Text, or null. */
  mac: string | null;
}

export interface InterfaceTotals {
  /** Frames seen before the filter. */
  received: number;
  /** Frames that passed the filter. */
  accepted: number;
  /** Frames lost because the ring or the reader of the capture was full. */
  lost: number;
}

export interface CaptureWriter {
  /** The header of the file. */
  begin(out: ChunkBuilder): void;
  /** The next interface; they count from 0. */
  addInterface(out: ChunkBuilder, description: InterfaceDescription): void;
  /**
   * One frame, `captured` bytes of it. `comment`: why it was dropped. `lostBefore`: frames of this interface that are missing
   * between the last one and this.
   */
  frame(
    out: ChunkBuilder,
    interfaceIndex: number,
    frame: CapturedFrame,
    captured: number,
    comment: string | null,
    lostBefore: number,
  ): void;
  /** The numbers at the end, one row per interface. `startMs`, `endMs`: since 1970. */
  end(out: ChunkBuilder, totals: readonly InterfaceTotals[], startMs: number, endMs: number): void;
}
