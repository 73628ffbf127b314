// Gateways and the router between networks, with the programs of real stations: who reaches whom, what they are told when they do not, path MTU,
// stations that weft does not know, and stations that configure themselves by router advertisements.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { addressesReady } from '../support/system-nat.js';
import { createSide, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

const NARROW_MTU = 1300;
const MEGABYTE = 1e6;

interface Segment {
  network: string;
  v4: string;
  v6: string;
  gateway: { v4: string; v6: string };
  side: Side;
}

describe('gateways', function gateways() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let front: Segment;
  let back: Segment;
  let apart: Segment;
  let host: Segment;
  let hostToo: Segment;

  async function segment(base: string, request: object): Promise<Segment> {
    const subnet = lab.subnet();
    const network = lab.name(base);
    const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
    const { gateway } = await daemon.call('POST', '/v1/networks', { name: network, subnets, ...request });
    const side = await createSide(lab, { network, subnet, base: `in-${base}`, host: 10 });
    await addressesReady(lab, side.base);
    return { network, ...subnet, gateway: { v4: gateway[0], v6: gateway[1] }, side };
  }

  before(async () => {
    const nat = { type: 'nat', uplink: 'none' };
    back = await segment('back', { ...nat, mtu: NARROW_MTU });
    apart = await segment('apart', nat);
    host = await segment('host', { type: 'internal' });
    hostToo = await segment('hosttoo', { type: 'internal', routesTo: [host.network] });
    front = await segment('front', { ...nat, advertise: true, routesTo: [back.network, host.network] });
  });

  for (const family of ['v4', 'v6'] as const) {
    describe(`over IP${family}`, () => {
      it('answer pings, small ones and those that come in fragments', async () => {
        assert.ok(await lab.pings(front.side.base, front.gateway[family]));
        const large = ['ping', '-n', '-q', '-c', '2', '-i', '0.5', '-s', '20000', front.gateway[family]];
        assert.match(await lab.inside(front.side.base, large), / 2 received/);
      });

      it('connect networks that route to each other, both ways, and no others', async () => {
        assert.ok(await lab.pings(front.side.base, back.side[family]), 'front reaches back');
        assert.ok(await lab.pings(back.side.base, front.side[family]), 'back reaches front');
        assert.ok(await lab.pings(front.side.base, back.gateway[family]), 'front reaches the gateway of back');
        const lost = await lab.tryInside(front.side.base, ['ping', '-n', '-c', '1', '-W', '2', apart.side[family]]);
        assert.equal(lost.status, 1);
        assert.match(lost.stdout, family === 'v4' ? /Destination Net Unreachable/ : /No route/);
      });

      it('connect them with a network whose gateway is the host', async () => {
        assert.ok(await lab.pings(front.side.base, host.side[family]), 'front reaches host');
        assert.ok(await lab.pings(host.side.base, front.side[family]), 'host reaches front');
        assert.ok(await lab.pings(host.side.base, host.gateway[family]), 'the gateway of the host still answers');
        assert.equal(await lab.pings(back.side.base, host.side[family]), false, 'back does not reach host');
      });

      it('connect two networks whose gateways are the host', async () => {
        assert.ok(await lab.pings(hostToo.side.base, host.side[family]), 'one way');
        assert.ok(await lab.pings(host.side.base, hostToo.side[family]), 'the other way');
        const trace = ['traceroute', '-n', '-w', '2', '-q', '1', host.side[family]];
        assert.ok((await lab.inside(hostToo.side.base, trace)).includes(`1  ${hostToo.gateway[family]} `));
      });

      it('are hops that traceroute shows', async () => {
        const hops = ['traceroute', '-n', '-w', '2', '-q', '1', back.side[family]];
        const lines = (await lab.inside(front.side.base, hops)).trim().split('\n').slice(1);
        const addresses = lines.map((line) => line.trim().split(/\s+/)[1]);
        assert.deepEqual(addresses, [front.gateway[family], back.side[family]]);
      });

      it('tell senders what fits through a narrower network', async () => {
        const sized = (bytes: number, ...more: string[]) =>
          lab.tryInside(front.side.base, [
            'ping',
            '-n',
            '-c',
            '1',
            '-W',
            '2',
            '-M',
            'do',
            '-s',
            String(bytes),
            ...more,
            back.side[family],
          ]);
        const overhead = family === 'v4' ? 28 : 48;
        const told = await sized(1400);
        assert.match(told.stdout, new RegExp(`(Frag needed and DF set|Packet too big).*mtu ?= ?${NARROW_MTU}`));
        assert.equal((await sized(NARROW_MTU - overhead)).status, 0);
        const route = await lab.inside(front.side.base, ['ip', 'route', 'get', back.side[family]]);
        assert.match(route, new RegExp(`mtu ${NARROW_MTU}`));
      });

      it('carry a stream into the narrower network byte for byte', async () => {
        const { side } = back;
        const request = { from: front.side.base, to: side.base, address: side[family], bytes: 50 * MEGABYTE };
        await (await startTransfer(lab, { ...request, bytesPerSecond: 400 * MEGABYTE })).finish();
      });

      it('find stations that weft does not know, and tell who asks for one that is not there', async () => {
        const other = family === 'v4' ? `${back.v4}.77` : `${back.v6}::77`;
        const length = family === 'v4' ? '24' : '64';
        const add = [
          'ip',
          'address',
          'add',
          `${other}/${length}`,
          'dev',
          'eth0',
          ...(family === 'v4' ? [] : ['nodad']),
        ];
        await lab.inside(back.side.base, add);
        assert.ok(await lab.pings(front.side.base, other));
        const nobody = family === 'v4' ? `${back.v4}.99` : `${back.v6}::99`;
        const lost = await lab.tryInside(front.side.base, ['ping', '-n', '-c', '1', '-W', '6', nobody]);
        assert.equal(lost.status, 1);
        assert.match(lost.stdout, family === 'v4' ? /Destination Host Unreachable/ : /Address unreachable/);
      });

      it('refuse connections at once', async () => {
        const target = family === 'v4' ? front.gateway.v4 : `[${front.gateway.v6}]`;
        const fetched = await lab.tryInside(front.side.base, [
          'curl',
          '--silent',
          '--show-error',
          '--max-time',
          '5',
          `http://${target}:81/`,
        ]);
        assert.match(fetched.stderr, /refused|Couldn't connect/i);
      });
    });
  }

  it('cut IPv4 packets for a narrower network where they may be cut', async () => {
    const ping = ['ping', '-n', '-q', '-c', '2', '-i', '0.5', '-M', 'dont', '-s', '5000', back.side.v4];
    assert.match(await lab.inside(front.side.base, ping), / 2 received/);
  });

  it('advertise themselves to stations that configure themselves', async () => {
    const base = 'selfmade';
    const request = { name: lab.name(base) };
    await daemon.call('POST', '/v1/compartments', request);
    const endpoint = {
      name: `${request.name}-eth0`,
      network: front.network,
      compartment: request.name,
      configure: false,
    };
    await daemon.call('POST', '/v1/endpoints', endpoint);
    const addresses = () => lab.inside(base, ['ip', '-6', '-o', 'address', 'show', 'dev', 'eth0', 'scope', 'global']);
    await waitFor('an address of its own making', async () => (await addresses()).includes(`${front.v6}:`));
    const route = await lab.inside(base, ['ip', '-6', 'route', 'show', 'default']);
    assert.match(route, /via fe80::\S+ dev eth0 proto ra .*hoplimit 64/);
    await addressesReady(lab, base);
    assert.ok(await lab.pings(base, back.side.v6), 'it reaches another network');
  });
});
