/** The rules between objects, and that every change can be taken back. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DesiredState } from '../../src/model/desired-state.js';
import { parseEndpointRequest } from '../../src/model/endpoint-request.js';
import { assignMac } from '../../src/model/mac-assignment.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import { RequestError } from '../../src/model/problems.js';
import { copyState, formatState, parseState } from '../../src/model/state-file.js';
import { STATE_VERSION } from '../../src/model/state-migrations.js';

const INSTANCE = '01234567-89ab-4cde-8f01-23456789abcd';
const LIMITS = { networks: 3, ports: 6 };

const network = (name: string, body: object = {}) => {
  const parsed = parseNetworkRequest({ name, type: 'private', ...body });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
};
const wish = (name: string, on: string, body: object = {}) => {
  const parsed = parseEndpointRequest({ name, network: on, ...body });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
};
const nobody = () => false;
const refused = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof RequestError && error.code === code && pattern.test(error.message);

describe('model/desired-state', () => {
  let state: DesiredState;

  beforeEach(() => {
    state = new DesiredState(INSTANCE, LIMITS);
    state.addNetwork(network('n', { subnets: ['10.0.0.0/24', 'fd00::/64'] }), 'id-n');
    state.addNetwork(network('host', { type: 'internal', subnets: ['10.1.0.0/24'] }), 'id-host');
    for (const name of ['a', 'b']) state.addCompartment({ name, netns: null, pid: null }, `id-${name}`);
  });

  it('gives an endpoint the same MAC every time, and another one when that is taken', () => {
    const { record, undo } = state.addEndpoint(wish('e', 'n'), '1');
    const { mac } = record.spec;
    undo();
    assert.equal(state.addEndpoint(wish('e', 'n'), '2').record.spec.mac, mac);
    assert.equal(mac, assignMac(INSTANCE, 'endpoint e', nobody));
    assert.notEqual(
      mac,
      assignMac(INSTANCE, 'endpoint e', (candidate) => candidate === mac),
    );
    assert.notEqual(mac, assignMac('another', 'endpoint e', nobody));
    assert.match(mac, /^02(:[0-9a-f]{2}){5}$/);
  });

  it('lets every MAC of a network have one owner, static ones too', () => {
    state.addEndpoint(wish('e', 'n', { mac: '02:00:00:00:00:01', staticMacs: ['02:00:00:00:00:02'] }), '1');
    for (const body of [
      { mac: '02:00:00:00:00:01' },
      { mac: '02:00:00:00:00:02' },
      { staticMacs: ['02:00:00:00:00:01'] },
    ]) {
      assert.throws(
        () => state.addEndpoint(wish('f', 'n', body), '2'),
        refused('conflict', /used by endpoint e on network n/),
      );
    }
    state.addEndpoint(wish('f', 'host', { mac: '02:00:00:00:00:01' }), '3');
    const mac = state.network('host').hostMac ?? '';
    assert.throws(() => state.addEndpoint(wish('g', 'host', { mac }), '4'), refused('conflict', /host vNIC/));
    const { undo } = state.changeEndpoint('e', { ...state.endpoint('e').spec, staticMacs: [] });
    const { undo: undoAgain } = state.addEndpoint(wish('h', 'n', { mac: '02:00:00:00:00:02' }), '5');
    undoAgain();
    undo();
    assert.throws(
      () => state.addEndpoint(wish('h', 'n', { mac: '02:00:00:00:00:02' }), '6'),
      refused('conflict', /endpoint e/),
    );
  });

  it('names interfaces eth0, eth1, ... by compartment, and keeps a name in a move where it is free', () => {
    for (const name of ['e', 'f']) {
      state.addEndpoint(wish(name, 'n'), name);
      state.attach(name, 'a', nobody);
    }
    assert.deepEqual([state.endpoint('e').spec.ifname, state.endpoint('f').spec.ifname], ['eth0', 'eth1']);
    state.attach('f', 'b', nobody);
    assert.equal(state.endpoint('f').spec.ifname, 'eth1');
    state.attach('e', 'b', (ifname) => ifname === 'eth0');
    assert.equal(state.endpoint('e').spec.ifname, 'eth2');
    state.addEndpoint(wish('g', 'n', { ifname: 'eth1' }), 'g');
    assert.throws(() => state.attach('g', 'b', nobody), refused('conflict', /interface eth1 already \(endpoint f\)/));
    state.attach('g', 'a', nobody);
    assert.deepEqual([...state.compartment('a').endpoints], ['g']);
  });

  it('has as many networks and ports as there is room for', () => {
    state.addNetwork(network('third'), '3');
    assert.throws(() => state.addNetwork(network('fourth'), '4'), refused('exhausted', /3 networks/));
    for (let i = 0; i < 5; i++) state.addEndpoint(wish(`e${i}`, 'third'), `${i}`);
    // The host vNIC of the internal network is the sixth port.
    assert.throws(() => state.addEndpoint(wish('more', 'third'), 'm'), refused('exhausted', /6 ports/));
  });

  it('keeps the metric of an endpoint whose interface is made anew', () => {
    for (const name of ['e', 'f']) {
      state.addEndpoint(wish(name, 'n'), name);
      state.attach(name, 'a', nobody);
    }
    const alias = state.aliasOf(state.endpoint('e'));
    state.attach('e', 'a', nobody);
    assert.deepEqual([state.endpoint('e').metric, state.endpoint('f').metric], [100, 101]);
    assert.notEqual(state.aliasOf(state.endpoint('e')), alias, 'a TAP of an earlier attachment is a leftover');
  });

  it('is the same after it was written and read, and after any change was taken back', () => {
    const name = fc.constantFrom('e0', 'e1', 'e2', 'e3');
    const step = fc.record({
      kind: fc.constantFrom('add' as const, 'remove' as const, 'attach' as const, 'detach' as const, 'change' as const),
      name,
      on: fc.constantFrom('n', 'host'),
      into: fc.constantFrom('a', 'b'),
      ip: fc.option(fc.integer({ min: 0, max: 9 })),
      isReverted: fc.boolean(),
    });
    const perform = (target: DesiredState, { kind, name, on, into, ip }: ReturnType<typeof step.generate>['value']) => {
      if (kind === 'add') {
        const body = ip === null ? {} : { ip: `10.${on === 'n' ? 0 : 1}.0.${ip}` };
        return target.addEndpoint(wish(name, on, body), `id-${name}`);
      }
      if (kind === 'remove') {
        target.detach(name);
        return target.removeEndpoint(name);
      }
      if (kind === 'attach') return target.attach(name, into, nobody);
      if (kind === 'detach') return target.detach(name);
      const { spec } = target.endpoint(name);
      return target.changeEndpoint(name, {
        ...spec,
        isolated: !spec.isolated,
        staticMacs: [`02:00:00:00:00:0${ip ?? 1}`],
      });
    };
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const target = copyState(state, LIMITS);
        for (const each of steps) {
          if (each.kind === 'remove' && target.endpoints.has(each.name)) target.detach(each.name);
          const before = portrait(target);
          try {
            const { undo } = perform(target, each);
            if (each.isReverted) {
              undo();
              assert.deepEqual(portrait(target), before);
            }
          } catch (error) {
            assert.ok(error instanceof RequestError, String(error));
            assert.deepEqual(portrait(target), before);
          }
          assert.deepEqual(portrait(copyState(target, LIMITS)), portrait(target));
        }
      }),
    );
  });

  /** Everything but serial numbers, which only count up, and the order of lists. */
  function portrait(of: DesiredState): unknown {
    return {
      networks: [...of.networks.values()].map(({ spec, endpoints, macs, addresses }) => [
        spec,
        [...endpoints].sort(),
        [...macs].sort(),
        addresses.usedCount,
        addresses.freeCount,
        addresses.cursors(),
      ]),
      compartments: [...of.compartments.values()].map(({ spec, endpoints, ifnames }) => [
        spec,
        [...endpoints].sort(),
        [...ifnames].sort(),
      ]),
      endpoints: [...of.endpoints.values()]
        .map(({ id, spec, ifnameIsAutomatic, metric }) => ({ id, spec, ifnameIsAutomatic, metric }))
        .sort((a, b) => (a.spec.name < b.spec.name ? -1 : 1)),
    };
  }
});

describe('model/state-file', () => {
  const text = () => {
    const state = new DesiredState(INSTANCE, LIMITS);
    state.addNetwork(network('n', { subnets: ['10.0.0.0/24'] }), 'id-n');
    state.addEndpoint(wish('e', 'n'), 'id-e');
    state.applied.networks.add('n');
    state.captureRequests.set('c', { name: 'c', file: '/c' });
    return formatState(state, [{ name: 'c', file: '/c' }]);
  };

  it('has one object per line and is read back whole', () => {
    const reading = parseState(text(), LIMITS);
    assert.ok(reading.kind === 'read');
    assert.deepEqual(reading.left, []);
    assert.deepEqual(reading.captures, [{ name: 'c', file: '/c' }]);
    assert.equal(formatState(reading.state, reading.captures), text());
    assert.equal(
      text()
        .split('\n')
        .filter((line) => line.includes('"spec"')).length,
      2,
    );
  });

  it('is corrupt wherever it is cut off, and still tells whose it was', () => {
    const whole = text().trimEnd();
    for (let length = 0; length < whole.length; length++) {
      const reading = parseState(whole.slice(0, length), LIMITS);
      assert.equal(reading.kind, 'corrupt');
      if (reading.kind === 'corrupt' && length > 80) assert.equal(reading.instance, INSTANCE);
    }
  });

  it('never breaks the reader, whatever is in it', () => {
    const body = fc.dictionary(
      fc.constantFrom('networks', 'compartments', 'endpoints', 'applied', 'captures', 'attachments'),
      fc.anything(),
    );
    fc.assert(
      fc.property(body, (fields) => {
        const document = { weft: 1, instance: INSTANCE, networks: [], compartments: [], endpoints: [], ...fields };
        const reading = parseState(JSON.stringify(document) ?? '', LIMITS);
        assert.ok(['read', 'corrupt'].includes(reading.kind));
      }),
    );
    for (const odd of [
      '',
      'null',
      '[]',
      '1',
      '{}',
      '{"weft":"1"}',
      '\0\0\0',
      '{"weft":0}',
      '{"weft":1}',
      '{"weft":1.5}',
    ]) {
      assert.equal(parseState(odd, LIMITS).kind, 'corrupt', odd);
    }
    assert.equal(parseState(`{"weft":${STATE_VERSION + 1}}`, LIMITS).kind, 'newer');
  });

  it('leaves out what contradicts the rest, and says so', () => {
    const twice = text().replace('"endpoints":[', '"endpoints":[{"id":"x","spec":{"name":"f","network":"gone"}},');
    const reading = parseState(twice, LIMITS);
    assert.ok(reading.kind === 'read');
    assert.equal(reading.left.length, 1);
    assert.match(reading.left[0]!, /endpoint f was left out/);
    assert.equal(reading.state.endpoints.size, 1);
  });
});
