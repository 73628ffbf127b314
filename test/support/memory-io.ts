/**
 * PortIo over memory: what the datapath has instead of a kernel in tests. It packs arrivals into the slab exactly as the
 * native addon does (src/native/burst.c), keeps what departs, and can be told to fail.
 *
 * Stricter than a kernel: memory around each arrival is filled with garbage before it is handed over, so that a stage that
 * reads beyond a frame gets caught, and rows outside the slab are a failed assertion.
 */
import { strict as assert } from 'node:assert';
import type { FrameVector } from '../../src/frames/frame-vector.js';
import { PEER_CONTINUES } from '../../src/frames/peer-rows.js';
import { HEADROOM_BYTES, MAX_FRAME_BYTES, type Slab, SPREAD_BYTES } from '../../src/frames/slab.js';
import type { TransmitQueue } from '../../src/frames/transmit-queue.js';
import { type PortIo, READY_ERROR, READY_PORTS, READY_WAKE } from '../../src/ports/port.js';
import * as checksum from '../../src/wire/checksum.js';
import { readVnet, type TestFrame, type TestPeer, VNET_BYTES, vnetBytes } from './frame-builders.js';
import { addressRow, addressText } from './tunnel-columns.js';

const GARBAGE = 0xa5;
const GARBAGE_BYTES = 64;

interface MemoryPort {
  headerBytes: number;
  /** A UDP socket: `bytes` of its frames are payloads, and each has a peer. */
  isSocket: boolean;
  arrivals: TestFrame[];
  departures: TestFrame[];
  /** errno of every write, 0 = none. */
  transmitErrno: number;
  /** errno of every write of joined datagrams, 0 = none. */
  joinErrno: number;
  /** errno of every read, 0 = none. */
  receiveErrno: number;
  /** Reported with READY_ERROR, like a device that hung up. */
  hasHungUp: boolean;
}

export class MemoryIo implements PortIo {
  readonly ready = new Int32Array(READY_PORTS);
  /** Calls of transmitBurst, with the rows of each. */
  readonly bursts: number[] = [];
  private readonly slab: Slab;
  private readonly frames: FrameVector;
  private readonly queue: TransmitQueue;
  private readonly ports = new Map<number, MemoryPort>();
  private readonly words = new Int32Array(4);
  private isRung = false;
  private nextFirst = 0;

  constructor(slab: Slab, frames: FrameVector, queue: TransmitQueue) {
    this.slab = slab;
    this.frames = frames;
    this.queue = queue;
  }

  attach(port: number, headerBytes: number, isSocket = false): void {
    this.ports.set(port, {
      headerBytes,
      isSocket,
      arrivals: [],
      departures: [],
      transmitErrno: 0,
      joinErrno: 0,
      receiveErrno: 0,
      hasHungUp: false,
    });
  }

  port(port: number): MemoryPort {
    const found = this.ports.get(port);
    assert.ok(found !== undefined, `port ${port} is attached`);
    return found;
  }

  /** Makes the next wait report that the control thread rang. */
  ring(): void {
    this.isRung = true;
  }

  /** What left `port` since the last call. */
  take(port: number): TestFrame[] {
    return this.port(port).departures.splice(0);
  }

  /** Frames that nobody has read yet. */
  get waiting(): number {
    let count = 0;
    for (const port of this.ports.values()) count += port.arrivals.length;
    return count;
  }

  /** Reports ports with frames, as many as fit; the next wait begins behind them, like the ready list of epoll. */
  wait(_timeoutMicros: number): number {
    let count = 0;
    if (this.isRung) this.ready[count++] = READY_WAKE;
    this.isRung = false;
    const numbers = [...this.ports.keys()];
    const first = this.nextFirst;
    for (let i = 0; i < numbers.length && count < READY_PORTS; i++) {
      const number = numbers[(first + i) % numbers.length]!;
      const port = this.port(number);
      if (port.arrivals.length === 0 && port.receiveErrno === 0 && !port.hasHungUp) continue;
      this.ready[count++] = number | (port.hasHungUp ? READY_ERROR : 0);
      this.nextFirst = (first + i + 1) % numbers.length;
    }
    return count;
  }

  receiveBurst(number: number, firstRow: number, maxFrames: number, at: number, endAt: number): number {
    const { slab, frames } = this;
    const port = this.port(number);
    assert.ok(endAt <= slab.bytes.length, 'a read must not pass the slab');
    if (port.receiveErrno !== 0) return -port.receiveErrno;
    const headroom = HEADROOM_BYTES + (port.isSocket || port.headerBytes > VNET_BYTES ? SPREAD_BYTES : 0);
    let count = 0;
    while (count < maxFrames && port.arrivals.length > 0) {
      const start = ((at + headroom + 15) & ~15) + 2;
      if (start + MAX_FRAME_BYTES > endAt) break;
      const { bytes, vnet, peer } = port.arrivals.shift()!;
      if (port.isSocket) this.writePeer(firstRow + count, peer);
      const end = start + bytes.length;
      slab.bytes.fill(GARBAGE, at, start);
      slab.bytes.fill(GARBAGE, end, Math.min(end + GARBAGE_BYTES, endAt));
      slab.bytes.set(vnetBytes(vnet, port.headerBytes), start - port.headerBytes);
      slab.bytes.set(bytes, start);
      frames.start[firstRow + count] = start;
      frames.length[firstRow + count] = bytes.length;
      at = end;
      count++;
    }
    return count;
  }

  transmitBurst(count: number): void {
    this.bursts.push(count);
    for (let row = 0; row < count; row++) {
      const isMore = row > 0 && this.joinsMessage(row);
      this.queue.result[row] = isMore ? this.queue.result[row - 1]! : this.transmit(row, count);
    }
  }

  sum(at: number, length: number, initial: number): number {
    return checksum.sum(this.slab.view, at, length, initial);
  }

  private transmit(row: number, count: number): number {
    const { queue } = this;
    const port = this.ports.get(queue.port[row]!);
    if (port === undefined) return -19;
    if (port.joinErrno !== 0 && row + 1 < count && this.joinsMessage(row + 1)) return -port.joinErrno;
    if (port.transmitErrno !== 0) return -port.transmitErrno;
    const all = this.gather(row, count);
    const vnet = port.headerBytes === 0 ? null : readVnet(all.subarray(0, port.headerBytes));
    const bytes = Uint8Array.from(all.subarray(port.headerBytes));
    if (port.isSocket) this.addMessage(port, row, bytes);
    else port.departures.push({ bytes, vnet });
    return 0;
  }

  /** Whether the row is more of the message, or of the frame, of the row before. */
  private joinsMessage(row: number): boolean {
    return (this.queue.txPeer.flags(row) & PEER_CONTINUES) !== 0;
  }

  /** All rows that belong together, as native/messages.c and native/burst.c send them. */
  private gather(first: number, count: number): Buffer {
    const { queue } = this;
    const parts: Uint8Array[] = [];
    for (let row = first; row === first || (row < count && this.joinsMessage(row)); row++) {
      assert.equal(queue.port[row], queue.port[first], 'rows of a message have one port');
      parts.push(this.piece(queue.headAt[row]!, queue.headBytes[row]!));
      parts.push(this.piece(queue.bodyAt[row]!, queue.bodyBytes[row]!));
    }
    return Buffer.concat(parts);
  }

  private addMessage(port: MemoryPort, first: number, message: Uint8Array): void {
    const { queue, words } = this;
    queue.txPeer.readAddress(first, words, 0);
    const family = queue.txPeer.family(first);
    assert.ok(family === 4 || family === 6, 'a datagram goes to somebody');
    assert.ok(message.length <= 65_507, 'a message is no longer than a datagram can be');
    const peer: TestPeer = {
      address: addressText(words, family),
      port: queue.txPeer.port(first),
      segmentBytes: queue.txPeer.segmentBytes(first),
      trafficClass: queue.txPeer.trafficClass(first),
    };
    port.departures.push({ bytes: message, vnet: null, peer });
  }

  private writePeer(row: number, peer: TestPeer | undefined): void {
    assert.ok(peer !== undefined, 'a datagram comes from somebody');
    const [family, ...address] = addressRow(peer.address) as [number, ...number[]];
    const { segmentBytes = 0, trafficClass = 0 } = peer;
    this.frames.rxPeer.write(row, family, peer.port, 0, Int32Array.from(address), 0, segmentBytes, trafficClass, 0);
  }

  private piece(at: number, bytes: number): Uint8Array {
    assert.ok(bytes >= 0 && at >= 0 && at + bytes <= this.slab.bytes.length, `row [${at}, +${bytes}) is in the slab`);
    return this.slab.bytes.subarray(at, at + bytes);
  }
}
