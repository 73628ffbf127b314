/** Desired state in, typed arrays out: whole values, compared decoded. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { CompiledNetwork, CompiledPort } from '../../src/compile/compile-input.js';
import { compileProgram } from '../../src/compile/compile-program.js';
import { keyOf } from '../../src/compile/network-key.js';
import { emptyProgram, NAT_POLICY_INTS, type Program, TRUNK_WORDS } from '../../src/datapath/program.js';
import type { EndpointSpec, VlanSpec } from '../../src/model/endpoint.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';

const NO_CAPTURE = { snaplen: 0, flagsOf: () => 7 };

const network = (index: number, name: string, body: object = {}): CompiledNetwork => {
  const parsed = parseNetworkRequest({ name, type: 'private', ...body });
  assert.ok(parsed.ok);
  const router = { uplinkIndex: -1, segment: null, gatewayMac: null, uplinkMac: null };
  const nothing = { ...router, tunnel: null, ownRouterMac: null, host: null };
  return { id: name, index, ...nothing, spec: parsed.value };
};

const port = (index: number, on: string, body: Partial<EndpointSpec> | null = {}): CompiledPort => {
  const spec: EndpointSpec = {
    name: `e${index}`,
    network: on,
    compartment: 'c',
    vtep: null,
    ifname: 'eth0',
    mac: '02:00:00:00:00:01',
    ip: [],
    defaultRoute: true,
    vlan: null,
    isolated: false,
    offload: true,
    staticMacs: [],
    publish: [],
    configure: true,
    aliases: [],
  };
  const endpoint = body === null ? null : { ...spec, ...body };
  const role = body === null ? 'host' : 'endpoint';
  return { index, serial: index + 100, network: on, role, endpoint, headerBytes: 12, accepts: 0x2f };
};

const allowed = (program: Program, row: number): number[] => {
  const vlans: number[] = [];
  for (let vlan = 0; vlan < 4096; vlan++) {
    if ((program.trunkSets[row * TRUNK_WORDS + (vlan >>> 5)]! >>> (vlan & 31)) & 1) vlans.push(vlan);
  }
  return vlans;
};

describe('compile/compile-program', () => {
  it('makes an empty program of nothing', () => {
    assert.deepEqual(
      compileProgram({ version: 0, networks: [], ports: [], vteps: [], capture: NO_CAPTURE }),
      emptyProgram(),
    );
  });

  it('puts everything into the row that it was given', () => {
    const storm = { broadcast: 1, multicast: 2, unknownUnicast: 3 };
    const lan = { mtu: 9000, ageingSeconds: 10, controlFrames: 'filter', storm, macLimit: 64 };
    const program = compileProgram({
      version: 7,
      networks: [network(2, 'lan', lan), network(0, 'back')],
      ports: [
        port(5, 'lan', { isolated: true }),
        port(1, 'back'),
        { ...port(3, 'lan', null), headerBytes: 0, accepts: 1 },
      ],
      vteps: [],
      capture: NO_CAPTURE,
    });
    assert.deepEqual(program, {
      version: 7,
      portCount: 6,
      portNetwork: Int32Array.of(-1, 0, -1, 2, -1, 2),
      portSerial: Int32Array.of(0, 101, 0, 103, 0, 105),
      portHeaderBytes: Uint8Array.of(0, 12, 0, 0, 0, 12),
      portAccepts: Uint16Array.of(0, 0x2f, 0, 1, 0, 0x2f),
      portFlags: Uint8Array.of(0, 0, 0, 0, 0, 1),
      portVlanMode: new Uint8Array(6),
      portVlan: new Int32Array(6),
      portTrunk: new Int32Array(6).fill(-1),
      portCapture: new Uint8Array(6),
      trunkSets: new Int32Array(0),
      networkCount: 3,
      networkMtu: Int32Array.of(1500, 0, 9000),
      networkAgeingMs: Int32Array.of(300_000, 0, 10_000),
      networkFlags: Uint8Array.of(0, 0, 1),
      networkMacLimit: Int32Array.of(131072, 0, 64),
      networkStormBroadcast: Int32Array.of(0, 0, 1),
      networkStormMulticast: Int32Array.of(0, 0, 2),
      networkStormUnknown: Int32Array.of(0, 0, 3),
      memberFirst: Int32Array.of(0, 1, 1),
      memberCount: Int32Array.of(1, 0, 2),
      members: Int32Array.of(1, 3, 5),
      staticMacs: new Int32Array(0),
      networkRole: new Uint8Array(3),
      networkKey: Int32Array.of(keyOf('back'), 0, keyOf('lan')),
      gatewayMacHigh: new Int32Array(3),
      gatewayMacLow: new Int32Array(3),
      networkServicePort: new Int32Array(3).fill(-1),
      networkUplink: new Int32Array(3).fill(-1),
      ownAddresses: new Int32Array(0),
      routeFirst: new Int32Array(3),
      routeCount: new Int32Array(3),
      routes: new Int32Array(0),
      neighbours: new Int32Array(0),
      natPolicy: new Int32Array(3 * NAT_POLICY_INTS),
      natPublished: new Int32Array(0),
      natStatic: new Int32Array(0),
      natPrefixes: new Int32Array(0),
      portVtep: new Int32Array(6).fill(-1),
      portTunnel: new Int32Array(6).fill(-1),
      portUdp: new Int32Array(6),
      networkTunnel: new Int32Array(3).fill(-1),
      ownRouterMacHigh: new Int32Array(3),
      ownRouterMacLow: new Int32Array(3),
      vteps: new Int32Array(0),
      vtepSenders: new Int32Array(0),
      tunnels: new Int32Array(0),
      floods: new Int32Array(0),
      captureSnaplen: 0,
    });
  });

  it('compiles VLANs, and makes equal trunks one set', () => {
    const vlans: (VlanSpec | null)[] = [
      null,
      { mode: 'access', id: 42 },
      { mode: 'trunk', native: null, allowed: null },
      { mode: 'trunk', native: 9, allowed: [4094, 10] },
      { mode: 'trunk', native: null, allowed: [10, 9, 4094] },
      { mode: 'trunk', native: 9, allowed: null },
      { mode: 'trunk', native: null, allowed: [] },
    ];
    const ports = vlans.map((vlan, index) => port(index, 'n', { vlan }));
    const program = compileProgram({ version: 1, networks: [network(0, 'n')], ports, vteps: [], capture: NO_CAPTURE });
    assert.deepEqual([...program.portVlanMode], [0, 1, 0, 0, 0, 0, 0]);
    assert.deepEqual([...program.portVlan], [0, 42, 0, 9, 0, 9, 0]);
    assert.deepEqual([...program.portTrunk], [-1, -1, -1, 0, 0, -1, 1]);
    assert.deepEqual(allowed(program, 0), [9, 10, 4094]);
    assert.deepEqual(allowed(program, 1), []);
  });

  it('enters static MACs in the VLAN of untagged frames', () => {
    const staticMacs = ['02:00:5e:00:00:09', 'ae:ff:ff:ff:ff:ff'];
    const ports = [
      port(0, 'n', { staticMacs }),
      port(1, 'n', { staticMacs: ['02:00:00:00:00:01'], vlan: { mode: 'access', id: 5 } }),
    ];
    const program = compileProgram({ version: 1, networks: [network(3, 'n')], ports, vteps: [], capture: NO_CAPTURE });
    const rows = [3, 0, 0x0200, 0x5e000009, 0, 3, 0, 0xaeff, -1, 0, 3, 5, 0x0200, 1, 1];
    assert.deepEqual([...program.staticMacs], rows);
  });

  it('marks the ports of captures', () => {
    const flagsOf = ({ endpoint, network: name }: CompiledPort) =>
      (endpoint === null ? 4 : endpoint.name === 'e1' ? 3 : 0) + (name === 'b' ? 8 : 0);
    const networks = [network(0, 'a'), network(1, 'b')];
    const ports = [port(0, 'a'), port(1, 'a'), port(2, 'b', null)];
    const program = compileProgram({ version: 1, networks, ports, vteps: [], capture: { snaplen: 128, flagsOf } });
    assert.equal(program.captureSnaplen, 128);
    assert.deepEqual([...program.portCapture], [0, 3, 12]);
  });

  it('does not depend on the order in which it is told, and keeps its invariants', () => {
    const layout = fc.uniqueArray(fc.record({ index: fc.integer({ min: 0, max: 60 }), on: fc.nat({ max: 3 }) }), {
      selector: ({ index }) => index,
      maxLength: 40,
    });
    fc.assert(
      fc.property(layout, fc.infiniteStream(fc.nat()), (rows, random) => {
        const networks = [0, 1, 2, 3].map((index) => network(index * 2, `n${index}`));
        const ports = rows.map(({ index, on }) => port(index, `n${on}`));
        const shuffled = [...ports].sort(() => (random.next().value % 3) - 1);
        const program = compileProgram({ version: 3, networks, ports, vteps: [], capture: NO_CAPTURE });
        const again = compileProgram({
          version: 3,
          networks: networks.reverse(),
          ports: shuffled,
          vteps: [],
          capture: NO_CAPTURE,
        });
        assert.deepEqual(again, program);
        for (let row = 0; row < program.networkCount; row++) {
          const first = program.memberFirst[row]!;
          const members = [...program.members.subarray(first, first + program.memberCount[row]!)];
          const expected = [...program.portNetwork.keys()].filter((index) => program.portNetwork[index] === row);
          assert.deepEqual(members, expected);
        }
      }),
    );
  });

  it('takes for eight times the ports about eight times as long', () => {
    const networks = [network(0, 'n')];
    /** Best of several, in ms. */
    const timeOf = (count: number) => {
      const ports = Array.from({ length: count }, (_, index) => port(index, 'n'));
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 20; i++) {
        const startedAt = process.hrtime.bigint();
        compileProgram({ version: i, networks, ports, vteps: [], capture: NO_CAPTURE });
        best = Math.min(best, Number(process.hrtime.bigint() - startedAt) / 1e6);
      }
      return best;
    };
    const [few, many] = [timeOf(500), timeOf(4000)];
    // A quadratic price would be 64 times as high.
    assert.ok(many < 32 * few, `${few} ms for 500 ports, ${many} ms for 4000`);
  });
});
