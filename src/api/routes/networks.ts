/** /v1/networks */
import { defineRoute } from '../route.js';

export const networkRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/networks',
    operation: 'listNetworks',
    summary: 'All networks, by name',
    response: { kind: 'list', schema: 'Network' },
    handle: ({ controller }) => controller.listNetworks(),
  }),
  defineRoute({
    method: 'POST',
    path: '/v1/networks',
    operation: 'createNetwork',
    summary: 'Create a network',
    body: 'NetworkRequest',
    status: 201,
    response: { kind: 'one', schema: 'Network' },
    refuses: ['not-found', 'already-exists', 'conflict', 'exhausted', 'kernel-refused', 'unavailable'],
    handle: ({ controller, body }) => controller.createNetwork(body),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/networks/:name',
    operation: 'getNetwork',
    summary: 'One network',
    response: { kind: 'one', schema: 'Network' },
    refuses: ['not-found'],
    handle: ({ controller, name }) => controller.getNetwork(name),
  }),
  defineRoute({
    method: 'PATCH',
    path: '/v1/networks/:name',
    operation: 'patchNetwork',
    summary: 'Change settings of a network; what is not named stays',
    body: 'NetworkPatch',
    response: { kind: 'one', schema: 'Network' },
    refuses: ['not-found', 'conflict', 'kernel-refused', 'unavailable'],
    handle: ({ controller, name, body }) => controller.patchNetwork(name, body),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/networks/:name',
    operation: 'deleteNetwork',
    summary: 'Delete a network; with force also its endpoints',
    query: 'ForceQuery',
    status: 204,
    response: { kind: 'nothing' },
    refuses: ['not-found', 'in-use', 'kernel-refused', 'unavailable'],
    handle: ({ controller, name, query }) => controller.deleteNetwork(name, query.force ?? false),
  }),
];
