/** What the compiler is given: networks, ports and the rows that they have, as the control thread knows them. */
import type { EndpointSpec } from '../model/endpoint.js';
import type { NetworkSpec } from '../model/network.js';
import type { UplinkSegment } from './uplink-segment.js';

export interface CompiledNetwork {
  /** Stable identifier. */
  id: string;
  /** Row of the network columns. */
  index: number;
  /** Row of its uplink segment; -1 for a network that is not `nat`. */
  uplinkIndex: number;
  /** null for a network that is not `nat`, and while its uplink is not there. */
  segment: UplinkSegment | null;
  /** Who has the gateway addresses: the host vNIC of an internal network, weft itself on a nat network; null on a private one. */
  gatewayMac: string | null;
  /** Of weft on the segment of the uplink; null for a network that is not `nat`. */
  uplinkMac: string | null;
  spec: NetworkSpec;
}

/**
 * What a port is to its network: the NIC of a compartment, the host vNIC, what leads outside (on the row of the uplink), or the way
 * to the gateway's services.
 */
export type PortRole = 'endpoint' | 'host' | 'uplink' | 'service';

export interface CompiledPort {
  /** Row of the port columns. */
  index: number;
  /** Another number for every attachment, however often its row is reused. */
  serial: number;
  /** Name. */
  network: string;
  role: PortRole;
  /** null unless the role is `endpoint`. */
  endpoint: EndpointSpec | null;
  headerBytes: number;
  /** ACCEPTS_* bits. */
  accepts: number;
}

export interface CompileInput {
  version: number;
  networks: Iterable<CompiledNetwork>;
  /** Each on a row of its own; their networks are all in `networks`. */
  ports: Iterable<CompiledPort>;
  capture: {
    /** Bytes of each frame; 0 = nothing is captured. */
    snaplen: number;
    /** CAPTURE_* bits of a port; endpoint null is the host vNIC. */
    flagsOf(endpoint: string | null, network: string): number;
  };
}
