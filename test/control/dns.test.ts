/** The DNS servers of networks as parts of the lab: they come, change and go with their networks, and come back. */
import assert from 'node:assert/strict';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';
import type { FakeInterface } from '../support/fake-machine.js';

const NETWORK = { name: 'front', type: 'nat' as const, uplink: 'none', subnets: ['10.1.0.0/24', 'fd01::/64'] };
const EBADFD = 77;

describe('DNS servers', () => {
  let lab: ControlLab;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
  });
  afterEach(async () => {
    await lab.close();
    await remove();
  });

  /** TAPs of services, by name. */
  function taps(): FakeInterface[] {
    return [...lab.machine.nameless.values()].flatMap(({ interfaces }) => [...interfaces.values()]);
  }

  function servicePort(): number {
    return Math.max(-1, ...lab.datapath.program.networkServicePort);
  }

  /** Lets the queue do what came from outside. */
  async function settle(): Promise<void> {
    await lab.controller.createCompartment({ name: 'sentinel' });
    await lab.controller.deleteCompartment('sentinel', false);
  }

  it('come with a nat network: a TAP with the addresses and the MAC of the gateway, in a namespace of its own', async () => {
    await lab.controller.createNetwork(NETWORK);
    const [tap, ...others] = taps();
    assert.deepEqual(others, []);
    assert.deepEqual([tap?.addresses, tap?.routes, tap?.mtu], [['10.1.0.1/24', 'fd01::1/64'], [], 1500]);
    const { gatewayMacHigh, gatewayMacLow, portNetwork } = lab.datapath.program;
    const row = portNetwork[servicePort()]!;
    const mac = Number.parseInt(tap!.mac.replaceAll(':', ''), 16);
    assert.deepEqual([Math.floor(mac / 2 ** 32), mac | 0], [gatewayMacHigh[row], gatewayMacLow[row]]);
    lab.check();
    await lab.controller.deleteNetwork('front', false);
    assert.deepEqual([lab.machine.nameless.size, lab.kernel.openDescriptors], [0, ['host namespace']]);
  });

  it('go and come back with the setting, and follow the MTU', async () => {
    await lab.controller.createNetwork({ ...NETWORK, dns: false });
    assert.equal(servicePort(), -1);
    await lab.controller.patchNetwork('front', { dns: true });
    assert.ok(servicePort() >= 0);
    await lab.controller.patchNetwork('front', { mtu: 9000 });
    assert.equal(taps()[0]?.mtu, 9000);
    await lab.controller.patchNetwork('front', { dns: false });
    assert.deepEqual([servicePort(), taps()], [-1, []]);
    lab.check();
  });

  it('share the namespace, which goes with the last of them', async () => {
    await lab.controller.createNetwork(NETWORK);
    await lab.controller.createNetwork({ ...NETWORK, name: 'back', subnets: ['10.2.0.0/24'] });
    assert.deepEqual([lab.machine.nameless.size, taps().length], [1, 2]);
    await lab.controller.deleteNetwork('front', false);
    assert.deepEqual([lab.machine.nameless.size, taps().length], [1, 1]);
    await lab.controller.deleteNetwork('back', false);
    assert.equal(lab.machine.nameless.size, 0);
  });

  it('are made anew when their port fails', async () => {
    await lab.controller.createNetwork(NETWORK);
    const [before] = taps();
    lab.datapath.reportFault(servicePort(), EBADFD);
    await settle();
    assert.equal(taps().length, 1);
    assert.notEqual(taps()[0]?.index, before?.index);
    assert.ok(servicePort() >= 0);
    lab.check();
  });

  it('are there again after a restart and after a crash', async () => {
    await lab.controller.createNetwork(NETWORK);
    lab = await lab.restart();
    assert.ok(servicePort() >= 0);
    lab.check();
    lab = await lab.crash();
    assert.ok(servicePort() >= 0);
    assert.equal(taps().length, 1);
    lab.check();
  });

  it('that cannot be opened fail the creation of the network as a whole', async () => {
    const before = lab.snapshot();
    lab.kernel.failNext('makeServiceNamespace', 'ENFILE');
    await assert.rejects(lab.controller.createNetwork(NETWORK), /ENFILE/);
    assert.deepEqual(lab.snapshot(), before);
  });
});
