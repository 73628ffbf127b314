/** The rules between overlay networks, and endpoints behind the VTEPs of other hosts. */
import assert from 'node:assert/strict';
import { DesiredState } from '../../src/model/desired-state.js';
import { parseEndpointRequest } from '../../src/model/endpoint-request.js';
import { parseNetworkPatch, parseNetworkRequest } from '../../src/model/network-request.js';
import { anycastMac } from '../../src/model/overlay-rules.js';
import { RequestError } from '../../src/model/problems.js';
import { copyState, formatState, parseState } from '../../src/model/state-file.js';

const LIMITS = { networks: 12, ports: 100 };
const INSTANCE = '01234567-89ab-4cde-8f01-23456789abcd';
const MAC = '02:00:5e:10:00:01';
let state: DesiredState;

const network = (name: string, body: object) => {
  const parsed = parseNetworkRequest({ name, type: 'overlay', ...body });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
};
const add = (name: string, body: object) => state.addNetwork(network(name, body), `id-${name}`);
const endpoint = (name: string, on: string, body: object = {}) => {
  const parsed = parseEndpointRequest({ name, network: on, ...body });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return state.addEndpoint(parsed.value, `id-${name}`);
};
const refused = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof RequestError && error.code === code && pattern.test(error.message) && error.remedy !== '';

beforeEach(() => {
  state = new DesiredState(INSTANCE, LIMITS);
});

describe('VNIs', () => {
  it('belong to one network of a VTEP, and to others elsewhere', () => {
    const taken = refused('conflict', /^VNI 7 belongs to network a already, on the same VTEP and UDP port$/);
    add('a', { vni: 7, vtep: '192.0.2.1' });
    assert.throws(() => add('b', { vni: 7, vtep: '192.0.2.1' }), taken);
    assert.throws(() => add('b', { vni: 7 }), taken, 'the VTEP of the default route may be this one');
    add('b', { vni: 8, vtep: '192.0.2.1' });
    add('c', { vni: 7, vtep: '192.0.2.1', port: 8472 });
    add('d', { vni: 7, vtep: '192.0.2.2' });
    add('e', { vni: 7, vtep: '192.0.2.1', underlayNetns: '/run/netns/x' });
    assert.throws(
      () => add('f', { vni: 9, vtep: '192.0.2.1', underlay: 'tap' }),
      refused('conflict', /^VTEP address 192\.0\.2\.1 belongs to network a already, with underlay socket$/),
    );
    add('f', { vni: 7, vtep: '192.0.2.3', underlay: 'tap' });
  });

  it('give the gateway a MAC that is the same on every host, while each host keeps one of its own', () => {
    const other = new DesiredState('11234567-89ab-4cde-8f01-23456789abcd', LIMITS);
    const spec = network('a', { vni: 0x123456, subnets: ['10.90.0.0/24'], uplink: 'host' });
    const [here, there] = [state, other].map((each) => each.addNetwork(spec, 'id').record);
    assert.equal(here?.gatewayMac, '02:57:45:12:34:56');
    assert.equal(there?.gatewayMac, here?.gatewayMac);
    assert.notEqual(there?.ownRouterMac, here?.ownRouterMac);
    for (const mac of [here?.gatewayMac, here?.ownRouterMac]) {
      const taken = refused('conflict', /is used by the gateway on network a$/);
      assert.throws(() => endpoint('e', 'a', { mac }), taken);
    }
    assert.equal(anycastMac(16777215), '02:57:45:ff:ff:ff');
    const bare = state.addNetwork(network('b', { vni: 1 }), 'b').record;
    assert.deepEqual([bare.gatewayMac, bare.ownRouterMac, bare.uplinkMac, bare.hostMac], [null, null, null, null]);
  });
});

describe('subnets of overlay networks', () => {
  const subnets = ['10.90.0.0/24'];
  const overlap = (name: string) =>
    refused('conflict', new RegExp(`^subnet 10\\.90\\.0\\.0/24.* overlaps .* of network ${name}$`));

  it('may be those of other tenants, as long as nothing on this host has to tell them apart', () => {
    add('a', { vni: 1, subnets });
    add('b', { vni: 2, subnets });
    assert.throws(() => add('c', { vni: 3, subnets, uplink: 'host' }), overlap('a'));
    assert.throws(() => add('c', { vni: 3, subnets, hostVnic: true }), overlap('a'));
    assert.throws(() => add('c', { vni: 3, subnets: ['10.91.0.0/24'], routesTo: ['a'] }), overlap('b'));
    const lan = parseNetworkRequest({ name: 'c', type: 'private', subnets });
    assert.ok(lan.ok);
    assert.throws(() => state.addNetwork(lan.value, 'id'), overlap('a'));
    add('c', { vni: 3, subnets: ['10.91.0.0/24'] });
    const linked = parseNetworkPatch({ routesTo: ['a'] }, state.network('c').spec);
    assert.ok(linked.ok);
    assert.throws(() => state.changeNetwork('c', linked.value), overlap('b'));
    state.removeNetwork('b');
    state.changeNetwork('c', linked.value);
    assert.throws(() => add('b', { vni: 2, subnets }), overlap('a'));
  });
});

describe('routes to overlay networks', () => {
  it('need a gateway there', () => {
    add('flat', { vni: 1 });
    add('routed', { vni: 2, subnets: ['10.90.0.0/24'] });
    state.checkRoutesTo(network('x', { vni: 3, subnets: ['10.91.0.0/24'], routesTo: ['routed'] }));
    assert.throws(
      () => state.checkRoutesTo(network('x', { vni: 3, subnets: ['10.91.0.0/24'], routesTo: ['flat'] })),
      refused('conflict', /^network x cannot have routes to flat, an overlay network without a gateway$/),
    );
  });
});

describe('endpoints of other hosts', () => {
  const remote = { vtep: '192.0.2.2', mac: MAC };

  beforeEach(() => {
    add('ov', { vni: 1, subnets: ['10.90.0.0/24', 'fd90::/64'], vtep: '192.0.2.1' });
  });

  it('have the addresses that were named and no others, which nobody else gets', () => {
    const { record, undo } = endpoint('db', 'ov', { ...remote, ip: ['10.90.0.2'] });
    assert.deepEqual([record.spec.ip, record.spec.vtep, record.spec.mac], [['10.90.0.2'], '192.0.2.2', MAC]);
    assert.deepEqual(endpoint('web', 'ov').record.spec.ip, ['10.90.0.3', 'fd90::2']);
    assert.throws(
      () => endpoint('x', 'ov', { ip: '10.90.0.2' }),
      refused('conflict', /^10\.90\.0\.2 is the address of endpoint db$/),
    );
    assert.throws(() => endpoint('x', 'ov', { mac: MAC }), refused('conflict', /is used by endpoint db/));
    assert.throws(
      () => endpoint('x', 'ov', { ...remote, mac: '02:00:5e:10:00:03', ip: ['10.90.0.2', '10.91.0.1'] }),
      (error: unknown) => error instanceof RequestError && error.remedy.startsWith('name other addresses'),
    );
    assert.deepEqual(endpoint('quiet', 'ov', { ...remote, mac: '02:00:5e:10:00:02' }).record.spec.ip, []);
    undo();
    endpoint('x', 'ov', { ip: '10.90.0.2', mac: MAC });
  });

  it('are never on this host, and have nothing that only endpoints of this host have', () => {
    state.addCompartment({ name: 'c', netns: null, pid: null }, 'id-c');
    endpoint('db', 'ov', remote);
    assert.throws(
      () => state.attach('db', 'c', () => false),
      refused('conflict', /^endpoint db is behind VTEP 192\.0\.2\.2, not on this host$/),
    );
    const wrong = (body: object, code: string, pattern: RegExp) =>
      assert.throws(
        () => endpoint('e', 'ov', { vtep: '192.0.2.3', mac: '02:00:5e:10:00:09', ...body }),
        refused(code, pattern),
      );
    wrong({ compartment: 'c' }, 'invalid-request', /and compartment is for endpoints of this host$/);
    wrong({ isolated: true }, 'invalid-request', /and isolated is for/);
    wrong({ staticMacs: [MAC] }, 'invalid-request', /and staticMacs is for/);
    wrong({ publish: ['80:80'] }, 'invalid-request', /and publish is for/);
    wrong({ mac: null }, 'invalid-request', /so its MAC is not for weft to choose$/);
    wrong({ vtep: '192.0.2.1' }, 'conflict', /^192\.0\.2\.1 is the VTEP of this host itself on network ov$/);
    wrong({ vtep: '2001:db8::2' }, 'conflict', /are of different families$/);
    wrong({ vlan: { mode: 'access', id: 5 } }, 'conflict', /^the tunnel of network ov carries no VLANs$/);
    const lan = parseNetworkRequest({ name: 'lan', type: 'private' });
    assert.ok(lan.ok);
    state.addNetwork(lan.value, 'id-lan');
    assert.throws(() => endpoint('e', 'lan', remote), refused('conflict', /network lan is of type private$/));
  });

  it('need no port of the datapath', () => {
    for (let i = 0; i < 100; i++) {
      endpoint(`r${i}`, 'ov', { vtep: '192.0.2.2', mac: `02:00:5e:10:01:${i.toString(16).padStart(2, '0')}` });
    }
    endpoint('here', 'ov');
  });
});

describe('the host vNIC of an overlay network', () => {
  it('has addresses of its own, and the same ones after a restart', () => {
    const { record } = add('ov', { vni: 1, subnets: ['10.90.0.0/24', 'fd90::/64'], hostVnic: true });
    assert.deepEqual(record.hostAddresses, ['10.90.0.2', 'fd90::2']);
    assert.match(record.hostMac ?? '', /^02/);
    assert.throws(
      () => endpoint('e', 'ov', { ip: '10.90.0.2' }),
      refused('conflict', /^10\.90\.0\.2 is the address of the host vNIC$/),
    );
    state.removeNetwork('ov');
    const named = add('ov', { vni: 1, subnets: ['10.90.0.0/24', 'fd90::/64'], hostVnic: 'fd90::99' }).record;
    assert.deepEqual(named.hostAddresses, ['10.90.0.2', 'fd90::99']);
    const reading = parseState(formatState(state, []), LIMITS);
    assert.ok(reading.kind === 'read');
    assert.deepEqual(reading.state.network('ov').hostAddresses, named.hostAddresses);
  });

  it('keeps addresses that weft chose while others come and go', () => {
    add('ov', { vni: 1, subnets: ['10.90.0.0/24'] });
    endpoint('first', 'ov', { ip: '10.90.0.2' });
    state.removeEndpoint('first');
    state.removeNetwork('ov');
    const { record } = state.addNetwork(network('ov', { vni: 1, subnets: ['10.90.0.0/24'], hostVnic: true }), 'id', [
      '10.90.0.77',
    ]);
    assert.deepEqual(record.hostAddresses, ['10.90.0.77']);
    assert.deepEqual(copyState(state, LIMITS).network('ov').hostAddresses, ['10.90.0.77']);
  });
});

describe('the state file', () => {
  it('brings overlay networks and endpoints of other hosts back as they were', () => {
    add('ov', {
      vni: 1,
      subnets: ['10.90.0.0/24'],
      vtep: '192.0.2.1',
      peers: ['192.0.2.2'],
      uplink: 'host',
      hostVnic: true,
    });
    endpoint('db', 'ov', { vtep: '192.0.2.2', mac: MAC, ip: '10.90.0.50', aliases: ['postgres'] });
    endpoint('web', 'ov');
    const text = formatState(state, []);
    const reading = parseState(text, LIMITS);
    assert.ok(reading.kind === 'read');
    assert.deepEqual(reading.left, []);
    assert.equal(formatState(reading.state, []), text);
  });
});

describe('room for overlay networks', () => {
  it('is that of their segments and tunnels, and of the VTEPs that they share', () => {
    state = new DesiredState(INSTANCE, { networks: 8, ports: 60 });
    add('a', { vni: 1 });
    add('b', { vni: 2 });
    add('c', { vni: 3, port: 8472 });
    add('d', { vni: 4, port: 8473 });
    // 4 networks and 3 VTEPs, with 17 ports each; one port for each tunnel: 55.
    for (let i = 0; i < 5; i++) endpoint(`e${i}`, 'a');
    assert.throws(() => endpoint('e5', 'a'), refused('exhausted', /all the 60 ports/));
    assert.throws(() => add('e', { vni: 5 }), refused('exhausted', /all the 60 ports/));
    state.removeEndpoint('e0');
    add('e', { vni: 5 });
    assert.throws(() => add('f', { vni: 6 }), refused('exhausted', /all the 8 networks/));
  });
});
