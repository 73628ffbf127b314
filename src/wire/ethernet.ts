// Ethernet II header, IEEE 802.3-2018 clause 3. The FCS never reaches weft.
//   0          6          12        14
//  +----------+----------+---------+---------
//  |   dst    |   src    |  type   | payload
//  +----------+----------+---------+---------
// A MAC is held as two integers: high (16 bits, unsigned) and low (32 bits, signed), both in host order.

export const HEADER_BYTES = 14;

/** EtherTypes, IANA registry "IEEE 802 Numbers". */
export const TYPE_IPV4 = 0x0800;
export const TYPE_ARP = 0x0806;
export const TYPE_VLAN = 0x8100;
export const TYPE_SERVICE_VLAN = 0x88a8;
export const TYPE_IPV6 = 0x86dd;

/** True when `roomBytes` holds the header; then no accessor below reads outside the frame. */
export function check(roomBytes: number): boolean {
  return roomBytes >= HEADER_BYTES;
}

export function destinationHigh(view: DataView, at: number): number {
  return view.getUint16(at);
}

export function destinationLow(view: DataView, at: number): number {
  return view.getInt32(at + 2);
}

export function sourceHigh(view: DataView, at: number): number {
  return view.getUint16(at + 6);
}

export function sourceLow(view: DataView, at: number): number {
  return view.getInt32(at + 8);
}

export function etherType(view: DataView, at: number): number {
  return view.getUint16(at + 12);
}

export function writeAddresses(
  view: DataView,
  at: number,
  destinationHigh: number,
  destinationLow: number,
  sourceHigh: number,
  sourceLow: number,
): void {
  view.setUint16(at, destinationHigh);
  view.setInt32(at + 2, destinationLow);
  view.setUint16(at + 6, sourceHigh);
  view.setInt32(at + 8, sourceLow);
}

export function write(
  view: DataView,
  at: number,
  destinationHigh: number,
  destinationLow: number,
  sourceHigh: number,
  sourceLow: number,
  etherType: number,
): void {
  writeAddresses(view, at, destinationHigh, destinationLow, sourceHigh, sourceLow);
  view.setUint16(at + 12, etherType);
}

/** Group bit of the first octet: multicast and broadcast (IEEE 802-2014 clause 8.2). */
export function isGroup(high: number): boolean {
  return (high & 0x0100) !== 0;
}

export function isBroadcast(high: number, low: number): boolean {
  return high === 0xffff && low === -1;
}

/** 01:80:c2:00:00:00..0f, which an IEEE 802.1D bridge does not forward (802.1Q-2018 table 8-1). */
export function isLinkLocalControl(high: number, low: number): boolean {
  return high === 0x0180 && (low & 0xfffffff0) === (0xc2000000 | 0);
}
