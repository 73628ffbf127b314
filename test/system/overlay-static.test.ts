// An overlay network that is told everything, as HCN tells its own: no learning, no flooding, closed peers; and what operators see of it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Daemon } from '../support/system-daemon.js';
import { type Subnet, useLab } from '../support/system-lab.js';
import { addressesReady } from '../support/system-nat.js';
import { createHosts, type OverlayHost, type Underlay, vtepOf } from '../support/system-overlay.js';
import { createSide, type Side } from '../support/system-pair.js';
import { run, waitFor } from '../support/system-process.js';

const VNI = 70_001;

for (const underlay of ['socket', 'tap'] satisfies Underlay[]) {
  describe(`an overlay network that learns nothing, over underlay ${underlay}`, function overlayStatic() {
    this.timeout(120_000);
    let hosts: [OverlayHost, OverlayHost];
    let near: Daemon;
    let far: Daemon;
    let network: string;
    let subnet: Subnet;
    let left: Side;
    let right: Side;
    const lab = useLab(120_000, async (opened) => {
      for (const base of ['near', 'far']) await opened.addNamespace(base);
      hosts = (await createHosts(opened, ['near', 'far'])) as typeof hosts;
      near = opened.daemon;
      far = opened.addDaemon('far');
      near.setHostNamespace(opened.path('near'));
      far.setHostNamespace(opened.path('far'));
    });
    const vtep = (index: 0 | 1) => vtepOf(hosts[index], underlay, 'v4');

    before(async () => {
      await far.start();
      network = lab.name('ov');
      subnet = lab.subnet();
      for (const [daemon, own] of [
        [near, vtep(0)],
        [far, vtep(1)],
      ] as const) {
        const tunnel = ['--vni', String(VNI), '--vtep', own, '--underlay', underlay, '--no-learning', '--peers-closed'];
        const subnets = ['--subnet', `${subnet.v4}.0/24`, '--subnet', `${subnet.v6}::/64`];
        await daemon.ok('network', 'create', network, '--type', 'overlay', ...tunnel, ...subnets);
      }
      left = await createSide(lab, { daemon: near, network, subnet, base: 'left', host: 10 });
      right = await createSide(lab, { daemon: far, network, subnet, base: 'right', host: 20 });
      for (const { base } of [left, right]) await addressesReady(lab, base);
    });

    const tell = (daemon: Daemon, name: string, { v4, v6, mac }: Side, behind: string) =>
      daemon.ok(
        ...['endpoint', 'create', name, '--network', network, '--vtep', behind],
        ...['--mac', mac, '--ip', `${v4},${v6}`],
      );

    it('reaches nobody before it was told', async () => {
      assert.equal(await lab.pings(left.base, right.v4), false);
      assert.deepEqual(
        (await near.json('vtep', 'list')).map((view: { origin: string }) => view.origin),
        ['local'],
      );
    });

    it('reaches stations of the other host by what each was told of them, without a question to anybody', async () => {
      await tell(near, 'db', right, vtep(1));
      await tell(far, 'web', left, vtep(0));
      // The station may have given up on the address before, and asks again after a while.
      await waitFor('an answer', () => lab.pings(left.base, right.v4));
      assert.ok(await lab.pings(left.base, right.v6), right.v6);
      const [entry] = (await near.json('fdb', 'list')).filter(({ mac }: { mac: string }) => mac === right.mac);
      assert.deepEqual([entry.network, entry.endpoint, entry.vtep, entry.origin], [network, 'db', vtep(1), 'static']);
      assert.match(await near.ok('endpoint', 'list'), new RegExp(`^db +${network} +${vtep(1)} .* remote$`, 'm'));
    });

    it('counts what it exchanges with each VTEP', async () => {
      const remote = async () => {
        const views: { vtep: string; rxFrames: number; txFrames: number }[] = await near.json('vtep', 'list');
        return views.find((view) => view.vtep === vtep(1))!;
      };
      const before = await remote();
      await lab.inside(left.base, ['ping', '-q', '-c', '5', '-i', '0.2', right.v4]);
      const after = await remote();
      assert.ok(after.txFrames - before.txFrames >= 5, JSON.stringify({ before, after }));
      assert.ok(after.rxFrames - before.rxFrames >= 5, JSON.stringify({ before, after }));
      const { text } = await near.api('GET', '/metrics');
      assert.match(text, new RegExp(`^weft_vtep_receive_frames_total\\{vtep="${vtep(1)}",`, 'm'));
    });

    it('shows captures both directions of the tunnel, as VXLAN that others read', async () => {
      const file = join(lab.directory, `outer-${underlay}.pcapng`);
      await near.ok('capture', 'start', '--network', network, '--underlay', '--name', 'outer', '-w', file);
      await lab.inside(left.base, ['ping', '-q', '-c', '3', '-i', '0.2', right.v4]);
      await near.ok('capture', 'stop', 'outer');
      const fields = ['-e', 'vxlan.vni', '-e', 'ip.src', '-e', 'udp.srcport', '-e', 'icmp.type'];
      const { stdout } = await run(['tshark', '-r', file, '-T', 'fields', ...fields, '-Y', 'vxlan && icmp']);
      const rows = stdout
        .trim()
        .split('\n')
        .map((line) => line.split('\t'));
      assert.equal(rows.length, 6, stdout);
      for (const [vni = '', sources = '', port = '', type = ''] of rows) {
        const [outer, inner] = sources.split(',');
        assert.equal(Number(vni), VNI);
        assert.deepEqual([outer, inner], type === '8' ? [vtep(0), left.v4] : [vtep(1), right.v4]);
        assert.ok(Number(port) >= 49152, `source port ${port}`);
      }
    });

    it('hears nobody else, and says whom it did not hear', async () => {
      await far.ok('endpoint', 'delete', 'web');
      await near.ok('endpoint', 'delete', 'db');
      await far.ok('network', 'set', network, '--peer', vtep(0));
      assert.equal(await lab.pings(right.base, left.v4), false);
      const drops = async () => {
        const all: { reason: string; frames: number }[] = await near.json('drop', 'list', '--all');
        return all.find(({ reason }) => reason === 'vxlan-unknown-vtep')!.frames;
      };
      await waitFor('frames of a VTEP that is no peer', async () => (await drops()) > 0);
      assert.ok(!(await near.json('fdb', 'list')).some(({ mac }: { mac: string }) => mac === right.mac));
      await near.ok('network', 'set', network, '--peer', vtep(1), '--learning');
      await far.ok('network', 'set', network, '--learning');
      await waitFor('an answer with peers on both sides, and learning', () => lab.pings(right.base, left.v4));
    });
  });
}
