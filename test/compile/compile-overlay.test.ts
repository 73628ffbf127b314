/** What the program says of tunnels: tables decoded by the names of their columns, whole. */
import assert from 'node:assert/strict';
import type { CompiledNetwork, CompiledPort, PortRole } from '../../src/compile/compile-input.js';
import { compileProgram } from '../../src/compile/compile-program.js';
import { keyOf } from '../../src/compile/network-key.js';
import type { CompiledVtep, OverlayTunnel } from '../../src/compile/overlay-tunnel.js';
import * as at from '../../src/datapath/program.js';
import { parseIp } from '../../src/model/ip.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';

const NO_CAPTURE = { snaplen: 0, flagsOf: () => 0 };
const GATEWAY = '02:57:45:00:00:01';
const OWN_ROUTER = '02:00:00:00:02:02';

const SOCKETS: CompiledVtep = {
  key: 'socket 192.0.2.1 4789',
  underlay: 'socket',
  index: 3,
  address: '192.0.2.1',
  udpPort: 4789,
  port: 5,
  senders: [6, 7],
  hostMac: null,
  ownMac: null,
  checksum: true,
  joins: true,
  mtu: 1500,
};
const TAP: CompiledVtep = {
  key: 'tap 2001:db8::7 8472 /run/netns/u',
  underlay: 'tap',
  index: 4,
  address: '2001:db8::7',
  udpPort: 8472,
  port: 8,
  senders: [],
  hostMac: '02:00:00:00:00:0a',
  ownMac: '02:00:00:00:00:0b',
  checksum: false,
  joins: false,
  mtu: 9000,
};

function network(index: number, name: string, body: object, tunnel: OverlayTunnel | null): CompiledNetwork {
  const parsed = parseNetworkRequest({ name, type: 'overlay', ...body });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const hasGateway = parsed.value.gateway.length > 0;
  return {
    id: `id-${name}`,
    index,
    uplinkIndex: -1,
    tunnel,
    segment: null,
    gatewayMac: hasGateway ? GATEWAY : null,
    ownRouterMac: hasGateway ? OWN_ROUTER : null,
    uplinkMac: null,
    host: null,
    spec: parsed.value,
  };
}

function port(index: number, on: string, role: PortRole): CompiledPort {
  return { index, serial: index, network: on, role, endpoint: null, headerBytes: 12, accepts: 0x1af };
}

const compile = (networks: CompiledNetwork[], vteps: CompiledVtep[], ports: CompiledPort[]) =>
  compileProgram({ version: 1, networks, vteps, ports, capture: NO_CAPTURE });

function rows(table: Int32Array, ints: number): number[][] {
  assert.equal(table.length % ints, 0);
  return Array.from({ length: table.length / ints }, (_, row) => [...table.subarray(row * ints, (row + 1) * ints)]);
}

/** Columns by name, of which each is one int. */
function named(columns: Record<string, number>, row: readonly number[]): Record<string, number> {
  return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, row[column]!]));
}

const words = (text: string): number[] => {
  const ip = parseIp(text);
  assert.ok(ip !== null);
  if (ip.family === 4) return [4, Number(ip.value) | 0, 0, 0, 0];
  return [6, ...[96n, 64n, 32n, 0n].map((shift) => Number((ip.value >> shift) & 0xffffffffn) | 0)];
};

describe('compile/compile-overlay', () => {
  const peers = ['192.0.2.2', '192.0.2.3'];
  const ov = network(0, 'ov', { vni: 5000, dscp: 46, peersClosed: true }, { vtep: SOCKETS.key, floods: peers });
  const keep = network(
    1,
    'keep',
    { vni: 0, vtep: '2001:db8::7', innerVlan: 'keep', learning: false, suppress: false, subnets: ['10.90.0.0/24'] },
    { vtep: TAP.key, floods: ['2001:db8::9'] },
  );
  const lost = network(2, 'lost', { vni: 2 }, null);
  const ports = [
    port(0, 'ov', 'tunnel'),
    port(1, 'keep', 'tunnel'),
    port(5, SOCKETS.key, 'underlay'),
    { ...port(6, SOCKETS.key, 'underlay'), udpPort: 50_000 },
    port(7, SOCKETS.key, 'underlay'),
    port(8, TAP.key, 'underlay'),
  ];
  const program = compile([keep, lost, ov], [SOCKETS, TAP], ports);

  it('has a row for each VTEP, with the ports that receive and send', () => {
    const [sockets, tap] = rows(program.vteps, at.VTEP_INTS) as [number[], number[]];
    const mac = { high: 0x0200, low: 0x0a };
    assert.deepEqual(named(at.VTEP, sockets), {
      key: keyOf(SOCKETS.key),
      kind: at.VTEP_SOCKET,
      network: 3,
      port: 5,
      family: 4,
      address: words('192.0.2.1')[1],
      udpPort: 4789,
      senderFirst: 0,
      senderCount: 2,
      hostMacHigh: 0,
      hostMacLow: 0,
      ownMacHigh: 0,
      ownMacLow: 0,
      flags: at.VTEP_CHECKSUM | at.VTEP_JOINS,
      mtu: 1500,
    });
    assert.deepEqual(named(at.VTEP, tap), {
      key: keyOf(TAP.key),
      kind: at.VTEP_TAP,
      network: 4,
      port: 8,
      family: 6,
      address: words('2001:db8::7')[1],
      udpPort: 8472,
      senderFirst: 2,
      senderCount: 0,
      hostMacHigh: mac.high,
      hostMacLow: mac.low,
      ownMacHigh: mac.high,
      ownMacLow: mac.low + 1,
      flags: 0,
      mtu: 9000,
    });
    assert.deepEqual(tap.slice(at.VTEP.family, at.VTEP.udpPort), words('2001:db8::7'));
    assert.deepEqual([...program.vtepSenders], [6, 7]);
    assert.deepEqual([...program.portVtep], [-1, -1, -1, -1, -1, 0, 0, 0, 1]);
    assert.deepEqual([...program.portNetwork], [0, 1, -1, -1, -1, 3, 3, 3, 4]);
    assert.deepEqual([program.portUdp[5], program.portUdp[6]], [0, 50_000]);
    assert.equal(program.portAccepts[8], 0x1af, 'more than a byte');
  });

  it('makes weft a station of the segment of a TAP, and of no socket', () => {
    assert.deepEqual([...program.networkRole], [0, at.ROLE_INSIDE, 0, at.ROLE_UNDERLAY, at.ROLE_UNDERLAY]);
    assert.deepEqual([program.gatewayMacLow[3], program.gatewayMacLow[4]], [0, 0x0b]);
    assert.deepEqual([program.networkMtu[3], program.networkMtu[4]], [1500, 9000]);
    const own = rows(program.ownAddresses, at.OWN_ADDRESS_INTS);
    assert.deepEqual(own, [
      [4, ...words('2001:db8::7'), 128, 0],
      [1, ...words('10.90.0.1'), 24, at.OWN_GATEWAY],
    ]);
  });

  it('has a tunnel for each network whose VTEP is there, with who gets what floods', () => {
    const tunnels = rows(program.tunnels, at.TUNNEL_INTS).map((row) => named(at.TUNNEL, row));
    assert.deepEqual(tunnels, [
      {
        network: 0,
        vni: 5000,
        vtep: 0,
        port: 0,
        flags: at.TUNNEL_CLOSED | at.TUNNEL_LEARNS,
        dscp: 46,
        floodFirst: 0,
        floodCount: 2,
      },
      { network: 1, vni: 0, vtep: 1, port: 1, flags: 0, dscp: -1, floodFirst: 2, floodCount: 1 },
    ]);
    assert.deepEqual(rows(program.floods, at.FLOOD_INTS), [...peers, '2001:db8::9'].map(words));
    assert.deepEqual([...program.networkTunnel], [0, 1, -1, -1, -1]);
    assert.deepEqual([...program.portTunnel], [0, 1, -1, -1, -1, -1, -1, -1, -1]);
  });

  it('carries tags where they are kept, and only the untagged domain elsewhere', () => {
    assert.deepEqual([program.portVlanMode[0], program.portVlan[0]], [at.VLAN_ACCESS, 0]);
    assert.deepEqual([program.portVlanMode[1], program.portVlan[1]], [at.VLAN_TRUNK, 0]);
  });

  it('says what is answered there', () => {
    const tells = at.NETWORK_TELLS_MTU;
    const routed = tells | at.NETWORK_DHCP;
    assert.deepEqual(
      [...program.networkFlags],
      [tells | at.NETWORK_SUPPRESS, routed, tells | at.NETWORK_SUPPRESS, 0, 0],
    );
    assert.deepEqual([program.ownRouterMacLow[1], program.ownRouterMacLow[0]], [0x0202, 0]);
    assert.equal(program.gatewayMacHigh[1], 0x0257);
  });

  it('leaves peers of the other family out, which no VTEP of this one can reach', () => {
    const mixed = network(0, 'ov', { vni: 1 }, { vtep: SOCKETS.key, floods: ['2001:db8::1', '192.0.2.2'] });
    const { floods, tunnels } = compile([mixed], [SOCKETS], [port(0, 'ov', 'tunnel')]);
    assert.deepEqual(rows(floods, at.FLOOD_INTS), [words('192.0.2.2')]);
    assert.equal(tunnels[at.TUNNEL.floodCount], 1);
  });

  it('routes prefixes behind other routers to them, also for networks that have a route to this one', () => {
    const remoteSubnets = [
      { prefix: '10.91.0.0/24', vtep: '192.0.2.2', mac: '02:00:5e:10:00:01' },
      { prefix: '10.92.0.0/16', vtep: '192.0.2.3', mac: '02:00:5e:10:00:02', vni: 7 },
    ];
    const body = { vni: 5000, subnets: ['10.90.0.0/24'], remoteSubnets };
    const l3 = network(0, 'l3', body, { vtep: SOCKETS.key, floods: [] });
    const other = network(1, 'other', { vni: 1, subnets: ['10.80.0.0/24'], routesTo: ['l3'] }, null);
    const compiled = compile([l3, other], [SOCKETS], [port(0, 'l3', 'tunnel')]);
    const routesOf = (row: number) =>
      rows(compiled.routes, at.ROUTE_INTS).slice(
        compiled.routeFirst[row],
        compiled.routeFirst[row]! + compiled.routeCount[row]!,
      );
    const nothing = [0, 0, 0, 0];
    const connected = (prefix: string, length: number, target: number) => [
      ...words(prefix),
      length,
      target,
      ...nothing,
      0,
      ...nothing,
      ...nothing,
    ];
    const remote = (prefix: string, length: number, vtep: string, mac: number, vni: number) => {
      const [family = 0, ...address] = words(vtep);
      return [...words(prefix), length, 0, ...nothing, at.ROUTE_REMOTE, ...address, family, 0x0200, mac | 0, vni];
    };
    const all = [
      connected('10.80.0.0', 24, 1),
      connected('10.90.0.0', 24, 0),
      remote('10.91.0.0', 24, '192.0.2.2', 0x5e100001, 5000),
      remote('10.92.0.0', 16, '192.0.2.3', 0x5e100002, 7),
    ];
    assert.deepEqual(routesOf(0), all);
    assert.deepEqual(routesOf(1), all);
  });

  it('has no router where there are no subnets, whoever names the network', () => {
    const flat = network(0, 'flat', { vni: 1 }, { vtep: SOCKETS.key, floods: [] });
    const other = network(1, 'other', { vni: 2, subnets: ['10.80.0.0/24'], routesTo: ['flat'] }, null);
    const { networkRole, networkFlags, routeCount } = compile([flat, other], [SOCKETS], [port(0, 'flat', 'tunnel')]);
    assert.deepEqual([...networkRole.subarray(0, 2)], [at.ROLE_SWITCH, at.ROLE_INSIDE]);
    assert.deepEqual([networkFlags[0]! & at.NETWORK_SHARED_GATEWAY, ...routeCount.subarray(0, 2)], [0, 0, 1]);
  });

  it('knows the host vNIC by addresses of its own', () => {
    const hosted = {
      ...network(0, 'ov', { vni: 1, subnets: ['10.90.0.0/24'], hostVnic: true }, null),
      host: { mac: '02:00:00:00:03:03', addresses: ['10.90.0.9'] },
    };
    const { neighbours } = compile([hosted], [], [port(2, 'ov', 'host')]);
    assert.deepEqual(rows(neighbours, at.NEIGHBOUR_INTS), [[0, ...words('10.90.0.9'), 0x0200, 0x0303, 2]]);
  });
});
