/** A shared network that was deleted and created anew under its name, with something else that does not change while a network lives. */
import assert from 'node:assert/strict';
import { ROLE_UPLINK } from '../../src/datapath/program.js';
import { type Host, networkNames, OVERLAY, until, useTwoHosts } from '../support/cluster-lab.js';

/** Longer than any machine stands still: nobody is to be gone in between. */
const LEASE_SECONDS = 600;

describe('a shared network that was made anew while a host was away', function again() {
  this.timeout(120_000);
  let a: Host;
  let b: Host;
  useTwoHosts((made) => {
    ({ a, b } = made);
  }, LEASE_SECONDS);

  /** Deletes the network on a and creates it as this, while the daemon of b is not there. */
  async function makeAnew(request: object): Promise<void> {
    await b.lab.controller.close();
    await a.lab.controller.deleteNetwork('ov', false);
    await a.lab.controller.createNetwork({ ...OVERLAY, ...request });
    await a.lab.controller.createEndpoint({ name: 'web', network: 'ov' });
    b.lab = await b.lab.restart();
    await until('b is back', () => b.lab.controller.clusterView().state === 'joined');
  }

  for (const [what, request] of [
    ['an uplink', { uplink: 'host' }],
    ['another VNI', { overlay: { vni: 6000 } }],
    ['other subnets', { subnets: ['10.91.0.0/24'] }],
  ] as const) {
    it(`is on that host what it is on the others, when it has ${what} now and nothing was on it there`, async () => {
      await makeAnew(request);
      const view = ({ lab: { controller, datapath } }: Host) => {
        // There is none for a moment, while one takes the place of the other.
        const [network] = controller.listNetworks().filter(({ name }) => name === 'ov');
        const roles = [...datapath.program.networkRole].filter((role) => role === ROLE_UPLINK);
        return JSON.stringify([network?.subnets, network?.overlay?.vni, network?.uplink, roles]);
      };
      await until('b has the same', () => view(a) === view(b));
      assert.deepEqual(networkNames(b), ['ov']);
      await b.lab.controller.createCompartment({ name: 'db' });
      await b.lab.controller.createEndpoint({ name: 'db', network: 'ov', compartment: 'db' });
      assert.deepEqual(b.lab.controller.clusterView().missing, []);
      b.lab.check();
    });
  }

  it('is left alone where nothing of it has changed, whatever that host has of its own', async () => {
    const { controller } = b.lab;
    const uplink = { uplink: 'nic:nic', externalIp: ['192.0.2.99'] };
    const own = { ...OVERLAY, ...uplink, name: 'own', overlay: { vni: 6000 }, subnets: ['10.91.0.0/24'] };
    await controller.createNetwork(own);
    await controller.patchNetwork('own', { ageingSeconds: 60 });
    await b.lab.controller.close();
    b.lab = await b.lab.restart();
    await until('b is back', () => b.lab.controller.clusterView().state === 'joined');
    await b.lab.controller.createEndpoint({ name: 'app', network: 'own' });
    assert.deepEqual(b.lab.controller.clusterView().missing, []);
    assert.deepEqual(b.lab.controller.getNetwork('own').externalIp, ['192.0.2.99']);
  });
});
