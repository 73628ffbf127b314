/** Ints put behind each other, of which there may be hundreds of thousands: faster than an array that becomes a typed one. */
export class IntRows {
  private ints = new Int32Array(256);
  private count = 0;

  add(value: number): void {
    if (this.count === this.ints.length) this.grow();
    this.ints[this.count++] = value;
  }

  addAll(values: readonly number[]): void {
    for (let i = 0; i < values.length; i++) this.add(values[i]!);
  }

  /** A table of its own, of just the size. */
  toTable(): Int32Array<ArrayBuffer> {
    return this.ints.slice(0, this.count);
  }

  private grow(): void {
    const larger = new Int32Array(this.ints.length * 2);
    larger.set(this.ints);
    this.ints = larger;
  }
}
