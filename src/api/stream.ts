/**
 * Answers that go on: events and captures. One stream never holds more than one chunk and the buffer of its socket; a
 * client that does not read is waited for (`stallMs`) and then cut off, whatever the producer does meanwhile.
 */
import type { ServerResponse } from 'node:http';
import type { ServerState } from './server-state.js';

/** Where the producer of a stream writes. */
export interface StreamSink {
  /** Resolves when more can be written: true, or false once the client is gone or the daemon stops. */
  write(chunk: string | Uint8Array): Promise<boolean>;
  readonly closed: boolean;
  /** Resolves when the client is gone or the daemon stops. */
  readonly whenClosed: Promise<void>;
}

/** What a handler returns to answer with a stream. */
export interface StreamReply {
  contentType: string;
  headers: Record<string, string>;
  /** Names of the trailers that `trailers()` will have. */
  trailerNames: string[];
  /** Writes until it is done or the sink is closed. */
  run(sink: StreamSink): Promise<void>;
  trailers(): Record<string, string>;
}

export function isStreamReply(reply: unknown): reply is StreamReply {
  return typeof reply === 'object' && reply !== null && typeof (reply as StreamReply).run === 'function';
}

/** Sends the head and runs the stream to its end. Rejects only when the producer does. */
export async function sendStream(
  reply: StreamReply,
  response: ServerResponse,
  state: ServerState,
  stallMs: number,
): Promise<void> {
  response.socket?.setTimeout(0);
  const trailer = reply.trailerNames.length > 0 ? { trailer: reply.trailerNames.join(', ') } : {};
  response.writeHead(200, {
    'content-type': reply.contentType,
    'cache-control': 'no-store',
    connection: 'close',
    ...trailer,
    ...reply.headers,
  });
  response.flushHeaders();
  state.streams++;
  const sink = createSink(response, state, stallMs);
  try {
    await reply.run(sink);
    if (!response.destroyed) response.addTrailers(reply.trailers());
    response.end();
  } catch (error) {
    response.destroy();
    throw error;
  } finally {
    sink.release();
    state.streams--;
  }
}

function createSink(response: ServerResponse, state: ServerState, stallMs: number): StreamSink & { release(): void } {
  let closed = response.destroyed || state.stopping;
  let close: () => void = () => {};
  const whenClosed = new Promise<void>((resolve) => {
    close = () => {
      closed = true;
      resolve();
    };
  });
  response.on('close', close);
  response.on('error', close);
  const forget = state.onStop(close);
  if (closed) close();

  return {
    get closed() {
      return closed;
    },
    whenClosed,
    async write(chunk) {
      if (closed) return false;
      if (!response.write(chunk)) await drained(response, state, stallMs, whenClosed);
      return !closed;
    },
    release() {
      forget();
      close();
    },
  };
}

/** Resolves when the client has read enough, or is gone; cuts it off when it takes too long. */
async function drained(
  response: ServerResponse,
  state: ServerState,
  stallMs: number,
  whenClosed: Promise<void>,
): Promise<void> {
  let resume: () => void = () => {};
  const drain = new Promise<void>((resolve) => {
    resume = resolve;
  });
  response.once('drain', resume);
  const stall = setTimeout(() => {
    state.stalled++;
    response.destroy();
  }, stallMs);
  await Promise.race([drain, whenClosed]);
  clearTimeout(stall);
  response.off('drain', resume);
}
