/**
 * What the datapath does between two readings, in sentences: how busy it is, how large and how long its turns are, and
 * what it drops and why. Text only; stats.ts has the tables of the endpoints.
 */
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { fieldsText } from './table.js';
import { quantity } from './units.js';

type Datapath = SchemaTypes['Stats']['datapath'];
type Drop = SchemaTypes['Drop'];
type Bucket = Datapath['turnTimes'][number];

export interface DatapathRates {
  /** Parts of the time, together 1. */
  busyShare: number;
  pollingShare: number;
  asleepShare: number;
  /** Turns with frames, and wake-ups, per second. */
  busyTurns: number;
  wakeUps: number;
  framesPerTurn: number;
  /** Upper limit of the longest turn between the two readings; null: longer than the last limit, 0: there was none. */
  longestTurnMicros: number | null;
  captureLost: number;
}

/** A worker that was restarted between the readings goes on counting, so nothing goes back but with the daemon. */
export function datapathRates(before: Datapath, now: Datapath, seconds: number): DatapathRates {
  const since = (pick: (datapath: Datapath) => number) => Math.max(0, pick(now) - pick(before));
  const busy = since((datapath) => datapath.busySeconds);
  const polling = since((datapath) => datapath.pollingSeconds);
  const asleep = since((datapath) => datapath.asleepSeconds);
  const all = Math.max(Number.MIN_VALUE, busy + polling + asleep);
  const turns = since(busyTurnsOf);
  return {
    busyShare: busy / all,
    pollingShare: polling / all,
    asleepShare: asleep / all,
    busyTurns: turns / seconds,
    wakeUps: since((datapath) => datapath.wakeUps) / seconds,
    framesPerTurn: turns === 0 ? 0 : since((datapath) => datapath.arrivals) / turns,
    longestTurnMicros: longestOf(before.turnTimes, now.turnTimes),
    captureLost: since((datapath) => datapath.captureLost) / seconds,
  };
}

function busyTurnsOf({ turns, idleTurns }: Datapath): number {
  return turns - idleTurns;
}

function longestOf(before: readonly Bucket[], now: readonly Bucket[]): number | null {
  const at = now.findLastIndex(({ turns }, i) => turns > (before[i]?.turns ?? 0));
  return at < 0 ? 0 : now[at]!.upTo;
}

export function datapathText(rates: DatapathRates, now: Datapath): string {
  const { busyShare, pollingShare, asleepShare, busyTurns, framesPerTurn, captureLost } = rates;
  const turns =
    busyTurns === 0
      ? 'no frames'
      : `${quantity(busyTurns)} turns/s of ${quantity(framesPerTurn)} frames, the longest ${limitText(rates.longestTurnMicros)}`;
  const lost = captureLost === 0 ? '' : `; captures lose ${quantity(captureLost)} frames/s (use a filter or a snaplen)`;
  const shares = `${percent(busyShare)} busy, ${percent(pollingShare)} looking for frames, ${percent(asleepShare)} asleep`;
  return `datapath: ${shares}; ${turns} (longest since the start: ${micros(now.longestTurnMicros)})${lost}`;
}

/** Since the daemon started. */
export function datapathSummary(now: Datapath): string {
  const seconds = now.busySeconds + now.pollingSeconds + now.asleepSeconds;
  const busy = seconds === 0 ? 0 : now.busySeconds / seconds;
  const turns = busyTurnsOf(now);
  const burst = turns === 0 ? '' : `, ${quantity(now.arrivals / turns)} frames per turn`;
  return `${percent(busy)} busy since the start${burst}, longest turn ${micros(now.longestTurnMicros)}`;
}

/** What is dropped right now, most frequent first, with what it means and what to do. */
export function dropsNowText(before: readonly Drop[], now: readonly Drop[], seconds: number): string {
  const old = new Map(before.map((drop) => [drop.reason, drop]));
  const rising = now
    .map((drop) => ({ drop, past: old.get(drop.reason) }))
    .map(({ drop, past }) => ({ drop, past, rate: Math.max(0, drop.frames - (past?.frames ?? 0)) / seconds }))
    .filter(({ rate }) => rate > 0)
    .sort((a, b) => b.rate - a.rate);
  if (rising.length === 0) return 'dropped now: nothing';
  const fields = rising.map(({ drop, past, rate }) => {
    const what = `${quantity(rate)}/s${placesText(past, drop)}`;
    return [drop.reason, `${what}: ${drop.sentence}\n${drop.hint}`] as const;
  });
  return `dropped now:\n${fieldsText(fields)}`;
}

/** ` at web, db`: where it got more, three at most. */
function placesText(past: Drop | undefined, drop: Drop): string {
  const old = new Map(past?.endpoints.map(({ endpoint, frames }) => [endpoint, frames]));
  const places = drop.endpoints.filter(({ endpoint, frames }) => frames > (old.get(endpoint) ?? 0));
  if (places.length === 0) return '';
  const names = places.slice(0, 3).map(({ endpoint }) => endpoint);
  return ` at ${names.join(', ')}${places.length > 3 ? ` and ${places.length - 3} more` : ''}`;
}

function percent(share: number): string {
  const value = share * 100;
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

function limitText(upTo: number | null): string {
  return upTo === null ? 'over 100 ms' : `at most ${micros(upTo)}`;
}

/** `85 us`, `1.2 ms`. */
function micros(value: number): string {
  if (value < 1000) return `${Math.round(value)} us`;
  const ms = value / 1000;
  return `${ms < 10 && !Number.isInteger(ms) ? ms.toFixed(1) : Math.round(ms)} ms`;
}
