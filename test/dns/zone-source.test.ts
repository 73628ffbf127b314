// From the desired state to names: who is known on a network, and of which other networks.
import assert from 'node:assert/strict';
import { localNamesOf, servesDns } from '../../src/control/dns/zone-source.js';
import { DesiredState } from '../../src/model/desired-state.js';
import { parseEndpointRequest } from '../../src/model/endpoint-request.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';

describe('dns/zone-source', () => {
  let state: DesiredState;

  beforeEach(() => {
    state = new DesiredState('test', { networks: 16, ports: 64 });
    addNetwork({ name: 'front', type: 'nat', uplink: 'none', subnets: ['10.1.0.0/24'], dns: { domain: 'lab.test' } });
    addNetwork({
      name: 'back',
      type: 'nat',
      uplink: 'none',
      subnets: ['10.2.0.0/24'],
      dns: false,
      routesTo: ['front'],
    });
    addNetwork({ name: 'host', type: 'internal', subnets: ['10.3.0.0/24'], routesTo: ['front'] });
    addNetwork({ name: 'other', type: 'nat', uplink: 'none', subnets: ['10.4.0.0/24'] });
    for (const name of ['shop', 'store']) state.addCompartment({ name, netns: null, pid: null }, name);
    for (const network of ['front', 'back', 'host', 'other']) addEndpoint(`on-${network}`, network, 'shop');
  });

  function addNetwork(request: object): void {
    const parsed = parseNetworkRequest(request);
    assert.ok(parsed.ok, JSON.stringify(parsed));
    state.addNetwork(parsed.value, parsed.value.name);
  }

  function addEndpoint(name: string, network: string, compartment: string | null, more: object = {}): void {
    const parsed = parseEndpointRequest({ name, network, ...more });
    assert.ok(parsed.ok, JSON.stringify(parsed));
    state.addEndpoint(parsed.value, name);
    if (compartment !== null) state.attach(name, compartment, () => false);
  }

  function find(network: string, domain: string, ...labels: string[]): readonly string[] | null {
    const zone = localNamesOf(state, state.network(network)).zones.find((each) => each.domain === domain);
    return zone?.find(labels)?.addresses ?? null;
  }

  it('knows the network itself, and those that either of the two has routes to', () => {
    const { zones, subnets } = localNamesOf(state, state.network('front'));
    assert.deepEqual(
      zones.map(({ domain }) => domain),
      ['lab.test', 'back.weft', 'host.weft'],
    );
    assert.equal(subnets.length, 3);
    assert.deepEqual(find('front', 'lab.test', 'on-front'), ['10.1.0.2']);
    assert.deepEqual(find('front', 'host.weft', 'on-host'), ['10.3.0.2']);
    assert.deepEqual(find('back', 'lab.test', 'on-front'), ['10.1.0.2']);
    assert.equal(find('front', 'other.weft', 'on-other'), null);
  });

  it('knows endpoints while they are in a compartment, and what they publish as ports inside', () => {
    const publish = ['192.0.2.1:8000-8002:80/tcp'];
    addEndpoint('web', 'front', null, { aliases: ['www'] });
    assert.equal(find('front', 'lab.test', 'web'), null);
    state.attach('web', 'store', () => false);
    for (const name of ['web', 'www', 'store']) assert.deepEqual(find('front', 'lab.test', name), ['10.1.0.3'], name);
    const { spec } = state.endpoint('web');
    state.endpoint('web').spec = { ...spec, publish };
    const [zone] = localNamesOf(state, state.network('front')).zones;
    assert.deepEqual(zone?.find(['_8002', '_tcp', 'web'])?.services, [
      { port: 82, host: 'web', addresses: ['10.1.0.3'] },
    ]);
    state.detach('web');
    assert.equal(find('front', 'lab.test', 'store'), null);
  });

  it('says which networks have a server of their own', () => {
    const served = [...state.networks.values()].filter(servesDns).map(({ spec }) => spec.name);
    assert.deepEqual(served, ['front', 'other']);
  });
});
