// The gateway of an overlay network between two hosts: NAT and published ports there, the same gateway wherever a compartment is,
// routes to subnets of the other host, questions that stay at home, and what a trace says of all that.
import assert from 'node:assert/strict';
import type { TraceView } from '../../src/control/controller.js';
import type { Daemon } from '../support/system-daemon.js';
import { type Subnet, useLab } from '../support/system-lab.js';
import {
  type Addresses,
  addressesReady,
  ask,
  createWorld,
  curl,
  serveWeb,
  url,
  type World,
} from '../support/system-nat.js';
import {
  vtepOf as addressOfVtep,
  createHosts,
  type OverlayHost,
  UNDERLAY_MTU,
  type Underlay,
  VXLAN_OVERHEAD,
} from '../support/system-overlay.js';
import { createSide, type Side } from '../support/system-pair.js';
import { waitFor } from '../support/system-process.js';
import { startTransfer } from '../support/system-transfer.js';

const WEB_PORT = 8080;
const PUBLISHED = 8443;
const MTU = UNDERLAY_MTU - VXLAN_OVERHEAD.v4;
const TRANSFER_BYTES = 4e6;

/** A frame of an experimental type, with nothing in it. */
function frameOf(from: string, to: string): number[] {
  const mac = (text: string) => text.split(':').map((digits) => Number.parseInt(digits, 16));
  return [...mac(to), ...mac(from), 0x88, 0xb5, ...new Array<number>(46).fill(0)];
}

for (const underlay of ['socket', 'tap'] as const) describeRouter(underlay);

function describeRouter(underlay: Underlay): void {
  describe(`the gateway of an overlay network, underlay ${underlay}`, function overlayRouter() {
    this.timeout(120_000);
    const lab = useLab(120_000, async () => {
      const bases = ['host-a', 'host-b'];
      for (const base of bases) await lab.addNamespace(base);
      hosts = await createHosts(lab, bases);
      lab.daemon.setHostNamespace(lab.path('host-a'));
    });
    const network = lab.name('ov');
    let hosts: OverlayHost[] = [];
    let near: Daemon;
    let far: Daemon;
    let world: World;
    let external: Addresses;
    let subnet: Subnet;
    let left: Side;
    let right: Side;

    const vtepOf = (host: OverlayHost) => addressOfVtep(host, underlay, 'v4');

    /** The network on one host; `extra` is merged into the request. */
    async function createOverlay(daemon: Daemon, name: string, of: Subnet, overlay: object, extra: object = {}) {
      const [own, other] = daemon === near ? [hosts[0]!, hosts[1]!] : [hosts[1]!, hosts[0]!];
      const subnets = [`${of.v4}.0/24`, `${of.v6}::/64`];
      const spec = { underlay, vtep: vtepOf(own), peers: [vtepOf(other)], ...overlay };
      return await daemon.call('POST', '/v1/networks', { name, type: 'overlay', subnets, overlay: spec, ...extra });
    }

    before(async () => {
      near = lab.daemon;
      far = lab.addDaemon('far');
      far.setHostNamespace(lab.path('host-b'));
      await far.start();
      world = await createWorld(lab);
      await serveWeb(lab, world.outside, WEB_PORT);
      subnet = lab.subnet();
      const outer = lab.subnet();
      external = { v4: `${outer.v4}.1`, v6: `${outer.v6}::1` };
      const uplink = {
        ...{ uplink: 'host', uplinkNetns: lab.path(world.router), masquerade: false },
        externalIp: [external.v4, external.v6],
        ...{ dhcp: { enabled: true }, dns: { domain: 'ov.test' } },
      };
      await createOverlay(near, network, subnet, { vni: 4711 }, uplink);
      await createOverlay(far, network, subnet, { vni: 4711 });
      await lab.inside(world.outside, ['ip', 'route', 'add', external.v4, 'via', world.near.v4]);
      await lab.inside(world.outside, ['ip', '-6', 'route', 'add', external.v6, 'via', world.near.v6]);
      const publish = [`${PUBLISHED}:${WEB_PORT}`];
      left = await createSide(lab, { daemon: near, network, subnet, base: 'left', host: 10, endpoint: { publish } });
      right = await createSide(lab, { daemon: far, network, subnet, base: 'right', host: 20 });
      for (const { base } of [left, right]) await addressesReady(lab, base);
      await serveWeb(lab, left.base, WEB_PORT);
    });

    it('joins the stations of two hosts, of which each has its own router behind the same gateway', async () => {
      for (const [from, to] of [
        [left, right],
        [right, left],
      ] as const) {
        assert.ok(await lab.pings(from.base, to.v4), `${from.base} reaches ${to.v4}`);
        assert.ok(await lab.pings(from.base, to.v6), `${from.base} reaches ${to.v6}`);
        assert.ok(await lab.pings(from.base, `${subnet.v4}.1`), `${from.base} reaches its gateway`);
      }
      const views = await Promise.all([near, far].map((daemon) => daemon.call('GET', `/v1/networks/${network}`)));
      assert.equal(views[0].gatewayMac, views[1].gatewayMac);
      assert.notEqual(views[0].routerMac, views[1].routerMac);
      assert.deepEqual([views[0].mtu, views[1].mtu], [MTU, MTU]);
    });

    it('translates what its stations send through the uplink of their host', async () => {
      assert.deepEqual(await ask(lab, left.base, world.far.v4, WEB_PORT), { from: external.v4, to: world.far.v4 });
      assert.deepEqual(await ask(lab, left.base, world.far.v6, WEB_PORT), { from: external.v6, to: world.far.v6 });
      const bytes = await lab.inside(left.base, [
        ...curl(url(world.far.v4, WEB_PORT, '3000000')),
        '-o',
        '/dev/null',
        '-w',
        '%{size_download}',
      ]);
      assert.equal(bytes, '3000000');
    });

    it('lets the outside in by published ports', async () => {
      const answer = await ask(lab, world.outside, external.v4, PUBLISHED);
      assert.deepEqual(answer, { from: world.far.v4, to: left.v4 });
    });

    it('serves its stations DHCP and DNS, where stations of other hosts have names too', async () => {
      const client = ['udhcpc', '-f', '-n', '-q', '-i', 'eth0', '-s', '/bin/true', '-T', '1'];
      const { status, stdout, stderr } = await lab.tryInside(left.base, client);
      assert.equal(status, 0, stderr);
      assert.match(`${stdout}${stderr}`, new RegExp(`lease of ${left.v4} obtained from ${subnet.v4}\\.1`));
      const station = lab.name('named');
      const there = { vtep: vtepOf(hosts[1]!), mac: '02:00:5e:00:00:77', ip: [`${subnet.v4}.77`, `${subnet.v6}::77`] };
      await near.call('POST', '/v1/endpoints', { name: station, network, ...there });
      const dig = ['dig', '+short', '+time=8', '+tries=1', `@${subnet.v4}.1`];
      for (const [name, address] of [
        [left.endpoint, left.v4],
        [station, there.ip[0]],
      ] as const) {
        assert.equal((await lab.inside(left.base, [...dig, `${name}.ov.test`, 'A'])).trim(), address);
      }
      await near.call('DELETE', `/v1/endpoints/${station}`);
    });

    it('answers questions for known stations of other hosts, which never hear them', async () => {
      const overlay = { vtep: vtepOf(hosts[1]!), mac: right.mac, ip: [right.v4, right.v6] };
      const station = lab.name('known');
      await near.call('POST', '/v1/endpoints', { name: station, network, ...overlay });
      const listener = lab.background(right.base, ['tcpdump', '-n', '-l', '--immediate-mode', '-i', 'eth0']);
      await waitFor('tcpdump to listen', () => listener.stderr.includes('listening on'));
      for (const address of [right.v4, right.v6]) {
        await lab.inside(left.base, ['ip', 'neigh', 'flush', 'dev', 'eth0']);
        assert.ok(await lab.pings(left.base, address), `${left.base} reaches ${address}`);
      }
      const heard = (text: string) => listener.stdout.split('\n').filter((line) => line.includes(text)).length;
      await waitFor('the pings to be seen', () => heard('echo request') >= 2);
      await listener.stop('SIGINT');
      const questions = [
        heard(`who-has ${right.v4} tell ${left.v4}`),
        heard(`neighbor solicitation, who has ${right.v6}`),
      ];
      assert.deepEqual(questions, [0, 0], listener.stdout);
      await near.call('DELETE', `/v1/endpoints/${station}`);
    });

    it('is the same when a compartment moves to the other host: same address, same MAC, same gateway', async () => {
      const moving = await createSide(lab, { daemon: near, network, subnet, base: 'moving', host: 30 });
      await addressesReady(lab, moving.base);
      const gatewayOf = async (base: string) => {
        assert.ok(await lab.pings(base, `${subnet.v4}.1`), 'the gateway answers');
        const [row] = JSON.parse(await lab.inside(base, ['ip', '-j', 'neigh', 'show', `${subnet.v4}.1`]));
        return row.lladdr;
      };
      const before = await gatewayOf(moving.base);
      for (const base of [left.base, right.base]) assert.ok(await lab.pings(base, moving.v4), `${base} reaches it`);
      await near.call('DELETE', `/v1/endpoints/${moving.endpoint}`);
      await near.call('DELETE', `/v1/compartments/${moving.compartment}`);
      const moved = await createSide(lab, {
        ...{ daemon: far, network, subnet, base: 'moving', host: 30 },
        endpoint: { mac: moving.mac },
      });
      await addressesReady(lab, moved.base);
      assert.equal(await gatewayOf(moved.base), before);
      for (const base of [left.base, right.base]) {
        await waitFor(`${base} to reach it where it is`, () => lab.pings(base, moved.v4));
      }
    });

    it('leads to subnets of the other host through its router there', async () => {
      const [mine, theirs] = [lab.subnet(), lab.subnet()];
      const [nameA, nameB] = [lab.name('ra'), lab.name('rb')];
      const remoteOf = (of: Subnet, host: OverlayHost, mac: string, vni: number) =>
        [`${of.v4}.0/24`, `${of.v6}::/64`].map((prefix) => ({ prefix, vtep: vtepOf(host), mac, vni }));
      const first = await createOverlay(near, nameA, mine, { vni: 5001, peers: [] });
      const toFirst = remoteOf(mine, hosts[0]!, first.routerMac, 5001);
      const second = await createOverlay(far, nameB, theirs, { vni: 5002, peers: [], remoteSubnets: toFirst });
      const remoteSubnets = remoteOf(theirs, hosts[1]!, second.routerMac, 5002);
      await near.call('PATCH', `/v1/networks/${nameA}`, { overlay: { remoteSubnets } });
      const here = await createSide(lab, { daemon: near, network: nameA, subnet: mine, base: 'ra', host: 10 });
      const there = await createSide(lab, { daemon: far, network: nameB, subnet: theirs, base: 'rb', host: 10 });
      for (const { base } of [here, there]) await addressesReady(lab, base);
      for (const [from, to] of [
        [here, there],
        [there, here],
      ] as const) {
        assert.ok(await lab.pings(from.base, to.v4), `${from.base} reaches ${to.v4}`);
        assert.ok(await lab.pings(from.base, to.v6), `${from.base} reaches ${to.v6}`);
        const transfer = await startTransfer(lab, {
          from: from.base,
          to: to.base,
          address: to.v4,
          bytes: TRANSFER_BYTES,
        });
        await transfer.finish();
      }
    });

    it('is followed by a trace into the tunnel and out of it', async () => {
      assert.ok(await lab.pings(left.base, right.v4), 'the stations have met');
      const vtep = vtepOf(hosts[1]!);
      const says = (view: TraceView, stage: string) =>
        view.steps.find((step) => step.stage === stage)?.says.join('\n') ?? '';
      const frame = Buffer.from(frameOf(left.mac, right.mac)).toString('hex');
      const into: TraceView = await near.call('POST', '/v1/trace', { from: left.endpoint, frame });
      assert.equal(says(into, 'switch'), `the MAC table has it behind VTEP ${vtep} (learned)`);
      assert.match(says(into, 'encapsulate'), new RegExp(`^VNI 4711, UDP .* > ${vtep} port 4789, 60 bytes inside$`));
      assert.deepEqual(
        into.departures.map(({ to, frames }) => ({ to, frames })),
        [{ to: `VTEP ${vtep}`, frames: 1 }],
      );
      const out: TraceView = await near.call('POST', '/v1/trace', {
        ...{ fromVtep: vtep, network, source: right.v4, to: left.v4, protocol: 'udp', port: 7, sourcePort: 7 },
      });
      assert.equal(says(out, 'decapsulate'), `VNI 4711 is ${network}: out of the tunnel, from VTEP ${vtep}`);
      assert.deepEqual(
        out.departures.map(({ to, frame }) => ({ to, frame })),
        [{ to: `endpoint ${left.endpoint}`, frame: `IP ${right.v4}.7 > ${left.v4}.7: UDP, length 0` }],
      );
    });
  });
}
