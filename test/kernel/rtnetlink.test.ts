/**
 * rtnetlink sockets: many at once, requests of one socket in any order, errors with their symbol, nothing left open.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { broadcastOf, formatPrefix, networkOf, parsePrefix } from '../../src/control/kernel/ip-prefix.js';
import { KernelError } from '../../src/control/kernel/kernel.js';
import { findLink, listLinks, setLink } from '../../src/control/kernel/links.js';
import { withRtnetlink } from '../../src/control/kernel/rtnetlink.js';
import { ip, needsRoot, rejectsWith, Scratch } from './scratch.js';

describe('kernel: rtnetlink', () => {
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  it('answers requests that are made at once on one socket, dumps among them', async () => {
    const place = await scratch.place();
    for (let i = 0; i < 40; i++) ip(place.name, 'link', 'add', `v${i}`, 'type', 'veth', 'peer', 'name', `w${i}`);
    await withRtnetlink(place.namespace.fd, async (rtnetlink) => {
      const [all, one, none, again] = await Promise.all([
        listLinks(rtnetlink),
        findLink(rtnetlink, 'v7'),
        findLink(rtnetlink, 'missing'),
        listLinks(rtnetlink),
      ]);
      assert.deepEqual([all.length, one?.ifname, none, again.length], [81, 'v7', null, 81]);
    });
  });

  it('keeps many sockets in many namespaces apart and leaves none open', async () => {
    const places = await Promise.all(Array.from({ length: 6 }, () => scratch.place()));
    for (const [i, { name }] of places.entries()) {
      ip(name, 'link', 'add', `v${i}`, 'type', 'veth', 'peer', 'name', `w${i}`);
    }
    const openFiles = () => readdirSync('/proc/self/fd').length;
    const before = openFiles();
    for (let round = 0; round < 20; round++) {
      const lists = await Promise.all(places.map(({ namespace }) => withRtnetlink(namespace.fd, listLinks)));
      const names = lists.map((links) => links.map(({ ifname }) => ifname).sort());
      assert.deepEqual(
        names,
        places.map((_, i) => ['lo', `v${i}`, `w${i}`]),
      );
    }
    assert.equal(openFiles(), before);
  });

  it('goes on after a refusal, and closes when the work fails', async () => {
    const place = await scratch.place();
    const openFiles = () => readdirSync('/proc/self/fd').length;
    const before = openFiles();
    await withRtnetlink(place.namespace.fd, async (rtnetlink) => {
      await rejectsWith(
        setLink(rtnetlink, 99, 'eth9', { mtu: 1400 }),
        'ENODEV',
        /RTM_SETLINK on eth9: ENODEV \(no such/,
      );
      assert.equal((await findLink(rtnetlink, 'lo'))?.index, 1);
    });
    await assert.rejects(
      withRtnetlink(place.namespace.fd, async () => {
        throw new Error('stop');
      }),
      /stop/,
    );
    await rejectsWith(withRtnetlink(-5, listLinks), 'EINVAL', /setns/);
    assert.equal(openFiles(), before);
  });
});

describe('kernel: addresses for rtnetlink', () => {
  it('are read and written canonically', () => {
    for (const [text, canonical] of [
      ['192.0.2.7/24', '192.0.2.7/24'],
      ['192.0.2.7', '192.0.2.7/32'],
      ['2001:DB8:0:0::7/64', '2001:db8::7/64'],
      ['::/0', '::/0'],
    ] as const) {
      assert.equal(formatPrefix(parsePrefix(text)), canonical);
    }
  });

  it('know their network and their broadcast address at every length', () => {
    for (let length = 0; length <= 32; length++) {
      const mask = length === 0 ? 0 : (-1 << (32 - length)) >>> 0;
      const prefix = parsePrefix(`203.0.113.77/${length}`);
      const value = prefix.bytes.readUInt32BE();
      assert.equal(networkOf(prefix).bytes.readUInt32BE(), (value & mask) >>> 0);
      const broadcast = length > 30 ? undefined : (value | ~mask) >>> 0;
      assert.equal(broadcastOf(prefix)?.readUInt32BE(), broadcast);
    }
    assert.equal(formatPrefix(networkOf(parsePrefix('2001:db8:ffff::1/45'))), '2001:db8:fff8::/45');
    assert.equal(broadcastOf(parsePrefix('2001:db8::1/64')), null);
  });

  it('that are none are refused', () => {
    for (const text of [
      '',
      '1.2.3',
      '1.2.3.4/33',
      '::1/129',
      '1.2.3.4/',
      '1.2.3.4/24/8',
      'fe80::1%eth0/64',
      'x/8',
      '1.2.3.4/-1',
    ]) {
      assert.throws(() => parsePrefix(text), KernelError, text);
    }
  });
});
