/** The books of a datapath: every frame has one fate, every departure one result, and totals are the sums of the ports. */
import { strict as assert } from 'node:assert';
import { dropAt, PORT, portAt, portDropAt, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { DROP_REASONS } from '../../src/datapath/drop-reasons.js';
import { MAX_PORTS } from '../../src/datapath/program.js';

/** `values`: a Counters array between two turns, of which no port was cleared. */
export function checkConservation(values: Float64Array): void {
  const total = (name: keyof typeof TOTAL): number => values[totalAt(TOTAL[name])]!;
  const dropsOfScope = (scope: string): number =>
    DROP_REASONS.reduce((sum, reason, code) => sum + (reason.scope === scope ? values[dropAt(code)]! : 0), 0);
  const overPorts = (at: (port: number) => number): number => {
    let sum = 0;
    for (let port = 0; port < MAX_PORTS; port++) sum += values[at(port)]!;
    return sum;
  };

  const fates = total('forwarded') + total('consumed') + total('dropped');
  assert.equal(total('arrivals') + total('originated'), fates, 'every frame has exactly one fate');
  assert.equal(total('departures'), total('sent') + total('transmitDropped'), 'every departure is sent or dropped');
  assert.equal(total('dropped'), dropsOfScope('frame'), 'dropped frames are counted by reason');
  assert.equal(total('transmitDropped'), dropsOfScope('departure'), 'dropped departures are counted by reason');
  assert.equal(
    overPorts((port) => portAt(port, PORT.rxFrames)),
    total('arrivals'),
    'arrivals of the ports',
  );
  assert.equal(
    overPorts((port) => portAt(port, PORT.rxDropped)) + total('ownDropped'),
    total('dropped'),
    'dropped arrivals of the ports, and frames of its own',
  );
  assert.equal(
    overPorts((port) => portAt(port, PORT.txFrames)),
    total('sent'),
    'frames sent by the ports',
  );
  assert.equal(
    overPorts((port) => portAt(port, PORT.txDropped)),
    total('transmitDropped'),
    'departures lost at the ports',
  );
  let unowned = 0;
  for (const [code, { name }] of DROP_REASONS.entries()) {
    const owned = overPorts((port) => portDropAt(port, code));
    assert.ok(owned <= values[dropAt(code)]!, `${name} of the ports`);
    unowned += values[dropAt(code)]! - owned;
  }
  assert.equal(unowned, total('ownDropped'), 'what no port dropped, weft dropped of its own');
  const times = [TOTAL.nowMs, TOTAL.busyMs, TOTAL.asleepMs, TOTAL.pollingMs];
  const durations = [TOTAL.longestTurnMicros, TOTAL.longestPauseMicros];
  const others = new Set<number>([...times, ...durations].map((column) => totalAt(column)));
  const isNatural = (value: number, at: number): boolean =>
    others.has(at) || (value >= 0 && Number.isSafeInteger(value));
  assert.ok(values.every(isNatural), 'counters are natural numbers');
}
