/**
 * Bounds on what one connection, and all of them together, may hold: a number of connections, of requests that are sent
 * without waiting for answers, and a time in which answers must be read.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Limits } from './limits.js';
import type { ServerState } from './server-state.js';

export interface Connections {
  /** Closes those without a request under way, also those that never sent one. */
  closeIdle(): void;
}

export function boundConnections(
  server: Server,
  state: ServerState,
  limits: Limits,
  log: { warn(fields: object, message: string): void },
): Connections {
  /** Requests that have come and are not answered yet, per open connection. */
  const pending = new Map<Socket, number>();

  server.maxConnections = limits.connections;
  server.on('drop', () => {
    state.connectionsRefused++;
    if (state.connectionsRefused > 1) return;
    log.warn({ most: limits.connections }, 'too many connections to the API: further ones are closed');
  });
  server.on('connection', (socket: Socket) => {
    pending.set(socket, 0);
    socket.once('close', () => pending.delete(socket));
  });
  // In front of the framework: what is beyond the limit is not to be worked on.
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const count = (pending.get(socket) ?? 0) + 1;
    pending.set(socket, count);
    if (count > limits.pipelined) socket.destroy();
    response.once('close', () => {
      if (pending.has(socket)) pending.set(socket, pending.get(socket)! - 1);
    });
  });
  // Nothing has moved for a while. When a request is under way and everything was read, it is weft that takes its time.
  server.on('timeout', (socket: Socket) => {
    const isUnread = socket.writableLength > 0;
    if (!isUnread && (pending.get(socket) ?? 0) > 0) return;
    if (isUnread) state.stalled++;
    socket.destroy();
  });

  return {
    closeIdle() {
      for (const [socket, count] of pending) if (count === 0) socket.destroy();
    },
  };
}
