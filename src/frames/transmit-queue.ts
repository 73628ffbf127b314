/**
 * Departures on their way to the kernel: rows that the native addon writes in one crossing, in order.
 *
 * Each row is what one write puts on one port: `head` (optional, from scratch memory) followed by `body`. For ports with
 * vnet headers the first 12 bytes are that header. Rows of one frame may share the same body bytes: flooding copies nothing.
 */

import type { Slab } from './slab.js';

export const QUEUE_ROWS = 1024;

export class TransmitQueue {
  count = 0;
  readonly port: Int32Array;
  readonly headAt: Int32Array;
  /** 0 = no head. */
  readonly headBytes: Int32Array;
  readonly bodyAt: Int32Array;
  readonly bodyBytes: Int32Array;
  /** After the transmit: 0, or -errno. */
  readonly result: Int32Array;
  /** Bytes of the row that are not the frame: the vnet header. */
  readonly overheadBytes = new Int32Array(QUEUE_ROWS);
  /** Partial checksum that the port finishes, as in FrameVector; only filled while something is captured. */
  readonly checksumStart = new Int32Array(QUEUE_ROWS);
  readonly checksumOffset = new Int32Array(QUEUE_ROWS);
  /** 1 = the first sign of the frame on the network of `port`; only filled while something is captured. */
  readonly isEntering = new Uint8Array(QUEUE_ROWS);

  constructor(slab: Slab) {
    this.port = slab.takeColumn(QUEUE_ROWS);
    this.headAt = slab.takeColumn(QUEUE_ROWS);
    this.headBytes = slab.takeColumn(QUEUE_ROWS);
    this.bodyAt = slab.takeColumn(QUEUE_ROWS);
    this.bodyBytes = slab.takeColumn(QUEUE_ROWS);
    this.result = slab.takeColumn(QUEUE_ROWS);
  }
}
