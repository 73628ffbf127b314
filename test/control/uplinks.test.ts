/** Uplinks of nat networks over a fake kernel: what becomes of them when the daemon or the world around them changes. */
import assert from 'node:assert/strict';
import { ROLE_UPLINK } from '../../src/datapath/program.js';
import { RequestError } from '../../src/model/problems.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';
import { ether, ipv4, udp } from '../support/frame-builders.js';

const ROUTER = '/run/netns/router';
const EBADFD = 77;

describe('an uplink', function uplink() {
  this.timeout(120_000);
  let lab: ControlLab;
  let remove: () => Promise<void>;

  beforeEach(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
    addRouter();
    await lab.controller.createCompartment({ name: 'web' });
  });

  afterEach(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  const addRouter = () => {
    const router = lab.machine.addNamespace(ROUTER);
    lab.machine.addInterface(router, 'lan').addresses.push('192.0.2.1/24');
    router.foreignRoutes.push({ destination: '192.0.2.0/24', gateway: null, metric: 0, device: 'lan' });
    router.foreignRoutes.push({ destination: '0.0.0.0/0', gateway: '192.0.2.254', metric: 0, device: 'lan' });
    return router;
  };
  const create = (name: string, more: object = {}) =>
    lab.controller.createNetwork({ name, type: 'nat', subnets: ['10.4.0.0/24'], uplinkNetns: ROUTER, ...more });
  const router = () => lab.machine.namespaces.get(ROUTER)!;
  const tap = (name = 'weft-front') => router().interfaces.get(name);
  const transits = () => lab.store.state.network('front').transit;
  /** The queue is serial: when a change of its own is done, so is everything before it. */
  const settle = () => lab.controller.deleteCompartment('nobody', false).catch(() => {});
  const told = (type: string) =>
    lab.controller.eventsSince(lab.formerEvents).flatMap((event) => (event.type === type ? [event.message] : []));

  it('is a TAP with a transit subnet of each family, routes to what is outside, and rules', async () => {
    const { outside } = await create('front', { subnets: ['10.4.0.0/24', 'fd04::/64'] });
    const [four = '', six = ''] = transits();
    assert.match(four, /^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.\d+\.\d+\/30$/);
    assert.match(six, /^fd.*\/126$/);
    assert.deepEqual(tap()?.addresses.length, 2);
    assert.deepEqual(outside?.state, 'ready');
    assert.deepEqual(
      outside?.nextHops,
      tap()?.addresses.map((text) => text.split('/')[0]),
    );
    const { ipv4, ipv6, rules, taps } = router().routing!;
    assert.deepEqual({ ipv4, ipv6, taps }, { ipv4: true, ipv6: true, taps: ['weft-front'] });
    for (const address of outside?.external ?? []) assert.ok(rules?.includes(address), address);
    assert.match(
      told('forwarding-enabled')[0] ?? '',
      /switched on in \/run\/netns\/router .*goes back with the last uplink/,
    );
  });

  it('has external addresses of the user routed to it, and takes no rules where none are wanted', async () => {
    await create('front', { externalIp: ['198.51.100.7'], masquerade: false });
    const weft = lab.controller.getNetwork('front');
    assert.deepEqual(weft.outside?.external, ['198.51.100.7']);
    const [route] = tap()?.routes ?? [];
    assert.deepEqual([route?.destination, tap()?.routes.length], ['198.51.100.7', 1]);
    assert.equal(router().routing?.rules, null);
  });

  it('warns of an external address that others look for on a segment of the machine', async () => {
    await create('front', { externalIp: ['192.0.2.50'] });
    assert.match(told('warning').join(), /nobody on the segment of lan finds 192\.0\.2\.50 \(ip neighbour add proxy/);
  });

  it('is refused an external address that the machine has itself, and leaves nothing', async () => {
    const [own = ''] = [...router().interfaces.get('lan')!.addresses].map((text) => text.split('/')[0]!);
    await assert.rejects(create('front', { externalIp: [own] }), (error: Error) => {
      assert.equal(error.message, `${own} is an address of lan in ${ROUTER} itself`);
      return true;
    });
    assert.deepEqual([tap(), router().routing], [undefined, null]);
  });

  it('warns of a firewall that drops what the namespace forwards', async () => {
    router().droppingChains.push('ip filter FORWARD');
    await create('front');
    assert.match(told('warning').join(), /\/run\/netns\/router drops .*chain ip filter FORWARD.*out of weft-front/);
  });

  it('has the IPv6 subnets routed to it when they are not translated', async () => {
    await create('front', { subnets: ['10.4.0.0/24', 'fd04::/64'], nat: { ipv6: 'routed' } });
    assert.deepEqual(
      tap()?.routes.map(({ destination }) => destination),
      ['fd04::/64'],
    );
    assert.equal(lab.controller.getNetwork('front').outside?.external.length, 1);
  });

  it('takes a transit subnet that overlaps nothing which the namespace reaches', async () => {
    const [from, to] = ['100.64.0.0/10', '100.127.255.252/30'];
    const half = ['100.64.0.0/11', '100.96.0.0/12', '100.112.0.0/13', '100.120.0.0/14', '100.124.0.0/15'];
    for (const destination of half)
      router().foreignRoutes.push({ destination, gateway: null, metric: 0, device: 'lan' });
    await create('front');
    assert.match(transits()[0] ?? '', /^100\.12[67]\./);
    router().foreignRoutes.push({ destination: from, gateway: null, metric: 0, device: 'lan' });
    await assert.rejects(
      create('back', { subnets: ['10.5.0.0/24'] }),
      (error) => error instanceof RequestError && /no transit subnet is left for IPv4/.test(error.message),
      to,
    );
  });

  it('shares the rules of the namespace with others, and takes its own along when it goes', async () => {
    await create('front');
    await create('back', { subnets: ['10.5.0.0/24'] });
    await lab.controller.createEndpoint({ name: 'e', network: 'front', compartment: 'web', publish: ['8080:80'] });
    assert.ok(router().routing?.rules?.includes('tcp dport 8080'));
    assert.deepEqual(router().routing?.taps, ['weft-back', 'weft-front']);
    await lab.controller.unpublishPorts({ endpoint: 'e' });
    assert.ok(!router().routing?.rules?.includes('8080'));
    await lab.controller.deleteNetwork('front', true);
    assert.deepEqual([router().routing?.taps, tap()], [['weft-back'], undefined]);
    await lab.controller.deleteNetwork('back', false);
    assert.deepEqual([router().routing, tap('weft-back')], [null, undefined]);
    assert.ok(!lab.kernel.openDescriptors.includes(`namespace ${ROUTER}`));
  });

  it('is found again by the next daemon, with its addresses, and its rules are made anew', async () => {
    await create('front', { subnets: ['10.4.0.0/24', 'fd04::/64'] });
    const [before, index, rules] = [transits(), tap()?.index, router().routing];
    for (const next of [() => lab.restart(), () => lab.crash()]) {
      router().routing = null;
      lab = await next();
      assert.deepEqual([transits(), tap()?.index, router().routing], [before, index, rules]);
      assert.equal(lab.controller.getNetwork('front').outside?.state, 'ready');
    }
  });

  it('leaves nothing in a namespace when the state does not know it any more', async () => {
    await create('front');
    lab.machine.addNamespace('/run/netns/old').routing = { ipv4: true, ipv6: false, rules: '', taps: [], proxies: [] };
    lab = await lab.crash();
    assert.equal(lab.machine.namespaces.get('/run/netns/old')?.routing, null);
    assert.notEqual(router().routing, null);
  });

  it('comes back by itself after another program removed its interface', async () => {
    await create('front');
    router().interfaces.delete('weft-front');
    const row = lab.store.state.network('front');
    const { portNetwork, networkRole } = lab.datapath.program;
    const port = portNetwork.findIndex((network) => networkRole[network] === ROLE_UPLINK);
    lab.datapath.reportFault(port, EBADFD);
    await settle();
    assert.equal(lab.controller.getNetwork('front').outside?.state, 'lost');
    assert.match(told('uplink-lost')[0] ?? '', /weft-front was removed by another program/);
    assert.equal(router().routing, null);
    await waitFor(() => told('uplink-restored').length === 1);
    assert.equal(lab.controller.getNetwork('front').outside?.state, 'ready');
    assert.deepEqual([tap()?.ifname, row.transit.length], ['weft-front', 1]);
  });

  it('comes back when its namespace, which ended, is made again', async () => {
    await create('front');
    lab.machine.endNamespace(ROUTER);
    await settle();
    assert.match(told('uplink-lost')[0] ?? '', /the namespace \/run\/netns\/router is gone/);
    assert.ok(!lab.kernel.openDescriptors.includes(`namespace ${ROUTER}`), 'nothing keeps the dead namespace alive');
    addRouter();
    await waitFor(() => told('uplink-restored').length === 1);
    assert.equal(lab.controller.getNetwork('front').outside?.state, 'ready');
    assert.notEqual(router().routing, null);
  });

  it('publishes no port that a program serves, and says which program it is', async () => {
    const serve = (protocol: 'tcp' | 'udp', address: string, port: number, pid: number, name = 'named') => {
      router().listeners.push({ protocol, address, port, inode: pid });
      if (pid > 0) lab.machine.socketOwners.set(pid, { pid, name, isWeft: name === 'weftd' });
    };
    serve('tcp', '0.0.0.0', 22, 812, 'sshd');
    serve('tcp', '::', 9090, 900, 'web');
    serve('tcp', '192.0.2.1', 8009, 901);
    serve('tcp', '127.0.0.1', 8007, 902);
    serve('udp', '127.0.0.53', 53, 903);
    serve('udp', '0.0.0.0', 4789, 904, 'weftd');
    serve('udp', '0.0.0.0', 51820, 0);
    for (const address of ['224.0.0.251', 'ff02::fb', '::1']) serve('udp', address, 5353, 905);
    const { outside } = await create('front', { subnets: ['10.4.0.0/24', 'fd04::/64'] });
    await lab.controller.createEndpoint({ name: 'e', network: 'front', compartment: 'web', publish: ['80:80'] });
    const on = (where: string) => `listens on ${where} in ${ROUTER}`;
    const REFUSED: [string, string, string][] = [
      [
        '22:80',
        `22:80/tcp cannot be published: sshd (pid 812) ${on('0.0.0.0:22')}`,
        'choose another host port, or stop sshd',
      ],
      [
        '[::]:9090:80',
        `[::]:9090:80/tcp cannot be published: web (pid 900) ${on('[::]:9090')}`,
        'choose another host port, or stop web',
      ],
      [
        '192.0.2.1:9000-9099:80',
        `192.0.2.1:9000-9099:80/tcp cannot be published: web (pid 900) ${on('[::]:9090')}`,
        'choose another host port, or stop web',
      ],
      [
        '8000-8010:80',
        `8000-8010:80/tcp cannot be published: named (pid 902) ${on('127.0.0.1:8007')}`,
        'choose another host port, or stop named, or name the address of the machine that is meant (HOSTIP:8000-8010:80/tcp)',
      ],
      [
        '4789:80/udp',
        `4789:80/udp cannot be published: weftd itself (pid 904) ${on('0.0.0.0:4789')}`,
        'choose another host port',
      ],
      [
        '51820:80/udp',
        `51820:80/udp cannot be published: the kernel, or a program that weftd does not see, ${on('0.0.0.0:51820')}`,
        'choose another host port',
      ],
    ];
    for (const [spec, message, remedy] of REFUSED) {
      await assert.rejects(lab.controller.publishPort({ endpoint: 'e', spec }), { code: 'conflict', message, remedy });
      const whole = { name: 'f', network: 'front', compartment: 'web', publish: [spec] };
      await assert.rejects(lab.controller.createEndpoint(whole), { code: 'conflict', message, remedy });
    }
    const FREE = [
      '192.0.2.1:8007:80',
      '192.0.2.1:53:53/udp',
      '22:80/udp',
      '[::]:23:80',
      '[fd00::1]:8009:80',
      '5353:80/udp',
    ];
    for (const spec of [...FREE, `${outside?.external[0]}:22:22`])
      await lab.controller.publishPort({ endpoint: 'e', spec });
    // What comes later takes nothing back.
    serve('tcp', '0.0.0.0', 80, 906);
    lab = await lab.crash();
    await lab.controller.publishPort({ endpoint: 'e', spec: '81:81' });
    assert.match(router().routing?.rules ?? '', /tcp dport 80 dnat/);
  });

  it('is waited for when its namespace is not there at the start', async () => {
    await create('front');
    lab.kernel.die();
    lab.machine.namespaces.delete(ROUTER);
    lab = await lab.crash();
    assert.equal(lab.controller.getNetwork('front').outside?.state, 'lost');
    assert.match(lab.controller.status().warnings.join('\n'), /network front has no uplink/);
    addRouter();
    await waitFor(() => lab.controller.getNetwork('front').outside?.state === 'ready');
  });

  describe('on raw sockets', () => {
    const onRaw = (more: object) => create('front', { uplink: 'raw', ...more });

    it('shares the address towards the default route, and keeps the machine from refusing what is for its ports', async () => {
      const { outside } = await onRaw({});
      assert.deepEqual([outside?.state, outside?.external], ['ready', ['192.0.2.1']]);
      const { ipv4, ipv6, rules } = router().routing!;
      assert.deepEqual([ipv4, ipv6], [false, false], 'nothing is forwarded');
      assert.match(rules ?? '', /tcp sport 61000-65535/);
      await lab.controller.createEndpoint({ name: 'e', network: 'front', compartment: 'web', publish: ['8080:80'] });
      assert.match(router().routing?.rules ?? '', /tcp sport 8080/);
      await lab.controller.deleteNetwork('front', true);
      assert.equal(router().routing, null);
    });

    it('takes in what comes to the address that it shares now, when the machine has got another one', async () => {
      await onRaw({});
      const taken = (to: string) => {
        const macs = { from: '02:00:00:00:00:01', to: '02:00:00:00:00:02' };
        const frame = ether(macs, ipv4({ from: '192.0.2.254', to }, udp(53, 61_000, 'for weft'))).bytes;
        lab.kernel.rawDelivery?.(Buffer.from(frame.subarray(14)));
        return lab.datapath.injected.splice(0).length;
      };
      assert.deepEqual(['192.0.2.1', '192.0.2.5'].map(taken), [1, 0]);
      router().interfaces.get('lan')!.addresses.splice(0, 1, '192.0.2.5/24');
      await lab.controller.patchNetwork('front', { mtu: 1400 });
      assert.deepEqual(lab.controller.getNetwork('front').outside?.external, ['192.0.2.5']);
      assert.deepEqual(['192.0.2.1', '192.0.2.5'].map(taken), [0, 1]);
    });

    it('publishes no port that a program serves at that address', async () => {
      await onRaw({});
      const { listeners } = router();
      listeners.push({ protocol: 'tcp', address: '192.0.2.1', port: 80, inode: 1 });
      listeners.push({ protocol: 'tcp', address: '127.0.0.1', port: 81, inode: 1 });
      const publish = (spec: string) =>
        lab.controller.createEndpoint({
          name: `e${spec.slice(0, 2)}`,
          network: 'front',
          compartment: 'web',
          publish: [spec],
        });
      await assert.rejects(publish('80:80'), /^RequestError: 80:80\/tcp cannot be published: .* 192\.0\.2\.1:80 in/);
      await publish('81:80');
    });

    it('is refused with an address that the machine has not, and with ports that it takes itself', async () => {
      const refused: [object, RegExp][] = [
        [{ externalIp: ['192.0.2.9'] }, /192\.0\.2\.9 is no address of \/run\/netns\/router/],
        [{ nat: { ports: { first: 60000, last: 61000 } } }, /overlap those that the machine takes itself/],
        [{ externalIp: ['2001:db8::1'] }, /shares one IPv4 address/],
      ];
      for (const [more, message] of refused) {
        await assert.rejects(onRaw(more), (error) => error instanceof RequestError && message.test(error.message));
      }
    });
  });

  describe('on an interface', () => {
    const onNic = (more: object) => create('front', { uplink: 'nic:lan', ...more });

    it('is a station of its own: nothing is changed there, and next hops are those of the machine', async () => {
      const { outside } = await onNic({ externalIp: ['192.0.2.9'] });
      assert.deepEqual(outside, {
        state: 'ready',
        interface: 'lan',
        external: ['192.0.2.9'],
        nextHops: ['192.0.2.254'],
      });
      assert.deepEqual([router().routing, [...router().interfaces.keys()]], [null, ['lan']]);
      await lab.controller.deleteNetwork('front', false);
      assert.deepEqual(
        lab.kernel.openDescriptors.filter((what) => /packet|router/.test(what)),
        [],
      );
      assert.deepEqual([...router().interfaces.keys()], ['lan']);
    });

    it('is refused with an address that the machine has, that is not of the segment, or on no interface', async () => {
      const refused: [object, RegExp][] = [
        [{ externalIp: ['192.0.2.1'] }, /192\.0\.2\.1 is the machine's own address on lan/],
        [{ externalIp: ['198.51.100.1'] }, /198\.51\.100\.1 is on no subnet of lan \(192\.0\.2\.0\/24\)/],
        [{ externalIp: ['192.0.2.9'], uplink: 'nic:nope' }, /there is no interface nope in \/run\/netns\/router/],
      ];
      for (const [more, message] of refused) {
        await assert.rejects(onNic(more), (error) => error instanceof RequestError && message.test(error.message));
      }
    });

    it('is opened again after a restart', async () => {
      await onNic({ externalIp: ['192.0.2.9'], nextHop: ['192.0.2.253'] });
      lab = await lab.crash();
      assert.deepEqual(lab.controller.getNetwork('front').outside?.nextHops, ['192.0.2.253']);
    });
  });
});

async function waitFor(condition: () => boolean): Promise<void> {
  const end = Date.now() + 30_000;
  while (!condition()) {
    assert.ok(Date.now() < end, 'it never happened');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
