/** /v1/trace */
import { defineRoute } from '../route.js';

export const traceRoutes = [
  defineRoute({
    method: 'POST',
    path: '/v1/trace',
    operation: 'traceFrame',
    summary: 'What would happen to a frame, stage by stage; nothing is sent and nothing learned',
    body: 'TraceRequest',
    response: { kind: 'one', schema: 'Trace' },
    refuses: ['not-found', 'conflict'],
    handle: ({ controller, body }) => controller.trace(body),
  }),
];
