/**
 * From a hash to rows: the index of every table whose rows live elsewhere. Twice as many buckets as rows, each a chain of links.
 *
 * A link is row + 1 in its low 21 bits and, above them, 11 bits of the hash of that row, so that a row is touched only when it is almost
 * certainly the right one: with a million rows each look into one is a miss of the caches.
 * Zero is the end of a chain, and memory that was never used costs nothing.
 *
 * Invariant: a row is in one chain at most, put there and taken out with the same hash.
 */
const ROW_BITS = 21;
const ROW_MASK = (1 << ROW_BITS) - 1;

export class HashIndex {
  private readonly buckets: Int32Array;
  private readonly links: Int32Array;
  private readonly mask: number;

  /** `capacity`: a power of two, 2^20 at most. */
  constructor(capacity: number) {
    this.buckets = new Int32Array(2 * capacity);
    this.links = new Int32Array(capacity);
    this.mask = 2 * capacity - 1;
  }

  /** The first row that may have this hash, or -1. */
  first(hash: number): number {
    return this.match(this.buckets[hash & this.mask]!, hash);
  }

  /** The next one behind `row`, or -1. */
  next(row: number, hash: number): number {
    return this.match(this.links[row]!, hash);
  }

  insert(hash: number, row: number): void {
    const bucket = hash & this.mask;
    this.links[row] = this.buckets[bucket]!;
    this.buckets[bucket] = (hash & ~ROW_MASK) | (row + 1);
  }

  /** Takes a row out that is in there. */
  remove(hash: number, row: number): void {
    const { buckets, links } = this;
    const bucket = hash & this.mask;
    const after = links[row]!;
    let before = (buckets[bucket]! & ROW_MASK) - 1;
    if (before === row) {
      buckets[bucket] = after;
      return;
    }
    while ((links[before]! & ROW_MASK) !== row + 1) before = (links[before]! & ROW_MASK) - 1;
    links[before] = after;
  }

  private match(link: number, hash: number): number {
    let at = link;
    while (at !== 0) {
      const row = (at & ROW_MASK) - 1;
      if ((at ^ hash) >>> ROW_BITS === 0) return row;
      at = this.links[row]!;
    }
    return -1;
  }
}
