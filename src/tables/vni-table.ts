/**
 * Which tunnel a VNI of a VTEP means: open addressing with linear probing, load at most one half, built at once from all tunnels of a
 * program and then only read.
 *
 * Hashed with a multiplication: VNIs are chosen by operators, not by senders, so nobody can aim at one slot.
 */
const NONE = -1;
const MIN_SLOTS = 16;

export class VniTable {
  private mask = MIN_SLOTS - 1;
  /** VTEP in the upper bits, VNI in the lower 24; two VTEPs more than 128 apart may share a key, and `vteps` tells them apart. */
  private keys = new Int32Array(MIN_SLOTS);
  private vteps = new Int32Array(MIN_SLOTS);
  private tunnels = new Int32Array(MIN_SLOTS).fill(NONE);

  /** Empties the table and makes room for `count` tunnels. @coldPath once per program */
  clear(count: number): void {
    let slots = MIN_SLOTS;
    while (slots < count * 2) slots *= 2;
    this.mask = slots - 1;
    this.keys = new Int32Array(slots);
    this.vteps = new Int32Array(slots);
    this.tunnels = new Int32Array(slots).fill(NONE);
  }

  /** The first tunnel for a VNI stays. */
  insert(vtep: number, vni: number, tunnel: number): void {
    const slot = this.slotOf(vtep, vni);
    if (this.tunnels[slot] !== NONE) return;
    this.keys[slot] = keyOf(vtep, vni);
    this.vteps[slot] = vtep;
    this.tunnels[slot] = tunnel;
  }

  /** Tunnel, or -1. */
  find(vtep: number, vni: number): number {
    return this.tunnels[this.slotOf(vtep, vni)]!;
  }

  /** Where the VNI stands, or the empty slot where it would. */
  private slotOf(vtep: number, vni: number): number {
    const key = keyOf(vtep, vni);
    let slot = (Math.imul(key, 0x9e3779b1) >>> 8) & this.mask;
    while (this.tunnels[slot] !== NONE) {
      if (this.keys[slot] === key && this.vteps[slot] === vtep) return slot;
      slot = (slot + 1) & this.mask;
    }
    return slot;
  }
}

function keyOf(vtep: number, vni: number): number {
  return (vtep << 24) ^ vni;
}
