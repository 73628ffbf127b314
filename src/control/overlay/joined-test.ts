/**
 * Trying out joined datagrams: in one message of a socket (UDP_SEGMENT), and in one super-frame that a TAP takes (Linux 6.2). Over the
 * loopback, to a socket that takes them joined and to one that does not; to a wire that can do nothing itself, where the kernel has to
 * finish each of them; to one that cuts them itself.
 *
 * Linux 7.0 to 7.1.4 damages the headers on the last way when all datagrams are of one size (tailscale/tailscale issue 19777).
 */
import { errorName, OFFLOAD_TUNNEL_GSO, OFFLOAD_USO4, UDP_COALESCED, UDP_DEAF } from '../../native/index.js';
import { HEADER_BYTES, TUNNEL_HEADER_BYTES } from '../../wire/vnet-header.js';
import { DEFAULT_PORT } from '../../wire/vxlan.js';
import { parsePrefix } from '../kernel/ip-prefix.js';
import {
  buildJoined,
  type Family,
  findHeaderDamage,
  isTunnelPacket,
  payloadOffset,
  segmentBytesOf,
} from './offload-frames.js';
import type { OffloadRig, Received, Sent } from './offload-rig.js';
import type { OffloadVerdict } from './offload-verdict.js';

interface Message {
  segmentBytes: number;
  count: number;
  /** Of the last datagram. */
  lastBytes: number;
}

/** As many as may be joined, the last one shorter, of one byte, as long as the others; few small ones. */
const MESSAGES: readonly Message[] = [
  { segmentBytes: 1000, count: 64, lastBytes: 437 },
  { segmentBytes: 1000, count: 64, lastBytes: 1 },
  { segmentBytes: 1015, count: 64, lastBytes: 1015 },
  { segmentBytes: 60, count: 3, lastBytes: 59 },
];
/** Own address, and stations behind the TAPs: whence super-frames come, and where all goes. */
const ENDS = [
  { family: 4, own: '192.0.2.1', from: '198.51.100.9', out: '192.0.2.9', whole: '203.0.113.9', bits: 32 },
  { family: 6, own: '2001:db8:2::1', from: '2001:db8:1::9', out: '2001:db8:2::9', whole: '2001:db8:3::9', bits: 128 },
] as const;
const SINGLE_PORT = DEFAULT_PORT + 1;
const EIO = 5;

/** Throws where the kernel refuses what has nothing to do with joining. */
export function tryJoins(rig: OffloadRig): OffloadVerdict {
  const passes = rig.forwards && (rig.granted & OFFLOAD_USO4) !== 0;
  const headerBytes = rig.granted & OFFLOAD_TUNNEL_GSO ? TUNNEL_HEADER_BYTES : HEADER_BYTES;
  for (const { family, own, from, out, whole, bits } of ENDS) {
    if (family === 6 && !rig.hasIpv6) continue;
    const sender = rig.openSocket(own, 0, UDP_DEAF);
    const joined = rig.openSocket(own, DEFAULT_PORT, UDP_COALESCED);
    const single = rig.openSocket(own, SINGLE_PORT, 0);
    for (const message of MESSAGES) {
      const bytes = contentOf(message);
      const { segmentBytes, count } = message;
      const addressOf = (text: string): Uint8Array => parsePrefix(`${text}/${bits}`).bytes;
      const sendTo = (text: string, port: number): Sent[] => [
        { port: sender, bytes, to: { address: addressOf(text), port, segmentBytes } },
      ];
      const passTo = (text: string): Sent[] => {
        const addresses = { source: addressOf(from), destination: addressOf(text) };
        return [{ port: rig.portOf('in'), bytes: buildJoined(headerBytes, family, addresses, bytes, segmentBytes) }];
      };
      const looped = rig.exchange(sendTo(own, DEFAULT_PORT), joined, 1);
      const [error = 0] = looped.results;
      if (error < 0) return { state: 'missing', finding: `the kernel joins no datagrams (${errorName(error)})` };
      const damage =
        findJoinedDamage(looped.received, bytes, segmentBytes) ??
        findSinglesDamage(rig.exchange(sendTo(own, SINGLE_PORT), single, count).received, bytes, message) ??
        findWireDamage(rig, 'out', sendTo(out, DEFAULT_PORT), family, bytes, message) ??
        findWireDamage(rig, 'whole', sendTo(whole, DEFAULT_PORT), family, bytes, message) ??
        (passes ? findWireDamage(rig, 'out', passTo(out), family, bytes, message) : null) ??
        (passes ? findWireDamage(rig, 'whole', passTo(whole), family, bytes, message) : null);
      if (damage !== null) return { state: 'broken', finding: `${count} datagrams over IPv${family}: ${damage}` };
    }
  }
  return { state: 'works', finding: 'joined datagrams arrive as they were sent' };
}

function findJoinedDamage([message]: readonly Received[], bytes: Uint8Array, segmentBytes: number): string | null {
  if (message === undefined) return 'they did not come';
  if (message.segmentBytes !== segmentBytes) return `they came as ones of ${message.segmentBytes} bytes`;
  return findPayloadDamage(message, bytes);
}

function findSinglesDamage(received: readonly Received[], bytes: Uint8Array, message: Message): string | null {
  if (received.length !== message.count) return `${received.length} came`;
  for (const [index, piece] of received.entries()) {
    const damage = findPayloadDamage(piece, pieceOf(bytes, index, message));
    if (damage !== null) return `number ${index}: ${damage}`;
  }
  return null;
}

function findWireDamage(
  rig: OffloadRig,
  tap: 'out' | 'whole',
  sent: Sent[],
  family: Family,
  bytes: Uint8Array,
  message: Message,
): string | null {
  const wanted = tap === 'out' ? message.count : 1;
  const { results, received } = rig.exchange(sent, rig.portOf(tap), wanted, isTunnelPacket);
  const isMessage = sent[0]!.to !== undefined;
  if (isMessage && results[0] === -EIO) return null; // before Linux 6.11, for interfaces that finish no checksums: said, not damaged
  const skipped = payloadOffset(family);
  let from = 0;
  for (const frame of received) {
    const payload = { ...frame, at: frame.at + skipped, length: frame.length - skipped };
    const isJoined = segmentBytesOf(frame) === message.segmentBytes;
    const to = isJoined ? bytes.length : from + message.segmentBytes;
    const damage = findHeaderDamage(frame, family) ?? findPayloadDamage(payload, bytes.subarray(from, to));
    if (damage !== null) return `on the wire${isJoined ? ', to be cut by the interface' : ''}: ${damage}`;
    from += payload.length;
  }
  return from === bytes.length ? null : `${from} of ${bytes.length} bytes reached the wire`;
}

function findPayloadDamage({ view, at, length }: Received, bytes: Uint8Array): string | null {
  if (length !== bytes.length) return `${length} bytes instead of ${bytes.length}`;
  const received = Buffer.from(view.buffer, view.byteOffset + at, length);
  return received.equals(bytes) ? null : 'other bytes';
}

function pieceOf(bytes: Uint8Array, index: number, { segmentBytes }: Message): Uint8Array {
  return bytes.subarray(index * segmentBytes, (index + 1) * segmentBytes);
}

/** Content that tells the datagrams from each other. */
function contentOf({ segmentBytes, count, lastBytes }: Message): Uint8Array {
  return Uint8Array.from({ length: (count - 1) * segmentBytes + lastBytes }, (_, i) => (i * 7 + (i >> 8) * 31) & 0xff);
}
