// The header that TAP and AF_PACKET put in front of a frame with IFF_VNET_HDR / PACKET_VNET_HDR:
// struct virtio_net_hdr_mrg_rxbuf, linux/virtio_net.h and VIRTIO 1.2 section 5.1.6. Little-endian (TUNSETVNETLE).
//   0       1          2            4          6              8                10             12
//  +-------+----------+------------+----------+--------------+----------------+-------------+
//  | flags | gso type | header len | gso size | csum start   | csum offset    | num buffers |
//  +-------+----------+------------+----------+--------------+----------------+-------------+
// Heads up: `header len` is only a hint (the kernel puts the length of its linear buffer there), so nothing here trusts it.

export const HEADER_BYTES = 12;

/** The checksum at csum start + csum offset holds only the pseudo-header sum and must be finished. */
export const FLAG_NEEDS_CHECKSUM = 1;

export const GSO_NONE = 0;
export const GSO_TCP4 = 1;
export const GSO_TCP6 = 4;
/** UDP segmentation into datagrams (USO, Linux 6.2). */
export const GSO_UDP = 5;
/** Bit beside the type: the first segment carries CWR (RFC 3168). */
export const GSO_ECN = 0x80;

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

/** Moves what counts from the start of the frame by `bytes` (a tag was inserted or removed in front of it). */
export function shiftChecksumStart(view: DataView, at: number, bytes: number): void {
  const headerLength = view.getUint16(at + 2, true);
  if (headerLength !== 0) view.setUint16(at + 2, Math.max(0, headerLength + bytes), true);
  view.setUint16(at + 6, view.getUint16(at + 6, true) + bytes, true);
}
