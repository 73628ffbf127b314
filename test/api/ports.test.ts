/** /v1/ports, and nat networks as the API takes and shows them. */
import assert from 'node:assert/strict';
import { ApiLab } from '../support/api-lab.js';

const NETWORK = {
  name: 'front',
  type: 'nat',
  subnets: ['10.80.0.0/24'],
  nat: { mapping: 'address-and-port-dependent', ports: { first: 2000 } },
  dhcp: false,
};

describe('API: published ports', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    assert.equal((await lab.call('POST', '/v1/networks', NETWORK)).status, 201);
    const endpoint = { name: 'web', network: 'front', publish: ['53:53/udp'] };
    assert.equal((await lab.call('POST', '/v1/endpoints', endpoint)).status, 201);
  });

  afterEach(() => lab.close());

  const specs = async (query = '') =>
    (await lab.call('GET', `/v1/ports${query}`)).body.map(({ spec }: { spec: string }) => spec);

  it('are published, listed and taken back', async () => {
    const made = await lab.call('POST', '/v1/ports', { endpoint: 'web', spec: '192.0.2.1:8000-8001:80' });
    assert.equal(made.status, 201);
    assert.deepEqual(made.body, {
      endpoint: 'web',
      network: 'front',
      spec: '192.0.2.1:8000-8001:80/tcp',
      protocol: 'tcp',
      hostIp: '192.0.2.1',
      hostFirst: 8000,
      hostLast: 8001,
      port: 80,
      addresses: ['10.80.0.2'],
    });
    assert.deepEqual(await specs(), ['53:53/udp', '192.0.2.1:8000-8001:80/tcp']);
    assert.deepEqual(await specs('?endpoint=web&spec=53:53/udp'), ['53:53/udp']);
    assert.equal((await lab.call('GET', '/v1/ports?endpoint=nobody')).status, 404);
    assert.deepEqual(
      await specs('?spec=192.0.2.1:8000-8001:80'),
      ['192.0.2.1:8000-8001:80/tcp'],
      'as it was asked for',
    );
    assert.equal((await lab.call('GET', '/v1/ports?spec=8000')).status, 400);
    const all = await lab.call('DELETE', '/v1/ports');
    assert.deepEqual([all.status, all.body.detail], [400, 'nothing says which ports are meant']);
    const gone = await lab.call('DELETE', '/v1/ports?spec=53:53/udp');
    assert.deepEqual([gone.status, gone.body.length, gone.body[0].spec], [200, 1, '53:53/udp']);
    assert.equal((await lab.call('DELETE', '/v1/ports?spec=53:53/udp')).status, 404);
    assert.equal((await lab.call('DELETE', '/v1/ports?endpoint=web')).status, 200);
    assert.deepEqual(await specs(), []);
  });

  it('are refused with a code, the field and the owner', async () => {
    const taken = await lab.call('POST', '/v1/ports', { endpoint: 'web', spec: '53:54/udp' });
    assert.deepEqual([taken.status, taken.body.problems[0].path], [400, 'publish[1]']);
    assert.equal((await lab.call('POST', '/v1/endpoints', { name: 'db', network: 'front' })).status, 201);
    const owned = await lab.call('POST', '/v1/ports', { endpoint: 'db', spec: '53:54/udp' });
    assert.deepEqual([owned.status, owned.body.code], [409, 'conflict']);
    assert.match(owned.body.detail, /endpoint web publishes 53:53\/udp/);
    const wrong = await lab.call('POST', '/v1/ports', { endpoint: 'db', spec: 'x' });
    assert.deepEqual([wrong.status, wrong.body.problems[0].path], [400, 'spec']);
    const control = await lab.call('POST', '/v1/ports', { endpoint: 'db', spec: '\u001b[2J' });
    assert.deepEqual([control.status, control.body.problems[0].path], [400, 'spec']);
  });

  it('stand in the endpoint too, and change with it', async () => {
    assert.deepEqual((await lab.call('GET', '/v1/endpoints/web')).body.publish, ['53:53/udp']);
    const patched = await lab.call('PATCH', '/v1/endpoints/web', { publish: ['80:80'], aliases: ['WWW'] });
    assert.deepEqual([patched.body.publish, patched.body.aliases], [['80:80/tcp'], ['www']]);
    assert.deepEqual(await specs(), ['80:80/tcp']);
  });

  it('belong to networks that show everything they were made with', async () => {
    const { body } = await lab.call('GET', '/v1/networks/front');
    assert.equal(body.nat.mapping, 'address-and-port-dependent');
    assert.deepEqual(body.nat.ports, { first: 2000, last: 65535 });
    assert.deepEqual([body.uplink, body.dhcp.enabled, body.dns.domain], ['host', false, 'front.weft']);
    const patch = { nat: { timers: { udp: 30 } }, dns: false, advertise: false };
    const patched = await lab.call('PATCH', '/v1/networks/front', patch);
    assert.deepEqual([patched.status, patched.body.nat.timers.udp, patched.body.dns.enabled], [200, 30, false]);
    for (const [fields, path] of [
      [{ nat: { timers: { udp: 0 } } }, 'nat.timers.udp'],
      [{ nat: { ipv6: 'routed' } }, 'nat.ipv6'],
      [{ dhcp: 'yes' }, 'dhcp'],
      [{ routesTo: ['a b'] }, 'routesTo[0]'],
    ] as const) {
      const answer = await lab.call('PATCH', '/v1/networks/front', fields);
      assert.deepEqual([answer.status, answer.body.problems[0].path], [400, path]);
    }
  });
});
