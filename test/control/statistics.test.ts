/** What operators read of the shared memory, with the names of the things that it happened to. */
import assert from 'node:assert/strict';
import { Counters, dropAt, PORT, portAt, portDropAt, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { DROP } from '../../src/datapath/drop-reasons.js';
import { RequestError } from '../../src/model/problems.js';
import { MacTable } from '../../src/tables/mac-table.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

describe('statistics', () => {
  let lab: ControlLab;
  let remove: () => Promise<void>;
  let values: Float64Array;
  let macs: MacTable;
  const port = { e: -1, f: -1, host: -1 };

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
    const { controller, datapath } = lab;
    await controller.createNetwork({ name: 'first', type: 'private' });
    await controller.createNetwork({ name: 'n', type: 'internal', subnets: ['10.0.0.0/24'] });
    await controller.createCompartment({ name: 'c' });
    port.e = (await controller.createEndpoint({ name: 'e', network: 'n', compartment: 'c' })).port ?? -1;
    port.f = (await controller.createEndpoint({ name: 'f', network: 'first', compartment: 'c' })).port ?? -1;
    port.host = [...datapath.attached.keys()].find((each) => each !== port.e && each !== port.f) ?? -1;
    ({ values } = new Counters(datapath.tables.counters));
    macs = new MacTable(datapath.tables.macs, 16, 16, 1);
  });

  afterEach(async () => {
    await lab.close();
    await remove();
  });

  it('lists who was heard where, sorted, with ages', () => {
    values[totalAt(TOTAL.nowMs)] = 65_000;
    macs.learn(1, 0, 0x0200, 9, port.host, 60_000, 100);
    macs.learn(1, 0, 0x0200, 1, port.e, 5_000, 100);
    macs.learn(0, 7, 0x0200, 5, port.f, 70_000, 100);
    macs.insertStatic(1, 0, 0x0200, 3, port.e, 0);
    const [heard, entered] = (['learned', 'static'] as const).map((origin) => ({ vtep: null, origin }));
    assert.deepEqual(lab.controller.listFdb(), [
      { network: 'first', vlan: 7, mac: '02:00:00:00:00:05', endpoint: 'f', kind: 'learned', ...heard, ageSeconds: 0 },
      { network: 'n', vlan: 0, mac: '02:00:00:00:00:01', endpoint: 'e', kind: 'learned', ...heard, ageSeconds: 60 },
      { network: 'n', vlan: 0, mac: '02:00:00:00:00:03', endpoint: 'e', kind: 'static', ...entered, ageSeconds: 0 },
      { network: 'n', vlan: 0, mac: '02:00:00:00:00:09', endpoint: 'host', kind: 'host', ...heard, ageSeconds: 5 },
    ]);
    assert.deepEqual(
      lab.controller.listFdb('first').map(({ endpoint }) => endpoint),
      ['f'],
    );
    assert.throws(() => lab.controller.listFdb('nowhere'), RequestError);
  });

  it('flushes one network or all', async () => {
    await lab.controller.flushFdb('n');
    await lab.controller.flushFdb();
    assert.deepEqual(lab.datapath.flushed, [1, -1]);
    await assert.rejects(lab.controller.flushFdb('nowhere'), RequestError);
  });

  it('says why and at which endpoint frames were dropped', () => {
    values[dropAt(DROP.exceedsMtu)] = 9;
    values[portDropAt(port.f, DROP.exceedsMtu)] = 2;
    values[portDropAt(port.host, DROP.exceedsMtu)] = 7;
    const drops = lab.controller.listDrops();
    const hit = drops.find(({ reason }) => reason === 'exceeds-mtu');
    assert.equal(hit?.frames, 9);
    assert.deepEqual(hit?.endpoints, [
      { endpoint: 'host/n', frames: 7 },
      { endpoint: 'f', frames: 2 },
    ]);
    assert.equal(drops.filter(({ frames }) => frames > 0).length, 1);
    assert.equal(drops.length, Object.keys(DROP).length, 'reasons that did not happen are listed too');
  });

  it('counts by endpoint, zeros for those that are detached, and starts anew when a row is given out again', async () => {
    const { controller } = lab;
    values[portAt(port.e, PORT.rxFrames)] = 5;
    values[portAt(port.e, PORT.txBytes)] = 600;
    values[totalAt(TOTAL.forwarded)] = 5;
    const rows = () => controller.stats().endpoints.map((row) => [row.endpoint, row.state, row.rxFrames, row.txBytes]);
    assert.deepEqual(rows(), [
      ['e', 'attached', 5, 600],
      ['f', 'attached', 0, 0],
      ['host/n', 'attached', 0, 0],
    ]);
    assert.equal(controller.stats().datapath.forwarded, 5);
    await controller.detachEndpoint('e');
    assert.deepEqual(rows()[0], ['e', 'detached', 0, 0]);
    assert.equal((await controller.attachEndpoint('e', 'c')).port, port.e);
    assert.deepEqual(rows()[0], ['e', 'attached', 0, 0]);
  });

  it('sums up the state of the daemon', async () => {
    const { controller } = lab;
    await controller.detachEndpoint('f');
    const status = controller.status();
    assert.deepEqual(status.endpoints, { total: 2, attached: 1, detached: 1, degraded: 0, remote: 0 });
    assert.deepEqual([status.networks, status.compartments, status.captures], [2, 1, 0]);
    assert.equal(status.program.desired, status.program.applied);
    assert.equal(status.worker, 'running');
  });
});

describe('a network of many endpoints', function manyEndpoints() {
  this.timeout(120_000);

  it('makes the next one dearer in proportion at most', async () => {
    const { directory, remove } = await makeStateDirectory();
    const lab = await startLab(directory);
    try {
      const { controller } = lab;
      await controller.createNetwork({ name: 'n', type: 'internal', subnets: ['10.0.0.0/16', 'fd00::/64'] });
      await controller.createCompartment({ name: 'c' });
      // Processor time, not time of day: other programs may be busy meanwhile.
      const times: number[] = [];
      for (let i = 0; i < 700; i++) {
        const startedAt = process.cpuUsage();
        await controller.createEndpoint({ name: `e${i}`, network: 'n', compartment: 'c' });
        const { user, system } = process.cpuUsage(startedAt);
        times.push((user + system) / 1000);
      }
      const median = (of: number[]) => of.sort((a, b) => a - b)[of.length >> 1]!;
      const [first, last] = [median(times.slice(0, 100)), median(times.slice(-100))];
      // The medians stand for 50 and 650 endpoints. A quadratic price would be 169 times as high.
      assert.ok(last < (650 / 50) * first, `${first.toFixed(2)} ms each at first, ${last.toFixed(2)} ms in the end`);
      lab.check();
    } finally {
      await lab.close();
      await remove();
    }
  });
});
