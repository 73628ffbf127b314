// VLAN tag, IEEE 802.1Q-2018 clause 9. It stands where the EtherType of an untagged frame stands.
//   12      14       16
//  +-------+--------+---------+
//  | TPID  |  TCI   |  type   |      TCI = priority (3) | drop eligible (1) | VLAN id (12)
//  +-------+--------+---------+

import { etherType, HEADER_BYTES, TYPE_SERVICE_VLAN, TYPE_VLAN } from './ethernet.js';

export const TAG_BYTES = 4;
export const MAX_VLAN = 4094;

/** `tagAt` = offset of the TPID, 12 bytes into the frame for the outer tag. */
export function tci(view: DataView, tagAt: number): number {
  return view.getUint16(tagAt + 2);
}

/** 0 = priority tag: no VLAN, only a priority. */
export function vlanId(view: DataView, tagAt: number): number {
  return view.getUint16(tagAt + 2) & 0x0fff;
}

/** EtherType (or TPID of the next tag) behind the tag. */
export function innerType(view: DataView, tagAt: number): number {
  return view.getUint16(tagAt + 4);
}

/** Where what the frame at `at` carries begins, behind up to two tags; its type stands right before. The frame has an Ethernet header. */
export function payloadAt(view: DataView, at: number, length: number): number {
  const end = at + length;
  let type = etherType(view, at);
  let payloadAt = at + HEADER_BYTES;
  for (let tags = 0; tags < 2 && isTag(type) && payloadAt + TAG_BYTES <= end; tags++) {
    type = innerType(view, payloadAt - 2);
    payloadAt += TAG_BYTES;
  }
  return payloadAt;
}

export function isTag(etherType: number): boolean {
  return etherType === TYPE_VLAN || etherType === TYPE_SERVICE_VLAN;
}

/** Writes a customer tag. Priority and drop-eligible bits come from `tci`, its VLAN id is replaced. */
export function writeTag(view: DataView, tagAt: number, tciBits: number, id: number): void {
  view.setUint16(tagAt, TYPE_VLAN);
  view.setUint16(tagAt + 2, (tciBits & 0xf000) | id);
}
