/** Hosts that share overlay networks over a real etcd: what one does, the others have. */
import assert from 'node:assert/strict';
import { bindings, ClusterLab, floods, networkNames, until } from '../support/cluster-lab.js';
import { EtcdServer } from '../support/etcd-server.js';

const OVERLAY = { name: 'ov', type: 'overlay' as const, subnets: ['10.90.0.0/24'], overlay: { vni: 5000 } };

describe('a cluster', function cluster() {
  this.timeout(60_000);
  let etcd: EtcdServer;
  let lab: ClusterLab;

  beforeEach(async () => {
    etcd = await EtcdServer.start();
    lab = new ClusterLab(etcd);
  });

  afterEach(async () => {
    await lab.close();
    await etcd.remove();
  });

  it('shares a network: it appears on every host, with the VTEPs of the others', async () => {
    const [a, b] = [await lab.join('a', 1), await lab.join('b', 2)];
    await a.lab.controller.createNetwork(OVERLAY);
    await until('b has the network', () => networkNames(b).includes('ov'));
    await until('a floods to b', () => floods(a).join() === b.vtep);
    await until('b floods to a', () => floods(b).join() === a.vtep);
    const [here, there] = [a, b].map((host) => host.lab.controller.getNetwork('ov'));
    const common = ({ name, subnets, gateway, mtu, overlay }: typeof here & object) => [
      name,
      subnets,
      gateway,
      mtu,
      overlay?.vni,
      overlay?.shared,
    ];
    assert.deepEqual(common(here!), common(there!));
  });

  it('tells where stations are: an endpoint in a compartment becomes a binding elsewhere', async () => {
    const [a, b] = [await lab.join('a', 1), await lab.join('b', 2)];
    await a.lab.controller.createNetwork(OVERLAY);
    await until('b has the network', () => networkNames(b).includes('ov'));
    await a.lab.controller.createCompartment({ name: 'web' });
    const web = await a.lab.controller.createEndpoint({ name: 'web', network: 'ov', compartment: 'web' });
    await until('b knows the station', () => bindings(b).length > 0);
    assert.deepEqual(bindings(b), [`${web.mac} at ${a.vtep} with ${web.ip[0]}`]);
    assert.deepEqual(bindings(a), []);
    await a.lab.controller.deleteEndpoint('web');
    await until('b has forgotten the station', () => bindings(b).length === 0);
    await until('nothing is left in etcd', () => true);
    assert.deepEqual(await etcd.keys('/weft/claims/'), []);
    assert.deepEqual(await etcd.keys('/weft/endpoints/'), []);
  });
});
