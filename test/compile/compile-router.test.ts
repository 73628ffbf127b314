/** What the program says of routers and NAT: tables decoded to text, whole. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { CompiledNetwork, CompiledPort, PortRole } from '../../src/compile/compile-input.js';
import { compileProgram } from '../../src/compile/compile-program.js';
import { keyOf } from '../../src/compile/network-key.js';
import type { UplinkSegment } from '../../src/compile/uplink-segment.js';
import * as at from '../../src/datapath/program.js';
import type { EndpointSpec } from '../../src/model/endpoint.js';
import { formatIp } from '../../src/model/ip.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';

const NO_CAPTURE = { snaplen: 0, flagsOf: () => 0 };
const GATEWAY_MAC = '02:00:00:00:01:01';
const UPLINK_MAC = '02:00:00:00:01:02';

const SEGMENT: UplinkSegment = {
  mtu: 1400,
  own: ['100.64.0.2/30', 'fd64::2/126', '192.0.2.1/32'],
  external: ['100.64.0.2', '192.0.2.1', 'fd64::2'],
  nextHops: ['100.64.0.1', 'fd64::1'],
  neighbours: [
    { address: '100.64.0.1', mac: '02:00:00:00:09:09' },
    { address: 'fd64::1', mac: '02:00:00:00:09:09' },
  ],
};

/** Rows 2n and, with an uplink, 2n + 1. */
function network(n: number, body: object, segment: UplinkSegment | null = null): CompiledNetwork {
  const parsed = parseNetworkRequest({
    name: `n${n}`,
    type: 'nat',
    subnets: [`10.${n}.0.0/24`, `fd0${n}::/64`],
    ...body,
  });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const isNat = parsed.value.type === 'nat';
  return {
    id: `id-${n}`,
    index: 2 * n,
    uplinkIndex: isNat ? 2 * n + 1 : -1,
    tunnel: null,
    ownRouterMac: null,
    host: parsed.value.type === 'internal' ? { mac: GATEWAY_MAC, addresses: parsed.value.gateway } : null,
    segment,
    gatewayMac: parsed.value.type === 'private' ? null : GATEWAY_MAC,
    uplinkMac: isNat ? UPLINK_MAC : null,
    spec: parsed.value,
  };
}

function port(index: number, on: string, role: PortRole, body: Partial<EndpointSpec> = {}): CompiledPort {
  const spec: EndpointSpec = {
    name: `e${index}`,
    network: on,
    compartment: 'c',
    vtep: null,
    ifname: 'eth0',
    mac: `02:00:00:00:00:0${index}`,
    ip: [],
    defaultRoute: true,
    vlan: null,
    isolated: false,
    offload: true,
    staticMacs: [],
    publish: [],
    configure: true,
    aliases: [],
    ...body,
  };
  return {
    index,
    serial: index,
    network: on,
    role,
    endpoint: role === 'endpoint' ? spec : null,
    headerBytes: 12,
    accepts: 0,
  };
}

const compile = (networks: CompiledNetwork[], ports: CompiledPort[] = []) =>
  compileProgram({ version: 1, networks, ports, vteps: [], capture: NO_CAPTURE });

function rows(table: Int32Array, ints: number): number[][] {
  assert.equal(table.length % ints, 0);
  return Array.from({ length: table.length / ints }, (_, row) => [...table.subarray(row * ints, (row + 1) * ints)]);
}

function address(family: number, words: number[]): string {
  if (family === 4) {
    assert.deepEqual(words.slice(1), [0, 0, 0]);
    return formatIp(4, BigInt(words[0]! >>> 0));
  }
  return formatIp(
    6,
    words.reduce((value, word) => (value << 32n) | BigInt(word >>> 0), 0n),
  );
}

const mac = (high: number, low: number) =>
  (high * 2 ** 32 + (low >>> 0))
    .toString(16)
    .padStart(12, '0')
    .replace(/..(?!$)/g, '$&:');

/** `192.0.2.0/24 -> 1 via 192.0.2.1 plain`. */
function routesOf(program: at.Program, row: number): string[] {
  const first = program.routeFirst[row]!;
  return rows(program.routes, at.ROUTE_INTS)
    .slice(first, first + program.routeCount[row]!)
    .map((route) => {
      const [family] = route as [number];
      const hop = route.slice(7, 11);
      const via = hop.every((word) => word === 0) ? '' : ` via ${address(family, hop)}`;
      const plain = route[11] === at.ROUTE_PLAIN ? ' plain' : '';
      return `${address(family, route.slice(1, 5))}/${route[5]} -> ${route[6]}${via}${plain}`;
    });
}

const ownOf = (program: at.Program) =>
  rows(program.ownAddresses, at.OWN_ADDRESS_INTS).map(
    (row) => `${row[0]} ${address(row[1]!, row.slice(2, 6))}/${row[6]} ${row[7]}`,
  );

const neighboursOf = (program: at.Program) =>
  rows(program.neighbours, at.NEIGHBOUR_INTS).map(
    (row) => `${row[0]} ${address(row[1]!, row.slice(2, 6))} ${mac(row[6]!, row[7]!)} port ${row[8]}`,
  );

describe('compile/compile-router', () => {
  it('makes two segments of a nat network, with the router on both', () => {
    const program = compile(
      [network(0, { advertise: true }, SEGMENT)],
      [port(3, 'n0', 'uplink'), port(4, 'n0', 'service')],
    );
    assert.deepEqual([...program.networkRole], [at.ROLE_INSIDE, at.ROLE_UPLINK]);
    assert.deepEqual([...program.networkUplink], [1, 0]);
    assert.deepEqual([...program.networkServicePort], [4, -1]);
    assert.deepEqual([...program.networkFlags], [at.NETWORK_ADVERTISE | at.NETWORK_DHCP, 0]);
    assert.deepEqual([...program.networkMtu], [1500, 1400]);
    assert.deepEqual([...program.portNetwork], [-1, -1, -1, 1, 0]);
    assert.deepEqual(
      [0, 1].map((row) => mac(program.gatewayMacHigh[row]!, program.gatewayMacLow[row]!)),
      [GATEWAY_MAC, UPLINK_MAC],
    );
    assert.deepEqual(ownOf(program), [
      `0 10.0.0.1/24 ${at.OWN_GATEWAY}`,
      `0 fd00::1/64 ${at.OWN_GATEWAY}`,
      `1 100.64.0.2/30 ${at.OWN_POOL}`,
      `1 fd64::2/126 ${at.OWN_POOL}`,
      `1 192.0.2.1/32 ${at.OWN_POOL}`,
    ]);
    assert.deepEqual(routesOf(program, 0), [
      'fd64::/126 -> 1',
      'fd00::/64 -> 0',
      '100.64.0.0/30 -> 1',
      '10.0.0.0/24 -> 0',
      '0.0.0.0/0 -> 1 via 100.64.0.1',
      '::/0 -> 1 via fd64::1',
    ]);
    assert.deepEqual(routesOf(program, 1), ['fd00::/64 -> 0', '10.0.0.0/24 -> 0']);
    assert.deepEqual(neighboursOf(program), [
      '1 100.64.0.1 02:00:00:00:09:09 port 3',
      '1 fd64::1 02:00:00:00:09:09 port 3',
    ]);
  });

  it('gives a network the same key in every program, and its uplink another one', () => {
    const one = compile([network(0, {}, SEGMENT)]);
    const other = compile([network(1, {}), { ...network(0, {}, SEGMENT), index: 5, uplinkIndex: 0 }]);
    assert.equal(one.networkKey[0], keyOf('id-0'));
    assert.deepEqual([other.networkKey[5], other.networkKey[0]], [...one.networkKey]);
    assert.equal(new Set([...one.networkKey, other.networkKey[2]]).size, 3);
  });

  it('has no way out while there is no uplink', () => {
    const program = compile([network(0, { uplink: 'none' })]);
    assert.deepEqual(routesOf(program, 0), ['fd00::/64 -> 0', '10.0.0.0/24 -> 0']);
    assert.deepEqual(ownOf(program), [`0 10.0.0.1/24 ${at.OWN_GATEWAY}`, `0 fd00::1/64 ${at.OWN_GATEWAY}`]);
    assert.deepEqual([...program.networkRole], [at.ROLE_INSIDE, at.ROLE_UPLINK]);
  });

  it('ends a family for which the outside has no router at its segment', () => {
    const program = compile([network(0, {}, { ...SEGMENT, nextHops: ['100.64.0.1'] })]);
    assert.deepEqual(routesOf(program, 0).slice(-2), ['10.0.0.0/24 -> 0', '0.0.0.0/0 -> 1 via 100.64.0.1']);
    assert.ok(routesOf(program, 0).includes('fd64::/126 -> 1'));
  });

  it('leaves exceptions untranslated, on the segment and beyond', () => {
    const exceptions = ['192.0.2.0/24', '100.64.0.0/30', '10.0.0.0/8', 'fd99::/16'];
    const program = compile([network(0, { nat: { exceptions } }, SEGMENT)]);
    assert.deepEqual(routesOf(program, 0), [
      'fd64::/126 -> 1',
      'fd00::/64 -> 0',
      '100.64.0.0/30 -> 1 plain',
      '10.0.0.0/24 -> 0',
      '192.0.2.0/24 -> 1 via 100.64.0.1 plain',
      'fd99::/16 -> 1 via fd64::1 plain',
      '10.0.0.0/8 -> 1 via 100.64.0.1 plain',
      '0.0.0.0/0 -> 1 via 100.64.0.1',
      '::/0 -> 1 via fd64::1',
    ]);
  });

  it('translates only destinations that are named, where some are', () => {
    const nat = { destinations: ['203.0.113.0/24', '198.51.100.0/24'], exceptions: ['203.0.113.128/25'] };
    const program = compile([network(0, { nat, subnets: ['10.0.0.0/24'] }, { ...SEGMENT, own: ['100.64.0.2/30'] })]);
    assert.deepEqual(routesOf(program, 0), [
      '100.64.0.0/30 -> 1 plain',
      '203.0.113.128/25 -> 1 via 100.64.0.1 plain',
      '10.0.0.0/24 -> 0',
      '198.51.100.0/24 -> 1 via 100.64.0.1',
      '203.0.113.0/24 -> 1 via 100.64.0.1',
      '0.0.0.0/0 -> 1 via 100.64.0.1 plain',
      '::/0 -> 1 via fd64::1 plain',
    ]);
  });

  it('routes between networks where one of them says so, both ways, and nowhere else', () => {
    const program = compile([
      network(0, { uplink: 'none', routesTo: ['n1', 'gone'] }),
      network(1, { type: 'internal', routesTo: ['n2'] }),
      network(2, { type: 'internal', subnets: ['10.2.0.0/24'] }),
      network(3, { uplink: 'none' }),
      network(4, { type: 'internal' }),
      network(5, { type: 'private' }),
    ]);
    assert.deepEqual(routesOf(program, 0), [
      'fd00::/64 -> 0',
      'fd01::/64 -> 2',
      '10.0.0.0/24 -> 0',
      '10.1.0.0/24 -> 2',
    ]);
    assert.deepEqual(routesOf(program, 2), ['fd00::/64 -> 0', '10.0.0.0/24 -> 0', '10.2.0.0/24 -> 4']);
    assert.deepEqual(routesOf(program, 4), ['fd01::/64 -> 2', '10.1.0.0/24 -> 2']);
    assert.deepEqual(routesOf(program, 6), ['fd03::/64 -> 6', '10.3.0.0/24 -> 6']);
    assert.deepEqual(
      [8, 10].map((row) => routesOf(program, row)),
      [[], []],
    );
    const { ROLE_INSIDE, ROLE_SWITCH, ROLE_UPLINK } = at;
    assert.deepEqual(
      [...program.networkRole],
      [ROLE_INSIDE, ROLE_UPLINK, ROLE_INSIDE, 0, ROLE_INSIDE, 0, ROLE_INSIDE, ROLE_UPLINK, ROLE_SWITCH, 0, ROLE_SWITCH],
    );
    const shared = at.NETWORK_SHARED_GATEWAY;
    const dhcp = at.NETWORK_DHCP;
    assert.deepEqual([...program.networkFlags], [dhcp, 0, shared, 0, shared, 0, dhcp, 0, 0, 0, 0]);
    assert.equal(mac(program.gatewayMacHigh[2]!, program.gatewayMacLow[2]!), GATEWAY_MAC, 'that of the host vNIC');
  });

  it('knows the stations that it made, but not those in VLANs', () => {
    const program = compile(
      [network(0, { routesTo: ['n1'] }, SEGMENT), network(1, { type: 'internal' }), network(2, { type: 'private' })],
      [
        port(1, 'n0', 'endpoint', { ip: ['10.0.0.2', 'fd00::2'] }),
        port(2, 'n0', 'endpoint', { ip: ['10.0.0.3'], vlan: { mode: 'access', id: 7 } }),
        port(3, 'n0', 'endpoint', { ip: ['10.0.0.4'], vlan: { mode: 'trunk', native: null, allowed: [7] } }),
        port(4, 'n0', 'endpoint', { ip: ['10.0.0.5'], vlan: { mode: 'trunk', native: 7, allowed: null } }),
        port(5, 'n1', 'host'),
        port(6, 'n2', 'endpoint', { ip: ['10.2.0.2'] }),
      ],
    );
    assert.deepEqual(neighboursOf(program), [
      '0 10.0.0.2 02:00:00:00:00:01 port 1',
      '0 fd00::2 02:00:00:00:00:01 port 1',
      '0 10.0.0.4 02:00:00:00:00:03 port 3',
      `2 10.1.0.1 ${GATEWAY_MAC} port 5`,
      `2 fd01::1 ${GATEWAY_MAC} port 5`,
    ]);
  });

  it('writes the policy of a network into its row', () => {
    const nat = {
      mapping: 'address-and-port-dependent',
      filtering: 'endpoint-independent',
      ipv6: 'routed',
      timers: { tcpEstablished: 1, tcpTransitory: 2, tcpSyn: 3, udp: 4, icmp: 5 },
      flowLimit: 6,
      ports: { first: 7, last: 8 },
      hairpin: false,
    };
    const program = compile([network(1, { nat }, SEGMENT)]);
    const policy = rows(program.natPolicy, at.NAT_POLICY_INTS);
    const named = Object.fromEntries(Object.entries(at.NAT).map(([name, column]) => [name, policy[2]![column]]));
    assert.deepEqual(named, {
      mapping: at.MAPPING_ADDRESS_AND_PORT_DEPENDENT,
      filtering: at.FILTERING_ENDPOINT_INDEPENDENT,
      translate4: at.TRANSLATE_PORTS,
      translate6: at.TRANSLATE_NONE,
      tcpEstablished: 1,
      tcpTransitory: 2,
      tcpSyn: 3,
      udp: 4,
      icmp: 5,
      flowLimit: 6,
      portFirst: 7,
      portLast: 8,
      hairpin: 0,
    });
    for (const row of [0, 1, 3]) assert.ok(policy[row]!.every((value) => value === 0));
  });

  it('publishes ports for each family, and for single external addresses', () => {
    const publish = [
      '80:8080/tcp',
      '192.0.2.1:1000-1009:53/udp',
      '0.0.0.0:81:81/tcp',
      '[fd64::2]:82:82/tcp',
      '198.51.100.9:83:83/tcp',
    ];
    const ip = ['10.0.0.2', 'fd00::2'];
    const program = compile(
      [network(0, {}, SEGMENT), network(1, { nat: { ipv6: 'routed' } }, SEGMENT), network(2, {})],
      [
        port(1, 'n0', 'endpoint', { ip, publish }),
        port(2, 'n1', 'endpoint', { ip: ['10.1.0.2', 'fd01::2'], publish: ['90:90/tcp'] }),
        port(3, 'n2', 'endpoint', { ip: ['10.2.0.2'], publish: ['91:91/tcp'] }),
      ],
    );
    const found = rows(program.natPublished, at.PUBLISHED_INTS).map((row) => {
      const family = row[2]!;
      const [external, inside] = [row.slice(3, 7), row.slice(9, 13)].map((words) => address(family, words));
      return `${row[0]} ${row[1]} ${external} ${row[7]}-${row[8]} ${inside} ${row[13]}`;
    });
    assert.deepEqual(found, [
      '0 6 0.0.0.0 80-80 10.0.0.2 8080',
      '0 6 :: 80-80 fd00::2 8080',
      '0 17 192.0.2.1 1000-1009 10.0.0.2 53',
      '0 6 0.0.0.0 81-81 10.0.0.2 81',
      '0 6 fd64::2 82-82 fd00::2 82',
      '0 6 0.0.0.0 83-83 10.0.0.2 83',
      '2 6 0.0.0.0 90-90 10.1.0.2 90',
    ]);
  });

  it('translates addresses 1:1 and prefixes', () => {
    const nat = {
      ipv6: 'nptv6',
      prefix: '2001:db8:7::/64',
      static: [{ inside: '10.0.0.9', external: '192.0.2.9' }],
    };
    const program = compile([network(0, { nat }, SEGMENT)]);
    const [pair, ...more] = rows(program.natStatic, at.STATIC_NAT_INTS);
    assert.deepEqual(more, []);
    assert.deepEqual(
      [pair![0], address(pair![1]!, pair!.slice(2, 6)), address(pair![1]!, pair!.slice(6, 10))],
      [0, '10.0.0.9', '192.0.2.9'],
    );
    const [prefix] = rows(program.natPrefixes, at.PREFIX_NAT_INTS);
    assert.deepEqual(
      [prefix![0], prefix![1], address(6, prefix!.slice(2, 6)), address(6, prefix!.slice(6, 10))],
      [0, 64, 'fd00::', '2001:db8:7::'],
    );
    assert.ok(ownOf(program).includes(`1 192.0.2.9/32 ${at.OWN_STATIC}`));
    assert.equal(program.natPolicy[at.NAT.translate6], at.TRANSLATE_PREFIX);
    const without = compile([network(0, { nat })]);
    assert.deepEqual([without.natStatic.length, without.natPrefixes.length], [0, 0], 'without an uplink');
  });

  it('makes the same of the same, and tables that fit together, whatever the networks are', () => {
    const body = fc.record({
      type: fc.constantFrom('private', 'internal', 'nat'),
      routesTo: fc.uniqueArray(fc.constantFrom(0, 1, 2, 3), { maxLength: 3 }),
      hasSegment: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(body, { maxLength: 4 }), (bodies) => {
        const networks = bodies.map(({ type, routesTo, hasSegment }, n) => {
          const names = type === 'private' ? [] : routesTo.filter((other) => other !== n).map((other) => `n${other}`);
          return network(n, { type, routesTo: names }, type === 'nat' && hasSegment ? SEGMENT : null);
        });
        const ports = networks.map((each, n) => port(n, each.spec.name, 'endpoint', { ip: [`10.${n}.0.2`] }));
        const program = compile(networks, ports);
        assert.deepEqual(compile([...networks].reverse(), [...ports].reverse()), program);
        let next = 0;
        for (let row = 0; row < program.networkCount; row++) {
          assert.equal(program.routeFirst[row], next);
          const lengths = routesOf(program, row).map((text) => Number(/\/(\d+)/.exec(text)?.[1]));
          assert.deepEqual(
            lengths,
            [...lengths].sort((a, b) => b - a),
          );
          next += program.routeCount[row]!;
        }
        assert.equal(next * at.ROUTE_INTS, program.routes.length);
        for (const route of rows(program.routes, at.ROUTE_INTS)) {
          assert.notEqual(program.networkRole[route[6]!], at.ROLE_SWITCH, 'routes lead to where the router is');
        }
      }),
      { numRuns: 200 },
    );
  });
});
