/**
 * From packets as a raw IPv4 socket hands them over to frames for the datapath, as pure functions.
 *
 * The kernel has put fragments together and joined TCP segments, and has not finished checksums that a virtual interface left
 * to it. The datapath wants packets of the MTU, or super-frames that say how they are to be cut.
 */
import type { UnfinishedFrame } from '../../ports/inject-ring.js';
import * as checksum from '../../wire/checksum.js';
import * as ethernet from '../../wire/ethernet.js';
import * as ipv4 from '../../wire/ipv4.js';
import { makeSuperFrame } from '../captures/super-frame.js';

const PROTOCOL_ICMP = 1;
const PROTOCOL_UDP = 17;
const ICMP_ECHO_REPLY = 0;
/** Destination unreachable, time exceeded, parameter problem: they quote the packet that they are about. */
const ICMP_ERRORS = [3, 11, 12];
const ICMP_QUOTE_AT = 8;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

/** Ports of the external address that are weft's. */
export interface OwnPorts {
  hasTcp(port: number): boolean;
  hasUdp(port: number): boolean;
  /** Identifiers of echo requests that weft sent. */
  hasIcmp(identifier: number): boolean;
}

export interface RawFrame {
  frame: Uint8Array;
  unfinished: UnfinishedFrame | null;
}

/** Whether a packet is for weft, not for the machine. `address`: the external one, four bytes. */
export function isForWeft(packet: Buffer, address: Uint8Array, own: OwnPorts): boolean {
  const headerBytes = headerBytesOf(packet);
  if (headerBytes === 0 || !address.every((byte, i) => packet[16 + i] === byte)) return false;
  const protocol = packet[9]!;
  if (protocol === PROTOCOL_ICMP) return isIcmpForWeft(packet, headerBytes, own);
  if (packet.length < headerBytes + 4) return false;
  const port = packet.readUInt16BE(headerBytes + 2);
  return protocol === PROTOCOL_UDP ? own.hasUdp(port) : protocol === ipv4.PROTOCOL_TCP && own.hasTcp(port);
}

/** An answer to an echo request of weft's, or an error about a packet that weft sent. */
function isIcmpForWeft(packet: Buffer, at: number, own: OwnPorts): boolean {
  if (packet.length < at + ICMP_QUOTE_AT) return false;
  if (packet[at] === ICMP_ECHO_REPLY) return own.hasIcmp(packet.readUInt16BE(at + 4));
  if (!ICMP_ERRORS.includes(packet[at]!)) return false;
  const quoted = packet.subarray(at + ICMP_QUOTE_AT);
  const quotedBytes = headerBytesOf(quoted);
  if (quotedBytes === 0 || quoted.length < quotedBytes + 8) return false;
  const protocol = quoted[9]!;
  if (protocol === PROTOCOL_ICMP) return own.hasIcmp(quoted.readUInt16BE(quotedBytes + 4));
  const port = quoted.readUInt16BE(quotedBytes);
  return protocol === PROTOCOL_UDP ? own.hasUdp(port) : protocol === ipv4.PROTOCOL_TCP && own.hasTcp(port);
}

/**
 * The frames that stand for a packet, none when its checksum is wrong: `header` (14 bytes) goes in front of each. What is longer
 * than `mtu` becomes a super-frame (TCP) or fragments (everything else, RFC 791 section 3.2).
 */
export function framesOf(packet: Buffer, header: Uint8Array, mtu: number): RawFrame[] {
  const headerBytes = headerBytesOf(packet);
  if (headerBytes === 0 || packet.readUInt16BE(2) !== packet.length) return [];
  const frame = Buffer.concat([header, packet]);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (packet.length <= mtu) {
    const unfinished = judgeChecksum(view, ethernet.HEADER_BYTES, headerBytes);
    return unfinished === 'wrong' ? [] : [{ frame, unfinished }];
  }
  const superFrame = makeSuperFrame(view, ethernet.HEADER_BYTES, mtu);
  if (superFrame !== null) return [{ frame, unfinished: superFrame }];
  return packet[9] === ipv4.PROTOCOL_TCP ? [] : fragmentsOf(packet, headerBytes, header, mtu);
}

/** null: complete. Kernels leave the sum of the pseudo-header in the field of what never was on a wire. */
function judgeChecksum(view: DataView, l3At: number, headerBytes: number): UnfinishedFrame | 'wrong' | null {
  const l4At = l3At + headerBytes;
  const bytes = view.byteLength - l4At;
  const protocol = view.getUint8(l3At + 9);
  const offset = protocol === ipv4.PROTOCOL_TCP ? 16 : protocol === PROTOCOL_UDP ? 6 : -1;
  if (offset < 0) return null;
  if (bytes < offset + 2) return 'wrong';
  const field = view.getUint16(l4At + offset);
  if (protocol === PROTOCOL_UDP && field === 0) return null;
  const pseudo = checksum.sum(view, l3At + 12, 8, protocol + bytes);
  if (checksum.sum(view, l4At, bytes, pseudo) === 0xffff) return null;
  if (field !== pseudo) return 'wrong';
  return { gsoType: 0, gsoSize: 0, headerBytes: 0, checksumStart: l4At, checksumOffset: offset };
}

function fragmentsOf(packet: Buffer, headerBytes: number, header: Uint8Array, mtu: number): RawFrame[] {
  const most = (mtu - headerBytes) & ~7;
  const frames: RawFrame[] = [];
  if (most <= 0 || (packet.readUInt16BE(6) & (MORE_FRAGMENTS | OFFSET_MASK)) !== 0) return frames;
  for (let from = headerBytes; from < packet.length; from += most) {
    const part = packet.subarray(from, Math.min(packet.length, from + most));
    const ip = Buffer.from(packet.subarray(0, headerBytes));
    const isLast = from + most >= packet.length;
    ip.writeUInt16BE(headerBytes + part.length, 2);
    ip.writeUInt16BE((isLast ? 0 : MORE_FRAGMENTS) | ((from - headerBytes) >> 3), 6);
    ip.writeUInt16BE(0, 10);
    const view = new DataView(ip.buffer, ip.byteOffset, headerBytes);
    ip.writeUInt16BE(checksum.finish(checksum.sum(view, 0, headerBytes, 0)), 10);
    frames.push({ frame: Buffer.concat([header, ip, part]), unfinished: null });
  }
  return frames;
}

/** 0 for what is no IPv4 packet. */
function headerBytesOf(packet: Buffer): number {
  if (packet.length < 20 || packet[0]! >> 4 !== 4) return 0;
  const bytes = (packet[0]! & 15) * 4;
  return bytes < 20 || bytes > packet.length ? 0 : bytes;
}
