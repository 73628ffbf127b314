// Hosts that share an overlay network through an etcd: stations reach each other by name, whatever becomes of etcd meanwhile.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdServer } from '../support/etcd-server.js';
import type { Daemon } from '../support/system-daemon.js';
import { type Subnet, useLab } from '../support/system-lab.js';
import { createHosts, type OverlayHost } from '../support/system-overlay.js';
import { createSide, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';

const BASES = ['one', 'two', 'store'];
const LEASE_SECONDS = 4;

describe('hosts of a cluster', function cluster() {
  this.timeout(120_000);
  let hosts: OverlayHost[];
  let daemons: Daemon[];
  let etcd: EtcdServer;
  let network: string;
  let subnet: Subnet;
  let sides: Side[];

  let configs: string;

  const lab = useLab(120_000, async (opened) => {
    configs = mkdtempSync(join(tmpdir(), `weft-configs-${process.pid}-`));
    for (const base of BASES) await opened.addNamespace(base);
    hosts = await createHosts(opened, BASES);
    etcd = await EtcdServer.startIn(opened.path('store'), hosts[2]!.own.v4);
    daemons = [opened.daemon, opened.addDaemon('two')];
    for (const [i, daemon] of daemons.entries()) {
      const file = join(configs, `${BASES[i]}.yaml`);
      const cluster = `cluster: {etcd: ['${etcd.url}'], host: ${BASES[i]}, leaseSeconds: ${LEASE_SECONDS}}`;
      writeFileSync(file, `${cluster}\noverlay: {vtep: ${hosts[i]!.own.v4}}\n`);
      daemon.setOptions('--config', file);
      daemon.setHostNamespace(opened.path(BASES[i]!));
    }
  });

  before(async () => {
    await daemons[1]!.start();
    for (const daemon of daemons) await state(daemon, 'joined');
    network = lab.name('ov');
    subnet = lab.subnet();
    const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
    await daemons[0]!.call('POST', '/v1/networks', { name: network, type: 'overlay', subnets, overlay: { vni: 5000 } });
    await waitFor('the network on the other host', async () => {
      return (await daemons[1]!.api('GET', `/v1/networks/${network}`)).status === 200;
    });
    sides = [await side(0, 'left', 10), await side(1, 'right', 20)];
    await waitFor('the station on the other host', async () => (await ping(sides[0]!, sides[1]!.v4)).status === 0);
  });

  after(async () => {
    await etcd?.remove();
    rmSync(configs, { recursive: true, force: true });
  });

  const side = (i: number, base: string, host: number) =>
    createSide(lab, { daemon: daemons[i]!, network, subnet, base, host });
  const state = (daemon: Daemon, wanted: string) =>
    waitFor(
      `the cluster to be ${wanted}`,
      async () => (await daemon.api('GET', '/v1/cluster')).body.state === wanted,
      30_000,
    );
  const ping = (from: Side, to: string, ...options: string[]) =>
    lab.tryInside(from.base, ['ping', '-n', '-q', '-c', '1', '-W', '2', ...options, to]);

  /** Pings without a pause while `trouble` happens; none may be lost, up to the last one that was answered. */
  async function withoutLoss(trouble: () => Promise<void>): Promise<void> {
    const pings = lab.background(sides[0]!.base, ['ping', '-n', '-i', '0.05', sides[1]!.v4]);
    await trouble();
    const { stdout } = await pings.stop('SIGINT');
    const answered = [...stdout.matchAll(/icmp_seq=(\d+)/g)]
      .map(([, sequence]) => Number(sequence))
      .sort((a, b) => a - b);
    assert.ok(answered.length > 0, stdout);
    assert.deepEqual(
      answered,
      [...answered.keys()].map((n) => n + 1),
    );
  }

  const eventsOf = async (daemon: Daemon, type: string) =>
    (await daemon.call('GET', '/v1/events')).filter((event: { type: string }) => event.type === type);

  it('know each other: VTEPs, stations, names', async () => {
    const [left, right] = sides as [Side, Side];
    for (const address of [right.v4, right.v6]) assert.equal((await ping(left, address)).status, 0, address);
    const status = await daemons[0]!.ok('cluster', 'status');
    assert.match(status, /^State: +joined$/m);
    assert.match(status, /^two +there /m);
    const fdb = await daemons[0]!.call('GET', `/v1/fdb?network=${network}`);
    const row = fdb.find(({ mac }: { mac: string }) => mac === right.mac);
    assert.deepEqual([row.endpoint, row.vtep, row.origin], [right.endpoint, hosts[1]!.own.v4, 'cluster']);
    const vteps = await daemons[0]!.call('GET', `/v1/vteps?network=${network}`);
    assert.deepEqual(
      vteps.map(({ vtep, origin }: { vtep: string; origin: string }) => [vtep, origin]),
      [
        [hosts[0]!.own.v4, 'local'],
        [hosts[1]!.own.v4, 'cluster'],
      ],
    );
    const domain = (await daemons[0]!.call('GET', `/v1/networks/${network}`)).dns.domain;
    const { stdout } = await lab.tryInside(left.base, [
      'dig',
      '+short',
      `@${subnet.v4}.1`,
      `${right.endpoint}.${domain}`,
    ]);
    assert.equal(stdout.trim(), right.v4);
  });

  it('go on without a lost packet while etcd is killed, for longer than a lease, and is there again', async () => {
    await withoutLoss(async () => {
      await etcd.stop();
      for (const daemon of daemons) await state(daemon, 'alone');
      const refused = await daemons[0]!.api('POST', '/v1/endpoints', { name: lab.name('no'), network });
      assert.deepEqual([refused.status, refused.body.code], [503, 'unavailable']);
      await new Promise((resolve) => setTimeout(resolve, 2000 * LEASE_SECONDS));
      await etcd.start();
      for (const daemon of daemons) await state(daemon, 'joined');
    });
    for (const daemon of daemons) assert.deepEqual(await eventsOf(daemon, 'cluster-host-gone'), []);
  });

  it('go on without a lost packet while etcd is wiped', async () => {
    await withoutLoss(async () => {
      await etcd.stop();
      await etcd.wipe();
      await etcd.start();
      for (const daemon of daemons) await state(daemon, 'joined');
      await waitFor(
        'every claim to be there again',
        async () => (await etcd.keys('/weft/claims/')).length === 8,
        30_000,
      );
    });
    for (const daemon of daemons) assert.deepEqual(await eventsOf(daemon, 'cluster-host-gone'), []);
  });

  it('keep a host that is cut off from etcd for as long as its frames come in', async () => {
    const cut = (...words: string[]) => lab.inside('two', ['nft', ...words]);
    await withoutLoss(async () => {
      await cut('add', 'table', 'inet', 'cut');
      await cut('add', 'chain', 'inet', 'cut', 'out', '{ type filter hook output priority 0; }');
      await cut('add', 'rule', 'inet', 'cut', 'out', 'tcp', 'dport', '2379', 'drop');
      await state(daemons[1]!, 'alone');
      const seen = async () => {
        const { hosts: known } = await daemons[0]!.call('GET', '/v1/cluster');
        return known.find(({ host }: { host: string }) => host === 'two')?.state;
      };
      await waitFor('its lease to run out', async () => (await seen()) === 'doubtful', 30_000);
      await new Promise((resolve) => setTimeout(resolve, 2000 * LEASE_SECONDS));
      assert.equal(await seen(), 'doubtful');
      await cut('delete', 'table', 'inet', 'cut');
      await state(daemons[1]!, 'joined');
    });
    assert.deepEqual(await eventsOf(daemons[0]!, 'cluster-host-gone'), []);
  });

  it('survive the death of a daemon: its stations are reached again when it is back', async () => {
    const [left, right] = sides as [Side, Side];
    await daemons[1]!.kill();
    await daemons[1]!.start();
    await state(daemons[1]!, 'joined');
    await waitFor('the station', async () => (await ping(left, right.v4)).status === 0);
  });

  it('forget a host that does not come back, and another one takes its place', async () => {
    const [left, right] = sides as [Side, Side];
    await daemons[1]!.kill();
    const known = async () =>
      (await daemons[0]!.call('GET', `/v1/fdb?network=${network}`)).map(({ mac }: { mac: string }) => mac);
    await waitFor('its stations to be forgotten', async () => !(await known()).includes(right.mac), 60_000);
    const heir = lab.name('heir');
    const request = { name: heir, network, ip: [right.v4, right.v6] };
    const refused = await daemons[0]!.api('POST', '/v1/endpoints', request);
    assert.equal(refused.status, 409, refused.text);
    assert.match(refused.body.detail, /host two/);
    await daemons[0]!.ok('cluster', 'forget', 'two');
    await daemons[0]!.call('POST', '/v1/endpoints', { ...request, compartment: left.compartment });
    await daemons[0]!.call('DELETE', `/v1/endpoints/${heir}`);
    await daemons[1]!.start();
    const isBack = async () => (await ping(left, right.v4)).status === 0;
    await waitFor('the station of the host that has come back after all', isBack, 60_000);
  });

  it('leave nothing in etcd when what they have is deleted', async () => {
    for (const [i, { endpoint }] of sides.entries()) await daemons[i]!.call('DELETE', `/v1/endpoints/${endpoint}`);
    await daemons[0]!.call('DELETE', `/v1/networks/${network}`);
    await waitFor('the network to go from the other host', async () => {
      return (await daemons[1]!.api('GET', `/v1/networks/${network}`)).status === 404;
    });
    const left = ['/weft/epoch', '/weft/guard', '/weft/hosts/one', '/weft/hosts/two'];
    assert.deepEqual(await etcd.keys('/weft/'), left);
  });
});
