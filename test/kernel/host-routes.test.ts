/**
 * What the host reaches already, so that a new network does not overlap it; and lists that exotic interfaces are in.
 */
import assert from 'node:assert/strict';
import type { Kernel } from '../../src/control/kernel/kernel.js';
import { createLinuxKernel } from '../../src/control/kernel/linux-kernel.js';
import { ip, needsRoot, type Place, run, Scratch, tapRequest } from './scratch.js';

describe('kernel: routes and interfaces of the host', () => {
  let scratch: Scratch;
  let host: Place;
  let kernel: Kernel;
  before(needsRoot);
  beforeEach(async () => {
    scratch = new Scratch();
    host = await scratch.place();
    kernel = createLinuxKernel({ runDir: scratch.runDir, instance: 'test', hostPath: host.namespace.path });
    scratch.keep(kernel.hostNamespace());
    ip(host.name, 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan1');
    for (const ifname of ['lan0', 'lan1']) ip(host.name, 'link', 'set', ifname, 'up');
    ip(host.name, 'address', 'add', '192.0.2.1/24', 'dev', 'lan0');
    ip(host.name, 'address', 'add', '2001:db8::1/64', 'dev', 'lan0', 'nodad');
  });
  afterEach(() => scratch.close());

  it('are those of the main table, with their devices; no default, local, link-local or multicast ones', async () => {
    ip(host.name, 'route', 'add', 'default', 'via', '192.0.2.254');
    ip(host.name, '-6', 'route', 'add', 'default', 'via', '2001:db8::ff');
    ip(host.name, 'route', 'add', '198.51.100.0/25', 'via', '192.0.2.9');
    ip(host.name, 'route', 'add', '10.1.0.0/16', 'nexthop', 'via', '192.0.2.7', 'nexthop', 'via', '192.0.2.8');
    ip(host.name, '-6', 'route', 'add', '2001:db8:7::/48', 'dev', 'lan1');
    ip(host.name, 'route', 'add', 'blackhole', '10.2.0.0/16');
    ip(host.name, 'route', 'add', '10.3.0.0/16', 'dev', 'lan0', 'table', '77');
    const found = (await kernel.hostRoutes()).map(({ destination, device }) => `${destination} ${device}`);
    assert.deepEqual(found.sort(), [
      '10.1.0.0/16 lan0',
      '192.0.2.0/24 lan0',
      '198.51.100.0/25 lan0',
      '2001:db8:7::/48 lan1',
      '2001:db8::/64 lan0',
    ]);
  });

  it("leave out those over this instance's interfaces, not those of another weft", async () => {
    const request = (ifname: string, alias: string, address: string) =>
      tapRequest({ ifname, alias, addresses: [address], routes: [], hostSide: true });
    await scratch.tap(host, request('weft-one', 'weft:test:one', '203.0.113.1/25'));
    await scratch.tap(host, request('weft-two', 'weft:elsewhere:one', '203.0.113.129/25'));
    const found = (await kernel.hostRoutes()).map(({ destination, device }) => `${destination} ${device}`);
    assert.deepEqual(found.sort(), ['192.0.2.0/24 lan0', '2001:db8::/64 lan0', '203.0.113.128/25 weft-two']);
  });

  it('are read whole where there are thousands', async () => {
    const lines = Array.from({ length: 3000 }, (_, i) => `route add 10.${i >> 8}.${i & 255}.0/24 dev lan0`);
    run('sh', '-c', `printf '%s\\n' "$1" | ip -n ${host.name} -batch -`, 'sh', lines.join('\n'));
    assert.equal((await kernel.hostRoutes()).length, 3002);
  });

  it('names all interfaces, of whatever kind', async () => {
    const kinds = [
      'bridge',
      'vxlan',
      'gre',
      'sit',
      'ipvlan',
      'macvlan',
      'vlan',
      'bond',
      'dummy',
      'wireguard',
      'ip6tnl',
      'vcan',
    ];
    const options: Record<string, string[]> = {
      vxlan: ['id', '7', 'dstport', '4789'],
      vlan: ['id', '5'],
      gre: ['local', '192.0.2.1', 'remote', '192.0.2.2'],
      sit: ['local', '192.0.2.1', 'remote', '192.0.2.2'],
    };
    const made: string[] = [];
    for (const kind of kinds) {
      const lower = ['ipvlan', 'macvlan', 'vlan'].includes(kind) ? ['link', 'lan1'] : [];
      try {
        ip(host.name, 'link', 'add', ...lower, 'name', `x-${kind}`, 'type', kind, ...(options[kind] ?? []));
        made.push(`x-${kind}`);
      } catch {
        // this kernel has no such interfaces
      }
    }
    run('ip', '-n', host.name, 'tuntap', 'add', 'dev', 'x-tun', 'mode', 'tun');
    const names = await kernel.interfaceNames(host.namespace);
    const shown = ip(host.name, '-brief', 'link', 'show').trim().split('\n');
    assert.deepEqual(names.sort(), shown.map((line) => line.split(/[\s@]/)[0]).sort());
    assert.ok(names.includes('x-tun') && made.every((name) => names.includes(name)));
  });
});
