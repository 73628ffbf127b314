/**
 * In which form a frame goes into a tunnel: as it is, as a super-frame that the port segments, as its segments, or as the pieces of a
 * packet that is cut. One instance per datapath; it describes the frame that was prepared last, and is the same for all of its copies.
 */
import { PiecePlan, payloadBytesOfPiece, planPieces, writePieceHeader } from '../frames/fragment.js';
import { COMPLETE, type FrameVector } from '../frames/frame-vector.js';
import { gsoAcceptBits } from '../frames/gso-bits.js';
import { largestPacketBytes } from '../frames/packet-bytes.js';
import {
  finishSegmentHeader,
  MAX_SEGMENTS,
  payloadBytesOf,
  planSegments,
  SegmentPlan,
  writeSegmentHeader,
} from '../frames/segment.js';
import type { Slab } from '../frames/slab.js';
import * as tags from '../frames/tag-form.js';
import type { PortIo } from '../ports/port.js';
import * as vnet from '../wire/vnet-header.js';
import { TOTAL } from './counters.js';
import type { Departures } from './departures.js';
import { DROP } from './drop-reasons.js';
import { NOT_DROPPED } from './frame-tap.js';
import { ACCEPTS_CHECKSUM, type Program, VLAN_ACCESS } from './program.js';

/** Values of `kind`. */
const WHOLE = 0;
const SUPER_FRAME = 1;
const SEGMENTS = 2;
const PIECES = 3;

export class InnerForm {
  /** Datagrams that it becomes. */
  count = 1;
  /** How the VLAN tag changes (frames/tag-form.ts). */
  tag = tags.KEEP;
  /** What of the frame follows the head that was written last. */
  bodyAt = 0;
  bodyBytes = 0;
  private kind = WHOLE;
  /** Whether the checksum of each payload is in `sums`. */
  private isSummed = false;
  private readonly sums = new Int32Array(MAX_SEGMENTS);
  private readonly segments = new SegmentPlan();
  private readonly pieces = new PiecePlan();
  private readonly frames: FrameVector;
  private readonly slab: Slab;
  private readonly io: PortIo;
  private readonly departures: Departures;

  constructor(frames: FrameVector, slab: Slab, io: PortIo, departures: Departures) {
    this.frames = frames;
    this.slab = slab;
    this.io = io;
    this.departures = departures;
  }

  /** Begins with row `i` on its way through the tunnel port `port`: finds out what happens to its tag. */
  setTag(i: number, port: number, program: Program): void {
    const { frames } = this;
    const form = tags.tagForm(frames, i, this.slab.view, program.portVlan[port]!);
    const carriesVlans = program.portVlanMode[port] !== VLAN_ACCESS;
    // RFC 7348 section 6.1: no tag inside of the tunnel unless it carries VLANs; a priority tag is one too.
    this.tag = form === tags.KEEP && frames.tagged[i] !== 0 && !carriesVlans ? tags.POP : form;
  }

  /** Bytes of the largest frame that row `i` becomes. */
  largestBytes(i: number): number {
    const { frames } = this;
    const l2Bytes = frames.l3At[i]! - frames.start[i]!;
    const packet = largestPacketBytes(frames, i, this.slab.view);
    const pieces = frames.pieceBytes[i]!;
    return l2Bytes + tags.growthOf(this.tag) + (pieces === 0 ? packet : Math.min(packet, pieces));
  }

  /**
   * Chooses the form of row `i` for a port that accepts `accepts` (ACCEPTS_*), and super-frames of at most `mostBytes` inside of a
   * tunnel if all of `tunnelBits` are among that. `completes`: a frame that goes as it is must have its checksum. NOT_DROPPED, or why the
   * frame cannot leave.
   */
  prepare(i: number, accepts: number, tunnelBits: number, mostBytes: number, completes: boolean): number {
    const { frames, departures } = this;
    const { view } = this.slab;
    this.kind = WHOLE;
    this.count = 1;
    this.isSummed = false;
    if (frames.pieceBytes[i] !== 0) {
      if (!planPieces(frames, i, view, this.pieces)) return DROP.notSegmentable;
      this.kind = PIECES;
      this.count = this.pieces.count;
      if (frames.checksumStart[i] !== COMPLETE) departures.completeChecksum(i);
    } else if (frames.gsoType[i] !== vnet.GSO_NONE) {
      if (!planSegments(frames, i, view, this.segments)) return DROP.notSegmentable;
      const needed = tunnelBits | gsoAcceptBits(frames, i) | ACCEPTS_CHECKSUM;
      const fits = frames.length[i]! + tags.growthOf(this.tag) <= mostBytes;
      // A kernel takes one that would be a single segment for something else (virtio_net_hdr_to_skb).
      if ((accepts & needed) === needed && fits && this.segments.count > 1) this.kind = SUPER_FRAME;
      else {
        this.kind = SEGMENTS;
        this.count = this.segments.count;
        departures.bump(TOTAL.segmented, 1);
      }
    } else if (frames.checksumStart[i] !== COMPLETE && (completes || !this.takesPartial(i, accepts))) {
      departures.completeChecksum(i);
    }
    return NOT_DROPPED;
  }

  /** Odd places are no transport header's, and could not be left out of an outer sum. */
  private takesPartial(i: number, accepts: number): boolean {
    const { checksumStart, checksumOffset } = this.frames;
    return (accepts & ACCEPTS_CHECKSUM) !== 0 && ((checksumStart[i]! | checksumOffset[i]!) & 1) === 0;
  }

  get isSuperFrame(): boolean {
    return this.kind === SUPER_FRAME;
  }

  /** Where in the inner frame a checksum is left to be finished by the port, or COMPLETE. */
  checksumStart(i: number): number {
    return this.kind === WHOLE || this.kind === SUPER_FRAME ? tags.checksumStartIn(this.frames, i, this.tag) : COMPLETE;
  }

  /** Writes what of datagram `n` of row `i` differs from the bytes in the slab, and says what follows it; returns where it ends. */
  writeHead(i: number, n: number, at: number): number {
    const { frames, slab, tag } = this;
    const { view, bytes } = slab;
    if (this.kind === SEGMENTS) {
      const { segments, sums } = this;
      this.bodyAt = segments.payloadAt + n * segments.segmentBytes;
      this.bodyBytes = payloadBytesOf(segments, n);
      if (!this.isSummed) sums[n] = this.io.sum(this.bodyAt, this.bodyBytes, 0);
      const from = frames.start[i]!;
      const fromL3 = frames.l3At[i]!;
      if (tag === tags.KEEP) {
        // All headers in one: a copy costs 20 ns however short it is.
        bytes.copyWithin(at, from, fromL3 + segments.headerBytes);
        finishSegmentHeader(view, segments, fromL3, n, at + fromL3 - from, sums[n]!);
        return at + fromL3 - from + segments.headerBytes;
      }
      const l3At = tags.writePlainHead(frames, slab, i, at, tag);
      writeSegmentHeader(view, bytes, segments, fromL3, n, l3At, sums[n]!);
      return l3At + segments.headerBytes;
    }
    if (this.kind === PIECES) {
      const { pieces } = this;
      this.bodyAt = pieces.payloadAt + n * pieces.pieceBytes;
      this.bodyBytes = payloadBytesOfPiece(pieces, n);
      const l3At = tags.writePlainHead(frames, slab, i, at, tag);
      return l3At + writePieceHeader(view, bytes, pieces, frames.l3At[i]!, n, l3At);
    }
    const replaced = tag === tags.KEEP ? 0 : tags.replacedBytes(tag);
    this.bodyAt = frames.start[i]! + replaced;
    this.bodyBytes = frames.length[i]! - replaced;
    return tag === tags.KEEP ? at : tags.writeAddressesAndTag(frames, slab, i, at, tag);
  }

  /** Sum of what follows the head of datagram `n`, which was written last. */
  bodySum(n: number): number {
    return this.kind === SEGMENTS ? this.sums[n]! : this.io.sum(this.bodyAt, this.bodyBytes, 0);
  }

  /** All datagrams were written once: what was summed need not be summed again for the next copy. */
  copied(): void {
    this.isSummed = true;
  }
}
