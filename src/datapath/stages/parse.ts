/**
 * Reads the Ethernet header, the VLAN tags and the vnet header of each arrival into columns.
 *
 * Reads: start length ingressPort. Writes: network destination* source* etherType tagged l3At gso* checksum* verdict,
 * and what says that the router did nothing yet: interest pieceBytes originalAt.
 * Drops: unknown-port, truncated, bad-offload, invalid-source. What lies behind the Ethernet header is not judged here: a
 * switch is transparent.
 */
import { COMPLETE, drop, type FrameVector, NO_INTEREST, PENDING } from '../../frames/frame-vector.js';
import * as ethernet from '../../wire/ethernet.js';
import * as tcp from '../../wire/tcp.js';
import * as udp from '../../wire/udp.js';
import * as vlan from '../../wire/vlan.js';
import * as vnet from '../../wire/vnet-header.js';
import { DROP } from '../drop-reasons.js';
import type { Program } from '../program.js';

export function parse(frames: FrameVector, view: DataView, program: Program): void {
  const {
    count,
    start,
    length,
    ingressPort,
    ingressRemote,
    network,
    verdict,
    sourceHigh,
    sourceLow,
    checksumStart,
    gsoType,
  } = frames;
  const { destinationHigh, destinationLow, interest, pieceBytes, originalAt } = frames;
  const { portCount, portNetwork, portHeaderBytes } = program;
  const { injected } = frames;
  for (let i = 0; i < count; i++) {
    verdict[i] = PENDING;
    checksumStart[i] = COMPLETE;
    gsoType[i] = vnet.GSO_NONE;
    interest[i] = NO_INTEREST;
    pieceBytes[i] = 0;
    originalAt[i] = 0;
    const port = ingressPort[i]!;
    const owner = port < portCount ? portNetwork[port]! : -1;
    network[i] = owner;
    if (owner < 0) {
      drop(frames, i, DROP.unknownPort);
      continue;
    }
    const at = start[i]!;
    if (!ethernet.check(length[i]!)) {
      drop(frames, i, DROP.truncated);
      continue;
    }
    destinationHigh[i] = ethernet.destinationHigh(view, at);
    destinationLow[i] = ethernet.destinationLow(view, at);
    const high = ethernet.sourceHigh(view, at);
    const low = ethernet.sourceLow(view, at);
    sourceHigh[i] = high;
    sourceLow[i] = low;
    parseType(frames, i, view, at);
    const header = at - vnet.HEADER_BYTES;
    // What came out of a tunnel has its vnet header, as what was injected has.
    const isBare = portHeaderBytes[port] === 0 && i >= injected && ingressRemote[i]! < 0;
    if (isBare) vnet.writePlain(view, header);
    else if (!vnet.isPlain(view, header) && !parseOffload(frames, i, view)) {
      checksumStart[i] = COMPLETE;
      drop(frames, i, DROP.badOffload);
      continue;
    }
    if (ethernet.isGroup(high) || (high | low) === 0) drop(frames, i, DROP.invalidSource);
  }
}

/** Finds the EtherType and the L3 header behind up to two VLAN tags. */
function parseType(frames: FrameVector, i: number, view: DataView, at: number): void {
  let type = ethernet.etherType(view, at);
  let l3At = at + ethernet.HEADER_BYTES;
  frames.tagged[i] = 0;
  if (vlan.isTag(type)) {
    const end = at + frames.length[i]!;
    if (l3At + vlan.TAG_BYTES <= end) {
      frames.tagged[i] = type === ethernet.TYPE_VLAN ? 1 : 0;
      type = vlan.innerType(view, l3At - 2);
      l3At += vlan.TAG_BYTES;
      if (vlan.isTag(type) && l3At + vlan.TAG_BYTES <= end) {
        type = vlan.innerType(view, l3At - 2);
        l3At += vlan.TAG_BYTES;
      }
    }
  }
  frames.etherType[i] = type;
  frames.l3At[i] = l3At;
}

/** False when the vnet header asks for what the frame does not have. Whoever sent it: every offset below is checked here. */
function parseOffload(frames: FrameVector, i: number, view: DataView): boolean {
  const at = frames.start[i]!;
  const header = at - vnet.HEADER_BYTES;
  const needsChecksum = (vnet.flags(view, header) & vnet.FLAG_NEEDS_CHECKSUM) !== 0;
  const type = vnet.gsoType(view, header);
  frames.gsoType[i] = type & ~vnet.GSO_ECN;
  frames.gsoEcn[i] = (type & vnet.GSO_ECN) !== 0 ? 1 : 0;
  if (!needsChecksum) return type === vnet.GSO_NONE;
  const start = vnet.checksumStart(view, header);
  const offset = vnet.checksumOffset(view, header);
  frames.checksumStart[i] = start;
  frames.checksumOffset[i] = offset;
  if (start < frames.l3At[i]! - at || start + offset + 2 > frames.length[i]!) return false;
  if (type === vnet.GSO_NONE) return true;
  frames.gsoSize[i] = vnet.gsoSize(view, header);
  return frames.gsoSize[i] !== 0 && isSegmentable(frames, i, view);
}

/** The GSO type is one that weft asks for, and its transport header lies inside the frame. */
function isSegmentable(frames: FrameVector, i: number, view: DataView): boolean {
  const l4At = frames.start[i]! + frames.checksumStart[i]!;
  const room = frames.length[i]! - frames.checksumStart[i]!;
  switch (frames.gsoType[i]) {
    case vnet.GSO_TCP4:
    case vnet.GSO_TCP6:
      if (frames.checksumOffset[i] !== tcp.CHECKSUM_OFFSET || room < tcp.HEADER_BYTES) return false;
      return tcp.headerBytes(view, l4At) >= tcp.HEADER_BYTES && tcp.headerBytes(view, l4At) <= room;
    case vnet.GSO_UDP:
      if (frames.gsoEcn[i] !== 0) return false;
      return frames.checksumOffset[i] === udp.CHECKSUM_OFFSET && room >= udp.HEADER_BYTES;
    default:
      return false;
  }
}
