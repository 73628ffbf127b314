/** /v1/openapi.json and /metrics. */
import { defineRoute, type Route } from '../route.js';

let openApi: object | null = null;

/** Text of Prometheus, https://prometheus.io/docs/instrumenting/exposition_formats/ */
const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** `allRoutes`: what the OpenAPI document describes, these two included. */
export const documentRoutes = (allRoutes: () => readonly Route[]) => [
  defineRoute({
    method: 'GET',
    path: '/v1/openapi.json',
    operation: 'getOpenApi',
    summary: 'This document',
    response: { kind: 'document' },
    // Imported when asked for: the document needs the schema library, the start of the daemon does not.
    handle: async ({ controller }) => {
      const { openApiDocument } = await import('../openapi.js');
      openApi ??= openApiDocument(allRoutes(), controller.status().version);
      return openApi;
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/metrics',
    operation: 'getMetrics',
    summary: 'Counters for Prometheus',
    response: { kind: 'text', contentType: PROMETHEUS_TYPE },
    handle: async ({ controller, server }) => {
      const { prometheusText } = await import('../metrics.js');
      return { contentType: PROMETHEUS_TYPE, text: prometheusText(controller, server) };
    },
  }),
];
