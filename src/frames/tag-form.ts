/**
 * How the outer VLAN tag of a frame changes on its way to a port: whether the port wants the VLAN of the frame as a tag or not is
 * decided here, and the head that says so is written to scratch memory. The frame itself stays as it is: others may get it too.
 */
import * as vlan from '../wire/vlan.js';
import * as vnet from '../wire/vnet-header.js';
import { COMPLETE, type FrameVector } from './frame-vector.js';
import type { Slab } from './slab.js';

/** Two MAC addresses: what stands in front of a tag. */
export const ADDRESSES_BYTES = 12;
/** The most that `writePlainHead` and `writeAddressesAndTag` write: addresses, three tags and a type. */
export const MAX_L2_BYTES = ADDRESSES_BYTES + 3 * vlan.TAG_BYTES + 2;

export const KEEP = 0;
export const PUSH = 1;
export const POP = 2;
/** A priority tag gets the VLAN id of its domain. */
export const RETAG = 3;

/** What has to happen to the outer tag of row `i` for a port on which frames of `untaggedVlan` have none. */
export function tagForm(frames: FrameVector, i: number, view: DataView, untaggedVlan: number): number {
  const wantsTag = frames.vlan[i] !== untaggedVlan;
  if (frames.tagged[i] === 0) return wantsTag ? PUSH : KEEP;
  if (vlan.vlanId(view, frames.start[i]! + ADDRESSES_BYTES) === 0) return wantsTag ? RETAG : KEEP;
  return wantsTag ? KEEP : POP;
}

/** By how many bytes the frame grows. */
export function growthOf(form: number): number {
  return form === PUSH ? vlan.TAG_BYTES : form === POP ? -vlan.TAG_BYTES : 0;
}

/** Bytes of the frame that a head of `writeAddressesAndTag` takes the place of. */
export function replacedBytes(form: number): number {
  return ADDRESSES_BYTES + (form === PUSH ? 0 : vlan.TAG_BYTES);
}

/** `checksumStart` of row `i` once the tag has changed. */
export function checksumStartIn(frames: FrameVector, i: number, form: number): number {
  const start = frames.checksumStart[i]!;
  return start === COMPLETE ? COMPLETE : start + growthOf(form);
}

/** Copies the vnet header of row `i` in front of a head of `headerBytes` and fits it to the new tag; returns where the frame begins. */
export function writeVnetHeader(
  frames: FrameVector,
  slab: Slab,
  i: number,
  at: number,
  headerBytes: number,
  form: number,
): number {
  if (headerBytes === 0) return at;
  const from = frames.start[i]! - vnet.HEADER_BYTES;
  slab.bytes.copyWithin(at, from, from + vnet.HEADER_BYTES);
  if (headerBytes > vnet.HEADER_BYTES) vnet.writeNoTunnel(slab.view, at);
  if (growthOf(form) !== 0 && frames.checksumStart[i] !== COMPLETE) {
    vnet.shiftChecksumStart(slab.view, at, growthOf(form));
  }
  return at + headerBytes;
}

/** A vnet header of `headerBytes` that asks for nothing; returns where the frame begins. */
export function writePlainVnetHeader(view: DataView, at: number, headerBytes: number): number {
  if (headerBytes > 0) vnet.writePlain(view, at);
  if (headerBytes > vnet.HEADER_BYTES) vnet.writeNoTunnel(view, at);
  return at + headerBytes;
}

/** Writes the addresses and the tag that the form asks for; returns where the head ends (what follows is in the frame). */
export function writeAddressesAndTag(frames: FrameVector, slab: Slab, i: number, at: number, form: number): number {
  const { view, bytes } = slab;
  const from = frames.start[i]!;
  bytes.copyWithin(at, from, from + ADDRESSES_BYTES);
  const tagAt = at + ADDRESSES_BYTES;
  if (form === POP) return tagAt;
  const priority = form === RETAG ? vlan.tci(view, from + ADDRESSES_BYTES) : 0;
  vlan.writeTag(view, tagAt, priority, frames.vlan[i]!);
  return tagAt + vlan.TAG_BYTES;
}

/** All of the frame up to L3, in that form; returns where that ends. */
export function writePlainHead(frames: FrameVector, slab: Slab, i: number, at: number, form: number): number {
  const { bytes } = slab;
  const from = frames.start[i]!;
  const l3At = frames.l3At[i]!;
  let cursor = at;
  let typeFrom = from + ADDRESSES_BYTES;
  if (form === KEEP) {
    bytes.copyWithin(cursor, from, typeFrom);
    cursor += ADDRESSES_BYTES;
  } else {
    cursor = writeAddressesAndTag(frames, slab, i, cursor, form);
    if (form !== PUSH) typeFrom += vlan.TAG_BYTES;
  }
  bytes.copyWithin(cursor, typeFrom, l3At);
  return cursor + l3At - typeFrom;
}
