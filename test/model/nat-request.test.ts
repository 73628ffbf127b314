/** Requests for nat networks: defaults, every fault with its path, and what a change keeps. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { NetworkSpec } from '../../src/model/network.js';
import { type Parsed, parseNetworkPatch, parseNetworkRequest } from '../../src/model/network-request.js';

const SUBNETS = ['10.80.0.0/24', 'fd00:80::/64'];
const NAT = { name: 'front', type: 'nat', subnets: SUBNETS };

function value(parsed: Parsed<NetworkSpec>): NetworkSpec {
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

function problems(parsed: Parsed<NetworkSpec>): string[] {
  assert.ok(!parsed.ok, JSON.stringify(parsed));
  return parsed.problems.map(({ path, code }) => `${path} ${code}`);
}

const message = (request: object) => {
  const parsed = parseNetworkRequest(request);
  return parsed.ok ? '' : parsed.problems.map((problem) => `${problem.path}: ${problem.message}`).join('\n');
};

describe('a request for a nat network', () => {
  it('gets what the RFCs ask for where it says nothing', () => {
    const spec = value(parseNetworkRequest(NAT));
    const { name, type, subnets, gateway, uplink, uplinkNetns, externalIp, nextHop, masquerade } = spec;
    assert.deepEqual(
      { name, type, subnets, gateway, uplink, uplinkNetns, externalIp, nextHop, masquerade },
      {
        ...NAT,
        gateway: ['10.80.0.1', 'fd00:80::1'],
        uplink: 'host',
        uplinkNetns: null,
        externalIp: [],
        nextHop: [],
        masquerade: true,
      },
    );
    assert.deepEqual(spec.nat, {
      mapping: 'endpoint-independent',
      filtering: 'address-dependent',
      ipv6: 'nat66',
      prefix: null,
      timers: { tcpEstablished: 7440, tcpTransitory: 240, tcpSyn: 6, udp: 300, icmp: 60 },
      flowLimit: 65536,
      ports: { first: 1024, last: 65535 },
      exceptions: [],
      destinations: [],
      static: [],
      hairpin: true,
    });
    assert.deepEqual(spec.routesTo, []);
    assert.equal(spec.advertise, false);
    assert.deepEqual(spec.dhcp, { enabled: true, leaseSeconds: 3600, routes: [] });
    assert.deepEqual(spec.dns, { enabled: true, domain: 'front.weft', forwarders: [] });
    assert.deepEqual(value(parseNetworkRequest(spec)), spec, 'what was accepted is accepted again');
  });

  it('is brought into canonical text', () => {
    const spec = value(
      parseNetworkRequest({
        ...NAT,
        uplink: 'nic:eth1',
        uplinkNetns: '/run/netns/router',
        externalIp: ['192.0.2.7', '2001:DB8:0::7', '192.0.2.7'],
        nextHop: ['192.0.2.1', 'FE80::1'],
        nat: {
          exceptions: ['10.0.0.0/8', '192.0.2.99', '10.0.0.0/8'],
          destinations: ['2001:DB8::/32'],
          static: [{ inside: '10.80.0.10', external: '192.0.2.10' }],
          timers: { udp: 120 },
          ports: { first: 2000 },
        },
        routesTo: ['back', 'back'],
        advertise: true,
        dhcp: { leaseSeconds: 600, routes: [{ destination: '10.9.0.0/16', via: '10.80.0.1' }] },
        dns: { domain: 'Lab.Example.', forwarders: ['192.0.2.53#53', '2001:DB8::53#5353'] },
      }),
    );
    assert.deepEqual(spec.externalIp, ['192.0.2.7', '2001:db8::7']);
    assert.deepEqual(spec.nextHop, ['192.0.2.1', 'fe80::1']);
    assert.equal(spec.masquerade, false, 'only uplink host masquerades');
    assert.deepEqual(spec.nat?.exceptions, ['10.0.0.0/8', '192.0.2.99/32']);
    assert.deepEqual(spec.nat?.destinations, ['2001:db8::/32']);
    assert.deepEqual(spec.nat?.static, [{ inside: '10.80.0.10', external: '192.0.2.10' }]);
    assert.equal(spec.nat?.timers.udp, 120);
    assert.equal(spec.nat?.timers.icmp, 60);
    assert.deepEqual(spec.nat?.ports, { first: 2000, last: 65535 });
    assert.deepEqual(spec.routesTo, ['back']);
    assert.deepEqual(spec.dhcp?.routes, [{ destination: '10.9.0.0/16', via: '10.80.0.1' }]);
    assert.deepEqual(spec.dns, {
      enabled: true,
      domain: 'lab.example',
      forwarders: ['192.0.2.53', '2001:db8::53#5353'],
    });
    assert.deepEqual(value(parseNetworkRequest(spec)), spec, 'what was accepted is accepted again');
  });

  it('switches services off and on by a word', () => {
    const off = value(parseNetworkRequest({ ...NAT, dhcp: false, dns: false }));
    assert.deepEqual([off.dhcp?.enabled, off.dns?.enabled], [false, false]);
    const on = value(parseNetworkPatch({ dhcp: true, dns: { domain: 'x' } }, off));
    assert.deepEqual([on.dhcp?.enabled, on.dns], [true, { enabled: false, domain: 'x', forwarders: [] }]);
  });

  it('takes for uplink raw the ports that Linux leaves alone', () => {
    const spec = value(parseNetworkRequest({ ...NAT, uplink: 'raw' }));
    assert.deepEqual(spec.nat?.ports, { first: 61000, last: 65535 });
  });

  it('of a name that is too long for a domain of its own gets one that is not', () => {
    const name = 'n'.repeat(63);
    assert.equal(value(parseNetworkRequest({ ...NAT, name })).dns?.domain, `${name}.weft`);
    assert.equal(value(parseNetworkRequest({ ...NAT, name: 'a..b' })).dns?.domain, 'weft');
  });

  it('is told everything that is wrong with it at once', () => {
    const request = {
      ...NAT,
      uplink: 'nic:',
      uplinkNetns: 'router',
      externalIp: ['10.80.0.9', '127.0.0.1', 'x', '192.0.2.99'],
      nextHop: ['192.0.2.1', '192.0.2.2', '10.80.0.1'],
      masquerade: 'yes',
      nat: {
        mapping: 'cone',
        filtering: 'all',
        ipv6: 'nat64',
        timers: { udp: 0, tcp: 1 },
        flowLimit: 0,
        ports: { first: 9, last: 8 },
        exceptions: ['10.0.0.1/8'],
        destinations: [7],
        static: [
          { inside: '10.80.0.10', external: '192.0.2.10' },
          { inside: '10.80.0.10', external: '192.0.2.11' },
          { inside: '10.80.0.11', external: '192.0.2.10' },
          { inside: '10.81.0.11', external: '192.0.2.12' },
          { inside: '10.80.0.12', external: '2001:db8::1' },
          { inside: '10.80.0.12', external: '10.80.0.13' },
          { inside: 'x' },
        ],
        hairpin: 1,
        nat44: true,
      },
      routesTo: ['front', '../x'],
      dhcp: { leaseSeconds: 1, routes: [{ destination: '::/0', via: '10.81.0.1' }], options: [] },
      dns: { domain: '-x', forwarders: ['dns.example', '192.0.2.1#0'] },
    };
    const expected = [
      'routesTo[0] bad-name',
      'routesTo[1] bad-name',
      'uplink bad-uplink',
      'uplinkNetns bad-path',
      'externalIp[0] bad-address',
      'externalIp[1] bad-address',
      'externalIp[2] bad-address',
      'nextHop[1] bad-address',
      'nextHop[2] bad-address',
      'masquerade wrong-type',
      'nat.ipv6 unknown-choice',
      'nat.mapping unknown-choice',
      'nat.filtering unknown-choice',
      'nat.timers.udp out-of-range',
      'nat.timers.tcp unknown-field',
      'nat.flowLimit out-of-range',
      'nat.ports.last out-of-range',
      'nat.exceptions[0] bad-prefix',
      'nat.destinations[0] wrong-type',
      'nat.static[6].external missing',
      'nat.static[6].inside bad-address',
      'nat.static[1].inside bad-static',
      'nat.static[2].external bad-static',
      'nat.static[3].inside bad-static',
      'nat.static[4].external bad-static',
      'nat.static[5].external bad-static',
      'nat.hairpin wrong-type',
      'nat.nat44 unknown-field',
      'dhcp.leaseSeconds out-of-range',
      'dhcp.routes[0].destination bad-prefix',
      'dhcp.routes[0].via bad-address',
      'dhcp.options unknown-field',
      'dns.domain bad-domain',
      'dns.forwarders[0] bad-address',
      'dns.forwarders[1] bad-address',
    ];
    assert.deepEqual(problems(parseNetworkRequest(request)).sort(), expected.sort());
  });

  const REFUSED: [string, object, RegExp][] = [
    ['no subnet', { subnets: undefined }, /^subnets: a nat network needs at least one subnet/],
    [
      'an uplink that does not exist',
      { uplink: 'wan' },
      /^uplink: "wan" is no uplink: one of host, raw, none, nic:INTER/,
    ],
    ['a next hop without a segment', { nextHop: ['192.0.2.1'] }, /^nextHop: it is only for uplink nic:INTERFACE/],
    [
      'masquerade elsewhere',
      { uplink: 'raw', masquerade: true },
      /^masquerade: it is only for uplink host, not for raw/,
    ],
    [
      'an address of nothing',
      { uplink: 'none', externalIp: ['192.0.2.1'] },
      /^externalIp: a network without an uplink/,
    ],
    ['a segment without an address', { uplink: 'nic:eth1' }, /^externalIp: uplink nic needs an address of its own/],
    [
      'a next hop that is itself',
      { uplink: 'nic:eth1', externalIp: ['192.0.2.1'], nextHop: ['192.0.2.1'] },
      /^nextHop: 192\.0\.2\.1 is among the external addresses/,
    ],
    ['a bad interface', { uplink: 'nic:a/b' }, /^uplink: "nic:a\/b" names no interface: an interface name has/],
    [
      'an outside that is inside',
      { externalIp: ['10.80.0.7'] },
      /^externalIp\[0\]: 10\.80\.0\.7 lies inside the network/,
    ],
    ['nptv6 without prefix', { nat: { ipv6: 'nptv6' } }, /^nat\.prefix: nptv6 needs the external prefix/],
    ['a prefix without nptv6', { nat: { prefix: '2001:db8::/64' } }, /^nat\.prefix: it is only for ipv6 nptv6/],
    [
      'a prefix of another length',
      { nat: { ipv6: 'nptv6', prefix: '2001:db8::/48' } },
      /^nat\.prefix: 2001:db8::\/48 must be as long as the subnet fd00:80::\/64 \(RFC 6296/,
    ],
    [
      'nptv6 of two subnets',
      { subnets: ['fd00:1::/64', 'fd00:2::/64'], nat: { ipv6: 'nptv6', prefix: '2001:db8::/64' } },
      /^nat\.prefix: nptv6 needs exactly one IPv6 subnet/,
    ],
    [
      'nptv6 of a long prefix',
      { subnets: ['fd00:1::/112'], nat: { ipv6: 'nptv6', prefix: '2001:db8::/112' } },
      /^nat\.prefix: a prefix of nptv6 has at most 64 bits/,
    ],
    [
      'an exception that is no exception',
      { nat: { exceptions: ['192.0.2.0/24'], destinations: ['192.0.2.0/24'] } },
      /^nat\.exceptions: 192\.0\.2\.0\/24 is among the destinations too/,
    ],
    ['advertising nothing', { subnets: ['10.80.0.0/24'], advertise: true }, /^advertise: there is no IPv6 subnet/],
  ];
  for (const [what, fields, expected] of REFUSED) {
    it(`is refused with ${what}`, () => assert.match(message({ ...NAT, ...fields }), expected));
  }

  it('has fields that no other type has', () => {
    const fields = {
      uplink: 'host',
      uplinkNetns: '/run/netns/x',
      externalIp: '192.0.2.1',
      nextHop: '192.0.2.1',
      masquerade: true,
      nat: {},
      advertise: true,
      dhcp: true,
      dns: {},
    };
    for (const type of ['private', 'internal']) {
      const found = problems(parseNetworkRequest({ name: 'n', type, subnets: ['10.0.0.0/24'], ...fields }));
      assert.deepEqual(
        found.sort(),
        Object.keys(fields)
          .map((field) => `${field} not-applicable`)
          .sort(),
      );
      const { uplink, ...none } = value(parseNetworkRequest({ name: 'n', type, dhcp: false, masquerade: false }));
      assert.deepEqual([uplink, none.nat, none.dhcp, none.dns], [null, null, null, null]);
    }
    const routed = { name: 'n', type: 'private', routesTo: ['m'] };
    assert.deepEqual(problems(parseNetworkRequest(routed)), ['routesTo not-applicable']);
    assert.deepEqual(value(parseNetworkRequest({ ...routed, type: 'internal' })).routesTo, ['m']);
  });
});

describe('a change of a nat network', () => {
  const current = value(
    parseNetworkRequest({
      ...NAT,
      externalIp: ['192.0.2.1'],
      nat: { filtering: 'endpoint-independent', timers: { udp: 120 }, exceptions: ['10.0.0.0/8'] },
      dns: { domain: 'lab', forwarders: ['192.0.2.53'] },
    }),
  );

  it('leaves what it does not name, also inside of objects, and replaces lists', () => {
    const patch = {
      nat: { timers: { icmp: 30 }, hairpin: false, exceptions: [], mapping: null },
      dns: { forwarders: [] },
      advertise: true,
      routesTo: ['back'],
    };
    const next = value(parseNetworkPatch(patch, current));
    assert.deepEqual(next, {
      ...current,
      nat: { ...current.nat, timers: { ...current.nat?.timers, icmp: 30 }, hairpin: false, exceptions: [] },
      dns: { enabled: true, domain: 'lab', forwarders: [] },
      advertise: true,
      routesTo: ['back'],
    });
    assert.deepEqual(value(parseNetworkPatch({}, current)), current);
  });

  it('cannot move the outside or the way of IPv6', () => {
    const patch = {
      uplink: 'none',
      uplinkNetns: '/x',
      externalIp: [],
      nextHop: [],
      masquerade: false,
      nat: { ipv6: 'routed', prefix: 'fd00::/64', flowLimit: 0 },
    };
    assert.deepEqual(problems(parseNetworkPatch(patch, current)), [
      'uplink immutable',
      'uplinkNetns immutable',
      'externalIp immutable',
      'nextHop immutable',
      'masquerade immutable',
      'nat.ipv6 immutable',
      'nat.prefix immutable',
      'nat.flowLimit out-of-range',
    ]);
    for (const nat of [7, [], 'x']) {
      assert.deepEqual(problems(parseNetworkPatch({ nat }, current)), ['nat wrong-type']);
    }
  });
});

describe('whatever is sent as a nat network', () => {
  it('is accepted or refused with problems, and never breaks the reader', () => {
    const ip = fc.constantFrom('10.80.0.9', '192.0.2.1', '2001:db8::1', '::', 'x', '');
    const cidr = fc.constantFrom('10.0.0.0/8', '0.0.0.0/0', '2001:db8::/64', 'fd00::/129', '1.2.3.4');
    const junk = fc.oneof({ weight: 1, arbitrary: fc.anything() }, { weight: 2, arbitrary: fc.constant(undefined) });
    const nat = fc.record(
      {
        ipv6: fc.constantFrom('routed', 'nat66', 'nptv6', 'x'),
        prefix: fc.oneof(cidr, junk),
        timers: fc.oneof(fc.record({ udp: fc.integer() }), junk),
        ports: fc.oneof(fc.record({ first: fc.integer(), last: fc.integer({ min: 1, max: 65535 }) }), junk),
        exceptions: fc.oneof(fc.array(cidr), junk),
        destinations: fc.oneof(fc.array(cidr), junk),
        static: fc.oneof(fc.array(fc.record({ inside: ip, external: ip })), junk),
      },
      { requiredKeys: [] },
    );
    const request = fc.record(
      {
        uplink: fc.oneof(fc.constantFrom('host', 'raw', 'none', 'nic:eth0', 'nic:'), junk),
        externalIp: fc.oneof(fc.array(ip), junk),
        nextHop: fc.oneof(fc.array(ip), junk),
        masquerade: fc.oneof(fc.boolean(), junk),
        nat: fc.oneof(nat, junk),
        dhcp: fc.oneof(fc.boolean(), fc.record({ leaseSeconds: fc.integer(), routes: junk }), junk),
        dns: fc.oneof(fc.boolean(), fc.record({ domain: fc.string(), forwarders: fc.array(ip) }), junk),
        routesTo: fc.oneof(fc.array(fc.constantFrom('a', 'b', '.')), junk),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(request, (fields) => {
        const parsed = parseNetworkRequest({ ...NAT, ...fields });
        if (!parsed.ok) return assert.ok(parsed.problems.length > 0);
        assert.deepEqual(parseNetworkRequest(parsed.value), parsed, 'accepted once, accepted again');
        assert.deepEqual(parseNetworkPatch({}, parsed.value), parsed);
      }),
      { numRuns: 1000 },
    );
  });
});
