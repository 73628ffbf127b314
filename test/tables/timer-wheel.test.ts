// The wheel against the plain truth: every row comes when it is due, none early, none is lost, and no call does much work.
import { strict as assert } from 'node:assert';
import fc from 'fast-check';
import { TimerWheel, WHEEL_BUSY, WHEEL_DONE } from '../../src/tables/timer-wheel.js';

const ROWS = 24;
const TICK_MS = 256;

/** An owner as flow-table.ts is one: keeps the times, files again what is not due. */
class Owner {
  readonly due = new Map<number, number>();
  readonly wheel: TimerWheel;
  now: number;

  constructor(now: number) {
    this.now = now;
    this.wheel = new TimerWheel(ROWS, now);
  }

  set(row: number, at: number): void {
    const before = this.due.get(row);
    this.due.set(row, at);
    if (before === undefined || ((at - before) | 0) < 0) this.wheel.schedule(row, at);
  }

  end(row: number): void {
    this.wheel.cancel(row);
    this.due.delete(row);
  }

  /** Ends what is due; returns the rows in order. */
  advance(now: number): number[] {
    this.now = now;
    const ended: number[] = [];
    for (let calls = 0; ; calls++) {
      assert.ok(calls < 1_000_000, 'the wheel comes to an end');
      const row = this.wheel.step(now);
      if (row === WHEEL_DONE) return ended;
      if (row === WHEEL_BUSY) continue;
      const at = this.due.get(row);
      assert.ok(at !== undefined, `row ${row} is filed`);
      if (((at - now) | 0) > 0) this.wheel.schedule(row, at);
      else {
        this.due.delete(row);
        ended.push(row);
      }
    }
  }
}

describe('timer wheel', () => {
  it('hands out rows in order of their ticks', () => {
    const owner = new Owner(0);
    for (const [row, at] of [5000, 300, 70_000, 20_000_000, 299].entries()) owner.set(row, at);
    assert.deepEqual(owner.advance(255), []);
    assert.deepEqual(owner.advance(600).sort(), [1, 4]);
    assert.deepEqual(owner.advance(5200), [0]);
    assert.deepEqual(owner.advance(69_999), []);
    assert.deepEqual(owner.advance(70_400), [2]);
    assert.deepEqual(owner.advance(19_999_999), []);
    assert.deepEqual(owner.advance(20_000_600), [3]);
    assert.equal(owner.wheel.count, 0);
  });

  it('lets a row live on whose time was moved without telling', () => {
    const owner = new Owner(1000);
    owner.set(3, 2000);
    owner.set(3, 400_000);
    assert.deepEqual(owner.advance(3000), []);
    assert.deepEqual(owner.advance(399_000), []);
    assert.deepEqual(owner.advance(400_600), [3]);
  });

  it('knows a shorter time at once', () => {
    const owner = new Owner(0);
    owner.set(1, 7_440_000);
    owner.set(1, 4000);
    assert.deepEqual(owner.advance(4300), [1]);
  });

  it('goes on over the wrap of int32 time', () => {
    const start = 0x7fffff00 | 0;
    const owner = new Owner(start);
    owner.set(1, (start + 1000) | 0);
    owner.set(2, (start + 100_000_000) | 0);
    assert.deepEqual(owner.advance((start + 1500) | 0), [1]);
    assert.deepEqual(owner.advance((start + 99_999_000) | 0), []);
    assert.deepEqual(owner.advance((start + 100_000_600) | 0), [2]);
    const late = new Owner(-500);
    late.set(1, 500);
    assert.deepEqual(late.advance(499), []);
    assert.deepEqual(late.advance(800), [1]);
  });

  it('passes a long time in bounded calls', () => {
    const owner = new Owner(0);
    owner.set(0, 600_000_000);
    let calls = 0;
    while (owner.wheel.step(500_000_000) === WHEEL_BUSY) calls++;
    assert.ok(calls > 10_000, `${calls} calls: each passes few ticks`);
    assert.deepEqual(owner.advance(600_000_600), [0]);
  });

  it('does nothing to a row that is not filed', () => {
    const owner = new Owner(0);
    owner.wheel.cancel(7);
    owner.set(7, 100);
    owner.end(7);
    owner.end(7);
    assert.equal(owner.wheel.count, 0);
    assert.deepEqual(owner.advance(10_000), []);
  });

  it('ends every row within two ticks and none early, whatever happens to it', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('set' as const), row: fc.nat(ROWS - 1), ms: times() }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('end' as const), row: fc.nat(ROWS - 1), ms: fc.constant(0) }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('go' as const), row: fc.constant(0), ms: times() }) },
    );
    fc.assert(
      fc.property(fc.integer(), fc.array(step, { maxLength: 80 }), (start, steps) => {
        const owner = new Owner(start);
        for (const { kind, row, ms } of steps) {
          if (kind === 'set') owner.set(row, (owner.now + ms) | 0);
          else if (kind === 'end') owner.end(row);
          else check(owner, (owner.now + ms) | 0);
          assert.equal(owner.wheel.count, owner.due.size);
        }
      }),
      { numRuns: 400, seed: 7 },
    );
  });
});

/** Milliseconds of all magnitudes, up to an hour and a half. */
function times(): fc.Arbitrary<number> {
  return fc.oneof(fc.nat(300), fc.nat(70_000), fc.nat(5_000_000));
}

function check(owner: Owner, now: number): void {
  const before = new Map(owner.due);
  const ended = owner.advance(now);
  for (const row of ended) assert.ok(((before.get(row)! - now) | 0) <= 0, `row ${row} came early`);
  for (const [row, at] of owner.due) assert.ok(((now - at) | 0) < 2 * TICK_MS, `row ${row} is ${now - at} ms late`);
}
