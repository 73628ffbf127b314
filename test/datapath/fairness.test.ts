// A port that floods costs the others a bounded delay, and nothing else.
import { strict as assert } from 'node:assert';
import { BURST_FRAMES } from '../../src/frames/slab.js';
import { ether, pattern, type TestFrame } from '../support/frame-builders.js';
import { createLab, type Lab } from '../support/lab.js';
import { DB, message, STRANGER, WEB } from './stations.js';

/** Gives a port frames without end: as long as it is asked, it has 1000 more. */
function flood(lab: Lab, name: string, frame: TestFrame): void {
  const { arrivals } = lab.io.port(lab.index(name));
  while (arrivals.length < 1000) arrivals.push(frame);
}

/** Turns until something left `name`, with `keepUp` before each. */
function turnsUntilDeparture(lab: Lab, name: string, keepUp: () => void, most: number): number {
  const { departures } = lab.io.port(lab.index(name));
  for (let turn = 1; turn <= most; turn++) {
    keepUp();
    lab.datapath.turn(0);
    if (departures.length > 0) return turn;
  }
  return Number.POSITIVE_INFINITY;
}

function drain(lab: Lab, names: readonly string[]): void {
  for (const name of names) {
    lab.io.port(lab.index(name)).arrivals.length = 0;
    lab.take(name);
  }
}

describe('fairness', () => {
  const small = message(WEB, STRANGER, 'flood');
  const question = message(DB, STRANGER, 'may I?');

  it('serves a quiet port in the turn after it spoke, beside a flooding one', () => {
    const lab = createLab({
      ports: { noisy: { network: 'red' }, sink: { network: 'red' }, quiet: {}, db: {} },
      networks: { red: {} },
    });
    const noise = () => flood(lab, 'noisy', small);
    for (let i = 0; i < 20; i++) {
      noise();
      lab.datapath.turn(0);
    }
    lab.queue('quiet', question);
    assert.ok(turnsUntilDeparture(lab, 'db', noise, 10) <= 2);
    assert.equal(lab.io.port(lab.index('db')).departures.length, 1);
    drain(lab, ['noisy', 'sink', 'quiet', 'db']);
  });

  it('serves a quiet port among a hundred flooding ones within a few turns, also when they send super-frames', () => {
    const large = ether({ from: WEB, to: STRANGER }, pattern(65_000));
    for (const frame of [small, large]) {
      const noisy = Array.from({ length: 100 }, (_, i) => `noisy ${i}`);
      const lab = createLab({
        mtu: 65_521,
        ports: {
          ...Object.fromEntries(noisy.map((name) => [name, { network: name }])),
          quiet: {},
          db: {},
        },
        networks: Object.fromEntries(noisy.map((name) => [name, { mtu: 65_521 }])),
      });
      const noise = () => {
        for (const name of noisy) flood(lab, name, frame);
      };
      for (let i = 0; i < 10; i++) {
        noise();
        lab.datapath.turn(0);
      }
      lab.queue('quiet', question);
      // 64 ports are served between two waits; of super-frames a turn takes four to eight.
      const most = frame === small ? 10 : 60;
      assert.ok(turnsUntilDeparture(lab, 'db', noise, most) <= most);
      drain(lab, [...noisy, 'quiet', 'db']);
      lab.takeDrops();
    }
  });

  it('gives flooding ports equal parts', () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    const lab = createLab({
      ports: Object.fromEntries(
        names.flatMap((n) => [
          [n, { network: n }],
          [`${n} sink`, { network: n }],
        ]),
      ),
      networks: Object.fromEntries(names.map((name) => [name, {}])),
    });
    for (let turn = 0; turn < 200; turn++) {
      for (const name of names) flood(lab, name, small);
      lab.datapath.turn(0);
    }
    const parts = names.map((name) => lab.take(`${name} sink`).length);
    drain(lab, names);
    const [least, most] = [Math.min(...parts), Math.max(...parts)];
    assert.ok(least > 0.9 * most, `parts ${parts}`);
    assert.ok(parts.reduce((a, b) => a + b) > 200 * BURST_FRAMES * 0.9, 'bursts are full');
  });

  it('gives a port that is alone the whole burst', () => {
    const lab = createLab({ ports: ['noisy', 'sink'] });
    flood(lab, 'noisy', small);
    assert.equal(lab.datapath.turn(0), BURST_FRAMES);
    drain(lab, ['noisy', 'sink']);
  });

  it('keeps the order of the frames of a port', () => {
    const lab = createLab({ ports: ['web', 'db', 'noisy'] });
    const other = '02:00:5e:00:00:04';
    lab.send('db', message(DB, STRANGER, 'here'));
    lab.send('web', message(WEB, STRANGER, 'here'));
    lab.ignoreDepartures();
    const frames = Array.from({ length: 2000 }, (_, i) => message(WEB, DB, `${i}`));
    lab.queue('web', ...frames);
    for (let i = 0; i < 2000; i++) lab.queue('noisy', message(other, WEB, `${i}`));
    lab.run();
    lab.take('web');
    lab.expect({ db: frames });
  });
});
