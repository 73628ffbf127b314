/** Where the time of the datapath goes: every turn stands in one bucket of each histogram, and no time is lost. */
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import {
  BURST_BUCKETS,
  burstAt,
  Counters,
  createCounterMemory,
  TOTAL,
  TURN_TIME_LIMITS,
  totalAt,
  turnTimeAt,
} from '../../src/datapath/counters.js';
import { TurnMeter } from '../../src/datapath/turn-meter.js';
import { createLab } from '../support/lab.js';
import { DB, message, WEB } from './stations.js';

describe('the turn meter', () => {
  const bursts = (values: Float64Array) => Array.from({ length: BURST_BUCKETS }, (_, i) => values[burstAt(i)]!);
  const times = (values: Float64Array) =>
    Array.from({ length: TURN_TIME_LIMITS.length + 1 }, (_, i) => values[turnTimeAt(i)]!);
  const sum = (list: number[]) => list.reduce((total, value) => total + value, 0);

  it('puts a turn where its limits say: the limit itself belongs below', () => {
    for (let frames = 1; frames <= 256; frames++) {
      const counters = new Counters(createCounterMemory());
      const meter = new TurnMeter(counters);
      meter.begin(0, false, 1);
      meter.end(0, frames);
      const at = bursts(counters.values).indexOf(1);
      assert.ok(frames <= 2 ** at && (at === 0 || frames > 2 ** (at - 1)), `${frames} frames in bucket ${at}`);
    }
    for (const [micros, bucket] of [
      ...[...TURN_TIME_LIMITS].map((limit, i) => [limit, i] as const),
      ...[...TURN_TIME_LIMITS].map((limit, i) => [limit + 1, i + 1] as const),
    ]) {
      const counters = new Counters(createCounterMemory());
      const meter = new TurnMeter(counters);
      meter.begin(0, false, 1);
      meter.end(micros / 1000, 1);
      assert.equal(times(counters.values).indexOf(1), bucket, `${micros} us`);
      assert.equal(Math.round(counters.values[totalAt(TOTAL.longestTurnMicros)]!), micros);
    }
  });

  it('loses no time and no turn, whatever the order of things', () => {
    const step = fc.record({
      waitMs: fc.nat(200),
      workMs: fc.nat(50),
      frames: fc.nat(256),
      maySleep: fc.boolean(),
      pauseMs: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const { values } = new Counters(createCounterMemory());
        const meter = new TurnMeter({ values });
        let now = 1000;
        meter.begin(now, true, 0);
        let busy = 0;
        for (const { waitMs, workMs, frames, maySleep, pauseMs } of steps) {
          now += waitMs;
          meter.begin(now, maySleep, frames > 0 ? 1 : 0);
          if (frames > 0) {
            now += workMs;
            meter.end(now, frames);
            busy++;
          }
          now += pauseMs;
          meter.paused(now);
        }
        const total = (column: keyof typeof TOTAL) => values[totalAt(TOTAL[column])]!;
        assert.equal(total('busyMs') + total('asleepMs') + total('pollingMs'), now - 1000);
        assert.deepEqual([sum(bursts(values)), sum(times(values))], [busy, busy]);
        assert.equal(total('wakeUps'), steps.filter(({ maySleep, frames }) => maySleep && frames > 0).length);
        assert.equal(total('longestPauseMicros'), 1000 * Math.max(0, ...steps.map(({ pauseMs }) => pauseMs)));
      }),
    );
  });

  it('counts the turns of a datapath that had frames, each once', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    lab.send('web', ...Array.from({ length: 300 }, () => message(WEB, DB, 'x')));
    lab.take('db');
    const { values } = lab.counters;
    assert.equal(sum(bursts(values)), lab.total('turns') - lab.total('idleTurns'));
    assert.deepEqual(bursts(values), [0, 0, 0, 0, 0, 0, 1, 0, 1], '256 frames, then 44');
  });
});
