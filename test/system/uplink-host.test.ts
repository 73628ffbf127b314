// Uplinks of kind host: what weft does to the namespace that they lead into, that nothing of it stays, and that they come back.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { addressesReady, ask, createNat, createWorld, type Nat, serveWeb, type World } from '../support/system-nat.js';
import { createSide } from '../support/system-pair.js';
import { run, waitFor } from '../support/system-process.js';

const SETTINGS = [
  'net.ipv4.ip_forward',
  'net.ipv6.conf.all.forwarding',
  'net.ipv6.conf.rb.accept_ra',
  'net.ipv4.conf.rb.route_localnet',
];

describe('an uplink of kind host', function uplinkHost() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let world: World;

  before(async () => {
    world = await createWorld(lab);
  });

  /** Everything of the router that an uplink could change; neighbours come and go. */
  async function routerState(): Promise<object> {
    const { router } = world;
    const inRouter = (...command: string[]) => lab.inside(router, command);
    return {
      links: (await lab.links(router)).map(({ name, addresses, mtu }) => ({ name, addresses, mtu })),
      routes: await inRouter('ip', 'route'),
      routes6: (await inRouter('ip', '-6', 'route')).replace(/ expires \S+/g, ''),
      rules: await inRouter('nft', 'list', 'ruleset'),
      settings: await inRouter('sysctl', ...SETTINGS),
    };
  }

  const state = async (network: string) => (await daemon.call('GET', `/v1/networks/${network}`)).outside.state;
  const events = async (type: string): Promise<string[]> => {
    const all = await daemon.call('GET', '/v1/events');
    return all
      .filter((event: { type: string }) => event.type === type)
      .map(({ message }: { message: string }) => message);
  };

  async function reaches(nat: Nat): Promise<void> {
    for (const family of ['v4', 'v6'] as const) {
      assert.ok(await lab.pings(nat.inside.base, world.far[family]), `${nat.network} reaches the outside, ${family}`);
    }
  }

  it('leaves no trace in the namespace, however many there were', async () => {
    const before = await routerState();
    const nats = [await createNat(lab, { world }), await createNat(lab, { world, endpoint: { publish: ['8080:80'] } })];
    for (const nat of nats) await reaches(nat);
    assert.notDeepEqual(await routerState(), before);
    assert.match(
      (await events('forwarding-enabled'))[0] ?? '',
      /net\.ipv4\.ip_forward.*goes back with the last uplink/,
    );
    await daemon.call('DELETE', `/v1/networks/${nats[0]!.network}?force=true`);
    await reaches(nats[1]!);
    await daemon.call('DELETE', `/v1/networks/${nats[1]!.network}?force=true`);
    assert.deepEqual(await routerState(), before);
  });

  it('is what the namespace routes IPv6 to that is not translated', async () => {
    const nat = await createNat(lab, { world, network: { nat: { ipv6: 'routed' } } });
    await lab.inside(world.outside, ['ip', '-6', 'route', 'add', `${nat.subnet.v6}::/64`, 'via', world.near.v6]);
    await serveWeb(lab, world.outside, 8000);
    assert.equal((await ask(lab, nat.inside.base, world.far.v6, 8000)).from, nat.inside.v6, 'its own address');
    assert.equal((await ask(lab, nat.inside.base, world.far.v4, 8000)).from, world.near.v4, 'masqueraded');
    assert.ok(await lab.pings(world.outside, nat.inside.v6), 'and it is reached at it');
    await daemon.call('DELETE', `/v1/networks/${nat.network}?force=true`);
  });

  it('lets no compartment reach what the host keeps to its loopback addresses', async () => {
    const nat = await createNat(lab, { world, endpoint: { publish: ['8081:80'] } });
    await serveWeb(lab, world.router, 8100);
    assert.equal((await ask(lab, world.router, '127.0.0.1', 8100)).to, '127.0.0.1');
    const { inside } = nat;
    // A program of the compartment may send what its kernel would not: as it would be, with the loopback address over the wire.
    await lab.inside(inside.base, ['sysctl', '-q', 'net.ipv4.conf.all.route_localnet=1']);
    await lab.inside(inside.base, ['ip', 'address', 'del', '127.0.0.1/8', 'dev', 'lo']);
    await lab.inside(inside.base, ['ip', 'route', 'add', '127.0.0.1/32', 'via', nat.gateway.v4]);
    const outcome = await lab.tryInside(inside.base, ['curl', '-s', '-m', '2', 'http://127.0.0.1:8100/']);
    assert.notEqual(outcome.status, 0);
    await daemon.call('DELETE', `/v1/networks/${nat.network}?force=true`);
  });

  it('comes back by itself after somebody deleted its interface or its rules were lost with the daemon', async () => {
    const nat = await createNat(lab, { world });
    const { interface: ifname } = (await daemon.call('GET', `/v1/networks/${nat.network}`)).outside;
    await lab.inside(world.router, ['ip', 'link', 'delete', 'dev', ifname]);
    await waitFor('the uplink to be lost', async () => (await events('uplink-lost')).length > 0);
    await waitFor('the uplink to be back', async () => (await state(nat.network)) === 'ready');
    await reaches(nat);
    await daemon.kill();
    await lab.inside(world.router, ['nft', 'flush', 'ruleset']);
    await lab.inside(world.router, ['sysctl', '-q', 'net.ipv4.ip_forward=0']);
    await daemon.start();
    await reaches(nat);
    await daemon.call('DELETE', `/v1/networks/${nat.network}?force=true`);
    assert.equal(await lab.inside(world.router, ['nft', 'list', 'tables']), '');
  });

  it('is given up with its namespace, and waits for the next one of that name', async () => {
    const lost = await createWorld(lab);
    const nat = await createNat(lab, { world: lost });
    await run(['ip', 'netns', 'delete', lab.name(lost.router)]);
    await waitFor('the end to be noticed', async () => (await state(nat.network)) === 'lost');
    assert.ok(await lab.pings(nat.inside.base, nat.gateway.v4), 'the gateway answers all the same');
    await lab.addNamespace(lost.router);
    await waitFor('the uplink to be back', async () => (await state(nat.network)) === 'ready');
    await daemon.call('DELETE', `/v1/networks/${nat.network}?force=true`);
  });

  it('says who has a port already, also across networks that share the namespace', async () => {
    const nat = await createNat(lab, { world, endpoint: { publish: ['8082:80'] } });
    const other = await createNat(lab, { world });
    const side = await createSide(lab, { network: other.network, subnet: other.subnet, base: 'second', host: 30 });
    await addressesReady(lab, side.base);
    const { status, stderr } = await daemon.weft(['port', 'publish', side.endpoint, '8082:80']);
    assert.equal(status, 1);
    assert.ok(stderr.includes(nat.inside.endpoint) && stderr.includes(nat.network), stderr);
    for (const { network } of [nat, other]) await daemon.call('DELETE', `/v1/networks/${network}?force=true`);
  });
});
