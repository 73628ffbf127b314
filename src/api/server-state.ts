/** What the HTTP server itself counts and what its routes need to know of it. Plain data, shown in /metrics. */

export interface ServerState {
  /** Open streams (events, captures). */
  streams: number;
  /** Connections closed at once because there were too many. */
  connectionsRefused: number;
  /** Streams and answers cut because nobody read them. */
  stalled: number;
  requests: number;
  /** Becomes true when the daemon stops: streams end. */
  stopping: boolean;
  /** Calls back when `stopping` becomes true; returns how to forget the callback. */
  onStop(listener: () => void): () => void;
}

export function createServerState(): ServerState & { stop(): void } {
  const listeners = new Set<() => void>();
  return {
    streams: 0,
    connectionsRefused: 0,
    stalled: 0,
    requests: 0,
    stopping: false,
    onStop(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stop() {
      this.stopping = true;
      for (const listener of listeners) listener();
      listeners.clear();
    },
  };
}
