/**
 * TCP SYNs from outside that nobody asked for and that are not answered yet: perhaps the inside opens the same connection in a
 * moment (simultaneous open), and then a refusal would end it (RFC 5382 REQ-4).
 *
 * The frames wait in frames/hold-pool.ts under `holdKey`; here is which ones, and until when. A slot is WAITING until its time is up, then
 * RELEASED until its frame has come back and was dropped: silently when the connection exists by then, with an ICMP error when not.
 *
 * Bounds: MAX_PENDING slots, MAX_PER_NETWORK of one network. What finds no slot is dropped without an answer, so a flood of forged
 * SYNs has no more effect than that.
 */
import { mix3 } from '../lib/hash32.js';

export const MAX_PENDING = 128;
export const MAX_PER_NETWORK = 32;

const FREE = 0;
const WAITING = 1;
const RELEASED = 2;
/** A frame whose port is gone never comes back; its slot is free again after this. */
const LOST_MS = 2000;
const NONE = -1;

export class PendingSyns {
  /** Slots in use. */
  count = 0;
  private readonly state = new Uint8Array(MAX_PENDING);
  private readonly network = new Int32Array(MAX_PENDING);
  private readonly hash = new Int32Array(MAX_PENDING);
  /** Source and destination port, and the addresses: four words each. */
  private readonly ports = new Int32Array(MAX_PENDING);
  private readonly addresses = new Int32Array(MAX_PENDING * 8);
  private readonly due = new Int32Array(MAX_PENDING);
  private readonly seed: number;
  private cursor = 0;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Slot of a connection, or -1. `at`: index of the first word of both addresses. */
  find(network: number, source: Int32Array, destination: Int32Array, at: number, ports: number): number {
    if (this.count === 0) return NONE;
    const hash = this.hashOf(source, destination, at, ports);
    for (let slot = 0; slot < MAX_PENDING; slot++) {
      if (this.hash[slot] !== hash || this.state[slot] === FREE) continue;
      if (this.network[slot] !== network || this.ports[slot] !== ports) continue;
      if (this.isOf(slot, source, destination, at)) return slot;
    }
    return NONE;
  }

  /** Makes a slot for a connection that has none; -1 when there are too many. */
  insert(
    network: number,
    source: Int32Array,
    destination: Int32Array,
    at: number,
    ports: number,
    dueMs: number,
  ): number {
    let free = NONE;
    let own = 0;
    for (let slot = 0; slot < MAX_PENDING; slot++) {
      if (this.state[slot] === FREE) free = slot;
      else if (this.network[slot] === network) own++;
    }
    if (free === NONE || own >= MAX_PER_NETWORK) return NONE;
    this.state[free] = WAITING;
    this.network[free] = network;
    this.hash[free] = this.hashOf(source, destination, at, ports);
    this.ports[free] = ports;
    for (let word = 0; word < 4; word++) {
      this.addresses[free * 8 + word] = source[at + word]!;
      this.addresses[free * 8 + 4 + word] = destination[at + word]!;
    }
    this.due[free] = dueMs;
    this.count++;
    return free;
  }

  /** Whether the time of a slot is up and its frame is on its way back. */
  isReleased(slot: number): boolean {
    return this.state[slot] === RELEASED;
  }

  remove(slot: number): void {
    this.state[slot] = FREE;
    this.count--;
  }

  /** Looks at up to `steps` slots. Returns one whose frame is to be let go now, or -1. */
  sweep(now: number, steps: number): number {
    for (let step = 0; this.count > 0 && step < steps; step++) {
      const slot = this.cursor;
      this.cursor = (slot + 1) % MAX_PENDING;
      if (this.state[slot] === FREE || ((this.due[slot]! - now) | 0) > 0) continue;
      if (this.state[slot] === RELEASED) {
        this.remove(slot);
        continue;
      }
      this.state[slot] = RELEASED;
      this.due[slot] = (now + LOST_MS) | 0;
      return slot;
    }
    return NONE;
  }

  private isOf(slot: number, source: Int32Array, destination: Int32Array, at: number): boolean {
    for (let word = 0; word < 4; word++) {
      if (this.addresses[slot * 8 + word] !== source[at + word]) return false;
      if (this.addresses[slot * 8 + 4 + word] !== destination[at + word]) return false;
    }
    return true;
  }

  private hashOf(source: Int32Array, destination: Int32Array, at: number, ports: number): number {
    const first = mix3(source[at]!, source[at + 3]!, ports, this.seed);
    return mix3(destination[at]!, destination[at + 3]!, first, this.seed);
  }
}
