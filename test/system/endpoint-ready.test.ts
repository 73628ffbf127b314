// "An endpoint's interface is up, has its addresses, MTU and default route when `create`/`attach` returns: the next command
// may use it." Looked at from inside the compartment, at once, without waiting.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { createPair, createSide } from '../support/system-pair.js';

const ROUNDS = 10;

describe('an endpoint that has just been created', function endpointReady() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;

  /** Default routes of a compartment as `gateway device`, IPv4 before IPv6. */
  async function defaultRoutes(base: string): Promise<string[]> {
    const routes: string[] = [];
    for (const family of ['-4', '-6']) {
      const text = await lab.inside(base, ['ip', family, '-json', 'route', 'show', 'default']);
      const found: { gateway: string; dev: string }[] = JSON.parse(text || '[]');
      routes.push(...found.map((route) => `${route.gateway} ${route.dev}`));
    }
    return routes;
  }

  it('is up with its name, MAC, MTU, addresses and default routes when the command returns', async () => {
    const subnet = lab.subnet();
    const [network, compartment] = [lab.name('blue'), lab.name('one')];
    const subnets = ['--subnet', `${subnet.v4}.0/24`, '--subnet', `${subnet.v6}::/64`];
    await daemon.ok('network', 'create', network, '--type', 'internal', ...subnets, '--mtu', '1400');
    await daemon.ok('compartment', 'create', compartment);
    const wanted = [
      '--ip',
      `${subnet.v4}.7`,
      '--ip',
      `${subnet.v6}::7`,
      '--mac',
      '02:00:5e:10:00:07',
      '--ifname',
      'lan0',
    ];
    await daemon.ok(
      'endpoint',
      'create',
      lab.name('nic'),
      '--network',
      network,
      '--compartment',
      compartment,
      ...wanted,
    );

    const links = await lab.links('one');
    assert.deepEqual(
      links.map((link) => [link.name, link.mac, link.mtu, link.state]),
      [['lan0', '02:00:5e:10:00:07', 1400, 'UP']],
    );
    assert.ok(links[0]?.flags.includes('UP') && links[0].flags.includes('LOWER_UP'), String(links[0]?.flags));
    assert.deepEqual(
      links[0]?.addresses.filter((text) => !text.startsWith('fe80')),
      [`${subnet.v4}.7/24`, `${subnet.v6}::7/64`],
    );
    assert.deepEqual(await defaultRoutes('one'), [`${subnet.v4}.1 lan0`, `${subnet.v6}::1 lan0`]);
    assert.equal(
      await lab.inside('one', ['ip', '-6', 'address', 'show', 'scope', 'global', 'tentative']),
      '',
      'none waits for DAD',
    );
    assert.equal((await lab.inside('one', ['cat', '/sys/class/net/lo/operstate'])).trim().length > 0, true);
  });

  it('answers the very first packet, over IPv4 and IPv6, again and again', async () => {
    const pair = await createPair(lab);
    for (let round = 0; round < ROUNDS; round++) {
      const { network, subnet } = pair;
      const side = await createSide(lab, { network, subnet, base: `round${round}`, host: 100 + round });
      for (const address of [pair.left.v4, pair.left.v6]) {
        const ping = await lab.tryInside(side.base, ['ping', '-n', '-q', '-c', '1', '-W', '1', address]);
        assert.equal(ping.status, 0, `round ${round}, ${address}: ${ping.stdout}${ping.stderr}`);
      }
    }
  });

  it('has no default route when none is wanted or the network has no gateway', async () => {
    const subnet = lab.subnet();
    const network = lab.name('red');
    await daemon.ok(
      'network',
      'create',
      network,
      '--type',
      'private',
      '--subnet',
      `${subnet.v4}.0/24`,
      '--gateway',
      `${subnet.v4}.254`,
    );
    await daemon.ok('compartment', 'create', lab.name('two'));
    await daemon.ok('compartment', 'create', lab.name('three'));
    await daemon.ok('endpoint', 'create', lab.name('with'), '--network', network, '--compartment', lab.name('two'));
    const without = ['--network', network, '--compartment', lab.name('three'), '--no-default-route'];
    await daemon.ok('endpoint', 'create', lab.name('without'), ...without);
    assert.deepEqual(await defaultRoutes('two'), [`${subnet.v4}.254 eth0`]);
    assert.deepEqual(await defaultRoutes('three'), []);
    const pair = await createPair(lab);
    assert.deepEqual(await defaultRoutes(pair.left.base), []);
  });

  it('has loopback up in a compartment that weft made', async () => {
    const pair = await createPair(lab);
    await lab.inside(pair.left.base, ['ping', '-n', '-q', '-c', '1', '-W', '1', '127.0.0.1']);
    await lab.inside(pair.left.base, ['ping', '-n', '-q', '-c', '1', '-W', '1', '::1']);
  });

  it('leaves nothing behind when its creation fails midway', async () => {
    const pair = await createPair(lab);
    await lab.inside(pair.left.base, ['ip', 'tuntap', 'add', 'dev', 'taken', 'mode', 'tap']);
    const before = await lab.links(pair.left.base);
    const refused = await daemon.api('POST', '/v1/endpoints', {
      name: lab.name('clash'),
      network: pair.network,
      compartment: pair.left.compartment,
      ifname: 'taken',
    });
    assert.ok(refused.status >= 400 && refused.status < 500, refused.text);
    assert.match(refused.type, /application\/problem\+json/);
    assert.match(refused.text, /taken/, 'the answer names the interface');
    assert.deepEqual(await lab.links(pair.left.base), before);
    const names = (await daemon.call('GET', '/v1/endpoints')).map((item: { name: string }) => item.name);
    assert.equal(names.includes(lab.name('clash')), false);
    await lab.inside(pair.left.base, ['ip', 'link', 'delete', 'taken']);
  });
});
