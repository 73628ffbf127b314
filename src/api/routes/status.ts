/** /v1/status and /v1/stats. */
import { defineRoute } from '../route.js';

export const statusRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/status',
    operation: 'getStatus',
    summary: 'How the daemon is doing',
    response: { kind: 'one', schema: 'Status' },
    handle: ({ controller }) => controller.status(),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/stats',
    operation: 'getStats',
    summary: 'Counters of all endpoints and of the datapath',
    response: { kind: 'one', schema: 'Stats' },
    handle: ({ controller }) => controller.stats(),
  }),
];
