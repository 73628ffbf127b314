/**
 * A map from (network, family, IP address) to a small integer: open addressing with linear probing, load at most one half, built
 * at once from all that it is to hold and then only read. A new program means a new map: `clear` and `insert` are for that.
 */
import { mix3 } from '../lib/hash32.js';
import * as words from '../wire/address-words.js';

const NONE = -1;
const MIN_SLOTS = 16;

export class AddressMap {
  count = 0;
  private readonly seed: number;
  private mask = MIN_SLOTS - 1;
  private networkFamily = new Int32Array(MIN_SLOTS);
  private addresses = new Int32Array(MIN_SLOTS * 4);
  private values = new Int32Array(MIN_SLOTS).fill(NONE);

  /** `seed`: any integer, not known to senders. */
  constructor(seed: number) {
    this.seed = seed | 0;
  }

  /** Empties the map and makes room for `count` addresses. @coldPath once per program */
  clear(count: number): void {
    let slots = MIN_SLOTS;
    while (slots < count * 2) slots *= 2;
    this.mask = slots - 1;
    this.networkFamily = new Int32Array(slots);
    this.addresses = new Int32Array(slots * 4);
    this.values = new Int32Array(slots).fill(NONE);
    this.count = 0;
  }

  /** `value` is 0 or more. The first one for an address stays. */
  insert(network: number, family: number, from: Int32Array, at: number, value: number): void {
    const slot = this.slotOf(network, family, from, at);
    if (this.values[slot] !== NONE) return;
    this.networkFamily[slot] = (network << 3) | family;
    words.copy(from, at, this.addresses, slot << 2);
    this.values[slot] = value;
    this.count++;
  }

  /** The value of an address, or -1. */
  find(network: number, family: number, from: Int32Array, at: number): number {
    if (this.count === 0) return NONE;
    return this.values[this.slotOf(network, family, from, at)]!;
  }

  /** Where the address stands, or the empty slot where it would. */
  private slotOf(network: number, family: number, from: Int32Array, at: number): number {
    const key = (network << 3) | family;
    let slot = mix3(from[at]! ^ from[at + 2]!, from[at + 1]! ^ Math.imul(from[at + 3]!, 3), key, this.seed) & this.mask;
    while (this.values[slot] !== NONE) {
      if (this.networkFamily[slot] === key && words.isSame(this.addresses, slot << 2, from, at)) return slot;
      slot = (slot + 1) & this.mask;
    }
    return slot;
  }
}
