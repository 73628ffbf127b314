/** How large a packet is for an MTU: super-frames count as the segments that they will be cut into. */
import * as tcp from '../wire/tcp.js';
import * as udp from '../wire/udp.js';
import * as vnet from '../wire/vnet-header.js';
import type { FrameVector } from './frame-vector.js';

/** L3 bytes of the frame, or of the largest segment that it will be cut into. */
export function largestPacketBytes(frames: FrameVector, i: number, view: DataView): number {
  const l2Bytes = frames.l3At[i]! - frames.start[i]!;
  const packet = frames.length[i]! - l2Bytes;
  if (frames.gsoType[i] === vnet.GSO_NONE) return packet;
  const l4 = frames.checksumStart[i]!;
  const l4Bytes = frames.gsoType[i] === vnet.GSO_UDP ? udp.HEADER_BYTES : tcp.headerBytes(view, frames.start[i]! + l4);
  return Math.min(packet, l4 - l2Bytes + l4Bytes + frames.gsoSize[i]!);
}
