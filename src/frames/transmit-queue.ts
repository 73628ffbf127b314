/**
 * Departures on their way to the kernel: rows that the native addon writes in one crossing, in order.
 *
 * Each row is what one write puts on one port: `head` (optional, from scratch memory) followed by `body`. For ports with
 * vnet headers the first 12 bytes are that header. Rows of one frame may share the same body bytes: flooding copies nothing.
 */

export const QUEUE_ROWS = 1024;

export class TransmitQueue {
  count = 0;
  readonly port = new Int32Array(QUEUE_ROWS);
  readonly headAt = new Int32Array(QUEUE_ROWS);
  /** 0 = no head. */
  readonly headBytes = new Int32Array(QUEUE_ROWS);
  readonly bodyAt = new Int32Array(QUEUE_ROWS);
  readonly bodyBytes = new Int32Array(QUEUE_ROWS);
  /** After the transmit: 0, or -errno. */
  readonly result = new Int32Array(QUEUE_ROWS);
  /** Bytes of the row that are not the frame: the vnet header. */
  readonly overheadBytes = new Int32Array(QUEUE_ROWS);
  /** Partial checksum that the port finishes, as in FrameVector; only filled while something is captured. */
  readonly checksumStart = new Int32Array(QUEUE_ROWS);
  readonly checksumOffset = new Int32Array(QUEUE_ROWS);
}
