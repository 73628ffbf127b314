/** What VXLAN takes of a packet. */
import type { OverlaySpec } from './network.js';

/** RFC 7348 section 5: outer IP and UDP headers, its own, and the inner Ethernet header. */
const HEADERS = { 4: 20 + 8 + 8 + 14, 6: 40 + 8 + 8 + 14 } as const;
const VLAN_TAG_BYTES = 4;

/** Bytes that an outer packet has more than the inner one; `family`: of the underlay. */
export function overlayOverhead(family: 4 | 6, innerVlan: OverlaySpec['innerVlan']): number {
  return HEADERS[family] + (innerVlan === 'keep' ? VLAN_TAG_BYTES : 0);
}
