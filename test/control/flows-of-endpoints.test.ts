// Flows end with the endpoint that they belong to, so that the next one with its address does not inherit them.
import { strict as assert } from 'node:assert';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';
import { FlowLab } from '../support/flow-lab.js';

describe('flows of endpoints', () => {
  let lab: ControlLab;
  let flows: FlowLab;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
    const { controller } = lab;
    const subnets = ['10.90.0.0/24', 'fd00:90::/64'];
    await controller.createNetwork({ name: 'front', type: 'nat', subnets, uplink: 'none' });
    await controller.createCompartment({ name: 'c' });
    const wish = { network: 'front', compartment: 'c' };
    await controller.createEndpoint({ ...wish, name: 'web', ip: ['10.90.0.10', 'fd00:90::10'] });
    await controller.createEndpoint({ ...wish, name: 'db', ip: ['10.90.0.11'], defaultRoute: false });
    flows = new FlowLab(lab);
    flows.adopt();
    const row = [...lab.datapath.program.networkRole].indexOf(1);
    for (const inside of ['10.90.0.10:5000', '10.90.0.10:5001', '[fd00:90::10]:5000', '10.90.0.11:5000']) {
      flows.open(row, { inside, remote: inside.startsWith('[') ? '[2001:db8::7]:443' : '203.0.113.9:443' });
    }
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  it('end when it is deleted, and no others do', async () => {
    await lab.controller.deleteEndpoint('web');
    assert.equal(flows.nat.flows.count, 1);
    assert.equal((await lab.controller.listFlows({ endpoint: 'db' })).length, 1);
  });

  it('go on when it is detached: it may come back', async () => {
    await lab.controller.detachEndpoint('web');
    assert.equal(flows.nat.flows.count, 4);
  });
});
