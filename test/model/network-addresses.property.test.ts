/** IPAM against a naive model: a list of all addresses, walked one by one. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatIp, parseIp } from '../../src/model/ip.js';
import type { NetworkSpec } from '../../src/model/network.js';
import { NetworkAddresses } from '../../src/model/network-addresses.js';
import { parseNetworkRequest } from '../../src/model/network-request.js';
import { RequestError } from '../../src/model/problems.js';

const FIRST = 0x0a000000;
const LAST = FIRST + 31;
const address = fc.integer({ min: FIRST - 2, max: LAST + 2 }).map((value) => formatIp(4, BigInt(value)));
const inside = fc.integer({ min: FIRST, max: LAST }).map((value) => formatIp(4, BigInt(value)));
const range = fc
  .tuple(fc.integer({ min: FIRST, max: LAST }), fc.integer({ min: 0, max: 10 }))
  .map(([first, more]) => [first, Math.min(LAST, first + more)] as const)
  .map(([first, last]) => `${formatIp(4, BigInt(first))}-${formatIp(4, BigInt(last))}`);

/** Pools must not overlap each other, so one is enough to try them. */
const request = fc.record(
  {
    type: fc.constantFrom('private', 'internal'),
    gateway: inside,
    pools: fc.array(range, { maxLength: 1 }),
    reserved: fc.array(range, { maxLength: 3 }),
  },
  { requiredKeys: ['type'] },
);

type Step =
  | { kind: 'automatic'; name: string }
  | { kind: 'named'; name: string; ip: string }
  | { kind: 'release'; pick: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('automatic' as const), name: fc.string() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('named' as const), name: fc.string(), ip: address }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), pick: fc.nat() }) },
);

/** What IPAM promises, in the slowest way to say it. */
class NaiveAddresses {
  readonly owners = new Map<string, string>();
  private last = FIRST - 1;
  private readonly automatic: string[] = [];

  constructor(spec: NetworkSpec) {
    const within = (ranges: string[], value: number) =>
      ranges.some((text) => {
        const [first, last] = text.split('-').map((each) => Number(parseIp(each)?.value));
        return first! <= value && value <= (last ?? first!);
      });
    for (let value = FIRST + 1; value < LAST; value++) {
      const text = formatIp(4, BigInt(value));
      const isInPool = spec.pools.length === 0 || within(spec.pools, value);
      if (isInPool && !within(spec.reserved, value) && !spec.gateway.includes(text)) this.automatic.push(text);
    }
    if (spec.type === 'internal') for (const gateway of spec.gateway) this.owners.set(gateway, 'host');
  }

  take(name: string): string | null {
    const free = this.automatic.filter((text) => !this.owners.has(text));
    const next = free.find((text) => Number(parseIp(text)?.value) > this.last) ?? free[0] ?? null;
    if (next === null) return null;
    this.last = Number(parseIp(next)?.value);
    this.owners.set(next, name);
    return next;
  }

  claim(ip: string, name: string): boolean {
    const value = Number(parseIp(ip)?.value);
    if (value <= FIRST || value >= LAST || this.owners.has(ip)) return false;
    this.owners.set(ip, name);
    return true;
  }
}

describe('model/network-addresses', () => {
  it('gives out what a walk over all addresses would give out', () => {
    fc.assert(
      fc.property(request, fc.array(step, { maxLength: 120 }), (body, steps) => {
        const parsed = parseNetworkRequest({ name: 'n', subnets: ['10.0.0.0/27'], ...body });
        fc.pre(parsed.ok);
        const addresses = new NetworkAddresses(parsed.value);
        const naive = new NaiveAddresses(parsed.value);
        const given: string[] = [];
        steps.forEach((each, index) => {
          const owner = `e${index}`;
          if (each.kind === 'release') {
            const ip = given.splice(each.pick % (given.length || 1), 1)[0];
            if (ip === undefined) return;
            addresses.releaseTexts([ip]);
            naive.owners.delete(ip);
            return;
          }
          const expected = each.kind === 'automatic' ? naive.take(owner) : naive.claim(each.ip, owner) ? each.ip : null;
          try {
            const [got] = addresses.assign(owner, each.kind === 'named' ? [each.ip] : []);
            assert.equal(got, expected);
            given.push(got!);
          } catch (error) {
            assert.ok(error instanceof RequestError, String(error));
            assert.equal(expected, null, `${error.message}, but ${expected} is free`);
            if (each.kind === 'automatic') assert.equal(error.code, 'exhausted');
          }
          assert.equal(addresses.usedCount, naive.owners.size);
        });
      }),
    );
  });

  const make = (body: object): NetworkAddresses => {
    const parsed = parseNetworkRequest({ name: 'n', type: 'private', ...body });
    assert.ok(parsed.ok);
    return new NetworkAddresses(parsed.value);
  };

  it('gives one address of every subnet, also when only one is named', () => {
    const addresses = make({ subnets: ['10.0.0.0/24', 'fd00::/64', '10.9.0.0/24'] });
    assert.deepEqual(addresses.assign('a', ['10.9.0.7']), ['10.0.0.1', 'fd00::1', '10.9.0.7']);
    assert.deepEqual(addresses.assign('b', ['fd00::ffff']), ['10.0.0.2', 'fd00::ffff', '10.9.0.1']);
  });

  it('takes nothing when one of the subnets is full', () => {
    const addresses = make({ subnets: ['10.0.0.0/24', '10.9.0.0/30'] });
    for (const name of ['a', 'b']) addresses.assign(name, []);
    const before = [addresses.usedCount, addresses.cursors()];
    assert.throws(() => addresses.assign('c', []), /network n has no free address left in 10\.9\.0\.0\/30: 2 in use/);
    assert.deepEqual([addresses.usedCount, addresses.cursors()], before);
  });

  it('tells all that is wrong with named addresses', () => {
    const addresses = make({ subnets: ['10.0.0.0/24', 'fd00::/64'] });
    addresses.assign('first', ['10.0.0.9']);
    const problems = (ip: string[]) => {
      try {
        addresses.assign('x', ip);
      } catch (error) {
        assert.ok(error instanceof RequestError);
        return [error.code, ...error.problems.map(({ path, message }) => `${path}: ${message}`)];
      }
      return [];
    };
    assert.deepEqual(problems(['10.0.0.255', '10.0.0.0', '192.0.2.1', 'fd00::', '10.0.0.5', '10.0.0.6']), [
      'invalid-request',
      'ip[0]: 10.0.0.255 is the broadcast address of 10.0.0.0/24',
      'ip[1]: 10.0.0.0 is the network address of 10.0.0.0/24',
      'ip[2]: 192.0.2.1 lies outside of network n (10.0.0.0/24, fd00::/64)',
      'ip[3]: fd00:: is the subnet-router anycast address of fd00::/64',
      'ip[5]: an endpoint has one address of 10.0.0.0/24, and two are named',
    ]);
    assert.deepEqual(problems(['10.0.0.9']), ['conflict', 'ip[0]: 10.0.0.9 is the address of endpoint first']);
    assert.equal(addresses.usedCount, 2);
  });

  it('stays quick when a large subnet is nearly full and in pieces', () => {
    const addresses = make({ subnets: ['10.0.0.0/16', 'fd00::/64'] });
    const all: string[][] = [];
    for (let i = 0; i < 65534; i++) all.push(addresses.assign(`e${i}`, []));
    assert.throws(() => addresses.assign('more', []), /no free address/);
    for (let i = 0; i < all.length; i += 2) addresses.releaseTexts(all[i]!);
    const startedAt = process.cpuUsage();
    for (let i = 0; i < 1000; i++) addresses.releaseTexts(addresses.assign('again', []));
    // Processor time, not time of day: other programs may be busy meanwhile.
    const { user, system } = process.cpuUsage(startedAt);
    const microsEach = (user + system) / 1000;
    assert.ok(microsEach < 1000, `${microsEach} us for one of 65534 addresses`);
    assert.equal(addresses.freeCount, 32767n + (2n ** 64n - 1n - 32767n));
  }).timeout(120_000);
});
