/**
 * Datagrams of one size that go one after the other to one peer, from one port of UDP, leave together: a crossing of the kernel's stack
 * for up to 64 of them. Their rows stay what they are; all but the first say that they continue the one before.
 *
 *   socket   one message (UDP_SEGMENT, udp(7))
 *   TAP      one super-frame of UDP (Linux 6.2): the outer head of the first, then every datagram from its VXLAN header on
 *
 * Each row has room for a whole head of its own, for captures, and to be sent alone: one that continues only skips what is in front of
 * VXLAN. The head of a super-frame is written over that of its first row (`seal`) for as long as it is on its way to the kernel.
 *
 * A kernel may refuse such a message where it takes the datagrams one by one (EIO: the device has no checksum offload; EINVAL: a
 * bug, or the path is too narrow). The rows of a refused message are sent again singly; if that works, the VTEP joins no more.
 */
import type { Slab } from '../frames/slab.js';
import { QUEUE_ROWS, type TransmitQueue } from '../frames/transmit-queue.js';
import * as udp from '../wire/udp.js';
import * as vnet from '../wire/vnet-header.js';
import { setOuterPayload } from './outer-head.js';
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
  /** The message that a next row may continue: its first row, the row that would be the next, and what it holds. */
  private first = NONE;
  private next = NONE;
  private rows = 0;
  private bytes = 0;
  private size = 0;
  private port = 0;
  private remote = 0;
  private trafficClass = 0;
  private sourcePort = 0;
  /** Messages of more than one row that are in the queue. */
  private messages = 0;
  private readonly firstOf = new Int32Array(QUEUE_ROWS);
  private readonly rowsOf = new Int32Array(QUEUE_ROWS);
  private readonly bytesOf = new Int32Array(QUEUE_ROWS);
  /** Of a super-frame: bytes in front of the VXLAN header, which only its first row sends; 0 = message of a socket. */
  private readonly leadOf = new Int32Array(QUEUE_ROWS);
  /** Of a super-frame on its way: whether its datagrams have a checksum of their own. */
  private readonly hadChecksum = new Uint8Array(QUEUE_ROWS);
  /** Rows of `vteps` whose kernel refused. */
  private readonly gaveUp = new Uint8Array(MAX_NETWORKS);
  private program: Program = emptyProgram();
  private readonly queue: TransmitQueue;
  private readonly slab: Slab;

  constructor(queue: TransmitQueue, slab: Slab) {
    this.queue = queue;
    this.slab = slab;
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

  /** Whether the row that is queued next would continue a message, as a datagram of `bytes` from the VXLAN header on. */
  continues(port: number, remote: number, trafficClass: number, sourcePort: number, bytes: number): boolean {
    return (
      this.queue.count === this.next &&
      port === this.port &&
      remote === this.remote &&
      sourcePort === this.sourcePort &&
      trafficClass === this.trafficClass &&
      bytes <= this.size &&
      this.rows < MAX_ROWS &&
      this.bytes + bytes <= MAX_BYTES
    );
  }

  /**
   * Makes the row that was queued last part of the message before it, which `continues` has said it can be. Of a socket its peer is
   * written. `lead`: bytes of its head in front of the VXLAN header (vnet header and outer headers of a TAP); they are not sent, and
   * need not be written unless somebody captures.
   */
  append(row: number, bytes: number, lead: number): void {
    const { queue } = this;
    if (this.rows === 1) this.addMessage(lead);
    queue.txPeer.setContinues(row, true);
    if (lead > 0) {
      queue.headAt[row]! += lead;
      queue.headBytes[row]! -= lead;
      queue.overheadBytes[row]! -= lead;
    }
    this.rows++;
    this.bytes += bytes;
    this.rowsOf[this.messages - 1] = this.rows;
    this.bytesOf[this.messages - 1] = this.bytes;
    // Only the last one may be shorter.
    this.next = bytes === this.size ? row + 1 : NONE;
  }

  /** The row that was queued last, a datagram of `bytes` from the VXLAN header on, may be continued by the next. */
  begin(row: number, port: number, remote: number, trafficClass: number, sourcePort: number, bytes: number): void {
    this.first = row;
    this.next = row + 1;
    this.rows = 1;
    this.bytes = bytes;
    this.size = bytes;
    this.port = port;
    this.remote = remote;
    this.trafficClass = trafficClass;
    this.sourcePort = sourcePort;
  }

  /** The datagram that was begun becomes a message of several. */
  private addMessage(lead: number): void {
    this.queue.txPeer.setSegmentBytes(this.first, this.size);
    this.firstOf[this.messages] = this.first;
    this.leadOf[this.messages] = lead;
    this.messages++;
  }

  /** Before the queue is written: makes the heads of the first rows of super-frames those of the whole. */
  seal(): void {
    const { queue, slab } = this;
    const { view } = slab;
    for (let m = 0; m < this.messages; m++) {
      if (this.leadOf[m] === 0) continue;
      const first = this.firstOf[m]!;
      const headAt = queue.headAt[first]!;
      const frameAt = headAt + queue.overheadBytes[first]!;
      const udpAt = headAt + this.leadOf[m]! - udp.HEADER_BYTES;
      this.hadChecksum[m] = udp.checksum(view, udpAt) === 0 ? 0 : 1;
      setOuterPayload(view, frameAt, udpAt, this.bytesOf[m]!);
      const size = queue.txPeer.segmentBytes(first);
      const headerBytes = udpAt + udp.HEADER_BYTES - frameAt;
      vnet.writeSuperFrame(view, headAt, vnet.GSO_UDP, headerBytes, size, udpAt - frameAt, udp.CHECKSUM_OFFSET);
    }
  }

  /** Afterwards, where a row counts alone: gives them back the heads of their own datagrams. */
  unseal(): void {
    const { queue } = this;
    for (let m = 0; m < this.messages; m++) {
      const lead = this.leadOf[m]!;
      if (lead === 0) continue;
      const first = this.firstOf[m]!;
      this.describeOne(first, lead, queue.txPeer.segmentBytes(first), this.hadChecksum[m] === 1);
    }
  }

  /** Makes the head of a row, of which `lead` bytes are in front of the VXLAN header, that of one datagram of `bytes`. */
  private describeOne(row: number, lead: number, bytes: number, hasChecksum: boolean): void {
    const { queue, slab } = this;
    const { view } = slab;
    const headAt = queue.headAt[row]!;
    const frameAt = headAt + queue.overheadBytes[row]!;
    const udpAt = headAt + lead - udp.HEADER_BYTES;
    setOuterPayload(view, frameAt, udpAt, bytes);
    if (hasChecksum) {
      vnet.writePartial(view, headAt, udpAt - frameAt, udp.CHECKSUM_OFFSET);
    } else {
      vnet.writePlain(view, headAt);
      udp.setChecksum(view, udpAt, 0);
    }
  }

  /** The queue was written: nothing continues what is in it. */
  forget(): void {
    this.next = NONE;
    this.messages = 0;
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
    let first = 0;
    for (let row = 0; row < rows; row++) {
      if (queue.result[row] !== RESENT) continue;
      queue.copyRow(row, to);
      if (queue.overheadBytes[to]! < 0) this.restoreHead(to, first);
      else first = to;
      txPeer.setContinues(to, false);
      txPeer.setSegmentBytes(to, 0);
      to++;
    }
    return to;
  }

  /** A row that continued a super-frame gets the head of row `first`, which began it, as its own. */
  private restoreHead(row: number, first: number): void {
    const { queue, slab } = this;
    const overhead = queue.overheadBytes[first]!;
    const lead = overhead - queue.overheadBytes[row]!;
    const bytes = queue.headBytes[row]! + queue.bodyBytes[row]!;
    const from = queue.headAt[first]!;
    queue.headAt[row]! -= lead;
    queue.headBytes[row]! += lead;
    queue.overheadBytes[row] = overhead;
    slab.bytes.copyWithin(queue.headAt[row]!, from, from + lead);
    const hasChecksum = (vnet.flags(slab.view, from) & vnet.FLAG_NEEDS_CHECKSUM) !== 0;
    this.describeOne(row, lead, bytes, hasChecksum);
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
