/** What the controller does around captures: of deleted objects, of lab files, with filters that take long. */
import assert from 'node:assert/strict';
import type { LabFile } from '../../src/control/controller/lab-objects.js';
import { RequestError } from '../../src/model/problems.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

describe('controller: captures', () => {
  let lab: ControlLab;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
    const { controller } = lab;
    await controller.createNetwork({ name: 'n', type: 'private' });
    await controller.createCompartment({ name: 'c' });
    await controller.createEndpoint({ name: 'e', network: 'n', compartment: 'c' });
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  function waiting(): string[] {
    return lab.controller
      .eventsSince(0)
      .filter(({ type }) => type === 'capture-waiting')
      .map(({ name, message }) => `${name}: ${message}`);
  }

  it('tells of captures whose endpoint or network is deleted, and lets them go on', async () => {
    const { controller } = lab;
    await controller.startCapture({ name: 'of-e', endpoint: 'e', file: '/tmp/e' });
    await controller.startCapture({ name: 'of-n', network: 'n', file: '/tmp/n' });
    await controller.startCapture({ name: 'of-all', file: '/tmp/all' });
    await controller.deleteEndpoint('e');
    await controller.deleteNetwork('n', false);
    assert.deepEqual(waiting(), [
      'of-e: capture of-e waits: endpoint e was deleted; it goes on when there is one of that name again',
      'of-n: capture of-n waits: network n was deleted; it goes on when there is one of that name again',
    ]);
    assert.deepEqual(
      controller.listCaptures().map(({ state }) => state),
      ['running', 'running', 'running'],
    );
  });

  const file = (captures: LabFile['captures']): LabFile => ({
    weft: 1,
    networks: { n: { type: 'private' } },
    compartments: { c: {} },
    endpoints: { e: { network: 'n', compartment: 'c' } },
    ...(captures === undefined ? {} : { captures }),
  });

  it('lets other requests pass while a lab file waits for the host names of a filter', async () => {
    const { controller } = lab;
    let found = () => {};
    lab.captures.filterDelay = new Promise((resolve) => {
      found = resolve;
    });
    let isApplied = false;
    const applying = controller.apply(file({ x: { file: '/tmp/x', filter: 'host slow.example' } }), false);
    void applying.then(() => {
      isApplied = true;
    });
    await controller.createCompartment({ name: 'meanwhile' });
    assert.equal(isApplied, false);
    found();
    await applying;
    assert.deepEqual(
      controller.listCaptures().map(({ name }) => name),
      ['x'],
    );
  });

  it('refuses a lab file with a wrong filter before anything of it is done, a dry run too', async () => {
    const { controller } = lab;
    const problem = 'wrong at column 5';
    for (const dryRun of [true, false]) {
      const failing = Promise.reject(new RequestError('invalid-request', problem, 'see pcap-filter(7)'));
      failing.catch(() => {});
      lab.captures.filterDelay = failing;
      const wanted = {
        ...file({ x: { file: '/tmp/x', filter: 'tcp prot 80' } }),
        networks: { other: { type: 'private' } },
      };
      await assert.rejects(controller.apply(wanted as LabFile, dryRun), (error: unknown) => {
        assert.ok(error instanceof RequestError);
        assert.equal(error.message, `captures.x.filter: ${problem}`);
        assert.deepEqual(error.problems, [{ path: 'captures.x.filter', code: 'bad-filter', message: problem }]);
        return true;
      });
      assert.deepEqual(
        controller.listNetworks().map(({ name }) => name),
        ['n'],
      );
    }
  });

  it('keeps rotation in lab files: it is exported, compared and started', async () => {
    const { controller } = lab;
    const rotating = { network: 'n', file: '/tmp/x', rotateSize: 1_000_000, rotateFiles: 3 };
    await controller.apply(file({ x: rotating }), false);
    const { captures } = controller.exportLab();
    assert.deepEqual(captures?.x, { ...rotating, format: 'pcapng', snaplen: 262144, drops: false });
    assert.equal((await controller.apply(file({ x: rotating }), false)).changed, false);
    const { steps } = await controller.apply(file({ x: { ...rotating, rotateFiles: 4 } }), true);
    assert.deepEqual(
      steps.map(({ action, name, detail }) => [action, name, detail]),
      [['replace', 'x', 'rotateFiles 3 -> 4']],
    );
  });
});
