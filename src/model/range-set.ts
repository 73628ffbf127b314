/**
 * A set of integers as disjoint ranges in order: what is free in a subnet, however large the subnet is.
 *
 *   ranges: [5..9] [12..12] [20..99]     never touching: [5..9] [10..11] would be one range
 *
 * Finding is a binary search. Adding and removing also move the tail of the array, which for the tens of thousands of
 * ranges that a network can break into costs microseconds. Invariants: first <= last; last + 1 < first of the next.
 */

export interface Range {
  first: bigint;
  last: bigint;
}

export class RangeSet {
  private ranges: Range[] = [];
  private total = 0n;

  /** How many integers are in the set. */
  get size(): bigint {
    return this.total;
  }

  has(value: bigint): boolean {
    const range = this.ranges[this.indexAt(value)];
    return range !== undefined && range.first <= value;
  }

  /** The smallest member that is >= value, or null. */
  next(value: bigint): bigint | null {
    const range = this.ranges[this.indexAt(value)];
    if (range === undefined) return null;
    return range.first > value ? range.first : value;
  }

  add(first: bigint, last: bigint): void {
    if (first > last) return;
    this.remove(first, last);
    let index = this.indexAt(first);
    const added = { first, last };
    const before = this.ranges[index - 1];
    const after = this.ranges[index];
    let replaced = 0;
    if (before !== undefined && before.last + 1n === first) {
      added.first = before.first;
      index--;
      replaced++;
    }
    if (after !== undefined && last + 1n === after.first) {
      added.last = after.last;
      replaced++;
    }
    this.ranges.splice(index, replaced, added);
    this.total += last - first + 1n;
  }

  remove(first: bigint, last: bigint): void {
    if (first > last) return;
    const index = this.indexAt(first);
    const kept: Range[] = [];
    let count = 0;
    for (let i = index; i < this.ranges.length; i++) {
      const range = this.ranges[i]!;
      if (range.first > last) break;
      count++;
      const from = range.first > first ? range.first : first;
      const to = range.last < last ? range.last : last;
      this.total -= to - from + 1n;
      if (range.first < first) kept.push({ first: range.first, last: first - 1n });
      if (range.last > last) kept.push({ first: last + 1n, last: range.last });
    }
    if (count > 0) this.ranges.splice(index, count, ...kept);
  }

  list(): readonly Range[] {
    return this.ranges;
  }

  /** Index of the first range that ends at or after `value`. */
  private indexAt(value: bigint): number {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ranges[middle]!.last < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
