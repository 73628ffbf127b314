/**
 * The frames of one turn: a struct of arrays, one row per frame, one column per fact, one writer stage per column.
 *
 *   column                                    writer
 *   start length ingressPort                  receive (and `injected`: that many of the first rows came from inside weft)
 *   destination* source* etherType tagged     parse
 *   l3At gso* checksum* network               parse (`complete` may finish a checksum, and then says so here)
 *   vlan                                      ingress
 *   egressPort                                switch
 *   verdict reason                            drop / forward, below
 *
 * Offsets are bytes in the slab. Invariant after parse: the 12 bytes in front of `start` hold the vnet header that the
 * gso and checksum columns describe, so a frame can be written to a port with vnet headers as it is.
 */
import { BURST_FRAMES, type Slab } from './slab.js';

/** Not decided yet. */
export const PENDING = 0;
export const FORWARDED = 1;
export const DROPPED = 2;

/** `egressPort` of a frame that goes to every member of its network that may have it. */
export const FLOOD = -1;

/** `checksumStart` of a frame whose checksum is complete. */
export const COMPLETE = -1;

export class FrameVector {
  count = 0;
  /** Rows 0 up to this were injected: their vnet header is valid whatever their port is. */
  injected = 0;
  readonly start: Int32Array;
  readonly length: Int32Array;
  readonly ingressPort = new Int32Array(BURST_FRAMES);
  readonly destinationHigh = new Int32Array(BURST_FRAMES);
  readonly destinationLow = new Int32Array(BURST_FRAMES);
  readonly sourceHigh = new Int32Array(BURST_FRAMES);
  readonly sourceLow = new Int32Array(BURST_FRAMES);
  /** Behind all VLAN tags (at most two are looked through). */
  readonly etherType = new Int32Array(BURST_FRAMES);
  /** 1 when the outer tag is a customer tag (0x8100), else 0. */
  readonly tagged = new Uint8Array(BURST_FRAMES);
  /** First byte behind the Ethernet header and its tags. */
  readonly l3At = new Int32Array(BURST_FRAMES);
  readonly network = new Int32Array(BURST_FRAMES);
  /** VLAN of the network that the frame belongs to; 0 = the untagged domain. */
  readonly vlan = new Int32Array(BURST_FRAMES);
  /** GSO_* of wire/vnet-header.ts without the ECN bit. */
  readonly gsoType = new Int32Array(BURST_FRAMES);
  readonly gsoEcn = new Uint8Array(BURST_FRAMES);
  readonly gsoSize = new Int32Array(BURST_FRAMES);
  /** Offset from the start of the frame, or COMPLETE. */
  readonly checksumStart = new Int32Array(BURST_FRAMES);
  /** From `checksumStart` to the field. */
  readonly checksumOffset = new Int32Array(BURST_FRAMES);
  readonly egressPort = new Int32Array(BURST_FRAMES);
  readonly verdict = new Uint8Array(BURST_FRAMES);
  readonly reason = new Uint8Array(BURST_FRAMES);

  constructor(slab: Slab) {
    this.start = slab.takeColumn(BURST_FRAMES);
    this.length = slab.takeColumn(BURST_FRAMES);
  }
}

/** Ends the fate of a frame: dropped for `reason` (a code of drop-reasons.ts). */
export function drop(frames: FrameVector, row: number, reason: number): void {
  frames.verdict[row] = DROPPED;
  frames.reason[row] = reason;
}

/** Ends the fate of a frame: it leaves through `port`, or through all that may have it (FLOOD). */
export function forward(frames: FrameVector, row: number, port: number): void {
  frames.verdict[row] = FORWARDED;
  frames.egressPort[row] = port;
}
