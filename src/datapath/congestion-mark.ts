/**
 * What the path has marked on the outer header of a datagram, and how it reaches the packet inside (RFC 6040 section 4.2). First asked,
 * which changes nothing, then marked on a packet that is found good in all else.
 */
import * as ecn from '../wire/ecn.js';
import * as ethernet from '../wire/ethernet.js';
import * as ipv4 from '../wire/ipv4.js';
import * as ipv6 from '../wire/ipv6.js';
import * as vlan from '../wire/vlan.js';

const NONE = -1;

export class CongestionMark {
  /** Where the packet is whose bits have to change, NONE = nowhere; its family, and what they become. */
  private at = NONE;
  private family = 0;
  private bits = 0;

  /** For the frame from `at` to `end` inside of a packet of `trafficClass`; false when it has to be dropped. */
  combine(view: DataView, at: number, end: number, trafficClass: number): boolean {
    this.at = NONE;
    const outerBits = trafficClass & ecn.MASK;
    if (outerBits === ecn.NOT_ECT) return true;
    const l3At = vlan.payloadAt(view, at, end - at);
    const type = view.getUint16(l3At - 2);
    const isIpv4 = type === ethernet.TYPE_IPV4 && ipv4.check(view, l3At, end - l3At);
    if (!isIpv4 && !(type === ethernet.TYPE_IPV6 && ipv6.check(view, l3At, end - l3At))) return true;
    this.family = isIpv4 ? 4 : 6;
    const inner = ecn.bits(view, l3At, this.family);
    this.bits = ecn.combine(inner, outerBits);
    if (this.bits === ecn.CONGESTED) return false;
    if (this.bits !== inner) this.at = l3At;
    return true;
  }

  /** Marks the packet that was asked about last, where it lies. */
  mark(view: DataView): void {
    if (this.at !== NONE) ecn.setBits(view, this.at, this.family, this.bits);
  }
}
