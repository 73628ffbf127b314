/** What goes wrong with etcd and with hosts: it is killed, wiped, cut off, its history is compacted; hosts die and are replaced. */
import assert from 'node:assert/strict';
import { addressWords, ipFrom } from '../../src/compile/address-rows.js';
import { keyOf } from '../../src/compile/network-key.js';
import { EtcdSession } from '../../src/control/cluster/etcd-session.js';
import { Counters, TOTAL, totalAt } from '../../src/datapath/counters.js';
import { RemoteTable } from '../../src/tables/remote-table.js';
import {
  bindings,
  type ClusterLab,
  eventsOf,
  floods,
  type Host,
  networkNames,
  OVERLAY,
  until,
  untilAsked,
  useTwoHosts,
} from '../support/cluster-lab.js';
import type { EtcdServer } from '../support/etcd-server.js';

describe('a cluster in trouble', function cluster() {
  this.timeout(120_000);
  let etcd: EtcdServer;
  let lab: ClusterLab;
  let a: Host;
  let b: Host;

  useTwoHosts((made) => {
    ({ etcd, lab, a, b } = made);
  });

  beforeEach(async () => {
    await addStation(a, 'web');
    await addStation(b, 'db');
    await until('they know each other', () => knows(a, b) && knows(b, a));
  });

  async function addStation({ lab: { controller } }: Host, name: string): Promise<string> {
    await controller.createCompartment({ name });
    const { ip } = await controller.createEndpoint({ name, network: 'ov', compartment: name });
    return ip[0]!;
  }

  const knows = (one: Host, other: Host) =>
    floods(one).includes(other.vtep) && bindings(one).some((row) => row.includes(`at ${other.vtep}`));
  const stateOf = ({ lab: { controller } }: Host) => controller.clusterView().state;
  /** Everything that the datapath was told; only ever longer. */
  const told = ({ lab: { datapath } }: Host) => JSON.stringify([datapath.bindings, datapath.program.floods]);

  it('goes on with what it knows while etcd is away, refuses what others must agree to, and catches up without a flap', async () => {
    const before = [a, b].map(told);
    await etcd.stop();
    await until('both notice', () => stateOf(a) === 'alone' && stateOf(b) === 'alone');
    await assert.rejects(
      a.lab.controller.createEndpoint({ name: 'new', network: 'ov' }),
      /the cluster cannot be asked/,
    );
    await assert.rejects(
      a.lab.controller.createNetwork({ ...OVERLAY, name: 'more', overlay: { vni: 6000 } }),
      /cannot be asked/,
    );
    await assert.rejects(b.lab.controller.deleteNetwork('ov', true), /cannot be asked/);
    assert.deepEqual(networkNames(b), ['ov'], 'a refused change is taken back');
    await a.lab.controller.createNetwork({
      ...OVERLAY,
      name: 'own',
      overlay: { vni: 7000, shared: false },
      subnets: [],
    });
    await etcd.start();
    await until('both are back', () => stateOf(a) === 'joined' && stateOf(b) === 'joined');
    await addStation(a, 'late');
    await until('b hears of the new one', () => bindings(b).length === 2);
    assert.deepEqual(told(a), before[0], 'a was told nothing new');
    assert.equal(b.lab.datapath.bindings.filter(([operation]) => operation === 0).length, 0, 'b forgot nothing');
    assert.equal(eventsOf(a, 'cluster-host-gone').length + eventsOf(b, 'cluster-host-gone').length, 0);
  });

  it('enters everything again when etcd was wiped, and gives no address away meanwhile', async () => {
    const before = [a, b].map(told);
    const had = (await etcd.keys('/weft/claims/')).sort();
    await etcd.stop();
    await etcd.wipe();
    await etcd.start();
    await until('both are back', () => stateOf(a) === 'joined' && stateOf(b) === 'joined');
    const owned = () =>
      [a, b].every((host) => host.lab.controller.clusterView().hosts.every(({ state }) => state !== 'doubtful'));
    await until('both have entered themselves', owned);
    await until('entries are there', () => knows(a, b) && knows(b, a));
    assert.deepEqual((await etcd.keys('/weft/claims/')).sort(), had);
    assert.deepEqual(await etcd.keys('/weft/networks/'), ['/weft/networks/ov']);
    assert.deepEqual([a, b].map(told), before, 'nobody was told anything');
    const taken = b.lab.controller.getEndpoint('db').ip[0]!;
    await assert.rejects(
      a.lab.controller.createEndpoint({ name: 'thief', network: 'ov', ip: [taken] }),
      /an address of host b/,
    );
  });

  it('keeps the addresses of a host that is away while etcd is wiped', async () => {
    const taken = b.lab.controller.getEndpoint('db').ip[0]!;
    await b.lab.controller.close();
    lab.hosts.splice(lab.hosts.indexOf(b), 1);
    await etcd.stop();
    await etcd.wipe();
    await etcd.start();
    await until('a is back', () => stateOf(a) === 'joined');
    assert.equal(
      await etcd.control('get', `/weft/claims/ov/ip/${taken}`, '--print-value-only').then((text) => text.split(' ')[0]),
      'b',
    );
    await assert.rejects(
      a.lab.controller.createEndpoint({ name: 'thief', network: 'ov', ip: [taken] }),
      /an address of host b/,
    );
  });

  it('says who has what this host believed to have, and takes it back when it is free', async () => {
    const hostVnic = ['10.91.0.9'];
    const own = { name: 'own', type: 'overlay' as const, subnets: ['10.91.0.0/24'], overlay: { vni: 6000, hostVnic } };
    await a.lab.controller.createNetwork(own);
    await a.lab.controller.createEndpoint({ name: 'app', network: 'own', ip: ['10.91.0.7'] });
    const keys = hostVnic.concat('10.91.0.7').map((address) => `/weft/claims/own/ip/${address}`);
    const ownerOf = (key: string) => etcd.control('get', key, '--print-value-only');
    const owner = await ownerOf(keys[0]!);
    await untilAsked('the claims are entered', async () => (await ownerOf(keys[1]!)) === owner);
    for (const key of keys) await etcd.control('put', key, 'c somebody');
    await until('a has heard of it', () => {
      const { hosts } = a.lab.controller.clusterView();
      return hosts.find(({ host }) => host === 'c')?.addresses === 2;
    });
    await a.lab.controller.patchNetwork('own', { ageingSeconds: 60 });
    await a.lab.controller.patchEndpoint('app', { aliases: ['www'] });
    // Another session says it again.
    const said = () => new Set(a.lab.controller.status().warnings.filter((text) => text.includes('contradicts')));
    await until('a says so', () => said().size === 2);
    assert.deepEqual(
      [...said()],
      [
        'the host vNIC of network own contradicts the cluster: 10.91.0.9 belongs to host c; delete that one',
        'endpoint app contradicts the cluster: 10.91.0.7 belongs to host c; delete it, or that one',
      ],
    );
    for (const key of keys) await etcd.control('del', key);
    for (const key of keys) await untilAsked('a has it again', async () => (await ownerOf(key)) === owner);
  });

  it('takes keys that were deleted under way for a wiped etcd', async () => {
    const before = [a, b].map(told);
    await etcd.control('del', '/weft/', '--prefix');
    const count = () => a.lab.controller.clusterView().keys;
    await until('both are in again', () => count() >= 14 && stateOf(a) === 'joined' && stateOf(b) === 'joined');
    await until('nobody is doubtful', () =>
      [a, b].every((host) => host.lab.controller.clusterView().hosts.every(({ state }) => state !== 'doubtful')),
    );
    assert.deepEqual([a, b].map(told), before);
    assert.deepEqual(await etcd.keys('/weft/endpoints/'), ['/weft/endpoints/ov/a/web', '/weft/endpoints/ov/b/db']);
  });

  it('notices an etcd that says nothing any more, and goes on when it does', async () => {
    const before = told(a);
    etcd.pause();
    await until('a notices', () => stateOf(a) === 'alone');
    await assert.rejects(
      a.lab.controller.createEndpoint({ name: 'new', network: 'ov' }),
      /the cluster cannot be asked/,
    );
    await a.lab.controller.deleteEndpoint('web');
    assert.equal(told(a), before);
    etcd.resume();
    await until('both are back', () => stateOf(a) === 'joined' && stateOf(b) === 'joined');
    await until('b has forgotten what was deleted meanwhile', () => bindings(b).length === 0);
    const left = async () => (await etcd.keys('/weft/claims/ov/name/')).join();
    for (let n = 0; n < 100 && (await left()) !== '/weft/claims/ov/name/db'; n++)
      await new Promise((r) => setTimeout(r, 50));
    assert.equal(await left(), '/weft/claims/ov/name/db', 'the claims were released too');
  });

  it('forgets where the stations of a dead host are, and keeps their addresses until it is told that it does not come back', async () => {
    const taken = b.lab.controller.getEndpoint('db').ip[0]!;
    await b.lab.controller.close();
    lab.hosts.splice(lab.hosts.indexOf(b), 1);
    await assert.rejects(a.lab.controller.forgetHost('b'), /host b is in the cluster/);
    await until('its lease runs out', () => eventsOf(a, 'cluster-host-gone').length === 1);
    await until('a has forgotten it', () => floods(a).length === 0 && bindings(a).length === 0);
    const named = { name: 'heir', network: 'ov', ip: [taken] };
    await assert.rejects(a.lab.controller.createEndpoint(named), new RegExp(`${taken} is an address of host b`));
    await assert.rejects(a.lab.controller.deleteNetwork('ov', true), /endpoints on other hosts: b/);
    await a.lab.controller.forgetHost('b');
    await until('the address is free', () => a.lab.controller.clusterView().hosts.every(({ host }) => host !== 'b'));
    assert.deepEqual((await a.lab.controller.createEndpoint(named)).ip, [taken]);
    await assert.rejects(a.lab.controller.forgetHost('b'), /knows no host b/);
  });

  it('keeps a host that etcd has lost sight of for as long as its frames come in', async () => {
    const { tables, program } = a.lab.datapath;
    const clock = new Counters(tables.counters).values;
    const remotes = new RemoteTable(tables.remotes, 1);
    const key = keyOf(Object.keys({ [`socket ${a.vtep} 4789`]: 0 })[0]!);
    const row = remotes.intern(key, 4, Int32Array.from(addressWords(ipFrom(b.vtep))), 0, 0);
    clock[totalAt(TOTAL.nowMs)] = 1000;
    remotes.countReceived(row, 1, 100, 1000);
    await b.lab.controller.close();
    lab.hosts.splice(lab.hosts.indexOf(b), 1);
    const seen = () => a.lab.controller.clusterView().hosts.find(({ host }) => host === 'b')?.state;
    await until('its lease runs out', () => seen() === 'doubtful');
    assert.ok(knows(a, b), 'what it has is still known');
    assert.equal(program.floods, a.lab.datapath.program.floods, 'nothing was published');
    clock[totalAt(TOTAL.nowMs)] = 1_000_000;
    await until('nothing came for long', () => seen() === 'gone');
    await until('a has forgotten it', () => floods(a).length === 0 && bindings(a).length === 0);
  });

  it('starts without etcd with what the last daemon knew', async () => {
    await until('it is saved', () => b.lab.controller.clusterView().state === 'joined');
    await etcd.stop();
    b.lab = await b.lab.restart();
    assert.equal(stateOf(b), 'joining');
    await until('b knows a', () => knows(b, a));
    await assert.rejects(
      b.lab.controller.createEndpoint({ name: 'new', network: 'ov' }),
      /the cluster cannot be asked/,
    );
    await etcd.start();
    await until('b joins', () => stateOf(b) === 'joined');
    assert.ok(knows(b, a));
    assert.equal(b.lab.datapath.bindings.filter(([operation]) => operation === 0).length, 0, 'b forgot nothing');
  });

  it('is never away for others when its daemon starts again within the lease', async () => {
    const before = told(a);
    b.lab = await b.lab.restart();
    await until('b joins', () => stateOf(b) === 'joined');
    await addStation(b, 'late');
    await until('a hears of the new one', () => bindings(a).length === 2);
    assert.equal(eventsOf(a, 'cluster-host-gone').length, 0);
    assert.ok(told(a).startsWith(before.slice(0, before.indexOf(']]') + 1)), 'what a knew stayed as it was');
  });

  it('lets no second host in under a name that is taken', async () => {
    const twin = await lab.addHost('b', 3);
    await until('it is refused', () => stateOf(twin) === 'refused');
    assert.match(twin.lab.controller.clusterView().reason, /another weftd .* is in the cluster as host b/);
    assert.deepEqual(networkNames(twin), []);
    assert.equal(stateOf(b), 'joined');
  });

  it('says when the history that it wants was compacted', async () => {
    const options = { etcd: [etcd.url], ca: null, cert: null, key: null, user: null, password: null };
    const session = new EtcdSession({ ...options, host: 'x', prefix: '/weft', leaseSeconds: 5 }, etcd.url);
    const { revision } = await session.readAll('/weft/');
    await etcd.control('compact', String(revision));
    const ended = new Promise<string>((resolve) => {
      session.watch('/weft/', 1, { changed: () => {}, ended: resolve });
    });
    assert.equal(await ended, 'etcd has compacted what was missed');
    session.close();
  });

  it('reads everything again after a compaction that it slept through', async () => {
    const before = told(a);
    etcd.pause();
    await until('a notices', () => stateOf(a) === 'alone');
    etcd.resume();
    await etcd.control('put', '/weft/epochs', 'not ours');
    const { revision } = JSON.parse(await etcd.control('endpoint', 'status', '-w', 'json'))[0].Status.header;
    await etcd.control('compact', String(revision));
    await until('both are back', () => stateOf(a) === 'joined' && stateOf(b) === 'joined');
    await addStation(b, 'late');
    await until('a hears of the new one', () => bindings(a).length === 2);
    assert.ok(told(a).startsWith(before.slice(0, before.indexOf(']]') + 1)));
  });
});
