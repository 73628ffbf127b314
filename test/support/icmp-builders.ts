/**
 * ICMP messages and fragments for tests, byte by byte, with checksums of their own (see frame-builders.ts).
 */
import { join, long, type Packet, referenceSum, type Transport, word } from './frame-builders.js';

/** ICMP (RFC 792). `rest`: the second word. */
export function icmp4(type: number, code: number, rest: number, payload: Uint8Array | string = ''): Transport {
  const data = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
  const bytes = join([type, code, 0, 0], long(rest), data);
  bytes.set(word(~referenceSum(bytes) & 0xffff), 2);
  return { protocol: 1, bytes, checksumOffset: -1 };
}

/** ICMPv6 (RFC 4443), whose checksum covers the addresses, so that `ipv6` fills it in. */
export function icmp6(type: number, code: number, rest: number, payload: Uint8Array | string = ''): Transport {
  const data = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
  return { protocol: 58, bytes: join([type, code, 0, 0], long(rest), data), checksumOffset: 2 };
}

/** Cuts an IPv4 packet without options into fragments with so many payload bytes each. */
export function fragments4(packet: Packet, id: number, ...sizes: readonly number[]): Packet[] {
  return cut(packet.bytes.subarray(20), sizes).map(({ offset, data, isLast }) => {
    const header = packet.bytes.slice(0, 20);
    header.set(word(20 + data.length), 2);
    header.set(word(id), 4);
    header.set(word((isLast ? 0 : 0x2000) | (offset >>> 3)), 6);
    header.set([0, 0], 10);
    header.set(word(~referenceSum(header) & 0xffff), 10);
    return { ...packet, bytes: join(header, data), checksumOffset: -1 };
  });
}

/** The same for an IPv6 packet without extension headers. */
export function fragments6(packet: Packet, id: number, ...sizes: readonly number[]): Packet[] {
  const protocol = packet.bytes[6]!;
  return cut(packet.bytes.subarray(40), sizes).map(({ offset, data, isLast }) => {
    const header = packet.bytes.slice(0, 40);
    header.set(word(8 + data.length), 4);
    header[6] = 44;
    return {
      ...packet,
      bytes: join(header, [protocol, 0], word(offset | (isLast ? 0 : 1)), long(id), data),
      checksumOffset: -1,
    };
  });
}

/** Pieces of `sizes` bytes; what is left over is the last one. */
function cut(payload: Uint8Array, sizes: readonly number[]): { offset: number; data: Uint8Array; isLast: boolean }[] {
  const pieces = [];
  let offset = 0;
  for (const size of [...sizes, payload.length]) {
    const data = payload.subarray(offset, offset + size);
    const isLast = offset + data.length >= payload.length;
    pieces.push({ offset, data, isLast });
    offset += data.length;
    if (isLast) break;
  }
  return pieces;
}
