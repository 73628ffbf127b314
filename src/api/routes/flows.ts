/** /v1/flows: the flow table of the NAT. */
import { RequestError } from '../../model/problems.js';
import { defineRoute } from '../route.js';

export const flowRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/flows',
    operation: 'listFlows',
    summary: 'The flow table, a page at a time: the next page is behind (`after`) the last flow of this one',
    query: 'FlowsQuery',
    response: { kind: 'list', schema: 'Flow' },
    refuses: ['not-found'],
    handle: ({ controller, query }) => controller.listFlows(query),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/flows',
    operation: 'deleteFlows',
    summary: 'End flows: those that pass the filter, or all',
    query: 'FlowsDeleteQuery',
    response: { kind: 'one', schema: 'FlowsDeleted' },
    refuses: ['not-found', 'unavailable'],
    handle: ({ controller, query }) => {
      const { all, ...filter } = query;
      if (Object.keys(filter).length > 0 || all === true) return controller.deleteFlows(filter);
      throw new RequestError('invalid-request', 'nothing says which flows are meant', 'give a filter, or all=true');
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/v1/flows/:name',
    operation: 'getFlow',
    summary: 'One flow, by its id',
    response: { kind: 'one', schema: 'Flow' },
    refuses: ['not-found'],
    handle: ({ controller, name }) => controller.getFlow(name),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/flows/:name',
    operation: 'deleteFlow',
    summary: 'End one flow',
    status: 204,
    response: { kind: 'nothing' },
    refuses: ['not-found', 'unavailable'],
    handle: ({ controller, name }) => controller.deleteFlow(name),
  }),
];
