// Container engines move and rename interfaces. A TAP of weft's that was moved by `ip link` keeps forwarding, since the open
// descriptor follows the device; and endpoints move between compartments live, with their addresses.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { createPair, type Pair } from '../support/system-pair.js';
import { startTransfer } from '../support/system-transfer.js';

describe('an interface that another program moves', function movedInterface() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;

  it('and renames keeps forwarding in its new namespace', async () => {
    const { left, right } = await createPair(lab);
    await lab.addNamespace('elsewhere');
    await lab.inside(right.base, ['ip', 'link', 'set', 'dev', 'eth0', 'netns', lab.name('elsewhere'), 'name', 'ens5']);
    await lab.inside('elsewhere', ['ip', 'address', 'add', `${right.v4}/24`, 'dev', 'ens5']);
    await lab.inside('elsewhere', ['ip', 'address', 'add', `${right.v6}/64`, 'dev', 'ens5', 'nodad']);
    await lab.inside('elsewhere', ['ip', 'link', 'set', 'dev', 'ens5', 'up']);
    for (const address of [right.v4, right.v6]) assert.ok(await lab.pings(left.base, address), address);
    const request = { from: left.base, to: 'elsewhere', address: right.v4, bytes: 50e6 };
    await (await startTransfer(lab, request)).finish();

    await daemon.ok('endpoint', 'delete', right.endpoint);
    assert.deepEqual(await lab.links('elsewhere'), [], 'deleting the endpoint removes the interface where it is now');
  });
});

describe('an endpoint', function liveMoves() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;

  before(async () => {
    pair = await createPair(lab);
  });

  it('is detached and attached again live, and keeps its MAC and addresses', async () => {
    const { left, right } = pair;
    await daemon.ok('endpoint', 'detach', right.endpoint);
    assert.deepEqual(await lab.links(right.base), []);
    const detached = await daemon.json('endpoint', 'show', right.endpoint);
    assert.deepEqual([detached.state, detached.compartment, detached.mac], ['detached', null, right.mac]);
    assert.deepEqual(detached.ip, [right.v4, right.v6]);
    assert.equal(await lab.pings(left.base, right.v4), false);

    await daemon.ok('endpoint', 'attach', right.endpoint, '--compartment', right.compartment);
    assert.deepEqual(
      (await lab.links(right.base)).map((link) => [link.name, link.mac]),
      [['eth0', right.mac]],
    );
    // The kernel that could not reach it may be about to give up, and would drop with that what waits for the same neighbour.
    await lab.inside(left.base, ['ip', 'neighbour', 'flush', 'all']);
    const ping = await lab.tryInside(left.base, ['ping', '-n', '-q', '-c', '1', '-W', '2', right.v4]);
    assert.equal(ping.status, 0, 'the first packet after attach is answered');
  });

  it('moves from one compartment to another while traffic of others flows', async () => {
    const { left, right } = pair;
    await daemon.ok('compartment', 'create', lab.name('new-home'));
    const bystander = await createPair(lab);
    const transfer = await startTransfer(lab, {
      from: bystander.left.base,
      to: bystander.right.base,
      address: bystander.right.v4,
      bytes: 100e6,
    });
    await daemon.ok('endpoint', 'attach', right.endpoint, '--compartment', lab.name('new-home'));
    assert.deepEqual(await lab.links(right.base), []);
    const moved = await lab.links('new-home');
    assert.deepEqual(
      moved.map((link) => [link.name, link.mac, link.state]),
      [['eth0', right.mac, 'UP']],
    );
    for (const address of [right.v4, right.v6]) assert.ok(await lab.pings(left.base, address), address);
    await transfer.finish();
    await daemon.ok('endpoint', 'attach', right.endpoint, '--compartment', right.compartment);
  });

  it('that is moved back and forth many times leaves one interface', async () => {
    const { left, right } = pair;
    const homes = ['new-home', right.base];
    for (let round = 0; round < 20; round++) {
      const home = lab.name(String(homes[round % 2]));
      await daemon.ok('endpoint', 'attach', right.endpoint, '--compartment', home);
    }
    assert.deepEqual(await lab.links('new-home'), []);
    assert.equal((await lab.links(right.base)).length, 1);
    assert.ok(await lab.pings(left.base, right.v4));
  });

  it('refuses a compartment that does not exist, and stays where it is', async () => {
    const { left, right } = pair;
    const refused = await daemon.weft(['endpoint', 'attach', right.endpoint, '--compartment', lab.name('nowhere')]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, new RegExp(`^error: .*${lab.name('nowhere')}.*\\n$`));
    assert.ok(await lab.pings(left.base, right.v4));
  });
});
