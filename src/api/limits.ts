/** Bounds of the control interface, each chosen so that no client can hurt the daemon or another client. */

export interface Limits {
  /** Connections at a time; further ones are closed as soon as they are accepted. */
  connections: number;
  /** Requests that a client may send on one connection without waiting for the answers. */
  pipelined: number;
  /** Streams (events, captures) at a time: each may hold a socket buffer that nobody reads. */
  streams: number;
  /** Time for the headers of a request; also how long a connection may stay without having sent any. */
  headersMs: number;
  /** Time for a whole request with its body. */
  requestMs: number;
  /** How long a connection may stay open between two requests. */
  keepAliveMs: number;
  /** How long a client may leave an answer or a stream unread before the connection is cut. */
  stallMs: number;
  /** How often slow requests are looked for. */
  checkMs: number;
}

export const LIMITS: Limits = {
  connections: 4096,
  pipelined: 32,
  streams: 64,
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 75_000,
  stallMs: 60_000,
  checkMs: 2_000,
};

/** Largest request body. A lab file of 4000 endpoints has about 400 kB. */
export const BODY_LIMIT_BYTES = 1024 * 1024;

/** Problems listed in one refusal; a body of 1 MiB could have a hundred thousand. */
export const MAX_PROBLEMS = 50;
