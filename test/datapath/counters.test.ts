// The counters: where they stand in shared memory, and that they tell the truth about frames and bytes.
import { strict as assert } from 'node:assert';
import {
  Counters,
  clearPort,
  createCounterMemory,
  dropAt,
  PORT,
  portAt,
  portDropAt,
  TOTAL,
  totalAt,
} from '../../src/datapath/counters.js';
import { DROP, DROP_COUNT } from '../../src/datapath/drop-reasons.js';
import { MAX_PORTS } from '../../src/datapath/program.js';
import { BROADCAST, ether, GSO_TCP4, ipv4, pattern, superFrame, tcp } from '../support/frame-builders.js';
import { createLab } from '../support/lab.js';
import { DB, message, WEB } from './stations.js';

describe('counters', () => {
  it('each have a place of their own within the memory', () => {
    const { values } = new Counters(createCounterMemory());
    const places = [
      ...Object.values(TOTAL).map((column) => totalAt(column)),
      ...Array.from({ length: DROP_COUNT }, (_, reason) => dropAt(reason)),
    ];
    for (const port of [0, 1, 2, MAX_PORTS - 1]) {
      places.push(...Object.values(PORT).map((column) => portAt(port, column)));
      places.push(...Array.from({ length: DROP_COUNT }, (_, reason) => portDropAt(port, reason)));
    }
    assert.equal(new Set(places).size, places.length);
    assert.ok(Math.max(...places) < values.length);
  });

  it('of one port are cleared, and those of its neighbours are not', () => {
    const counters = new Counters(createCounterMemory());
    counters.values.fill(1);
    clearPort(counters, 5);
    const zeros = counters.values.filter((value) => value === 0).length;
    for (const column of Object.values(PORT)) assert.equal(counters.values[portAt(5, column)], 0);
    for (let reason = 0; reason < DROP_COUNT; reason++) assert.equal(counters.values[portDropAt(5, reason)], 0);
    assert.equal(zeros, portAt(6, 0) - portAt(5, 0));
  });

  it('count frames and bytes as they are on the ports, without vnet headers', () => {
    const lab = createLab({ ports: { web: { vlan: 7 }, db: { vlan: 7, accepts: 0 }, trunk: {} } });
    const { values } = lab.counters;
    const row = (name: string) => Object.values(PORT).map((column) => values[portAt(lab.index(name), column)]);
    const hello = message(WEB, BROADCAST, 'hello');
    const bytes = hello.bytes.length;
    lab.send('web', hello, hello);
    lab.expect({ db: [hello, hello], trunk: [0, 1].map(() => message(WEB, BROADCAST, 'hello', [7])) });
    assert.deepEqual(row('web'), [2, 2 * bytes, 0, 0, 0, 0]);
    assert.deepEqual(row('db'), [0, 0, 2, 2 * bytes, 0, 0]);
    assert.deepEqual(row('trunk'), [0, 0, 2, 2 * (bytes + 4), 0, 0]);
  });

  it('count a super-frame once where it came in and segment by segment where it was cut', () => {
    const lab = createLab({ ports: { web: {}, db: { accepts: 0 } } });
    const { values } = lab.counters;
    const packet = ipv4({ from: '192.0.2.1', to: '192.0.2.2' }, tcp({}, pattern(3000)));
    lab.send('web', superFrame(ether({ from: WEB, to: DB }, packet), GSO_TCP4, 1000));
    assert.equal(lab.take('db').length, 3);
    assert.equal(values[portAt(lab.index('web'), PORT.rxFrames)], 1);
    assert.equal(values[portAt(lab.index('web'), PORT.rxBytes)], 3054);
    assert.equal(values[portAt(lab.index('db'), PORT.txFrames)], 3);
    assert.equal(values[portAt(lab.index('db'), PORT.txBytes)], 3 * 1054);
  });

  it('count drops at the port where they happened', () => {
    const lab = createLab({ ports: { web: {}, db: {}, cache: {} } });
    const { values } = lab.counters;
    lab.io.port(lab.index('cache')).transmitErrno = 5;
    lab.send('web', message(WEB, BROADCAST, 'x'), message(BROADCAST, DB, 'y'));
    lab.take('db');
    lab.expect({}, { 'invalid-source': 1, 'port-down': 1 });
    assert.equal(values[portDropAt(lab.index('web'), DROP.invalidSource)], 1);
    assert.equal(values[portAt(lab.index('web'), PORT.rxDropped)], 1);
    assert.equal(values[portDropAt(lab.index('cache'), DROP.portDown)], 1);
    assert.equal(values[portAt(lab.index('cache'), PORT.txDropped)], 1);
    assert.equal(values[portAt(lab.index('db'), PORT.txDropped)], 0);
  });

  it('tell idle turns from busy ones, and the time of the datapath', () => {
    const lab = createLab({ ports: ['web', 'db'] });
    lab.advance(4711);
    lab.send('web', message(WEB, DB, 'x'));
    lab.take('db');
    assert.equal(lab.total('turns') - lab.total('idleTurns'), 1);
    assert.equal(lab.total('nowMs'), 4711);
  });
});
