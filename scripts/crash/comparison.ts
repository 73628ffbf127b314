// Compares a daemon that has just come back with what its clients know and with what the kernel has. Every difference is an
// assertion that names the round and the object.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Daemon } from '../../test/support/system-daemon.js';
import { type Lab, readLinks } from '../../test/support/system-lab.js';
import type { Fact, StormClient, Whereabouts } from './storm-client.js';

interface ListedEndpoint {
  name: string;
  compartment: string | null;
  mac: string;
  ip: string[];
  ifname: string;
  state: string;
}

/** What a lab has besides what its clients make. */
export interface Bystanders {
  compartments: readonly string[];
  endpoints: readonly string[];
}

/** What the daemon lists is what was acknowledged, or what the request under way would have made. Settles the clients. */
export async function compareWithAcknowledged(
  daemon: Daemon,
  clients: readonly StormClient[],
  bystanders: Bystanders,
  round: number,
): Promise<void> {
  const places = new Map<string, Whereabouts>();
  for (const { name } of await daemon.call('GET', '/v1/compartments')) places.set(name, 'here');
  for (const { name, compartment } of (await daemon.call('GET', '/v1/endpoints')) as ListedEndpoint[]) {
    places.set(name, compartment ?? 'detached');
  }
  const strangers = new Set(places.keys());
  for (const name of [...bystanders.compartments, ...bystanders.endpoints]) {
    assert.ok(strangers.delete(name), `round ${round}: ${name}, which nobody touched, is gone`);
  }
  for (const client of clients) {
    for (const [name, fact] of [...client.compartments, [client.endpoint, client.fact] as const]) {
      const now = places.get(name) ?? 'absent';
      assert.ok(now === fact.known || now === fact.pending, `round ${round}: ${name} is ${now}, but ${told(fact)}`);
      strangers.delete(name);
    }
    client.settle(places);
  }
  assert.deepEqual([...strangers], [], `round ${round}: nobody asked for these`);
}

function told({ known, pending }: Fact): string {
  return pending === null ? `${known} was acknowledged` : `${known} was acknowledged, and ${pending} was asked for`;
}

/** What the daemon lists is what the kernel has: namespaces, interfaces, addresses, markers, files; and nothing more. */
export async function compareWithKernel(lab: Lab, daemon: Daemon, round: number): Promise<void> {
  const compartments: string[] = (await daemon.call('GET', '/v1/compartments')).map(({ name }: ListedEndpoint) => name);
  const endpoints: ListedEndpoint[] = await daemon.call('GET', '/v1/endpoints');
  const namespaces = readdirSync('/run/netns').filter((name) => name.startsWith(`${lab.prefix}-`));
  assert.deepEqual(namespaces.sort(), compartments.sort(), `round ${round}: namespaces`);
  const markers = join(daemon.runDir, 'owned');
  assert.deepEqual(existsSync(markers) ? readdirSync(markers).sort() : [], compartments, `round ${round}: markers`);
  for (const compartment of compartments) {
    const links = (await readLinks(join('/run/netns', compartment))).filter((link) => link.name !== 'lo');
    const wanted = endpoints.filter((endpoint) => endpoint.compartment === compartment);
    assert.deepEqual(
      links.map((link) => [link.name, link.mac, link.addresses.filter((text) => !text.startsWith('fe80')).map(bare)]),
      wanted.map((endpoint) => [endpoint.ifname, endpoint.mac, [...endpoint.ip].sort()]),
      `round ${round}: interfaces of ${compartment}`,
    );
    assert.deepEqual(
      wanted.filter(({ state }) => state !== 'attached'),
      [],
      `round ${round}: endpoints of ${compartment} that are not attached`,
    );
  }
  const { instance } = await daemon.call('GET', '/v1/status');
  const onHost = (await readLinks(null)).filter((link) => link.alias.startsWith(`weft:${instance}:`));
  assert.deepEqual(onHost, [], `round ${round}: nothing of a private network is on the host`);
  const remains = readdirSync(daemon.stateDir).filter((name) => name.endsWith('.new') || name.includes('corrupt'));
  assert.deepEqual(remains, [], `round ${round}: half-written or damaged files`);
  const addresses = endpoints.flatMap(({ ip }) => ip);
  assert.equal(new Set(addresses).size, addresses.length, `round ${round}: an address was given out twice`);
}

function bare(address: string): string {
  return address.replace(/\/\d+$/, '');
}
