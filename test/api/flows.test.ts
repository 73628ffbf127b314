// The flow table over the API: pages, filters, one flow, ending flows; what is asked wrongly is refused with a reason.
import { strict as assert } from 'node:assert';
import { ApiLab } from '../support/api-lab.js';
import { FlowLab } from '../support/flow-lab.js';

const UDP = 17;
const ICMP = 1;

describe('api: flows', () => {
  let api: ApiLab;
  let flows: FlowLab;

  beforeEach(async () => {
    api = await ApiLab.start();
    const { controller } = api;
    for (const [name, ...subnets] of [
      ['front', '10.90.0.0/24', 'fd00:90::/64'],
      ['other', '10.91.0.0/24'],
    ] as [string, ...string[]][]) {
      await controller.createNetwork({ name, type: 'nat', subnets, uplink: 'none' });
    }
    await controller.createEndpoint({ name: 'web', network: 'front', ip: ['10.90.0.10', 'fd00:90::10'] });
    flows = new FlowLab(api.control);
    flows.adopt();
  });
  afterEach(() => api.close());

  /** Row of a network in the program. */
  const rowOf = (network: string): number => {
    const { program } = api.control.datapath;
    const first = [...program.networkRole.keys()].filter((row) => program.networkRole[row] === 1);
    return first[network === 'front' ? 0 : 1]!;
  };
  const open = (network: string, inside: string, remote: string, more: object = {}): number =>
    flows.open(rowOf(network), { inside, remote, ...more });

  /** Remote ports of the flows that a query finds. */
  async function found(query: string): Promise<(number | null)[]> {
    const { status, body, text } = await api.call('GET', `/v1/flows${query}`);
    assert.equal(status, 200, text);
    return body.map((flow: { remote: { port: number | null } }) => flow.remote.port);
  }

  it('are none at first, and none before a worker has prepared the memory', async () => {
    assert.deepEqual(await found(''), []);
    api.control.datapath.flows = new Int32Array(64);
    assert.deepEqual(await found(''), []);
    assert.equal((await api.refused('GET', '/v1/flows/0-1')).code, 'not-found');
  });

  it('show who speaks with whom, how much, for how long, and until when', async () => {
    const row = open('front', '10.90.0.10:5000', '203.0.113.9:443');
    flows.nat.flows.countOut(row, 1500);
    flows.nat.flows.countIn(row, 64_000);
    flows.nat.flows.countIn(row, 500);
    flows.tick(31_500);
    const { body } = await api.call('GET', '/v1/flows');
    const outsidePort = flows.nat.flows.outsidePort(row);
    const expected = {
      id: `${row}-${flows.nat.flows.generation(row)}`,
      network: 'front',
      endpoint: 'web',
      protocol: 'tcp',
      state: 'established',
      inside: { address: '10.90.0.10', port: 5000 },
      outside: { address: '100.64.0.1', port: outsidePort },
      remote: { address: '203.0.113.9', port: 443 },
      framesOut: 1,
      bytesOut: 1500,
      framesIn: 2,
      bytesIn: 64_500,
      ageSeconds: 31,
      expiresSeconds: 69,
    };
    assert.deepEqual(body, [expected]);
    assert.deepEqual((await api.call('GET', `/v1/flows/${expected.id}`)).body, expected);
  });

  it('that begin while the list is made are of no age', async () => {
    const began = flows.now;
    flows.now += 400;
    open('front', '10.90.0.10:5000', '203.0.113.9:443');
    flows.now = began;
    const { body } = await api.call('GET', '/v1/flows');
    assert.equal(body[0].ageSeconds, 0);
    flows.tick(40 * 24 * 3600 * 1000);
    assert.equal((await api.call('GET', '/v1/flows')).body[0].ageSeconds, 40 * 24 * 3600 - 1);
  });

  it('name IPv6 addresses, ICMP identifiers, protocols without a name, and addresses of nobody', async () => {
    open('front', '[fd00:90::10]:5000', '[2001:db8::53]:53', { protocol: UDP, state: 0 });
    open('front', '10.90.0.77:321', '203.0.113.9:0', { protocol: ICMP, state: 0 });
    open('front', '10.90.0.78:1', '203.0.113.9:2', { protocol: 99, state: 0 });
    const { body } = await api.call('GET', '/v1/flows');
    assert.deepEqual(
      // biome-ignore lint/suspicious/noExplicitAny: as a client sees it
      body.map(({ endpoint, protocol, state, inside, remote }: any) => [endpoint, protocol, state, inside, remote]),
      [
        ['web', 'udp', 'open', { address: 'fd00:90::10', port: 5000 }, { address: '2001:db8::53', port: 53 }],
        [null, 'icmp', 'open', { address: '10.90.0.77', port: 321 }, { address: '203.0.113.9', port: null }],
        [null, '99', 'open', { address: '10.90.0.78', port: 1 }, { address: '203.0.113.9', port: 2 }],
      ],
    );
  });

  it('are filtered by network, endpoint, protocol and state, and by all of them', async () => {
    open('front', '10.90.0.10:5000', '203.0.113.9:1');
    open('front', '[fd00:90::10]:5000', '[2001:db8::1]:2', { protocol: UDP, state: 0 });
    open('front', '10.90.0.11:5000', '203.0.113.9:3', { state: 6 });
    open('other', '10.90.0.10:5000', '203.0.113.9:4');
    assert.deepEqual(await found('?network=front'), [1, 2, 3]);
    assert.deepEqual(await found('?network=other'), [4]);
    assert.deepEqual(await found('?endpoint=web'), [1, 2]);
    assert.deepEqual(await found('?protocol=udp'), [2]);
    assert.deepEqual(await found('?protocol=6'), [1, 3, 4]);
    assert.deepEqual(await found('?state=closing'), [3]);
    assert.deepEqual(await found('?endpoint=web&protocol=tcp&state=established&network=front'), [1]);
    assert.deepEqual(await found('?endpoint=web&network=other'), []);
  });

  it('come in pages that together are all of them, once', async () => {
    const ports = Array.from({ length: 25 }, (_, i) => i + 1);
    for (const port of ports) open('front', '10.90.0.10:5000', `203.0.113.9:${port}`);
    const seen: number[] = [];
    let after = '';
    for (let page = 0; page < 10; page++) {
      const { body } = await api.call('GET', `/v1/flows?limit=10${after}`);
      seen.push(...body.map((flow: { remote: { port: number } }) => flow.remote.port));
      if (body.length < 10) break;
      after = `&after=${body.at(-1).id}`;
    }
    assert.deepEqual(seen, ports);
  });

  it('are a thousand at once unless more are asked for', async () => {
    for (let i = 0; i < 1200; i++) open('front', '10.90.0.10:5000', `203.0.113.9:${i}`);
    assert.equal((await found('')).length, 1000);
    assert.equal((await found('?limit=5000')).length, 1200);
  });

  it('end one at a time, and only the one that is meant', async () => {
    const row = open('front', '10.90.0.10:5000', '203.0.113.9:1');
    const id = `${row}-${flows.nat.flows.generation(row)}`;
    assert.equal((await api.call('DELETE', `/v1/flows/${id}`)).status, 204);
    assert.deepEqual(await found(''), []);
    assert.equal(open('front', '10.90.0.10:5001', '203.0.113.9:2'), row, 'the row is used again');
    assert.equal((await api.refused('DELETE', `/v1/flows/${id}`)).code, 'not-found');
    assert.equal((await api.refused('GET', `/v1/flows/${id}`)).code, 'not-found');
    assert.deepEqual(await found(''), [2]);
  });

  it('end by filter, or all of them if that is said', async () => {
    for (let i = 0; i < 1500; i++) open(i % 3 ? 'front' : 'other', '10.90.0.10:5000', `203.0.113.9:${i}`);
    assert.deepEqual((await api.call('DELETE', '/v1/flows?endpoint=web')).body, { deleted: 1000 });
    assert.equal(flows.nat.flows.count, 500);
    assert.deepEqual((await api.call('DELETE', '/v1/flows?protocol=udp')).body, { deleted: 0 });
    const problem = await api.refused('DELETE', '/v1/flows');
    assert.deepEqual([problem.code, problem.remedy], ['invalid-request', 'give a filter, or all=true']);
    assert.deepEqual((await api.call('DELETE', '/v1/flows?all=true')).body, { deleted: 500 });
    assert.equal(flows.nat.mappings.count, 0);
  });

  it('of a network that is gone are not shown', async () => {
    open('front', '10.90.0.10:5000', '203.0.113.9:1');
    open('other', '10.90.0.10:5000', '203.0.113.9:4');
    await api.controller.deleteNetwork('other', true);
    assert.deepEqual(await found(''), [1]);
  });

  it('cannot be asked for wrongly', async () => {
    for (const [query, code] of [
      ['?network=none', 'not-found'],
      ['?endpoint=none', 'not-found'],
      ['?protocol=tcpp', 'invalid-request'],
      ['?protocol=256', 'invalid-request'],
      ['?state=dead', 'invalid-request'],
      ['?limit=0', 'invalid-request'],
      ['?limit=10001', 'invalid-request'],
      ['?after=x', 'invalid-request'],
      ['?color=red', 'invalid-request'],
    ] as const) {
      assert.equal((await api.refused('GET', `/v1/flows${query}`)).code, code, query);
    }
    for (const id of ['x', '1', '-1-1', '99999999-1', '1-99999999999']) {
      assert.match((await api.refused('GET', `/v1/flows/${id}`)).code, /^(not-found|invalid-request)$/, id);
    }
  });

  it('are counted in /metrics and in the statistics', async () => {
    const { body } = await api.call('GET', '/v1/stats');
    const names = ['flows', 'flowMappings', 'flowsOpened', 'flowsExpired', 'flowsDeleted'];
    assert.deepEqual(
      names.map((name) => body.datapath[name]),
      [0, 0, 0, 0, 0],
    );
    const { text } = await api.call('GET', '/metrics');
    for (const line of ['weft_flows 0', 'weft_flows_opened_total 0', 'weft_flows_ended_total{cause="timer"} 0']) {
      assert.ok(text.includes(`${line}\n`), line);
    }
  });
});
