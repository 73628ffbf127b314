/** /v1/ports: published ports. They have no names: an endpoint and a spec say which one is meant. */
import { defineRoute } from '../route.js';

export const portRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/ports',
    operation: 'listPorts',
    summary: 'Published ports, of one endpoint or of all',
    query: 'PortsQuery',
    response: { kind: 'list', schema: 'Port' },
    refuses: ['not-found'],
    handle: ({ controller, query }) => controller.listPorts(query.endpoint, query.spec),
  }),
  defineRoute({
    method: 'POST',
    path: '/v1/ports',
    operation: 'publishPort',
    summary: 'Publish a port or a range of ports of an endpoint',
    body: 'PortRequest',
    status: 201,
    response: { kind: 'one', schema: 'Port' },
    refuses: ['not-found', 'already-exists', 'conflict', 'kernel-refused', 'unavailable'],
    handle: ({ controller, body }) => controller.publishPort(body),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/ports',
    operation: 'unpublishPorts',
    summary: 'Take back a spec, or all ports of an endpoint; answers what was taken back',
    query: 'PortsQuery',
    response: { kind: 'list', schema: 'Port' },
    refuses: ['not-found', 'kernel-refused', 'unavailable'],
    handle: ({ controller, query }) => controller.unpublishPorts(query),
  }),
];
