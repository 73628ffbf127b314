/** Lab files: plan, apply, apply again, apply another one, export. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabFile } from '../../src/control/controller/lab-objects.js';
import { networkDifference } from '../../src/control/lab/lab-difference.js';
import type { NetworkSpec } from '../../src/model/network.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import { RequestError } from '../../src/model/problems.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

const LAB: LabFile = {
  weft: 1,
  networks: {
    front: { type: 'internal', subnets: ['10.80.0.0/24'] },
    back: { type: 'private', subnets: ['10.81.0.0/24', 'fd00:81::/64'] },
  },
  compartments: { web: null, db: {} },
  endpoints: {
    'web-front': { network: 'front', compartment: 'web', ip: '10.80.0.10' },
    'web-back': { network: 'back', compartment: 'web', ifname: 'eth1' },
    'db-back': { network: 'back', compartment: 'db' },
  },
  captures: { 'back-wire': { network: 'back', file: '/tmp/back.pcapng' } },
};

describe('apply', () => {
  let lab: ControlLab;
  let directory: string;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    ({ directory, remove } = made);
    lab = await startLab(directory);
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  const apply = (file: LabFile) => lab.controller.apply(file, false);
  const summary = async (file: LabFile) =>
    (await apply(file)).steps.map(({ action, object, name }) => `${action} ${object} ${name}`);
  /** A copy of the file with something changed. */
  const changed = (change: (file: Required<LabFile>) => void): LabFile => {
    const copy = structuredClone(LAB) as Required<LabFile>;
    change(copy);
    return copy;
  };

  it('makes what the file names, in an order that works', async () => {
    assert.deepEqual(await summary(LAB), [
      'create network front',
      'create network back',
      'create compartment web',
      'create compartment db',
      'create endpoint web-front',
      'create endpoint web-back',
      'create endpoint db-back',
      'create capture back-wire',
    ]);
    const views = lab.controller.listEndpoints();
    assert.deepEqual(
      views.map(({ name, state, ifname, ip }) => [name, state, ifname, ip]),
      [
        ['db-back', 'attached', 'eth0', ['10.81.0.2', 'fd00:81::2']],
        ['web-back', 'attached', 'eth1', ['10.81.0.1', 'fd00:81::1']],
        ['web-front', 'attached', 'eth0', ['10.80.0.10']],
      ],
    );
  });

  it('changes nothing the second time, also after a restart', async () => {
    await apply(LAB);
    const before = lab.snapshot();
    assert.deepEqual(await apply(LAB), { dryRun: false, changed: false, steps: [] });
    assert.deepEqual(lab.snapshot(), before);
    lab = await lab.crash();
    assert.deepEqual(await summary(LAB), []);
  });

  it('only tells what it would do in a dry run', async () => {
    const before = lab.snapshot();
    const result = await lab.controller.apply(LAB, true);
    assert.deepEqual([result.dryRun, result.changed, result.steps.length], [true, true, 8]);
    assert.deepEqual(lab.snapshot(), before);
    assert.equal(lab.saveCount, 2, 'nothing but the start was saved');
  });

  it('removes what it made and the file does not name any more, and nothing else', async () => {
    const { controller } = lab;
    await apply(LAB);
    await controller.createCompartment({ name: 'hand' });
    await controller.createEndpoint({ name: 'hand-back', network: 'back', compartment: 'hand' });
    const smaller = changed((file) => {
      delete file.networks.front;
      delete file.compartments.db;
      delete file.endpoints['web-front'];
      delete file.endpoints['db-back'];
      file.captures = {};
    });
    assert.deepEqual(await summary(smaller), [
      'delete capture back-wire',
      'delete network front',
      'delete compartment db',
      'delete endpoint web-front',
      'delete endpoint db-back',
    ]);
    assert.deepEqual(
      controller.listEndpoints().map(({ name }) => name),
      ['hand-back', 'web-back'],
    );
    assert.deepEqual([...lab.machine.namespaces.keys()].sort(), ['/run/netns/hand', '/run/netns/web']);
    assert.deepEqual(controller.listCaptures(), []);
    const without = changed((file) => {
      file.networks = {};
      file.endpoints = {};
    });
    await assert.rejects(apply(without), (error) => error instanceof RequestError && /hand-back/.test(error.message));
  });

  it('takes over what was made by hand', async () => {
    const { controller } = lab;
    await controller.createNetwork({ name: 'back', type: 'private', subnets: ['10.81.0.0/24', 'fd00:81::/64'] });
    await controller.createCompartment({ name: 'db' });
    const before = await controller.createEndpoint({ name: 'db-back', network: 'back', compartment: 'db' });
    const steps = await summary(LAB);
    assert.ok(!steps.some((step) => /network back|compartment db|db-back/.test(step)), String(steps));
    assert.deepEqual(controller.getEndpoint('db-back').ip, before.ip);
    await apply({ weft: 1 });
    assert.deepEqual(
      [controller.listEndpoints(), controller.listNetworks(), controller.listCompartments()],
      [[], [], []],
    );
  });

  it('changes in place what can change in place', async () => {
    await apply(LAB);
    const devices = () =>
      lab.machine.all().flatMap(({ interfaces }) => [...interfaces.values()].map(({ index }) => index));
    const before = devices();
    const { steps } = await apply(
      changed((file) => {
        file.networks.back!.mtu = 9000;
        file.endpoints['db-back']!.isolated = true;
        file.endpoints['web-back']!.vlan = { mode: 'trunk', native: null, allowed: [10, 20] };
      }),
    );
    assert.deepEqual(
      steps.map(({ action, name, detail }) => `${action} ${name}: ${detail}`),
      [
        'update back: mtu 1500 -> 9000',
        'update web-back: vlan none -> {"mode":"trunk","native":null,"allowed":[10,20]}',
        'update db-back: isolated false -> true',
      ],
    );
    assert.deepEqual(devices(), before);
  });

  it('moves endpoints between compartments and detaches them', async () => {
    await apply(LAB);
    const before = lab.controller.getEndpoint('db-back');
    const moved = changed((file) => {
      file.endpoints['db-back']!.compartment = 'web';
      delete file.endpoints['web-front']!.compartment;
    });
    assert.deepEqual(await summary(moved), ['update endpoint web-front', 'update endpoint db-back']);
    const after = lab.controller.getEndpoint('db-back');
    assert.deepEqual([after.compartment, after.ip, after.mac], ['web', before.ip, before.mac]);
    assert.equal(lab.controller.getEndpoint('web-front').state, 'detached');
  });

  it('replaces what cannot change, and keeps what the file leaves open', async () => {
    await apply(LAB);
    const before = lab.controller.getEndpoint('db-back');
    const next = changed((file) => {
      file.endpoints['db-back']!.ip = '10.81.0.77';
    });
    assert.deepEqual(await summary(next), ['replace endpoint db-back']);
    const after = lab.controller.getEndpoint('db-back');
    assert.deepEqual([after.mac, after.ip, after.ifname], [before.mac, ['10.81.0.77', 'fd00:81::2'], 'eth0']);
  });

  it('says of a host vNIC that was asked for without an address that there is to be one', () => {
    const network = (hostVnic: boolean): NetworkSpec => {
      const tunnel = { vni: 7, hostVnic };
      const parsed = parseNetworkRequest({ name: 'ov', type: 'overlay', subnets: ['10.7.0.0/24'], overlay: tunnel });
      assert.ok(parsed.ok);
      return parsed.value;
    };
    const detail = 'overlay.hostVnic none -> any address';
    assert.deepEqual(networkDifference(network(false), network(true)), { kind: 'replace', detail });
  });

  it('replaces a network with everything that is on it', async () => {
    await apply(LAB);
    const before = lab.controller.getEndpoint('db-back');
    const next = changed((file) => {
      file.networks.back!.subnets = ['10.82.0.0/24', 'fd00:81::/64'];
    });
    assert.deepEqual(await summary(next), [
      'replace network back',
      'replace endpoint web-back',
      'replace endpoint db-back',
    ]);
    const after = lab.controller.getEndpoint('db-back');
    assert.deepEqual([after.mac, after.ip], [before.mac, ['10.82.0.2', 'fd00:81::2']]);
    assert.deepEqual(await summary(next), []);
  });

  it('lets nobody adopt a namespace that goes with its compartment', async () => {
    await apply(LAB);
    const before = lab.snapshot();
    for (const name of ['db', 'other']) {
      const next = changed((file) => {
        delete file.compartments.db;
        file.compartments[name] = { netns: '/run/netns/db' };
        file.endpoints['db-back']!.compartment = name;
      });
      await assert.rejects(
        apply(next),
        /cannot adopt \/run\/netns\/db: weft made it, and removes it with compartment db/,
      );
    }
    assert.deepEqual(lab.snapshot(), before);
  });

  it('brings a compartment back whose namespace is gone', async () => {
    await apply(LAB);
    lab.machine.endNamespace('/run/netns/db');
    await lab.controller.createCompartment({ name: 'wait' });
    assert.equal(lab.controller.getCompartment('db').state, 'gone');
    assert.deepEqual(await summary(LAB), ['replace compartment db', 'update endpoint db-back']);
    assert.equal(lab.controller.getEndpoint('db-back').state, 'attached');
    assert.deepEqual(await summary(LAB), []);
  });

  it('lets objects swap addresses', async () => {
    const file = (a: string, b: string): LabFile => ({
      weft: 1,
      networks: { n: { type: 'private', subnets: ['10.0.0.0/24'] } },
      compartments: { c: {} },
      endpoints: { a: { network: 'n', compartment: 'c', ip: a }, b: { network: 'n', compartment: 'c', ip: b } },
    });
    await apply(file('10.0.0.5', '10.0.0.6'));
    await apply(file('10.0.0.6', '10.0.0.5'));
    assert.deepEqual(
      lab.controller.listEndpoints().flatMap(({ ip }) => ip),
      ['10.0.0.6', '10.0.0.5'],
    );
  });

  it('gives nobody an address or interface name that the file gives to somebody else', async () => {
    await apply({
      weft: 1,
      networks: { n: { type: 'private', subnets: ['10.0.0.0/24'] } },
      compartments: { c: {} },
      endpoints: {
        automatic: { network: 'n', compartment: 'c' },
        named: { network: 'n', compartment: 'c', ip: '10.0.0.1', ifname: 'eth0' },
      },
    });
    const [automatic, named] = lab.controller.listEndpoints();
    assert.deepEqual([automatic?.ip, automatic?.ifname], [['10.0.0.2'], 'eth1']);
    assert.deepEqual([named?.ip, named?.ifname], [['10.0.0.1'], 'eth0']);
    const next = await lab.controller.createEndpoint({ name: 'next', network: 'n' });
    assert.deepEqual(next.ip, ['10.0.0.3']);
  });

  it('finds every fault of a file before anything happens', async () => {
    const before = lab.snapshot();
    const bad = {
      weft: 1,
      networks: { lan: { type: 'private', subnets: ['10.0.0.1/24'], mtu: 3 }, '-': { type: 'bridge' } },
      compartments: { c: { netns: 'relative', pid: 5 } },
      endpoints: { e: { network: 'lan', colour: 'red' } },
      captures: { x: { file: 'relative' } },
    } as unknown as LabFile;
    await assert.rejects(apply(bad), (error) => {
      assert.ok(error instanceof RequestError);
      assert.equal(error.code, 'invalid-request');
      assert.deepEqual(
        error.problems.map(({ path }) => path),
        [
          'networks.lan.subnets[0]',
          'networks.lan.mtu',
          'networks.-.name',
          'networks.-.type',
          'compartments.c.netns',
          'compartments.c.pid',
          'endpoints.e.colour',
          'captures.x.file',
        ],
      );
      return true;
    });
    const clash = {
      weft: 1 as const,
      networks: { n: { type: 'private' as const, subnets: ['10.0.0.0/24'] } },
      endpoints: {
        a: { network: 'n', ip: '10.0.0.5' },
        b: { network: 'n', ip: '10.0.0.5' },
        d: { network: 'nowhere' },
        f: { network: 'n', compartment: 'nowhere' },
      },
    };
    await assert.rejects(apply(clash), (error) => {
      assert.ok(error instanceof RequestError);
      assert.deepEqual(
        error.problems.map(({ path }) => path),
        ['endpoints.b', 'endpoints.d', 'endpoints.f'],
      );
      return true;
    });
    assert.deepEqual(lab.snapshot(), before);
  });

  it('takes the captures of the file up again with the next daemon, and keeps what they wrote', async () => {
    const file = join(directory, 'wire.pcapng');
    await apply(
      changed(({ captures }) => {
        captures['back-wire']!.file = file;
      }),
    );
    await lab.controller.startCapture({ name: 'other', all: true, file: '/tmp/other.pcapng' });
    await writeFile(file, 'first');
    lab = await lab.crash();
    assert.deepEqual(
      lab.controller.listCaptures().map(({ name }) => name),
      ['back-wire'],
    );
    assert.equal(await readFile(join(directory, 'wire.1.pcapng'), 'utf8'), 'first');
    const told = lab.controller.eventsSince(lab.formerEvents).filter(({ object }) => object === 'capture');
    assert.deepEqual(told.map(({ type, name }) => `${type} ${name}`).sort(), [
      'capture-ended other',
      'capture-started back-wire',
    ]);
    await lab.controller.stopCapture('back-wire');
    lab = await lab.crash();
    assert.deepEqual(lab.controller.listCaptures(), []);
  });

  it('exports what it can apply again without a change', async () => {
    const { controller } = lab;
    await apply(LAB);
    await controller.createNetwork({
      name: 'odd',
      type: 'internal',
      subnets: ['10.9.0.0/24'],
      gateway: '10.9.0.254',
      pools: ['10.9.0.16-10.9.0.31'],
      reserved: ['10.9.0.20'],
      mtu: 1400,
      storm: { broadcast: 100 },
    });
    await controller.createEndpoint({ name: 'loose', network: 'odd', defaultRoute: false, offload: false });
    const exported = controller.exportLab();
    assert.deepEqual(exported.networks?.front, { type: 'internal', subnets: ['10.80.0.0/24'] });
    assert.deepEqual(exported.compartments, { web: {}, db: {} });
    assert.deepEqual(await summary(exported), []);
    const made = await makeStateDirectory();
    const other = await startLab(made.directory);
    try {
      await other.controller.apply(structuredClone(exported), false);
      assert.deepEqual(other.controller.exportLab(), exported);
      other.check();
    } finally {
      await other.close();
      await made.remove();
    }
  });
});
