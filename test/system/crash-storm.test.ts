// "kill -9 of the daemon in the middle of create/delete storms: comes back with exactly what was acknowledged, no leaked TAP,
// namespace or address."
//
// Each client owns a compartment and an endpoint and creates and deletes them over and over. A request that was on its way when
// the daemon died may have happened or not; every other one must be visible exactly as it was acknowledged.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Prng } from '../../src/lib/prng.js';
import { readLinks, useLab } from '../support/system-lab.js';
import { waitFor } from '../support/system-process.js';

const ROUNDS = 15;
const CLIENTS = 8;
const SEED = Number(process.env.WEFT_TEST_SEED ?? 20251121);
const LONGEST_STORM_MS = 400;

/** What a client knows of one of its objects. `unsure`: a request about it was never answered. */
type Knowledge = 'absent' | 'present' | 'unsure';

describe('kill -9 in the middle of a storm of creations and deletions', function crashStorm() {
  this.timeout(180_000);
  const lab = useLab();
  const { daemon } = lab;
  const random = new Prng(SEED);
  const network = lab.name('storm');
  const subnet = lab.subnet();

  class Client {
    readonly compartment: string;
    readonly endpoint: string;
    readonly known: Record<'compartment' | 'endpoint', Knowledge> = { compartment: 'absent', endpoint: 'absent' };
    acknowledged = 0;

    constructor(number: number) {
      this.compartment = lab.name(`c${number}`);
      this.endpoint = lab.name(`e${number}`);
    }

    /** Sends requests, each after the answer to the one before, until the daemon dies. */
    async rage(): Promise<void> {
      for (;;) {
        const { compartment, endpoint } = this.known;
        if (compartment === 'absent') await this.#create('compartment', { name: this.compartment });
        else if (endpoint === 'absent') {
          if (random.below(5) === 0) await this.#remove('compartment');
          else await this.#create('endpoint', { name: this.endpoint, network, compartment: this.compartment });
        } else await this.#remove('endpoint');
        if (this.known.compartment === 'unsure' || this.known.endpoint === 'unsure') return;
      }
    }

    async #create(kind: 'compartment' | 'endpoint', body: object): Promise<void> {
      await this.#ask(kind, 'POST', `/v1/${kind}s`, body, 'present');
    }

    async #remove(kind: 'compartment' | 'endpoint'): Promise<void> {
      await this.#ask(kind, 'DELETE', `/v1/${kind}s/${this[kind]}`, undefined, 'absent');
    }

    async #ask(
      kind: 'compartment' | 'endpoint',
      method: string,
      path: string,
      body: unknown,
      then: Knowledge,
    ): Promise<void> {
      this.known[kind] = 'unsure';
      const reply = await daemon.api(method, path, body).catch(() => null);
      if (reply === null || reply.status === 503) return; // died, or says that it is about to
      assert.ok(reply.status < 300, `${method} ${path}: ${reply.status} ${reply.text}`);
      this.known[kind] = then;
      this.acknowledged++;
    }
  }

  const clients = Array.from({ length: CLIENTS }, (_, number) => new Client(number));

  function acknowledged(): number {
    return clients.reduce((sum, client) => sum + client.acknowledged, 0);
  }

  /** Compares what the daemon lists with what was acknowledged; what was unsure becomes what is listed. */
  async function compareWithAcknowledged(round: number): Promise<void> {
    for (const kind of ['compartment', 'endpoint'] as const) {
      const listed = new Set((await daemon.call('GET', `/v1/${kind}s`)).map((item: { name: string }) => item.name));
      for (const client of clients) {
        const now: Knowledge = listed.has(client[kind]) ? 'present' : 'absent';
        if (client.known[kind] !== 'unsure')
          assert.equal(now, client.known[kind], `round ${round}: ${kind} ${client[kind]}`);
        client.known[kind] = now;
        listed.delete(client[kind]);
      }
      assert.deepEqual([...listed], [], `round ${round}: nobody asked for these`);
    }
  }

  /** Compares what the daemon lists with what the kernel has: namespaces, TAPs, addresses, markers. */
  async function compareWithKernel(round: number): Promise<void> {
    const compartments: string[] = (await daemon.call('GET', '/v1/compartments')).map(
      (item: { name: string }) => item.name,
    );
    const endpoints: { compartment: string; mac: string; ip: string[]; ifname: string; state: string }[] =
      await daemon.call('GET', '/v1/endpoints');
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
        wanted.map((endpoint) => endpoint.state),
        wanted.map(() => 'attached'),
        `round ${round}: state of the endpoints of ${compartment}`,
      );
    }
    const { instance } = await daemon.call('GET', '/v1/status');
    const onHost = (await readLinks(null)).filter((link) => link.alias.startsWith(`weft:${instance}:`));
    assert.deepEqual(onHost, [], `round ${round}: nothing of a private network is on the host`);
  }

  function bare(address: string): string {
    return address.replace(/\/\d+$/, '');
  }

  it(`comes back ${ROUNDS} times with exactly what was acknowledged and leaks nothing (seed ${SEED})`, async () => {
    const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
    await daemon.call('POST', '/v1/networks', { name: network, type: 'private', subnets });
    for (let round = 0; round < ROUNDS; round++) {
      const storm = Promise.all(clients.map((client) => client.rage()));
      // A daemon that has just started answers its first requests slowly; the storm begins when those are through.
      const calm = acknowledged();
      await waitFor('the storm to begin', () => acknowledged() >= calm + CLIENTS);
      await sleep(random.below(LONGEST_STORM_MS));
      await daemon.kill();
      await storm;
      await daemon.start();
      await compareWithAcknowledged(round);
      await compareWithKernel(round);
    }
    assert.ok(acknowledged() > 2 * ROUNDS * CLIENTS, `the storms were storms: ${acknowledged()} acknowledged requests`);
  });

  it('gives no address out twice afterwards', async () => {
    const endpoints: { ip: string[] }[] = await daemon.call('GET', '/v1/endpoints');
    const all = endpoints.flatMap((endpoint) => endpoint.ip);
    assert.equal(new Set(all).size, all.length);
    const { addresses } = await daemon.call('GET', `/v1/networks/${network}`);
    assert.equal(addresses.used, all.length);
  });
});
