/** What is accepted as a request, what it means, and what is said about the rest. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseCompartmentRequest } from '../../src/model/compartment-request.js';
import { parseEndpointPatch, parseEndpointRequest } from '../../src/model/endpoint-request.js';
import { whyBadIfname, whyBadName } from '../../src/model/names.js';
import { type Parsed, parseNetworkPatch, parseNetworkRequest } from '../../src/model/network-request.js';

function value<T>(parsed: Parsed<T>): T {
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

function problems<T>(parsed: Parsed<T>): string[] {
  assert.ok(!parsed.ok, JSON.stringify(parsed));
  return parsed.problems.map(({ path, code }) => `${path} ${code}`);
}

describe('a request for a network', () => {
  it('gets a default for everything that it leaves open', () => {
    const spec = value(parseNetworkRequest({ name: 'lan', type: 'internal', subnets: ['10.0.0.0/24', 'FD00::/64'] }));
    assert.deepEqual(spec, {
      name: 'lan',
      type: 'internal',
      subnets: ['10.0.0.0/24', 'fd00::/64'],
      gateway: ['10.0.0.1', 'fd00::1'],
      pools: [],
      reserved: [],
      mtu: 1500,
      ageingSeconds: 300,
      controlFrames: 'pass',
      storm: { broadcast: 0, multicast: 0, unknownUnicast: 0 },
      macLimit: 131072,
      uplink: null,
      uplinkNetns: null,
      externalIp: [],
      nextHop: [],
      masquerade: false,
      overlay: null,
      nat: null,
      routesTo: [],
      advertise: false,
      dhcp: null,
      dns: null,
    });
    assert.deepEqual(value(parseNetworkRequest({ name: 'p', type: 'private', subnets: '10.0.0.0/31' })).gateway, []);
    assert.deepEqual(value(parseNetworkRequest(spec)), spec, 'what was accepted is accepted again');
  });

  it('is told everything that is wrong with it at once', () => {
    const request = {
      name: '../etc',
      type: 'bridge',
      subnets: ['10.0.0.1/24', '10.0.0.0/24', '10.0.0.128/25', 'fd00::/64', 'fe80::/64', 7],
      gateway: ['10.0.0.0', '192.0.2.1', 'x', '10.0.0.1', '10.0.0.2'],
      pools: ['10.0.0.9-10.0.0.3', '10.9.0.0/24', '10.0.0.1-10.0.0.5', '10.0.0.5'],
      reserved: 'y',
      mtu: 1000,
      ageingSeconds: 0,
      controlFrames: 'maybe',
      storm: { broadcast: -1, loud: 1 },
      macLimit: '9',
      colour: 'red',
    };
    assert.deepEqual(problems(parseNetworkRequest(request)), [
      'name bad-name',
      'type unknown-choice',
      'subnets[5] wrong-type',
      'subnets[0] bad-subnet',
      'subnets[2] bad-subnet',
      'subnets[4] bad-subnet',
      'gateway[0] bad-gateway',
      'gateway[1] bad-gateway',
      'gateway[2] bad-gateway',
      'gateway[4] bad-gateway',
      'mtu out-of-range',
      'pools[0] bad-pool',
      'pools[1] bad-pool',
      'pools[3] bad-pool',
      'reserved bad-range',
      'ageingSeconds out-of-range',
      'controlFrames unknown-choice',
      'storm.broadcast out-of-range',
      'storm.loud unknown-field',
      'macLimit wrong-type',
      'colour unknown-field',
    ]);
    assert.deepEqual(problems(parseNetworkRequest({})), ['name missing', 'type missing']);
    assert.deepEqual(problems(parseNetworkRequest([], 'networks.x'))[0], 'networks.x wrong-type');
  });

  it('changes only what can change', () => {
    const current = value(
      parseNetworkRequest({ name: 'n', type: 'private', subnets: ['10.0.0.0/24'], storm: { broadcast: 7 } }),
    );
    const next = value(parseNetworkPatch({ mtu: 9000, storm: { multicast: 3 }, reserved: ['10.0.0.9'] }, current));
    assert.deepEqual(next, {
      ...current,
      mtu: 9000,
      reserved: ['10.0.0.9'],
      storm: { broadcast: 7, multicast: 3, unknownUnicast: 0 },
    });
    assert.deepEqual(value(parseNetworkPatch({}, current)), current);
    const wrong = { type: 'internal', subnets: [], mtu: 1, reserved: ['192.0.2.1'], x: 1 };
    assert.deepEqual(problems(parseNetworkPatch(wrong, current)), [
      'type immutable',
      'subnets immutable',
      'mtu out-of-range',
      'reserved[0] bad-range',
      'x unknown-field',
    ]);
    assert.deepEqual(problems(parseNetworkPatch({ reserved: ['192.0.2.1'] }, current)), ['reserved[0] bad-range']);
  });
});

describe('a request for a compartment', () => {
  it('names a path, a process or neither', () => {
    assert.deepEqual(value(parseCompartmentRequest({ name: 'c' })), { name: 'c', netns: null, pid: null });
    assert.equal(value(parseCompartmentRequest({ name: 'c', netns: '/run/netns/x' })).netns, '/run/netns/x');
    assert.equal(value(parseCompartmentRequest({ name: 'c', pid: 42 })).pid, 42);
    assert.deepEqual(problems(parseCompartmentRequest({ name: 'c', pid: 1, netns: '/x' })), ['pid exclusive']);
    for (const netns of ['x', '', '/x\0y', `/${'x'.repeat(5000)}`]) {
      assert.deepEqual(problems(parseCompartmentRequest({ name: 'c', netns })), ['netns bad-path'], netns.slice(0, 9));
    }
    for (const pid of [0, -1, 1.5, 2 ** 31]) problems(parseCompartmentRequest({ name: 'c', pid }));
  });
});

describe('a request for an endpoint', () => {
  it('leaves to weft what it does not name', () => {
    assert.deepEqual(value(parseEndpointRequest({ name: 'e', network: 'n', compartment: null })), {
      name: 'e',
      network: 'n',
      compartment: null,
      ifname: null,
      mac: null,
      ip: [],
      defaultRoute: true,
      vlan: null,
      isolated: false,
      offload: true,
      staticMacs: [],
      publish: [],
      configure: true,
      vtep: null,
      aliases: [],
    });
  });

  it('is brought into canonical text', () => {
    const request = {
      name: 'e',
      network: 'n',
      ip: ['FD00:0::1', '10.0.0.1', 'fd00::1'],
      mac: '02-AA-bb-CC-dd-EE',
      staticMacs: ['02:00:00:00:00:0A', '02:00:00:00:00:0a'],
      vlan: { mode: 'trunk', allowed: [30, 10, 10] },
    };
    const wish = value(parseEndpointRequest(request));
    assert.deepEqual(wish.ip, ['fd00::1', '10.0.0.1']);
    assert.equal(wish.mac, '02:aa:bb:cc:dd:ee');
    assert.deepEqual(wish.staticMacs, ['02:00:00:00:00:0a']);
    assert.deepEqual(wish.vlan, { mode: 'trunk', native: null, allowed: [10, 30] });
  });

  it('is told everything that is wrong with it at once', () => {
    const request = {
      name: 'a b',
      network: '',
      compartment: '..',
      ifname: 'eth0/1',
      ip: ['10.0.0.1/24', 'x'],
      mac: '01:00:5e:00:00:01',
      defaultRoute: 'yes',
      vlan: { mode: 'access', allowed: [1] },
      staticMacs: ['00:00:00:00:00:00', 'x'],
      extra: 1,
    };
    assert.deepEqual(problems(parseEndpointRequest(request)), [
      'name bad-name',
      'network bad-name',
      'compartment bad-name',
      'mac bad-mac',
      'ip[0] bad-address',
      'ip[1] bad-address',
      'defaultRoute wrong-type',
      'vlan.id missing',
      'vlan.allowed unknown-field',
      'staticMacs[0] bad-mac',
      'staticMacs[1] bad-mac',
      'ifname bad-name',
      'extra unknown-field',
    ]);
  });

  it('can be freed from its VLAN by null, and keeps what a change does not name', () => {
    const current = {
      ...value(parseEndpointRequest({ name: 'e', network: 'n', vlan: { mode: 'access', id: 7 }, isolated: true })),
      ifname: 'eth0',
      mac: '02:00:00:00:00:01',
    };
    assert.deepEqual(value(parseEndpointPatch({ vlan: null }, current)), { ...current, vlan: null });
    assert.deepEqual(value(parseEndpointPatch({ isolated: false }, current)), { ...current, isolated: false });
    assert.deepEqual(problems(parseEndpointPatch({ ip: 'x', compartment: 'c' }, current)), [
      'ip immutable',
      'compartment immutable',
    ]);
  });
});

describe('names', () => {
  it('are letters, digits and a few signs, and cannot be a path', () => {
    for (const name of ['a', 'A9', 'web-1.x_y', 'x'.repeat(63), 'constructor'])
      assert.equal(whyBadName(name), null, name);
    for (const name of ['', '.', '..', '-a', 'a-', 'a/b', 'a b', 'ä', 'a\n', 'x'.repeat(64), '__proto__', 'a\0']) {
      assert.notEqual(whyBadName(name), null, name);
    }
  });

  it('of interfaces are what Linux takes, without traps', () => {
    for (const name of ['eth0', 'a', 'x'.repeat(15), 'wg-0.1', '@']) assert.equal(whyBadIfname(name), null, name);
    for (const name of [
      '',
      '.',
      '..',
      'x'.repeat(16),
      'a/b',
      'a:b',
      'a b',
      'tap%d',
      'lo',
      'all',
      'default',
      'ä',
      'a\n',
    ]) {
      assert.notEqual(whyBadIfname(name), null, name);
    }
  });
});

describe('whatever is sent as a request', () => {
  it('is accepted or refused with problems, and never breaks the reader', () => {
    const noise = fc.oneof(
      fc.anything(),
      fc.dictionary(
        fc.constantFrom(
          'name',
          'type',
          'subnets',
          'gateway',
          'pools',
          'mtu',
          'storm',
          'network',
          'ip',
          'mac',
          'vlan',
          'pid',
          'uplink',
          'externalIp',
          'nextHop',
          'nat',
          'routesTo',
          'dhcp',
          'dns',
          'publish',
          'aliases',
          '__proto__',
        ),
        fc.anything(),
      ),
    );
    fc.assert(
      fc.property(noise, (body) => {
        for (const parse of [parseNetworkRequest, parseCompartmentRequest, parseEndpointRequest]) {
          const parsed = parse(body);
          if (!parsed.ok) assert.ok(parsed.problems.length > 0);
          else assert.deepEqual(parse(parsed.value), parsed, 'accepted once, accepted again');
        }
      }),
      { numRuns: 500 },
    );
  });
});
