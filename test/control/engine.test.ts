/** What requests do, over a fake kernel: the ordinary cases. */
import assert from 'node:assert/strict';
import { RequestError } from '../../src/model/problems.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

describe('controller', () => {
  let lab: ControlLab;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  const refused = (code: string, pattern: RegExp) => (error: unknown) => {
    assert.ok(error instanceof RequestError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    assert.notEqual(error.remedy, '');
    return true;
  };

  it('gives an endpoint an address of every subnet, a MAC, an interface and a route', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'lan', type: 'internal', subnets: ['10.0.0.0/24', 'fd00::/64'] });
    await controller.createCompartment({ name: 'web' });
    const view = await controller.createEndpoint({ name: 'web-lan', network: 'lan', compartment: 'web' });
    assert.deepEqual(view.addresses, ['10.0.0.2/24', 'fd00::2/64']);
    assert.equal(view.ifname, 'eth0');
    assert.equal(view.state, 'attached');
    assert.match(view.mac, /^02:/);
    const tap = lab.machine.namespaces.get('/run/netns/web')?.interfaces.get('eth0');
    assert.deepEqual(tap?.addresses, ['10.0.0.2/24', 'fd00::2/64']);
    assert.deepEqual(tap?.routes, [
      { destination: '0.0.0.0/0', gateway: '10.0.0.1', metric: 100 },
      { destination: '::/0', gateway: 'fd00::1', metric: 100 },
    ]);
    assert.deepEqual(lab.machine.host.interfaces.get('weft-lan')?.addresses, ['10.0.0.1/24', 'fd00::1/64']);
    assert.equal(controller.getNetwork('lan').hostInterface, 'weft-lan');
  });

  it('makes the first of several default routes win', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'a', type: 'internal', subnets: ['10.1.0.0/24'] });
    await controller.createNetwork({ name: 'b', type: 'internal', subnets: ['10.2.0.0/24'] });
    await controller.createCompartment({ name: 'c' });
    await controller.createEndpoint({ name: 'a', network: 'a', compartment: 'c' });
    const second = await controller.createEndpoint({ name: 'b', network: 'b', compartment: 'c' });
    assert.equal(second.ifname, 'eth1');
    const { interfaces } = lab.machine.namespaces.get('/run/netns/c')!;
    assert.equal(interfaces.get('eth0')?.routes[0]?.metric, 100);
    assert.equal(interfaces.get('eth1')?.routes[0]?.metric, 101);
    const third = await controller.createEndpoint({ name: 'n', network: 'b', compartment: 'c', defaultRoute: false });
    assert.deepEqual(interfaces.get(third.ifname)?.routes, []);
  });

  it('chooses an interface name that nobody has in the compartment', async () => {
    const { controller } = lab;
    const foreign = lab.machine.addNamespace('/run/netns/foreign');
    lab.machine.addInterface(foreign, 'eth0');
    await controller.createNetwork({ name: 'lan', type: 'private', subnets: ['10.0.0.0/24'] });
    await controller.createCompartment({ name: 'c', netns: '/run/netns/foreign' });
    const view = await controller.createEndpoint({ name: 'e', network: 'lan', compartment: 'c' });
    assert.equal(view.ifname, 'eth1');
    const request = { name: 'f', network: 'lan', compartment: 'c', ifname: 'eth0' };
    await assert.rejects(controller.createEndpoint(request), refused('conflict', /interface eth0 already/));
    assert.equal(controller.listEndpoints().length, 1);
    assert.equal(controller.getNetwork('lan').addresses.used, 1);
  });

  it('steps behind the default routes that other programs have in a compartment', async () => {
    const { controller } = lab;
    const foreign = lab.machine.addNamespace('/run/netns/foreign');
    const routes = [100, 101].map((metric) => ({ destination: '0.0.0.0/0', gateway: '192.0.2.1', metric }));
    lab.machine.addInterface(foreign, 'uplink').routes = routes;
    await controller.createNetwork({ name: 'lan', type: 'internal', subnets: ['10.0.0.0/24'] });
    await controller.createCompartment({ name: 'c', netns: '/run/netns/foreign' });
    await controller.createEndpoint({ name: 'e', network: 'lan', compartment: 'c' });
    assert.equal(foreign.interfaces.get('eth0')?.routes[0]?.metric, 102);
    lab = await lab.crash();
    assert.equal(foreign.interfaces.get('eth0')?.routes[0]?.metric, 102);
  });

  it('lets an endpoint of a private network be the gateway', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'p', type: 'private', subnets: ['10.0.0.0/24'], gateway: '10.0.0.1' });
    await controller.createCompartment({ name: 'router' });
    await controller.createCompartment({ name: 'client' });
    await controller.createEndpoint({ name: 'r', network: 'p', compartment: 'router', ip: '10.0.0.1' });
    await controller.createEndpoint({ name: 'c', network: 'p', compartment: 'client' });
    const routes = (name: string) => lab.machine.namespaces.get(`/run/netns/${name}`)?.interfaces.get('eth0')?.routes;
    assert.deepEqual(routes('router'), []);
    assert.deepEqual(routes('client'), [{ destination: '0.0.0.0/0', gateway: '10.0.0.1', metric: 100 }]);
  });

  it('refuses to put a network over a route of the host, and only warns when the host has no part in it', async () => {
    const { controller } = lab;
    lab.machine.hostRoutes.push({ destination: '0.0.0.0/0', device: 'eth0' });
    lab.machine.hostRoutes.push({ destination: '10.0.0.0/8', device: 'vpn0' });
    const request = { name: 'n', type: 'internal' as const, subnets: ['10.9.0.0/24'] };
    await assert.rejects(controller.createNetwork(request), refused('conflict', /10\.0\.0\.0\/8 over vpn0/));
    await controller.createNetwork({ ...request, type: 'private' });
    const warning = controller.eventsSince(0).find(({ type }) => type === 'warning');
    assert.match(warning?.message ?? '', /vpn0/);
    assert.deepEqual(controller.status().warnings, []);
  });

  it('refuses a network that overlaps another one', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'a', type: 'private', subnets: ['10.0.0.0/16'] });
    const request = { name: 'b', type: 'private' as const, subnets: ['10.0.5.0/24'] };
    await assert.rejects(controller.createNetwork(request), refused('conflict', /10\.0\.0\.0\/16 of network a/));
  });

  it('refuses the namespace of the daemon and one that is a compartment already', async () => {
    const { controller } = lab;
    lab.machine.addNamespace('/run/netns/x');
    await controller.createCompartment({ name: 'one', netns: '/run/netns/x' });
    const twice = controller.createCompartment({ name: 'two', netns: '/run/netns/x' });
    await assert.rejects(twice, refused('conflict', /compartment one already/));
    const host = controller.createCompartment({ name: 'host', pid: 1 });
    await assert.rejects(host, refused('conflict', /weftd itself/));
    const none = controller.createCompartment({ name: 'none', netns: '/run/netns/none' });
    await assert.rejects(none, refused('invalid-request', /there is no \/run\/netns\/none/));
    const dead = controller.createCompartment({ name: 'dead', pid: 4_000_000 });
    await assert.rejects(dead, refused('invalid-request', /there is no process 4000000/));
    const taken = controller.createCompartment({ name: 'x' });
    await assert.rejects(taken, refused('conflict', /did not make it/));
  });

  it('says what is in the way of a deletion, and takes it along with force', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'n', type: 'private', subnets: ['10.0.0.0/24'] });
    await controller.createCompartment({ name: 'c' });
    await controller.createEndpoint({ name: 'e', network: 'n', compartment: 'c' });
    await assert.rejects(controller.deleteNetwork('n', false), refused('in-use', /1 endpoint \(e\)/));
    await assert.rejects(controller.deleteCompartment('c', false), refused('in-use', /1 endpoint \(e\)/));
    await controller.deleteCompartment('c', true);
    const view = controller.getEndpoint('e');
    assert.equal(view.state, 'detached');
    assert.deepEqual(view.addresses, ['10.0.0.1/24']);
    assert.match(view.reason ?? '', /compartment c was deleted/);
    assert.equal(lab.machine.namespaces.size, 0);
    await controller.deleteNetwork('n', true);
    assert.deepEqual(controller.listEndpoints(), []);
    assert.deepEqual(lab.kernel.openDescriptors, ['host namespace']);
  });

  it('moves an endpoint with its address and MAC', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'n', type: 'private', subnets: ['10.0.0.0/24'] });
    for (const name of ['a', 'b']) await controller.createCompartment({ name });
    const before = await controller.createEndpoint({ name: 'e', network: 'n', compartment: 'a' });
    const after = await controller.attachEndpoint('e', 'b');
    assert.deepEqual([after.mac, after.ip, after.state], [before.mac, before.ip, 'attached']);
    assert.equal(lab.machine.namespaces.get('/run/netns/a')?.interfaces.size, 0);
    assert.equal(lab.machine.namespaces.get('/run/netns/b')?.interfaces.size, 1);
    lab.check();
    assert.equal((await controller.detachEndpoint('e')).state, 'detached');
    assert.equal((await controller.detachEndpoint('e')).state, 'detached');
    assert.deepEqual(lab.datapath.attached.size, 0);
    assert.deepEqual(controller.getEndpoint('e').ip, before.ip);
  });

  it('changes what can change of a network in place', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'n', type: 'internal', subnets: ['10.0.0.0/24'] });
    await controller.createCompartment({ name: 'c' });
    await controller.createEndpoint({ name: 'e', network: 'n', compartment: 'c' });
    const view = await controller.patchNetwork('n', { mtu: 9000, ageingSeconds: 10, storm: { broadcast: 5 } });
    assert.deepEqual([view.mtu, view.ageingSeconds, view.storm.broadcast], [9000, 10, 5]);
    assert.equal(lab.machine.namespaces.get('/run/netns/c')?.interfaces.get('eth0')?.mtu, 9000);
    assert.equal(lab.machine.host.interfaces.get('weft-n')?.mtu, 9000);
    assert.equal(lab.datapath.program.networkMtu[0], 9000);
    assert.equal(lab.datapath.program.networkAgeingMs[0], 10_000);
    const patch = { subnets: ['10.1.0.0/24'] } as never;
    await assert.rejects(controller.patchNetwork('n', patch), refused('invalid-request', /cannot change/));
  });

  it('changes isolation, VLAN and static MACs of an endpoint in place', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'n', type: 'private' });
    await controller.createCompartment({ name: 'c' });
    await controller.createEndpoint({ name: 'e', network: 'n', compartment: 'c' });
    const staticMacs = ['02:00:00:00:00:09'];
    await controller.patchEndpoint('e', { isolated: true, vlan: { mode: 'access', id: 7 }, staticMacs });
    const { program } = lab.datapath;
    assert.deepEqual([program.portFlags[0], program.portVlanMode[0], program.portVlan[0]], [1, 1, 7]);
    assert.deepEqual([...program.staticMacs], [0, 7, 0x0200, 9, 0]);
    const view = await controller.patchEndpoint('e', { vlan: null });
    assert.equal(view.vlan, null);
    assert.equal(view.isolated, true);
  });

  it('never gives two endpoints one address, however many are asked for at once', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'n', type: 'private', subnets: ['10.0.0.0/26'] });
    const names = Array.from({ length: 70 }, (_, i) => `e${i}`);
    const results = await Promise.allSettled(names.map((name) => controller.createEndpoint({ name, network: 'n' })));
    const refusals = results.filter((result) => result.status === 'rejected');
    assert.equal(refusals.length, 8);
    for (const { reason } of refusals) refused('exhausted', /network n .*10\.0\.0\.0\/26: 62 in use/)(reason);
    const addresses = controller.listEndpoints().flatMap(({ ip }) => ip);
    assert.equal(new Set(addresses).size, 62);
    assert.equal(controller.getNetwork('n').addresses.free, '0');
    assert.ok(lab.saveCount < 30, `${lab.saveCount} saves for 70 requests at once`);
  });

  it('tells what happened only once it is safe', async () => {
    const { controller } = lab;
    const told: string[] = [];
    const stop = controller.onEvent(({ type, name }) => told.push(`${type} ${name}`));
    await controller.createNetwork({ name: 'n', type: 'private' });
    await controller.createCompartment({ name: 'c' });
    await controller.createEndpoint({ name: 'e', network: 'n', compartment: 'c' });
    await controller.deleteEndpoint('e');
    lab.saveFailure = 'ENOSPC';
    await assert.rejects(controller.deleteNetwork('n', false), refused('unavailable', /ENOSPC/));
    lab.saveFailure = null;
    stop();
    assert.deepEqual(told, [
      'network-created n',
      'compartment-created c',
      'endpoint-created e',
      'endpoint-attached e',
      'endpoint-detached e',
      'endpoint-deleted e',
    ]);
    const all = controller.eventsSince(0);
    assert.deepEqual(
      all.map(({ sequence }) => sequence),
      all.map((_, index) => index + 1),
    );
    assert.deepEqual(controller.eventsSince(all.length - 1), all.slice(-1));
  });

  it('marks the ports of a capture and names them', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'n', type: 'private' });
    await controller.createCompartment({ name: 'c' });
    await controller.createEndpoint({ name: 'e', network: 'n', compartment: 'c' });
    await controller.startCapture({ name: 'x', endpoint: 'e', file: '/tmp/x', snaplen: 96 });
    assert.deepEqual([lab.datapath.program.captureSnaplen, lab.datapath.program.portCapture[0]], [96, 1]);
    assert.deepEqual(
      lab.captures.ports.map(({ endpoint, network, ifname }) => [endpoint, network, ifname]),
      [['e', 'n', 'eth0']],
    );
    await controller.stopCapture('x');
    assert.equal(lab.datapath.program.captureSnaplen, 0);
    const missing = controller.startCapture({ endpoint: 'nobody', file: '/tmp/x' });
    await assert.rejects(missing, refused('not-found', /no endpoint nobody/));
  });
});
