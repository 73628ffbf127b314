/**
 * The outer headers of a frame that came in at a VTEP with an Ethernet segment of its own (a TAP): Ethernet, IPv4 or IPv6, UDP. What is
 * not a datagram for the VTEP is somebody else's business: FOREIGN.
 *
 * RFC 7348 section 5; fragments are recognised and never put together (section 4.3: a VTEP may discard them).
 */
import type { PeerRows } from '../frames/peer-rows.js';
import * as words from '../wire/address-words.js';
import * as checksum from '../wire/checksum.js';
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as udp from '../wire/udp.js';
import { VTEP } from './program.js';

/** What a frame is to the VTEP. */
export const FOREIGN = 0;
/** A part of a datagram for it. */
export const FRAGMENT = 1;
export const DATAGRAM = 2;

/** More fragments, or an offset. */
const IPV4_FRAGMENT = 0x3fff;

export class OuterFrame {
  family = 0;
  l3At = 0;
  l4At = 0;
  /** Behind the UDP header; the end is in front of it when its length is impossible. */
  payloadAt = 0;
  end = 0;
  /** TOS byte. */
  trafficClass = 0;
  sourcePort = 0;
  /** Four words. */
  readonly source = new Int32Array(4);
  private readonly destination = new Int32Array(4);

  /** Takes the facts about a datagram from the socket that it came from instead: nothing else is known of its headers. */
  readPeer(peers: PeerRows, row: number): void {
    this.family = peers.family(row);
    peers.readAddress(row, this.source, 0);
    this.trafficClass = peers.trafficClass(row);
    this.sourcePort = peers.port(row);
  }

  /** Reads the frame at `at`. `vtepAt`: the row of `vteps`. `isWhole`: a super-frame, whose lengths say nothing. */
  read(view: DataView, at: number, length: number, vteps: Int32Array, vtepAt: number, isWhole: boolean): number {
    const room = length - ethernet.HEADER_BYTES;
    if (room < 0) return FOREIGN;
    const isForVtep =
      ethernet.destinationLow(view, at) === vteps[vtepAt + VTEP.ownMacLow] &&
      ethernet.destinationHigh(view, at) === vteps[vtepAt + VTEP.ownMacHigh];
    if (!isForVtep) return FOREIGN;
    this.l3At = at + ethernet.HEADER_BYTES;
    this.family = vteps[vtepAt + VTEP.family]!;
    const type = ethernet.etherType(view, at);
    if (this.family === 4) {
      return type === ethernet.TYPE_IPV4 ? this.readIpv4(view, room, vteps, vtepAt, isWhole) : FOREIGN;
    }
    return type === ethernet.TYPE_IPV6 ? this.readIpv6(view, room, vteps, vtepAt, isWhole) : FOREIGN;
  }

  private readIpv4(view: DataView, room: number, vteps: Int32Array, vtepAt: number, isWhole: boolean): number {
    const { l3At } = this;
    if (!ipv4.check(view, l3At, room) || ipv4.protocol(view, l3At) !== ipv4.PROTOCOL_UDP) return FOREIGN;
    words.read(view, l3At + 16, 4, this.destination, 0);
    if (!words.isSame(this.destination, 0, vteps, vtepAt + VTEP.address)) return FOREIGN;
    const headerBytes = ipv4.headerBytes(view, l3At);
    const bytes = isWhole ? room : ipv4.totalLength(view, l3At);
    if (bytes < headerBytes || bytes > room || checksum.sum(view, l3At, headerBytes, 0) !== 0xffff) return FOREIGN;
    words.read(view, l3At + 12, 4, this.source, 0);
    this.trafficClass = view.getUint8(l3At + 1);
    const field = ipv4.fragmentField(view, l3At);
    const isLater = ipv4.fragmentOffset(field) !== 0;
    return this.readUdp(
      view,
      l3At + headerBytes,
      l3At + bytes,
      vteps,
      vtepAt,
      (field & IPV4_FRAGMENT) !== 0,
      isLater,
      isWhole,
    );
  }

  private readIpv6(view: DataView, room: number, vteps: Int32Array, vtepAt: number, isWhole: boolean): number {
    const { l3At } = this;
    if (!ipv6.check(view, l3At, room)) return FOREIGN;
    words.read(view, l3At + 24, 6, this.destination, 0);
    if (!words.isSame(this.destination, 0, vteps, vtepAt + VTEP.address)) return FOREIGN;
    const end = isWhole ? l3At + room : l3At + ipv6.HEADER_BYTES + ipv6.payloadLength(view, l3At);
    if (end > l3At + room) return FOREIGN;
    words.read(view, l3At + 8, 6, this.source, 0);
    this.trafficClass = (view.getUint16(l3At) >>> 4) & 0xff;
    let l4At = l3At + ipv6.HEADER_BYTES;
    let next = ipv6.nextHeader(view, l3At);
    const isFragment = next === ipv6.FRAGMENT && l4At + ipv6.FRAGMENT_BYTES <= end;
    let isLater = false;
    if (isFragment) {
      next = view.getUint8(l4At);
      isLater = ipv6.fragmentOffset(ipv6.fragmentField(view, l4At)) !== 0;
      l4At += ipv6.FRAGMENT_BYTES;
    }
    if (next !== ipv4.PROTOCOL_UDP) return FOREIGN;
    return this.readUdp(view, l4At, end, vteps, vtepAt, isFragment, isLater, isWhole);
  }

  private readUdp(
    view: DataView,
    l4At: number,
    packetEnd: number,
    vteps: Int32Array,
    vtepAt: number,
    isFragment: boolean,
    isLater: boolean,
    isWhole: boolean,
  ): number {
    // The port of a later fragment is not in it: nobody but the VTEP has UDP at that address.
    if (isLater) return FRAGMENT;
    if (l4At + udp.HEADER_BYTES > packetEnd) return FOREIGN;
    if (udp.destinationPort(view, l4At) !== vteps[vtepAt + VTEP.udpPort]) return FOREIGN;
    if (isFragment) return FRAGMENT;
    this.l4At = l4At;
    this.payloadAt = l4At + udp.HEADER_BYTES;
    const bytes = isWhole ? packetEnd - l4At : udp.length(view, l4At);
    this.end = bytes > packetEnd - l4At ? l4At : l4At + bytes;
    return DATAGRAM;
  }
}
