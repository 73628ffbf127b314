/**
 * Lines about protocols below IP: ARP (RFC 826), LLDP (IEEE 802.1AB), LACP (IEEE 802.1AX), spanning tree (IEEE 802.1D/Q).
 * Used by describe.ts only. `at` is where the protocol begins, `end` behind the last byte that is here, `length` its bytes on
 * the wire.
 *
 * @coldPath text for people
 */
import { formatIpv4, formatMac } from './addresses.js';

export function describeArp(view: DataView, at: number, end: number, length: number): string {
  if (at + 8 > end) return `ARP [|arp], length ${length}`;
  const isIpv4OverEthernet = view.getUint32(at) === 0x00010800 && view.getUint16(at + 4) === 0x0604;
  const operation = view.getUint16(at + 6);
  if (!isIpv4OverEthernet) return `ARP, operation ${operation} of other protocols, length ${length}`;
  if (at + 28 > end) return `ARP [|arp], length ${length}`;
  const senderMac = formatMac(view.getUint16(at + 8), view.getInt32(at + 10));
  const senderIp = formatIpv4(view.getInt32(at + 14));
  const targetIp = formatIpv4(view.getInt32(at + 24));
  switch (operation) {
    case 1:
      return `ARP, Request who-has ${targetIp} tell ${senderIp}, length ${length}`;
    case 2:
      return `ARP, Reply ${senderIp} is-at ${senderMac}, length ${length}`;
    default:
      return `ARP, operation ${operation}, length ${length}`;
  }
}

/** TLVs of type (7 bits) and length (9 bits); the first three are chassis, port and time to live (802.1AB clause 8). */
export function describeLldp(view: DataView, at: number, end: number, length: number): string {
  const TIME_TO_LIVE = 3;
  let cursor = at;
  for (let i = 0; i < 3 && cursor + 2 <= end; i++) {
    const head = view.getUint16(cursor);
    const bytes = head & 0x01ff;
    if (head >>> 9 === TIME_TO_LIVE && bytes === 2 && cursor + 4 <= end) {
      return `LLDP, ttl ${view.getUint16(cursor + 2)}, length ${length}`;
    }
    cursor += 2 + bytes;
  }
  return `LLDP, length ${length}`;
}

/** Subtype 1 is LACP, then its version; the actor follows at 4: priority (2), MAC (6), key (2). */
export function describeLacp(view: DataView, at: number, end: number, length: number): string {
  const LACP = 1;
  if (at + 2 > end) return `[|slow], length ${length}`;
  const subtype = view.getUint8(at);
  if (subtype !== LACP) return `slow protocol ${subtype}, length ${length}`;
  const version = view.getUint8(at + 1);
  if (at + 14 > end) return `LACPv${version} [|lacp], length ${length}`;
  const actor = formatMac(view.getUint16(at + 6), view.getInt32(at + 8));
  return `LACPv${version}, actor ${actor}, key ${view.getUint16(at + 12)}, length ${length}`;
}

/**
 * BPDU (802.1D clause 9.3): protocol (2) | version (1) | type (1) | flags (1) | root priority (2) and MAC (6) | cost (4) |
 * bridge priority (2) and MAC (6) | port (2) ...
 */
export function describeStp(view: DataView, at: number, end: number, length: number): string {
  if (at + 4 > end) return `STP [|stp], length ${length}`;
  const version = view.getUint8(at + 2);
  const type = view.getUint8(at + 3);
  const name = version === 0 ? 'STP' : version === 2 ? 'RSTP' : version === 3 ? 'MSTP' : `STP version ${version}`;
  if (type === 0x80) return `${name}, topology change, length ${length}`;
  if (type !== 0x00 && type !== 0x02) return `${name}, type ${type}, length ${length}`;
  if (at + 27 > end) return `${name} [|stp], length ${length}`;
  const root = describeBridge(view, at + 5);
  const bridge = describeBridge(view, at + 17);
  const port = view
    .getUint16(at + 25)
    .toString(16)
    .padStart(4, '0');
  return `${name}, bridge ${bridge}, port ${port}, root ${root}, cost ${view.getUint32(at + 13)}, length ${length}`;
}

function describeBridge(view: DataView, at: number): string {
  const priority = view.getUint16(at).toString(16).padStart(4, '0');
  return `${priority}.${formatMac(view.getUint16(at + 2), view.getInt32(at + 4))}`;
}
