/** Offloads that the kernel damages: tunnels do without them, and the operator hears of it once. */
import assert from 'node:assert/strict';
import type { NetworkRequest } from '../../src/control/controller/lab-objects.js';
import type { Offloads } from '../../src/control/overlay/offload-verdict.js';
import { VTEP, VTEP_INTS, VTEP_JOINS } from '../../src/datapath/program.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

const UNDERLAY = '/run/netns/underlay';
const WARNING = 'UDP_SEGMENT of this kernel is not used (the checksum is wrong): slower; use another kernel';

describe('offloads of overlay networks', function offloads() {
  this.timeout(120_000);
  let lab: ControlLab;
  let remove: () => Promise<void>;
  let asked: number;

  async function start(answer: Offloads): Promise<void> {
    const made = await makeStateDirectory();
    remove = made.remove;
    asked = 0;
    const testOffloads = async () => {
      asked += 1;
      return answer;
    };
    lab = await startLab(made.directory, undefined, { testOffloads });
    const nic = lab.machine.addInterface(lab.machine.addNamespace(UNDERLAY), 'nic');
    nic.addresses.push('192.0.2.1/24', '192.0.2.2/24');
  }
  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  const create = (name: string, vtep: string) => {
    const overlay = { vni: 5000, vtep, underlayNetns: UNDERLAY };
    return lab.controller.createNetwork({ name, type: 'overlay', overlay } as NetworkRequest);
  };
  const flagsOfVteps = () => {
    const { vteps } = lab.datapath.program;
    return [...vteps.keys()].filter((at) => at % VTEP_INTS === VTEP.flags).map((at) => vteps[at]! & VTEP_JOINS);
  };

  it('are not asked for before there is an overlay network, and used where they are right', async () => {
    await start({ joins: true, tunnelGso: true });
    await lab.controller.createNetwork({ name: 'plain', type: 'private' } as NetworkRequest);
    assert.equal(asked, 0);
    await create('blue', '192.0.2.1');
    assert.deepEqual([asked, flagsOfVteps(), lab.controller.status().warnings], [1, [VTEP_JOINS], []]);
  });

  it('are left alone where they are not, which the operator hears once', async () => {
    await start({ joins: false, tunnelGso: true, warnings: [WARNING] });
    await create('blue', '192.0.2.1');
    await create('green', '192.0.2.2');
    assert.deepEqual(flagsOfVteps(), [0, 0]);
    assert.deepEqual(lab.controller.status().warnings, [WARNING]);
    const told = lab.controller.eventsSince(lab.formerEvents).filter(({ type }) => type === 'warning');
    assert.deepEqual(
      told.map(({ message }) => message),
      [WARNING],
    );
    assert.equal(lab.log.filter(({ message }) => message === WARNING).length, 1);
  });
});
