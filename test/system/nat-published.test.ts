// Published ports: who reaches them, by which address, and what they see of whom. The answer of the web server names both ends.
import assert from 'node:assert/strict';
import { useLab } from '../support/system-lab.js';
import { addressesReady, ask, createNat, curl, exchangeUdp, type Nat, serveWeb, url } from '../support/system-nat.js';
import { createSide, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';

const INNER = 80;
const OUTER = 8080;

describe('a published port', function published() {
  this.timeout(120_000);
  const lab = useLab();
  let nat: Nat;
  let other: Side;

  before(async () => {
    nat = await createNat(lab, { endpoint: { publish: [`${OUTER}:${INNER}/tcp`, '7000-7003:5000/udp'] } });
    other = await createSide(lab, { network: nat.network, subnet: nat.subnet, base: 'neighbour', host: 20 });
    await addressesReady(lab, other.base);
    await serveWeb(lab, nat.inside.base, INNER);
  });

  for (const family of ['v4', 'v6'] as const) {
    it(`is reached from outside over IP${family}, and the source address is kept`, async () => {
      const { world, inside } = nat;
      const answer = await ask(lab, world.outside, world.near[family], OUTER);
      assert.deepEqual(answer, { from: world.far[family], to: inside[family] });
    });

    it(`is reached from the host itself over IP${family}, by its address`, async () => {
      const answer = await ask(lab, nat.world.router, nat.world.near[family], OUTER);
      assert.equal(answer.to, nat.inside[family]);
    });

    it(`is reached from another compartment over IP${family}, by the host's address`, async () => {
      const answer = await ask(lab, other.base, nat.world.near[family], OUTER);
      assert.equal(answer.to, nat.inside[family]);
    });

    it(`is reached from the publishing compartment itself over IP${family}`, async () => {
      const answer = await ask(lab, nat.inside.base, nat.world.near[family], OUTER);
      assert.equal(answer.to, nat.inside[family]);
    });
  }

  it('is reached from the host by the loopback address', async () => {
    const answer = await ask(lab, nat.world.router, '127.0.0.1', OUTER);
    assert.equal(answer.to, nat.inside.v4);
  });

  it('carries UDP, port by port of a range', async () => {
    const program = `
      for (const port of [5000, 5001, 5002, 5003]) {
        const socket = require('node:dgram').createSocket('udp4');
        socket.on('message', (bytes, from) => socket.send(port + ' ' + from.address + ' ' + bytes, from.port, from.address));
        socket.bind(port, () => console.log('listening ' + port));
      }`;
    const server = lab.background(nat.inside.base, [process.execPath, '-e', program]);
    await waitFor('four UDP servers', () => server.stdout.trim().split('\n').length === 4);
    for (let n = 0; n < 4; n++) {
      const answer = await exchangeUdp(lab, nat.world.outside, nat.world.near.v4, 7000 + n, 'hello');
      assert.equal(answer, `${5000 + n} ${nat.world.far.v4} hello`);
    }
  });

  it('is listed with its owner, and a second owner is refused by name', async () => {
    const listed = await lab.daemon.json('port', 'list');
    assert.equal(listed.length, 2, JSON.stringify(listed));
    const refused = await lab.daemon.weft(['port', 'publish', other.endpoint, `${OUTER}:80/tcp`]);
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, new RegExp(`^error: .*${nat.inside.endpoint}`));
  });

  it('comes and goes at run time, without a word to the others', async () => {
    const { daemon } = lab;
    const { world } = nat;
    await serveWeb(lab, other.base, 81);
    const target = curl(url(world.near.v4, 8181), '--connect-timeout', '2');
    assert.notEqual((await lab.tryInside(world.outside, target)).status, 0, 'not published yet');
    await daemon.ok('port', 'publish', other.endpoint, '8181:81/tcp');
    assert.equal((await ask(lab, world.outside, world.near.v4, 8181)).to, other.v4);
    assert.equal((await ask(lab, world.outside, world.near.v4, OUTER)).to, nat.inside.v4);
    await daemon.ok('port', 'unpublish', other.endpoint, '8181:81/tcp');
    assert.notEqual((await lab.tryInside(world.outside, target)).status, 0, 'not published any more');
    assert.equal((await ask(lab, world.outside, world.near.v4, OUTER)).to, nat.inside.v4);
  });

  describe('that a program of the host serves already', () => {
    const serve = async (...address: string[]) => {
      const server = lab.background(nat.world.router, ['socat', '-d', '-d', address.join(','), 'EXEC:cat']);
      await waitFor(`a server at ${address}`, () => server.stderr.includes('listening on'));
    };
    const publish = (spec: string) => lab.daemon.weft(['port', 'publish', other.endpoint, spec]);

    it('is refused with the name of the program, for a range with that of the first one, and for other addresses it is not', async () => {
      const { v4, v6 } = nat.world.near;
      await serve('TCP4-LISTEN:8085', 'fork', 'reuseaddr');
      await serve('TCP6-LISTEN:8086', 'fork', 'reuseaddr', `bind=[${v6}]`);
      for (const [spec, where] of [
        ['8085:80', '0\\.0\\.0\\.0:8085'],
        [`${v4}:8082-8090:80`, '0\\.0\\.0\\.0:8085'],
        ['8086:80', `\\[${v6}\\]:8086`],
      ] as const) {
        const { status, stderr } = await publish(spec);
        assert.equal(status, 1, spec);
        const owner = `socat \\(pid \\d+\\) listens on ${where} in ${lab.path(nat.world.router)}`;
        assert.match(stderr, new RegExp(`/tcp cannot be published: ${owner}; choose another host port, or stop socat`));
      }
      await lab.daemon.ok('port', 'publish', other.endpoint, `${v4}:8086:80`, `[${v6}]:8085:80`, '8085:80/udp');
      await lab.daemon.ok('port', 'unpublish', other.endpoint);
    });

    it('stays published when the program comes later and the daemon starts again', async () => {
      await serve(`TCP4-LISTEN:${OUTER}`, 'fork', 'reuseaddr');
      await lab.daemon.kill();
      await lab.daemon.start();
      assert.equal((await ask(lab, nat.world.outside, nat.world.near.v4, OUTER)).to, nat.inside.v4);
    });
  });
});
