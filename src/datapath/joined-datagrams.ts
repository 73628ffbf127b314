/**
 * Datagrams of one size that go to one peer through one socket, one after the other, leave as one message (UDP_SEGMENT, udp(7)): a
 * crossing of the kernel's stack for up to 64 of them. Their rows stay what they are; all but the first say that they continue the
 * message.
 *
 * A kernel may refuse such a message where it takes the datagrams one by one (EIO: the device has no checksum offload; EINVAL: a
 * bug, or the path is too narrow). The rows of a refused message are sent again singly; if that works, the VTEP joins no more.
 */
import { QUEUE_ROWS, type TransmitQueue } from '../frames/transmit-queue.js';
import { emptyProgram, MAX_NETWORKS, type Program, VTEP, VTEP_INTS, VTEP_JOINS } from './program.js';

/** `result` of a row that was refused as a part of a message, and sent again. */
export const RESENT = 1;

/** UDP_MAX_SEGMENTS of Linux before 6.9, and a little less than a datagram may have. */
const MAX_ROWS = 64;
const MAX_BYTES = 65_000;
const EIO = -5;
const EINVAL = -22;
const NONE = -1;

export class JoinedDatagrams {
  /** Whether any row of the queue continues a message. */
  isUsed = false;
  /** The message that a next row may continue: its first row, the row that would be the next, and what it holds. */
  private first = NONE;
  private next = NONE;
  private rows = 0;
  private bytes = 0;
  private size = 0;
  private port = 0;
  private remote = 0;
  private trafficClass = 0;
  /** Messages of more than one row that are in the queue. */
  private messages = 0;
  private readonly firstOf = new Int32Array(QUEUE_ROWS);
  private readonly rowsOf = new Int32Array(QUEUE_ROWS);
  /** Rows of `vteps` whose kernel refused. */
  private readonly gaveUp = new Uint8Array(MAX_NETWORKS);
  private program: Program = emptyProgram();
  private readonly queue: TransmitQueue;

  constructor(queue: TransmitQueue) {
    this.queue = queue;
  }

  /** Whether the datagrams of a row of `vteps` may be joined. */
  mayJoin(program: Program, vtep: number): boolean {
    if (program !== this.program) this.adopt(program);
    return (program.vteps[vtep * VTEP_INTS + VTEP.flags]! & VTEP_JOINS) !== 0 && this.gaveUp[vtep] === 0;
  }

  /** @coldPath once per program */
  private adopt(next: Program): void {
    const refused = new Set<number>();
    const before = this.program.vteps;
    for (let at = 0, row = 0; at < before.length; at += VTEP_INTS, row++) {
      if (this.gaveUp[row] !== 0) refused.add(before[at + VTEP.key]!);
    }
    this.gaveUp.fill(0);
    for (let at = 0, row = 0; at < next.vteps.length; at += VTEP_INTS, row++) {
      if (refused.has(next.vteps[at + VTEP.key]!)) this.gaveUp[row] = 1;
    }
    this.program = next;
  }

  /** Makes the row that was queued last, a datagram of `bytes` whose peer is written, part of the message before it if it can be. */
  append(row: number, port: number, remote: number, trafficClass: number, bytes: number): void {
    const isNext = row === this.next && port === this.port && remote === this.remote;
    const fits = bytes <= this.size && this.rows < MAX_ROWS && this.bytes + bytes <= MAX_BYTES;
    if (!isNext || !fits || trafficClass !== this.trafficClass) {
      this.begin(row, port, remote, trafficClass, bytes);
      return;
    }
    if (this.rows === 1) {
      this.queue.txPeer.setSegmentBytes(this.first, this.size);
      this.firstOf[this.messages] = this.first;
      this.messages++;
      this.isUsed = true;
    }
    this.queue.txPeer.setContinues(row, true);
    this.rows++;
    this.bytes += bytes;
    this.rowsOf[this.messages - 1] = this.rows;
    // Only the last one may be shorter.
    this.next = bytes === this.size ? row + 1 : NONE;
  }

  private begin(row: number, port: number, remote: number, trafficClass: number, bytes: number): void {
    this.first = row;
    this.next = row + 1;
    this.rows = 1;
    this.bytes = bytes;
    this.size = bytes;
    this.port = port;
    this.remote = remote;
    this.trafficClass = trafficClass;
  }

  /** The queue was written: nothing continues what is in it. */
  forget(): void {
    this.next = NONE;
    this.messages = 0;
    this.isUsed = false;
  }

  /** Marks the rows of messages that the kernel refused as such; whether there are any. */
  findRefused(): boolean {
    const { result } = this.queue;
    let hasRefused = false;
    for (let m = 0; m < this.messages; m++) {
      const first = this.firstOf[m]!;
      if (result[first] !== EIO && result[first] !== EINVAL) continue;
      hasRefused = true;
      for (let row = first; row < first + this.rowsOf[m]!; row++) result[row] = RESENT;
    }
    return hasRefused;
  }

  /** Moves the rows that are to be sent again to the beginning of the queue, each a message of its own; returns how many they are. */
  takeApart(rows: number): number {
    const { queue } = this;
    const { txPeer } = queue;
    let to = 0;
    for (let row = 0; row < rows; row++) {
      if (queue.result[row] !== RESENT) continue;
      queue.copyRow(row, to);
      txPeer.setContinues(to, false);
      txPeer.setSegmentBytes(to, 0);
      to++;
    }
    return to;
  }

  /** After `rows` rows were sent singly: their VTEPs join no more, where that worked. Returns 1 if it did anywhere, else 0. */
  giveUp(program: Program, rows: number): number {
    const { port, result } = this.queue;
    let works = false;
    for (let row = 0; row < rows; row++) {
      if (result[row] !== 0) continue;
      this.gaveUp[program.portVtep[port[row]!]!] = 1;
      works = true;
    }
    return works ? 1 : 0;
  }
}
