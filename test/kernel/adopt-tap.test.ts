/**
 * A restarted daemon takes its TAPs over: what is right stays untouched, what differs is repaired, connections live on.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Tap } from '../../src/control/kernel/kernel.js';
import { Pump } from './pump.js';
import {
  addresses,
  ip,
  link,
  links,
  needsRoot,
  type Place,
  rejectsWith,
  routes,
  run,
  Scratch,
  snapshot,
  tapRequest,
  until,
} from './scratch.js';

describe('kernel: adopting a TAP', function () {
  this.timeout(120_000);
  let scratch: Scratch;
  before(needsRoot);
  beforeEach(() => {
    scratch = new Scratch();
  });
  afterEach(() => scratch.close());

  /** A TAP as a daemon that has ended left it. */
  async function orphan(): Promise<Place> {
    const place = await scratch.place();
    scratch.kernel.releaseTap(await scratch.kernel.createTap(place.namespace, tapRequest()));
    return place;
  }

  async function adopt(place: Place, changes: Parameters<typeof tapRequest>[0] = {}): Promise<Tap> {
    const tap = await scratch.kernel.adoptTap(place.namespace, tapRequest(changes));
    assert.ok(tap, 'there is a TAP to adopt');
    return scratch.own(tap);
  }

  it('is DOWN while no daemon has it, UP again once adopted', async () => {
    const place = await orphan();
    assert.ok(await until(() => link(place.name).operstate === 'DOWN', 3000), link(place.name).operstate);
    await adopt(place);
    assert.ok(await until(() => link(place.name).operstate === 'UP', 3000), link(place.name).operstate);
  });

  it('finds nothing where there is none of that alias, and takes no other', async () => {
    const place = await orphan();
    const before = snapshot(place.name);
    assert.equal(await scratch.kernel.adoptTap(place.namespace, tapRequest({ alias: 'weft:test:other' })), null);
    const empty = await scratch.place();
    assert.equal(await scratch.kernel.adoptTap(empty.namespace, tapRequest()), null);
    assert.equal(snapshot(place.name), before);
    assert.deepEqual(links(empty.name), []);
  });

  it('changes nothing that is right: the kernel reports no address, route or link setting that went', async () => {
    const place = await orphan();
    const before = snapshot(place.name);
    const monitor = scratch.start(place.name, 'ip', '-timestamp', 'monitor', 'address', 'route');
    let seen = '';
    monitor.stdout?.on('data', (text) => {
      seen += text;
    });
    await sleep(300);
    await adopt(place);
    ip(place.name, 'address', 'add', '203.0.113.77/32', 'dev', 'eth0'); // proves that the monitor listens
    assert.ok(await until(() => seen.includes('203.0.113.77'), 3000));
    assert.doesNotMatch(seen, /Deleted/);
    assert.doesNotMatch(seen, /192\.0\.2\.2|2001:db8::2|default/);
    ip(place.name, 'address', 'del', '203.0.113.77/32', 'dev', 'eth0');
    assert.equal(snapshot(place.name), before);
  });

  it('repairs MAC, MTU, a missing address, a missing route and an interface that is down', async () => {
    const place = await orphan();
    ip(place.name, 'link', 'set', 'eth0', 'down', 'mtu', '1300', 'address', '02:00:00:00:00:ff');
    ip(place.name, 'address', 'del', '192.0.2.2/24', 'dev', 'eth0');
    await adopt(place);
    const { address, mtu, flags } = link(place.name);
    assert.deepEqual([address, mtu, flags.includes('UP')], ['02:00:00:00:00:0a', 1400, true]);
    assert.deepEqual(addresses(place.name), ['192.0.2.2/24', '2001:db8::2/64']);
    assert.equal(routes(place.name).length, 2);
  });

  it('finds it under another name, and keeps that name', async () => {
    const place = await orphan();
    ip(place.name, 'link', 'set', 'eth0', 'down');
    ip(place.name, 'link', 'set', 'eth0', 'name', 'renamed');
    const tap = await adopt(place);
    assert.equal(tap.currentName(), 'renamed');
    assert.deepEqual(
      links(place.name).map(({ ifname }) => ifname),
      ['renamed'],
    );
    assert.deepEqual(addresses(place.name, 'renamed'), ['192.0.2.2/24', '2001:db8::2/64']);
  });

  it('keeps addresses and routes that somebody added by hand', async () => {
    const place = await orphan();
    ip(place.name, 'address', 'add', '192.0.2.99/24', 'dev', 'eth0');
    ip(place.name, 'address', 'add', '2001:db8::99/64', 'dev', 'eth0', 'nodad');
    ip(place.name, 'route', 'add', '198.51.100.0/24', 'via', '192.0.2.50');
    await adopt(place);
    assert.deepEqual(
      new Set(addresses(place.name)),
      new Set(['192.0.2.2/24', '192.0.2.99/24', '2001:db8::2/64', '2001:db8::99/64']),
    );
    assert.ok(routes(place.name).some((route) => route.startsWith('198.51.100.0/24 via 192.0.2.50')));
  });

  it('removes what weft had set and wants no more, and nothing that hangs on it', async () => {
    const place = await orphan();
    ip(place.name, 'address', 'add', '192.0.2.99/24', 'dev', 'eth0'); // secondary: goes with its primary
    await adopt(place, {
      addresses: ['192.0.2.3/24', '2001:db8::3/64'],
      routes: [{ destination: '0.0.0.0/0', gateway: '192.0.2.254', metric: 0 }],
    });
    assert.deepEqual(new Set(addresses(place.name)), new Set(['192.0.2.3/24', '192.0.2.99/24', '2001:db8::3/64']));
    assert.deepEqual(routes(place.name), ['default via 192.0.2.254 dev eth0 proto 119']);
  });

  it("leaves a default route that the user put in the place of weft's", async () => {
    const place = await orphan();
    ip(place.name, 'route', 'replace', 'default', 'via', '192.0.2.77');
    await adopt(place);
    assert.ok(routes(place.name).some((route) => route.startsWith('default via 192.0.2.77')));
    assert.equal(routes(place.name).filter((route) => route.startsWith('default via 192.0.2.')).length, 1);
  });

  it('changes the offload of an existing TAP to what is asked now', async () => {
    const place = await orphan();
    const tap = await adopt(place, { offload: false });
    assert.equal(tap.accepts, 0);
    assert.match(run('ip', 'netns', 'exec', place.name, 'ethtool', '-k', 'eth0'), /tcp-segmentation-offload: off/);
  });

  it('is refused with EBUSY while another process has it open, which does not notice', async () => {
    const place = await scratch.place();
    await scratch.tap(place, tapRequest());
    const before = snapshot(place.name);
    await rejectsWith(scratch.kernel.adoptTap(place.namespace, tapRequest()), 'EBUSY', /TUNSETIFF on eth0/);
    assert.equal(snapshot(place.name), before);
  });

  it('lets an established TCP connection live on', async () => {
    const [left, right] = [await scratch.place(), await scratch.place()];
    const requests = [
      tapRequest({ alias: 'weft:test:left', mac: '02:00:00:00:00:01', addresses: ['192.0.2.1/24'], routes: [] }),
      tapRequest({ alias: 'weft:test:right', mac: '02:00:00:00:00:02', addresses: ['192.0.2.2/24'], routes: [] }),
    ] as const;
    let taps = [
      await scratch.kernel.createTap(left.namespace, requests[0]),
      await scratch.kernel.createTap(right.namespace, requests[1]),
    ];
    let pump = new Pump(taps[0]!, taps[1]!);
    const server = scratch.start(right.name, process.execPath, '-e', SERVER);
    let received = '';
    server.stdout?.on('data', (text) => {
      received += text;
    });
    assert.ok(await until(() => received.includes('listening\n'), 5000));
    const client = scratch.start(left.name, process.execPath, '-e', CLIENT);
    assert.ok(await until(() => received.includes('line 9\n'), 10_000), received);

    pump.stop();
    for (const tap of taps) scratch.kernel.releaseTap(tap); // what the end of a daemon does
    await sleep(1200);
    const last = received;
    taps = [
      scratch.own((await scratch.kernel.adoptTap(left.namespace, requests[0]))!),
      scratch.own((await scratch.kernel.adoptTap(right.namespace, requests[1]))!),
    ];
    pump = new Pump(taps[0]!, taps[1]!);
    assert.ok(await until(() => received.includes('line 60\n'), 15_000), received);
    pump.stop();
    assert.ok(!last.includes('line 59\n'), 'the gap was in the middle');
    assert.equal(received.split('connected\n').length - 1, 1, 'one connection, never a second one');
    const numbers = [...received.matchAll(/line (\d+)\n/g)].map(([, number]) => Number(number));
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => i),
      'each line once, in order',
    );
    assert.equal(client.exitCode, null);
  });
});

/** Prints what it gets, and when somebody connects. */
const SERVER = `
  const server = require('node:net').createServer((socket) => {
    process.stdout.write('connected\\n');
    socket.on('data', (text) => process.stdout.write(text));
    socket.on('error', (error) => process.stdout.write(String(error)));
  });
  server.listen(7000, '192.0.2.2', () => process.stdout.write('listening\\n'));
`;
/** Sends a numbered line every 50 ms over one connection. */
const CLIENT = `
  const socket = require('node:net').connect(7000, '192.0.2.2', () => {
    let i = 0;
    setInterval(() => socket.write('line ' + i++ + '\\n'), 50);
  });
  socket.on('error', () => process.exit(1));
`;
