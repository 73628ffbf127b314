/**
 * A hierarchical timer wheel (Varghese and Lauck 1987, scheme 7) over rows of some table: which of a million rows are due,
 * without looking at the others.
 *
 * Time is int32 milliseconds that wrap. A tick is 256 ms, the top 24 bits of the time; three levels of 256 slots are the three
 * bytes of the tick:
 *
 *   level 2: 256 slots of 4.7 h     level 1: 256 slots of 65 s     level 0: 256 slots of 256 ms
 *
 * A row is filed by the highest byte in which its tick differs from the cursor. When the cursor enters a slot of a higher level,
 * the rows in it are handed out as well, and the owner files them again, nearer. So the wheel knows no times of rows: the owner
 * gets a row that may be due, looks at its own column, and either ends it or calls `schedule` again. That makes it cheap to
 * extend the time of a row: write the column and leave the wheel alone. Only to shorten it needs `schedule`.
 *
 * Slots are doubly linked lists with their heads behind the rows. All in private memory, rebuilt when a worker starts; a link is
 * stored as index + 1, so that rows that were never used cost no memory.
 *
 * Bounds: a row is handed out at most a tick late, or later when `step` is called too seldom; never early by more than the owner
 * notices. Times at most 2^30 ms (12 days) ahead.
 */
const TICK_SHIFT = 8;
const TICK_MASK = 0xffffff;
const HALF_TICKS = 0x800000;
const SLOTS = 256;
/** Empty ticks that one step passes at most. */
const TICKS_PER_STEP = 64;

/** Nothing is due until `now`. */
export const WHEEL_DONE = -1;
/** Time was passed, nothing was due yet: call again. */
export const WHEEL_BUSY = -2;

export class TimerWheel {
  /** Rows filed. */
  count = 0;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly firstSlot: number;
  /** Tick up to which everything was handed out; its own slot of level 0 is being emptied. */
  private cursor: number;

  constructor(capacity: number, now: number) {
    this.firstSlot = capacity;
    this.next = new Int32Array(capacity + 3 * SLOTS);
    this.previous = new Int32Array(capacity + 3 * SLOTS);
    this.cursor = (now >>> TICK_SHIFT) & TICK_MASK;
  }

  /** Files a row for time `at`, anew if it was filed. What is past comes with the next step. */
  schedule(row: number, at: number): void {
    this.cancel(row);
    const slot = this.firstSlot + this.slotOf((at >>> TICK_SHIFT) & TICK_MASK);
    const first = this.next[slot]!;
    this.next[row] = first;
    this.previous[row] = slot + 1;
    if (first !== 0) this.previous[first - 1] = row + 1;
    this.next[slot] = row + 1;
    this.count++;
  }

  /** Takes a row out; nothing happens when it is not filed. */
  cancel(row: number): void {
    const before = this.previous[row]!;
    if (before === 0) return;
    const after = this.next[row]!;
    this.next[before - 1] = after;
    if (after !== 0) this.previous[after - 1] = before;
    this.previous[row] = 0;
    this.next[row] = 0;
    this.count--;
  }

  /** Takes a row out that may be due at `now` and returns it; or WHEEL_DONE, or WHEEL_BUSY. Bounded work. */
  step(now: number): number {
    const target = (now >>> TICK_SHIFT) & TICK_MASK;
    for (let i = 0; i < TICKS_PER_STEP; i++) {
      const ahead = (target - this.cursor) & TICK_MASK;
      const row = this.waiting();
      if (row >= 0) {
        // The slot of the tick that still runs waits until it is over; what came from higher levels is sorted in right away.
        if (this.isInLevel0(row) && (ahead === 0 || ahead >= HALF_TICKS)) return WHEEL_DONE;
        this.cancel(row);
        return row;
      }
      if (ahead === 0 || ahead >= HALF_TICKS) return WHEEL_DONE;
      this.cursor = (this.cursor + 1) & TICK_MASK;
    }
    return WHEEL_BUSY;
  }

  /** The first row in the slots that the cursor stands on, the highest level first; -1 = they are empty. */
  private waiting(): number {
    const { cursor, next, firstSlot } = this;
    const high = next[firstSlot + 2 * SLOTS + (cursor >>> 16)]!;
    if (high !== 0) return high - 1;
    const middle = next[firstSlot + SLOTS + ((cursor >>> 8) & 255)]!;
    if (middle !== 0) return middle - 1;
    return next[firstSlot + (cursor & 255)]! - 1;
  }

  private isInLevel0(row: number): boolean {
    return this.previous[row]! - 1 === this.firstSlot + (this.cursor & 255);
  }

  private slotOf(tick: number): number {
    const { cursor } = this;
    if (((tick - cursor) & TICK_MASK) >= HALF_TICKS) return cursor & 255;
    const difference = tick ^ cursor;
    if (difference < 0x100) return tick & 255;
    if (difference < 0x10000) return SLOTS + ((tick >>> 8) & 255);
    return 2 * SLOTS + (tick >>> 16);
  }
}
