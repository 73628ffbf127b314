// Uplinks of kind nic: weft as a station of its own on the segment of an interface that exists.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { addressesReady, ask, createWorld, serveWeb, type World } from '../support/system-nat.js';
import { createSide, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';
import { startTransfer, TRANSFER_PORTS } from '../support/system-transfer.js';

describe('an uplink of kind nic', function uplinkNic() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  const network = lab.name('lan');
  let world: World;
  let inside: Side;
  let external: { v4: string; v6: string };
  let routerBefore: string;

  /** Of IPv4: what the machine has of IPv6 goes with an interface that is switched off, as one test does. */
  const routerState = async () => {
    const commands = [
      ['ip', '-4', 'address'],
      ['ip', '-4', 'route'],
      ['nft', 'list', 'ruleset'],
    ];
    return (await Promise.all(commands.map((command) => lab.inside(world.router, command)))).join('');
  };
  const outside = async () => (await daemon.call('GET', `/v1/networks/${network}`)).outside;

  before(async () => {
    world = await createWorld(lab);
    routerBefore = await routerState();
    const on = (address: string) => address.replace(/\d+$/, '77');
    external = { v4: on(world.near.v4), v6: on(world.near.v6) };
    const subnet = lab.subnet();
    await daemon.call('POST', '/v1/networks', {
      ...{ name: network, type: 'nat', subnets: [`${subnet.v4}.0/24`, `${subnet.v6}::/64`] },
      ...{ uplink: 'nic:rb', uplinkNetns: lab.path(world.router), externalIp: [external.v4, external.v6] },
    });
    const endpoint = { publish: ['8080:80', `${TRANSFER_PORTS}:${TRANSFER_PORTS.split('-')[0]}`] };
    inside = await createSide(lab, { network, subnet, base: 'station', host: 10, endpoint });
    await addressesReady(lab, inside.base);
    await serveWeb(lab, inside.base, 80);
    await serveWeb(lab, world.outside, 8000);
  });

  it('tells stations that knew its addresses elsewhere that they have moved, as soon as it is there', async () => {
    const stale = '02:00:5e:00:53:99';
    const moved = { v4: external.v4.replace(/77$/, '78'), v6: external.v6.replace(/77$/, '78') };
    for (const address of [moved.v4, moved.v6]) {
      const entry = ['ip', 'neighbour', 'add', address, 'lladdr', stale, 'dev', 'pb', 'nud', 'stale'];
      await lab.inside(world.outside, entry);
    }
    const name = lab.name('moved');
    const subnet = lab.subnet();
    await daemon.call('POST', '/v1/networks', {
      ...{ name, type: 'nat', subnets: [`${subnet.v4}.0/24`, `${subnet.v6}::/64`] },
      ...{ uplink: 'nic:rb', uplinkNetns: lab.path(world.router), externalIp: [moved.v4, moved.v6] },
    });
    const known = async (address: string) => {
      const [row] = JSON.parse(await lab.inside(world.outside, ['ip', '-json', 'neighbour', 'show', address]));
      return (row as { lladdr: string }).lladdr;
    };
    for (const address of [moved.v4, moved.v6]) {
      await waitFor(`the new MAC of ${address}`, async () => (await known(address)) !== stale);
      assert.match(await known(address), /^02:/);
    }
    await daemon.call('DELETE', `/v1/networks/${name}`);
  });

  it('sends what is not on the segment to the next hops of the machine', async () => {
    assert.deepEqual((await outside()).nextHops, [world.far.v4, world.far.v6]);
    await lab.inside(world.outside, ['ip', 'address', 'add', '203.0.113.9/32', 'dev', 'lo']);
    assert.ok(await lab.pings(inside.base, '203.0.113.9'));
  });

  for (const family of ['v4', 'v6'] as const) {
    it(`is seen as a station with an address and a MAC of its own over IP${family}`, async () => {
      assert.equal((await ask(lab, inside.base, world.far[family], 8000)).from, external[family]);
      const neighbours = JSON.parse(await lab.inside(world.outside, ['ip', '-json', 'neighbour']));
      const macs = new Map<string, string>(
        neighbours.map((row: { dst: string; lladdr: string }) => [row.dst, row.lladdr]),
      );
      const [router] = await lab.links(world.router);
      assert.match(macs.get(external[family]) ?? '', /^02:/);
      assert.notEqual(macs.get(external[family]), router?.mac);
    });

    it(`is reached at published ports over IP${family}, and the source address is kept`, async () => {
      const answer = await ask(lab, world.outside, external[family], 8080);
      assert.deepEqual(answer, { from: world.far[family], to: inside[family] });
    });

    it(`carries transfers both ways over IP${family} byte for byte`, async () => {
      const bytes = 50e6;
      const out = await startTransfer(lab, { from: inside.base, to: world.outside, address: world.far[family], bytes });
      const into = await startTransfer(lab, { from: world.outside, to: inside.base, address: external[family], bytes });
      for (const transfer of [out, into]) await transfer.finish();
    });
  }

  it('is lost while the interface is down, and works again when it is up', async () => {
    await lab.inside(world.router, ['ip', 'link', 'set', 'dev', 'rb', 'down']);
    await waitFor('the uplink to be lost', async () => (await outside()).state === 'lost');
    await lab.inside(world.router, ['ip', 'link', 'set', 'dev', 'rb', 'up']);
    await lab.inside(world.router, ['ip', 'route', 'replace', 'default', 'via', world.far.v4]);
    await waitFor('the uplink to be back', async () => (await outside()).state === 'ready');
    assert.ok(await lab.pings(inside.base, world.far.v4));
  });

  it('survives a kill -9 of the daemon', async () => {
    await daemon.kill();
    await daemon.start();
    assert.equal((await outside()).state, 'ready');
    assert.ok(await lab.pings(inside.base, world.far.v4));
    assert.equal((await ask(lab, world.outside, external.v4, 8080)).to, inside.v4);
  });

  it('changes nothing of the machine, and is gone without a trace', async () => {
    await daemon.call('DELETE', `/v1/networks/${network}?force=true`);
    const flags = await lab.inside(world.router, ['ip', '-details', 'link', 'show', 'dev', 'rb']);
    assert.match(flags, /promiscuity 0/);
    assert.equal(await routerState(), routerBefore);
  });
});
