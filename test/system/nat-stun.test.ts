/**
 * The behaviours of RFC 4787 as a STUN probe sees them from behind the NAT (RFC 5780: turnutils_natdiscovery against coturn's
 * turnserver, neither of which knows weft): every mapping with every filtering, and hairpinning.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { useLab } from '../support/system-lab.js';
import { createNat, createWorld, type Nat, type World } from '../support/system-nat.js';
import { waitFor } from '../support/system-process.js';

const PORT = 3478;
const MAPPINGS = {
  'endpoint-independent': 'NAT with Endpoint Independent Mapping!',
  'address-and-port-dependent': 'NAT with Address and Port Dependent Mapping!',
};
const FILTERINGS = {
  'endpoint-independent': 'NAT with Endpoint Independent Filtering!',
  'address-dependent': 'NAT with Address Dependent Filtering!',
  'address-and-port-dependent': 'NAT with Address and Port Dependent Filtering!',
};

/** A probe that is answered takes some seconds. */
const PATIENCE_S = '20';
const ATTEMPTS = 3;
/** Exit status of timeout(1). */
const TIMED_OUT = 124;

type Probe = '-m' | '-f' | '-H';

describe('the NAT as a STUN probe sees it', function stun() {
  this.timeout(120_000);
  const lab = useLab();
  let world: World;
  /** Of every network that a test looks at, what its probes said. They wait most of the time, so all of them probe at once. */
  const probed = new Map<string, { nat: Nat; said: string[] }>();

  before(async () => {
    world = await createWorld(lab);
    await serveStun();
    const wanted: [string, Nat, Probe[]][] = [];
    const want = async (key: string, settings: object, probes: Probe[]) => {
      const nat = await createNat(lab, { world, plain: true, network: { nat: settings } });
      wanted.push([key, nat, probes]);
    };
    for (const mapping of Object.keys(MAPPINGS)) {
      for (const filtering of Object.keys(FILTERINGS)) {
        await want(`${mapping} ${filtering}`, { mapping, filtering }, ['-m', '-f']);
      }
    }
    for (const hairpin of [true, false]) {
      await want(`hairpin ${hairpin}`, { filtering: 'endpoint-independent', hairpin }, ['-H']);
    }
    const probe = async ([key, nat, probes]: [string, Nat, Probe[]]) => {
      const said: string[] = [];
      for (const each of probes) said.push(await discover(nat, each));
      probed.set(key, { nat, said });
    };
    await Promise.all(wanted.map(probe));
  });

  for (const [mapping, mappingVerdict] of Object.entries(MAPPINGS)) {
    for (const [filtering, filteringVerdict] of Object.entries(FILTERINGS)) {
      it(`maps ${mapping}, filters ${filtering}`, () => {
        const { nat, said } = probed.get(`${mapping} ${filtering}`)!;
        const [mapped, filtered] = said as [string, string];
        assert.ok(mapped.includes(mappingVerdict), mapped);
        assert.ok(mapped.includes(`UDP reflexive addr: ${nat.external.v4}:`), mapped);
        assert.ok(filtered.includes(filteringVerdict), filtered);
      });
    }
  }

  it('lets a station reach itself by its mapping (hairpinning), unless told not to', () => {
    for (const hairpin of [true, false]) {
      const [seen] = probed.get(`hairpin ${hairpin}`)!.said;
      assert.equal(seen!.includes('maybe a successful hairpinning'), hairpin, seen);
    }
  });

  /** The probe sends each of its questions once: where one or its answer is lost on a busy machine, it waits for ever, and is asked again. */
  async function discover(nat: Nat, test: Probe): Promise<string> {
    const command = ['timeout', PATIENCE_S, 'turnutils_natdiscovery', test, nat.world.far.v4];
    for (let attempt = 1; ; attempt++) {
      const { status, stdout, stderr } = await lab.tryInside(nat.inside.base, command);
      if (status !== TIMED_OUT || attempt === ATTEMPTS) return stdout + stderr;
    }
  }

  /** RFC 5780 needs a server with two addresses and two ports. */
  async function serveStun(): Promise<void> {
    const log = join(lab.directory, 'turnserver.log');
    const addresses = ['--listening-ip', world.far.v4, '--listening-ip', world.further.v4];
    const ports = ['--listening-port', String(PORT), '--alt-listening-port', String(PORT + 1)];
    const quiet = ['-n', '--stun-only', '--no-tls', '--no-dtls', '--no-cli', '--no-auth', '--simple-log'];
    const files = [
      '--log-file',
      log,
      '--pidfile',
      join(lab.directory, 'turn.pid'),
      '--db',
      join(lab.directory, 'turn.db'),
    ];
    const server = lab.background(world.outside, ['turnserver', ...quiet, ...addresses, ...ports, ...files]);
    const sockets = () => lab.inside(world.outside, ['ss', '-Hlun']);
    const wanted = [world.far.v4, world.further.v4].flatMap((address) => [
      `${address}:${PORT}`,
      `${address}:${PORT + 1}`,
    ]);
    await waitFor('turnserver to listen', async () => {
      assert.equal(server.status, null, existsSync(log) ? readFileSync(log, 'utf8') : server.stderr);
      const listening = await sockets();
      return wanted.every((one) => listening.includes(one));
    });
  }
});
