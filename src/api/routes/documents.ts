/** /v1/openapi.json and /metrics. */
import { PROMETHEUS_TYPE, prometheusText } from '../metrics.js';
import { defineRoute } from '../route.js';

let openApi: object | null = null;

export const documentRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/openapi.json',
    operation: 'getOpenApi',
    summary: 'This document',
    response: { kind: 'document' },
    // Imported when asked for: the document needs the schema library, the start of the daemon does not.
    handle: async ({ controller }) => {
      const { openApiDocument } = await import('../openapi.js');
      const { ROUTES } = await import('./route-table.js');
      openApi ??= openApiDocument(ROUTES, controller.status().version);
      return openApi;
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/metrics',
    operation: 'getMetrics',
    summary: 'Counters for Prometheus',
    response: { kind: 'text', contentType: PROMETHEUS_TYPE },
    handle: ({ controller, server }) => ({ contentType: PROMETHEUS_TYPE, text: prometheusText(controller, server) }),
  }),
];
