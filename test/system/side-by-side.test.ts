// Several daemons on one machine, and things that are none of weft's: nobody touches what is not its own.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readLinks, useLab } from '../support/system-lab.js';
import { createPair, createSide, type Pair } from '../support/system-pair.js';
import { must } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

describe('two daemons side by side', function sideBySide() {
  this.timeout(120_000);
  const lab = useLab();
  const first = lab.daemon;
  const second = lab.addDaemon('second');
  let mine: Pair;
  let theirs: Pair;

  before(async () => {
    await second.start();
    mine = await createPair(lab, { daemon: first, network: { type: 'internal' } });
    theirs = await createPair(lab, { daemon: second, network: { type: 'internal' } });
  });

  it('have names, addresses and MACs of their own', async () => {
    const [a, b] = await Promise.all([first.call('GET', '/v1/status'), second.call('GET', '/v1/status')]);
    assert.notEqual(a.instance, b.instance);
    assert.deepEqual([a.socket, b.socket], [first.socket, second.socket]);
    const name = lab.name('same-name');
    const same = { name, type: 'private', subnets: ['192.0.2.0/24'] };
    for (const daemon of [first, second]) await daemon.call('POST', '/v1/networks', same);
    const endpoint = { name, network: name };
    const macs = [
      await first.call('POST', '/v1/endpoints', endpoint),
      await second.call('POST', '/v1/endpoints', endpoint),
    ];
    assert.notEqual(macs[0].mac, macs[1].mac, 'equal names on two hosts make different MACs');
  });

  it('forward independently of each other', async () => {
    assert.ok(await lab.pings(mine.left.base, mine.right.v4));
    assert.ok(await lab.pings(theirs.left.base, theirs.right.v6));
    assert.equal(await lab.pings(mine.left.base, theirs.left.v4), false);
  });

  it('share a compartment: each adds an interface of its own', async () => {
    const compartment = lab.name('shared');
    await second.call('POST', '/v1/compartments', { name: compartment, netns: lab.path(mine.left.base) });
    const ip = [`${theirs.subnet.v4}.77`];
    const request = { name: lab.name('shared-eth'), network: theirs.network, compartment, ip, ifname: 'eth9' };
    await second.call('POST', '/v1/endpoints', request);
    assert.ok(await lab.pings(mine.left.base, theirs.right.v4));
    assert.ok(await lab.pings(mine.left.base, mine.right.v4));
  });

  it('do not notice when the other is killed and started again', async () => {
    const request = { from: mine.left.base, to: mine.right.base, address: mine.right.v4, bytes: 150e6 };
    const transfer = await startTransfer(lab, request);
    const before = await everythingOf(first, mine);
    await second.kill();
    await second.start();
    assert.deepEqual(await everythingOf(first, mine), before);
    assert.ok(await lab.pings(mine.left.base, theirs.right.v4), 'and what the other one owns is back');
    await transfer.finish();
  });

  async function everythingOf(daemon: typeof first, pair: Pair): Promise<object> {
    const lists = ['networks', 'compartments', 'endpoints'].map((collection) =>
      daemon.call('GET', `/v1/${collection}`),
    );
    return {
      lists: await Promise.all(lists),
      links: await Promise.all([pair.left, pair.right].map((side) => lab.links(side.base))),
    };
  }

  it('refuse to serve one socket or one state directory twice, with one line', async () => {
    for (const other of [
      ['--socket', first.socket, '--state-dir', `${second.stateDir}-3`, '--run-dir', `${second.runDir}-3`],
      ['--socket', `${first.socket}-3`, '--state-dir', first.stateDir, '--run-dir', `${second.runDir}-4`],
    ]) {
      const refused = await second.spawn(other).end();
      assert.equal(refused.status, 1);
      assert.match(refused.stderr.trimEnd(), /^[^\n]*(in use|already|running)[^\n]*$/);
    }
    assert.equal((await first.api('GET', '/v1/status')).status, 200);
  });
});

describe('things that are not of weft', function foreignThings() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;

  it('in an adopted namespace survive the endpoint, the compartment and restarts', async () => {
    const path = await lab.addNamespace('foreign');
    await lab.inside('foreign', ['ip', 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap']);
    await lab.inside('foreign', ['ip', 'link', 'set', 'dev', 'tap0', 'alias', 'somebody else']);
    await lab.inside('foreign', ['ip', 'address', 'add', '192.0.2.9/24', 'dev', 'tap0']);
    const before = await lab.links('foreign');
    const pair = await createPair(lab);
    const { network, subnet } = pair;
    const compartment = lab.name('adopts');
    await daemon.call('POST', '/v1/compartments', { name: compartment, netns: path });
    const request = { name: lab.name('guest'), network, compartment, ip: `${subnet.v4}.99` };
    await daemon.call('POST', '/v1/endpoints', request);
    assert.ok(await lab.pings('foreign', pair.left.v4));
    await daemon.kill();
    await daemon.start();
    assert.ok(await lab.pings('foreign', pair.left.v4));
    await daemon.ok('compartment', 'delete', compartment, '--force');
    assert.deepEqual(await lab.links('foreign'), before);
    assert.ok(existsSync(path), 'an adopted namespace is not removed');
  });

  it('with a name that a compartment would like are refused, not taken', async () => {
    const path = await lab.addNamespace('mine');
    const refused = await daemon.weft(['compartment', 'create', lab.name('mine')]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^error: .*exists.*\n$/);
    assert.ok(existsSync(path));
    assert.deepEqual(await daemon.json('compartment', 'list').then((all) => all.filter(isMine)), []);
    function isMine(item: { name: string }): boolean {
      return item.name === lab.name('mine');
    }
  });

  it('on the host survive networks that come and go', async () => {
    const before = hostWithoutLab(await readLinks(null));
    // Those that a router advertised count down.
    const allRoutes = async () =>
      (await must(['ip', 'route', 'show', 'table', 'all'])).replaceAll(/ expires \d+sec/g, '');
    const routes = await allRoutes();
    const pair = await createPair(lab, { network: { type: 'internal' } });
    await createSide(lab, { network: pair.network, subnet: pair.subnet, base: 'third', host: 30 });
    await daemon.call('DELETE', `/v1/networks/${pair.network}?force=true`);
    assert.deepEqual(hostWithoutLab(await readLinks(null)), before);
    assert.equal(await allRoutes(), routes);
  });

  /** Other programs on the machine may come and go meanwhile; what must not change is what weft has no business with. */
  function hostWithoutLab(links: { name: string; alias: string }[]): object[] {
    return links.filter((link) => !link.alias.startsWith('weft:') && !link.name.startsWith('weft-'));
  }

  it('in the state and run directories are left alone', async () => {
    const files = [daemon.stateDir, daemon.runDir].map((directory) => `${directory}/notes.txt`);
    for (const file of files) writeFileSync(file, 'not of weft\n');
    await daemon.terminate();
    await daemon.start();
    for (const file of files) assert.equal(readFileSync(file, 'utf8'), 'not of weft\n');
  });
});
