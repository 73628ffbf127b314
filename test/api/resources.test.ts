/** The resources of the API: what each method answers, over the real controller. */
import assert from 'node:assert/strict';
import { ApiLab } from '../support/api-lab.js';

describe('API: resources', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
  });

  afterEach(() => lab.close());

  it('lists are bare arrays, sorted by name, and empty at first', async () => {
    for (const list of ['networks', 'compartments', 'endpoints', 'captures', 'flows', 'fdb', 'vteps']) {
      const answer = await lab.call('GET', `/v1/${list}`);
      assert.deepEqual([answer.status, answer.body], [200, []], list);
    }
    await lab.call('POST', '/v1/networks', { name: 'zebra', type: 'private' });
    await lab.call('POST', '/v1/networks', { name: 'ape', type: 'private' });
    const names = (await lab.call('GET', '/v1/networks')).body.map((network: { name: string }) => network.name);
    assert.deepEqual(names, ['ape', 'zebra']);
  });

  it('a network is created with 201 and its view, read, changed and deleted with 204', async () => {
    const request = { name: 'back', type: 'private', subnets: ['10.81.0.0/24'], gateway: '10.81.0.1', mtu: 9000 };
    const created = await lab.call('POST', '/v1/networks', request);
    assert.equal(created.status, 201);
    assert.equal(created.headers['content-type'], 'application/json');
    assert.deepEqual(
      [created.body.name, created.body.gateway, created.body.mtu, created.body.storm],
      ['back', ['10.81.0.1'], 9000, { broadcast: 0, multicast: 0, unknownUnicast: 0 }],
    );
    assert.deepEqual((await lab.call('GET', '/v1/networks/back')).body, created.body);

    const changed = await lab.call('PATCH', '/v1/networks/back', { ageingSeconds: 60, storm: { broadcast: 7 } });
    assert.equal(changed.status, 200);
    assert.deepEqual(
      [changed.body.ageingSeconds, changed.body.storm.broadcast, changed.body.mtu],
      [60, 7, 9000],
      'what is not named stays',
    );

    const deleted = await lab.call('DELETE', '/v1/networks/back');
    assert.deepEqual([deleted.status, deleted.text], [204, '']);
    assert.equal((await lab.call('GET', '/v1/networks/back')).status, 404);
  });

  it('a network with endpoints is deleted only with force', async () => {
    await lab.populate();
    const refused = await lab.refused('DELETE', '/v1/networks/back');
    assert.deepEqual([refused.status, refused.code], [409, 'in-use']);
    assert.equal((await lab.call('DELETE', '/v1/networks/back?force=false')).status, 409);
    assert.equal((await lab.call('DELETE', '/v1/networks/back?force=true')).status, 204);
    assert.deepEqual((await lab.call('GET', '/v1/endpoints')).body, []);
  });

  it('an endpoint is created, detached, attached elsewhere and deleted', async () => {
    await lab.populate();
    await lab.call('POST', '/v1/compartments', { name: 'db' });
    const view = (await lab.call('GET', '/v1/endpoints/web-back')).body;
    assert.deepEqual([view.state, view.compartment, view.addresses[0]], ['attached', 'web', '10.81.0.10/24']);

    const detached = await lab.call('POST', '/v1/endpoints/web-back/detach');
    assert.deepEqual([detached.status, detached.body.state, detached.body.port], [200, 'detached', null]);
    const moved = await lab.call('POST', '/v1/endpoints/web-back/attach', { compartment: 'db' });
    assert.deepEqual([moved.status, moved.body.compartment, moved.body.mac], [200, 'db', view.mac]);

    const vlan = { mode: 'trunk', native: null, allowed: [10, 20] };
    const changed = await lab.call('PATCH', '/v1/endpoints/web-back', { vlan, isolated: true });
    assert.deepEqual([changed.body.vlan, changed.body.isolated], [vlan, true]);
    assert.equal((await lab.call('DELETE', '/v1/endpoints/web-back')).status, 204);
  });

  it('a detach may carry an empty body, as programs send it that always send one', async () => {
    await lab.populate();
    assert.equal((await lab.call('POST', '/v1/endpoints/web-back/detach', '', {})).status, 200);
    assert.equal((await lab.call('POST', '/v1/endpoints/web-back/detach', {})).status, 200);
    const refused = await lab.refused('POST', '/v1/endpoints/web-back/detach', { now: true });
    assert.deepEqual([refused.status, refused.problems[0].path], [400, 'now']);
  });

  it('a capture is started, listed, and stopped with its last numbers', async () => {
    await lab.populate();
    const started = await lab.call('POST', '/v1/captures', { name: 'wire', network: 'back', file: '/tmp/x.pcapng' });
    assert.deepEqual([started.status, started.body.state], [201, 'running']);
    assert.deepEqual((await lab.call('GET', '/v1/captures')).body, [started.body]);
    const stopped = await lab.call('POST', '/v1/captures/wire/stop');
    assert.deepEqual([stopped.status, stopped.body.state], [200, 'finished']);
    assert.equal((await lab.call('DELETE', '/v1/captures/wire')).status, 404);
  });

  it('apply plans with dryRun, then does it, then has nothing to do; export is what was applied', async () => {
    const applied = {
      weft: 1,
      networks: { back: { type: 'private', subnets: ['10.81.0.0/24'] } },
      compartments: { web: null, db: {} },
      endpoints: { 'web-back': { network: 'back', compartment: 'web' } },
    };
    const planned = await lab.call('POST', '/v1/apply', { lab: applied, dryRun: true });
    assert.deepEqual([planned.status, planned.body.dryRun, planned.body.steps.length], [200, true, 4]);
    assert.deepEqual((await lab.call('GET', '/v1/networks')).body, []);

    assert.equal((await lab.call('POST', '/v1/apply', { lab: applied })).body.changed, true);
    const again = await lab.call('POST', '/v1/apply', { lab: applied });
    assert.deepEqual([again.body.changed, again.body.steps], [false, []]);
    const exported = (await lab.call('GET', '/v1/export')).body;
    assert.deepEqual((await lab.call('POST', '/v1/apply', { lab: exported })).body.changed, false);
  });

  it('status, stats and drops answer', async () => {
    await lab.populate();
    const status = (await lab.call('GET', '/v1/status')).body;
    assert.deepEqual([status.networks, status.endpoints.attached], [1, 1]);
    const stats = (await lab.call('GET', '/v1/stats')).body;
    assert.equal(stats.endpoints[0].endpoint, 'web-back');
    const drops = (await lab.call('GET', '/v1/drops')).body;
    assert.ok(drops.length > 10);
    assert.ok(drops.every((drop: { hint: string }) => drop.hint.length > 0));
  });

  it('the MAC table is filtered by network and flushed', async () => {
    await lab.populate();
    assert.equal((await lab.call('GET', '/v1/fdb?network=back')).status, 200);
    assert.equal((await lab.call('GET', '/v1/fdb?network=nowhere')).status, 404);
    assert.equal((await lab.call('GET', '/v1/vteps?network=back')).status, 200);
    assert.equal((await lab.call('GET', '/v1/vteps?network=nowhere')).status, 404);
    assert.equal((await lab.call('DELETE', '/v1/fdb?network=back')).status, 204);
    assert.equal((await lab.call('DELETE', '/v1/fdb')).status, 204);
  });

  it('events are listed from a sequence number on', async () => {
    await lab.populate();
    const all = (await lab.call('GET', '/v1/events')).body;
    assert.ok(all.some((event: { type: string }) => event.type === 'network-created'));
    const last = all.at(-1).sequence;
    assert.deepEqual((await lab.call('GET', `/v1/events?since=${last}`)).body, []);
    assert.deepEqual((await lab.call('GET', `/v1/events?since=${last - 1}`)).body, [all.at(-1)]);
  });

  it('a network may have a name that means something in JavaScript', async () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty']) {
      assert.equal((await lab.call('POST', '/v1/networks', { name, type: 'private' })).status, 201, name);
      assert.equal((await lab.call('GET', `/v1/networks/${name}`)).body.name, name);
    }
    const text = '{"lab":{"weft":1,"networks":{"__proto__":{"type":"private"}}}}';
    assert.equal((await lab.refused('POST', '/v1/apply', text)).problems[0].code, 'bad-format');
  });
});
