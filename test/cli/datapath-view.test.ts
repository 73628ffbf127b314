/** What `weft stats --watch` says about the datapath and about drops, word for word. */
import assert from 'node:assert/strict';
import type { SchemaTypes } from '../../src/api/schema/catalogue.js';
import { datapathRates, datapathSummary, datapathText, dropsNowText } from '../../src/cli/render/datapath.js';
import { DROP_REASONS } from '../../src/datapath/drop-reasons.js';
import { idleDatapath } from '../support/fake-stats.js';

type Drop = SchemaTypes['Drop'];

function dropsOf(counts: Readonly<Record<string, Readonly<Record<string, number>>>>): Drop[] {
  return DROP_REASONS.map((reason) => {
    const endpoints = Object.entries(counts[reason.name] ?? {}).map(([endpoint, frames]) => ({ endpoint, frames }));
    return {
      ...reason,
      reason: reason.name,
      endpoints,
      frames: endpoints.reduce((sum, { frames }) => sum + frames, 0),
    };
  }).map(({ name: _, ...drop }) => drop);
}

describe('CLI: the datapath at a glance', () => {
  const before = {
    ...idleDatapath(),
    ...{ turns: 1000, idleTurns: 900, arrivals: 5000, busySeconds: 1, pollingSeconds: 1, asleepSeconds: 8 },
    ...{ longestTurnMicros: 7421, captureLost: 5 },
    turnTimes: idleDatapath().turnTimes.map(({ upTo }) => ({ upTo, turns: upTo === 10_000 ? 3 : 0 })),
  };

  it('tells what the time is spent on, and how large and long turns are', () => {
    const turnTimes = before.turnTimes.map(({ upTo, turns }) => ({ upTo, turns: turns + (upTo === 200 ? 10 : 0) }));
    const now = { ...before, turns: 6000, idleTurns: 1900, arrivals: 55_000, turnTimes };
    const busy = { ...now, busySeconds: 2.5, pollingSeconds: 1.1, asleepSeconds: 8.4 };
    const rates = datapathRates(before, busy, 2);
    assert.deepEqual(
      { ...rates, busyShare: Math.round(rates.busyShare * 1000), pollingShare: 0, asleepShare: 0 },
      {
        ...{ busyShare: 750, pollingShare: 0, asleepShare: 0, busyTurns: 2000, wakeUps: 0, framesPerTurn: 12.5 },
        ...{ longestTurnMicros: 200, captureLost: 0 },
      },
    );
    assert.equal(
      datapathText(rates, busy),
      'datapath: 75 % busy, 5.0 % looking for frames, 20 % asleep; ' +
        '2.00 k turns/s of 13 frames, the longest at most 200 us (longest since the start: 7.4 ms)',
    );
    assert.equal(datapathSummary(busy), '21 % busy since the start, 13 frames per turn, longest turn 7.4 ms');
  });

  it('says so when nothing happens, when a turn is very long and when captures lose frames', () => {
    const idle = { ...before, asleepSeconds: 9 };
    assert.equal(
      datapathText(datapathRates(before, idle, 1), idle),
      'datapath: 0 % busy, 0 % looking for frames, 100 % asleep; no frames (longest since the start: 7.4 ms)',
    );
    const turnTimes = before.turnTimes.map(({ upTo, turns }) => ({ upTo, turns: turns + (upTo === null ? 1 : 0) }));
    const late = { ...before, turns: 1001, arrivals: 5001, busySeconds: 2, turnTimes, captureLost: 25 };
    assert.equal(
      datapathText(datapathRates(before, { ...late, longestTurnMicros: 180_000 }, 1), {
        ...late,
        longestTurnMicros: 180_000,
      }),
      'datapath: 100 % busy, 0 % looking for frames, 0 % asleep; 1 turns/s of 1 frames, the longest over 100 ms ' +
        '(longest since the start: 180 ms); captures lose 20 frames/s (use a filter or a snaplen)',
    );
  });

  it('explains what is dropped now, most frequent first, and where; what has stopped is not told', () => {
    const past = dropsOf({ isolated: { web: 5, db: 1 }, 'queue-full': { db: 100 }, storm: { web: 7 } });
    const ports = { a: 1, b: 1, c: 1, d: 1 };
    const now = dropsOf({ isolated: { web: 25, db: 1 }, 'queue-full': { db: 1100, ...ports }, storm: { web: 7 } });
    assert.equal(
      dropsNowText(past, now, 2),
      [
        'dropped now:',
        'queue-full:  502/s at db, a, b and 2 more: The kernel had no room to take the frame (EAGAIN or ENOBUFS).',
        '             The receiver cannot keep up; lower the load or raise its socket buffers.',
        'isolated:    10/s at web: Sender and destination are both isolated endpoints.',
        '             Isolated endpoints reach only endpoints that are not isolated; change one of the two.',
      ].join('\n'),
    );
    assert.equal(dropsNowText(now, now, 1), 'dropped now: nothing');
  });
});
