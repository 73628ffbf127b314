/** weft fdb list | flush, weft vtep list, weft drop list */
import type { Command } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { CliError } from '../failure.js';
import { objectOption } from '../options.js';
import { fieldsText, tableText } from '../render/table.js';
import { duration } from '../render/units.js';
import type { Session } from '../session.js';

type FdbEntry = SchemaTypes['FdbEntry'];
type Vtep = SchemaTypes['Vtep'];
type Drop = SchemaTypes['Drop'];
type Stats = SchemaTypes['Stats'];

interface NetworkFilter {
  network?: string;
}

interface DropFilter extends NetworkFilter {
  all?: boolean;
  endpoint?: string;
}

const VXLAN_PORT = 4789;

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

export function addVtepCommand(program: Command, session: Session): void {
  program
    .command('vtep')
    .description('ends of VXLAN tunnels, of this host and of others')
    .command('list')
    .alias('ls')
    .description('who sends and gets encapsulated frames, and how many')
    .addOption(networkFilter())
    .action(async (options: NetworkFilter) => {
      const call = { what: 'cannot list the VTEPs', method: 'GET', path: `/v1/vteps${queryOf(options)}` } as const;
      const vteps = await session.client.call<Vtep[]>(call);
      session.answer(vteps, vteps.length === 0 ? NO_VTEPS : vtepText(vteps));
    });
}

const NO_VTEPS = 'no VTEPs: there is no network of type overlay';

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
      { title: 'VTEP' },
      { title: 'ORIGIN' },
      { title: 'LAST SEEN', right: true },
    ],
    sorted.map((entry) => [
      entry.network,
      entry.vlan === 0 ? '' : String(entry.vlan),
      entry.mac,
      entry.endpoint,
      entry.vtep ?? '',
      entry.kind === 'host' ? 'host' : entry.origin,
      entry.origin === 'learned' ? `${duration(entry.ageSeconds)} ago` : '',
    ]),
  );
}

function vtepText(vteps: Vtep[]): string {
  return tableText(
    [
      { title: 'VTEP' },
      { title: 'NETWORKS' },
      { title: 'ORIGIN' },
      { title: 'UNDERLAY' },
      { title: 'STATE' },
      { title: 'RX FRAMES', right: true },
      { title: 'RX BYTES', right: true },
      { title: 'TX FRAMES', right: true },
      { title: 'TX BYTES', right: true },
      { title: 'LAST HEARD', right: true },
    ],
    vteps.map((view) => [
      view.vtep,
      view.networks.join(' '),
      view.origin,
      underlayText(view),
      view.state,
      String(view.rxFrames),
      String(view.rxBytes),
      String(view.txFrames),
      String(view.txBytes),
      view.lastHeardSeconds === null ? '' : `${duration(view.lastHeardSeconds)} ago`,
    ]),
  );
}

/** `socket`, `tap port 8472 in /run/netns/a`. */
function underlayText({ underlay, udpPort, netns }: Vtep): string {
  const port = udpPort === VXLAN_PORT ? '' : ` port ${udpPort}`;
  return `${underlay}${port}${netns === null ? '' : ` in ${netns}`}`;
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
