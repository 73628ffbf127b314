/**
 * What the NAT knows of an inside address: the outside address that all its mappings share (paired pooling, RFC 4787 REQ-2) and how many
 * flows it has (the limit of the network).
 *
 * A row per (network, family, inside address) as long as the address has a mapping or a flow. In private memory, rebuilt from mappings and
 * sessions. `network` is a slot, addresses are ids; sessions and mappings hold the references to them.
 */
import type { KeyedHash } from '../lib/keyed-hash.js';
import { HashIndex } from './hash-index.js';

const NONE = -1;

export class SubscriberTable {
  count = 0;
  readonly capacity: number;
  private readonly keys: Int32Array;
  private readonly insides: Int32Array;
  private readonly outsides: Int32Array;
  private readonly flowCounts: Int32Array;
  private readonly mappingCounts: Int32Array;
  private readonly next: Int32Array;
  private readonly index: HashIndex;
  private readonly hash: KeyedHash;
  private free = 0;
  private used = 0;

  /** `capacity`: a power of two. */
  constructor(capacity: number, hash: KeyedHash) {
    this.keys = new Int32Array(capacity);
    this.insides = new Int32Array(capacity);
    this.outsides = new Int32Array(capacity);
    this.flowCounts = new Int32Array(capacity);
    this.mappingCounts = new Int32Array(capacity);
    this.next = new Int32Array(capacity);
    this.index = new HashIndex(capacity);
    this.capacity = capacity;
    this.hash = hash;
  }

  /** Row of an inside address, or -1 when it has neither mappings nor flows. */
  find(network: number, family: number, insideAddress: number): number {
    const key = (network << 16) | family;
    const hash = this.hash.hash(insideAddress, 0, 0, key);
    for (let row = this.index.first(hash); row >= 0; row = this.index.next(row, hash)) {
      if (this.insides[row] === insideAddress && this.keys[row] === key) return row;
    }
    return NONE;
  }

  /** The same, and a new row when there is none; -1 when the table is full. Follow it with `addFlow` or `addMapping`. */
  findOrInsert(network: number, family: number, insideAddress: number): number {
    const known = this.find(network, family, insideAddress);
    if (known >= 0) return known;
    let row = this.free - 1;
    if (row >= 0) this.free = this.next[row]!;
    else if (this.used < this.capacity) row = this.used++;
    else return NONE;
    const key = (network << 16) | family;
    this.keys[row] = key;
    this.insides[row] = insideAddress;
    this.flowCounts[row] = 0;
    this.mappingCounts[row] = 0;
    this.index.insert(this.hash.hash(insideAddress, 0, 0, key), row);
    this.count++;
    return row;
  }

  /** Whether it has mappings, so that `outside` says where they are. */
  hasOutside(row: number): boolean {
    return this.mappingCounts[row]! > 0;
  }

  /** Outside address of its mappings. */
  outside(row: number): number {
    return this.outsides[row]!;
  }

  flows(row: number): number {
    return this.flowCounts[row]!;
  }

  mappings(row: number): number {
    return this.mappingCounts[row]!;
  }

  addFlow(row: number): void {
    this.flowCounts[row]!++;
  }

  /** One flow less; the row is gone with the last one of everything. */
  removeFlow(row: number): void {
    this.flowCounts[row]!--;
    this.dropIfIdle(row);
  }

  /** One mapping more; the newest says where the next ones go. */
  addMapping(row: number, outsideAddress: number): void {
    this.mappingCounts[row]!++;
    this.outsides[row] = outsideAddress;
  }

  removeMapping(row: number): void {
    this.mappingCounts[row]!--;
    this.dropIfIdle(row);
  }

  private dropIfIdle(row: number): void {
    if (this.flowCounts[row]! > 0 || this.mappingCounts[row]! > 0) return;
    this.index.remove(this.hash.hash(this.insides[row]!, 0, 0, this.keys[row]!), row);
    this.next[row] = this.free;
    this.free = row + 1;
    this.count--;
  }
}
