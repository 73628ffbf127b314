// Overlay networks between hosts that all run weft: reaching each other, keeping connections, moving stations, leaving no trace.
import assert from 'node:assert/strict';
import type { Daemon } from '../support/system-daemon.js';
import { type Lab, type Subnet, useLab } from '../support/system-lab.js';
import { addressesReady } from '../support/system-nat.js';
import {
  createHosts,
  type Family,
  type OverlayHost,
  UNDERLAY_IFNAME,
  UNDERLAY_MTU,
  VXLAN_OVERHEAD,
  vtepOf,
} from '../support/system-overlay.js';
import { createSide, type Side } from '../support/system-pair.js';
import { run, waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

const MEGABYTE = 1e6;
const BASES = ['one', 'two', 'three'];
const MAC = '02:00:00:00:00:66';
/** The kernel tells a VTEP on a TAP of hosts that are not there yet, by ICMP. */
const UNANSWERED = 'no-service';

let networks = 0;

/** One overlay network on some of the hosts, with a station on each. */
interface Overlay {
  network: string;
  subnet: Subnet;
  sides: Side[];
}

for (const underlay of ['socket', 'tap'] as const) {
  describe(`an overlay network over underlay ${underlay}`, function overlay() {
    this.timeout(120_000);
    let hosts: OverlayHost[];
    let daemons: Daemon[];
    const lab = useLab(120_000, async (opened) => {
      for (const base of BASES) await opened.addNamespace(base);
      hosts = await createHosts(opened, BASES);
      daemons = BASES.map((base) => (base === 'one' ? opened.daemon : opened.addDaemon(base)));
      for (const [i, daemon] of daemons.entries()) daemon.setHostNamespace(opened.path(BASES[i]!));
    });
    before(async () => {
      for (const daemon of daemons.slice(1)) await daemon.start();
    });

    const ping = (from: Side, address: string, ...options: string[]) =>
      lab.tryInside(from.base, ['ping', '-n', '-q', '-c', '2', '-i', '0.2', '-W', '2', ...options, address]);
    const reaches = async (from: Side, to: Side) => {
      for (const address of [to.v4, to.v6])
        assert.equal((await ping(from, address)).status, 0, `${from.base} -> ${address}`);
    };

    /** `which`: of the hosts. Their VTEPs have addresses of `family`. */
    async function create(which: readonly number[], family: Family = 'v4', changes: object = {}): Promise<Overlay> {
      const number = networks++;
      const network = lab.name(`ov${number}`);
      const subnet = lab.subnet();
      const sides: Side[] = [];
      for (const i of which) {
        const vtep = vtepOf(hosts[i]!, underlay, family);
        const peers = which.filter((other) => other !== i).map((other) => vtepOf(hosts[other]!, underlay, family));
        const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
        const overlay = { vni: 5000 + number, underlay, vtep, peers, ...changes };
        await daemons[i]!.call('POST', '/v1/networks', {
          name: network,
          type: 'overlay',
          subnets,
          overlay,
        });
        sides.push(await side(i, network, subnet, `ov${number}s${i}`, 10 + i));
      }
      return { network, subnet, sides };
    }

    async function side(
      host: number,
      network: string,
      subnet: Subnet,
      base: string,
      number: number,
      endpoint: object = {},
    ) {
      const made = await createSide(lab, { daemon: daemons[host]!, network, subnet, base, host: number, endpoint });
      await addressesReady(lab, base);
      return made;
    }

    async function removeNetworks(daemon: Daemon): Promise<void> {
      const networks: { name: string }[] = await daemon.call('GET', '/v1/networks');
      for (const { name } of networks) await daemon.call('DELETE', `/v1/networks/${name}?force=true`);
    }
    afterEach(() => Promise.all(daemons.filter(({ isRunning }) => isRunning).map(removeNetworks)));

    for (const family of ['v4', 'v6'] as const) {
      it(`joins stations of all hosts over IP${family}, with an MTU that fits`, async () => {
        const before = await drops(daemons[0]!);
        const made = await create([0, 1, 2], family);
        for (const from of made.sides) for (const to of made.sides) if (from !== to) await reaches(from, to);
        const mtu = UNDERLAY_MTU - VXLAN_OVERHEAD[family];
        const [one, two] = made.sides as [Side, Side];
        assert.deepEqual(
          (await lab.links(one.base)).map((link) => link.mtu),
          [mtu],
        );
        const full = mtu - 28;
        assert.equal((await ping(one, two.v4, '-M', 'do', '-s', String(full))).status, 0, 'the largest packet');
        const transfer = await startTransfer(lab, {
          from: one.base,
          to: two.base,
          address: two.v4,
          bytes: 100 * MEGABYTE,
        });
        await transfer.finish();
        const after = [...(await drops(daemons[0]!))].filter(([reason, frames]) => frames > (before.get(reason) ?? 0));
        assert.deepEqual(
          after.filter(([reason]) => reason !== UNANSWERED),
          [],
        );
      });
    }

    if (underlay === 'socket') {
      it('finds the other hosts by a multicast group', async () => {
        const group = { group: '239.18.7.1', groupInterface: UNDERLAY_IFNAME };
        const made = await create([0, 1, 2], 'v4', { ...group, peers: [] });
        for (const to of made.sides.slice(1)) await reaches(made.sides[0]!, to);
      });
    }

    it('keeps networks apart that share a VTEP', async () => {
      const [blue, red] = [await create([0, 1]), await create([0, 1])];
      await reaches(blue.sides[0]!, blue.sides[1]!);
      await lab.inside(blue.sides[0]!.base, ['ip', 'route', 'add', `${red.subnet.v4}.0/24`, 'dev', 'eth0']);
      assert.notEqual((await ping(blue.sides[0]!, red.sides[1]!.v4)).status, 0);
      for (const daemon of daemons.slice(0, 2)) await daemon.call('DELETE', `/v1/networks/${blue.network}?force=true`);
      await reaches(red.sides[0]!, red.sides[1]!);
    });

    it('loses no connection when the daemons are killed (kill -9) in the middle of a transfer and start again', async () => {
      const made = await create([0, 1]);
      const [one, two] = made.sides as [Side, Side];
      const transfer = await startTransfer(lab, {
        ...{ from: one.base, to: two.base, address: two.v6 },
        ...{ bytes: 60 * MEGABYTE, bytesPerSecond: 15 * MEGABYTE },
      });
      for (const daemon of [daemons[1]!, daemons[0]!]) {
        await transfer.progress(10 * MEGABYTE);
        const before = await daemon.call('GET', '/v1/networks');
        await daemon.kill();
        await daemon.start();
        assert.deepEqual(await daemon.call('GET', '/v1/networks'), before);
      }
      await transfer.finish();
    });

    it('finds a station that moved to another host as soon as it is there', async () => {
      const made = await create([0, 1, 2]);
      const [watcher] = made.sides as [Side];
      const station = { mac: MAC };
      const before = await side(1, made.network, made.subnet, `${made.network.slice(-4)}before`, 99, station);
      await reaches(watcher, before);
      assert.equal(await vtepOfMac(daemons[0]!, made.network), vtepOf(hosts[1]!, underlay, 'v4'));
      // The watcher says nothing meanwhile: it is the station's host that announces it.
      await daemons[1]!.call('DELETE', `/v1/endpoints/${before.endpoint}`);
      await side(2, made.network, made.subnet, `${made.network.slice(-4)}after`, 99, station);
      const moved = vtepOf(hosts[2]!, underlay, 'v4');
      await waitFor('the move to be known', async () => (await vtepOfMac(daemons[0]!, made.network)) === moved);
      await reaches(watcher, { ...before, base: watcher.base });
    });

    it('comes back by itself after somebody removed what its VTEP is made of', async function comesBack() {
      const made = await create([0, 1]);
      const [one, two] = made.sides as [Side, Side];
      const [daemon] = daemons as [Daemon];
      const state = async () => (await daemon.call('GET', `/v1/networks/${made.network}`)).tunnel.state;
      if (underlay === 'tap') {
        const tap = (await lab.links(BASES[0]!)).find(({ name }) => name.startsWith('weft-vtep-'));
        await lab.inside(BASES[0]!, ['ip', 'link', 'delete', 'dev', tap!.name]);
        await waitFor('the loss to be noticed', async () => (await state()) === 'lost');
      } else {
        // Its address goes and comes back: sockets do not notice, and need not.
        await lab.inside(BASES[0]!, ['ip', 'link', 'set', 'dev', UNDERLAY_IFNAME, 'down']);
        await lab.inside(BASES[0]!, ['ip', 'link', 'set', 'dev', UNDERLAY_IFNAME, 'up']);
      }
      await waitFor('the VTEP to be back', async () => (await state()) === 'ready');
      await waitFor('packets to get through', async () => (await ping(one, two.v4)).status === 0);
    });

    it('has a vNIC of the host where one is wanted', async () => {
      const number = networks++;
      const [network, subnet] = [lab.name(`ov${number}`), lab.subnet()];
      for (const i of [0, 1]) {
        const overlay = {
          ...{ vni: 5000 + number, underlay, vtep: vtepOf(hosts[i]!, underlay, 'v4') },
          ...{ peers: [vtepOf(hosts[1 - i]!, underlay, 'v4')], hostVnic: i === 0 ? [`${subnet.v4}.200`] : null },
        };
        await daemons[i]!.call('POST', '/v1/networks', {
          name: network,
          type: 'overlay',
          subnets: [`${subnet.v4}.0/24`],
          overlay,
        });
      }
      const far = await createSide(lab, {
        ...{
          daemon: daemons[1]!,
          network,
          subnet,
          base: `ov${number}far`,
          host: 20,
          endpoint: { ip: [`${subnet.v4}.20`] },
        },
      });
      assert.ok(await lab.pings(BASES[0]!, far.v4), 'the host reaches a station behind the other one');
      assert.equal((await ping(far, `${subnet.v4}.200`)).status, 0, 'and is reached');
    });

    it('leaves no trace in the namespace of the underlay', async () => {
      const before = await underlayState(lab, BASES[0]!);
      await create([0, 1]);
      assert.notDeepEqual(await underlayState(lab, BASES[0]!), before);
      await Promise.all(daemons.map(removeNetworks));
      assert.deepEqual(await underlayState(lab, BASES[0]!), before);
    });
  });
}

describe('a VTEP in another namespace than the daemon', function elsewhere() {
  this.timeout(120_000);
  let hosts: OverlayHost[];
  let far: Daemon;
  const lab = useLab(120_000, async (opened) => {
    for (const base of ['fabric', 'other']) await opened.addNamespace(base);
    hosts = await createHosts(opened, ['fabric', 'other']);
    far = opened.addDaemon('far');
    far.setHostNamespace(opened.path('other'));
  });
  before(() => far.start());

  for (const underlay of ['socket', 'tap'] as const) {
    it(`joins hosts over underlay ${underlay}, and leaves no trace there`, async () => {
      const [fabric, other] = hosts as [OverlayHost, OverlayHost];
      const before = await underlayState(lab, 'fabric');
      const [network, subnet, vni] = [lab.name(`ov-${underlay}`), lab.subnet(), 4000];
      const subnets = [`${subnet.v4}.0/24`, `${subnet.v6}::/64`];
      const create = (daemon: Daemon, own: OverlayHost, peer: OverlayHost, underlayNetns: string | null) => {
        const [vtep, peers] = [vtepOf(own, underlay, 'v4'), [vtepOf(peer, underlay, 'v4')]];
        const overlay = { vni, underlay, vtep, peers, underlayNetns };
        return daemon.call('POST', '/v1/networks', { name: network, type: 'overlay', subnets, overlay });
      };
      const made = await create(lab.daemon, fabric, other, lab.path('fabric'));
      assert.equal(made.mtu, UNDERLAY_MTU - VXLAN_OVERHEAD.v4);
      await create(far, other, fabric, null);
      const [near, away] = [
        await createSide(lab, { network, subnet, base: `${underlay}near`, host: 10 }),
        await createSide(lab, { daemon: far, network, subnet, base: `${underlay}away`, host: 20 }),
      ];
      assert.ok(await lab.pings(near.base, away.v4));
      await far.call('DELETE', `/v1/networks/${network}?force=true`);
      await lab.daemon.call('DELETE', `/v1/networks/${network}?force=true`);
      assert.deepEqual(await underlayState(lab, 'fabric'), before);
    });
  }

  it('is lost with its namespace, and back with the next one of that name', async () => {
    const network = lab.name('ov-lost');
    await lab.addNamespace('passing');
    const overlay = { vni: 4001, vtep: '127.0.0.1', underlayNetns: lab.path('passing') };
    await lab.daemon.call('POST', '/v1/networks', { name: network, type: 'overlay', overlay });
    const state = async () => (await lab.daemon.call('GET', `/v1/networks/${network}`)).tunnel.state;
    assert.equal(await state(), 'ready');
    await run(['ip', 'netns', 'delete', lab.name('passing')]);
    await waitFor('the end to be noticed', async () => (await state()) === 'lost');
    await lab.addNamespace('passing');
    await waitFor('the VTEP to be back', async () => (await state()) === 'ready');
    await lab.daemon.call('DELETE', `/v1/networks/${network}`);
  });
});

describe('a VTEP that cannot be had', function refused() {
  this.timeout(120_000);
  const lab = useLab(120_000, async (opened) => {
    await opened.addNamespace('host');
    await createHosts(opened, ['host']);
    opened.daemon.setHostNamespace(opened.path('host'));
  });

  it('is refused in words when the kernel does VXLAN on its port', async () => {
    await lab.inside('host', 'ip link add vx0 type vxlan id 7 dstport 4789 dev ul'.split(' '));
    await lab.inside('host', ['ip', 'link', 'set', 'dev', 'vx0', 'up']);
    const refusal = await lab.daemon.weft(['network', 'create', lab.name('ov'), '--type', 'overlay', '--vni', '7']);
    assert.equal(refusal.status, 1);
    assert.match(refusal.stderr, /UDP port 4789 of \S+ is taken by the VXLAN interface vx0 of the kernel/);
    const other = await lab.daemon.weft([
      'network',
      'create',
      lab.name('ov'),
      '--type',
      'overlay',
      '--vni',
      '7',
      '--port',
      '4790',
    ]);
    assert.equal(other.status, 0, other.stderr);
  });
});

/** Frames by reason. What a test before left behind when its networks went, one host after the other, is among them. */
async function drops(daemon: Daemon): Promise<Map<string, number>> {
  const rows: { reason: string; frames: number }[] = await daemon.call('GET', '/v1/drops');
  return new Map(rows.map(({ reason, frames }) => [reason, frames]));
}

async function vtepOfMac(daemon: Daemon, network: string): Promise<string | null> {
  const entries: { mac: string; vtep: string | null }[] = await daemon.call('GET', `/v1/fdb?network=${network}`);
  return entries.find(({ mac }) => mac === MAC)?.vtep ?? null;
}

/** Everything that a VTEP could change; neighbours come and go. */
async function underlayState(lab: Lab, base: string): Promise<object> {
  const settings = [
    'net.ipv4.ip_forward',
    'net.ipv6.conf.all.forwarding',
    `net.ipv4.neigh.${UNDERLAY_IFNAME}.proxy_delay`,
  ];
  const sockets = await run(['nsenter', `--net=${lab.path(base)}`, 'ss', '-Hnual']);
  return {
    links: (await lab.links(base)).map(({ name, addresses, mtu }) => ({ name, addresses, mtu })),
    routes: await lab.inside(base, ['ip', 'route']),
    proxies: await lab.inside(base, ['ip', 'neighbour', 'show', 'proxy']),
    settings: await lab.inside(base, ['sysctl', ...settings]),
    sockets: sockets.stdout.split('\n').filter((line) => line !== '').length,
  };
}
