/**
 * What flows know their network by: a slot, which stands for the network's key (the same in every process of this daemon's state), while
 * rows of the program change with every network that comes and goes.
 *
 * Slots are in the header of the flow memory, so flows of before a restart find their network again. A slot whose network is in no
 * program any more lingers for GRACE_MS (a daemon that starts publishes its networks one after the other), then it is dying until its
 * flows are removed (`isDying`, `free`), and only then is it given to another network.
 */
import { AT_SLOTS, type FlowMemory, MAX_SLOTS } from './flow-memory.js';

const GRACE_MS = 30_000;
const NONE = -1;

export class NetworkSlots {
  /** Slots that are dying. */
  dying = 0;
  private readonly words: Int32Array;
  /** By slot: row of the program, -1 = none. */
  private readonly rows = new Int32Array(MAX_SLOTS).fill(NONE);
  private readonly lostMs = new Int32Array(MAX_SLOTS);
  private readonly isDyingSlot = new Uint8Array(MAX_SLOTS);
  /** By row of the program. */
  private readonly slots: Int32Array;

  constructor(memory: FlowMemory, maxNetworks: number) {
    this.words = memory.words;
    this.slots = new Int32Array(maxNetworks).fill(NONE);
  }

  /** Slot of a row of the program, -1 when its flows are not tracked. */
  slotOf(network: number): number {
    return this.slots[network]!;
  }

  /** Row of the program that a slot stands for now, or -1. */
  networkOf(slot: number): number {
    return this.rows[slot]!;
  }

  /** Whether a slot belongs to a network, now or a moment ago. */
  isKnown(slot: number): boolean {
    return slot >= 0 && slot < MAX_SLOTS && this.words[AT_SLOTS + 2 * slot] === 1 && this.isDyingSlot[slot] === 0;
  }

  /** The networks are now those with `isTracked[row]` 1, known by `keys[row]`. @coldPath once per program */
  assign(keys: Int32Array, isTracked: Uint8Array, count: number, now: number): void {
    const { words, rows, slots } = this;
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      if (words[AT_SLOTS + 2 * slot] !== 1 || rows[slot] === NONE) continue;
      rows[slot] = NONE;
      this.lostMs[slot] = now;
    }
    slots.fill(NONE);
    for (let row = 0; row < count; row++) {
      if (isTracked[row] === 0) continue;
      const slot = this.findOrTake(keys[row]!);
      if (slot === NONE) continue;
      slots[row] = slot;
      rows[slot] = row;
    }
  }

  /** When memory was taken over: networks that do not come back within the grace time are gone. @coldPath once per worker */
  startGrace(now: number): void {
    this.lostMs.fill(now);
  }

  /** Lets the slots die whose grace is over. Cheap, but not for every turn. */
  age(now: number): void {
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      if (this.words[AT_SLOTS + 2 * slot] !== 1 || this.rows[slot] !== NONE || this.isDyingSlot[slot] !== 0) continue;
      if (((now - this.lostMs[slot]!) | 0) < GRACE_MS) continue;
      this.isDyingSlot[slot] = 1;
      this.dying++;
    }
  }

  isDying(slot: number): boolean {
    return this.isDyingSlot[slot] !== 0;
  }

  /** Marks the dying slots of now with 2; to be called when a search for their flows begins. */
  beginFree(): void {
    for (let slot = 0; slot < MAX_SLOTS; slot++) if (this.isDyingSlot[slot] === 1) this.isDyingSlot[slot] = 2;
  }

  /** The search that began then is through: they have no flows any more. */
  finishFree(): void {
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      if (this.isDyingSlot[slot] !== 2) continue;
      this.isDyingSlot[slot] = 0;
      this.words[AT_SLOTS + 2 * slot] = 0;
      this.dying--;
    }
  }

  /** The slot of a key, a new one if need be; highest first, so that a slot is rarely equal to a row by accident. */
  private findOrTake(key: number): number {
    const { words } = this;
    let free = NONE;
    for (let slot = MAX_SLOTS - 1; slot >= 0; slot--) {
      const at = AT_SLOTS + 2 * slot;
      if (words[at] !== 1) {
        if (free === NONE) free = slot;
      } else if (words[at + 1] === key && this.isDyingSlot[slot] === 0) {
        return slot;
      }
    }
    if (free === NONE) return NONE;
    words[AT_SLOTS + 2 * free + 1] = key;
    words[AT_SLOTS + 2 * free] = 1;
    return free;
  }
}
