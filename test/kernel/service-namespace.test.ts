/** Where the services of gateways live: a namespace that nobody finds, with TAPs over which its kernel says nothing by itself. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Namespace, Tap } from '../../src/control/kernel/kernel.js';
import { LISTEN_UDP, native } from '../../src/native/index.js';
import { framesOf, needsRoot, run, Scratch, tapRequest } from './scratch.js';

/** Long enough for the first reports and solicitations of a kernel that makes some (host-side.test.ts hears them). */
const LISTEN_MS = 3000;
const MAC = '02:00:5e:00:00:01';

describe('kernel: the service namespace', function () {
  this.timeout(120_000);
  let scratch: Scratch;
  let namespace: Namespace;
  let tap: Tap;
  before(needsRoot);
  beforeEach(async () => {
    scratch = new Scratch();
    namespace = scratch.keep(await scratch.kernel.makeServiceNamespace());
    const addresses = ['192.0.2.1/24', '2001:db8::1/64'];
    const request = tapRequest({ kind: 'service', mac: MAC, addresses, routes: [], hostSide: true });
    tap = await scratch.tap({ name: '', namespace }, request);
  });
  afterEach(() => scratch.close());

  const inside = (...command: string[]) => run('nsenter', `--net=/proc/${process.pid}/fd/${namespace.fd}`, ...command);

  it('forwards nothing, takes packets whatever way they come, and lets a daemon without privileges have port 53', () => {
    const read = (key: string) => inside('cat', `/proc/sys/net/ipv4/${key}`).trim();
    const keys = ['ip_forward', 'conf/all/rp_filter', 'conf/eth0/rp_filter', 'ip_unprivileged_port_start'];
    assert.deepEqual(keys.map(read), ['0', '0', '0', '0']);
    assert.match(inside('ip', '-brief', 'link', 'show', 'lo'), /LOOPBACK,UP/);
  });

  it('says nothing over a TAP by itself, and asks nobody for the MAC of whom it answers', async () => {
    await sleep(LISTEN_MS);
    assert.deepEqual(framesOf(tap), []);
    for (const [address, to, type] of [
      ['192.0.2.1', '192.0.2.7', 'udp4'] as const,
      ['2001:db8::1', '2001:db8::7', 'udp6'] as const,
    ]) {
      const fd = native.openListener(namespace.fd, LISTEN_UDP, address, 53, 'eth0');
      assert.ok(fd >= 0);
      native.disownFd(fd);
      const socket = createSocket(type);
      socket.bind({ fd });
      socket.send('answer', 4000, to);
      for (let turn = 0, frames: Buffer[] = []; frames.length === 0; turn++) {
        assert.ok(turn < 100, 'a frame');
        await sleep(10);
        frames = framesOf(tap);
        if (frames.length === 0) continue;
        const macs = frames.map((frame) => frame.subarray(0, 12).toString('hex'));
        assert.deepEqual(macs, [MAC.replaceAll(':', '').repeat(2)], 'to the MAC of the gateway itself, for the router');
      }
      socket.close();
    }
  });
});
