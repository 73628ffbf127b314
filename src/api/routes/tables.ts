/** /v1/vteps, /v1/fdb, /v1/drops: what the datapath knows and counts. */
import { defineRoute } from '../route.js';

export const tableRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/vteps',
    operation: 'listVteps',
    summary: 'VTEPs of this host and others',
    query: 'NetworkQuery',
    response: { kind: 'list', schema: 'Vtep' },
    refuses: ['not-found'],
    handle: ({ controller, query }) => controller.listVteps(query.network),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/fdb',
    operation: 'listFdb',
    summary: 'The MAC table',
    query: 'NetworkQuery',
    response: { kind: 'list', schema: 'FdbEntry' },
    refuses: ['not-found'],
    handle: ({ controller, query }) => controller.listFdb(query.network),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/fdb',
    operation: 'flushFdb',
    summary: 'Forget learned MACs, of one network or of all',
    query: 'NetworkQuery',
    status: 204,
    response: { kind: 'nothing' },
    refuses: ['not-found', 'unavailable'],
    handle: ({ controller, query }) => controller.flushFdb(query.network),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/drops',
    operation: 'listDrops',
    summary: 'Every reason to drop a frame, and how often it happened',
    response: { kind: 'list', schema: 'Drop' },
    handle: ({ controller }) => controller.listDrops(),
  }),
];
