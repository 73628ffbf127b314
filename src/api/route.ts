/**
 * What a route is: plain data plus a handler, one table for serving, validating and describing the API.
 *
 * Bodies and queries are named by schema; the handler gets them validated and typed. Not here: HTTP itself (server.ts).
 */
import type { Controller } from '../control/controller.js';
import type { SchemaName, SchemaTypes } from './schema/catalogue.js';
import type { ServerState } from './server-state.js';
import type { StreamReply } from './stream.js';

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** What a handler gets. `name` is the validated `:name` of the path, empty where the path has none. */
export interface RouteInput<Body, Query> {
  controller: Controller;
  server: ServerState;
  name: string;
  body: Body;
  query: Query;
  /** The body of a route with `upload`, while it comes; empty for all others. */
  upload: AsyncIterable<Uint8Array>;
  /** Calls back when the client goes away before it has its answer; returns how to forget the callback. */
  onGone(listener: () => void): () => void;
  /** The `Accept` header. */
  accept: string;
  /** The `Last-Event-ID` header, with which a reader of SSE goes on where its connection broke. */
  lastEventId: string;
}

/** A text that is not JSON (metrics). */
export interface TextReply {
  contentType: string;
  text: string;
}

export interface Route {
  method: Method;
  /** fastify pattern; the only parameter is `:name`. */
  path: string;
  /** Stable, camel-case: operationId of the OpenAPI document. */
  operation: string;
  summary: string;
  body: SchemaName | null;
  /** Content types of a body that is handed to the handler as a stream of bytes of any length; none: the body is JSON. */
  upload: readonly string[];
  query: SchemaName | null;
  status: 200 | 201 | 204;
  response: ResponseShape;
  /** Extra codes that this route may refuse with, beside those that all routes have. */
  refuses: readonly RefusalCode[];
  handle(input: RouteInput<unknown, unknown>): unknown;
}

export type RefusalCode =
  | 'not-found'
  | 'already-exists'
  | 'in-use'
  | 'conflict'
  | 'exhausted'
  | 'kernel-refused'
  | 'unavailable';

export type ResponseShape =
  | { kind: 'one'; schema: SchemaName }
  | { kind: 'list'; schema: SchemaName }
  | { kind: 'nothing' }
  | { kind: 'text'; contentType: string }
  | { kind: 'document' }
  | { kind: 'stream'; contentTypes: string[] };

interface RouteDefinition<
  Body extends SchemaName | null,
  Query extends SchemaName | null,
  Shape extends ResponseShape,
> {
  method: Method;
  path: string;
  operation: string;
  summary: string;
  body?: Body;
  upload?: readonly string[];
  query?: Query;
  status?: 200 | 201 | 204;
  response: Shape;
  refuses?: readonly RefusalCode[];
  handle(input: RouteInput<TypeOf<Body>, TypeOf<Query>>): ReplyOf<Shape> | Promise<ReplyOf<Shape>>;
}

type TypeOf<Schema extends SchemaName | null> = Schema extends SchemaName ? SchemaTypes[Schema] : undefined;

type ReplyOf<Shape extends ResponseShape> = Shape extends { kind: 'one'; schema: infer Schema extends SchemaName }
  ? SchemaTypes[Schema]
  : Shape extends { kind: 'list'; schema: infer Schema extends SchemaName }
    ? SchemaTypes[Schema][] | (Schema extends 'Event' ? StreamReply : never)
    : Shape extends { kind: 'nothing' }
      ? unknown
      : Shape extends { kind: 'text' }
        ? TextReply
        : Shape extends { kind: 'stream' }
          ? StreamReply
          : object;

/** Makes a route; the type parameters tie the handler to the schemas that it names. */
export function defineRoute<
  const Shape extends ResponseShape,
  const Body extends SchemaName | null = null,
  const Query extends SchemaName | null = null,
>(definition: RouteDefinition<Body, Query, Shape>): Route {
  return {
    ...definition,
    body: definition.body ?? null,
    upload: definition.upload ?? [],
    query: definition.query ?? null,
    status: definition.status ?? 200,
    refuses: definition.refuses ?? [],
    handle: definition.handle as Route['handle'],
  };
}
