// What weft changes of a namespace that an uplink leads into, in real namespaces, and that nothing of it stays.
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Kernel, RoutingRequest } from '../../src/control/kernel/kernel.js';
import { createLinuxKernel } from '../../src/control/kernel/linux-kernel.js';
import { formatRules } from '../../src/control/uplinks/uplink-rules.js';
import { ip, needsRoot, type Place, rejectsWith, run, Scratch, tapRequest } from './scratch.js';

const TARGET = '100.64.0.2';
const RULES = formatRules([
  {
    ifname: 'eth0',
    masquerade: [TARGET, 'fd00::2'],
    external: [TARGET, 'fd00::2'],
    published: [
      { protocol: 'tcp', family: 4, hostAddress: null, first: 8080, last: 8080, target: TARGET },
      { protocol: 'udp', family: 4, hostAddress: '192.0.2.1', first: 5000, last: 5009, target: TARGET },
      { protocol: 'tcp', family: 6, hostAddress: null, first: 8080, last: 8080, target: 'fd00::2' },
    ],
  },
]);

const BARE = { ifname: 'eth0', masquerade: [], external: [TARGET], published: [] };

function request(changes: Partial<RoutingRequest> = {}): RoutingRequest {
  return { ipv4: true, ipv6: true, rules: RULES, taps: [], proxies: [], ...changes };
}

describe('kernel: routing of a namespace', function () {
  this.timeout(120_000);
  let scratch: Scratch;
  let place: Place;
  before(needsRoot);
  beforeEach(async () => {
    scratch = new Scratch();
    place = await scratch.foreignPlace();
  });
  afterEach(() => scratch.close());

  const inside = (...command: string[]) => run('ip', 'netns', 'exec', place.name, ...command);
  const sysctl = (key: string) => inside('cat', `/proc/sys/net/${key}`).trim();
  const forwarding = () => [sysctl('ipv4/ip_forward'), sysctl('ipv6/conf/all/forwarding')];
  const tables = () => inside('nft', 'list', 'tables').trim();
  const marks = () => readdirSync(join(scratch.runDir, 'routing'));

  it('has it forward and have the rules, and all is as before when it is taken back', async () => {
    const { kernel } = scratch;
    const changed = await kernel.setRouting(place.namespace, request());
    assert.deepEqual(changed, ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding']);
    assert.deepEqual(forwarding(), ['1', '1']);
    assert.equal(tables(), 'table inet weft_test');
    assert.equal(marks().length, 1);
    await kernel.clearRouting(place.namespace);
    assert.deepEqual([forwarding(), tables(), marks()], [['0', '0'], '', []]);
  });

  it('replaces its table and nothing else when it is asked again', async () => {
    const { kernel } = scratch;
    inside('nft', 'add', 'table', 'inet', 'mine');
    await kernel.setRouting(place.namespace, request());
    assert.deepEqual(await kernel.setRouting(place.namespace, request({ rules: formatRules([BARE]) })), []);
    assert.equal(tables(), 'table inet mine\ntable inet weft_test');
    assert.ok(!inside('nft', 'list', 'ruleset').includes('8080'));
    await kernel.clearRouting(place.namespace);
    assert.deepEqual([forwarding(), tables()], [['0', '0'], 'table inet mine']);
  });

  it('leaves on what was on before, and what somebody has changed since', async () => {
    const { kernel } = scratch;
    inside('sysctl', '-q', 'net.ipv4.ip_forward=1');
    assert.deepEqual(await kernel.setRouting(place.namespace, request({ rules: null })), [
      'net.ipv6.conf.all.forwarding',
    ]);
    await kernel.clearRouting(place.namespace);
    assert.deepEqual(forwarding(), ['1', '0']);
  });

  it('goes on listening to router advertisements where the machine did', async () => {
    const { kernel } = scratch;
    ip(place.name, 'link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'wan');
    inside('sysctl', '-q', 'net.ipv6.conf.lan.accept_ra=1');
    await kernel.setRouting(place.namespace, request());
    assert.equal(sysctl('ipv6/conf/lan/accept_ra'), '2');
    await kernel.clearRouting(place.namespace);
    assert.equal(sysctl('ipv6/conf/lan/accept_ra'), '1');
  });

  it('lets loopback addresses through a TAP only together with rules', async () => {
    const { kernel } = scratch;
    await scratch.tap(place, tapRequest({ kind: 'uplink', hostSide: true, routes: [] }));
    const passes = () => sysctl('ipv4/conf/eth0/route_localnet');
    await kernel.setRouting(place.namespace, request({ rules: null, taps: ['eth0'] }));
    assert.equal(passes(), '0');
    await kernel.setRouting(place.namespace, request({ taps: ['eth0'] }));
    assert.equal(passes(), '1');
    await kernel.setRouting(place.namespace, request({ rules: null, taps: ['eth0'] }));
    assert.deepEqual([passes(), tables()], ['0', '']);
    assert.equal(sysctl('ipv4/conf/eth0/send_redirects'), '0');
  });

  it('stays on while another daemon has an uplink there, and the last one that leaves puts everything back', async () => {
    const [first, second] = ['one', 'two'].map((instance) =>
      createLinuxKernel({ runDir: join(scratch.runDir, instance), instance }),
    ) as [Kernel, Kernel];
    try {
      const { namespace } = place;
      const tapOf = (instance: string) => ({
        alias: `weft:${instance}:uplink.x`,
        ifname: instance,
        kind: 'uplink' as const,
      });
      const addresses = { addresses: [], routes: [] };
      const taps = [
        scratch.own(await first.createTap(namespace, tapRequest({ ...tapOf('one'), ...addresses }))),
        scratch.own(await second.createTap(namespace, tapRequest({ ...tapOf('two'), ...addresses }))),
      ];
      await first.setRouting(namespace, request());
      assert.deepEqual(await second.setRouting(namespace, request()), [], 'all is on already');
      await first.removeTap(taps[0]!);
      await first.clearRouting(namespace);
      assert.deepEqual([forwarding(), tables()], [['1', '1'], 'table inet weft_two']);
      await second.removeTap(taps[1]!);
      await second.clearRouting(namespace);
      assert.deepEqual([forwarding(), tables()], [['0', '0'], '']);
    } finally {
      for (const kernel of [first, second]) kernel.closeNamespace(kernel.hostNamespace());
    }
  });

  it('changes nothing when nftables refuses the rules', async () => {
    const { kernel } = scratch;
    const nonsense = request({ rules: 'chain x { nonsense }\n' });
    await rejectsWith(kernel.setRouting(place.namespace, nonsense), 'EINVAL', /^nft on -f -: EINVAL \(syntax error/);
    assert.deepEqual([forwarding(), tables(), marks()], [['0', '0'], '', []]);
  });

  it('is taken back by the next daemon when one was killed', async () => {
    const killed = createLinuxKernel({ runDir: scratch.runDir, instance: 'test' });
    await killed.setRouting(place.namespace, request());
    killed.closeNamespace(killed.hostNamespace());
    const next: Kernel = scratch.kernel;
    assert.deepEqual(await next.routedNamespaces(), [place.namespace.path]);
    await next.clearRouting(place.namespace);
    assert.deepEqual([forwarding(), tables(), await next.routedNamespaces()], [['0', '0'], '', []]);
  });

  it('forgets a namespace whose name is gone or belongs to another one now', async () => {
    const { kernel } = scratch;
    await kernel.setRouting(place.namespace, request());
    run('ip', 'netns', 'del', place.name);
    assert.deepEqual([await kernel.routedNamespaces(), marks()], [[], []]);
    run('ip', 'netns', 'add', place.name);
    assert.deepEqual(await kernel.routedNamespaces(), []);
    rmSync(join(scratch.runDir, 'routing'), { recursive: true });
    assert.deepEqual(await kernel.routedNamespaces(), []);
  });
});
