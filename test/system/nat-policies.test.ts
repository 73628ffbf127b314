// What a network can say of its translation, seen from outside: the answer of the web server names who asked it.
import assert from 'node:assert/strict';
import { type Lab, type Subnet, useLab } from '../support/system-lab.js';
import { addressesReady, ask, createNat, createWorld, curl, type Nat, serveWeb, url } from '../support/system-nat.js';
import { createSide, type Side } from '../support/system-pair.js';

const WEB = 80;

describe('a nat network that treats some addresses differently', function policies() {
  this.timeout(120_000);
  const lab = useLab();
  let nat: Nat;
  let second: Side;
  let own: string;

  before(async () => {
    nat = await createNat(lab, { plain: true });
    second = await createSide(lab, { network: nat.network, subnet: nat.subnet, base: 'second', host: 20 });
    await addressesReady(lab, second.base);
    own = `${lab.subnet().v4}.77`;
    await lab.inside(nat.world.outside, ['ip', 'route', 'add', own, 'via', nat.world.near.v4]);
    await routeBack(lab, nat.world, nat.subnet);
    await serveWeb(lab, nat.world.outside, WEB);
    await serveWeb(lab, second.base, WEB);
  });

  const set = (body: object) => lab.daemon.call('PATCH', `/v1/networks/${nat.network}`, { nat: body });
  const seenFrom = async (side: Side, address: string) => (await ask(lab, side.base, address, WEB)).from;

  it('translates every endpoint to the external address at first', async () => {
    for (const family of ['v4', 'v6'] as const) {
      assert.equal(await seenFrom(nat.inside, nat.world.far[family]), nat.external[family]);
      assert.equal(await seenFrom(second, nat.world.far[family]), nat.external[family]);
    }
  });

  it('gives one endpoint an address of its own while it lives, both ways, and takes it back', async () => {
    await set({ static: [{ inside: second.v4, external: own }] });
    assert.equal(await seenFrom(second, nat.world.far.v4), own);
    assert.equal(await seenFrom(nat.inside, nat.world.far.v4), nat.external.v4);
    const { from, to } = await ask(lab, nat.world.outside, own, WEB);
    assert.deepEqual([from, to], [nat.world.far.v4, second.v4]);
    await set({ static: [] });
    assert.equal(await seenFrom(second, nat.world.far.v4), nat.external.v4);
    const late = await lab.tryInside(nat.world.outside, curl(url(own, WEB), '--connect-timeout', '2'));
    assert.notEqual(late.status, 0);
  });

  it('leaves exceptions as they are, and translates the rest', async () => {
    await set({ exceptions: [nat.world.further.v4, nat.world.further.v6] });
    for (const family of ['v4', 'v6'] as const) {
      assert.equal(await seenFrom(second, nat.world.further[family]), second[family]);
      assert.equal(await seenFrom(second, nat.world.far[family]), nat.external[family]);
    }
    await set({ exceptions: [] });
    assert.equal(await seenFrom(second, nat.world.further.v4), nat.external.v4);
  });

  it('translates only to destinations that are named, when some are', async () => {
    await set({ destinations: [nat.world.further.v4, nat.world.further.v6] });
    for (const family of ['v4', 'v6'] as const) {
      assert.equal(await seenFrom(second, nat.world.further[family]), nat.external[family]);
      assert.equal(await seenFrom(second, nat.world.far[family]), second[family]);
    }
    await set({ destinations: [] });
  });
});

describe('IPv6 of a nat network', function ipv6() {
  this.timeout(120_000);
  const lab = useLab();

  it('is routed where that is asked for: the outside and the inside know each other by their own addresses', async () => {
    const nat = await createNat(lab, { network: { nat: { ipv6: 'routed' } } });
    await routeBack(lab, nat.world, nat.subnet);
    await serveWeb(lab, nat.world.outside, WEB);
    await serveWeb(lab, nat.inside.base, WEB);
    assert.equal((await ask(lab, nat.inside.base, nat.world.far.v6, WEB)).from, nat.inside.v6);
    const inward = await ask(lab, nat.world.outside, nat.inside.v6, WEB);
    assert.deepEqual(inward, { from: nat.world.far.v6, to: nat.inside.v6 });
  });

  it('has its prefix replaced where that is asked for, and is reached under the other one', async () => {
    const other = `${lab.subnet().v6}::/64`;
    const nat = await createNat(lab, { network: { nat: { ipv6: 'nptv6', prefix: other } } });
    await lab.inside(nat.world.outside, ['ip', '-6', 'route', 'add', other, 'via', nat.world.near.v6]);
    await serveWeb(lab, nat.world.outside, WEB);
    await serveWeb(lab, nat.inside.base, WEB);
    const { from } = await ask(lab, nat.inside.base, nat.world.far.v6, WEB);
    assert.equal(from.startsWith(other.replace('::/64', ':')), true, from);
    const inward = await ask(lab, nat.world.outside, from, WEB);
    assert.deepEqual(inward, { from: nat.world.far.v6, to: nat.inside.v6 });
  });
});

describe('routes between networks', function routes() {
  this.timeout(120_000);
  const lab = useLab();

  it('are where one of two networks names the other, without translation, and only there', async () => {
    const world = await createWorld(lab);
    const front = await createNat(lab, { world });
    const back = await createNat(lab, { world, network: { routesTo: [front.network] } });
    const subnet = lab.subnet();
    const internal = lab.name('internal');
    const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
    await lab.daemon.call('POST', '/v1/networks', {
      name: internal,
      type: 'internal',
      subnets,
      routesTo: [back.network],
    });
    const inner = await createSide(lab, { network: internal, subnet, base: 'inner', host: 10 });
    await addressesReady(lab, inner.base);
    for (const side of [front.inside, back.inside, inner]) await serveWeb(lab, side.base, WEB);
    for (const [from, to] of [
      [front.inside, back.inside],
      [back.inside, front.inside],
      [inner, back.inside],
      [back.inside, inner],
    ] as const) {
      for (const family of ['v4', 'v6'] as const) {
        const answer = await ask(lab, from.base, to[family], WEB);
        assert.deepEqual(answer, { from: from[family], to: to[family] }, `${from.base} to ${to.base}`);
      }
    }
    const target = curl(url(front.inside.v4, WEB), '--connect-timeout', '2');
    assert.notEqual((await lab.tryInside(inner.base, target)).status, 0, 'a friend of a friend is no friend');
    await lab.daemon.call('PATCH', `/v1/networks/${back.network}`, { routesTo: [] });
    assert.notEqual((await lab.tryInside(back.inside.base, target)).status, 0, 'the routes are gone');
    assert.equal(
      (await ask(lab, inner.base, back.inside.v4, WEB)).from,
      inner.v4,
      'those that the other side names are not',
    );
  });
});

/** The outside knows the way to inside addresses, as it must for what is not translated. */
async function routeBack(lab: Lab, { outside, near }: Nat['world'], { v4, v6 }: Subnet): Promise<void> {
  await lab.inside(outside, ['ip', 'route', 'add', `${v4}.0/24`, 'via', near.v4]);
  await lab.inside(outside, ['ip', '-6', 'route', 'add', `${v6}::/64`, 'via', near.v6]);
}
