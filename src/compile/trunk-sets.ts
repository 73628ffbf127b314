/** Sets of VLANs as rows of bits, each set once however many trunk ports have it. */
import { TRUNK_WORDS } from '../datapath/program.js';

export class TrunkSets {
  private readonly rows: Int32Array[] = [];
  private readonly known = new Map<string, number>();

  /** Row of the set; VLANs are 0..4095 in any order. */
  rowOf(vlans: readonly number[]): number {
    const key = [...new Set(vlans)].sort((a, b) => a - b).join(' ');
    const found = this.known.get(key);
    if (found !== undefined) return found;
    const bits = new Int32Array(TRUNK_WORDS);
    for (const vlan of vlans) bits[vlan >>> 5]! |= 1 << (vlan & 31);
    this.rows.push(bits);
    this.known.set(key, this.rows.length - 1);
    return this.rows.length - 1;
  }

  toArray(): Int32Array {
    const all = new Int32Array(this.rows.length * TRUNK_WORDS);
    this.rows.forEach((row, index) => {
      all.set(row, index * TRUNK_WORDS);
    });
    return all;
  }
}
