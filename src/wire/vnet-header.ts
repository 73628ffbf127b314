// The header that TAP and AF_PACKET put in front of a frame with IFF_VNET_HDR / PACKET_VNET_HDR:
// struct virtio_net_hdr_mrg_rxbuf, linux/virtio_net.h and VIRTIO 1.2 section 5.1.6. Little-endian (TUNSETVNETLE).
//   0       1          2            4          6              8                10             12
//  +-------+----------+------------+----------+--------------+----------------+-------------+
//  | flags | gso type | header len | gso size | csum start   | csum offset    | num buffers |
//  +-------+----------+------------+----------+--------------+----------------+-------------+
// Heads up: `header len` is only a hint (the kernel puts the length of its linear buffer there), so nothing here trusts it.
//
// A TAP with tunnel offload (Linux 6.17) has twelve bytes more, struct virtio_net_hdr_v1_hash_tunnel: a super-frame may be one
// inside of a UDP tunnel. csum start and gso size are those of the inner packet then.
//   12                  20                 22                 24
//  +-------------------+------------------+------------------+
//  | hash (8), unused  | outer UDP offset | inner L3 offset  |      from the start of the outer frame
//  +-------------------+------------------+------------------+

export const HEADER_BYTES = 12;
export const TUNNEL_HEADER_BYTES = 24;

/** The checksum at csum start + csum offset holds only the pseudo-header sum and must be finished. */
export const FLAG_NEEDS_CHECKSUM = 1;
/** The receiving stack has verified the checksum. */
export const FLAG_DATA_VALID = 2;
/** Beside GSO_TUNNEL_*: the outer UDP header of each segment gets a checksum; its field holds the pseudo-header sum. */
export const FLAG_TUNNEL_CHECKSUM = 8;

export const GSO_NONE = 0;
export const GSO_TCP4 = 1;
export const GSO_TCP6 = 4;
/** UDP segmentation into datagrams (USO, Linux 6.2). */
export const GSO_UDP = 5;
/** Bit beside the type: the first segment carries CWR (RFC 3168). */
export const GSO_ECN = 0x80;
/** Bits beside the type: the packet to segment is inside of a UDP tunnel over IPv4, over IPv6. */
export const GSO_TUNNEL_IPV4 = 0x20;
export const GSO_TUNNEL_IPV6 = 0x40;

/** True when nothing is left to do: no checksum to finish, no segmentation. (Other flags do not matter to a switch.) */
export function isPlain(view: DataView, at: number): boolean {
  return (view.getUint16(at) & ((FLAG_NEEDS_CHECKSUM << 8) | 0xff)) === 0;
}

export function flags(view: DataView, at: number): number {
  return view.getUint8(at);
}

export function gsoType(view: DataView, at: number): number {
  return view.getUint8(at + 1);
}

export function setGsoType(view: DataView, at: number, type: number): void {
  view.setUint8(at + 1, type);
}

/** Payload bytes of each segment. */
export function gsoSize(view: DataView, at: number): number {
  return view.getUint16(at + 4, true);
}

/** Offset of the L4 header from the start of the frame. */
export function checksumStart(view: DataView, at: number): number {
  return view.getUint16(at + 6, true);
}

/** Offset of the checksum field from `checksumStart`. */
export function checksumOffset(view: DataView, at: number): number {
  return view.getUint16(at + 8, true);
}

/** A frame with nothing left to do. */
export function writePlain(view: DataView, at: number): void {
  view.setInt32(at, 0);
  view.setInt32(at + 4, 0);
  view.setInt32(at + 8, 0);
}

/** A frame whose checksum at `checksumStart` + `checksumOffset` holds only the sum of the pseudo-header. */
export function writePartial(view: DataView, at: number, checksumStart: number, checksumOffset: number): void {
  writePlain(view, at);
  view.setUint8(at, FLAG_NEEDS_CHECKSUM);
  view.setUint16(at + 6, checksumStart, true);
  view.setUint16(at + 8, checksumOffset, true);
}

/** A super-frame: `headerBytes` up to the payload, `gsoSize` bytes of that per segment. */
export function writeSuperFrame(
  view: DataView,
  at: number,
  gsoType: number,
  headerBytes: number,
  gsoSize: number,
  checksumStart: number,
  checksumOffset: number,
): void {
  view.setUint8(at, FLAG_NEEDS_CHECKSUM);
  view.setUint8(at + 1, gsoType);
  view.setUint16(at + 2, headerBytes, true);
  view.setUint16(at + 4, gsoSize, true);
  view.setUint16(at + 6, checksumStart, true);
  view.setUint16(at + 8, checksumOffset, true);
  view.setUint16(at + 10, 0);
}

/** Moves what counts from the start of the frame by `bytes` (a tag was inserted or removed in front of it). */
export function shiftChecksumStart(view: DataView, at: number, bytes: number): void {
  const headerLength = view.getUint16(at + 2, true);
  if (headerLength !== 0) view.setUint16(at + 2, Math.max(0, headerLength + bytes), true);
  view.setUint16(at + 6, view.getUint16(at + 6, true) + bytes, true);
}

/** The twelve bytes more of a TAP with tunnel offload, for a frame that is no super-frame inside of a tunnel. */
export function writeNoTunnel(view: DataView, at: number): void {
  view.setInt32(at + 12, 0);
  view.setInt32(at + 16, 0);
  view.setInt32(at + 20, 0);
}

/** Makes the header of a super-frame one of a super-frame inside of a tunnel; `gsoBits`: one of GSO_TUNNEL_*. */
export function writeTunnel(
  view: DataView,
  at: number,
  gsoBits: number,
  hasOuterChecksum: boolean,
  outerUdpOffset: number,
  innerL3Offset: number,
): void {
  view.setUint8(at, hasOuterChecksum ? view.getUint8(at) | FLAG_TUNNEL_CHECKSUM : view.getUint8(at));
  view.setUint8(at + 1, view.getUint8(at + 1) | gsoBits);
  view.setInt32(at + 12, 0);
  view.setInt32(at + 16, 0);
  view.setUint16(at + 20, outerUdpOffset, true);
  view.setUint16(at + 22, innerL3Offset, true);
}

/** Offset of the outer UDP header from the start of the outer frame; only with GSO_TUNNEL_*. */
export function outerUdpOffset(view: DataView, at: number): number {
  return view.getUint16(at + 20, true);
}

/** Offset of the inner IP header from the start of the outer frame; only with GSO_TUNNEL_*. */
export function innerL3Offset(view: DataView, at: number): number {
  return view.getUint16(at + 22, true);
}
