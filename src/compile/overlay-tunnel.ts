/**
 * VTEPs and tunnels as the datapath has to see them: facts that the underlay found out or made (control/overlay), in texts. What of a
 * tunnel follows from the request alone (VNI, flags, DSCP) is in the NetworkSpec.
 */
import type { Underlay } from '../model/network.js';

/** One end of tunnels on this host; networks with the same underlay, address and UDP port share it. */
export interface CompiledVtep {
  /** Unique text, the same for the VTEP in every program: `socket 192.0.2.1 4789`. */
  key: string;
  underlay: Underlay;
  /** Row of the network columns that its ports are on. */
  index: number;
  /** Bare; `0.0.0.0` or `::` for a socket that is bound to every address. */
  address: string;
  udpPort: number;
  /** Row of the port that receives (a TAP also sends); -1 while it is lost. */
  port: number;
  /** Rows of the sockets that send. */
  senders: number[];
  /** `tap`: MAC of the host's side and of weft; null for sockets. */
  hostMac: string | null;
  ownMac: string | null;
  /** Whether outer UDP checksums are computed; whether datagrams may be joined (UDP_SEGMENT). */
  checksum: boolean;
  joins: boolean;
  /** Largest outer packet, L3 bytes. */
  mtu: number;
}

/** What an overlay network has of a VTEP. */
export interface OverlayTunnel {
  /** Key of its VTEP. */
  vtep: string;
  /** Addresses that get copies of what floods: static peers, group, and the VTEPs of the cluster. */
  floods: string[];
}
