/**
 * The HTTP server: fastify with the routes of routes/route-table.ts, every refusal as a problem document, and bounds on
 * everything that a client could make grow (limits.ts). Where it listens is the business of socket-file.ts.
 *
 * fastify's own validation and serialisation stay unused: requests are validated by request-input.ts from the same
 * schemas that describe them, and loading the two compilers would cost more time than the rest of the start.
 */
import type { IncomingMessage, Server } from 'node:http';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Controller } from '../control/controller.js';
import { printable } from '../lib/printable.js';
import { boundConnections, type Connections } from './connections.js';
import { HttpError } from './errors.js';
import { BODY_LIMIT_BYTES, LIMITS, type Limits } from './limits.js';
import { answerClientError, jsonBytes, sendRefusal } from './refusal.js';
import { boundRequest } from './request-deadline.js';
import { loadValidator, parseBody, validatedInput } from './request-input.js';
import type { Method, Route, TextReply } from './route.js';
import { ROUTES } from './routes/route-table.js';
import { createServerState, type ServerState } from './server-state.js';
import { isStreamReply, type StreamReply, sendStream } from './stream.js';
import { closeUpload, NO_UPLOAD, openUpload } from './upload.js';

/** The part of a logger that the server needs; pino has it. */
export interface ServerLog {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ApiServer {
  readonly app: FastifyInstance;
  /** Give it a listening socket with `listen`. */
  readonly http: Server;
  readonly state: ServerState;
  /**
   * Loads what requests that change something need; call it when there is time. Schemas are compiled when a request is checked
   * against them: all of them at once would be 25 MB more in every idle daemon.
   */
  warmUp(): Promise<unknown>;
  /** Ends streams, answers what is under way (at most a second) and closes all connections. */
  stop(): Promise<void>;
}

export async function createApiServer(options: {
  controller: Controller;
  log: ServerLog;
  limits?: Partial<Limits>;
}): Promise<ApiServer> {
  const { controller, log } = options;
  const limits = { ...LIMITS, ...options.limits };
  const state = createServerState();
  const app: FastifyInstance = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    // Each request but uploads has its own deadline: request-deadline.ts.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveMs,
    connectionTimeout: limits.stallMs,
    http: { headersTimeout: limits.headersMs, connectionsCheckingInterval: limits.checkMs },
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 4096 },
    schemaController: {
      compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler },
    },
    frameworkErrors: (error, _request, reply) => sendRefusal(reply, error, log),
    clientErrorHandler: answerClientError,
  });

  app.removeAllContentTypeParsers();
  app.addContentTypeParser(/^(application|text)\/([\w.-]+\+)?json\b/, { parseAs: 'buffer' }, parser);
  app.addContentTypeParser('*', { parseAs: 'buffer' }, otherTypeParser);
  app.addHook('onRequest', async (request, reply) => {
    state.requests++;
    const { isUpload } = (request.routeOptions.config ?? {}) as RouteConfig;
    if (isUpload !== true) boundRequest(request, reply, limits.requestMs);
    if (request.raw.socket?.destroyed) throw new HttpError('unavailable', 'the connection is closed', '');
    const { name } = (request.params ?? {}) as { name?: string };
    if (request.is404 || name === '') throw unroutable(request);
  });
  app.addHook('onResponse', async (request, reply) => {
    log.debug(
      {
        method: request.method,
        url: printable(request.url, 200),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'request',
    );
  });
  app.setErrorHandler((error: Error, _request, reply) => sendRefusal(reply, error, log));
  const deps = { controller, state, limits, log };
  for (const route of ROUTES.filter(({ upload }) => upload.length === 0)) register(app, route, deps);
  // A scope of its own: nothing parses these bodies.
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', async (_request: FastifyRequest, body: IncomingMessage) => body);
    for (const route of ROUTES.filter(({ upload }) => upload.length > 0)) register(scope, route, deps);
  });
  const connections = boundConnections(app.server, state, limits, log);
  await app.ready();

  return { app, http: app.server, state, warmUp: loadValidator, stop: () => stop(app, state, connections) };
}

/** Stands where fastify would compile a validator or a serialiser: no route has a schema that fastify knows of. */
const noCompiler = () => () => {
  throw new Error('no route has a schema for fastify to compile');
};

function register(app: Pick<FastifyInstance, 'route'>, route: Route, deps: RouteDeps): void {
  app.route({
    method: route.method,
    url: route.path,
    config: { isUpload: route.upload.length > 0 } satisfies RouteConfig,
    handler: async (request, reply) => {
      const answer = await handle(route, request, reply, deps);
      if (isStreamReply(answer)) return startStream(answer, reply, deps);
      reply.code(route.status);
      if (route.response.kind === 'nothing') return reply.send();
      if (route.response.kind === 'text') return sendText(reply, answer as TextReply);
      return reply.type('application/json').send(jsonBytes(answer));
    },
  });
}

interface RouteDeps {
  controller: Controller;
  state: ServerState;
  limits: Limits;
  log: ServerLog;
}

/** What fastify keeps for a route. */
interface RouteConfig {
  isUpload?: boolean;
}

async function handle(route: Route, request: FastifyRequest, reply: FastifyReply, deps: RouteDeps): Promise<unknown> {
  const { controller, state, limits } = deps;
  const isUpload = route.upload.length > 0;
  try {
    const input = await validatedInput(route, {
      name: (request.params as { name?: string }).name,
      query: request.query as Record<string, unknown>,
      body: isUpload ? undefined : request.body,
    });
    const upload = isUpload ? openUpload(route, request) : NO_UPLOAD;
    const { accept = '', 'last-event-id': last } = request.headers;
    const lastEventId = typeof last === 'string' ? last : '';
    const onGone = (listener: () => void) => {
      reply.raw.once('close', listener);
      return () => reply.raw.off('close', listener);
    };
    return await route.handle({ ...input, controller, server: state, upload, onGone, accept, lastEventId });
  } finally {
    if (isUpload) closeUpload(request, reply, limits.requestMs);
  }
}

function sendText(reply: FastifyReply, answer: TextReply): FastifyReply {
  return reply.type(answer.contentType).send(answer.text);
}

function startStream(
  answer: StreamReply,
  reply: FastifyReply,
  { state, limits, log }: { state: ServerState; limits: Limits; log: ServerLog },
): FastifyReply {
  if (state.streams >= limits.streams) {
    // Run to its end at once, so that what was started for it (a capture) is stopped.
    void answer.run({ write: async () => false, closed: true, whenClosed: Promise.resolve() });
    throw new HttpError('unavailable', `${state.streams} streams are open already`, 'close one of them');
  }
  reply.hijack();
  sendStream(answer, reply.raw, state, limits.stallMs).catch((error: unknown) => {
    log.error({ error: String(error) }, 'a stream ended with a fault');
  });
  return reply;
}

async function parser(_request: FastifyRequest, body: Buffer): Promise<unknown> {
  return parseBody(body);
}

/** A body without content type is taken as JSON; one that is declared as something else is refused with the remedy. */
async function otherTypeParser(request: FastifyRequest, body: Buffer): Promise<unknown> {
  const type = request.headers['content-type'];
  if (type === undefined || body.length === 0) return parseBody(body);
  throw new HttpError(
    'unsupported-media-type',
    `the body is declared as ${printable(type, 80)}`,
    'send it as JSON; with curl add -H content-type:application/json',
  );
}

function unroutable(request: FastifyRequest): HttpError {
  const path = request.url.split('?', 1)[0]!;
  const allowed = methodsOf(path);
  if (allowed.length === 0) {
    return new HttpError(
      'unknown-route',
      `there is no ${printable(path, 200)}`,
      'see /v1/openapi.json for what there is',
    );
  }
  const allow = allowed.join(', ');
  return new HttpError('method-not-allowed', `${request.method} is not possible here`, `use ${allow}`, { allow });
}

/** The methods that a path has, by the route table. */
function methodsOf(path: string): Method[] {
  return ROUTES.filter((route) =>
    new RegExp(`^${route.path.replaceAll('.', '\\.').replace(':name', '[^/]+')}$`).test(path),
  ).map((route) => route.method);
}

async function stop(
  app: FastifyInstance,
  state: ServerState & { stop(): void },
  connections: Connections,
): Promise<void> {
  state.stop();
  const { server } = app;
  const closed = new Promise<void>((resolve) => (server.listening ? server.close(() => resolve()) : resolve()));
  connections.closeIdle();
  const hurry = setTimeout(() => server.closeAllConnections(), 1000);
  await closed;
  clearTimeout(hurry);
  await app.close();
}
