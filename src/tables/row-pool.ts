/**
 * Which rows of a section of the flow memory are free: those given back last first (their lines are still in the cache), then rows that
 * were never used. Private memory; a link is stored as row + 1.
 */
import type { FlowMemory } from './flow-memory.js';

export class RowPool {
  /** Rows in use. */
  count = 0;
  private readonly memory: FlowMemory;
  private readonly section: number;
  private readonly rowWords: number;
  private readonly next: Int32Array;
  private free = 0;

  constructor(memory: FlowMemory, section: number, rowWords: number) {
    this.memory = memory;
    this.section = section;
    this.rowWords = rowWords;
    this.next = new Int32Array(memory.capacity);
  }

  /** A row that nobody uses, or -1. */
  take(): number {
    let row = this.free - 1;
    if (row >= 0) this.free = this.next[row]!;
    else row = this.memory.extend(this.section, this.rowWords);
    if (row >= 0) this.count++;
    return row;
  }

  release(row: number): void {
    this.next[row] = this.free;
    this.free = row + 1;
    this.count--;
  }

  /** While memory is taken over: a row that is in use since before. */
  keep(): void {
    this.count++;
  }

  /** While memory is taken over: a row that is not. */
  discard(row: number): void {
    this.next[row] = this.free;
    this.free = row + 1;
  }
}
