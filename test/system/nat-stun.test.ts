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

describe('the NAT as a STUN probe sees it', function stun() {
  this.timeout(60_000);
  const lab = useLab();
  let world: World;

  before(async () => {
    world = await createWorld(lab);
    await serveStun();
  });

  for (const [mapping, mappingVerdict] of Object.entries(MAPPINGS)) {
    for (const [filtering, filteringVerdict] of Object.entries(FILTERINGS)) {
      it(`maps ${mapping}, filters ${filtering}`, async () => {
        const nat = await createNat(lab, { world, plain: true, network: { nat: { mapping, filtering } } });
        const mapped = await discover(nat, '-m');
        assert.ok(mapped.includes(mappingVerdict), mapped);
        assert.ok(mapped.includes(`UDP reflexive addr: ${nat.external.v4}:`), mapped);
        const filtered = await discover(nat, '-f');
        assert.ok(filtered.includes(filteringVerdict), filtered);
      });
    }
  }

  it('lets a station reach itself by its mapping (hairpinning), unless told not to', async () => {
    for (const hairpin of [true, false]) {
      const nat = await createNat(lab, {
        ...{ world, plain: true, network: { nat: { filtering: 'endpoint-independent', hairpin } } },
      });
      const seen = await discover(nat, '-H');
      assert.equal(seen.includes('maybe a successful hairpinning'), hairpin, seen);
    }
  });

  async function discover(nat: Nat, test: '-m' | '-f' | '-H'): Promise<string> {
    const { stdout, stderr } = await lab.tryInside(nat.inside.base, ['turnutils_natdiscovery', test, nat.world.far.v4]);
    return stdout + stderr;
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
