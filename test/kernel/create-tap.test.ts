/** A TAP is complete when createTap resolves, and nothing of it is left when it rejects. */
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { Rtnetlink } from '../../src/control/kernel/rtnetlink.js';
import { ACCEPTS_CHECKSUM, ACCEPTS_TSO4, ACCEPTS_TSO6 } from '../../src/datapath/program.js';
import {
  addresses,
  ip,
  link,
  links,
  needsRoot,
  rejectsWith,
  routes,
  run,
  Scratch,
  snapshot,
  tapRequest,
} from './scratch.js';

describe('kernel: creating a TAP', () => {
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  it('leaves it up, with carrier, MAC, MTU, alias, addresses and routes as requested', async () => {
    const place = await scratch.place();
    const tap = await scratch.tap(place, tapRequest());
    const found = link(place.name);
    assert.deepEqual(
      {
        mac: found.address,
        mtu: found.mtu,
        state: found.operstate,
        alias: found.ifalias,
        kind: found.linkinfo?.info_kind,
      },
      { mac: '02:00:00:00:00:0a', mtu: 1400, state: 'UP', alias: 'weft:test:one', kind: 'tun' },
    );
    assert.ok(found.flags.includes('LOWER_UP'));
    const { type, vnet_hdr, persist, multi_queue } = found.linkinfo?.info_data ?? {};
    assert.deepEqual(
      { type, vnet_hdr, persist, multi_queue },
      { type: 'tap', vnet_hdr: true, persist: true, multi_queue: false },
    );
    assert.deepEqual(addresses(place.name), ['192.0.2.2/24', '2001:db8::2/64']);
    assert.deepEqual(routes(place.name), [
      'default via 192.0.2.1 dev eth0 proto 119',
      'default via 2001:db8::1 dev eth0 proto 119 metric 1024',
    ]);
    assert.equal(tap.currentName(), 'eth0');
    assert.equal(tap.headerBytes, 12);
  });

  it('gives IPv4 addresses their broadcast address, and none to /31 and /32', async () => {
    const place = await scratch.place();
    const wanted = ['192.0.2.2/25', '198.51.100.3/31', '203.0.113.9/32'];
    await scratch.tap(place, tapRequest({ addresses: wanted, routes: [] }));
    const list = link(place.name).addr_info?.filter(({ scope }) => scope === 'global') ?? [];
    assert.deepEqual(
      list.map(({ broadcast }) => broadcast),
      ['192.0.2.127', undefined, undefined],
    );
  });

  it('gives IPv6 addresses that are usable at once, without duplicate address detection', async () => {
    const place = await scratch.place();
    await scratch.tap(place, tapRequest());
    const shown = ip(place.name, '-6', 'address', 'show', 'dev', 'eth0', 'scope', 'global');
    assert.match(shown, /2001:db8::2\/64 scope global nodad/);
    assert.doesNotMatch(shown, /tentative/);
    run('ip', 'netns', 'exec', place.name, 'ping', '-c', '1', '-W', '2', '2001:db8::2');
  });

  it('switches IPv6 on for the interface where the namespace has it off, as container engines do', async () => {
    const place = await scratch.place();
    for (const scope of ['all', 'default']) {
      run('ip', 'netns', 'exec', place.name, 'sysctl', '-qw', `net.ipv6.conf.${scope}.disable_ipv6=1`);
    }
    await scratch.tap(place, tapRequest());
    assert.deepEqual(addresses(place.name), ['192.0.2.2/24', '2001:db8::2/64']);
  });

  it('sets routes with metrics, on-link routes first, so that gateways behind them are accepted', async () => {
    const place = await scratch.place();
    const wanted = [
      { destination: '0.0.0.0/0', gateway: '198.51.100.1', metric: 50 },
      { destination: '198.51.100.1/32', gateway: null, metric: 0 },
      { destination: '2001:db8:1::/48', gateway: '2001:db8::9', metric: 77 },
    ];
    await scratch.tap(place, tapRequest({ routes: wanted }));
    assert.deepEqual(routes(place.name), [
      'default via 198.51.100.1 dev eth0 proto 119 metric 50',
      '198.51.100.1 dev eth0 proto 119 scope link',
      '2001:db8:1::/48 via 2001:db8::9 dev eth0 proto 119 metric 77',
    ]);
  });

  it('reports a speed of 10 Gbit/s, full duplex', async () => {
    const place = await scratch.place();
    await scratch.tap(place, tapRequest());
    const read = (file: string) => run('ip', 'netns', 'exec', place.name, 'cat', `/sys/class/net/eth0/${file}`).trim();
    assert.deepEqual([read('speed'), read('duplex')], ['10000', 'full']);
  });

  it('with offload lets the kernel hand over super-frames, without it nothing unfinished', async () => {
    const place = await scratch.place();
    const fast = await scratch.tap(place, tapRequest());
    const plain = await scratch.tap(
      place,
      tapRequest({ ifname: 'eth1', alias: 'weft:test:two', addresses: [], routes: [], offload: false }),
    );
    const features = (ifname: string) => run('ip', 'netns', 'exec', place.name, 'ethtool', '-k', ifname);
    const usual = ACCEPTS_CHECKSUM | ACCEPTS_TSO4 | ACCEPTS_TSO6;
    assert.equal(fast.accepts & usual, usual);
    assert.match(features('eth0'), /tcp-segmentation-offload: on/);
    assert.match(features('eth0'), /tx-checksumming: on/);
    assert.equal(plain.accepts, 0);
    assert.match(features('eth1'), /tcp-segmentation-offload: off/);
    assert.match(features('eth1'), /tx-checksumming: off/);
  });

  it('in many namespaces at once does not mix them up, nor move the thread', async () => {
    const home = readlinkSync('/proc/thread-self/ns/net');
    const before = run('ip', '-json', 'link', 'show');
    const places = await Promise.all(Array.from({ length: 12 }, () => scratch.place()));
    await Promise.all(
      places.map((place, i) =>
        scratch.tap(place, tapRequest({ alias: `weft:test:${i}`, addresses: [`192.0.2.${i + 10}/24`], routes: [] })),
      ),
    );
    places.forEach((place, i) => {
      assert.deepEqual(
        links(place.name).map(({ ifname, ifalias }) => [ifname, ifalias]),
        [['eth0', `weft:test:${i}`]],
      );
      assert.deepEqual(addresses(place.name), [`192.0.2.${i + 10}/24`]);
    });
    assert.equal(readlinkSync('/proc/thread-self/ns/net'), home);
    const names = (json: string) => (JSON.parse(json) as { ifname: string }[]).map(({ ifname }) => ifname);
    assert.deepEqual(
      names(run('ip', '-json', 'link', 'show')).filter((name) => name.startsWith('eth')),
      names(before).filter((name) => name.startsWith('eth')),
    );
  });

  it('keeps no socket that would pin the namespace', async () => {
    const place = await scratch.place();
    await scratch.tap(place, tapRequest());
    const ours = () => {
      const lines = run('ip', 'netns', 'exec', place.name, 'cat', '/proc/net/netlink').trim().split('\n').slice(1);
      // Third column: port id, which the package `netlink` makes of the pid and a counter above bit 22.
      return lines.filter((line) => Number(line.trim().split(/\s+/)[2]) % 0x400000 === process.pid).length;
    };
    assert.equal(ours(), 0);
    const open = new Rtnetlink(place.namespace.fd);
    assert.equal(ours(), 1, 'this way of looking does see one that is open');
    await open.close();
    assert.equal(ours(), 0);
  });

  const failures = [
    {
      what: 'an address that is none',
      change: { addresses: ['192.0.2.2/24', '192.0.2.300/24'] },
      errno: 'EINVAL',
      message: /192\.0\.2\.300/,
    },
    {
      what: 'a gateway that is not reachable',
      change: { routes: [{ destination: '0.0.0.0/0', gateway: '203.0.113.1', metric: 0 }] },
      errno: 'ENETUNREACH',
      message: /RTM_NEWROUTE on 0\.0\.0\.0\/0 via 203\.0\.113\.1/,
    },
    { what: 'an MTU that is too large', change: { mtu: 65_536 }, errno: 'EINVAL', message: /RTM_SETLINK on eth0/ },
    {
      what: 'IPv6 over an MTU that is too small for it',
      change: { mtu: 1000 },
      errno: 'EINVAL',
      message: /2001:db8::2/,
    },
    {
      what: 'a multicast MAC',
      change: { mac: '03:00:00:00:00:01' },
      errno: 'EADDRNOTAVAIL',
      message: /RTM_SETLINK on eth0/,
    },
    { what: 'a pattern as name', change: { ifname: 'eth%d' }, errno: 'EINVAL', message: /eth%d/ },
    {
      what: 'a name that is too long',
      change: { ifname: 'sixteen-letters-' },
      errno: 'EINVAL',
      message: /sixteen-letters-/,
    },
    {
      what: 'the same address twice',
      change: { addresses: ['192.0.2.2/24', '192.0.2.2/24'] },
      errno: 'EEXIST',
      message: /RTM_NEWADDR/,
    },
  ];
  for (const { what, change, errno, message } of failures) {
    it(`with ${what} rejects and leaves nothing behind`, async () => {
      const place = await scratch.place();
      const before = snapshot(place.name);
      await rejectsWith(scratch.kernel.createTap(place.namespace, tapRequest(change)), errno, message);
      assert.equal(snapshot(place.name), before);
    });
  }

  it('beside an interface of that name, or a default route, of somebody else leaves those alone', async () => {
    const place = await scratch.place();
    ip(place.name, 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
    ip(place.name, 'link', 'set', 'lan1', 'addrgenmode', 'none', 'up');
    ip(place.name, 'link', 'set', 'lan0', 'addrgenmode', 'none');
    ip(place.name, 'address', 'add', '198.51.100.2/24', 'dev', 'lan0');
    ip(place.name, 'link', 'set', 'lan0', 'up');
    ip(place.name, 'route', 'add', 'default', 'via', '198.51.100.1');
    const before = snapshot(place.name);
    const sameName = tapRequest({ ifname: 'lan0' });
    await rejectsWith(scratch.kernel.createTap(place.namespace, sameName), 'EEXIST', /TUNSETIFF on lan0/);
    await rejectsWith(
      scratch.kernel.createTap(place.namespace, tapRequest()),
      'EEXIST',
      /RTM_NEWROUTE on 0\.0\.0\.0\/0/,
    );
    assert.equal(snapshot(place.name), before);
  });
});
