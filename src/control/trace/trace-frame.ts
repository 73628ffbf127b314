/**
 * The frame that a trace describes in words: Ethernet, IPv4 or IPv6, and TCP, UDP or an ICMP echo request, with complete
 * checksums and a payload of zeros. What the stack of a compartment would send, without its options.
 */
import * as checksum from '../../wire/checksum.js';

export interface TraceStation {
  macHigh: number;
  macLow: number;
  /** 4 or 16 bytes, of the same family on both sides. */
  address: Uint8Array;
}

export interface TracePacket {
  source: TraceStation;
  destination: TraceStation;
  protocol: 'tcp' | 'udp' | 'icmp';
  /** Of an echo request: its identifier. */
  sourcePort: number;
  destinationPort: number;
  /** TCP, bits as in the header. */
  flags: number;
  /** Hop limit for IPv6. */
  ttl: number;
  payloadBytes: number;
}

const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const PROTOCOLS = { tcp: 6, udp: 17, icmp: 1 } as const;
const ICMPV6 = 58;
const HEADER_BYTES = { tcp: 20, udp: 8, icmp: 8 } as const;
const CHECKSUM_AT = { tcp: 16, udp: 6, icmp: 2 } as const;
const ECHO_REQUEST = 8;
const ECHO_REQUEST_V6 = 128;
const WINDOW = 64240;

export function buildTraceFrame(packet: TracePacket): Uint8Array {
  const { source, destination, protocol } = packet;
  const isIpv6 = source.address.length === 16;
  const l4At = ETHERNET_BYTES + (isIpv6 ? IPV6_BYTES : IPV4_BYTES);
  const bytes = new Uint8Array(l4At + HEADER_BYTES[protocol] + packet.payloadBytes);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, destination.macHigh);
  view.setInt32(2, destination.macLow);
  view.setUint16(6, source.macHigh);
  view.setInt32(8, source.macLow);
  view.setUint16(12, isIpv6 ? 0x86dd : 0x0800);
  const number = protocol === 'icmp' && isIpv6 ? ICMPV6 : PROTOCOLS[protocol];
  const l4Bytes = bytes.length - l4At;
  if (isIpv6) writeIpv6(view, bytes, packet, number, l4Bytes);
  else writeIpv4(view, bytes, packet, number);
  writeTransport(view, l4At, packet, isIpv6, l4Bytes);
  // RFC 792: the checksum of ICMP is the only one without a pseudo-header.
  const pseudo =
    number === PROTOCOLS.icmp ? 0 : checksum.pseudoSum(view, ETHERNET_BYTES, isIpv6 ? 6 : 4, number, l4Bytes);
  const total = checksum.sum(view, l4At, l4Bytes, pseudo);
  const finished = protocol === 'udp' ? checksum.finishUdp(total) : checksum.finish(total);
  view.setUint16(l4At + CHECKSUM_AT[protocol], finished);
  return bytes;
}

function writeIpv4(view: DataView, bytes: Uint8Array, packet: TracePacket, protocol: number): void {
  const at = ETHERNET_BYTES;
  view.setUint8(at, 0x45);
  view.setUint16(at + 2, bytes.length - ETHERNET_BYTES);
  // "Don't fragment", as every stack that discovers the path MTU sends it.
  view.setUint16(at + 6, 0x4000);
  view.setUint8(at + 8, packet.ttl);
  view.setUint8(at + 9, protocol);
  bytes.set(packet.source.address, at + 12);
  bytes.set(packet.destination.address, at + 16);
  view.setUint16(at + 10, checksum.finish(checksum.sum(view, at, IPV4_BYTES, 0)));
}

function writeIpv6(view: DataView, bytes: Uint8Array, packet: TracePacket, protocol: number, l4Bytes: number): void {
  const at = ETHERNET_BYTES;
  view.setUint8(at, 0x60);
  view.setUint16(at + 4, l4Bytes);
  view.setUint8(at + 6, protocol);
  view.setUint8(at + 7, packet.ttl);
  bytes.set(packet.source.address, at + 8);
  bytes.set(packet.destination.address, at + 24);
}

function writeTransport(view: DataView, at: number, packet: TracePacket, isIpv6: boolean, l4Bytes: number): void {
  if (packet.protocol === 'icmp') {
    view.setUint8(at, isIpv6 ? ECHO_REQUEST_V6 : ECHO_REQUEST);
    view.setUint16(at + 4, packet.sourcePort);
    view.setUint16(at + 6, 1);
    return;
  }
  view.setUint16(at, packet.sourcePort);
  view.setUint16(at + 2, packet.destinationPort);
  if (packet.protocol === 'udp') {
    view.setUint16(at + 4, l4Bytes);
    return;
  }
  view.setUint32(at + 4, 1);
  view.setUint8(at + 12, 0x50);
  view.setUint8(at + 13, packet.flags);
  view.setUint16(at + 14, WINDOW);
}
