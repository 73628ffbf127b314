/**
 * Bounds the time in which a request must have come in whole. Node's own `requestTimeout` knows no exception, and an upload may
 * take for ever (upload.ts); the time for headers stays with Node.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { answerClientError } from './refusal.js';

/** Cuts the request off unless its body has come within `limitMs`. */
export function boundRequest(request: FastifyRequest, reply: FastifyReply, limitMs: number): void {
  const { raw } = request;
  const hasBody = raw.headers['content-length'] !== undefined || raw.headers['transfer-encoding'] !== undefined;
  if (!hasBody || raw.complete) return;
  const timer = setTimeout(() => {
    if (raw.complete || raw.destroyed) return;
    if (reply.raw.headersSent) raw.destroy();
    else answerClientError(Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), raw.socket);
  }, limitMs).unref();
  const forget = () => clearTimeout(timer);
  raw.once('end', forget);
  raw.once('close', forget);
}
