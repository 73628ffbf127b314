/**
 * A capture that goes to a client: chunks wait here until the client takes them. How much may wait is for the session to
 * decide (it looks at `pendingBytes`), so a client that does not read costs a bounded amount of memory and loses frames.
 *
 * Invariant: at most one reader; after `close` it gets what waits and then the end, after `abandon` nothing more.
 */
import type { CaptureSink } from './capture-sink.js';

export class StreamSink implements CaptureSink, AsyncIterable<Uint8Array> {
  pendingBytes = 0;
  private readonly chunks: Uint8Array[] = [];
  private isClosed = false;
  private wake: (() => void) | null = null;
  private readonly onAbandoned: () => void;

  /** `onAbandoned`: the reader went away before the end. */
  constructor(onAbandoned: () => void) {
    this.onAbandoned = onAbandoned;
  }

  write(chunk: Uint8Array): boolean {
    if (this.isClosed) return false;
    this.chunks.push(chunk);
    this.pendingBytes += chunk.length;
    this.wake?.();
    return true;
  }

  close(): Promise<void> {
    this.isClosed = true;
    this.wake?.();
    return Promise.resolve();
  }

  /** Forgets what waits. */
  abandon(): void {
    this.chunks.length = 0;
    this.pendingBytes = 0;
    void this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    try {
      for (;;) {
        const chunk = this.chunks.shift();
        if (chunk !== undefined) {
          yield chunk;
          // Counted as waiting until the reader comes back for the next one.
          this.pendingBytes = Math.max(0, this.pendingBytes - chunk.length);
        } else if (this.isClosed) return;
        else {
          await new Promise<void>((resolve) => {
            this.wake = resolve;
          });
          this.wake = null;
        }
      }
    } finally {
      if (!this.isClosed) {
        this.abandon();
        this.onAbandoned();
      }
    }
  }
}
