/** Every change is atomic: whichever call of the kernel or the datapath fails on the way, and also when the save fails. */
import assert from 'node:assert/strict';
import type { NetworkRequest } from '../../src/control/controller/lab-objects.js';
import { RequestError } from '../../src/model/problems.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

type Change = [name: string, change: (lab: ControlLab) => Promise<unknown>];

const LAB_FILE = {
  weft: 1 as const,
  networks: {
    n: { type: 'internal' as const, subnets: ['10.0.0.0/24'], gateway: '10.0.0.9' },
    q: { type: 'private' as const },
  },
  compartments: { a: {}, b: {}, z: {} },
  endpoints: {
    e: { network: 'n', compartment: 'b' },
    f: { network: 'n', compartment: 'z' },
    x: { network: 'q', compartment: 'z' },
  },
};

const NAT = { type: 'nat' as const, uplink: 'host', uplinkNetns: '/run/netns/router' };

const CHANGES: Change[] = [
  [
    'create network',
    ({ controller }) => controller.createNetwork({ name: 'm', type: 'internal', subnets: ['10.5.0.0/24'] }),
  ],
  ['patch network', ({ controller }) => controller.patchNetwork('n', { mtu: 1400 })],
  ['delete network', ({ controller }) => controller.deleteNetwork('n', true)],
  ['create compartment', ({ controller }) => controller.createCompartment({ name: 'd' })],
  ['adopt compartment', ({ controller }) => controller.createCompartment({ name: 'd', netns: '/run/netns/foreign' })],
  ['delete compartment', ({ controller }) => controller.deleteCompartment('a', true)],
  ['create endpoint', ({ controller }) => controller.createEndpoint({ name: 'g', network: 'n', compartment: 'b' })],
  ['move endpoint', ({ controller }) => controller.attachEndpoint('e', 'b')],
  ['detach endpoint', ({ controller }) => controller.detachEndpoint('e')],
  ['patch endpoint', ({ controller }) => controller.patchEndpoint('e', { isolated: true })],
  ['delete endpoint', ({ controller }) => controller.deleteEndpoint('e')],
  ['apply', ({ controller }) => controller.apply(LAB_FILE, false)],
  ['create nat network', ({ controller }) => controller.createNetwork({ ...NAT, name: 'm', subnets: ['10.5.0.0/24'] })],
  [
    'create nat network on an interface',
    ({ controller }) =>
      controller.createNetwork({
        ...NAT,
        name: 'm',
        uplink: 'nic:lan',
        externalIp: ['192.0.2.9'],
        subnets: ['10.5.0.0/24'],
      }),
  ],
  [
    'create nat network on raw sockets',
    ({ controller }) =>
      controller.createNetwork({
        ...NAT,
        name: 'm',
        uplink: 'raw',
        externalIp: ['192.0.2.1'],
        subnets: ['10.5.0.0/24'],
      }),
  ],
  ['patch nat network', ({ controller }) => controller.patchNetwork('out', { mtu: 1400 })],
  ['publish port', ({ controller }) => controller.publishPort({ endpoint: 'p', spec: '8081:81' })],
  ['delete endpoint with published port', ({ controller }) => controller.deleteEndpoint('p')],
  ['delete nat network', ({ controller }) => controller.deleteNetwork('out', true)],
  ['create overlay network over sockets', ({ controller }) => controller.createNetwork(overlay('m', 7, 'socket'))],
  ['create overlay network over a TAP', ({ controller }) => controller.createNetwork(overlay('m', 7, 'tap'))],
  [
    'create overlay network on a VTEP that is there',
    ({ controller }) => controller.createNetwork(overlay('m', 7, 'tap', 4790)),
  ],
  ['patch overlay network', ({ controller }) => controller.patchNetwork('over', { overlay: { peers: ['192.0.2.3'] } })],
  ['delete overlay network', ({ controller }) => controller.deleteNetwork('over', true)],
];

function overlay(name: string, vni: number, underlay: 'socket' | 'tap', port = 4789): NetworkRequest {
  const vtep = underlay === 'socket' ? '192.0.2.1' : `192.0.2.${port & 0xff}`;
  const underlayNetns = '/run/netns/router';
  return {
    name,
    type: 'overlay',
    subnets: [],
    overlay: { vni, underlay, vtep, port, underlayNetns, peers: ['192.0.2.2'] },
  };
}

describe('a change that fails half way', () => {
  let lab: ControlLab;
  let remove: () => Promise<void>;

  async function setUp(): Promise<void> {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
    const { controller, machine } = lab;
    machine.addNamespace('/run/netns/foreign');
    await controller.createNetwork({ name: 'n', type: 'internal', subnets: ['10.0.0.0/24', 'fd00::/64'] });
    for (const name of ['a', 'b']) await controller.createCompartment({ name });
    machine.addInterface(machine.namespaces.get('/run/netns/b')!, 'eth0');
    for (const name of ['e', 'f']) await controller.createEndpoint({ name, network: 'n', compartment: 'a' });
    machine.addInterface(machine.addNamespace('/run/netns/router'), 'lan').addresses.push('192.0.2.1/24');
    await controller.createNetwork({ ...NAT, name: 'out', subnets: ['10.4.0.0/24', 'fd04::/64'] });
    await controller.createNetwork(overlay('over', 6, 'tap', 4790));
    await controller.createEndpoint({ name: 'p', network: 'out', compartment: 'a', publish: ['8080:80'] });
  }

  async function tearDown(): Promise<void> {
    await lab.close();
    await remove();
  }

  beforeEach(setUp);
  afterEach(tearDown);

  const appliedNames = () =>
    JSON.stringify(Object.values(lab.store.state.applied).map((names: Set<string>) => [...names]));

  /** Lets the first, second, ... call fail, each time in a new lab, until the change makes fewer calls than that. */
  async function failEach(fail: 'kernel' | 'datapath', change: Change[1]): Promise<void> {
    for (let n = 1; n < 200; n++) {
      const before = [lab.snapshot(), appliedNames()];
      lab[fail].failAt(n);
      const outcome = await change(lab).then(
        () => null,
        (error: unknown) => error,
      );
      const hasFailed = lab[fail].hasFailed;
      lab[fail].stopFailing();
      lab.check();
      if (outcome !== null) {
        assert.ok(hasFailed && (outcome instanceof RequestError || fail === 'datapath'), String(outcome));
        assert.deepEqual([lab.snapshot(), appliedNames()], before, `after failure ${n}`);
      }
      lab = await lab.restart();
      assert.deepEqual(leftovers(), [], 'a restart removes what could not be removed');
      if (!hasFailed) return;
      await tearDown();
      await setUp();
    }
    throw new Error('the change never ends');
  }

  /** TAPs that nobody has open. */
  function leftovers(): string[] {
    const spaces = [lab.machine.host, ...lab.machine.namespaces.values()];
    const all = spaces.flatMap(({ interfaces }) => [...interfaces.values()]);
    return all.filter(({ alias, openFd }) => alias !== '' && openFd === null).map(({ ifname }) => ifname);
  }

  for (const [name, change] of CHANGES) {
    it(`${name}: leaves nothing behind, whichever call of the kernel fails`, () => failEach('kernel', change));

    it(`${name}: leaves nothing behind, whichever request to the datapath fails`, () => failEach('datapath', change));

    it(`${name}: is taken back when it cannot be saved`, async () => {
      const before = [lab.snapshot(), appliedNames()];
      lab.saveFailure = 'ENOSPC: no space left on device';
      await assert.rejects(change(lab), (error) => error instanceof RequestError && error.code === 'unavailable');
      lab.saveFailure = null;
      assert.deepEqual([lab.snapshot(), appliedNames()], before);
      lab = await lab.crash();
      assert.deepEqual(
        lab.controller.listEndpoints().map((view) => view.name),
        ['e', 'f', 'p'],
      );
      await change(lab);
      lab.check();
    });
  }

  it('is reported as what the kernel said', async () => {
    lab.kernel.failNext('createTap', 'EPERM');
    await assert.rejects(lab.controller.createEndpoint({ name: 'g', network: 'n', compartment: 'a' }), (error) => {
      assert.ok(error instanceof RequestError);
      assert.equal(error.code, 'kernel-refused');
      assert.match(error.message, /EPERM/);
      return true;
    });
  });

  it('takes several changes back when the save that would have acknowledged them fails', async () => {
    const before = lab.snapshot();
    lab.saveFailure = 'EIO';
    const results = await Promise.allSettled([
      lab.controller.createCompartment({ name: 'c' }),
      lab.controller.createEndpoint({ name: 'g', network: 'n', compartment: 'c' }),
      lab.controller.deleteEndpoint('e'),
    ]);
    lab.saveFailure = null;
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    );
    // The TAP of e was made anew, so only the order of listings may differ.
    assert.deepEqual(lab.snapshot(), before);
    await lab.controller.createCompartment({ name: 'c' });
  });
});
