/** Changing a TAP in place, and removing it wherever another program has put it. */
import assert from 'node:assert/strict';
import { native, PORT_TAP } from '../../src/native/index.js';
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

describe('kernel: updating a TAP', () => {
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  it('changes MTU, addresses and routes to the new request, and nothing else', async () => {
    const place = await scratch.place();
    const tap = await scratch.tap(place, tapRequest());
    ip(place.name, 'address', 'add', '203.0.113.5/24', 'dev', 'eth0');
    const next = tapRequest({
      mtu: 1500,
      addresses: ['192.0.2.2/24', '198.51.100.2/24'],
      routes: [{ destination: '0.0.0.0/0', gateway: '198.51.100.1', metric: 0 }],
    });
    await scratch.kernel.updateTap(place.namespace, tap, next);
    assert.equal(link(place.name).mtu, 1500);
    assert.deepEqual(addresses(place.name), ['192.0.2.2/24', '203.0.113.5/24', '198.51.100.2/24']);
    assert.deepEqual(routes(place.name), ['default via 198.51.100.1 dev eth0 proto 119']);
    assert.deepEqual(tap.request, next);
  });

  it('takes every change back when one of them fails', async () => {
    const place = await scratch.place();
    const tap = await scratch.tap(place, tapRequest());
    const before = snapshot(place.name);
    const bad = tapRequest({
      mtu: 1500,
      addresses: ['192.0.2.2/24', '198.51.100.2/24'],
      routes: [{ destination: '0.0.0.0/0', gateway: '203.0.113.1', metric: 0 }],
    });
    await rejectsWith(scratch.kernel.updateTap(place.namespace, tap, bad), 'ENETUNREACH', /RTM_NEWROUTE/);
    assert.equal(snapshot(place.name), before);
    assert.deepEqual(tap.request, tapRequest());
  });

  it('finds the TAP where another program has moved and renamed it', async () => {
    const place = await scratch.place();
    const other = await scratch.foreignPlace();
    const tap = await scratch.tap(place, tapRequest());
    ip(place.name, 'link', 'set', 'eth0', 'netns', other.name, 'name', 'moved0');
    await scratch.kernel.updateTap(place.namespace, tap, tapRequest({ mtu: 1450 }));
    assert.equal(link(other.name, 'moved0').mtu, 1450);
    assert.equal(tap.currentName(), 'moved0');
  });

  it('of a TAP that somebody deleted is refused', async () => {
    const place = await scratch.place();
    const tap = await scratch.tap(place, tapRequest());
    ip(place.name, 'link', 'del', 'eth0');
    await rejectsWith(scratch.kernel.updateTap(place.namespace, tap, tapRequest({ mtu: 1450 })), 'EBADFD', /eth0/);
    assert.equal(tap.currentName(), null);
  });
});

describe('kernel: removing a TAP', () => {
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  it('removes it; the name is free when the promise resolves', async () => {
    const place = await scratch.place();
    for (let i = 0; i < 5; i++) {
      const tap = await scratch.kernel.createTap(place.namespace, tapRequest());
      await scratch.kernel.removeTap(tap);
      assert.deepEqual(links(place.name), []);
    }
  });

  it('removes it from where another program has moved it', async () => {
    const place = await scratch.place();
    const other = await scratch.foreignPlace();
    const tap = await scratch.kernel.createTap(place.namespace, tapRequest());
    ip(place.name, 'link', 'set', 'eth0', 'netns', other.name, 'name', 'moved0');
    await scratch.kernel.removeTap(tap);
    assert.deepEqual([links(place.name), links(other.name)], [[], []]);
  });

  it('resolves when it was gone already, or the namespace is, and when asked twice', async () => {
    const place = await scratch.foreignPlace();
    const first = await scratch.kernel.createTap(place.namespace, tapRequest());
    ip(place.name, 'link', 'del', 'eth0');
    await scratch.kernel.removeTap(first);
    const second = await scratch.kernel.createTap(place.namespace, tapRequest());
    run('ip', 'netns', 'del', place.name);
    await scratch.kernel.removeTap(second);
    await scratch.kernel.removeTap(second);
  });

  it('does not hold up the thread while the kernel takes its time', async () => {
    const place = await scratch.place();
    const requests = Array.from({ length: 8 }, (_, i) =>
      tapRequest({ ifname: `eth${i}`, alias: `weft:test:${i}`, addresses: [], routes: [] }),
    );
    const taps = await Promise.all(requests.map((request) => scratch.kernel.createTap(place.namespace, request)));
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await Promise.all(taps.map((tap) => scratch.kernel.removeTap(tap)));
    clearInterval(timer);
    assert.deepEqual(links(place.name), []);
    assert.ok(turns >= 5, `the event loop turned ${turns} times during about 8 x 16 ms`);
  });

  it('is refused with EBUSY while it is a port of the datapath, and changes nothing', async () => {
    const place = await scratch.place();
    const tap = await scratch.tap(place, tapRequest());
    assert.equal(native.addPort(0, tap.fd, PORT_TAP, tap.headerBytes), 0);
    try {
      await rejectsWith(scratch.kernel.removeTap(tap), 'EBUSY', /close/);
      assert.equal(link(place.name).linkinfo?.info_data.persist, true);
    } finally {
      native.removePort(0);
    }
    await scratch.kernel.removeTap(tap);
    assert.deepEqual(links(place.name), []);
  });

  it('finds and removes by alias what a daemon left that does not come back, and nothing of others', async () => {
    const place = await scratch.place();
    for (const [ifname, alias] of [
      ['eth0', 'weft:test:one'],
      ['eth1', 'weft:test:two'],
      ['eth2', 'weft:elsewhere:one'],
    ] as const) {
      const request = tapRequest({ ifname, alias, addresses: [], routes: [] });
      scratch.kernel.releaseTap(await scratch.kernel.createTap(place.namespace, request));
    }
    const found = await scratch.kernel.findTaps(place.namespace, 'weft:test:');
    assert.deepEqual(
      found.map(({ ifname, alias }) => [ifname, alias]),
      [
        ['eth0', 'weft:test:one'],
        ['eth1', 'weft:test:two'],
      ],
    );
    await scratch.kernel.removeFoundTap(place.namespace, found[0]!);
    await scratch.kernel.removeFoundTap(place.namespace, found[0]!);
    await scratch.kernel.removeFoundTap(place.namespace, { ...found[1]!, alias: 'weft:test:three' });
    assert.deepEqual((await scratch.kernel.interfaceNames(place.namespace)).sort(), ['eth1', 'eth2', 'lo']);
  });
});
