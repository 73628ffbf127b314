/** What VTEPs are made of in the kernel: UDP sockets as ports, TAPs with tunnel offload, addresses that the kernel answers for. */
import assert from 'node:assert/strict';
import { KernelError, type TapRequest, type UdpRequest } from '../../src/control/kernel/kernel.js';
import { createLinuxKernel } from '../../src/control/kernel/linux-kernel.js';
import { ACCEPTS_TUNNEL_GSO, PORT_UDP } from '../../src/datapath/program.js';
import { native } from '../../src/native/index.js';
import { ip, needsRoot, type Place, run, Scratch } from './scratch.js';

const SENDER_PORTS =
  /192\.0\.2\.1:(49[2-9]\d\d|4915[2-9]|491[6-9]\d|5\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])\s/;

function socket(udp: Partial<UdpRequest> = {}): TapRequest {
  const given = { address: '192.0.2.1', port: 4789, isSender: false, group: null, ...udp };
  const nothing = { alias: '', mac: '', mtu: 1500, addresses: [], routes: [], offload: false, hostSide: false };
  return { kind: 'udp', ifname: 'a socket of the test', ...nothing, udp: given };
}

describe('kernel: ports of VTEPs', function () {
  this.timeout(120_000);
  let scratch: Scratch;
  let place: Place;
  before(needsRoot);
  beforeEach(async () => {
    scratch = new Scratch();
    place = await scratch.foreignPlace();
    ip(place.name, 'link', 'set', 'lo', 'up');
    ip(place.name, 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'wan');
    ip(place.name, 'address', 'add', '192.0.2.1/24', 'dev', 'lan');
    ip(place.name, 'link', 'set', 'lan', 'up');
    ip(place.name, 'link', 'set', 'wan', 'up');
  });
  afterEach(() => scratch.close());

  const inside = (...command: string[]) => run('ip', 'netns', 'exec', place.name, ...command);
  const refusedWith = (errno: string) => (error: unknown) => error instanceof KernelError && error.errno === errno;

  it('are UDP sockets: one that receives, and senders on ports of their own', async () => {
    const receiver = await scratch.tap(place, socket());
    const sender = await scratch.tap(place, socket({ port: 0, isSender: true }));
    assert.deepEqual([receiver.portKind, receiver.headerBytes, sender.portKind], [PORT_UDP, 0, PORT_UDP]);
    const listening = inside('ss', '-Hnul').trim().split('\n');
    assert.equal(listening.filter((line) => line.includes('192.0.2.1:4789')).length, 1);
    assert.equal(listening.filter((line) => SENDER_PORTS.test(line)).length, 1);
    assert.equal(native.udpPort(receiver.fd), 4789);
    await scratch.kernel.removeTap(receiver);
    assert.equal(receiver.currentName(), null);
    assert.ok(!inside('ss', '-Hnul').includes(':4789'));
  });

  it('are refused where somebody has the port, or nobody the address', async () => {
    ip(place.name, 'link', 'add', 'vx', 'type', 'vxlan', 'id', '5', 'dstport', '4790', 'dev', 'lan');
    ip(place.name, 'link', 'set', 'vx', 'up');
    await assert.rejects(scratch.tap(place, socket({ port: 4790 })), refusedWith('EADDRINUSE'));
    await assert.rejects(scratch.tap(place, socket({ address: '192.0.2.77' })), refusedWith('EADDRNOTAVAIL'));
    assert.deepEqual(await scratch.kernel.vxlanInterfaces(place.namespace), [{ ifname: 'vx', udpPort: 4790 }]);
  });

  it('hear the multicast group that they are bound to', async () => {
    await scratch.tap(place, socket({ address: '239.1.1.1', group: { address: '239.1.1.1', ifname: 'lan' } }));
    assert.match(inside('ip', 'maddress', 'show', 'dev', 'lan'), /inet\s+239\.1\.1\.1/);
  });

  it('are TAPs whose station the kernel knows, with a header for tunnels where the kernel cuts super-frames in tunnels', async () => {
    const request: TapRequest = {
      ...{
        kind: 'uplink',
        ifname: 'vtep0',
        alias: 'weft:test:vtep.1',
        mac: '02:00:00:00:00:01',
        mtu: 1500,
        addresses: [],
      },
      routes: [{ destination: '192.0.2.7/32', gateway: null, metric: 0 }],
      neighbours: [{ address: '192.0.2.7', mac: '02:00:00:00:00:02' }],
      ...{ offload: true, tunnelOffload: true, hostSide: true },
    };
    const tap = await scratch.tap(place, request);
    assert.equal(tap.headerBytes, tap.accepts & ACCEPTS_TUNNEL_GSO ? 24 : 12);
    assert.match(inside('ip', 'neighbour', 'show', 'dev', 'vtep0'), /192\.0\.2\.7 lladdr 02:00:00:00:00:02 PERMANENT/);
    assert.match(inside('ip', 'route', 'get', '192.0.2.7'), /dev vtep0/);
    scratch.kernel.releaseTap(tap);
    inside('ip', 'neighbour', 'flush', 'dev', 'vtep0', 'nud', 'permanent');
    const adopted = await scratch.kernel.adoptTap(place.namespace, request);
    assert.deepEqual([adopted?.headerBytes, adopted?.accepts], [tap.headerBytes, tap.accepts]);
    assert.match(inside('ip', 'neighbour', 'show', 'dev', 'vtep0'), /02:00:00:00:00:02 PERMANENT/);
    if (adopted !== null) scratch.own(adopted);
  });

  describe('and addresses behind them', () => {
    const proxies = () => ['-4', '-6'].map((family) => inside('ip', family, 'neighbour', 'show', 'proxy').trim());
    const setting = () =>
      ['ipv6/conf/lan/proxy_ndp', 'ipv4/neigh/lan/proxy_delay', 'ipv6/neigh/lan/proxy_delay']
        .map((key) => inside('cat', `/proc/sys/net/${key}`).trim())
        .join(' ');
    const routing = { ipv4: true, ipv6: true, rules: null, taps: [] };
    const [four, six] = [
      { address: '192.0.2.7', ifname: 'lan' },
      { address: '2001:db8::7', ifname: 'lan' },
    ];

    it('are answered for while they are wanted, and not any longer', async () => {
      const { kernel } = scratch;
      await kernel.setRouting(place.namespace, { ...routing, proxies: [four, six] });
      assert.match(proxies()[0]!, /^192\.0\.2\.7 dev lan proxy\b/);
      assert.match(proxies()[1]!, /^2001:db8::7 dev lan proxy\b/);
      assert.equal(setting(), '1 0 0');
      await kernel.setRouting(place.namespace, { ...routing, proxies: [six] });
      assert.equal(proxies()[0], '');
      assert.match(proxies()[1]!, /^2001:db8::7/);
      await kernel.clearRouting(place.namespace);
      assert.deepEqual([proxies(), setting()], [['', ''], '0 80 80']);
    });

    it('are answered for again after their interface was down', async () => {
      const { kernel } = scratch;
      await kernel.setRouting(place.namespace, { ...routing, proxies: [four, six] });
      // Linux forgets them with that, and with a lost carrier.
      ip(place.name, 'link', 'set', 'lan', 'down');
      ip(place.name, 'link', 'set', 'lan', 'up');
      for (let n = 0; n < 2; n++) await kernel.renewProxies(place.namespace, [four, six]);
      assert.match(proxies()[0]!, /^192\.0\.2\.7 dev lan proxy\b/);
      assert.match(proxies()[1]!, /^2001:db8::7 dev lan proxy\b/);
      await kernel.clearRouting(place.namespace);
      assert.deepEqual(proxies(), ['', '']);
    });

    it('are forgotten by the next daemon when one was killed', async () => {
      const killed = createLinuxKernel({ runDir: scratch.runDir, instance: 'test' });
      await killed.setRouting(place.namespace, { ...routing, proxies: [four] });
      killed.closeNamespace(killed.hostNamespace());
      await scratch.kernel.clearRouting(place.namespace);
      assert.deepEqual(proxies(), ['', '']);
    });

    it('do not matter any more when their interface is gone', async () => {
      const { kernel } = scratch;
      await kernel.setRouting(place.namespace, { ...routing, proxies: [four] });
      ip(place.name, 'link', 'delete', 'lan');
      await kernel.setRouting(place.namespace, { ...routing, proxies: [four] });
      await kernel.clearRouting(place.namespace);
      assert.deepEqual(proxies(), ['', '']);
    });
  });
});
