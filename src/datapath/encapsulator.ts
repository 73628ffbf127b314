/**
 * What leaves by the port of a tunnel: puts VXLAN and, where weft writes them itself, the outer headers in front of frames, and queues
 * one write per copy and datagram (RFC 7348 sections 4 and 5). The payload stays where it arrived, however many peers get it.
 *
 *   underlay        row of the queue
 *   TAP             vnet header | Ethernet | IP | UDP | VXLAN | inner head     inner frame, or payload of a segment
 *   socket                                              VXLAN | inner head     the same; peer and traffic class in `txPeer`
 *
 * A super-frame goes out whole through a TAP that takes it (ACCEPTS_TUNNEL_GSO), else as its segments. Datagrams of one size that follow
 * each other leave joined (joined-datagrams.ts). A partial inner checksum stays partial where the port finishes it, unless the datagram
 * may be joined: a super-frame has room for one partial checksum, and that is the outer one.
 *
 * Outer fields: source port by a hash of the inner flow, ECN copied (RFC 6040 section 4.1, normal mode), DSCP copied or set
 * (RFC 2983), never fragmented. A frame that is larger than the underlay carries is dropped here (exceeds-underlay).
 */
import { COMPLETE, FLOOD, type FrameVector } from '../frames/frame-vector.js';
import type { Slab } from '../frames/slab.js';
import * as tags from '../frames/tag-form.js';
import type { TransmitQueue } from '../frames/transmit-queue.js';
import type { PortIo } from '../ports/port.js';
import type { RemoteTable } from '../tables/remote-table.js';
import * as checksum from '../wire/checksum.js';
import { flowHash, trafficClass } from '../wire/flow-hash.js';
import * as udp from '../wire/udp.js';
import * as vnet from '../wire/vnet-header.js';
import * as vxlan from '../wire/vxlan.js';
import type { Departures } from './departures.js';
import { DROP } from './drop-reasons.js';
import { NOT_DROPPED } from './frame-tap.js';
import { InnerForm } from './inner-form.js';
import { outerHeadBytes, outerIpBytes, outerPseudoSum, writeOuterHead } from './outer-head.js';
import {
  ACCEPTS_CHECKSUM,
  ACCEPTS_TUNNEL_CSUM,
  ACCEPTS_TUNNEL_GSO,
  ACCEPTS_USO,
  emptyProgram,
  type Program,
  TUNNEL,
  TUNNEL_INTS,
  VTEP,
  VTEP_CHECKSUM,
  VTEP_INTS,
  VTEP_SOCKET,
} from './program.js';
import type { Tunnels } from './tunnels.js';

/** The largest IP packet, and so the largest super-frame that an outer header can describe. */
const MAX_PACKET_BYTES = 65_535;
const ECN_BITS = 3;
/** What a TAP must accept for datagrams to leave as one super-frame of UDP. */
const JOINING_BITS = ACCEPTS_USO | ACCEPTS_CHECKSUM;

export class Encapsulator {
  private program: Program = emptyProgram();
  /** Of the frame at hand, the same for all of its copies: its form, VNI and flow, and the class of outer packets. */
  private readonly inner: InnerForm;
  private vni = 0;
  private hash = 0;
  private outerClass = 0;
  /** Where its VTEP stands in `vteps`, the port that writes, and what that takes. */
  private vtepAt = 0;
  private family = 4;
  private hasChecksum = false;
  private port = 0;
  private overhead = 0;
  private isSocket = false;
  private joins = false;
  /** Bytes of an outer head that is written: of a socket only for captures. */
  private outerBytes = 0;
  private readonly frames: FrameVector;
  private readonly slab: Slab;
  private readonly queue: TransmitQueue;
  private readonly departures: Departures;
  private readonly tunnels: Tunnels;
  private readonly remotes: RemoteTable;

  constructor(
    frames: FrameVector,
    slab: Slab,
    queue: TransmitQueue,
    io: PortIo,
    departures: Departures,
    tunnels: Tunnels,
  ) {
    this.frames = frames;
    this.slab = slab;
    this.queue = queue;
    this.departures = departures;
    this.tunnels = tunnels;
    this.remotes = tunnels.remotes;
    this.inner = new InnerForm(frames, slab, io, departures);
  }

  /** Sends row `i`, which leaves by the port of a tunnel, to the VTEP `remote`, or (FLOOD) to all on the flood list of the tunnel. */
  depart(i: number, port: number, remote: number, program: Program): void {
    const tunnelAt = program.portTunnel[port]! * TUNNEL_INTS;
    const { tunnels } = program;
    const floods = tunnels[tunnelAt + TUNNEL.floodCount]!;
    if (remote === FLOOD && floods === 0) return;
    this.program = program;
    const reason = this.begin(i, port, tunnelAt, remote);
    this.captureInner(i, port, reason);
    if (reason !== NOT_DROPPED) {
      this.departures.dropDeparture(port, reason);
      return;
    }
    this.departures.countInner(port, this.frames.length[i]!);
    if (remote !== FLOOD) {
      this.copy(i, remote);
      return;
    }
    const first = tunnels[tunnelAt + TUNNEL.floodFirst]!;
    for (let n = 0; n < floods; n++) {
      const peer = this.tunnels.floodRemotes[first + n]!;
      if (peer >= 0) this.copy(i, peer);
    }
  }

  /** Works out everything that is the same for all copies; NOT_DROPPED, or why the frame cannot leave. */
  private begin(i: number, port: number, tunnelAt: number, remote: number): number {
    const { frames, program } = this;
    const { view } = this.slab;
    const { tunnels, vteps } = program;
    const vtep = tunnels[tunnelAt + TUNNEL.vtep]!;
    this.vtepAt = vtep * VTEP_INTS;
    this.family = vteps[this.vtepAt + VTEP.family]!;
    this.hasChecksum = (vteps[this.vtepAt + VTEP.flags]! & VTEP_CHECKSUM) !== 0;
    this.isSocket = vteps[this.vtepAt + VTEP.kind] === VTEP_SOCKET;
    const l3At = frames.l3At[i]!;
    const end = frames.start[i]! + frames.length[i]!;
    this.hash = flowHash(view, frames.start[i]!, l3At, end);
    this.inner.setTag(i, port, program);
    this.port = this.isSocket ? this.pickSender() : vteps[this.vtepAt + VTEP.port]!;
    if (this.port < 0) return DROP.portGone;
    const accepts = this.isSocket ? 0 : program.portAccepts[this.port]!;
    this.joins =
      (this.isSocket || (accepts & JOINING_BITS) === JOINING_BITS) && this.departures.joined.mayJoin(program, vtep);
    this.overhead = program.portHeaderBytes[this.port]!;
    const isShown = program.captureSnaplen > 0 && program.portCapture[this.port] !== 0;
    this.outerBytes = !this.isSocket || isShown ? outerHeadBytes(this.family) : 0;
    const given = remote === FLOOD ? -1 : frames.egressVni[i]!;
    this.vni = given < 0 ? tunnels[tunnelAt + TUNNEL.vni]! : given;
    const inside = trafficClass(view, l3At, end);
    const dscp = tunnels[tunnelAt + TUNNEL.dscp]!;
    this.outerClass = dscp < 0 ? inside : (dscp << 2) | (inside & ECN_BITS);
    const around = outerIpBytes(this.family) + udp.HEADER_BYTES + vxlan.HEADER_BYTES;
    if (around + this.inner.largestBytes(i) > vteps[this.vtepAt + VTEP.mtu]!) return DROP.exceedsUnderlay;
    const takesTunnels = !this.isSocket && this.overhead === vnet.TUNNEL_HEADER_BYTES;
    const tunnelBits = ACCEPTS_TUNNEL_GSO | (this.hasChecksum ? ACCEPTS_TUNNEL_CSUM : 0);
    return this.inner.prepare(i, accepts, tunnelBits, takesTunnels ? MAX_PACKET_BYTES - around : 0, this.joins);
  }

  /** A socket of the VTEP: each has a source port of its own, and a flow stays with one. */
  private pickSender(): number {
    const { vteps, vtepSenders } = this.program;
    const count = vteps[this.vtepAt + VTEP.senderCount]!;
    if (count === 0) return -1;
    return vtepSenders[vteps[this.vtepAt + VTEP.senderFirst]! + ((this.hash >>> 0) % count)]!;
  }

  /** Queues every datagram of the frame for one VTEP. */
  private copy(i: number, remote: number): void {
    const { remotes, inner } = this;
    if (remotes.family(remote) !== this.family) {
      this.departures.dropDeparture(this.port, DROP.noUnderlayRoute);
      return;
    }
    let bytes = 0;
    for (let n = 0; n < inner.count; n++) bytes += this.queueDatagram(i, n, remote);
    inner.copied();
    remotes.countSent(remote, inner.count, bytes);
  }

  /** Returns the bytes of the inner frame. */
  private queueDatagram(i: number, n: number, remote: number): number {
    const { departures, overhead, outerBytes, inner } = this;
    const { view } = this.slab;
    departures.makeRoom();
    const at = departures.scratchAt;
    const frameAt = at + overhead;
    const vxlanAt = frameAt + outerBytes;
    const innerAt = vxlanAt + vxlan.HEADER_BYTES;
    const headEnd = inner.writeHead(i, n, innerAt);
    departures.scratchAt = headEnd;
    vxlan.write(view, vxlanAt, this.vni);
    const payload = headEnd - vxlanAt + inner.bodyBytes;
    if (this.isSocket) {
      this.queueMessage(i, remote, frameAt, vxlanAt, headEnd, payload);
      return payload - vxlan.HEADER_BYTES;
    }
    this.queueFrame(i, n, remote, at, innerAt, headEnd, payload);
    return payload - vxlan.HEADER_BYTES;
  }

  /** A TAP gets the whole outer frame, unless the datagram continues a super-frame. */
  private queueFrame(
    i: number,
    n: number,
    remote: number,
    at: number,
    innerAt: number,
    headEnd: number,
    payload: number,
  ): void {
    const { inner, outerClass } = this;
    const sourcePort = vxlan.FIRST_SOURCE_PORT + (this.hash & (vxlan.SOURCE_PORTS - 1));
    if (!this.joins || inner.isSuperFrame) {
      const udpAt = this.writeOuter(at + this.overhead, remote, sourcePort, payload);
      const partial = this.writeOffload(i, at, at + this.overhead, udpAt, innerAt);
      if (this.hasChecksum) this.writeChecksum(i, n, udpAt, headEnd, payload, partial === COMPLETE);
      this.enqueueFrame(i, at, headEnd, partial !== COMPLETE, partial, this.frames.checksumOffset[i]!);
      return;
    }
    const { joined } = this.departures;
    const lead = innerAt - vxlan.HEADER_BYTES - at;
    const continues = joined.continues(this.port, remote, outerClass, sourcePort, payload);
    let partial: number = COMPLETE;
    if (!continues || this.program.captureSnaplen > 0) partial = this.writeJoinable(at, remote, sourcePort, payload);
    const row = this.enqueueFrame(i, at, headEnd, false, partial, udp.CHECKSUM_OFFSET);
    if (continues) joined.append(row, payload, lead);
    else joined.begin(row, this.port, remote, outerClass, sourcePort, payload);
  }

  private enqueueFrame(
    i: number,
    at: number,
    headEnd: number,
    isUnfinished: boolean,
    partial: number,
    partialOffset: number,
  ): number {
    const { departures, inner } = this;
    return departures.enqueueOuter(
      i,
      this.port,
      this.overhead,
      at,
      headEnd - at,
      inner.bodyAt,
      inner.bodyBytes,
      isUnfinished,
      0,
      partial,
      partialOffset,
    );
  }

  /** Writes what is in front of VXLAN, for a datagram with a finished inner frame; returns as `writeOffload` does. */
  private writeJoinable(at: number, remote: number, sourcePort: number, payload: number): number {
    const { view } = this.slab;
    const frameAt = at + this.overhead;
    const udpAt = this.writeOuter(frameAt, remote, sourcePort, payload);
    tags.writePlainVnetHeader(view, at, this.overhead);
    if (!this.hasChecksum) return COMPLETE;
    vnet.writePartial(view, at, udpAt - frameAt, udp.CHECKSUM_OFFSET);
    udp.setChecksum(view, udpAt, outerPseudoSum(view, udpAt, this.family, payload));
    return udpAt - frameAt;
  }

  /** The kernel writes what is in front of VXLAN; captures get it from here, with a checksum that is left to be finished. */
  private queueMessage(
    i: number,
    remote: number,
    frameAt: number,
    vxlanAt: number,
    headEnd: number,
    payload: number,
  ): void {
    const { departures, outerBytes, queue, remotes, outerClass, inner } = this;
    const { vteps, portUdp } = this.program;
    const udpOffset = outerBytes - udp.HEADER_BYTES;
    if (outerBytes > 0) {
      const { view } = this.slab;
      const udpAt = this.writeOuter(frameAt, remote, portUdp[this.port]!, payload);
      udp.setChecksum(view, udpAt, outerPseudoSum(view, udpAt, this.family, payload));
    }
    const { joined } = departures;
    const continues = this.joins && joined.continues(this.port, remote, outerClass, 0, payload);
    const row = departures.enqueueOuter(
      i,
      this.port,
      0,
      vxlanAt,
      headEnd - vxlanAt,
      inner.bodyAt,
      inner.bodyBytes,
      false,
      outerBytes,
      udpOffset,
      udp.CHECKSUM_OFFSET,
    );
    const port = vteps[this.vtepAt + VTEP.udpPort]!;
    const toAt = remotes.addressAt(remote);
    queue.txPeer.write(row, remotes.family(remote), port, 0, remotes.addresses, toAt, 0, outerClass, 0);
    if (!this.joins) return;
    if (continues) joined.append(row, payload, 0);
    else joined.begin(row, this.port, remote, outerClass, 0, payload);
  }

  private writeOuter(at: number, remote: number, sourcePort: number, payload: number): number {
    const { vteps } = this.program;
    const { remotes, vtepAt, outerClass, hash } = this;
    const { view } = this.slab;
    const toAt = remotes.addressAt(remote);
    return writeOuterHead(view, at, vteps, vtepAt, remotes.addresses, toAt, outerClass, hash, sourcePort, payload);
  }

  /** Writes the vnet header; returns where in the outer frame a checksum is left to be finished, or COMPLETE. */
  private writeOffload(i: number, at: number, frameAt: number, udpAt: number, innerAt: number): number {
    const { frames, slab, overhead, inner } = this;
    const { view } = slab;
    const start = inner.checksumStart(i);
    if (overhead === 0) return start;
    if (start === COMPLETE) {
      tags.writePlainVnetHeader(view, at, overhead);
      return COMPLETE;
    }
    tags.writeVnetHeader(frames, slab, i, at, overhead, inner.tag);
    const shift = innerAt - frameAt;
    vnet.shiftChecksumStart(view, at, shift);
    if (inner.isSuperFrame) {
      const gsoBits = this.family === 4 ? vnet.GSO_TUNNEL_IPV4 : vnet.GSO_TUNNEL_IPV6;
      const innerL3 = shift + frames.l3At[i]! - frames.start[i]! + tags.growthOf(inner.tag);
      vnet.writeTunnel(view, at, gsoBits, this.hasChecksum, udpAt - frameAt, innerL3);
    }
    return start + shift;
  }

  /** Writes the outer UDP checksum. */
  private writeChecksum(
    i: number,
    n: number,
    udpAt: number,
    headEnd: number,
    payload: number,
    isComplete: boolean,
  ): void {
    const { view } = this.slab;
    const { inner } = this;
    const pseudo = outerPseudoSum(view, udpAt, this.family, payload);
    if (inner.isSuperFrame) {
      // udp_set_csum (net/ipv4/udp.c): the sum of the pseudo-header, which every segment finishes with its own length.
      udp.setChecksum(view, udpAt, pseudo);
      return;
    }
    const head = checksum.sum(view, udpAt, headEnd - udpAt, pseudo);
    const total = isComplete ? checksum.fold(head + inner.bodySum(n)) : this.localOffloadSum(i, head);
    udp.setChecksum(view, udpAt, checksum.finishUdp(total));
  }

  /**
   * Local checksum offload (Documentation/networking/checksum-offloads.rst): once the inner checksum is finished, what it covers
   * adds up to the complement of the partial one in its field, whatever the payload is.
   */
  private localOffloadSum(i: number, head: number): number {
    const { frames } = this;
    const { view } = this.slab;
    const innerStart = frames.start[i]! + frames.checksumStart[i]!;
    const before = checksum.sum(view, this.inner.bodyAt, innerStart - this.inner.bodyAt, head);
    const partial = view.getUint16(innerStart + frames.checksumOffset[i]!);
    return checksum.fold(before + (~partial & 0xffff));
  }

  /** Shows the frame as it leaves by the port of the tunnel to captures of its network. */
  private captureInner(i: number, port: number, reason: number): void {
    const { departures, frames, program, slab } = this;
    const { tag } = this.inner;
    if (program.captureSnaplen === 0 || program.portCapture[port] === 0) return;
    if (tag === tags.KEEP) {
      departures.captureInner(i, port, 0, 0, 0, frames.checksumStart[i]!, reason);
      return;
    }
    departures.makeRoom();
    const at = departures.scratchAt;
    const headBytes = tags.writeAddressesAndTag(frames, slab, i, at, tag) - at;
    const start = tags.checksumStartIn(frames, i, tag);
    departures.captureInner(i, port, at, headBytes, tags.replacedBytes(tag), start, reason);
  }
}
