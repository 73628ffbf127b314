/** Seeded pseudo-random numbers (xorshift32, Marsaglia 2003) for tests, rigs and benchmarks: same seed, same sequence. */

export class Prng {
  private state: number;

  /** Any integer; 0 is replaced, because xorshift never leaves it. */
  constructor(seed: number) {
    this.state = seed | 0 || 0x9e3779b9;
  }

  /** Next unsigned 32-bit integer. */
  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  /** Integer in 0..bound-1; bound 1..2^32. */
  below(bound: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * bound);
  }
}
