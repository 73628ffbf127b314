/** /v1/compartments */
import { defineRoute } from '../route.js';

export const compartmentRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/compartments',
    operation: 'listCompartments',
    summary: 'All compartments, by name',
    response: { kind: 'list', schema: 'Compartment' },
    handle: ({ controller }) => controller.listCompartments(),
  }),
  defineRoute({
    method: 'POST',
    path: '/v1/compartments',
    operation: 'createCompartment',
    summary: 'Make a namespace, or adopt one by path or by pid',
    body: 'CompartmentRequest',
    status: 201,
    response: { kind: 'one', schema: 'Compartment' },
    refuses: ['already-exists', 'conflict', 'kernel-refused', 'unavailable'],
    handle: ({ controller, body }) => controller.createCompartment(body),
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/compartments/:name',
    operation: 'getCompartment',
    summary: 'One compartment',
    response: { kind: 'one', schema: 'Compartment' },
    refuses: ['not-found'],
    handle: ({ controller, name }) => controller.getCompartment(name),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/compartments/:name',
    operation: 'deleteCompartment',
    summary: 'Delete a compartment; with force also when endpoints are in it, which become detached',
    query: 'ForceQuery',
    status: 204,
    response: { kind: 'nothing' },
    refuses: ['not-found', 'in-use', 'kernel-refused', 'unavailable'],
    handle: ({ controller, name, query }) => controller.deleteCompartment(name, query.force ?? false),
  }),
];
