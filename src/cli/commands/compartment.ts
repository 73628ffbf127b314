/** weft compartment create | list | show | delete */
import { type Command, Option } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { completes } from '../completion/kinds.js';
import { examples } from '../help.js';
import { absolutePath, given, integerOption, nameOf } from '../options.js';
import { fieldsText, tableText } from '../render/table.js';
import type { Session } from '../session.js';

type Compartment = SchemaTypes['Compartment'];

export function addCompartmentCommand(program: Command, session: Session): void {
  const compartment = program.command('compartment').description('isolated network stacks: network namespaces');
  addCreate(compartment, session);
  compartment
    .command('list')
    .alias('ls')
    .description('all compartments')
    .action(async () => {
      const call = { what: 'cannot list the compartments', method: 'GET', path: '/v1/compartments' } as const;
      const compartments = await session.client.call<Compartment[]>(call);
      session.answer(compartments, compartments.length === 0 ? NONE : listText(compartments));
    });
  compartment
    .command('show')
    .alias('inspect')
    .description('everything about one compartment')
    .addArgument(nameOf('compartment'))
    .action(async (name: string) => {
      const path = objectPath('compartments', name);
      const view = await session.client.call<Compartment>({
        what: `cannot show compartment ${name}`,
        method: 'GET',
        path,
      });
      session.answer(view, showText(view));
    });
  compartment
    .command('delete')
    .alias('rm')
    .description('delete a compartment; a namespace that weft made goes with it')
    .addArgument(nameOf('compartment'))
    .option('--force', 'even with endpoints in it, which become detached')
    .action(async (name: string, options: { force?: boolean }) => {
      const path = objectPath('compartments', name, options.force ? '?force=true' : '');
      await session.client.call({ what: `cannot delete compartment ${name}`, method: 'DELETE', path });
      session.answer({ object: 'compartment', name, deleted: true }, `compartment ${name} deleted`);
    });
}

const NONE = 'no compartments; make one: weft compartment create NAME';

function addCreate(compartment: Command, session: Session): void {
  compartment
    .command('create')
    .alias('add')
    .description('make a namespace of weft (/run/netns/NAME), or adopt one by path or by pid')
    .argument('<NAME>', 'name of the new compartment')
    .addOption(completes(new Option('--netns <PATH>', 'adopt the namespace at this path').conflicts('pid'), 'file'))
    .addOption(integerOption('--pid <PID>', 'adopt the namespace of this process', 1, 4_194_304))
    .addHelpText(
      'after',
      examples(
        'weft compartment create web',
        'weft compartment create old --netns /run/netns/old',
        'weft compartment create box --pid 4711',
      ),
    )
    .action(async (name: string, options: { netns?: string; pid?: number }) => {
      const netns = options.netns === undefined ? undefined : absolutePath(session.world, options.netns);
      const body = given({ name, netns, pid: options.pid });
      const call = {
        what: `cannot create compartment ${name}`,
        method: 'POST',
        path: '/v1/compartments',
        body,
      } as const;
      const view = await session.client.call<Compartment>(call);
      session.answer(view, `compartment ${name} created: ${view.owned ? 'new namespace' : 'adopted'} ${view.path}`);
    });
}

function listText(compartments: Compartment[]): string {
  return tableText(
    [{ title: 'NAME' }, { title: 'STATE' }, { title: 'NAMESPACE' }, { title: 'OWNER' }, { title: 'ENDPOINTS' }],
    compartments.map((view) => [
      view.name,
      view.state,
      view.path,
      view.owned ? 'weft' : 'adopted',
      view.endpoints.join(' '),
    ]),
  );
}

function showText(view: Compartment): string {
  return fieldsText([
    ['Name', view.name],
    ['State', view.state],
    ['Namespace', view.path],
    ['Owner', view.owned ? 'weft made it and removes it with the compartment' : 'adopted: weft leaves it alone'],
    ['Process', view.pid === null ? '' : String(view.pid)],
    ['Endpoints', view.endpoints.join('\n')],
    ['Id', view.id],
  ]);
}
