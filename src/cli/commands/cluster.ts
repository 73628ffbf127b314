/** weft cluster status | forget */
import type { Command } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { fieldsText, tableText } from '../render/table.js';
import type { Session } from '../session.js';

type Cluster = SchemaTypes['Cluster'];

const STATES: Record<Cluster['state'], string> = {
  none: 'no cluster',
  joining: 'joining',
  joined: 'joined',
  alone: 'alone: etcd cannot be used; forwarding goes on with what is known',
  refused: 'refused: another host has the name of this one',
};

export function addClusterCommand(program: Command, session: Session): void {
  const cluster = program.command('cluster').description('the hosts that overlay networks are shared with');
  cluster
    .command('status')
    .description('whether this host is in its cluster, which others are, and what they have')
    .action(async () => {
      const call = { what: 'cannot read the cluster', method: 'GET', path: '/v1/cluster' } as const;
      const view = await session.client.call<Cluster>(call);
      session.answer(view, clusterText(view));
    });
  cluster
    .command('forget')
    .description('release the addresses, names and endpoints of a host that does not come back')
    .argument('<host>', 'its name in the cluster')
    .action(async (host: string) => {
      const what = `cannot forget host ${host}`;
      await session.client.call({ what, method: 'DELETE', path: objectPath('cluster/hosts', host) });
      session.answer({ host, forgotten: true }, `host ${host} is forgotten: what it had is free`);
    });
}

function clusterText(view: Cluster): string {
  if (view.host === null) return `no cluster: ${view.reason}`;
  const { member, etcd } = view;
  const lines: (readonly [string, string])[] = [
    ['Host', view.host],
    ['State', `${STATES[view.state]}${view.reason === '' ? '' : `\n${view.reason}`}`],
    ['Since', view.since],
    ['etcd', etcd.map((url) => (url === member ? `${url} (in use)` : url)).join('\n')],
    ['Keys', `${view.keys} below ${view.prefix}, revision ${view.revision}`],
  ];
  if (view.missing.length > 0) {
    lines.push(['Missing', view.missing.map(({ network, reason }) => `network ${network}: ${reason}`).join('\n')]);
  }
  const table = tableText(
    [
      { title: 'HOST' },
      { title: 'STATE' },
      { title: 'WEFTD' },
      { title: 'SINCE' },
      { title: 'NETWORKS' },
      { title: 'ENDPOINTS', right: true },
      { title: 'ADDRESSES', right: true },
    ],
    view.hosts.map((host) => [
      host.host,
      host.state,
      host.version,
      host.since,
      host.networks.map(({ network, vtep }) => `${network} at ${vtep}`).join(', '),
      String(host.endpoints),
      String(host.addresses),
    ]),
  );
  return `${fieldsText(lines)}\n\n${table}`;
}
