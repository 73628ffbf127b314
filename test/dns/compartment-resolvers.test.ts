// Which resolv.conf compartments get: of the networks that they are on, only weft's own files, gone with the compartment.
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompartmentResolvers } from '../../src/control/dns/compartment-resolvers.js';
import { DesiredState } from '../../src/model/desired-state.js';
import { parseEndpointRequest } from '../../src/model/endpoint-request.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';

describe('dns/compartment-resolvers', () => {
  let directory: string;
  let state: DesiredState;
  let resolvers: CompartmentResolvers;
  const complaints: string[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), `weft-resolvers-${process.pid}-`));
    complaints.length = 0;
    state = new DesiredState('here', { networks: 16, ports: 64 });
    addNetwork('front', ['10.1.0.0/24', 'fd01::/64']);
    addNetwork('back', ['10.2.0.0/24']);
    addNetwork('quiet', ['10.3.0.0/24'], { dns: false });
    for (const name of ['web', 'db']) state.addCompartment({ name, netns: null, pid: null }, name);
    resolvers = new CompartmentResolvers(state, join(directory, 'netns'), (message) => void complaints.push(message));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  function addNetwork(name: string, subnets: string[], more: object = {}): void {
    const parsed = parseNetworkRequest({ name, type: 'nat', uplink: 'none', subnets, ...more });
    assert.ok(parsed.ok, JSON.stringify(parsed));
    state.addNetwork(parsed.value, name);
  }

  function attach(name: string, network: string, compartment: string, more: object = {}): void {
    const parsed = parseEndpointRequest({ name, network, ...more });
    assert.ok(parsed.ok, JSON.stringify(parsed));
    state.addEndpoint(parsed.value, name);
    state.attach(name, compartment, () => false);
    resolvers.update({ object: 'endpoint', name });
  }

  function detach(name: string): void {
    state.detach(name);
    resolvers.update({ object: 'endpoint', name });
  }

  const pathOf = (name: string) => join(directory, 'netns', name, 'resolv.conf');
  /** Without comments. */
  function linesOf(name: string): string[] | null {
    if (!existsSync(pathOf(name))) return null;
    return readFileSync(pathOf(name), 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
  }

  it('name the servers of the networks that a compartment is on, that of its first default route first', () => {
    attach('e', 'front', 'web');
    assert.deepEqual(linesOf('web'), ['nameserver 10.1.0.1', 'nameserver fd01::1', 'search front.weft']);
    attach('f', 'back', 'web');
    assert.deepEqual(linesOf('web')?.at(-1), 'search front.weft back.weft');
    detach('e');
    assert.deepEqual(linesOf('web'), ['nameserver 10.2.0.1', 'search back.weft']);
    detach('f');
    assert.deepEqual(readdirSync(join(directory, 'netns')), [], 'its directory goes too');
    assert.equal(linesOf('db'), null);
  });

  it('are left out where nobody serves', () => {
    attach('e', 'quiet', 'web');
    assert.equal(linesOf('web'), null);
  });

  it('name the servers of networks on which a compartment asks DHCP, behind the others', () => {
    attach('f', 'front', 'db', { configure: false });
    assert.deepEqual(linesOf('db'), ['nameserver 10.1.0.1', 'nameserver fd01::1', 'search front.weft']);
    attach('g', 'back', 'db');
    const both = ['nameserver 10.2.0.1', 'nameserver 10.1.0.1', 'nameserver fd01::1', 'search back.weft front.weft'];
    assert.deepEqual(linesOf('db'), both);
  });

  it('are left to a DHCP client that writes its own there, and go with the compartment', () => {
    attach('f', 'front', 'db', { configure: false });
    writeFileSync(pathOf('db'), 'nameserver 10.1.0.1\n');
    attach('g', 'back', 'db');
    assert.deepEqual(linesOf('db'), ['nameserver 10.1.0.1']);
    for (const name of ['f', 'g']) detach(name);
    assert.deepEqual(linesOf('db'), ['nameserver 10.1.0.1']);
    state.removeCompartment('db');
    resolvers.update({ object: 'compartment', name: 'db' });
    assert.deepEqual(readdirSync(join(directory, 'netns')), []);
  });

  it('follow the settings of the network', () => {
    attach('e', 'front', 'web');
    const { spec } = state.network('front');
    state.changeNetwork('front', { ...spec, dns: { ...spec.dns!, domain: 'lab.test' } });
    resolvers.update({ object: 'network', name: 'front' });
    assert.equal(linesOf('web')?.at(-1), 'search lab.test');
    state.changeNetwork('front', { ...spec, dns: { ...spec.dns!, enabled: false } });
    resolvers.update({ object: 'network', name: 'front' });
    assert.equal(linesOf('web'), null);
  });

  it('can be read by everybody, and are changed in place for those who see them elsewhere', () => {
    const umask = process.umask(0o077);
    try {
      attach('e', 'front', 'web');
    } finally {
      process.umask(umask);
    }
    const before = statSync(pathOf('web'));
    assert.equal(before.mode & 0o777, 0o644);
    assert.equal(statSync(join(directory, 'netns', 'web')).mode & 0o777, 0o755);
    attach('f', 'back', 'web');
    assert.equal(statSync(pathOf('web')).ino, before.ino);
  });

  it('are never written over what somebody else has written, nor removed with it', () => {
    mkdirSync(join(directory, 'netns', 'web'), { recursive: true });
    writeFileSync(pathOf('web'), 'nameserver 192.0.2.1\n');
    mkdirSync(join(directory, 'netns', 'db'));
    attach('e', 'front', 'web');
    attach('f', 'front', 'db');
    assert.deepEqual(linesOf('web'), ['nameserver 192.0.2.1']);
    assert.equal(linesOf('db')?.length, 3);
    for (const name of ['e', 'f']) detach(name);
    assert.deepEqual(linesOf('web'), ['nameserver 192.0.2.1']);
    assert.deepEqual(readdirSync(join(directory, 'netns')).sort(), ['db', 'web'], 'their directories stay');
  });

  it('of compartments that are gone go when the daemon starts, those of other instances stay', () => {
    attach('e', 'front', 'web');
    const other = new CompartmentResolvers(
      new DesiredState('elsewhere', { networks: 1, ports: 1 }),
      join(directory, 'netns'),
      assert.fail,
    );
    other.refreshAll();
    assert.ok(existsSync(pathOf('web')));
    const later = new DesiredState('here', { networks: 1, ports: 1 });
    new CompartmentResolvers(later, join(directory, 'netns'), assert.fail).refreshAll();
    assert.ok(!existsSync(pathOf('web')));
  });

  it('that cannot be written are complained about once, and nothing else fails', () => {
    writeFileSync(join(directory, 'netns'), 'not a directory');
    attach('e', 'front', 'web');
    attach('f', 'front', 'db');
    assert.equal(complaints.length, 1);
    assert.match(complaints[0]!, /netns\/web\/resolv.conf could not be written/);
  });
});
