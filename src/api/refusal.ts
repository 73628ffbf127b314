/** From what was thrown or went wrong on a socket to the problem document that the client gets (errors.ts). */
import type { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';
import { RequestError } from '../model/problems.js';
import { ERROR_CATALOGUE, type ErrorCode, HttpError, PROBLEM_TYPE, problemDocument } from './errors.js';
import { BODY_LIMIT_BYTES } from './limits.js';

/** Answers a request with whatever went wrong. Faults of weft itself are logged, and not told in detail. */
export function sendRefusal(
  reply: FastifyReply,
  error: Error,
  log: { error(fields: object, message: string): void },
): FastifyReply {
  const { code, message, remedy, problems } = refusalOf(error);
  if (code === 'internal') log.error({ error: error.stack ?? String(error) }, 'a request met a fault');
  if (error instanceof HttpError) reply.headers(error.headers);
  const document = problemDocument(code, message, remedy, problems);
  return reply.code(document.status).type(PROBLEM_TYPE).send(jsonBytes(document));
}

type Refusal = Pick<RequestError, 'message' | 'remedy' | 'problems'> & { code: ErrorCode };

function refusalOf(error: Error): Refusal {
  if (error instanceof RequestError) return error;
  if (error instanceof HttpError)
    return { code: error.code, message: error.message, remedy: error.remedy, problems: [] };
  const known = FRAMEWORK_ERRORS[(error as { code?: string }).code ?? ''];
  if (known !== undefined) return { ...known, problems: [] };
  return {
    code: 'internal',
    message: 'the daemon met a fault of its own',
    remedy: 'see its log and report it',
    problems: [],
  };
}

/** What fastify itself refuses. */
const FRAMEWORK_ERRORS: Record<string, Omit<Refusal, 'problems'>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: 'body-too-large',
    message: `the body has more than ${BODY_LIMIT_BYTES} bytes`,
    remedy: 'send less at a time',
  },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: {
    code: 'malformed-http',
    message: 'content-length does not match the body',
    remedy: 'send as many bytes as announced',
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'unsupported-media-type',
    message: 'the content-type header is not valid',
    remedy: 'send application/json',
  },
  FST_ERR_BAD_URL: { code: 'malformed-http', message: 'the path has a broken % escape', remedy: 'escape it correctly' },
  FST_ERR_MAX_PARAM_LENGTH: {
    code: 'unknown-route',
    message: 'no name is that long',
    remedy: 'use at most 63 characters',
  },
  ECONNRESET: { code: 'malformed-http', message: 'the client went away', remedy: '' },
};

/** Bytes that are no request, headers that are too large or too slow: answered on the raw socket. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message, remedy] = clientErrorOf(error.code ?? '');
  const document = problemDocument(code, message, remedy);
  const body = JSON.stringify(document);
  const head = `HTTP/1.1 ${document.status} ${ERROR_CATALOGUE[code].title}\r\ncontent-type: ${PROBLEM_TYPE}\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
  socket.destroySoon();
}

function clientErrorOf(code: string): [ErrorCode, string, string] {
  if (code === 'HPE_HEADER_OVERFLOW') return ['headers-too-large', 'the headers have more than 16 KiB', 'send fewer'];
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return ['request-timeout', 'the request did not arrive in time', 'send it faster'];
  return ['malformed-http', 'what came is no HTTP/1.1 request', 'speak HTTP, for example with curl --unix-socket'];
}

/** As bytes: to a string fastify would add a charset, which JSON types do not have (RFC 8259 section 11). */
export function jsonBytes(document: unknown): Buffer {
  return Buffer.from(JSON.stringify(document));
}
