/**
 * The outbound ring: frames that services of the control thread (DHCP) send to one port each. The memory and its writer are
 * those of inject-ring.ts; what differs is what the worker does with a record: an injected frame arrives at its port and goes
 * through the switch, an outbound one leaves through it. Its own ring, so that an answer does not wait behind a replay.
 *
 * Such frames count as originated. They need no checksum and no cutting, and lie in the untagged domain of the port's network.
 */
import { type FrameVector, forward } from '../frames/frame-vector.js';
import { originate } from '../frames/originate.js';
import type { Slab } from '../frames/slab.js';
import {
  DATA_AT,
  FRAME_AT,
  HEAD_WORD,
  PADDING,
  STALE_AT,
  TAIL_WORD,
  UNIT_BYTES,
  WORDS_PER_UNIT,
} from './inject-ring.js';
import type { FrameOutlet } from './port.js';

export const OUTBOUND_RING_BYTES = 1 << 18;
/** The longest frame that fits the room that weft has for frames of its own making. */
export const MAX_OUTBOUND_BYTES = 1600;
/** Frames per turn: leaves room for what the router has to say. */
const MOST_PER_TURN = 16;

/** The worker's end. Hot path: one load tells that there is nothing. */
export class OutboundRingReader implements FrameOutlet {
  private readonly control: Int32Array;
  private readonly staleFrames: Float64Array;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  private readonly capacity: number;
  private readonly slab: Slab;
  private readonly frames: FrameVector;
  private tail: number;

  /** `memory` is from createInjectMemory. A worker that takes over from a dead one continues where that had stopped. */
  constructor(memory: SharedArrayBuffer, slab: Slab, frames: FrameVector) {
    this.control = new Int32Array(memory, 0, TAIL_WORD + 1);
    this.staleFrames = new Float64Array(memory, STALE_AT);
    this.words = new Int32Array(memory, DATA_AT);
    this.bytes = new Uint8Array(memory, DATA_AT);
    this.capacity = (memory.byteLength - DATA_AT) / UNIT_BYTES;
    this.slab = slab;
    this.frames = frames;
    this.tail = Atomics.load(this.control, TAIL_WORD);
  }

  take(portCount: number, portSerial: Int32Array, portNetwork: Int32Array): void {
    const head = Atomics.load(this.control, HEAD_WORD);
    if (head === this.tail) return;
    const { words } = this;
    let taken = 0;
    while (this.tail !== head && taken < MOST_PER_TURN) {
      const unit = this.tail & (this.capacity - 1);
      const word = unit * WORDS_PER_UNIT;
      const port = words[word + 1]!;
      if (port !== PADDING) {
        if (port < portCount && portSerial[port] === words[word + 2]) {
          if (!this.send(unit, port, words[word + 3]!, portNetwork[port]!)) break;
          taken++;
        } else this.staleFrames[port]! += 1;
      }
      this.tail = (this.tail + words[word]!) | 0;
    }
    Atomics.store(this.control, TAIL_WORD, this.tail);
  }

  /** False when there is no room in this turn. */
  private send(unit: number, port: number, length: number, network: number): boolean {
    const { frames, bytes } = this;
    const row = originate(frames, this.slab, length);
    if (row < 0) return false;
    const from = unit * UNIT_BYTES + FRAME_AT;
    const to = frames.start[row]!;
    const target = this.slab.bytes;
    for (let i = 0; i < length; i++) target[to + i] = bytes[from + i]!;
    frames.network[row] = network;
    frames.vlan[row] = 0;
    forward(frames, row, port);
    return true;
  }
}
