/** /v1/apply and /v1/export: the lab file. */
import { defineRoute } from '../route.js';

export const labRoutes = [
  defineRoute({
    method: 'POST',
    path: '/v1/apply',
    operation: 'applyLab',
    summary: 'Make reality match a lab; with dryRun only plan',
    body: 'ApplyRequest',
    response: { kind: 'one', schema: 'ApplyResult' },
    refuses: ['not-found', 'already-exists', 'in-use', 'conflict', 'exhausted', 'kernel-refused', 'unavailable'],
    handle: ({ controller, body }) => controller.apply(body.lab, body.dryRun ?? false),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/export',
    operation: 'exportLab',
    summary: 'What exists, as a lab',
    response: { kind: 'one', schema: 'Lab' },
    handle: ({ controller }) => controller.exportLab(),
  }),
];
