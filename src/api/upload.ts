/**
 * Bodies that are no JSON document but a stream of bytes of any length, for routes with `upload`: handed to the handler while
 * they come, so that a client is read only as fast as the handler reads.
 *
 * Such a request may take as long as it likes (a live capture can be silent for hours); its connection is one of a bounded
 * number. What the handler left unread is read and thrown away: a client that still writes would otherwise see a broken
 * connection instead of the answer.
 */
import type { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { printable } from '../lib/printable.js';
import { HttpError } from './errors.js';
import { boundRequest } from './request-deadline.js';
import type { Route } from './route.js';

/** What `upload` of a route without one is. */
export const NO_UPLOAD: AsyncIterable<Uint8Array> = {
  async *[Symbol.asyncIterator]() {},
};

/** The body as it comes. Throws an HttpError for a content type that the route does not take. */
export function openUpload(route: Route, request: FastifyRequest): AsyncIterable<Uint8Array> {
  const type = request.headers['content-type'];
  if (type !== undefined && !route.upload.includes(type.split(';', 1)[0]!.trim().toLowerCase())) {
    const remedy = `send it as one of ${route.upload.join(', ')}`;
    throw new HttpError('unsupported-media-type', `the body is declared as ${printable(type, 80)}`, remedy);
  }
  const body = request.body as Readable | undefined;
  if (body === undefined || body === null) return NO_UPLOAD;
  return { [Symbol.asyncIterator]: () => body.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array> };
}

/** To be called when the handler is done with it; the rest must come within `limitMs`. */
export function closeUpload(request: FastifyRequest, reply: FastifyReply, limitMs: number): void {
  const body = request.body as Readable | undefined;
  // The client may go away at any time from here on; nobody is interested.
  body?.on?.('error', () => {});
  body?.resume?.();
  boundRequest(request, reply, limitMs);
}
