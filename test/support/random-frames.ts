/** Random frames that a stack could have sent: valid headers of every kind, with offload requests that fit them. */
import type { Prng } from '../../src/lib/prng.js';
import {
  type BuiltFrame,
  ether,
  GSO_ECN,
  GSO_TCP4,
  GSO_TCP6,
  GSO_UDP,
  ipv4,
  ipv6,
  needsChecksum,
  type Packet,
  partial,
  raw,
  superFrame,
  type Tag,
  TCP_CWR,
  type TestFrame,
  TPID_SERVICE,
  type Transport,
  tcp,
  udp,
} from './frame-builders.js';

export type SuperFrameKind = 'TCP over IPv4' | 'TCP over IPv6' | 'UDP over IPv4' | 'UDP over IPv6';

const MOST_SEGMENTS = 400;
/** UDP_MAX_SEGMENTS of linux/udp.h is 128; a TAP takes no more. */
const MOST_DATAGRAMS = 100;
const LARGEST_PAYLOAD = 60_000;
const MAX_TCP_OPTION_BYTES = 40;
/** RFC 4302 to 4304 and the like are not here: nothing segments behind them. */
const EXTENSION_TYPES = [43, 60];

export interface Addresses {
  from: string;
  to: string;
}

export function randomBytes(prng: Prng, length: number): Uint8Array {
  // Runs of zeros and ones are what makes ones' complement sums special.
  const style = prng.below(8);
  if (style === 0) return new Uint8Array(length);
  if (style === 1) return new Uint8Array(length).fill(0xff);
  return Uint8Array.from({ length }, () => prng.next() & 0xff);
}

export function pick<T>(prng: Prng, choices: readonly T[]): T {
  return choices[prng.below(choices.length)]!;
}

/** Mostly none; customer and service tags, stacked up to two deep. */
export function randomTags(prng: Prng): Tag[] {
  const count = Math.max(0, prng.below(5) - 2);
  return Array.from({ length: count }, (_, i) => ({
    vlan: 1 + prng.below(4094),
    priority: prng.below(8),
    dropEligible: prng.below(2) === 0,
    type: i === 0 && prng.below(3) === 0 ? TPID_SERVICE : 0x8100,
  }));
}

/** A frame that is to be cut, with options, extension headers, flags and sizes of all kinds. */
export function randomSuperFrame(prng: Prng, kind: SuperFrameKind, addresses: Addresses): BuiltFrame {
  const isTcp = kind.startsWith('TCP');
  const isIpv4 = kind.endsWith('IPv4');
  const gsoSize = 1 + prng.below(pick(prng, [40, 600, 1472, 9000, 60_000]));
  const payloadBytes = randomPayloadBytes(prng, gsoSize, isTcp ? MOST_SEGMENTS : MOST_DATAGRAMS);
  const payload = randomBytes(prng, payloadBytes);
  const flags = prng.below(256);
  const transport = isTcp ? randomTcp(prng, flags, payload) : udp(prng.below(65536), prng.below(65536), payload);
  const frame = ether({ ...addresses, tags: randomTags(prng) }, randomIp(prng, isIpv4, transport));
  const ecn = isTcp && (flags & TCP_CWR) !== 0 && prng.below(2) === 0 ? GSO_ECN : 0;
  return superFrame(frame, (isTcp ? (isIpv4 ? GSO_TCP4 : GSO_TCP6) : GSO_UDP) | ecn, gsoSize);
}

/**
 * More than one segment, or clearly less. In between, where only TCP options make the frame longer than a segment, the kernel
 * takes it for a super-frame and then loses it (virtio_net_hdr_to_skb counts options as payload, tcp_gso_segment does not).
 */
function randomPayloadBytes(prng: Prng, gsoSize: number, mostSegments: number): number {
  if (gsoSize > MAX_TCP_OPTION_BYTES && prng.below(20) === 0) return 1 + prng.below(gsoSize - MAX_TCP_OPTION_BYTES);
  const most = Math.min(LARGEST_PAYLOAD, gsoSize * pick(prng, [2, 10, mostSegments]));
  return gsoSize + 1 + prng.below(Math.max(1, most - gsoSize));
}

/** A frame of which the receiver has to finish the checksum, wherever that is. */
export function randomPartial(prng: Prng, addresses: Addresses): TestFrame {
  const payload = randomBytes(prng, prng.below(1400));
  const isIpv4 = prng.below(2) === 0;
  const tags = randomTags(prng);
  switch (prng.below(3)) {
    case 0:
      return partial(ether({ ...addresses, tags }, randomIp(prng, isIpv4, randomTcp(prng, prng.below(256), payload))));
    case 1:
      return partial(ether({ ...addresses, tags }, randomIp(prng, isIpv4, udp(prng.below(65536), 53, payload))));
    default: {
      const body = randomBytes(prng, 40 + prng.below(1000));
      const frame = ether({ ...addresses, tags }, randomIp(prng, isIpv4, raw(253, body)));
      const start = frame.bytes.length - body.length + prng.below(10);
      return { bytes: frame.bytes, vnet: needsChecksum(start, 2 * prng.below(10)) };
    }
  }
}

function randomTcp(prng: Prng, flags: number, payload: Uint8Array): Transport {
  const fields = {
    from: prng.below(65536),
    to: prng.below(65536),
    sequence: prng.next(),
    acknowledgement: prng.next(),
  };
  const options = randomBytes(prng, 4 * Math.max(0, prng.below(16) - 5));
  return tcp({ ...fields, flags, window: prng.below(65536), urgent: prng.below(65536), options }, payload);
}

function randomIp(prng: Prng, isIpv4: boolean, transport: Transport): Packet {
  if (isIpv4) {
    const options = randomBytes(prng, 4 * Math.max(0, prng.below(16) - 5));
    const flags = pick(prng, [0, 0x4000]);
    const fields = { id: prng.below(65536), flags, tos: prng.below(256), ttl: 1 + prng.below(255), options };
    return ipv4({ from: '192.0.2.1', to: '198.51.100.2', ...fields }, transport);
  }
  const extensions = Array.from({ length: Math.max(0, prng.below(5) - 2) }, () => ({
    type: pick(prng, EXTENSION_TYPES),
    options: randomBytes(prng, prng.below(30)),
  }));
  if (prng.below(4) === 0) extensions.unshift({ type: 0, options: randomBytes(prng, prng.below(20)) });
  const fields = { trafficClass: prng.below(256), flowLabel: prng.below(1 << 20), hopLimit: 1 + prng.below(255) };
  return ipv6({ from: '2001:db8::1', to: '2001:db8:ffff::2', ...fields, extensions }, transport);
}
