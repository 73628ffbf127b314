/**
 * With how many sessions a mapping talks to a remote address: what address-dependent filtering asks (RFC 4787 section 5).
 *
 * Rows of (mapping, remote address) with a count, in a fixed pool as large as the session table, so it can never be
 * full first. Private memory, built anew with the sessions; a link between free rows is stored as row + 1.
 */
import type { KeyedHash } from '../lib/keyed-hash.js';
import { HashIndex } from './hash-index.js';

export class PeerTable {
  private readonly mappings: Int32Array;
  private readonly addresses: Int32Array;
  private readonly counts: Int32Array;
  private readonly next: Int32Array;
  private readonly index: HashIndex;
  private readonly hash: KeyedHash;
  private free = 0;
  private used = 0;

  /** `capacity`: a power of two. */
  constructor(capacity: number, hash: KeyedHash) {
    this.mappings = new Int32Array(capacity);
    this.addresses = new Int32Array(capacity);
    this.counts = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
    this.index = new HashIndex(capacity);
    this.hash = hash;
  }

  has(mapping: number, address: number): boolean {
    return this.find(mapping, address) >= 0;
  }

  /** One more session between the two. */
  add(mapping: number, address: number): void {
    const known = this.find(mapping, address);
    if (known >= 0) {
      this.counts[known]!++;
      return;
    }
    let row = this.free - 1;
    if (row >= 0) this.free = this.next[row]!;
    else row = this.used++;
    this.mappings[row] = mapping;
    this.addresses[row] = address;
    this.counts[row] = 1;
    this.index.insert(this.hashOf(mapping, address), row);
  }

  /** One session less. */
  remove(mapping: number, address: number): void {
    const row = this.find(mapping, address);
    if (row < 0 || --this.counts[row]! > 0) return;
    this.index.remove(this.hashOf(mapping, address), row);
    this.next[row] = this.free;
    this.free = row + 1;
  }

  private find(mapping: number, address: number): number {
    const hash = this.hashOf(mapping, address);
    for (let row = this.index.first(hash); row >= 0; row = this.index.next(row, hash)) {
      if (this.addresses[row] === address && this.mappings[row] === mapping) return row;
    }
    return -1;
  }

  private hashOf(mapping: number, address: number): number {
    return this.hash.hash(mapping, address, 0, 0);
  }
}
