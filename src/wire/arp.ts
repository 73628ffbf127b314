// ARP for IPv4 over Ethernet, RFC 826.
//   0        2          4      5      6            8            14          18           24
//  +--------+----------+------+------+------------+------------+-----------+------------+-----------+
//  | htype 1| 0x0800   |  6   |  4   | operation  | sender MAC | sender IP | target MAC | target IP |
//  +--------+----------+------+------+------------+------------+-----------+------------+-----------+

export const PACKET_BYTES = 28;
export const REQUEST = 1;
export const REPLY = 2;

/** True when the packet is ARP for IPv4 over Ethernet and all of it is there. */
export function check(view: DataView, at: number, roomBytes: number): boolean {
  return (
    roomBytes >= PACKET_BYTES &&
    view.getUint16(at) === 1 &&
    view.getUint16(at + 2) === 0x0800 &&
    view.getUint16(at + 4) === 0x0604
  );
}

export function operation(view: DataView, at: number): number {
  return view.getUint16(at + 6);
}

export function senderHigh(view: DataView, at: number): number {
  return view.getUint16(at + 8);
}

export function senderLow(view: DataView, at: number): number {
  return view.getInt32(at + 10);
}

export function senderAddress(view: DataView, at: number): number {
  return view.getInt32(at + 14);
}

export function targetAddress(view: DataView, at: number): number {
  return view.getInt32(at + 24);
}

/** A whole packet; the target MAC of a request is zero. */
export function write(
  view: DataView,
  at: number,
  operation: number,
  senderHigh: number,
  senderLow: number,
  senderAddress: number,
  targetHigh: number,
  targetLow: number,
  targetAddress: number,
): void {
  view.setUint16(at, 1);
  view.setUint16(at + 2, 0x0800);
  view.setUint16(at + 4, 0x0604);
  view.setUint16(at + 6, operation);
  view.setUint16(at + 8, senderHigh);
  view.setInt32(at + 10, senderLow);
  view.setInt32(at + 14, senderAddress);
  view.setUint16(at + 18, targetHigh);
  view.setInt32(at + 20, targetLow);
  view.setInt32(at + 24, targetAddress);
}
