/** What happens from outside while the daemon runs. */
import assert from 'node:assert/strict';
import { RequestError } from '../../src/model/problems.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

const EBADFD = 77;

describe('a disturbance', () => {
  let lab: ControlLab;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
    lab.machine.addNamespace('/run/netns/foreign');
    const { controller } = lab;
    await controller.createNetwork({ name: 'n', type: 'internal', subnets: ['10.0.0.0/24'] });
    await controller.createCompartment({ name: 'c', netns: '/run/netns/foreign' });
    await controller.createCompartment({ name: 'other' });
    for (const name of ['e', 'f']) await controller.createEndpoint({ name, network: 'n', compartment: 'c' });
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  /** The queue is serial: when a change of its own is done, so is everything before it. */
  const settle = () => lab.controller.detachEndpoint('e').catch(() => {});
  const last = (type: string) =>
    lab.controller
      .eventsSince(0)
      .filter((event) => event.type === type)
      .at(-1);

  it('a namespace that ends detaches its endpoints, which keep their addresses', async () => {
    lab.machine.endNamespace('/run/netns/foreign');
    await settle();
    assert.equal(lab.controller.getCompartment('c').state, 'gone');
    for (const [name, address] of [['e', '10.0.0.2'] as const, ['f', '10.0.0.3'] as const]) {
      const view = lab.controller.getEndpoint(name);
      assert.deepEqual([view.state, view.compartment, view.ip], ['detached', null, [address]]);
      assert.match(view.reason ?? '', /namespace of compartment c is gone/);
    }
    assert.match(last('compartment-gone')?.message ?? '', /run\/netns\/foreign/);
    assert.match(last('endpoint-detached')?.message ?? '', /namespace of compartment c is gone/);
    const descriptors = ['host namespace', 'namespace /run/netns/other', 'tap weft-n'];
    assert.deepEqual(lab.kernel.openDescriptors, descriptors, 'nothing keeps the dead namespace alive');
    const attach = lab.controller.attachEndpoint('e', 'c');
    await assert.rejects(attach, (error) => error instanceof RequestError && /create it again/.test(error.remedy));
    assert.equal((await lab.controller.attachEndpoint('e', 'other')).state, 'attached');
    await lab.controller.deleteCompartment('c', false);
    lab = await lab.crash();
    assert.equal(lab.controller.getEndpoint('e').compartment, 'other');
  });

  it('a namespace that ends in the middle of a creation there does not confuse anything', async () => {
    const creation = lab.controller.createEndpoint({ name: 'g', network: 'n', compartment: 'c' });
    lab.machine.endNamespace('/run/netns/foreign');
    await creation.catch(() => {});
    await settle();
    assert.equal(lab.controller.getCompartment('c').state, 'gone');
    for (const view of lab.controller.listEndpoints()) assert.notEqual(view.compartment, 'c');
  });

  it('an interface that is removed degrades its endpoint, and attaching makes it anew', async () => {
    const { controller, machine, datapath } = lab;
    machine.namespaces.get('/run/netns/foreign')?.interfaces.delete('eth1');
    datapath.reportFault(controller.getEndpoint('f').port ?? -1, EBADFD);
    await settle();
    const view = controller.getEndpoint('f');
    assert.deepEqual([view.state, view.compartment, view.port], ['degraded', 'c', null]);
    assert.match(view.reason ?? '', /eth1 was removed by another program/);
    assert.equal(last('endpoint-degraded')?.name, 'f');
    const repaired = await controller.attachEndpoint('f', 'c');
    assert.deepEqual([repaired.state, repaired.reason, repaired.ifname], ['attached', null, 'eth1']);
    assert.ok(machine.namespaces.get('/run/netns/foreign')?.interfaces.has('eth1'));
  });

  it('a degraded endpoint can be detached and deleted', async () => {
    lab.datapath.reportFault(lab.controller.getEndpoint('f').port ?? -1, 5);
    await lab.controller.detachEndpoint('f');
    assert.equal(lab.controller.getEndpoint('f').state, 'detached');
    await lab.controller.deleteEndpoint('f');
    assert.equal(lab.controller.getNetwork('n').addresses.used, 2);
  });

  it('a fault that is old news does not hit whoever has the row now', async () => {
    const { controller, datapath } = lab;
    const port = controller.getEndpoint('f').port ?? -1;
    const deletion = controller.deleteEndpoint('f');
    const creation = controller.createEndpoint({ name: 'g', network: 'n', compartment: 'other' });
    datapath.reportFault(port, EBADFD);
    await Promise.all([deletion, creation]);
    await settle();
    assert.equal(controller.getEndpoint('g').state, 'attached');
  });

  it('a host vNIC that is removed is made anew', async () => {
    const { controller, machine, datapath } = lab;
    machine.host.interfaces.delete('weft-n');
    const used = new Set(controller.listEndpoints().map(({ port }) => port));
    const port = [...datapath.attached.keys()].find((each) => !used.has(each)) ?? -1;
    datapath.reportFault(port, EBADFD);
    await settle();
    assert.deepEqual(machine.host.interfaces.get('weft-n')?.addresses, ['10.0.0.1/24']);
    assert.equal(controller.getNetwork('n').hostInterface, 'weft-n');
    assert.match(controller.status().warnings.join(), /host vNIC of network n/);
  });

  it('a worker that died is told of', () => {
    lab.datapath.reportRestart('assertion failed');
    assert.match(last('worker-restarted')?.message ?? '', /assertion failed/);
    assert.match(lab.controller.status().warnings.join(), /worker/);
  });

  it('the plain name of a host vNIC may be taken by another weft', async () => {
    lab.machine.addInterface(lab.machine.host, 'weft-m');
    const view = await lab.controller.createNetwork({ name: 'm', type: 'internal', subnets: ['10.7.0.0/24'] });
    assert.match(view.hostInterface ?? '', /^weft-m[0-9a-f]{5}$/);
    lab = await lab.restart();
    assert.equal(lab.controller.getNetwork('m').hostInterface, view.hostInterface);
  });
});
