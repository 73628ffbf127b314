/**
 * Token buckets for what weft says by itself (errors): one for each port that it answers and one for all together, so that a flood
 * of what deserves an error neither drowns its sender nor silences weft towards others, of whom path MTU discovery needs it.
 *
 * RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f). Buckets start full; time is passed in, in ms that wrap.
 */

/** Errors per second and at once, to one port: a traceroute that sends everything at once gets all its answers. */
export const PORT_RATE = 200;
export const PORT_DEPTH = 120;
/** To all ports. */
export const TOTAL_RATE = 2000;
export const TOTAL_DEPTH = 500;

export class RateLimiter {
  private readonly tokens: Float64Array;
  private readonly filledMs: Int32Array;
  private readonly all: number;

  constructor(maxPorts: number) {
    this.all = maxPorts;
    this.tokens = new Float64Array(maxPorts + 1).fill(PORT_DEPTH);
    this.filledMs = new Int32Array(maxPorts + 1);
    this.tokens[maxPorts] = TOTAL_DEPTH;
  }

  /** Takes one out of both buckets; false when one of them is empty. */
  take(port: number, now: number): boolean {
    this.fill(port, PORT_RATE, PORT_DEPTH, now);
    this.fill(this.all, TOTAL_RATE, TOTAL_DEPTH, now);
    if (this.tokens[port]! < 1 || this.tokens[this.all]! < 1) return false;
    this.tokens[port]! -= 1;
    this.tokens[this.all]! -= 1;
    return true;
  }

  private fill(row: number, rate: number, depth: number, now: number): void {
    const elapsed = (now - this.filledMs[row]!) | 0;
    this.filledMs[row] = now;
    // Negative: silent for more than half of what the clock can tell (24 days).
    this.tokens[row] = elapsed < 0 ? depth : Math.min(depth, this.tokens[row]! + (elapsed * rate) / 1000);
  }
}
