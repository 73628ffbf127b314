/** Requests that are refused: each with its status, its code, the path of the field and a reason; nothing changes. */
import assert from 'node:assert/strict';
import { ApiLab } from '../support/api-lab.js';

const NETWORK = { name: 'n', type: 'private' };
const ENDPOINT = { name: 'e', network: 'back' };

/** method, path, body, `path: message` of every problem. */
const INVALID: [string, string, unknown, string[]][] = [
  ['POST', '/v1/networks', { ...NETWORK, subnets: [5] }, ['subnets[0]: must be a string']],
  ['POST', '/v1/networks', { ...NETWORK, subnets: '10.0.0.0/24' }, ['subnets: must be a list']],
  ['POST', '/v1/networks', { type: 'private' }, ['name: is missing']],
  ['POST', '/v1/networks', [], [': must be an object']],
  ['POST', '/v1/networks', null, [': must be an object']],
  ['POST', '/v1/networks', { ...NETWORK, mtu: '1500' }, ['mtu: must be a whole number']],
  ['POST', '/v1/networks', { ...NETWORK, mtu: 1500.5 }, ['mtu: must be a whole number, not 1500.5']],
  ['POST', '/v1/networks', { ...NETWORK, mtu: 67 }, ['mtu: must be at least 68']],
  ['POST', '/v1/networks', { ...NETWORK, mtu: 70000 }, ['mtu: must be at most 65521']],
  ['POST', '/v1/networks', { ...NETWORK, gateway: 7 }, ['gateway: must be an address or a list of addresses']],
  ['POST', '/v1/networks', { ...NETWORK, gateway: ['10.0.0.1', null] }, ['gateway[1]: must be a string']],
  ['POST', '/v1/networks', { ...NETWORK, storm: { broadcast: -1 } }, ['storm.broadcast: must be at least 0']],
  [
    'POST',
    '/v1/networks',
    { ...NETWORK, controlFrames: 'drop' },
    ['controlFrames: must be pass or filter, not "drop"'],
  ],
  [
    'POST',
    '/v1/networks',
    { ...NETWORK, type: 'transparent', nic: 'eth0' },
    ['type: transparent networks are not in this version; supported: private, internal, nat, overlay'],
  ],
  [
    'POST',
    '/v1/networks',
    { ...NETWORK, type: 'bridge' },
    ['type: there is no network type "bridge"; supported: private, internal, nat, overlay'],
  ],
  [
    'PATCH',
    '/v1/networks/back',
    { type: 'internal' },
    ['type: cannot change while the network exists; delete it and create it again'],
  ],
  [
    'PATCH',
    '/v1/networks/back',
    { storms: {} },
    [
      'storms: is unknown; known: ageingSeconds, controlFrames, macLimit, mtu, reserved, storm, peers, peersClosed, learning, dscp, suppress, remoteSubnets, overlay, nat, routesTo, advertise, dhcp, dns',
    ],
  ],
  [
    'POST',
    '/v1/compartments',
    { name: 'c', netns: 'relative' },
    ['netns: must be an absolute path without control characters; "relative" is not'],
  ],
  [
    'POST',
    '/v1/compartments',
    { name: 'c', netns: '/run/\u001b[2J' },
    ['netns: must be an absolute path without control characters; "/run/\\u001b[2J" is not'],
  ],
  ['POST', '/v1/compartments', { name: 'c', pid: 0 }, ['pid: must be at least 1']],
  [
    'POST',
    '/v1/endpoints',
    { ...ENDPOINT, mac: '02:00' },
    ['mac: must be a MAC address like 02:00:5e:10:00:01; "02:00" is not'],
  ],
  [
    'POST',
    '/v1/endpoints',
    { ...ENDPOINT, ifname: 'a/b' },
    ['ifname: must be 1 to 15 characters without spaces, "/" and ":"; "a/b" is not'],
  ],
  [
    'POST',
    '/v1/endpoints',
    { ...ENDPOINT, isolated: 'yes', offload: 1 },
    ['isolated: must be true or false', 'offload: must be true or false'],
  ],
  ['POST', '/v1/endpoints', { ...ENDPOINT, vlan: { mode: 'access', id: 5000 } }, ['vlan.id: must be at most 4094']],
  [
    'POST',
    '/v1/endpoints',
    { ...ENDPOINT, vlan: { mode: 'trunk', native: 0, allowed: null } },
    ['vlan.native: must be at least 1'],
  ],
  [
    'POST',
    '/v1/endpoints',
    { ...ENDPOINT, vlan: { mode: 'hybrid' } },
    ['vlan: must be null, { mode: access, id } or { mode: trunk, native, allowed }'],
  ],
  [
    'POST',
    '/v1/endpoints',
    { ...ENDPOINT, vlan: 5 },
    ['vlan: must be null, { mode: access, id } or { mode: trunk, native, allowed }'],
  ],
  ['POST', '/v1/endpoints/web-back/attach', undefined, [': the request needs a JSON body']],
  ['POST', '/v1/endpoints/web-back/attach', { compartment: null }, ['compartment: must be a string']],
  [
    'POST',
    '/v1/captures',
    { network: 'back', file: 'relative.pcap' },
    ['file: must be an absolute path without control characters; "relative.pcap" is not'],
  ],
  ['POST', '/v1/captures', { all: true, file: '/tmp/x', count: 0 }, ['count: must be at least 1']],
  [
    'POST',
    '/v1/captures/stream',
    { filter: 'tcp\nport 80' },
    ['filter: must be at most 4096 characters without control characters; "tcp\\nport 80" is not'],
  ],
  ['POST', '/v1/apply', { lab: { weft: 2 } }, ['lab.weft: must be 1, the version of the lab file format']],
  [
    'POST',
    '/v1/apply',
    { lab: { weft: 1, networks: { n: { type: 'private', mtu: 1 } } } },
    ['lab.networks.n.mtu: must be at least 68'],
  ],
  [
    'POST',
    '/v1/apply',
    { lab: { weft: 1, endpoints: { e: { network: 'n', nic: 'eth1' } } } },
    ['lab.endpoints.e.nic: belongs to network types that are not in this version'],
  ],
  [
    'POST',
    '/v1/apply',
    { lab: { weft: 1, compartments: { 'a b': {} } } },
    [
      'lab.compartments["a b"]: the name must be 1 to 63 letters, digits, ".", "_" or "-", with a letter or digit at both ends',
    ],
  ],
  ['GET', '/v1/events?since=-1', undefined, ['since: must be a whole number']],
  ['GET', '/v1/events?since=1&since=2', undefined, ['since: must be a whole number']],
  ['GET', '/v1/networks?verbose=1', undefined, ['verbose: is unknown']],
  ['DELETE', '/v1/networks/back?force=1', undefined, ['force: must be true or false']],
];

const BAD_NAMES = [
  '',
  '.',
  '..',
  '../etc',
  'a/b',
  'a\u0000b',
  'a\nb',
  '-a',
  'a-',
  'a b',
  'ä',
  'x'.repeat(64),
  '\u202eabc',
];

describe('API: refusals', () => {
  let lab: ApiLab;
  let snapshot: unknown;

  beforeEach(async () => {
    lab = await ApiLab.start();
    await lab.populate();
    snapshot = lab.control.snapshot();
  });

  afterEach(async () => {
    assert.deepEqual(lab.control.snapshot(), snapshot, 'nothing has changed');
    assert.deepEqual(lab.log, [], 'nothing went wrong inside');
    await lab.close();
  });

  it('says the path and the reason of every problem of an invalid request', async () => {
    for (const [method, path, body, expected] of INVALID) {
      const refused = await lab.refused(method, path, body);
      const told = refused.problems.map(
        (problem: { path: string; message: string }) => `${problem.path}: ${problem.message}`,
      );
      assert.deepEqual(told, expected, `${method} ${path} ${JSON.stringify(body)}`);
      assert.deepEqual([refused.status, refused.code], [400, 'invalid-request']);
      assert.ok(refused.detail.includes(expected[0]!.replace(/^: /, '')), refused.detail);
    }
  });

  it('takes no field that it does not know, and names those that it does', async () => {
    const refused = await lab.refused('POST', '/v1/compartments', { name: 'c', pids: 5, color: 'red' });
    assert.deepEqual(refused.problems, [
      { path: 'pids', code: 'unknown-field', message: 'is unknown; known: name, netns, pid' },
      { path: 'color', code: 'unknown-field', message: 'is unknown; known: name, netns, pid' },
    ]);
  });

  it('says of fields that only a new network takes that they cannot change', async () => {
    const name = lab.control.controller.listNetworks()[0]!.name;
    const patch = { type: 'nat', hostVnic: true, overlay: { vni: 7, colour: 1 } };
    const { problems } = await lab.refused('PATCH', `/v1/networks/${name}`, patch);
    assert.deepEqual(
      problems.map(({ path, code }: { path: string; code: string }) => [path, code]),
      [
        ['type', 'immutable'],
        ['hostVnic', 'immutable'],
        ['overlay.vni', 'immutable'],
        ['overlay.colour', 'unknown-field'],
      ],
    );
    assert.equal(problems[0].message, 'cannot change while the network exists; delete it and create it again');
  });

  it('refuses names that could be paths or tricks, in bodies and in paths', async () => {
    for (const name of BAD_NAMES) {
      const inBody = await lab.refused('POST', '/v1/networks', { name, type: 'private' });
      assert.deepEqual([inBody.status, inBody.problems[0].path], [400, 'name'], JSON.stringify(name));
      const answer = await lab.call('DELETE', `/v1/networks/${encodeURIComponent(name)}`);
      assert.ok(answer.status >= 400 && answer.status < 500, `${JSON.stringify(name)} in the path: ${answer.status}`);
    }
  });

  it('echoes nothing that a terminal would act on', async () => {
    for (const text of ['\u001b[2J\u0007', '\u202e\u2066', '\u009b31m', 'line\r\nbreak']) {
      for (const body of [
        { name: text, type: 'private' },
        { [text]: 1 },
        { name: 'n', type: text },
        `{"name": ${text}`,
      ]) {
        const { detail, problems } = await lab.refused('POST', '/v1/networks', body);
        for (const told of [
          detail,
          ...problems.flatMap((p: { path: string; message: string }) => [p.path, p.message]),
        ]) {
          // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
          assert.doesNotMatch(told, /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/, JSON.stringify(told));
        }
      }
    }
  });

  it('says what is not JSON', async () => {
    for (const body of ['{', '{"name": }', 'name=x', '{"a":1}{"b":2}', '[1,]', "{'a':1}", '\u0000']) {
      const refused = await lab.refused('POST', '/v1/networks', body);
      assert.deepEqual([refused.status, refused.code], [400, 'malformed-json'], JSON.stringify(body));
    }
    const latin1 = await lab.server.app.inject({
      method: 'POST',
      url: '/v1/networks',
      headers: { 'content-type': 'application/json' },
      payload: Buffer.from([0x7b, 0x22, 0xe4, 0x22, 0x3a, 0x31, 0x7d]),
    });
    assert.equal(latin1.json().code, 'malformed-json');
  });

  it('is not impressed by depth, size or number', async () => {
    const deep = `${'['.repeat(500_000)}${']'.repeat(500_000)}`;
    assert.equal((await lab.refused('POST', '/v1/networks', deep)).status, 400);
    const nested = `{"name":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`;
    assert.equal((await lab.refused('POST', '/v1/networks', nested)).status, 400);
    const many = Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`field${i}`, i]));
    const refused = await lab.refused('POST', '/v1/networks', many);
    assert.ok(refused.problems.length <= 50);
    const longName = await lab.refused('POST', '/v1/networks', { name: 'x'.repeat(900_000), type: 'private' });
    assert.ok(JSON.stringify(longName).length < 2000, 'what was sent is not sent back');
    const numbers = await lab.refused('POST', '/v1/networks', '{"name":"n","type":"private","mtu":1e999}');
    assert.deepEqual(numbers.problems[0].path, 'mtu');
  });

  it('has read a body in which everything is wrong in the time of one in which nothing is', async () => {
    const wrong = { network: 'back', ip: 5 };
    const endpoints = Object.fromEntries(Array.from({ length: 28_000 }, (_, i) => [`e${i}`, wrong]));
    const { problems } = await lab.refused('POST', '/v1/apply', { lab: { weft: 1, endpoints } });
    const told = problems.map(({ path, message }: { path: string; message: string }) => `${path}: ${message}`);
    assert.equal(told[0], 'lab.endpoints: has more than 4096 entries');
    const others = Array.from(
      { length: 49 },
      (_, i) => `lab.endpoints.e${i}.ip: must be an address or a list of addresses`,
    );
    assert.deepEqual(told.slice(1), others);
  });

  it('takes JSON whatever JSON is called, and says how to declare it otherwise', async () => {
    const body = JSON.stringify({ name: 'back', type: 'private' });
    for (const type of [
      'application/json',
      'application/json; charset=utf-8',
      'text/json',
      'application/merge-patch+json',
    ]) {
      const refused = await lab.refused('POST', '/v1/networks', body, { 'content-type': type });
      assert.equal(refused.code, 'already-exists', type);
    }
    for (const type of [
      'application/x-www-form-urlencoded',
      'text/plain',
      'multipart/form-data',
      'application/jsonp',
    ]) {
      const refused = await lab.refused('POST', '/v1/networks', body, { 'content-type': type });
      assert.deepEqual([refused.status, refused.code], [415, 'unsupported-media-type'], type);
      assert.match(refused.remedy, /-H content-type:application\/json/);
    }
  });

  it('knows 404 from 405, whatever the body', async () => {
    for (const path of [
      '/',
      '/v1',
      '/v2/networks',
      '/v1/networks/',
      '/v1/networks/back/x',
      '/v1/network',
      '/metrics/x',
    ]) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const refused = await lab.refused(method, path, method === 'GET' ? undefined : '{');
        assert.deepEqual([refused.status, refused.code], [404, 'unknown-route'], `${method} ${path}`);
      }
    }
    const wrong = await lab.call('PUT', '/v1/networks/back', '{');
    assert.deepEqual(
      [wrong.status, wrong.body.code, wrong.headers.allow],
      [405, 'method-not-allowed', 'GET, PATCH, DELETE'],
    );
    assert.equal((await lab.call('HEAD', '/v1/networks')).status, 405);
    assert.equal((await lab.call('OPTIONS', '/v1/status')).headers.allow, 'GET');
    assert.equal((await lab.call('POST', '/metrics')).status, 405);
  });

  it('refuses broken escapes and very long paths', async () => {
    assert.equal((await lab.refused('GET', '/v1/networks/%zz')).code, 'malformed-http');
    assert.equal((await lab.refused('GET', '/v1/networks/%2e%2e%2fetc')).code, 'invalid-request');
    assert.equal((await lab.refused('GET', `/v1/networks/${'x'.repeat(4000)}`)).code, 'invalid-request');
    assert.equal((await lab.call('GET', `/v1/networks/${'x'.repeat(8000)}`)).status, 404);
  });

  it('passes on what the controller refuses, with its remedy', async () => {
    const missing = await lab.refused('GET', '/v1/endpoints/nobody');
    assert.deepEqual([missing.status, missing.code], [404, 'not-found']);
    assert.ok(missing.remedy.length > 0);
    const overlap = await lab.refused('POST', '/v1/networks', {
      name: 'n',
      type: 'private',
      subnets: ['10.81.0.0/16'],
    });
    assert.ok(overlap.status >= 400 && overlap.status < 500);
    const twice = await lab.refused('POST', '/v1/networks', { name: 'back', type: 'private' });
    assert.deepEqual([twice.status, twice.code, twice.title], [409, 'already-exists', 'An object of this name exists']);
  });
});
