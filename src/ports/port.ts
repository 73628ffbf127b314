/**
 * What the datapath asks of its ports: one narrow interface, so that the turn runs over the kernel (native-io.ts) and over
 * memory (memory-io.ts) alike. Implementations fill the vectors that they were made with.
 */

/** In the ready list: the control thread wants attention. */
export const READY_WAKE = -1;
/** Bit in an entry of the ready list: the port reports an error or hang-up. */
export const READY_ERROR = 0x40000000;
/** Ports served between two waits at most; more than that take turns (the kernel rotates its ready list). */
export const READY_PORTS = 64;

/**
 * Frames that are put in from inside weft, as if a port had received them (inject-ring.ts). Such a frame has a vnet header
 * whatever its port is.
 */
export interface FrameInjector {
  /**
   * Fills rows from 0 on (start, length and ingress port) with up to `maxFrames` frames, at the beginning of the slab; takes no
   * more once it has `maxBytes`. Frames for a port that is not the same any more are discarded. Returns the number of rows.
   */
  take(portCount: number, portSerial: Int32Array, maxFrames: number, maxBytes: number): number;
}

/** Frames from inside weft that leave through one port each (outbound-ring.ts). */
export interface FrameOutlet {
  /**
   * Puts waiting frames behind the arrivals of this turn, whose number is known, with their fate decided: forwarded to their port.
   * Frames for a port that is not the same any more are discarded; what finds no room waits for the next turn.
   */
  take(portCount: number, portSerial: Int32Array, portNetwork: Int32Array): void;
}

export interface PortIo {
  /** Entries are port indexes, READY_WAKE, or a port with READY_ERROR. */
  readonly ready: Int32Array;
  /** Sleeps until a port is readable or `timeoutMicros` has passed; returns the number of entries in `ready`. */
  wait(timeoutMicros: number): number;
  /**
   * Reads up to `maxFrames` frames of `port` into the slab from `at` on, into rows from `firstRow` on, and stops before a
   * read could pass `endAt`. Returns frames, or -errno.
   */
  receiveBurst(port: number, firstRow: number, maxFrames: number, at: number, endAt: number): number;
  /** Writes the first `count` rows of the transmit queue; results are in its `result` column. */
  transmitBurst(count: number): void;
  /** Folded ones' complement sum over the slab, not inverted. */
  sum(at: number, length: number, initial: number): number;
}
