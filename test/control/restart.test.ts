/** The daemon ends, orderly or not, and the next one finds what it finds. */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StartupError } from '../../src/control/state/store.js';
import { STATE_VERSION } from '../../src/model/state-migrations.js';
import { ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';
import { FakeMachine } from '../support/fake-machine.js';

describe('a restart', () => {
  let lab: ControlLab;
  let directory: string;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    ({ directory, remove } = made);
    lab = await startLab(directory);
    const { controller, machine } = lab;
    machine.addNamespace('/run/netns/foreign');
    machine.addNamespace('/proc/77/ns/net');
    await controller.createNetwork({ name: 'lan', type: 'internal', subnets: ['10.0.0.0/24', 'fd00::/64'] });
    await controller.createNetwork({ name: 'back', type: 'private', subnets: ['10.1.0.0/24'] });
    await controller.createCompartment({ name: 'own' });
    await controller.createCompartment({ name: 'path', netns: '/run/netns/foreign' });
    await controller.createCompartment({ name: 'process', pid: 77 });
    await controller.createEndpoint({ name: 'own-lan', network: 'lan', compartment: 'own' });
    await controller.createEndpoint({ name: 'own-back', network: 'back', compartment: 'own' });
    await controller.createEndpoint({ name: 'path-lan', network: 'lan', compartment: 'path' });
    await controller.createEndpoint({ name: 'process-lan', network: 'lan', compartment: 'process' });
    await controller.createEndpoint({ name: 'loose', network: 'back' });
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  const view = () => ({
    networks: lab.controller.listNetworks(),
    compartments: lab.controller.listCompartments(),
    endpoints: lab.controller.listEndpoints().map(({ port: _, ...rest }) => rest),
  });
  const tapIn = (path: string, ifname: string) => lab.machine.namespaces.get(path)?.interfaces.get(ifname);
  /** Of the daemon that runs now. */
  const messages = (type: string) =>
    lab.controller.eventsSince(lab.formerEvents).filter((event) => event.type === type);

  it('finds every TAP again and changes nothing', async () => {
    const before = view();
    const devices = lab.machine.all().flatMap(({ interfaces }) => [...interfaces.values()].map(({ index }) => index));
    lab = await lab.restart();
    assert.deepEqual(view(), before);
    const after = lab.machine.all().flatMap(({ interfaces }) => [...interfaces.values()].map(({ index }) => index));
    assert.deepEqual(after, devices, 'the same devices, not new ones');
    assert.deepEqual(lab.controller.status().warnings, []);
    assert.equal(lab.datapath.publishCount, 1, 'one program for all');
    assert.equal(lab.kernel.calls.filter((call) => /createTap|createNamespace/.test(call)).length, 0);
  });

  it('comes back after kill -9 with what was acknowledged', async () => {
    const before = view();
    lab = await lab.crash();
    assert.deepEqual(view(), before);
    await lab.controller.deleteEndpoint('own-lan');
    lab = await lab.crash();
    assert.deepEqual(
      lab.controller.listEndpoints().map(({ name }) => name),
      ['loose', 'own-back', 'path-lan', 'process-lan'],
    );
    assert.equal(lab.controller.getNetwork('lan').addresses.used, 2 * 2 + 2);
  });

  it('removes what a crash left half way, and nothing else', async () => {
    const { machine } = lab;
    const own = machine.namespaces.get('/run/netns/own')!;
    const prefix = `weft:${lab.controller.status().instance}:`;
    machine.addInterface(own, 'stranger').alias = 'weft:11111111-2222-3333-4444-555555555555:other';
    machine.addInterface(machine.host, 'weft-lost').alias = `${prefix}host.lost`;
    machine.addInterface(own, 'eth7').alias = `${prefix}lost.9`;
    machine.addNamespace('/run/netns/half');
    machine.markers.add('half');
    machine.addNamespace('/run/netns/not-ours');
    lab = await lab.crash();
    assert.equal(machine.namespaces.has('/run/netns/half'), false);
    assert.equal(machine.namespaces.has('/run/netns/not-ours'), true);
    assert.deepEqual([...own.interfaces.keys()].sort(), ['eth0', 'eth1', 'stranger']);
    assert.deepEqual([...machine.host.interfaces.keys()], ['weft-lan']);
  });

  it('finds a TAP where another program has moved it', async () => {
    const { machine } = lab;
    const own = machine.namespaces.get('/run/netns/own')!;
    const foreign = machine.namespaces.get('/run/netns/foreign')!;
    const tap = own.interfaces.get('eth0')!;
    own.interfaces.delete('eth0');
    tap.ifname = 'container0';
    foreign.interfaces.set('container0', tap);
    lab = await lab.crash();
    assert.equal(lab.controller.getEndpoint('own-lan').state, 'attached');
    assert.equal(foreign.interfaces.get('container0')?.openFd !== null, true);
    assert.equal(own.interfaces.has('eth0'), false, 'no second one is made');
  });

  it('makes its own compartments anew after a reboot, and tells which adopted ones are gone', async () => {
    lab.machine.reboot();
    lab.machine.addNamespace('/run/netns/foreign');
    lab.machine.addNamespace('/proc/77/ns/net');
    lab = await lab.crash();
    assert.equal(lab.controller.getCompartment('own').state, 'ready');
    assert.deepEqual(tapIn('/run/netns/own', 'eth0')?.addresses, ['10.0.0.2/24', 'fd00::2/64']);
    assert.equal(tapIn('/run/netns/own', 'eth0')?.routes[0]?.metric, 100);
    assert.equal(lab.controller.getEndpoint('path-lan').state, 'attached', 'a path may name a new namespace');
    assert.equal(lab.controller.getCompartment('process').state, 'gone', 'process 77 is another one now');
    const lost = lab.controller.getEndpoint('process-lan');
    assert.deepEqual([lost.state, lost.compartment, lost.ip], ['detached', null, ['10.0.0.4', 'fd00::4']]);
    assert.equal(messages('endpoint-detached').length, 1);
    assert.equal(lab.controller.status().warnings.length, 1);
    const next = await lab.crash();
    lab = next;
    assert.equal(lab.controller.getEndpoint('process-lan').state, 'detached');
  });

  it('does not take over a namespace that somebody else made under the name of its own', async () => {
    const { machine } = lab;
    machine.reboot();
    machine.addNamespace('/run/netns/own');
    lab = await lab.crash();
    assert.equal(lab.controller.getCompartment('own').state, 'gone');
    assert.equal(machine.namespaces.get('/run/netns/own')?.interfaces.size, 0);
    await lab.controller.deleteCompartment('own', false);
    assert.ok(machine.namespaces.has('/run/netns/own'), 'and leaves it alone when it is deleted');
  });

  it('is not stopped by one broken object', async () => {
    const { machine } = lab;
    const foreign = machine.namespaces.get('/run/netns/foreign')!;
    foreign.interfaces.clear();
    lab.kernel.die();
    await lab.store.close();
    lab = new ControlLab(machine, directory);
    lab.kernel.failNext('createTap', 'ENOMEM');
    await lab.start();
    const broken = lab.controller.getEndpoint('path-lan');
    assert.deepEqual([broken.state, broken.port], ['degraded', null]);
    assert.match(broken.reason ?? '', /ENOMEM/);
    assert.match(lab.controller.status().warnings.join(), /path-lan/);
    assert.equal(messages('endpoint-degraded').length, 1);
    assert.equal(lab.controller.getEndpoint('own-lan').state, 'attached');
    const repaired = await lab.controller.attachEndpoint('path-lan', 'path');
    assert.deepEqual([repaired.state, repaired.reason], ['attached', null]);
  });

  it('refuses a state directory that another daemon has', async () => {
    const second = startLab(directory, new FakeMachine());
    await assert.rejects(
      second,
      (error) => error instanceof StartupError && /in use by .* process id/.test(error.message),
    );
  });

  it('sets a damaged state file aside, says so, and keeps the identity of the instance', async () => {
    const file = join(directory, 'state.json');
    const { instance } = lab.controller.status();
    lab.kernel.die();
    await lab.store.close();
    const damaged = (await readFile(file, 'utf8')).slice(0, -20);
    await writeFile(file, damaged);
    lab = await startLab(directory, lab.machine);
    const { warnings, endpoints } = lab.controller.status();
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /damaged .* kept as .*state\.json\.corrupt-/);
    assert.equal(messages('warning').length, 1);
    assert.equal(endpoints.total, 0);
    assert.equal(lab.controller.status().instance, instance);
    const aside = (await readdir(directory)).find((name) => name.includes('corrupt'));
    assert.equal(await readFile(join(directory, aside!), 'utf8'), damaged);
    assert.deepEqual([...lab.machine.host.interfaces.keys()], [], 'TAPs of the same instance are its own to remove');
  });

  it('leaves out one damaged object and keeps a copy of the file', async () => {
    const file = join(directory, 'state.json');
    lab.kernel.die();
    await lab.store.close();
    await writeFile(file, (await readFile(file, 'utf8')).replace('"10.0.0.3"', '"10.0.0.2"'));
    lab = await startLab(directory, lab.machine);
    assert.deepEqual(
      lab.controller.listEndpoints().map(({ name }) => name),
      ['loose', 'own-back', 'own-lan', 'process-lan'],
    );
    assert.match(lab.controller.status().warnings.join(), /endpoint path-lan was left out/);
    assert.ok((await readdir(directory)).some((name) => name.includes('corrupt')));
  });

  it('does not touch a state file of a newer weft', async () => {
    const file = join(directory, 'state.json');
    await lab.close();
    const newer = (await readFile(file, 'utf8')).replace(`"weft":${STATE_VERSION}`, `"weft":${STATE_VERSION + 1}`);
    await writeFile(file, newer);
    await assert.rejects(
      startLab(directory),
      (error) => error instanceof StartupError && /newer weft/.test(error.message),
    );
    assert.equal(await readFile(file, 'utf8'), newer);
    await writeFile(file, newer.replace(`"weft":${STATE_VERSION + 1}`, `"weft":${STATE_VERSION}`));
    lab = await startLab(directory, lab.machine);
  });

  it('tells of captures that were cut off', async () => {
    await lab.controller.startCapture({ name: 'cut', network: 'lan', file: '/tmp/cut.pcapng' });
    lab = await lab.crash();
    assert.match(messages('capture-ended')[0]?.message ?? '', /cut .*\/tmp\/cut\.pcapng/);
    lab = await lab.restart();
    assert.equal(messages('capture-ended').length, 0);
  });

  it('gives the next address after the last one, not one that was just freed', async () => {
    await lab.controller.deleteEndpoint('process-lan');
    lab = await lab.crash();
    const next = await lab.controller.createEndpoint({ name: 'new', network: 'lan' });
    assert.deepEqual(next.ip, ['10.0.0.5', 'fd00::5']);
  });
});
