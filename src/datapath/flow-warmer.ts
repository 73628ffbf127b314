/**
 * Brings the flows of a burst into the caches of the processor before the NAT looks at them one after the other.
 *
 * With a million flows nearly every look misses: first the bucket, then the row, some 390 ns per frame in all. The misses of different
 * frames do not depend on each other, so a loop that does nothing else has several of them under way at once: measured over bursts of
 * 256, 200 ns instead. Small tables are in the caches anyway; for them it would only cost (15 ns per frame), and nothing is done.
 *
 * Only a hint: it changes nothing, may look at the wrong row, and leaves out what is rare (IPv6, ICMP).
 */
import { type FrameVector, LATER_FRAGMENT, ROUTING } from '../frames/frame-vector.js';
import { VECTOR_ROWS } from '../frames/slab.js';
import type { FlowTable } from '../tables/flow-table.js';
import type { NetworkSlots } from '../tables/network-slots.js';
import * as words from '../wire/address-words.js';
import * as ipv4 from '../wire/ipv4.js';
import { type Program, ROLE_INSIDE } from './program.js';

/** Flows from which on it is worth it: their rows and links take more than the second-level cache of common processors. */
const MIN_FLOWS = 16_384;
/** Frames from which on it is worth it: the misses of one cannot overlap. */
const MIN_FRAMES = 4;

export class FlowWarmer {
  /** Of no meaning; it is here so that the compiler keeps the loop. */
  touched = 0;
  private readonly flows: FlowTable;
  private readonly slots: NetworkSlots;
  /** Rows that the frames may belong to. */
  private readonly rows = new Int32Array(VECTOR_ROWS);

  constructor(flows: FlowTable, slots: NetworkSlots) {
    this.flows = flows;
    this.slots = slots;
  }

  /** To be called when the columns of the network layer are filled. */
  warm(frames: FrameVector, program: Program): void {
    const { flows, rows } = this;
    if (flows.count < MIN_FLOWS || frames.routing < MIN_FRAMES) return;
    let found = 0;
    for (let i = 0; i < frames.count; i++) {
      const row = this.candidate(frames, program, i);
      if (row >= 0) rows[found++] = row;
    }
    let touched = 0;
    for (let i = 0; i < found; i++) touched ^= flows.expiresAt(rows[i]!);
    this.touched = touched;
  }

  /** The first row that a frame may belong to, from the bucket alone; -1 = none. */
  private candidate(frames: FrameVector, program: Program, i: number): number {
    if (frames.verdict[i] !== ROUTING || frames.family[i] !== 4 || frames.fragment[i] === LATER_FRAGMENT) return -1;
    const protocol = frames.protocol[i]!;
    if (protocol !== ipv4.PROTOCOL_TCP && protocol !== ipv4.PROTOCOL_UDP) return -1;
    const network = frames.network[i]!;
    const at = words.wordsAt(i);
    const source = frames.source[at]!;
    const destination = frames.destination[at]!;
    const sourcePort = frames.sourcePort[i]!;
    const destinationPort = frames.destinationPort[i]!;
    if (program.networkRole[network] === ROLE_INSIDE) {
      const slot = this.slots.slotOf(network);
      return this.flows.firstInside(slot, protocol, 4, source, sourcePort, destination, destinationPort);
    }
    const inside = program.networkUplink[network]!;
    if (inside < 0) return -1;
    const slot = this.slots.slotOf(inside);
    return this.flows.firstOutside(slot, protocol, 4, source, sourcePort, destination, destinationPort);
  }
}
