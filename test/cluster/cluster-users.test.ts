/** An etcd that has users: a role for the prefix is enough for weft, and whoever is refused is told why. */
import assert from 'node:assert/strict';
import { Etcd3, Range } from 'etcd3';
import { ClusterLab, networkNames, until } from '../support/cluster-lab.js';
import { EtcdServer } from '../support/etcd-server.js';

const OVERLAY = { name: 'ov', type: 'overlay' as const, subnets: ['10.90.0.0/24'], overlay: { vni: 5000 } };

describe('an etcd that has users', function users() {
  this.timeout(120_000);
  let etcd: EtcdServer;
  let lab: ClusterLab;

  beforeEach(async () => {
    etcd = await EtcdServer.start();
    const client = new Etcd3({ hosts: [etcd.url] });
    await client.role('weft').create();
    await client.role('weft').grant({ permission: 'Readwrite', range: Range.prefix('/weft/') });
    for (const [name, roles] of [
      ['root', ['root']],
      ['weft', ['weft']],
      ['poor', []],
    ] as const) {
      await client.user(name).create(`password of ${name}`);
      for (const role of roles) await client.user(name).addRole(role);
    }
    await client.auth.authEnable();
    client.close();
    lab = new ClusterLab(etcd);
  });

  afterEach(async () => {
    await lab.close();
    await etcd.remove();
  });

  it('lets in who may read and write the prefix', async () => {
    const weft = { user: 'weft', password: 'password of weft' };
    const [a, b] = [await lab.join('a', 1, weft), await lab.join('b', 2, weft)];
    await a.lab.controller.createNetwork(OVERLAY);
    await until('b has the network', () => networkNames(b).includes('ov'));
    const { ip } = await b.lab.controller.createEndpoint({ name: 'web', network: 'ov' });
    assert.equal(ip.length, 1);
  });

  it('keeps others out, with the reason', async () => {
    const others: [object, RegExp][] = [
      [{}, /: it wants a user \(user and password in weft\.yaml\)$/],
      [{ user: 'weft', password: 'guessed' }, /: it does not accept user and password of weft\.yaml$/],
      [
        { user: 'poor', password: 'password of poor' },
        /: the user of weft\.yaml may not do that: it needs read and write/,
      ],
    ];
    for (const [number, [credentials, reason]] of others.entries()) {
      const { lab: host } = await lab.addHost(`h${number}`, number + 1, credentials);
      await until('it has been refused', () => reason.test(host.controller.clusterView().reason));
      assert.equal(host.controller.clusterView().state, 'alone');
    }
  });
});
