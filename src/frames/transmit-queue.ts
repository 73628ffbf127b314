/**
 * Departures on their way to the kernel: rows that the native addon writes in one crossing, in order.
 *
 * Each row is what one write puts on one port: `head` (optional, from scratch memory) followed by `body`. For ports with
 * vnet headers the first 12 bytes are that header. Rows of one frame may share the same body bytes: flooding copies nothing.
 */

import { PEER_ROW_BYTES, PeerRows } from './peer-rows.js';
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
  /** Of rows for UDP sockets: where the datagram goes. Of all: whether the row continues the message, or the frame, of the row before. */
  readonly txPeer: PeerRows;
  /** After the transmit: 0, or -errno. */
  readonly result: Int32Array;
  /** Bytes of the row that are not the frame: the vnet header. */
  readonly overheadBytes = new Int32Array(QUEUE_ROWS);
  /** Partial checksum that the port finishes, as in FrameVector; only filled while something is captured. */
  readonly checksumStart = new Int32Array(QUEUE_ROWS);
  readonly checksumOffset = new Int32Array(QUEUE_ROWS);
  /** 1 = the first sign of the frame on the network of `port`; only filled while something is captured. */
  readonly isEntering = new Uint8Array(QUEUE_ROWS);
  /** Bytes in front of the head that only captures see, as the kernel writes them itself; only filled while something is captured. */
  readonly unsentBytes = new Int32Array(QUEUE_ROWS);

  constructor(slab: Slab) {
    this.port = slab.takeColumn(QUEUE_ROWS);
    this.headAt = slab.takeColumn(QUEUE_ROWS);
    this.headBytes = slab.takeColumn(QUEUE_ROWS);
    this.bodyAt = slab.takeColumn(QUEUE_ROWS);
    this.bodyBytes = slab.takeColumn(QUEUE_ROWS);
    this.result = slab.takeColumn(QUEUE_ROWS);
    this.txPeer = new PeerRows(slab, QUEUE_ROWS);
  }

  /** Copies all of a row but its result to row `to`. */
  copyRow(from: number, to: number): void {
    this.port[to] = this.port[from]!;
    this.headAt[to] = this.headAt[from]!;
    this.headBytes[to] = this.headBytes[from]!;
    this.bodyAt[to] = this.bodyAt[from]!;
    this.bodyBytes[to] = this.bodyBytes[from]!;
    this.overheadBytes[to] = this.overheadBytes[from]!;
    this.checksumStart[to] = this.checksumStart[from]!;
    this.checksumOffset[to] = this.checksumOffset[from]!;
    this.isEntering[to] = this.isEntering[from]!;
    this.unsentBytes[to] = this.unsentBytes[from]!;
    const at = from * PEER_ROW_BYTES;
    this.txPeer.bytes.copyWithin(to * PEER_ROW_BYTES, at, at + PEER_ROW_BYTES);
  }
}
