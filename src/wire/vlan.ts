// VLAN tag, IEEE 802.1Q-2018 clause 9. It stands where the EtherType of an untagged frame stands.
//   12      14       16
//  +-------+--------+---------+
//  | TPID  |  TCI   |  type   |      TCI = priority (3) | drop eligible (1) | VLAN id (12)
//  +-------+--------+---------+

import { TYPE_SERVICE_VLAN, TYPE_VLAN } from './ethernet.js';

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

export function isTag(etherType: number): boolean {
  return etherType === TYPE_VLAN || etherType === TYPE_SERVICE_VLAN;
}

/** Writes a customer tag. Priority and drop-eligible bits come from `tci`, its VLAN id is replaced. */
export function writeTag(view: DataView, tagAt: number, tciBits: number, id: number): void {
  view.setUint16(tagAt, TYPE_VLAN);
  view.setUint16(tagAt + 2, (tciBits & 0xf000) | id);
}
