/** weft port publish | list | unpublish */
import { Argument, type Command } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { completes } from '../completion/kinds.js';
import { examples } from '../help.js';
import { objectOption } from '../options.js';
import { tableText } from '../render/table.js';
import type { Session } from '../session.js';

type Port = SchemaTypes['Port'];

export function addPortCommand(program: Command, session: Session): void {
  const port = program
    .command('port')
    .description('published ports: how the outside reaches endpoints of networks with an uplink');
  addPublish(port, session);
  port
    .command('list')
    .alias('ls')
    .description('published ports')
    .addOption(objectOption('--endpoint <E>', 'only those of this endpoint', 'endpoint'))
    .action(async (options: { endpoint?: string }) => {
      const query = options.endpoint === undefined ? '' : `?endpoint=${encodeURIComponent(options.endpoint)}`;
      const call = { what: 'cannot list the published ports', method: 'GET', path: `/v1/ports${query}` } as const;
      const ports = await session.client.call<Port[]>(call);
      session.answer(ports, ports.length === 0 ? NONE : listText(ports));
    });
  addUnpublish(port, session);
}

const NONE = 'no published ports; publish one: weft port publish ENDPOINT 8080:80';
const SPEC = '[HOSTIP:]HOSTPORT[-END]:PORT[/tcp|udp]';

function addPublish(port: Command, session: Session): void {
  port
    .command('publish')
    .description('what the outside sends to HOSTPORT arrives at PORT of the endpoint')
    .addArgument(endpointArgument('<ENDPOINT>', 'name of the endpoint'))
    .argument('<SPEC...>', SPEC)
    .addHelpText(
      'after',
      examples(
        'weft port publish web-lab 8080:80',
        'weft port publish dns-lab 192.0.2.1:53:53/udp [2001:db8::1]:53:53/udp',
        'weft port publish game-lab 27000-27015:27000/udp',
      ),
    )
    .action(async (endpoint: string, specs: string[]) => {
      const published: Port[] = [];
      for (const spec of specs) {
        const what = `cannot publish ${spec} of endpoint ${endpoint}`;
        const call = { what, method: 'POST', path: '/v1/ports', body: { endpoint, spec } } as const;
        published.push(await session.client.call<Port>(call));
      }
      const text = published.map((view) => `published ${view.spec} of endpoint ${endpoint}`).join('\n');
      session.answer(published.length === 1 ? published[0]! : published, text);
    });
}

function addUnpublish(port: Command, session: Session): void {
  port
    .command('unpublish')
    .description('take ports back: all of an endpoint, one of them, or a SPEC of whatever endpoint')
    .addArgument(endpointArgument('<ENDPOINT|SPEC>', `name of the endpoint, or ${SPEC}`))
    .argument('[SPEC]', 'only this one of the endpoint')
    .addHelpText('after', examples('weft port unpublish web-lab', 'weft port unpublish 8080:80/tcp'))
    .action(async (first: string, spec: string | undefined) => {
      // No name has a colon, and every SPEC has one.
      const which = first.includes(':')
        ? { spec: first }
        : { endpoint: first, ...(spec === undefined ? {} : { spec }) };
      const query = new URLSearchParams(which).toString();
      const what = `cannot unpublish ${spec ?? first}`;
      const gone = await session.client.call<Port[]>({ what, method: 'DELETE', path: `/v1/ports?${query}` });
      session.answer(gone, gone.map((view) => `unpublished ${view.spec} of endpoint ${view.endpoint}`).join('\n'));
    });
}

function endpointArgument(text: string, description: string): Argument {
  return completes(new Argument(text, description), 'endpoint');
}

function listText(ports: Port[]): string {
  return tableText(
    [
      { title: 'HOST ADDRESS' },
      { title: 'HOST PORT', right: true },
      { title: 'PROTOCOL' },
      { title: 'PORT', right: true },
      { title: 'ENDPOINT' },
      { title: 'NETWORK' },
      { title: 'ADDRESSES' },
    ],
    ports.map((view) => [
      view.hostIp ?? 'all',
      range(view.hostFirst, view.hostLast),
      view.protocol,
      range(view.port, view.port + view.hostLast - view.hostFirst),
      view.endpoint,
      view.network,
      view.addresses.join(' '),
    ]),
  );
}

function range(first: number, last: number): string {
  return first === last ? String(first) : `${first}-${last}`;
}
