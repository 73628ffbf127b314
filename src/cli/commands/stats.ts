/** weft stats [--watch]: counters once, or rates in a table that is redrawn in place until Ctrl-C. */
import { type Command, Option } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { integerOption, objectOption, readSeconds } from '../options.js';
import { datapathRates, datapathText, dropsNowText } from '../render/datapath.js';
import { LEGEND, ratesOf, rateTable, secondsBetween, totalsTable } from '../render/stats.js';
import { counted } from '../render/units.js';
import type { Session } from '../session.js';

type Stats = SchemaTypes['Stats'];
type Drop = SchemaTypes['Drop'];

/** Counters and reasons, read one right after the other. */
interface Reading {
  stats: Stats;
  drops: Drop[];
}

interface StatsOptions {
  watch?: boolean;
  interval: number;
  count?: number;
  network?: string;
}

const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const ALTERNATE_SCREEN = '\x1b[?1049h\x1b[?25l';
const MAIN_SCREEN = '\x1b[?25h\x1b[?1049l';

export function addStatsCommand(program: Command, session: Session): void {
  program
    .command('stats')
    .description('counters of endpoints; with --watch rates, busiest first, until Ctrl-C')
    .option('-w, --watch', 'redraw in place')
    .addOption(new Option('--interval <SECONDS>', 'between two readings of --watch').argParser(readSeconds).default(1))
    .addOption(integerOption('--count <N>', 'stop --watch after N tables', 1, 1_000_000))
    .addOption(objectOption('--network <NET>', 'only endpoints of this network', 'network'))
    .action(async (options: StatsOptions) => {
      if (options.watch) return watch(session, options);
      const stats = await readStats(session, options);
      session.answer(stats, totalsTable(stats));
    });
}

async function readStats(session: Session, options: StatsOptions): Promise<Stats> {
  const stats = await session.client.call<Stats>({
    what: 'cannot read the counters',
    method: 'GET',
    path: '/v1/stats',
  });
  const { network } = options;
  if (network === undefined) return stats;
  const endpoints = stats.endpoints.filter((endpoint) => endpoint.network === network);
  // One that has none, or one that there is not: that is said as everywhere.
  const what = 'cannot read the counters';
  if (endpoints.length === 0) await session.client.call({ what, method: 'GET', path: objectPath('networks', network) });
  return { ...stats, endpoints };
}

async function read(session: Session, options: StatsOptions): Promise<Reading> {
  const stats = await readStats(session, options);
  const call = { what: 'cannot read the counters', method: 'GET', path: '/v1/drops' } as const;
  return { stats, drops: await session.client.call<Drop[]>(call) };
}

async function watch(session: Session, options: StatsOptions): Promise<void> {
  const { stdout } = session.world;
  const drawsInPlace = stdout.isTTY === true && !session.isJson;
  const pause = createPause(options.interval * 1000);
  const forget = session.world.onInterrupt(pause.stop);
  if (drawsInPlace) stdout.write(ALTERNATE_SCREEN);
  let last = '';
  try {
    let before = await read(session, options);
    for (let shown = 0; shown < (options.count ?? Number.POSITIVE_INFINITY); shown++) {
      if (!(await pause.wait())) break;
      const now = await read(session, options);
      const head = heading(now.stats, options);
      last = session.isJson ? jsonLine(before, now) : ratesText(before, now);
      before = now;
      if (session.isJson) stdout.write(`${last}\n`);
      else if (drawsInPlace) stdout.write(screen(head, last, stdout.rows || 24));
      else session.print(`${head}\n${last}\n`);
    }
  } finally {
    forget();
    if (drawsInPlace) stdout.write(MAIN_SCREEN);
  }
  if (drawsInPlace && last !== '') session.print(last);
}

/** `drops`: frames per second by reason, of reasons that occur now. */
function jsonLine(before: Reading, now: Reading): string {
  const seconds = secondsBetween(before.stats, now.stats);
  const old = new Map(before.drops.map(({ reason, frames }) => [reason, frames]));
  const rates = now.drops.map(({ reason, frames }) => [reason, (frames - (old.get(reason) ?? 0)) / seconds] as const);
  return JSON.stringify({
    time: now.stats.time,
    endpoints: ratesOf(before.stats, now.stats),
    datapath: datapathRates(before.stats.datapath, now.stats.datapath, seconds),
    drops: Object.fromEntries(rates.filter(([, rate]) => rate > 0)),
  });
}

/** What there is to be said of all endpoints stands above the table, which is cut where the screen ends. */
function ratesText(before: Reading, now: Reading): string {
  const seconds = secondsBetween(before.stats, now.stats);
  const rates = datapathRates(before.stats.datapath, now.stats.datapath, seconds);
  return [
    datapathText(rates, now.stats.datapath),
    dropsNowText(before.drops, now.drops, seconds),
    '',
    rateTable(ratesOf(before.stats, now.stats)),
    '',
    LEGEND,
  ].join('\n');
}

function heading(stats: Stats, options: StatsOptions): string {
  const time = stats.time.slice(11, 19);
  return `weft stats  ${time} UTC  every ${options.interval} s  ${counted(stats.endpoints.length, 'endpoint')}  Ctrl-C stops`;
}

/** Overwrites what the screen shows, line by line, so that nothing flickers; what does not fit is cut. */
function screen(head: string, table: string, rows: number): string {
  const lines = [head, '', ...table.split('\n')].slice(0, rows - 1);
  return HOME + lines.map((line) => `${line}${CLEAR_LINE}\r\n`).join('') + CLEAR_BELOW;
}

/** A wait that can be cut short: resolves true after `ms`, false once stopped. */
function createPause(ms: number): { wait(): Promise<boolean>; stop(): void } {
  let stopped = false;
  let finish: () => void = () => {};
  return {
    async wait() {
      if (stopped) return false;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        finish = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      return !stopped;
    },
    stop() {
      stopped = true;
      finish();
    },
  };
}
