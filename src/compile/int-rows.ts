/** Ints put behind each other, of which there may be hundreds of thousands: faster than an array that becomes a typed one. */
export class IntRows {
  private ints = new Int32Array(256);
  private used = 0;

  /** Ints so far. */
  get count(): number {
    return this.used;
  }

  add(value: number): void {
    if (this.used === this.ints.length) this.grow();
    this.ints[this.used++] = value;
  }

  addAll(values: readonly number[]): void {
    for (let i = 0; i < values.length; i++) this.add(values[i]!);
  }

  /** A table of its own, of just the size. */
  toTable(): Int32Array<ArrayBuffer> {
    return this.ints.slice(0, this.used);
  }

  private grow(): void {
    const larger = new Int32Array(this.ints.length * 2);
    larger.set(this.ints);
    this.ints = larger;
  }
}
