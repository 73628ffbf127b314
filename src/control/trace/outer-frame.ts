/**
 * What is around a frame that crosses the underlay: made for a frame that a trace takes to come from another VTEP, and read from what a
 * trace sends to one. Outer IPv4 or IPv6, UDP and VXLAN (RFC 7348 section 5), without VLAN tags.
 */
import { formatIpv4, formatIpv6 } from '../../wire/addresses.js';
import * as checksum from '../../wire/checksum.js';
import * as vxlan from '../../wire/vxlan.js';

export interface OuterStation {
  macHigh: number;
  macLow: number;
  /** 4 or 16 bytes, of the same family on both sides. */
  address: Uint8Array;
  port: number;
}

export interface OuterFrame {
  /** Addresses in words. */
  from: string;
  to: string;
  sourcePort: number;
  port: number;
  payload: Uint8Array;
}

const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const UDP_BYTES = 8;
const UDP = 17;
const TTL = 64;

/** The payload of a datagram: VXLAN header and frame. */
export function encapsulated(vni: number, inner: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(vxlan.HEADER_BYTES + inner.length);
  vxlan.write(new DataView(bytes.buffer), 0, vni);
  bytes.set(inner, vxlan.HEADER_BYTES);
  return bytes;
}

/** A whole frame around the payload of a datagram, with complete checksums. */
export function buildOuterFrame(source: OuterStation, destination: OuterStation, payload: Uint8Array): Uint8Array {
  const isIpv6 = source.address.length === 16;
  const udpAt = ETHERNET_BYTES + (isIpv6 ? IPV6_BYTES : IPV4_BYTES);
  const bytes = new Uint8Array(udpAt + UDP_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, destination.macHigh);
  view.setInt32(2, destination.macLow);
  view.setUint16(6, source.macHigh);
  view.setInt32(8, source.macLow);
  view.setUint16(12, isIpv6 ? 0x86dd : 0x0800);
  const udpBytes = UDP_BYTES + payload.length;
  if (isIpv6) {
    view.setUint8(ETHERNET_BYTES, 0x60);
    view.setUint16(ETHERNET_BYTES + 4, udpBytes);
    view.setUint8(ETHERNET_BYTES + 6, UDP);
    view.setUint8(ETHERNET_BYTES + 7, TTL);
    bytes.set(source.address, ETHERNET_BYTES + 8);
    bytes.set(destination.address, ETHERNET_BYTES + 24);
  } else {
    view.setUint8(ETHERNET_BYTES, 0x45);
    view.setUint16(ETHERNET_BYTES + 2, IPV4_BYTES + udpBytes);
    view.setUint16(ETHERNET_BYTES + 6, 0x4000);
    view.setUint8(ETHERNET_BYTES + 8, TTL);
    view.setUint8(ETHERNET_BYTES + 9, UDP);
    bytes.set(source.address, ETHERNET_BYTES + 12);
    bytes.set(destination.address, ETHERNET_BYTES + 16);
    view.setUint16(ETHERNET_BYTES + 10, checksum.finish(checksum.sum(view, ETHERNET_BYTES, IPV4_BYTES, 0)));
  }
  view.setUint16(udpAt, source.port);
  view.setUint16(udpAt + 2, destination.port);
  view.setUint16(udpAt + 4, udpBytes);
  bytes.set(payload, udpAt + UDP_BYTES);
  const pseudo = checksum.pseudoSum(view, ETHERNET_BYTES, isIpv6 ? 6 : 4, UDP, udpBytes);
  view.setUint16(udpAt + 6, checksum.finishUdp(checksum.sum(view, udpAt, udpBytes, pseudo)));
  return bytes;
}

/** null for what is no datagram in an untagged frame. */
export function readOuterFrame(bytes: Uint8Array): OuterFrame | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < ETHERNET_BYTES + IPV4_BYTES + UDP_BYTES) return null;
  const isIpv6 = view.getUint16(12) === 0x86dd;
  if (!isIpv6 && view.getUint16(12) !== 0x0800) return null;
  const at = ETHERNET_BYTES;
  const udpAt = at + (isIpv6 ? IPV6_BYTES : (view.getUint8(at) & 0x0f) << 2);
  if (bytes.length < udpAt + UDP_BYTES || view.getUint8(at + (isIpv6 ? 6 : 9)) !== UDP) return null;
  return {
    from: isIpv6 ? formatIpv6(view, at + 8) : formatIpv4(view.getInt32(at + 12)),
    to: isIpv6 ? formatIpv6(view, at + 24) : formatIpv4(view.getInt32(at + 16)),
    sourcePort: view.getUint16(udpAt),
    port: view.getUint16(udpAt + 2),
    payload: bytes.subarray(udpAt + UDP_BYTES),
  };
}
