/** Who gets what must be unique on a shared network: addresses, names, VNIs, networks; two hosts at once, as fast as they can. */
import assert from 'node:assert/strict';
import { bindings, ClusterLab, type Host, networkNames, until } from '../support/cluster-lab.js';
import { EtcdServer } from '../support/etcd-server.js';

const OVERLAY = { name: 'ov', type: 'overlay' as const, subnets: ['10.90.0.0/16'], overlay: { vni: 5000 } };
const CREATIONS = 5000;
/** Of each host, deleted on the way. */
const GONE = 1200;
const AT_ONCE = 32;
/** The two of them, on the processor of a small machine. */
const CREATIONS_MS = 240_000;

describe('what belongs to one host of a cluster', function claims() {
  this.timeout(120_000);
  let etcd: EtcdServer;
  let lab: ClusterLab;
  let a: Host;
  let b: Host;

  beforeEach(async () => {
    etcd = await EtcdServer.start();
    lab = new ClusterLab(etcd, 5);
    [a, b] = [await lab.join('a', 1), await lab.join('b', 2)];
  });

  afterEach(async () => {
    await lab.close();
    await etcd.remove();
  });

  const share = async (more: object = {}) => {
    await a.lab.controller.createNetwork({ ...OVERLAY, ...more });
    await until('b has the network', () => networkNames(b).includes('ov'));
  };
  const endpoint = (host: Host, name: string, more: object = {}) =>
    host.lab.controller.createEndpoint({ name, network: 'ov', ...more });

  it('an address: named on two hosts at once, one of them gets it', async () => {
    await share();
    const both = await Promise.allSettled(
      [a, b].map((host) => endpoint(host, `${host.name}-web`, { ip: ['10.90.1.1'] })),
    );
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const refused = both.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
    assert.match(String(refused.reason), /10\.90\.1\.1 (is an address of|belongs to) host [ab]/);
  });

  it('a name and a MAC', async () => {
    await share();
    await endpoint(a, 'web', { mac: '02:00:5e:10:00:01' });
    await assert.rejects(endpoint(b, 'web'), /the name web belongs to host a/);
    await assert.rejects(endpoint(b, 'db', { mac: '02:00:5e:10:00:01' }), /MAC 02:00:5e:10:00:01 belongs to host a/);
    await a.lab.controller.deleteEndpoint('web');
    await endpoint(b, 'web', { mac: '02:00:5e:10:00:01' });
  });

  it('and not to a host that was installed anew under its name, which is told so', async () => {
    await share();
    await endpoint(b, 'web');
    await b.lab.controller.close();
    await etcd.control('del', '/weft/hosts/b');
    const anew = await lab.join('b', 2);
    await until('it has the network', () => networkNames(anew).includes('ov'));
    await assert.rejects(endpoint(anew, 'web'), /the name web belongs to a former weftd of this host, b/);
    await a.lab.controller.forgetHost('b');
    await endpoint(anew, 'web');
  });

  it('an address that is free again the moment that its endpoint is deleted', async () => {
    await share();
    for (let n = 0; n < 20; n++) {
      const [from, to] = n % 2 === 0 ? [a, b] : [b, a];
      const moved = await endpoint(from, 'mover', { ip: ['10.90.7.7'] });
      assert.deepEqual(moved.ip, ['10.90.7.7']);
      await from.lab.controller.deleteEndpoint('mover');
      await until('the other one knows', () => to.lab.controller.getNetwork('ov').addresses.used === 1);
    }
  });

  it('the last addresses of a small subnet: all of them are given out, none twice', async () => {
    await share({ subnets: ['10.90.0.0/27'] });
    const wanted = [...Array(40).keys()].map((n) => endpoint(n % 2 === 0 ? a : b, `e${n}`));
    const given = await Promise.allSettled(wanted);
    const addresses = given.flatMap((one) => (one.status === 'fulfilled' ? one.value.ip : []));
    assert.equal(addresses.length, 29, 'the gateway has one of 30');
    assert.equal(new Set(addresses).size, 29);
    for (const one of given)
      if (one.status === 'rejected') assert.match(String(one.reason), /has no free address left/);
  });

  it('a VNI and the name of a network, which two hosts create at once', async () => {
    const both = await Promise.allSettled([
      a.lab.controller.createNetwork({ ...OVERLAY, name: 'one' }),
      b.lab.controller.createNetwork({ ...OVERLAY, name: 'two', subnets: ['10.91.0.0/16'] }),
    ]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    const same = await Promise.allSettled(
      [a, b].map((host) =>
        host.lab.controller.createNetwork({ ...OVERLAY, name: 'three', subnets: [], overlay: { vni: 6000 } }),
      ),
    );
    assert.equal(same.filter(({ status }) => status === 'fulfilled').length, 1);
    await until('both have both', () => [a, b].every((host) => networkNames(host).length === 2));
    assert.deepEqual(networkNames(a), networkNames(b));
  });

  it('a network that is changed and deleted for all, and not while others use it', async () => {
    await share();
    await endpoint(b, 'db');
    await a.lab.controller.patchNetwork('ov', { ageingSeconds: 60 });
    await until('b hears of it', () => b.lab.controller.getNetwork('ov').ageingSeconds === 60);
    await assert.rejects(a.lab.controller.deleteNetwork('ov', true), /network ov has endpoints on other hosts: b/);
    await b.lab.controller.deleteEndpoint('db');
    await endpoint(a, 'web');
    await a.lab.controller.deleteNetwork('ov', true);
    await until('it is gone from b', () => networkNames(b).length === 0);
    assert.deepEqual((await etcd.keys('/weft/')).sort(), [
      '/weft/epoch',
      '/weft/guard',
      '/weft/hosts/a',
      '/weft/hosts/b',
    ]);
    await share();
    await endpoint(b, 'db');
  });

  it('nothing of a change that could not be saved', async () => {
    await share();
    a.lab.saveFailure = 'no space left on device';
    await assert.rejects(endpoint(a, 'web'), /could not be saved/);
    await assert.rejects(
      a.lab.controller.createNetwork({ ...OVERLAY, name: 'more', subnets: [], overlay: { vni: 6000 } }),
      /could not be saved/,
    );
    a.lab.saveFailure = null;
    assert.deepEqual(await etcd.keys('/weft/claims/'), []);
    assert.deepEqual(await etcd.keys('/weft/networks/'), ['/weft/networks/ov']);
    await endpoint(b, 'web');
  });

  it('a network of its own, which the cluster knows nothing of, stands in the way of a shared one', async () => {
    await b.lab.controller.createNetwork({ name: 'ov', type: 'private' });
    await a.lab.controller.createNetwork(OVERLAY);
    const missing = () => b.lab.controller.clusterView().missing;
    await until('b says so', () => missing().length > 0);
    assert.deepEqual(missing(), [{ network: 'ov', reason: 'a network of this host has the name ov' }]);
    await b.lab.controller.deleteNetwork('ov', false);
    await until('b has it', () => missing().length === 0 && b.lab.controller.getNetwork('ov').type === 'overlay');
  });

  it(`addresses: ${2 * CREATIONS} times given out by two hosts as fast as they can, never twice`, async function many() {
    this.timeout(CREATIONS_MS);
    await share();
    for (const { lab: each } of [a, b]) each.isForgetful = true;
    const started = performance.now();
    /** By address: who has it. */
    const owners = new Map<string, string>();
    const create = async (host: Host, name: string) => {
      const [address] = (await endpoint(host, name)).ip;
      assert.equal(owners.get(address!), undefined, `${address} was given to ${name} and is given to another one`);
      owners.set(address!, name);
    };
    const remove = async (host: Host, name: string) => {
      const [address] = host.lab.controller.getEndpoint(name).ip;
      owners.delete(address!);
      await host.lab.controller.deleteEndpoint(name);
    };
    const names = (host: Host, first: number, end: number) =>
      [...Array(end - first).keys()].map((n) => `${host.name}${first + n}`);
    // A daemon has 4096 ports at most, so some have to go on the way.
    const work = async (host: Host) => {
      await inPieces(names(host, 0, CREATIONS - GONE), (name) => create(host, name));
      await inPieces(names(host, 0, GONE), (name) => remove(host, name));
      await inPieces(names(host, CREATIONS - GONE, CREATIONS), (name) => create(host, name));
    };
    await Promise.all([work(a), work(b)]);
    const seconds = (performance.now() - started) / 1000;
    assert.equal(owners.size, 2 * (CREATIONS - GONE));
    const claims = (await etcd.keys('/weft/claims/ov/ip/')).map((key) => key.slice('/weft/claims/ov/ip/'.length));
    assert.deepEqual(claims.sort(), [...owners.keys()].sort());
    this.test!.title += ` (${Math.round((2 * CREATIONS) / seconds)} in a second)`;
  });

  it('is seen elsewhere at once', async function seen() {
    await share();
    await a.lab.controller.createCompartment({ name: 'web' });
    const delays: number[] = [];
    for (let n = 0; n < 20; n++) {
      const started = performance.now();
      await endpoint(a, `e${n}`, { compartment: 'web' });
      await until('b knows it', () => bindings(b).length === n + 1);
      delays.push(performance.now() - started);
    }
    delays.sort((x, y) => x - y);
    this.test!.title +=
      ` (after ${delays[10]!.toFixed(0)} ms, the slowest ${delays.at(-1)!.toFixed(0)} ms, creation included)`;
  });
});

async function inPieces<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  for (let first = 0; first < all.length; first += AT_ONCE)
    await Promise.all(all.slice(first, first + AT_ONCE).map(work));
}
