/** weft fdb list | flush, weft drop list */
import type { Command } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { CliError } from '../failure.js';
import { objectOption } from '../options.js';
import { fieldsText, tableText } from '../render/table.js';
import { duration } from '../render/units.js';
import type { Session } from '../session.js';

type FdbEntry = SchemaTypes['FdbEntry'];
type Drop = SchemaTypes['Drop'];
type Stats = SchemaTypes['Stats'];

interface NetworkFilter {
  network?: string;
}

interface DropFilter extends NetworkFilter {
  all?: boolean;
  endpoint?: string;
}

const networkFilter = () => objectOption('--network <NET>', 'only this network', 'network');

function queryOf(options: NetworkFilter): string {
  return options.network === undefined ? '' : `?network=${encodeURIComponent(options.network)}`;
}

export function addFdbCommand(program: Command, session: Session): void {
  const fdb = program.command('fdb').description('the MAC table: which MAC is behind which endpoint');
  fdb
    .command('list')
    .alias('ls')
    .description('learned and static entries')
    .addOption(networkFilter())
    .action(async (options: NetworkFilter) => {
      const call = { what: 'cannot list the MAC table', method: 'GET', path: `/v1/fdb${queryOf(options)}` } as const;
      const entries = await session.client.call<FdbEntry[]>(call);
      session.answer(entries, entries.length === 0 ? 'no MACs: nothing has been learned' : fdbText(entries));
    });
  fdb
    .command('flush')
    .description('forget learned entries, of one network or of all')
    .addOption(networkFilter())
    .action(async (options: NetworkFilter) => {
      const call = {
        what: 'cannot flush the MAC table',
        method: 'DELETE',
        path: `/v1/fdb${queryOf(options)}`,
      } as const;
      await session.client.call(call);
      const where = options.network === undefined ? 'all networks' : `network ${options.network}`;
      session.answer({ network: options.network ?? null, flushed: true }, `learned MACs of ${where} forgotten`);
    });
}

export function addDropCommand(program: Command, session: Session): void {
  program
    .command('drop')
    .description('dropped frames, by reason')
    .command('list')
    .alias('ls')
    .description('why frames were dropped, how many, where, and what to do about it')
    .option('--all', 'also reasons that have not occurred')
    .addOption(objectOption('--network <NET>', 'only what happened at ports of this network', 'network'))
    .addOption(objectOption('--endpoint <E>', 'only what happened at this endpoint', 'endpoint'))
    .action(async (options: DropFilter) => {
      const drops = await readDrops(session, options);
      const shown = options.all ? drops : drops.filter((drop) => drop.frames > 0);
      session.answer(drops, shown.length === 0 ? 'nothing has been dropped' : dropText(shown));
    });
}

/** With a filter, the frames of a reason are those that were dropped at the ports which pass it. */
async function readDrops(session: Session, { network, endpoint }: DropFilter): Promise<Drop[]> {
  const what = 'cannot list the drops';
  const drops = await session.client.call<Drop[]>({ what, method: 'GET', path: '/v1/drops' });
  if (network === undefined && endpoint === undefined) return drops;
  const { endpoints } = await session.client.call<Stats>({ what, method: 'GET', path: '/v1/stats' });
  const passing = endpoints.filter((row) => row.network === (network ?? row.network));
  const names = new Set(passing.map((row) => row.endpoint).filter((name) => name === (endpoint ?? name)));
  if (names.size === 0) {
    const name = endpoint === undefined ? `no endpoint on a network ${network}` : `no such endpoint ${endpoint}`;
    throw new CliError(what, name, '`weft endpoint list` shows those that exist');
  }
  return drops.map((drop) => {
    const places = drop.endpoints.filter((place) => names.has(place.endpoint));
    return { ...drop, endpoints: places, frames: places.reduce((sum, { frames }) => sum + frames, 0) };
  });
}

function fdbText(entries: FdbEntry[]): string {
  const sorted = [...entries].sort(
    (a, b) =>
      compare(a.network, b.network) || a.vlan - b.vlan || compare(a.endpoint, b.endpoint) || compare(a.mac, b.mac),
  );
  return tableText(
    [
      { title: 'NETWORK' },
      { title: 'VLAN', right: true },
      { title: 'MAC' },
      { title: 'ENDPOINT' },
      { title: 'KIND' },
      { title: 'LAST SEEN', right: true },
    ],
    sorted.map((entry) => [
      entry.network,
      entry.vlan === 0 ? '' : String(entry.vlan),
      entry.mac,
      entry.endpoint,
      entry.kind,
      entry.kind === 'learned' ? `${duration(entry.ageSeconds)} ago` : '',
    ]),
  );
}

function dropText(drops: Drop[]): string {
  const sorted = [...drops].sort((a, b) => b.frames - a.frames);
  const table = tableText(
    [{ title: 'REASON' }, { title: 'FRAMES', right: true }, { title: 'STAGE' }, { title: 'ENDPOINTS' }],
    sorted.map((drop) => [drop.reason, String(drop.frames), drop.stage, whereText(drop)]),
  );
  const advice = sorted.map((drop) => [drop.reason, `${drop.sentence}\n${drop.hint}`] as const);
  return `${table}\n\n${fieldsText(advice)}`;
}

function whereText(drop: Drop): string {
  const sorted = [...drop.endpoints].sort((a, b) => b.frames - a.frames);
  return sorted.map(({ endpoint, frames }) => `${endpoint} ${frames}`).join(', ');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
