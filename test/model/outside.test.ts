/** Who has what of the outside: published ports, external addresses, routes between networks, and room for nat networks. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DesiredState } from '../../src/model/desired-state.js';
import { parseEndpointPatch, parseEndpointRequest } from '../../src/model/endpoint-request.js';
import { parseNetworkPatch, parseNetworkRequest } from '../../src/model/network-request.js';
import { RequestError } from '../../src/model/problems.js';
import { formatPublished, type PublishedPort } from '../../src/model/published-port.js';
import { copyState, formatState, parseState } from '../../src/model/state-file.js';

const LIMITS = { networks: 12, ports: 40 };
let state: DesiredState;
let subnets = 0;

/** A nat network with subnets of its own. */
const nat = (name: string, body: object = {}) => {
  subnets++;
  const request = { name, type: 'nat', subnets: [`10.${subnets}.0.0/24`, `fd00:${subnets}::/64`], ...body };
  const parsed = parseNetworkRequest(request);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
};
const add = (name: string, body: object = {}) => state.addNetwork(nat(name, body), `id-${name}`);
const publish = (name: string, network: string, ...specs: string[]) => {
  const parsed = parseEndpointRequest({ name, network, publish: specs });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return state.addEndpoint(parsed.value, `id-${name}`);
};
const refused = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof RequestError && error.code === code && pattern.test(error.message) && error.remedy !== '';

beforeEach(() => {
  subnets = 0;
  state = new DesiredState('01234567-89ab-4cde-8f01-23456789abcd', LIMITS);
});

describe('ports that endpoints publish', () => {
  it('have one owner, who is named to the others', () => {
    add('front');
    publish('web', 'front', '8080:80', '192.0.2.1:9000-9010:9000/udp');
    const taken = /^8080:81\/tcp is taken: endpoint web publishes 8080:80\/tcp$/;
    assert.throws(() => publish('other', 'front', '8080:81'), refused('conflict', taken));
    assert.throws(() => publish('other', 'front', '1-65535:1'), refused('conflict', /endpoint web/));
    assert.throws(() => publish('other', 'front', '0.0.0.0:9010:1/udp'), refused('conflict', /endpoint web/));
    assert.equal(state.endpoints.has('other'), false);
    publish('other', 'front', '8080:80/udp', '8081:80', '9011:1/udp');
    state.removeEndpoint('web');
    publish('third', 'front', '8080:80');
  });

  it('are the same on networks that share a namespace, and others elsewhere', () => {
    add('a');
    add('b');
    add('raw', { uplink: 'raw' });
    add('c', { uplinkNetns: '/run/netns/router' });
    add('d', { uplink: 'nic:eth1', externalIp: ['192.0.2.4'] });
    publish('web', 'a', '80:80');
    const shared = (name: string) =>
      new RegExp(
        `^80:80/tcp is taken: endpoint web publishes 80:80/tcp on network a, which shares the outside with ${name}$`,
      );
    assert.throws(() => publish('x', 'b', '80:80'), refused('conflict', shared('b')));
    assert.throws(() => publish('x', 'raw', '80:80'), refused('conflict', shared('raw')));
    publish('y', 'c', '80:80');
    publish('z', 'd', '80:80');
    assert.throws(() => publish('zz', 'd', '192.0.2.4:80:81'), refused('conflict', /endpoint z publishes 80:80\/tcp$/));
  });

  it('of one network are told apart by address only where that is an external one', () => {
    add('front', { externalIp: ['192.0.2.1', '192.0.2.2'] });
    publish('one', 'front', '192.0.2.1:80:80');
    publish('two', 'front', '192.0.2.2:80:80');
    publish('host', 'front', '198.51.100.1:81:80');
    assert.throws(() => publish('x', 'front', '198.51.100.2:81:80'), refused('conflict', /endpoint host/));
    publish('y', 'front', '[2001:db8::1]:81:80');
  });

  it('are only on networks that can publish them', () => {
    state.addNetwork({ ...nat('p', { uplink: 'none' }) }, 'id-p');
    const internal = parseNetworkRequest({ name: 'i', type: 'internal', subnets: ['10.99.0.0/24'] });
    assert.ok(internal.ok);
    state.addNetwork(internal.value, 'id-i');
    add('routed', { nat: { ipv6: 'routed' } });
    add('v6', { subnets: ['fd00:99::/64'] });
    add('nic', { uplink: 'nic:eth1', externalIp: ['192.0.2.4'] });
    const TRIED: [string, string, RegExp][] = [
      ['p', '80:80', /cannot be published: network p has no uplink/],
      ['i', '80:80', /cannot be published: network i is of type internal/],
      ['routed', '[::]:80:80', /network routed has no IPv6 subnet whose ports are translated/],
      ['v6', '0.0.0.0:80:80', /network v6 has no IPv4 subnet/],
      ['v6', '[::1]:80:80', /Linux forwards nothing from ::1/],
      ['nic', '198.51.100.1:80:80', /198\.51\.100\.1 is no external address of network nic/],
    ];
    for (const [network, spec, reason] of TRIED) {
      assert.throws(() => publish('x', network, spec), refused('conflict', reason), `${network} ${spec}`);
    }
    publish('a', 'routed', '80:80');
    publish('b', 'nic', '80:80', '192.0.2.4:81:80');
    publish('c', 'v6', '[2001:db8::7]:82:80');
  });

  it('change with the endpoint, and can be taken back', () => {
    add('front');
    publish('web', 'front', '80:80');
    publish('db', 'front', '81:80');
    const change = (name: string, ...specs: string[]) => {
      const { spec } = state.endpoint(name);
      const parsed = parseEndpointPatch({ publish: specs }, spec);
      assert.ok(parsed.ok);
      return state.changeEndpoint(name, parsed.value);
    };
    assert.throws(() => change('db', '80:80'), refused('conflict', /endpoint web/));
    assert.deepEqual(state.endpoint('db').spec.publish, ['81:80/tcp']);
    const { undo } = change('web');
    change('db', '80:80').undo();
    undo();
    assert.deepEqual(state.endpoint('web').spec.publish, ['80:80/tcp']);
    assert.throws(() => change('db', '80:80'), refused('conflict', /endpoint web/));
    change('web', '80:80', '443:443');
  });

  it('survive in the state file', () => {
    add('front', { routesTo: ['later'], nat: { static: [{ inside: '10.1.0.9', external: '192.0.2.9' }] } });
    add('later');
    publish('web', 'front', '80:80', '[2001:db8::1]:90-99:90/udp');
    const text = formatState(state, []);
    const reading = parseState(text, LIMITS);
    assert.ok(reading.kind === 'read');
    assert.deepEqual(reading.left, []);
    assert.equal(formatState(reading.state, []), text);
    assert.deepEqual(reading.state.network('front').spec, state.network('front').spec);
    assert.equal(reading.state.network('front').gatewayMac, state.network('front').gatewayMac);
    assert.throws(
      () => {
        state = copyState(state, LIMITS);
        publish('x', 'later', '80:80');
      },
      refused('conflict', /endpoint web/),
    );
  });
});

describe('external addresses', () => {
  it('belong to one network of a namespace, and lie inside of none', () => {
    add('a', {
      externalIp: ['192.0.2.1', '2001:db8::1'],
      nat: { static: [{ inside: '10.1.0.9', external: '192.0.2.9' }] },
    });
    const owned = (text: string) =>
      refused('conflict', new RegExp(`^${text} is an external address of network a already$`));
    assert.throws(() => add('b', { externalIp: ['2001:db8::1'] }), owned('2001:db8::1'));
    assert.throws(() => add('b', { externalIp: ['192.0.2.9'] }), owned('192\\.0\\.2\\.9'));
    add('b', { externalIp: ['192.0.2.1'], uplinkNetns: '/run/netns/elsewhere' });
    assert.throws(
      () => add('c', { externalIp: ['10.1.0.7'] }),
      refused('conflict', /^external address 10\.1\.0\.7 lies inside subnet 10\.1\.0\.0\/24 of network a$/),
    );
    assert.throws(
      () => add('c', { subnets: ['192.0.2.0/24'] }),
      refused(
        'conflict',
        /^external address 192\.0\.2\.1 of network a lies inside subnet 192\.0\.2\.0\/24 of network c$/,
      ),
    );
    assert.throws(
      () =>
        add('c', {
          externalIp: ['192.0.2.33'],
          nat: { static: [{ inside: '10.7.0.1', external: '192.0.2.33' }] },
          subnets: ['10.7.0.0/24'],
        }),
      refused('conflict', /^192\.0\.2\.33 is an external address of the network and also that of one endpoint/),
    );
    assert.deepEqual([...state.networks.keys()], ['a', 'b']);
  });

  it('are checked when a network changes too', () => {
    add('a', { externalIp: ['192.0.2.1'] });
    add('b');
    const { spec } = state.network('b');
    const parsed = parseNetworkPatch({ nat: { static: [{ inside: '10.2.0.9', external: '192.0.2.1' }] } }, spec);
    assert.ok(parsed.ok);
    assert.throws(() => state.changeNetwork('b', parsed.value), refused('conflict', /network a already$/));
    assert.equal(state.network('b').spec, spec);
  });

  it('are shared over raw uplinks by ranges of ports', () => {
    add('a', { uplink: 'raw' });
    assert.throws(
      () => add('b', { uplink: 'raw', nat: { ports: { first: 60000, last: 61000 } } }),
      refused('conflict', /^external ports 60000-61000 overlap those of network a \(61000-65535\), which shares/),
    );
    add('b', { uplink: 'raw', nat: { ports: { first: 60000, last: 60999 } } });
    add('c', { uplink: 'raw', uplinkNetns: '/run/netns/elsewhere' });
  });

  it('and prefixes of nptv6 are taken once', () => {
    const prefix = { nat: { ipv6: 'nptv6', prefix: '2001:db8:1::/64' } };
    add('a', prefix);
    assert.throws(() => add('b', prefix), refused('conflict', /^2001:db8:1::\/64 is the external prefix of network a/));
  });
});

describe('the gateway of a nat network', () => {
  it('has an address and a MAC that no endpoint gets', () => {
    const { record } = add('front');
    assert.match(record.gatewayMac ?? '', /^02(:[0-9a-f]{2}){5}$/);
    assert.notEqual(record.gatewayMac, record.uplinkMac);
    assert.equal(record.hostMac, null);
    const wish = (body: object) => {
      const parsed = parseEndpointRequest({ name: 'e', network: 'front', ...body });
      assert.ok(parsed.ok);
      return () => state.addEndpoint(parsed.value, 'id-e');
    };
    assert.throws(wish({ ip: '10.1.0.1' }), refused('conflict', /^10\.1\.0\.1 is the gateway of the network$/));
    assert.throws(wish({ mac: record.gatewayMac }), refused('conflict', /is used by the gateway on network front$/));
    assert.deepEqual(wish({})().record.spec.ip, ['10.1.0.2', 'fd00:1::2']);
  });

  it('is the same after the network was deleted and created again', () => {
    const { record, undo } = add('front');
    undo();
    subnets = 0;
    const again = add('front').record;
    assert.deepEqual([again.gatewayMac, again.uplinkMac], [record.gatewayMac, record.uplinkMac]);
  });
});

describe('routes between networks', () => {
  it('lead to networks that are there and have a gateway', () => {
    const spec = nat('a', { routesTo: ['b'] });
    assert.throws(() => state.checkRoutesTo(spec), refused('not-found', /^there is no network b$/));
    const lonely = parseNetworkRequest({ name: 'b', type: 'private', subnets: ['10.99.0.0/24'] });
    assert.ok(lonely.ok);
    const { undo } = state.addNetwork(lonely.value, 'id-b');
    const reason = /^network a cannot have routes to b, a private network without a gateway$/;
    assert.throws(() => state.checkRoutesTo(spec), refused('conflict', reason));
    undo();
    add('b');
    state.checkRoutesTo(spec);
    state.addNetwork(spec, 'id-a');
    state.removeNetwork('b');
    assert.deepEqual(state.network('a').spec.routesTo, ['b'], 'it may come back');
  });
});

describe('room for nat networks', () => {
  it('is that of two segments and two ports each', () => {
    for (let n = 0; n < 6; n++) add(`n${n}`);
    assert.throws(
      () => add('more'),
      refused('exhausted', /all the 12 networks \(an uplink counts as one more, and so does a VTEP\)/),
    );
    for (let n = 0; n < 28; n++) publish(`e${n}`, 'n0');
    assert.throws(() => publish('more', 'n0'), refused('exhausted', /all the 40 ports/));
  });
});

describe('any ports of any endpoints', () => {
  it('are accepted exactly when nobody of the same outside has them', () => {
    const port = fc.record({
      hostIp: fc.constantFrom(null, '0.0.0.0', '::', '198.51.100.1', '198.51.100.2', '2001:db8::1'),
      // Around the borders of the buckets that ports are looked up by.
      hostFirst: fc.constantFrom(1, 255, 256, 257, 511, 512, 1000),
      length: fc.constantFrom(0, 1, 300, 2000),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    });
    const attempt = fc.record({ network: fc.nat({ max: 3 }), port, isRemoval: fc.boolean() });
    fc.assert(
      fc.property(fc.array(attempt, { maxLength: 25 }), (attempts) => {
        subnets = 0;
        state = new DesiredState('01234567-89ab-4cde-8f01-23456789abcd', LIMITS);
        for (const name of ['n0', 'n1']) add(name);
        add('n2', { uplinkNetns: '/run/netns/router' });
        add('n3', { uplink: 'nic:eth1', externalIp: ['198.51.100.1', '198.51.100.2', '2001:db8::1'] });
        const present: { name: string; network: string; port: PublishedPort }[] = [];
        for (const [
          index,
          {
            network,
            port: { length, ...fields },
            isRemoval,
          },
        ] of attempts.entries()) {
          const gone = isRemoval ? present.shift() : undefined;
          if (gone !== undefined) state.removeEndpoint(gone.name);
          const mine = { ...fields, hostLast: fields.hostFirst + length, port: 1 };
          const on = `n${network}`;
          const isTaken = present.some((other) => doCollide(mine, on, other.port, other.network));
          const name = `e${index}`;
          const tryIt = () => publish(name, on, formatPublished(mine));
          if (isTaken) {
            assert.throws(tryIt, refused('conflict', /is taken: endpoint e\d+ publishes/));
          } else {
            tryIt();
            present.push({ name, network: on, port: mine });
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** Said again from the beginning: the outsides n0 + n1, n2 and n3; on one network only external addresses are told apart. */
function doCollide(a: PublishedPort, on: string, b: PublishedPort, other: string): boolean {
  const outside = (name: string) => (name === 'n1' ? 'n0' : name);
  if (outside(on) !== outside(other) || a.protocol !== b.protocol) return false;
  if (a.hostFirst > b.hostLast || b.hostFirst > a.hostLast) return false;
  const families = ({ hostIp }: PublishedPort) => (hostIp === null ? '46' : hostIp.includes(':') ? '6' : '4');
  if (![...families(a)].some((family) => families(b).includes(family))) return false;
  const isOne = ({ hostIp }: PublishedPort) => hostIp !== null && hostIp !== '0.0.0.0' && hostIp !== '::';
  if (!isOne(a) || !isOne(b) || a.hostIp === b.hostIp) return true;
  return on === other && on !== 'n3';
}
