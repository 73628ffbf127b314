// Restarting or killing the daemon loses no established TCP connection between compartments, and everything is as before.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { type Link, useLab } from '../support/system-lab.js';
import { createPair, type Pair } from '../support/system-pair.js';
import { must, waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

const MEGABYTE = 1e6;

describe('a restart of the daemon', function restart() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;

  before(async () => {
    pair = await createPair(lab, { network: { type: 'internal' } });
    for (const { base } of [pair.left, pair.right]) {
      const tentative = () => lab.inside(base, ['ip', '-6', 'address', 'show', 'tentative']);
      await waitFor('the link-local addresses to be ready', async () => (await tentative()) === '');
    }
  });

  /** What must survive: what the daemon lists, and what the kernel has in the compartments. */
  async function everything(): Promise<object> {
    const [networks, compartments, endpoints] = await Promise.all(
      ['networks', 'compartments', 'endpoints'].map((collection) => daemon.call('GET', `/v1/${collection}`)),
    );
    const routes = await Promise.all(
      [pair.left, pair.right].map((side) => lab.inside(side.base, ['ip', '-6', 'route', 'show', 'table', 'all'])),
    );
    const links: Link[][] = await Promise.all([pair.left, pair.right].map((side) => lab.links(side.base)));
    const hostAddresses = await must(['ip', '-brief', 'address', 'show', 'dev', networks[0].hostInterface]);
    return { networks, compartments, endpoints, links, routes: routes.map(withoutLifetimes), hostAddresses };
  }

  function withoutLifetimes(routes: string): string[] {
    return routes
      .split('\n')
      .map((line) => line.replace(/ (expires|linkdown|pref).*$/, '').trim())
      .sort();
  }

  for (const [sentence, end] of [
    ['kill -9', () => daemon.kill()],
    ['SIGTERM', () => daemon.terminate()],
  ] as const) {
    for (const family of ['v4', 'v6'] as const) {
      it(`by ${sentence} in the middle of a TCP transfer over IP${family} loses no byte and changes nothing`, async () => {
        const asBefore = await everything();
        const request = {
          from: pair.left.base,
          to: pair.right.base,
          address: pair.right[family],
          bytes: 250 * MEGABYTE,
        };
        const transfer = await startTransfer(lab, request);
        await transfer.progress(20 * MEGABYTE);
        await end();
        await daemon.start();
        assert.deepEqual(await everything(), asBefore);
        await transfer.progress(20 * MEGABYTE);
        await transfer.finish();
      });
    }
  }

  it('again and again, at full speed in both directions, does not stop the transfers', async () => {
    const [left, right] = [pair.left, pair.right];
    const bulk = { bytes: 400 * MEGABYTE, bytesPerSecond: 400 * MEGABYTE };
    const transfers = [
      await startTransfer(lab, { from: left.base, to: right.base, address: right.v4, ...bulk }),
      await startTransfer(lab, { from: right.base, to: left.base, address: left.v6, ...bulk }),
    ];
    for (let round = 0; round < 3; round++) {
      await daemon.kill();
      await daemon.start();
      for (const transfer of transfers) await transfer.progress(MEGABYTE);
    }
    for (const transfer of transfers) await transfer.finish();
  });

  it('keeps the host on its internal network', async () => {
    await daemon.kill();
    await daemon.start();
    assert.ok(await lab.pings(pair.left.base, `${pair.subnet.v4}.1`));
    assert.ok(await lab.pings(pair.left.base, `${pair.subnet.v6}::1`));
  });

  it('keeps an endpoint whose interface was renamed inside its compartment', async () => {
    await lab.inside(pair.left.base, ['ip', 'link', 'set', 'dev', 'eth0', 'down']);
    await lab.inside(pair.left.base, ['ip', 'link', 'set', 'dev', 'eth0', 'name', 'renamed0']);
    await lab.inside(pair.left.base, ['ip', 'link', 'set', 'dev', 'renamed0', 'up']);
    await daemon.kill();
    await daemon.start();
    assert.deepEqual(
      (await lab.links(pair.left.base)).map((link) => link.name),
      ['renamed0'],
      'the interface is found under its new name, and no second one is made',
    );
    assert.ok(await lab.pings(pair.right.base, pair.left.v4));
    await lab.inside(pair.left.base, ['ip', 'link', 'set', 'dev', 'renamed0', 'down']);
    await lab.inside(pair.left.base, ['ip', 'link', 'set', 'dev', 'renamed0', 'name', 'eth0']);
    await lab.inside(pair.left.base, ['ip', 'link', 'set', 'dev', 'eth0', 'up']);
  });

  it('makes a namespace of its own anew that was deleted meanwhile (after a reboot it always is), with the addresses', async () => {
    const name = lab.name('made');
    await daemon.call('POST', '/v1/compartments', { name });
    const made = await daemon.call('POST', '/v1/endpoints', { name, network: pair.network, compartment: name });
    await daemon.kill();
    await must(['ip', 'netns', 'delete', name]);
    await daemon.start();
    const { state, ip } = await daemon.call('GET', `/v1/endpoints/${name}`);
    assert.deepEqual([state, ip], ['attached', made.ip]);
    assert.equal((await daemon.call('GET', `/v1/compartments/${name}`)).state, 'ready');
    assert.ok(await lab.pings('made', pair.right.v4));
    await daemon.ok('endpoint', 'delete', name);
    await daemon.ok('compartment', 'delete', name);
  });

  it('notices that a namespace that was adopted was deleted meanwhile, and keeps the addresses', async () => {
    const name = lab.name('adopted');
    await must(['ip', 'netns', 'add', name]);
    await daemon.call('POST', '/v1/compartments', { name, netns: lab.path('adopted') });
    const made = await daemon.call('POST', '/v1/endpoints', { name, network: pair.network, compartment: name });
    await daemon.kill();
    await must(['ip', 'netns', 'delete', name]);
    await daemon.start();
    const { state, ip } = await daemon.call('GET', `/v1/endpoints/${name}`);
    assert.deepEqual([state, ip], ['detached', made.ip]);
    assert.equal((await daemon.call('GET', `/v1/compartments/${name}`)).state, 'gone');
    assert.ok(await lab.pings(pair.left.base, pair.right.v4));
    await daemon.ok('endpoint', 'delete', name);
    await daemon.ok('compartment', 'delete', name);
  });

  it('repairs what was taken from an interface while the daemon was away', async () => {
    const { base, v4 } = pair.left;
    await daemon.terminate();
    await lab.inside(base, ['ip', 'address', 'flush', 'dev', 'eth0']);
    await lab.inside(base, ['ip', 'link', 'set', 'dev', 'eth0', 'mtu', '1300']);
    await daemon.start();
    const [link] = await lab.links(base);
    assert.equal(link?.mtu, 1500);
    assert.ok(link?.addresses.includes(`${v4}/24`), String(link?.addresses));
    assert.ok(await lab.pings(base, pair.right.v4));
    assert.ok(await lab.pings(base, pair.right.v6));
  });

  it('after SIGTERM leaves the namespaces and interfaces where they are', async () => {
    assert.equal((await daemon.terminate()).status, 0);
    assert.ok(readdirSync('/run/netns').includes(pair.left.compartment));
    assert.deepEqual(
      (await lab.links(pair.left.base)).map((link) => [link.name, link.mac]),
      [['eth0', pair.left.mac]],
    );
    await daemon.start();
  });
});
