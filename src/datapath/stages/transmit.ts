/**
 * Turns verdicts into departures and hands them to the kernel.
 *
 * Reads every column. Writes: checksum* of a frame whose checksum is completed in place; verdict of a flooded frame that
 * nobody takes (no-destination). Drops departures: port-down, port-gone, queue-full, refused, not-segmentable, exceeds-underlay,
 * no-underlay-route.
 *
 * A departure is normally one row of the transmit queue: the frame as it lies in the slab behind its vnet header. Where the
 * port wants another form, only the head differs: a tag is inserted or removed (frames/tag-form.ts), a super-frame is cut
 * (frames/segment.ts), and head and untouched payload are written together. What leaves by a tunnel gets its outer headers in
 * encapsulator.ts; rows and results are kept by departures.ts.
 */

import { PiecePlan, payloadBytesOfPiece, planPieces, writePieceHeader } from '../../frames/fragment.js';
import { COMPLETE, consume, drop, FLOOD, FORWARDED, type FrameVector, OVERHEARD } from '../../frames/frame-vector.js';
import { gsoAcceptBits } from '../../frames/gso-bits.js';
import { payloadBytesOf, planSegments, SegmentPlan, writeSegmentHeader } from '../../frames/segment.js';
import type { Slab } from '../../frames/slab.js';
import * as tags from '../../frames/tag-form.js';
import type { TransmitQueue } from '../../frames/transmit-queue.js';
import type { PortIo } from '../../ports/port.js';
import * as vnet from '../../wire/vnet-header.js';
import { type Counters, TOTAL } from '../counters.js';
import { Departures } from '../departures.js';
import { DROP } from '../drop-reasons.js';
import { Encapsulator } from '../encapsulator.js';
import type { FrameTap } from '../frame-tap.js';
import { ACCEPTS_CHECKSUM, PORT_ISOLATED, type Program, TUNNEL, TUNNEL_INTS } from '../program.js';
import type { Tunnels } from '../tunnels.js';
import { carries } from '../vlan-membership.js';

export class Transmitter {
  private readonly plan = new SegmentPlan();
  private readonly pieces = new PiecePlan();
  private readonly frames: FrameVector;
  private readonly slab: Slab;
  private readonly io: PortIo;
  private readonly departures: Departures;
  private readonly encapsulator: Encapsulator;

  constructor(
    frames: FrameVector,
    queue: TransmitQueue,
    slab: Slab,
    io: PortIo,
    counters: Counters,
    tap: FrameTap,
    tunnels: Tunnels,
  ) {
    this.frames = frames;
    this.slab = slab;
    this.io = io;
    this.departures = new Departures(frames, queue, slab, io, counters, tap);
    this.encapsulator = new Encapsulator(frames, slab, queue, io, this.departures, tunnels);
  }

  /** Sends everything that this turn forwarded. Returns the number of writes. */
  transmit(program: Program): number {
    const { departures } = this;
    const { count, originated, verdict, egressPort, egressRemote } = this.frames;
    departures.begin(program);
    const rows = count + originated;
    for (let i = 0; i < rows; i++) {
      if (verdict[i] !== FORWARDED) continue;
      const port = egressPort[i]!;
      if (port === FLOOD) this.flood(i, program);
      else this.depart(i, port, egressRemote[i]!, program);
    }
    departures.flush();
    return departures.count;
  }

  /** Ends the fate of what floods to nobody, so that it is known before anything leaves. */
  settleFloods(program: Program): void {
    const { frames } = this;
    const { count, originated, verdict, egressPort, interest } = frames;
    const rows = count + originated;
    for (let i = 0; i < rows; i++) {
      if (verdict[i] !== FORWARDED || egressPort[i] !== FLOOD || this.hasTaker(i, program)) continue;
      // The gateway is on the network too, and has heard it.
      if (interest[i] === OVERHEARD) consume(frames, i);
      else drop(frames, i, DROP.noDestination);
    }
  }

  private hasTaker(i: number, program: Program): boolean {
    const network = this.frames.network[i]!;
    const first = program.memberFirst[network]!;
    const end = first + program.memberCount[network]!;
    for (let m = first; m < end; m++) if (this.takes(i, program.members[m]!, program)) return true;
    return false;
  }

  private flood(i: number, program: Program): void {
    const network = this.frames.network[i]!;
    const first = program.memberFirst[network]!;
    const end = first + program.memberCount[network]!;
    for (let m = first; m < end; m++) {
      const port = program.members[m]!;
      if (this.takes(i, port, program)) this.depart(i, port, FLOOD, program);
    }
  }

  /** Whether a frame that floods the network of `port` goes there. */
  private takes(i: number, port: number, program: Program): boolean {
    const ingress = this.frames.ingressPort[i]!;
    if (port === ingress) return false;
    const tunnel = program.portTunnel[port]!;
    if (tunnel >= 0 && program.tunnels[tunnel * TUNNEL_INTS + TUNNEL.floodCount] === 0) return false;
    const isolated = ingress < 0 ? 0 : program.portFlags[ingress]! & PORT_ISOLATED;
    return (program.portFlags[port]! & isolated) === 0 && carries(program, port, this.frames.vlan[i]!);
  }

  /** Queues row `i` for one port, in the form that the port takes. `remote`: the VTEP, where the port stands for a tunnel. */
  private depart(i: number, port: number, remote: number, program: Program): void {
    if (program.portTunnel[port]! >= 0) {
      this.encapsulator.depart(i, port, remote, program);
      return;
    }
    const { frames, departures } = this;
    const accepts = program.portAccepts[port]!;
    const overhead = program.portHeaderBytes[port]!;
    const form = tags.tagForm(frames, i, this.slab.view, program.portVlan[port]!);
    if (frames.pieceBytes[i] !== 0) {
      this.departPieces(i, port, overhead, form);
      return;
    }
    if (frames.gsoType[i] !== vnet.GSO_NONE) {
      const needed = gsoAcceptBits(frames, i);
      if ((accepts & needed) !== needed) {
        this.departSegments(i, port, overhead, form);
        return;
      }
    } else if (frames.checksumStart[i] !== COMPLETE && (accepts & ACCEPTS_CHECKSUM) === 0) {
      departures.completeChecksum(i);
    }
    if (form === tags.KEEP && overhead <= vnet.HEADER_BYTES) {
      const at = frames.start[i]! - overhead;
      departures.enqueue(i, port, overhead, 0, 0, at, frames.length[i]! + overhead, frames.checksumStart[i]!);
      return;
    }
    this.departChanged(i, port, overhead, form);
  }

  /** With another tag, or behind a longer vnet header than the one that the frame has in front of it. */
  private departChanged(i: number, port: number, overhead: number, form: number): void {
    const { frames, slab, departures } = this;
    departures.makeRoom();
    const headAt = departures.scratchAt;
    let headEnd = tags.writeVnetHeader(frames, slab, i, headAt, overhead, form);
    if (form !== tags.KEEP) headEnd = tags.writeAddressesAndTag(frames, slab, i, headEnd, form);
    const bodyOffset = form === tags.KEEP ? 0 : tags.replacedBytes(form);
    departures.scratchAt = headEnd;
    departures.enqueue(
      i,
      port,
      overhead,
      headAt,
      headEnd - headAt,
      frames.start[i]! + bodyOffset,
      frames.length[i]! - bodyOffset,
      tags.checksumStartIn(frames, i, form),
    );
  }

  /** Cuts a super-frame: one row per segment, headers in scratch memory, payload where it is. */
  private departSegments(i: number, port: number, overhead: number, form: number): void {
    const { frames, slab, plan, departures } = this;
    const { view, bytes } = slab;
    departures.bump(TOTAL.segmented, 1);
    if (!planSegments(frames, i, view, plan)) {
      departures.dropDeparture(port, DROP.notSegmentable);
      return;
    }
    const l3At = frames.l3At[i]!;
    for (let n = 0; n < plan.count; n++) {
      departures.makeRoom();
      const headAt = departures.scratchAt;
      const frameAt = tags.writePlainVnetHeader(view, headAt, overhead);
      const cursor = tags.writePlainHead(frames, slab, i, frameAt, form);
      const payloadAt = plan.payloadAt + n * plan.segmentBytes;
      const payload = payloadBytesOf(plan, n);
      writeSegmentHeader(view, bytes, plan, l3At, n, cursor, this.io.sum(payloadAt, payload, 0));
      const end = cursor + plan.headerBytes;
      departures.scratchAt = end;
      departures.enqueue(i, port, overhead, headAt, end - headAt, payloadAt, payload, COMPLETE);
    }
  }

  /** Cuts an IPv4 packet that is larger than the network that it leaves through; its checksum is that of the whole. */
  private departPieces(i: number, port: number, overhead: number, form: number): void {
    const { frames, slab, pieces, departures } = this;
    const { view, bytes } = slab;
    if (!planPieces(frames, i, view, pieces)) {
      departures.dropDeparture(port, DROP.notSegmentable);
      return;
    }
    if (frames.checksumStart[i] !== COMPLETE) departures.completeChecksum(i);
    const l3At = frames.l3At[i]!;
    for (let n = 0; n < pieces.count; n++) {
      departures.makeRoom();
      const headAt = departures.scratchAt;
      const frameAt = tags.writePlainVnetHeader(view, headAt, overhead);
      const cursor = tags.writePlainHead(frames, slab, i, frameAt, form);
      const end = cursor + writePieceHeader(view, bytes, pieces, l3At, n, cursor);
      departures.scratchAt = end;
      const payloadAt = pieces.payloadAt + n * pieces.pieceBytes;
      departures.enqueue(i, port, overhead, headAt, end - headAt, payloadAt, payloadBytesOfPiece(pieces, n), COMPLETE);
    }
  }
}
