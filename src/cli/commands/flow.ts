/** weft flow list | show | delete */
import { Argument, type Command, Option } from 'commander';
import { FLOW_STATES } from '../../api/flow-states.js';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { CliError } from '../failure.js';
import { examples } from '../help.js';
import { given, integerOption, objectOption } from '../options.js';
import { fieldsText, tableText } from '../render/table.js';
import { bytes, counted, duration } from '../render/units.js';
import type { Session } from '../session.js';

type Flow = SchemaTypes['Flow'];

interface Filters {
  network?: string;
  endpoint?: string;
  protocol?: string;
  state?: string;
}

const DEFAULT_LIMIT = 1000;
const MAX_LIMIT = 10_000_000;
/** What the daemon gives at once. */
const PAGE = 5000;

export function addFlowCommand(program: Command, session: Session): void {
  const flow = program.command('flow').description('the flow table: what speaks through the NAT of a network');
  addList(flow, session);
  flow
    .command('show')
    .alias('inspect')
    .description('one flow')
    .addArgument(new Argument('<ID>', 'id of the flow, from `weft flow list`'))
    .action(async (id: string) => {
      const call = { what: `cannot show flow ${id}`, method: 'GET', path: objectPath('flows', id) } as const;
      const found = await session.client.call<Flow>(call);
      session.answer(found, flowText(found));
    });
  addDelete(flow, session);
}

function addList(flow: Command, session: Session): void {
  addFilters(flow.command('list').alias('ls').description('flows, a thousand of them at most unless told otherwise'))
    .addOption(integerOption('--limit <N>', `flows at most (default: ${DEFAULT_LIMIT})`, 1, MAX_LIMIT))
    .addHelpText(
      'after',
      examples(
        'weft flow list --endpoint web-front --state established',
        'weft flow list --network front --protocol udp --limit 100000 --json',
      ),
    )
    .action(async (options: Filters & { limit?: number }) => {
      const { limit = DEFAULT_LIMIT } = options;
      const flows = await readFlows(session, filtersOf(options), limit + 1);
      if (flows.length > limit) {
        flows.length = limit;
        session.note(
          `${limit === 1 ? 'this is the first flow' : `these are the first ${limit} flows`}, there are more: --limit, or a filter`,
        );
      }
      session.answer(flows, flows.length === 0 ? NONE : listText(flows));
    });
}

const NONE = 'no flows: nothing speaks through the NAT of a network';

function addDelete(flow: Command, session: Session): void {
  addFilters(
    flow.command('delete').alias('rm').description('end flows: one by its id, those that pass a filter, or all'),
  )
    .addArgument(new Argument('[ID]', 'id of the flow, from `weft flow list`'))
    .option('--all', 'all flows')
    .addHelpText('after', examples('weft flow delete --endpoint web-front', 'weft flow delete --all'))
    .action(async (id: string | undefined, options: Filters & { all?: boolean }) => {
      const { all } = options;
      const filters = filtersOf(options);
      const hasFilter = Object.keys(filters).length > 0;
      if (id !== undefined && (hasFilter || all)) {
        throw new CliError('cannot delete flows', 'an ID and a filter are given', 'give one of them');
      }
      if (id !== undefined) {
        const call = { what: `cannot delete flow ${id}`, method: 'DELETE', path: objectPath('flows', id) } as const;
        await session.client.call(call);
        session.answer({ deleted: 1 }, `flow ${id} deleted`);
        return;
      }
      if (!hasFilter && !all) {
        throw new CliError(
          'cannot delete flows',
          'nothing says which',
          'give an ID, a filter such as --endpoint, or --all',
        );
      }
      const query = new URLSearchParams({ ...filters, ...(all ? { all: 'true' } : {}) });
      const call = { what: 'cannot delete flows', method: 'DELETE', path: `/v1/flows?${query}` } as const;
      const answer = await session.client.call<SchemaTypes['FlowsDeleted']>(call);
      session.answer(answer, `${counted(answer.deleted, 'flow')} deleted`);
    });
}

function addFilters(command: Command): Command {
  return command
    .addOption(objectOption('--network <NET>', 'only of this network', 'network'))
    .addOption(objectOption('--endpoint <E>', 'only of this endpoint', 'endpoint'))
    .option('--protocol <P>', 'only tcp, udp, icmp, icmpv6, sctp or a number')
    .addOption(new Option('--state <STATE>', 'only in this state').choices(FLOW_STATES));
}

/** Without the options that every command has. */
function filtersOf({ network, endpoint, protocol, state }: Filters): Record<string, string> {
  return given({ network, endpoint, protocol, state }) as Record<string, string>;
}

/** Up to `limit`, page by page. */
async function readFlows(session: Session, filters: Record<string, string>, limit: number): Promise<Flow[]> {
  const flows: Flow[] = [];
  for (;;) {
    const wanted = Math.min(PAGE, limit - flows.length);
    const after = flows.at(-1)?.id;
    const query = new URLSearchParams({ ...filters, limit: String(wanted), ...(after === undefined ? {} : { after }) });
    const call = { what: 'cannot list the flows', method: 'GET', path: `/v1/flows?${query}` } as const;
    const page = await session.client.call<Flow[]>(call);
    for (const flow of page) flows.push(flow);
    if (page.length < wanted || flows.length >= limit) return flows;
  }
}

function listText(flows: Flow[]): string {
  return tableText(
    [
      { title: 'ID' },
      { title: 'NETWORK' },
      { title: 'ENDPOINT' },
      { title: 'PROTOCOL' },
      { title: 'STATE' },
      { title: 'INSIDE' },
      { title: 'OUTSIDE' },
      { title: 'REMOTE' },
      { title: 'OUT', right: true },
      { title: 'IN', right: true },
      { title: 'EXPIRES', right: true },
    ],
    flows.map((flow) => [
      flow.id,
      flow.network,
      flow.endpoint ?? '',
      flow.protocol,
      flow.state,
      placeText(flow.inside),
      placeText(flow.outside),
      placeText(flow.remote),
      bytes(flow.bytesOut),
      bytes(flow.bytesIn),
      duration(flow.expiresSeconds),
    ]),
  );
}

function flowText(flow: Flow): string {
  return fieldsText([
    ['Id', flow.id],
    ['Network', flow.network],
    ['Endpoint', flow.endpoint ?? ''],
    ['Protocol', flow.protocol],
    ['State', flow.state],
    ['Inside', placeText(flow.inside)],
    ['Outside', placeText(flow.outside)],
    ['Remote', placeText(flow.remote)],
    ['Sent', `${bytes(flow.bytesOut)} in ${counted(flow.framesOut, 'frame')}`],
    ['Received', `${bytes(flow.bytesIn)} in ${counted(flow.framesIn, 'frame')}`],
    ['Age', duration(flow.ageSeconds)],
    ['Expires', `in ${duration(flow.expiresSeconds)} unless something more comes`],
  ]);
}

function placeText({ address, port }: { address: string; port: number | null }): string {
  if (port === null) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
