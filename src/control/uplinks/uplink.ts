/** How one nat network reaches the outside, while it does: what its kind (host-uplink.ts, nic-uplink.ts) made of the request. */
import type { UplinkSegment } from '../../compile/uplink-segment.js';
import type { Namespace, NamespaceWatch, TapRequest } from '../kernel/kernel.js';
import type { OwnPorts } from './raw-packet.js';

/** What is to be made, found out before anything is. */
export interface UplinkPlan {
  request: TapRequest;
  segment: UplinkSegment;
  /** CIDRs between the machine and weft; empty for kinds that have none. */
  transit: string[];
  /** What the user should know although it is no reason to refuse. */
  warnings: string[];
}

/** Whether the namespace has rules for it (uplink-routing.ts). */
export function isRouted({ kind }: Pick<Uplink, 'kind'>): boolean {
  return kind !== 'nic';
}

export interface Uplink {
  network: string;
  /** Where the outside is. */
  namespace: Namespace;
  /** Whether the namespace was opened for this uplink, and is closed with it. */
  ownsNamespace: boolean;
  segment: UplinkSegment;
  watch: NamespaceWatch | null;
  kind: 'host' | 'nic' | 'raw';
  /** `raw`: which ports are weft's, for the packets that come (raw-uplink.ts); kept up to date by uplink-routing.ts. */
  ports: OwnPorts | null;
}
