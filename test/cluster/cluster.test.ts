/** Hosts that share overlay networks over a real etcd: what one does, the others have. */
import assert from 'node:assert/strict';
import { decode } from 'dns-packet';
import { bindings, ClusterLab, floods, networkNames, until, untilAsked } from '../support/cluster-lab.js';
import { ask } from '../support/dns-messages.js';
import { EtcdServer } from '../support/etcd-server.js';

const OVERLAY = { name: 'ov', type: 'overlay' as const, subnets: ['10.90.0.0/24'], overlay: { vni: 5000 } };

describe('a cluster', function cluster() {
  this.timeout(120_000);
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

  it('shares names of services: SRV of a published port on every host, until it is withdrawn', async () => {
    const [a, b] = [await lab.join('a', 1), await lab.join('b', 2)];
    await a.lab.controller.createNetwork({ ...OVERLAY, uplink: 'host' });
    await until('b has the network', () => b.responders.has('10.90.0.1'));
    await a.lab.controller.createCompartment({ name: 'web' });
    const web = { name: 'web', network: 'ov', compartment: 'web', publish: ['8080:80/tcp'] };
    await a.lab.controller.createEndpoint(web);
    const services = async () => {
      const query = ask('_8080._tcp.web.ov.weft', 'SRV');
      const response = await b.responders.get('10.90.0.1')?.respond(query, '10.90.0.99', 'udp');
      const answers = response ? (decode(response).answers ?? []) : [];
      return answers.map((answer) =>
        answer.type === 'SRV' ? `${answer.data.target}:${answer.data.port}` : answer.type,
      );
    };
    await untilAsked('b knows the service', async () => (await services()).join() === 'web.ov.weft:80');
    await a.lab.controller.patchEndpoint('web', { publish: [] });
    await untilAsked('b has forgotten the service', async () => (await services()).length === 0);
  });
});
