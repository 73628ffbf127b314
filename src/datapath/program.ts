/**
 * The shape of what the control thread compiles and the datapath worker runs: flat typed arrays, immutable once published,
 * swapped whole between two turns. Learned state (MACs, storm budgets) is not in here: it stays in the worker.
 *
 * Also the messages between the two threads, and nothing else crosses between them but shared memory.
 *
 * Invariants: a port index is a row of every `port...` column and a network index a row of every `network...` column;
 * a free row has `portNetwork` -1. Members of network n are `members[memberFirst[n] .. + memberCount[n])`, in port order.
 */

export const MAX_PORTS = 4096;
export const MAX_NETWORKS = 1024;

/** Port carries every VLAN (or those of its trunk set); untagged frames belong to `portVlan` (0 = untagged domain). */
export const VLAN_TRUNK = 0;
/** Port carries VLAN `portVlan` only, untagged on the wire. */
export const VLAN_ACCESS = 1;

/** Bits of `portFlags`. */
export const PORT_ISOLATED = 1;

/** Bits of `portAccepts`: what may be written to the port as it is. Equal to TUN_F_* (linux/if_tun.h) where both exist. */
export const ACCEPTS_CHECKSUM = 0x01;
export const ACCEPTS_TSO4 = 0x02;
export const ACCEPTS_TSO6 = 0x04;
export const ACCEPTS_TSO_ECN = 0x08;
export const ACCEPTS_USO = 0x20;

/** Bits of `networkFlags`. */
export const NETWORK_FILTER_CONTROL = 1;

/** Bits of `portCapture`: copy frames that arrive from / depart to / are dropped at this port into the capture ring. */
export const CAPTURE_ARRIVALS = 1;
export const CAPTURE_DEPARTURES = 2;
export const CAPTURE_DROPS = 4;

/** Words (32 VLANs each) of one trunk set: VLAN v is allowed when bit v of row `portTrunk` is set. */
export const TRUNK_WORDS = 128;

/** Ints of one row of `staticMacs`: network index, VLAN (0 = untagged domain), MAC high 16 bits, MAC low 32 bits, port index. */
export const STATIC_MAC_INTS = 5;

export interface Program {
  version: number;
  /** Rows in use of the port columns: highest port index + 1. */
  portCount: number;
  portNetwork: Int32Array;
  /** Serial of the attachment: changes when the row is reused, so that learned MACs of the former port are flushed. */
  portSerial: Int32Array;
  /** Bytes of vnet header in front of each frame of this port: 0 or 12. */
  portHeaderBytes: Uint8Array;
  portAccepts: Uint8Array;
  portFlags: Uint8Array;
  portVlanMode: Uint8Array;
  portVlan: Int32Array;
  /** Row of `trunkSets`, -1 = every VLAN. */
  portTrunk: Int32Array;
  portCapture: Uint8Array;
  trunkSets: Int32Array;
  networkCount: number;
  /** L3 bytes. */
  networkMtu: Int32Array;
  networkAgeingMs: Int32Array;
  networkFlags: Uint8Array;
  networkMacLimit: Int32Array;
  /** Frames per second and port; 0 = no limit. */
  networkStormBroadcast: Int32Array;
  networkStormMulticast: Int32Array;
  networkStormUnknown: Int32Array;
  memberFirst: Int32Array;
  memberCount: Int32Array;
  members: Int32Array;
  staticMacs: Int32Array;
  /** Bytes copied of each captured frame; 0 = no capture is running. */
  captureSnaplen: number;
}

/** A program with no ports: what a worker runs until it gets its first. @coldPath once per datapath */
export function emptyProgram(): Program {
  return {
    version: 0,
    portCount: 0,
    portNetwork: new Int32Array(0),
    portSerial: new Int32Array(0),
    portHeaderBytes: new Uint8Array(0),
    portAccepts: new Uint8Array(0),
    portFlags: new Uint8Array(0),
    portVlanMode: new Uint8Array(0),
    portVlan: new Int32Array(0),
    portTrunk: new Int32Array(0),
    portCapture: new Uint8Array(0),
    trunkSets: new Int32Array(0),
    networkCount: 0,
    networkMtu: new Int32Array(0),
    networkAgeingMs: new Int32Array(0),
    networkFlags: new Uint8Array(0),
    networkMacLimit: new Int32Array(0),
    networkStormBroadcast: new Int32Array(0),
    networkStormMulticast: new Int32Array(0),
    networkStormUnknown: new Int32Array(0),
    memberFirst: new Int32Array(0),
    memberCount: new Int32Array(0),
    members: new Int32Array(0),
    staticMacs: new Int32Array(0),
    captureSnaplen: 0,
  };
}

/** Kinds of ports that the worker reads and writes; equal to the constants of the native addon. */
export const PORT_TAP = 0;
export const PORT_PACKET = 1;
export const PORT_UDP = 2;

/** Ways for a worker to fail, to try out that it is replaced: throw an exception, end, never come back from a turn. */
export const WORKER_FAULTS = ['throw', 'exit', 'hang'] as const;
export type WorkerFault = (typeof WORKER_FAULTS)[number];

/** Control thread to worker. Every message is answered with an `Ack` of the same `sequence`, in order. */
export type ToWorker =
  | { kind: 'attach'; sequence: number; port: number; fd: number; portKind: number; headerBytes: number }
  | { kind: 'detach'; sequence: number; port: number }
  | { kind: 'program'; sequence: number; program: Program }
  | { kind: 'flush-macs'; sequence: number; network: number }
  | { kind: 'stop'; sequence: number }
  | { kind: 'fail'; sequence: number; how: WorkerFault };

/** Worker to control thread. `fault`: the port was taken out of service because of `errno`. */
export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'ack'; sequence: number; errno: number }
  | { kind: 'fault'; port: number; errno: number };

/** Memory that both threads see; made by the control thread, so that it outlives a worker. */
export interface SharedTables {
  counters: SharedArrayBuffer;
  macs: SharedArrayBuffer;
  capture: SharedArrayBuffer;
  /** Frames from the control thread to the worker (ports/inject-ring.ts). */
  inject: SharedArrayBuffer;
}
