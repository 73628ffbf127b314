/** VXLAN for tests, byte by byte: datagrams for VTEPs, as payloads for sockets and as whole outer frames for TAPs (RFC 7348). */
import {
  type BuiltFrame,
  ether,
  ipv4,
  ipv6,
  join,
  long,
  partial,
  type TestFrame,
  type TestPeer,
  udp,
  word,
} from './frame-builders.js';
import { VTEP_HOST_MAC, VTEP_OWN_MAC } from './tunnel-columns.js';

/** Header and frame. `flags` and `reserved` (of the first and of the last word) as the RFC wants them unless given. */
export function vxlan(
  vni: number,
  frame: Uint8Array,
  { flags = 8, reserved = [0, 0] }: { flags?: number; reserved?: [number, number] } = {},
): Uint8Array {
  return join([flags], long(reserved[0]).slice(1), long(vni).slice(1), [reserved[1]], frame);
}

/** What a socket gets in one message: one payload, or several that the kernel has joined (all as long as the first but the last). */
export function datagram(peer: TestPeer | string, ...payloads: readonly Uint8Array[]): TestFrame {
  const from = typeof peer === 'string' ? { address: peer, port: 50_000 } : peer;
  const segmentBytes = payloads.length > 1 ? payloads[0]!.length : 0;
  return { bytes: join(...payloads), vnet: null, peer: { segmentBytes, ...from } };
}

export interface OuterFields {
  from: string;
  to: string;
  fromPort?: number;
  toPort?: number;
  /** TOS byte. */
  tos?: number;
  /** true: complete; false: zero; 'partial': left to the receiver. true unless given. */
  checksum?: boolean | 'partial';
  /** IPv4 flags and offset. */
  flags?: number;
}

/** A whole outer frame, as the host's side of a TAP sends it to the VTEP. */
export function outerFrame(fields: OuterFields, payload: Uint8Array): BuiltFrame {
  const { from, to, tos = 0, checksum = true } = fields;
  const transport = udp(fields.fromPort ?? 50_000, fields.toPort ?? 4789, payload);
  const packet = from.includes(':')
    ? ipv6({ from, to, trafficClass: tos }, transport)
    : ipv4({ from, to, tos, ...(fields.flags === undefined ? {} : { flags: fields.flags }) }, transport);
  const frame = ether({ from: VTEP_HOST_MAC, to: VTEP_OWN_MAC }, packet);
  if (checksum === 'partial') return partial(frame);
  if (!checksum) frame.bytes.set(word(0), frame.l4At + 6);
  return frame;
}
