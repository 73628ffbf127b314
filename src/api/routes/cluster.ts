/** /v1/cluster: the hosts that overlay networks are shared with. */
import { defineRoute } from '../route.js';

export const clusterRoutes = [
  defineRoute({
    method: 'GET',
    path: '/v1/cluster',
    operation: 'getCluster',
    summary: 'The cluster as this host sees it',
    response: { kind: 'one', schema: 'Cluster' },
    handle: ({ controller }) => controller.clusterView(),
  }),
  defineRoute({
    method: 'DELETE',
    path: '/v1/cluster/hosts/:name',
    operation: 'forgetHost',
    summary: 'Release what a host had that does not come back',
    status: 204,
    response: { kind: 'nothing' },
    refuses: ['not-found', 'in-use', 'conflict', 'unavailable'],
    handle: ({ controller, name }) => controller.forgetHost(name),
  }),
];
