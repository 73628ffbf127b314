/**
 * Storm control: per port and kind of traffic, how many frames may still enter the network.
 *
 * A token bucket per (port, kind): it fills with `limit` frames per second and holds one tenth of a second's worth (at least
 * eight frames), so that short bursts such as an ARP round pass. Buckets start full. Time is passed in, in ms.
 */

export const STORM_BROADCAST = 0;
export const STORM_MULTICAST = 1;
export const STORM_UNKNOWN = 2;
const KINDS = 3;

export class StormTable {
  private readonly tokens: Float64Array;
  private readonly filledMs: Int32Array;

  constructor(maxPorts: number) {
    this.tokens = new Float64Array(maxPorts * KINDS).fill(Number.MAX_SAFE_INTEGER);
    this.filledMs = new Int32Array(maxPorts * KINDS);
  }

  /** Takes one frame out of the bucket; false when there is none. `limit`: frames per second, 0 = no limit. */
  take(port: number, kind: number, limit: number, now: number): boolean {
    if (limit === 0) return true;
    const row = port * KINDS + kind;
    const depth = Math.max(8, limit / 10);
    const elapsed = (now - this.filledMs[row]!) | 0;
    // Negative: silent for more than half of what the clock can tell (24 days), so the bucket is full.
    const tokens = elapsed < 0 ? depth : Math.min(depth, this.tokens[row]! + (elapsed * limit) / 1000);
    this.filledMs[row] = now;
    if (tokens < 1) {
      this.tokens[row] = tokens;
      return false;
    }
    this.tokens[row] = tokens - 1;
    return true;
  }

  /** Fills the buckets of a port, when the row goes to another endpoint. */
  resetPort(port: number): void {
    this.tokens.fill(Number.MAX_SAFE_INTEGER, port * KINDS, port * KINDS + KINDS);
  }
}
