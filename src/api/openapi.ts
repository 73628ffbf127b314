/**
 * The OpenAPI 3.1 document, printed from the route table and the schemas that requests are validated with: it cannot
 * say anything else than what the server does. Load with `import()`: it pulls in TypeBox.
 */
import { ERROR_CATALOGUE, type ErrorCode, PROBLEM_TYPE } from './errors.js';
import type { ResponseShape, Route } from './route.js';
import { SCHEMAS, type SchemaName } from './schema/catalogue.js';

type Json = Record<string, unknown>;

/** Schemas of queries and parameters stand inline; all others are components. */
const INLINE: readonly SchemaName[] = [
  'Name',
  'Empty',
  'ForceQuery',
  'NetworkQuery',
  'PortsQuery',
  'ReplayQuery',
  'FlowsQuery',
  'FlowsDeleteQuery',
  'EventsQuery',
];

export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operation(route);
  }
  const components = Object.entries(SCHEMAS).filter(([name]) => !INLINE.includes(name as SchemaName));
  return {
    openapi: '3.1.0',
    info: {
      title: 'weft control API',
      version,
      description: 'HTTP over a Unix socket. Refusals are RFC 9457 problem details with a stable `code`.',
    },
    servers: [{ url: 'http://weft', description: 'Over the Unix socket; the host name is ignored' }],
    paths,
    components: { schemas: Object.fromEntries(components) },
  };
}

function operation(route: Route): Json {
  return {
    operationId: route.operation,
    summary: route.summary,
    tags: [route.path.split('/')[2] ?? 'metrics'],
    parameters: [...pathParameters(route), ...queryParameters(route)],
    ...requestBody(route),
    responses: { [route.status]: success(route.response), ...refusals(route) },
  };
}

function requestBody(route: Route): Json {
  if (route.upload.length > 0) {
    const content = route.upload.map((type) => [type, { schema: { type: 'string', format: 'binary' } }]);
    return { requestBody: { required: true, content: Object.fromEntries(content) } };
  }
  if (route.body === null) return {};
  return { requestBody: { required: true, content: { 'application/json': { schema: reference(route.body) } } } };
}

function pathParameters(route: Route): Json[] {
  return route.path.includes(':name') ? [{ name: 'name', in: 'path', required: true, schema: SCHEMAS.Name }] : [];
}

function queryParameters(route: Route): Json[] {
  if (route.query === null) return [];
  const properties = (SCHEMAS[route.query] as { properties?: Json }).properties ?? {};
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }));
}

function success(response: ResponseShape): Json {
  switch (response.kind) {
    case 'one':
      return answer('Done', 'application/json', reference(response.schema));
    case 'list':
      return answer('The list', 'application/json', { type: 'array', items: reference(response.schema) });
    case 'document':
      return answer('The document', 'application/json', { type: 'object' });
    case 'text':
      return answer('The text', response.contentType, { type: 'string' });
    case 'stream': {
      const content = response.contentTypes.map((type) => [type, { schema: { type: 'string', format: 'binary' } }]);
      return { description: 'The stream', content: Object.fromEntries(content) };
    }
    case 'nothing':
      return { description: 'Done; no body' };
  }
}

function answer(description: string, contentType: string, schema: unknown): Json {
  return { description, content: { [contentType]: { schema } } };
}

/** The refusals of a route by status, each with the codes that it can carry. */
function refusals(route: Route): Json {
  const takesInput = route.body !== null || route.query !== null || route.path.includes(':name');
  const codes: ErrorCode[] = [
    ...(takesInput ? (['invalid-request'] as const) : []),
    ...(route.body === null ? [] : (['malformed-json', 'body-too-large', 'unsupported-media-type'] as const)),
    ...(route.upload.length === 0 ? [] : (['unsupported-media-type'] as const)),
    ...route.refuses,
    'internal',
  ];
  const byStatus: Record<string, Json> = {};
  for (const status of new Set(codes.map((code) => ERROR_CATALOGUE[code].status))) {
    const described = codes
      .filter((code) => ERROR_CATALOGUE[code].status === status)
      .map((code) => `\`${code}\`: ${ERROR_CATALOGUE[code].when}`);
    byStatus[status] = answer(described.join('\n\n'), PROBLEM_TYPE, reference('Problem'));
  }
  return byStatus;
}

function reference(schema: SchemaName): unknown {
  return { $ref: `#/components/schemas/${schema}` };
}
