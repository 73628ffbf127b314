/** What the compiler is given: networks, ports and the rows that they have, as the control thread knows them. */
import type { EndpointSpec } from '../model/endpoint.js';
import type { NetworkSpec } from '../model/network.js';
import type { CompiledVtep, OverlayTunnel } from './overlay-tunnel.js';
import type { UplinkSegment } from './uplink-segment.js';

export interface CompiledNetwork {
  /** Stable identifier. */
  id: string;
  /** Row of the network columns. */
  index: number;
  /** Row of its uplink segment; -1 for a network that has none. */
  uplinkIndex: number;
  /** Its tunnel; null for a network that is not `overlay`, and while its VTEP is not there. */
  tunnel: OverlayTunnel | null;
  /** null for a network without uplink, and while its uplink is not there. */
  segment: UplinkSegment | null;
  /** Who has the gateway addresses: the host vNIC of an internal network, weft itself on nat and overlay networks; else null. */
  gatewayMac: string | null;
  /** MAC of the router that no other host has; null unless `overlay`. */
  ownRouterMac: string | null;
  /** The host vNIC: its MAC and bare addresses; null for a network without one. */
  host: { mac: string; addresses: readonly string[] } | null;
  /** Of weft on the segment of the uplink; null for a network without. */
  uplinkMac: string | null;
  spec: NetworkSpec;
}

/**
 * What a port is to its network: the NIC of a compartment, the host vNIC, what leads outside (on the row of the uplink), the way
 * to the gateway's services, or what stands for the tunnel of an overlay network. `underlay`: a TAP or socket of a VTEP, whose `network`
 * is the key of the VTEP.
 */
export type PortRole = 'endpoint' | 'host' | 'uplink' | 'service' | 'tunnel' | 'underlay';

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
  /** Of a UDP socket: its own port. */
  udpPort?: number;
}

export interface CompileInput {
  version: number;
  networks: Iterable<CompiledNetwork>;
  vteps: Iterable<CompiledVtep>;
  /** Each on a row of its own; their networks are all in `networks`, those of underlay ports in `vteps`. */
  ports: Iterable<CompiledPort>;
  capture: {
    /** Bytes of each frame; 0 = nothing is captured. */
    snaplen: number;
    /** CAPTURE_* bits of a port. */
    flagsOf(port: CompiledPort): number;
  };
}
