/**
 * How much one client may ask: so many questions per second, and so many at a time that others have to answer. A flood of one
 * station costs the others nothing but the work of throwing it away.
 *
 * Bounded: of more clients than there is room for, the one that has not asked for the longest time is forgotten, unless it
 * waits for an answer.
 */
const MAX_CLIENTS = 4096;
/** Questions per second, and in a row. A page of a browser asks for some dozen names. */
const RATE = 1000;
const BURST = 2000;
const MAX_WAITING = 64;

interface Client {
  tokens: number;
  atMs: number;
  waiting: number;
}

export class QueryLimits {
  /** In the order in which they asked last. */
  private readonly clients = new Map<string, Client>();
  private readonly nowMs: () => number;

  /** `nowMs`: never goes back. */
  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  /** Whether the client may ask one more question now. */
  admit(address: string): boolean {
    const now = this.nowMs();
    const client = this.clients.get(address) ?? { tokens: BURST, atMs: now, waiting: 0 };
    this.clients.delete(address);
    this.clients.set(address, client);
    this.makeRoom();
    client.tokens = Math.min(BURST, client.tokens + ((now - client.atMs) * RATE) / 1000);
    client.atMs = now;
    if (client.tokens < 1) return false;
    client.tokens--;
    return true;
  }

  /** Whether one more of its questions may wait for others; `end` when it does not wait any more. */
  begin(address: string): boolean {
    const client = this.clients.get(address);
    if (client === undefined || client.waiting >= MAX_WAITING) return false;
    client.waiting++;
    return true;
  }

  end(address: string): void {
    const client = this.clients.get(address);
    if (client !== undefined && client.waiting > 0) client.waiting--;
  }

  private makeRoom(): void {
    if (this.clients.size <= MAX_CLIENTS) return;
    for (const [address, client] of this.clients) {
      if (client.waiting > 0) continue;
      this.clients.delete(address);
      return;
    }
  }
}
