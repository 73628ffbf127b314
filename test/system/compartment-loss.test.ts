// A compartment that dies, or whose interface is changed by others, while traffic flows: nothing hangs, everybody else keeps
// forwarding, the endpoint says what happened and keeps its addresses until it is deleted.
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { useLab } from '../support/system-lab.js';
import { createPair, type Pair, type Side } from '../support/system-pair.js';
import { type Background, must, run, waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

describe('a compartment that is lost while traffic flows', function compartmentLoss() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;

  before(async () => {
    pair = await createPair(lab);
  });

  /** A process with a network namespace of its own, as a container engine starts one. */
  async function startContainer(): Promise<Background> {
    const container = lab.background(null, ['unshare', '--net', 'sleep', '600']);
    await waitFor('the process to have its own namespace', () => {
      const [own, other] = ['self', String(container.pid)].map((pid) => readlinkSync(`/proc/${pid}/ns/net`));
      return own !== other;
    });
    return container;
  }

  async function attach(name: string, source: object, host: number): Promise<Side> {
    const [compartment, endpoint] = [lab.name(name), lab.name(`${name}-eth0`)];
    await daemon.call('POST', '/v1/compartments', { name: compartment, ...source });
    const ip = [`${pair.subnet.v4}.${host}`, `${pair.subnet.v6}::${host}`];
    const { mac } = await daemon.call('POST', '/v1/endpoints', {
      name: endpoint,
      network: pair.network,
      compartment,
      ip,
    });
    return { base: name, compartment, endpoint, v4: String(ip[0]), v6: String(ip[1]), mac };
  }

  /** A stream of packets from the left compartment to `address` that does not care whether anybody answers. */
  function flood(address: string): Background {
    return lab.background(pair.left.base, ['ping', '-n', '-q', '-f', address]);
  }

  async function expectEvent(type: string, name: string): Promise<void> {
    await waitFor(`the event ${type} of ${name}`, async () => {
      const events: { type: string; name: string }[] = await daemon.call('GET', '/v1/events');
      return events.some((event) => event.type === type && event.name === name);
    });
  }

  /** The endpoint is detached, said so, has its addresses and blocks nobody. */
  async function expectDetached(side: Side): Promise<void> {
    const path = `/v1/endpoints/${side.endpoint}`;
    const view = await waitFor('the endpoint to be detached', async () => {
      const answer = await daemon.call('GET', path);
      return answer.state === 'detached' && answer;
    });
    assert.deepEqual(view.ip, [side.v4, side.v6]);
    assert.match(view.reason, /\S/);
    await expectEvent('endpoint-detached', side.endpoint);
    assert.equal((await daemon.call('GET', `/v1/compartments/${side.compartment}`)).state, 'gone');
    assert.ok(await lab.pings(pair.left.base, pair.right.v4), 'the others are not disturbed');
    const taken = await daemon.api('POST', '/v1/endpoints', {
      name: lab.name('thief'),
      network: pair.network,
      ip: side.v4,
    });
    assert.equal(taken.status, 409, `the address is still taken: ${taken.text}`);
  }

  it('because its process is killed: the endpoint is detached and keeps its addresses', async () => {
    const container = await startContainer();
    const side = await attach('adopted', { pid: container.pid }, 50);
    assert.ok(await lab.pings(pair.left.base, side.v4));
    const traffic = flood(side.v4);
    await container.stop('SIGKILL');
    await expectDetached(side);
    await traffic.stop('SIGINT');
  });

  it('can be replaced: its endpoint moves into a new one with the same addresses', async () => {
    const container = await startContainer();
    await daemon.ok('compartment', 'create', lab.name('successor'), '--pid', String(container.pid));
    await daemon.ok('endpoint', 'attach', lab.name('adopted-eth0'), '--compartment', lab.name('successor'));
    assert.ok(await lab.pings(pair.left.base, `${pair.subnet.v4}.50`));
    assert.ok(await lab.pings(pair.left.base, `${pair.subnet.v6}::50`));
    await daemon.ok('endpoint', 'delete', lab.name('adopted-eth0'));
    await daemon.ok('compartment', 'delete', lab.name('successor'));
    await daemon.ok('compartment', 'delete', lab.name('adopted'));
    await container.stop();
  });

  it('because its namespace is deleted: likewise, for one that was adopted by path', async () => {
    await must(['ip', 'netns', 'add', lab.name('pathed')]);
    const side = await attach('pathed', { netns: lab.path('pathed') }, 51);
    const traffic = flood(side.v4);
    await must(['ip', 'netns', 'delete', lab.name('pathed')]);
    await expectDetached(side);
    await traffic.stop('SIGINT');
    await daemon.ok('endpoint', 'delete', side.endpoint);
    await daemon.ok('compartment', 'delete', side.compartment);
  });

  it('because its namespace is deleted: likewise, for one that weft made', async () => {
    const side = await attach('owned', {}, 52);
    const traffic = flood(side.v4);
    await must(['ip', 'netns', 'delete', side.compartment]);
    await expectDetached(side);
    await traffic.stop('SIGINT');
    await daemon.ok('endpoint', 'delete', side.endpoint);
    await daemon.ok('compartment', 'delete', side.compartment);
  });

  it('gives the address free when the detached endpoint is deleted', async () => {
    const side = await attach('heir', {}, 52);
    // The old owner of the address had another MAC, which the neighbour table may hold for half a minute (RFC 1122 2.3.2.1).
    await lab.inside(pair.left.base, ['ip', 'neighbour', 'flush', 'all']);
    assert.ok(await lab.pings(pair.left.base, side.v4));
    await daemon.ok('endpoint', 'delete', side.endpoint);
    await daemon.ok('compartment', 'delete', side.compartment);
  });

  it('because somebody deletes the interface: the endpoint says so, and attaching again repairs it', async () => {
    const side = await attach('broken', {}, 53);
    await lab.inside(side.base, ['ip', 'link', 'delete', 'dev', 'eth0']);
    const view = await waitFor('the endpoint to be no longer simply attached', async () => {
      const answer = await daemon.call('GET', `/v1/endpoints/${side.endpoint}`);
      return answer.state !== 'attached' && answer;
    });
    assert.match(view.reason, /\S/);
    await daemon.ok('endpoint', 'attach', side.endpoint, '--compartment', side.compartment);
    assert.ok(await lab.pings(pair.left.base, side.v4));
    await daemon.ok('endpoint', 'delete', side.endpoint);
    await daemon.ok('compartment', 'delete', side.compartment);
  });
});

describe('an interface that is changed inside its compartment', function changedInterface() {
  this.timeout(120_000);
  const lab = useLab();
  const { daemon } = lab;
  let pair: Pair;

  before(async () => {
    pair = await createPair(lab);
  });

  async function dropped(reason: string): Promise<number> {
    const rows: { reason: string; frames: number }[] = await daemon.call('GET', '/v1/drops');
    return rows.find((row) => row.reason === reason)?.frames ?? 0;
  }

  it('being set down loses only its own traffic, which is counted, and works again when it is up', async () => {
    const { left, right } = pair;
    const third = await createPair(lab);
    assert.ok(await lab.pings(left.base, right.v4));
    const before = await dropped('port-down');
    await lab.inside(right.base, ['ip', 'link', 'set', 'dev', 'eth0', 'down']);
    assert.equal(await lab.pings(left.base, right.v4), false);
    assert.ok((await dropped('port-down')) > before, 'frames to it are dropped as port-down');
    assert.ok(await lab.pings(third.left.base, third.right.v4), 'others are not disturbed');
    await lab.inside(right.base, ['ip', 'link', 'set', 'dev', 'eth0', 'up']);
    assert.ok(await lab.pings(left.base, right.v4));
  });

  it('being set down and up does not end a TCP transfer', async () => {
    const { left, right } = pair;
    const transfer = await startTransfer(lab, { from: left.base, to: right.base, address: right.v4, bytes: 150e6 });
    await transfer.progress(10e6);
    await lab.inside(right.base, ['ip', 'link', 'set', 'dev', 'eth0', 'down']);
    await lab.inside(right.base, ['ip', 'link', 'set', 'dev', 'eth0', 'up']);
    await transfer.progress(10e6);
    await transfer.finish();
  });

  it('having a larger MTU than its network loses frames that are too long, which are counted', async () => {
    const { left, right } = pair;
    const before = await dropped('exceeds-mtu');
    await lab.inside(left.base, ['ip', 'link', 'set', 'dev', 'eth0', 'mtu', '9000']);
    const command = ['ping', '-n', '-q', '-c', '2', '-i', '0.2', '-W', '1', '-M', 'do', '-s', '3000', right.v4];
    assert.equal((await run(['nsenter', `--net=${lab.path(left.base)}`, '--', ...command])).status, 1);
    assert.equal(await dropped('exceeds-mtu'), before + 2);
    assert.ok(await lab.pings(left.base, right.v4), 'short ones pass');
    await lab.inside(left.base, ['ip', 'link', 'set', 'dev', 'eth0', 'mtu', '1500']);
  });

  it('having its MTU changed during TCP transfers does not end them', async () => {
    const { left, right } = await createPair(lab);
    const bulk = { from: left.base, to: right.base, bytes: 150e6 };
    const transfers = [
      await startTransfer(lab, { ...bulk, address: right.v4 }),
      await startTransfer(lab, { ...bulk, address: right.v6 }),
    ];
    for (const mtu of ['1280', '1400', '1500']) {
      await lab.inside(left.base, ['ip', 'link', 'set', 'dev', 'eth0', 'mtu', mtu]);
      for (const transfer of transfers) await transfer.progress(5e6);
    }
    for (const transfer of transfers) await transfer.finish();
  });
});
