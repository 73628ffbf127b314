/**
 * The catalogue of refusals: every `code` that an answer of the API can carry, with its status and title. Codes are
 * stable; messages are not. What a refusal looks like on the wire: RFC 9457 (problem details).
 */
import type { Problem, RequestErrorCode } from '../model/problems.js';

interface CatalogueEntry {
  status: number;
  title: string;
  /** When it is answered, for the OpenAPI document. */
  when: string;
}

export const ERROR_CATALOGUE = {
  'invalid-request': {
    status: 400,
    title: 'The request is not valid',
    when: 'A field is missing, unknown, of the wrong type or out of range; `problems` lists every one.',
  },
  'malformed-json': { status: 400, title: 'The body is not JSON', when: 'The body is no JSON text in UTF-8.' },
  'malformed-http': {
    status: 400,
    title: 'Not an HTTP request',
    when: 'The bytes on the socket are no HTTP/1.1 request.',
  },
  'unknown-route': { status: 404, title: 'There is no such resource', when: 'No route of the API has this path.' },
  'not-found': { status: 404, title: 'There is no such object', when: 'The named object does not exist.' },
  'method-not-allowed': {
    status: 405,
    title: 'The resource does not know this method',
    when: 'The path exists, with other methods; `Allow` lists them.',
  },
  'request-timeout': {
    status: 408,
    title: 'The request took too long to arrive',
    when: 'Headers or body came too slowly.',
  },
  'already-exists': {
    status: 409,
    title: 'An object of this name exists',
    when: 'Names are unique per kind of object.',
  },
  'in-use': { status: 409, title: 'The object is in use', when: 'Something else still needs it.' },
  conflict: { status: 409, title: 'The request conflicts with what exists', when: 'For example subnets that overlap.' },
  exhausted: {
    status: 409,
    title: 'Nothing is left to give out',
    when: 'Addresses, ports or table rows have run out.',
  },
  'body-too-large': { status: 413, title: 'The body is too large', when: 'The body has more than 1 MiB.' },
  'unsupported-media-type': {
    status: 415,
    title: 'The body has another type than the resource takes',
    when: 'The content-type header names something other than JSON, or than what an upload takes.',
  },
  'headers-too-large': { status: 431, title: 'The headers are too large', when: 'The headers have more than 16 KiB.' },
  internal: { status: 500, title: 'A fault inside weft', when: 'A bug; the log of the daemon has the details.' },
  'kernel-refused': {
    status: 500,
    title: 'The kernel refused it',
    when: 'A system call or netlink request failed; everything of the request was undone.',
  },
  unavailable: { status: 503, title: 'The daemon cannot do it now', when: 'It starts, stops, or a limit is reached.' },
} as const satisfies Record<string, CatalogueEntry> & Record<RequestErrorCode, CatalogueEntry>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/** RFC 9457 problem details; `code`, `remedy` and `problems` are extension members. */
export interface ProblemDocument {
  type: 'about:blank';
  code: ErrorCode;
  title: string;
  status: number;
  /** What was wrong this time. */
  detail: string;
  /** What to do about it; may be empty. */
  remedy: string;
  problems: Problem[];
}

export const PROBLEM_TYPE = 'application/problem+json';

/** A refusal by the HTTP layer itself; those of the layers below are `RequestError`s. */
export class HttpError extends Error {
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly headers: Record<string, string>;

  constructor(code: ErrorCode, message: string, remedy: string, headers: Record<string, string> = {}) {
    super(message);
    this.name = 'HttpError';
    this.code = code;
    this.remedy = remedy;
    this.headers = headers;
  }
}

export function problemDocument(
  code: ErrorCode,
  detail: string,
  remedy: string,
  problems: Problem[] = [],
): ProblemDocument {
  const { status, title } = ERROR_CATALOGUE[code];
  return { type: 'about:blank', code, title, status, detail, remedy, problems };
}
