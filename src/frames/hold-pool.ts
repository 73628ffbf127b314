/**
 * Frames that wait: for the MAC of their next hop, for the first fragment of their packet. A copy of the frame with its vnet
 * header stays in memory of the worker until whoever holds it releases it; it then comes back at the beginning of the next turn, as
 * if it had just arrived at the port that it came from.
 *
 * Theory. Memory is cut into blocks of BLOCK_BYTES; a frame takes as many as it needs, chained. Slots (one per frame) hang in
 * the list of their key, oldest first, and, once released, in one list of what is ready. Keys are small integers that the
 * holder chooses; lists are found through a hash of them.
 *
 * Bounds: MAX_HELD frames and BLOCKS * BLOCK_BYTES bytes; of that MAX_PER_KEY frames and MAX_BYTES_PER_KEY bytes for one key, so
 * that one silent neighbour cannot use up what all share, and MAX_PER_PORT frames and a quarter of the bytes for one port, so that
 * one sender cannot. What does not fit is refused, never evicted: the caller drops it.
 *
 * Time: whoever holds frames knows when to give up and calls `release`; the pool has no clock.
 *
 * Accounting: the arrival is consumed when it is held; when it comes back it counts as originated.
 */
import type { FrameVector } from './frame-vector.js';
import { HEADROOM_BYTES, type Slab } from './slab.js';

export const MAX_HELD = 2048;
export const MAX_PER_KEY = 32;
export const MAX_BYTES_PER_KEY = 192 * 1024;
export const MAX_PER_PORT = 512;
const BLOCK_BYTES = 2048;
const BLOCKS = 2048;
const MAX_BLOCKS_PER_PORT = BLOCKS >> 2;
const BUCKETS = 2048;
const VNET_BYTES = 12;
const NONE = -1;

/** Keys of neighbours are rows of the neighbour table; those of fragments have this bit. */
export const HOLD_FRAGMENT = 0x40000000;

export class HoldPool {
  /** Frames held or ready. */
  count = 0;
  /** Frames that `takeReady` will bring back. */
  ready = 0;
  /** Frames that the last `takeReady` forgot. */
  lost = 0;
  private readonly memory = new Uint8Array(BLOCKS * BLOCK_BYTES);
  private readonly nextBlock = new Int32Array(BLOCKS);
  private freeBlock = 0;
  private freeBlocks = BLOCKS;
  /** Columns of the slots. */
  private readonly key = new Int32Array(MAX_HELD);
  private readonly length = new Int32Array(MAX_HELD);
  private readonly port = new Int32Array(MAX_HELD);
  /** The VTEP that it came from, as in the frame vector. */
  private readonly remote = new Int32Array(MAX_HELD);
  private readonly serial = new Int32Array(MAX_HELD);
  private readonly firstBlock = new Int32Array(MAX_HELD);
  private readonly next = new Int32Array(MAX_HELD);
  /** Frames and blocks by port. */
  private readonly portHeld: Int32Array;
  private readonly portBlocks: Int32Array;
  private freeSlot = 0;
  /** Slots by hash of their key, oldest first. */
  private readonly buckets = new Int32Array(BUCKETS).fill(NONE);
  private readyFirst = NONE;
  private readyLast = NONE;

  constructor(maxPorts: number) {
    this.portHeld = new Int32Array(maxPorts);
    this.portBlocks = new Int32Array(maxPorts);
    for (let block = 0; block < BLOCKS; block++) this.nextBlock[block] = block + 1 < BLOCKS ? block + 1 : NONE;
    for (let slot = 0; slot < MAX_HELD; slot++) this.next[slot] = slot + 1 < MAX_HELD ? slot + 1 : NONE;
  }

  /** Copies row `row` and keeps it under `key` (0 or more). False when there is no room: nothing was kept. */
  hold(frames: FrameVector, slab: Slab, row: number, key: number, serial: number): boolean {
    const length = frames.length[row]!;
    const blocks = Math.ceil((VNET_BYTES + length) / BLOCK_BYTES);
    const port = frames.ingressPort[row]!;
    if (this.freeSlot === NONE || blocks > this.freeBlocks || this.portHeld[port]! >= MAX_PER_PORT) return false;
    if (this.portBlocks[port]! + blocks > MAX_BLOCKS_PER_PORT) return false;
    let held = 0;
    let bytes = 0;
    let last = NONE;
    const bucket = bucketOf(key);
    for (let slot = this.buckets[bucket]!; slot !== NONE; slot = this.next[slot]!) {
      last = slot;
      if (this.key[slot] !== key) continue;
      held++;
      bytes += this.length[slot]!;
    }
    if (held >= MAX_PER_KEY || bytes + length > MAX_BYTES_PER_KEY) return false;
    const slot = this.freeSlot;
    this.freeSlot = this.next[slot]!;
    this.next[slot] = NONE;
    if (last === NONE) this.buckets[bucket] = slot;
    else this.next[last] = slot;
    this.key[slot] = key;
    this.length[slot] = length;
    this.port[slot] = port;
    this.remote[slot] = frames.ingressRemote[row]!;
    this.portHeld[port]!++;
    this.portBlocks[port]! += blocks;
    this.serial[slot] = serial;
    this.firstBlock[slot] = this.fill(slab.bytes, frames.start[row]! - VNET_BYTES, VNET_BYTES + length);
    this.count++;
    return true;
  }

  /** What is held under `key` comes back in the next turn. */
  release(key: number): void {
    const bucket = bucketOf(key);
    let before = NONE;
    for (let slot = this.buckets[bucket]!; slot !== NONE; ) {
      const next = this.next[slot]!;
      if (this.key[slot] !== key) {
        before = slot;
        slot = next;
        continue;
      }
      if (before === NONE) this.buckets[bucket] = next;
      else this.next[before] = next;
      this.next[slot] = NONE;
      if (this.readyLast === NONE) this.readyFirst = slot;
      else this.next[this.readyLast] = slot;
      this.readyLast = slot;
      this.ready++;
      slot = next;
    }
  }

  /** Whether anything is held under `key`. */
  has(key: number): boolean {
    for (let slot = this.buckets[bucketOf(key)]!; slot !== NONE; slot = this.next[slot]!) {
      if (this.key[slot] === key) return true;
    }
    return false;
  }

  /**
   * Puts released frames into rows from `firstRow` on, behind `at` of the slab, up to `maxFrames` and until there are `maxBytes`.
   * Frames of ports that are not the same any more are forgotten and counted in `lost`. Returns the number of rows.
   */
  takeReady(
    frames: FrameVector,
    slab: Slab,
    portCount: number,
    portSerial: Int32Array,
    firstRow: number,
    at: number,
    maxFrames: number,
    maxBytes: number,
  ): number {
    this.lost = 0;
    let rows = 0;
    let end = at;
    while (this.readyFirst !== NONE && rows < maxFrames && end - at < maxBytes) {
      const slot = this.readyFirst;
      this.readyFirst = this.next[slot]!;
      if (this.readyFirst === NONE) this.readyLast = NONE;
      this.ready--;
      const port = this.port[slot]!;
      const length = this.length[slot]!;
      const isKnown = port < portCount && portSerial[port] === this.serial[slot];
      const start = ((end + HEADROOM_BYTES + 15) & ~15) + 2;
      this.drain(this.firstBlock[slot]!, isKnown ? slab.bytes : null, start - VNET_BYTES, VNET_BYTES + length);
      this.next[slot] = this.freeSlot;
      this.freeSlot = slot;
      this.count--;
      this.portHeld[port]!--;
      this.portBlocks[port]! -= Math.ceil((VNET_BYTES + length) / BLOCK_BYTES);
      if (!isKnown) {
        this.lost++;
        continue;
      }
      const row = firstRow + rows;
      frames.start[row] = start;
      frames.length[row] = length;
      frames.ingressPort[row] = port;
      frames.ingressRemote[row] = this.remote[slot]!;
      rows++;
      end = start + length;
    }
    return rows;
  }

  /** Copies `length` bytes into a chain of blocks and returns the first one. */
  private fill(bytes: Uint8Array, from: number, length: number): number {
    const first = this.freeBlock;
    let block = first;
    for (let done = 0; ; ) {
      const part = Math.min(BLOCK_BYTES, length - done);
      copyBytes(bytes, from + done, this.memory, block * BLOCK_BYTES, part);
      done += part;
      this.freeBlocks--;
      if (done >= length) break;
      block = this.nextBlock[block]!;
    }
    this.freeBlock = this.nextBlock[block]!;
    this.nextBlock[block] = NONE;
    return first;
  }

  /** Copies a chain to `at` of `bytes` (unless null) and frees its blocks. */
  private drain(first: number, bytes: Uint8Array | null, at: number, length: number): void {
    let done = 0;
    for (let block = first; block !== NONE; ) {
      const part = Math.min(BLOCK_BYTES, length - done);
      if (bytes !== null) copyBytes(this.memory, block * BLOCK_BYTES, bytes, at + done, part);
      done += part;
      const next = this.nextBlock[block]!;
      this.nextBlock[block] = this.freeBlock;
      this.freeBlock = block;
      this.freeBlocks++;
      block = next;
    }
  }
}

function bucketOf(key: number): number {
  return Math.imul(key, 0x9e3779b1) >>> 21;
}

function copyBytes(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i]!;
}
