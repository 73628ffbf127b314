/** Overlay networks as a user types them: what the options stand for, and what is shown of tunnels, VTEPs and remote stations. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { addressWords, ipFrom } from '../../src/compile/address-rows.js';
import { keyOf } from '../../src/compile/network-key.js';
import type { VtepView } from '../../src/control/controller.js';
import { RemoteTable } from '../../src/tables/remote-table.js';
import { ApiLab } from '../support/api-lab.js';
import { runWeft } from '../support/cli-runner.js';

const UNDERLAY = '/run/netns/underlay';
const MAC = '02:00:5e:10:00:01';

describe('CLI: overlay networks', () => {
  let lab: ApiLab;

  beforeEach(async () => {
    lab = await ApiLab.start();
    await lab.listen();
    const { machine } = lab.control;
    const underlay = machine.addNamespace(UNDERLAY);
    machine.addInterface(underlay, 'nic').addresses.push('192.0.2.1/24', '2001:db8::1/64');
    for (const destination of ['192.0.2.0/24', '2001:db8::/64']) {
      underlay.foreignRoutes.push({ destination, gateway: null, metric: 0, device: 'nic' });
    }
  });

  afterEach(() => lab.close());

  async function weft(line: string): Promise<string> {
    const outcome = await runWeft(lab.socketPath, line.split(' '));
    assert.deepEqual([outcome.status, outcome.stderr], [0, ''], line);
    return outcome.stdout;
  }

  async function failure(line: string): Promise<string> {
    const outcome = await runWeft(lab.socketPath, line.split(' '));
    assert.notEqual(outcome.status, 0, line);
    return outcome.stderr.trimEnd();
  }

  const json = async (line: string) => JSON.parse(await weft(`${line} --json`));
  const create = 'network create ov --type overlay --vni 5000 --subnet 10.90.0.0/24';
  const here = `--vtep 192.0.2.1 --underlay-netns ${UNDERLAY}`;

  it('every setting has an option', async () => {
    const view = await json(
      `${create} --underlay tap --vtep 192.0.2.7 --port 8472 --underlay-netns ${UNDERLAY} --peer 192.0.2.2,192.0.2.3 ` +
        `--peers-closed --no-learning --inner-vlan keep --dscp 46 --checksum --no-suppress --host-vnic 10.90.0.9 --local ` +
        `--remote-subnet 10.91.0.0/24=192.0.2.2,${MAC} --remote-subnet 10.92.0.0/24=192.0.2.3,${MAC},7 --mtu 1400 --no-dhcp`,
    );
    assert.deepEqual(view.overlay, {
      vni: 5000,
      underlay: 'tap',
      vtep: '192.0.2.7',
      port: 8472,
      underlayNetns: UNDERLAY,
      peers: ['192.0.2.2', '192.0.2.3'],
      peersClosed: true,
      group: null,
      groupInterface: null,
      learning: false,
      innerVlan: 'keep',
      dscp: 46,
      checksum: true,
      suppress: false,
      remoteSubnets: [
        { prefix: '10.91.0.0/24', vtep: '192.0.2.2', vni: null, mac: MAC },
        { prefix: '10.92.0.0/24', vtep: '192.0.2.3', vni: 7, mac: MAC },
      ],
      hostVnic: ['10.90.0.9'],
      shared: false,
    });
    assert.deepEqual([view.mtu, view.dhcp.enabled, view.hostAddresses], [1400, false, ['10.90.0.9/24']]);
    assert.equal(view.tunnel.state, 'ready');
    const changed = await json(
      'network set ov --no-peer --no-peers-closed --learning --dscp inner --suppress --no-remote-subnet',
    );
    assert.deepEqual(changed.overlay, {
      ...view.overlay,
      peers: [],
      peersClosed: false,
      learning: true,
      dscp: null,
      suppress: true,
      remoteSubnets: [],
    });
  });

  it('a group stands for peers, and a host vNIC may have the addresses that weft chooses', async () => {
    const view = await json(`${create} ${here} --group 239.1.1.1%nic --host-vnic`);
    assert.deepEqual([view.overlay.group, view.overlay.groupInterface], ['239.1.1.1', 'nic']);
    assert.deepEqual(view.tunnel, { state: 'ready', vtep: '192.0.2.1', floods: ['239.1.1.1'] });
    assert.deepEqual([view.overlay.hostVnic, view.hostAddresses], [[], ['10.90.0.2/24']]);
  });

  it('says what there is, and shows it', async () => {
    assert.equal(
      await weft(`${create} ${here} --peer 192.0.2.2`),
      'network ov created: overlay, VNI 5000, VTEP 192.0.2.1, 10.90.0.0/24, MTU 1450\n',
    );
    const text = await weft('network show ov');
    for (const line of [
      /^VNI: +5000$/m,
      /^VTEP: +192\.0\.2\.1, socket, UDP port 4789 in \/run\/netns\/underlay$/m,
      /^Peers: +192\.0\.2\.2$/m,
      /^Others may send: +yes$/m,
      /^Outer DSCP: +that of the inner packet$/m,
    ]) {
      assert.match(text, line);
    }
    assert.equal(
      await weft(`endpoint create db --network ov --vtep 192.0.2.2 --mac ${MAC} --ip 10.90.0.20`),
      `endpoint db created: behind VTEP 192.0.2.2, 10.90.0.20/24, ${MAC}, network ov\n`,
    );
    assert.equal(
      await weft('endpoint set db --vtep 192.0.2.3'),
      'endpoint db changed: behind VTEP 192.0.2.3, every VLAN\n',
    );
    assert.match(
      await weft('endpoint list'),
      /^db +ov +192\.0\.2\.3 +- +10\.90\.0\.20\/24 +02:00:5e:10:00:01 +remote$/m,
    );
    assert.match(await weft('endpoint show db'), /^State: +remote\nNetwork: +ov\nVTEP: +192\.0\.2\.3\nMAC:/m);
    assert.match(await weft('status'), /^Endpoints: +1 \(1 remote\)$/m);
  });

  it('VTEPs are listed with their counters', async () => {
    assert.equal(await weft('vtep list'), 'no VTEPs: there is no network of type overlay\n');
    await weft(`${create} ${here} --peer 192.0.2.2`);
    const remotes = new RemoteTable(lab.control.datapath.tables.remotes, 1);
    const key = keyOf(`socket 192.0.2.1 4789 ${UNDERLAY}`);
    const peer = remotes.intern(key, 4, Int32Array.from(addressWords(ipFrom('192.0.2.2'))), 0, 0);
    remotes.countReceived(peer, 2, 128, 0);
    remotes.countSent(peer, 3, 192);
    const socket = `socket in ${UNDERLAY}`;
    assert.equal(
      await weft('vtep ls --network ov'),
      [
        'VTEP       NETWORKS  ORIGIN  UNDERLAY                       STATE  RX FRAMES  RX BYTES  TX FRAMES  TX BYTES  LAST HEARD',
        `192.0.2.1  ov        local   ${socket}  ready          2       128          3       192     0 s ago`,
        `192.0.2.2  ov        static  ${socket}  ready          2       128          3       192     0 s ago`,
        '',
      ].join('\n'),
    );
    const views: VtepView[] = await json('vtep list');
    assert.deepEqual(
      views.map(({ vtep, local, netns }) => [vtep, local, netns]),
      [
        ['192.0.2.1', '192.0.2.1', UNDERLAY],
        ['192.0.2.2', '192.0.2.1', UNDERLAY],
      ],
    );
    const { text } = await lab.call('GET', '/metrics');
    assert.match(text, /^weft_vteps\{origin="local"\} 1$/m);
    const labels = `vtep="192.0.2.2",local="192.0.2.1",underlay="socket",port="4789",netns="${UNDERLAY}"`;
    assert.ok(text.includes(`\nweft_vtep_transmit_bytes_total{${labels}} 192\n`), text);
    assert.match(
      await failure('vtep list --network nowhere'),
      /^error: cannot list the VTEPs \(there is no network nowhere; /,
    );
  });

  it('a capture is of what a tunnel carries, or of the tunnel', async () => {
    await weft(`${create} ${here}`);
    const file = join(lab.directory, 'outer.pcapng');
    const started = await json(`capture start --network ov --underlay -w ${file}`);
    assert.deepEqual([started.network, started.underlay, started.all], ['ov', true, false]);
    assert.match(await weft('capture list'), / running +tunnel of ov /);
    assert.match(await failure('capture --endpoint e --underlay'), /cannot be used with/);
  });

  it('a lab file has its fields beside the type, and export gives a file that changes nothing', async () => {
    const lab1 = {
      weft: 1,
      networks: {
        ov: {
          ...{ type: 'overlay', vni: 5000, subnets: ['10.90.0.0/24'], peers: ['192.0.2.2'], vtep: '192.0.2.1' },
          ...{ underlayNetns: UNDERLAY, uplink: 'host', learning: false, hostVnic: true },
        },
        v6: { type: 'overlay', overlay: { vni: 7, vtep: '2001:db8::1', underlayNetns: UNDERLAY, innerVlan: 'keep' } },
      },
      endpoints: { db: { network: 'ov', vtep: '192.0.2.2', mac: MAC, ip: '10.90.0.20' } },
    };
    const file = join(lab.directory, 'lab.yaml');
    const write = (document: object) => writeFileSync(file, JSON.stringify(document));
    write(lab1);
    const applied = await weft(`apply -f ${file}`);
    assert.match(applied, /create +network +ov /);
    assert.match(applied, /db.*behind VTEP 192\.0\.2\.2/);
    assert.match(await weft(`apply -f ${file}`), /^nothing to change/);
    const exported = await weft('export');
    writeFileSync(file, exported);
    assert.match(await weft(`apply -f ${file}`), /^nothing to change/);
    assert.deepEqual(parse(exported).networks.v6, {
      type: 'overlay',
      overlay: { vni: 7, vtep: '2001:db8::1', underlayNetns: UNDERLAY, innerVlan: 'keep' },
    });
    write({ ...lab1, endpoints: { db: { ...lab1.endpoints.db, vtep: '192.0.2.9' } } });
    assert.match(await weft(`apply -f ${file} --dry-run`), /update +endpoint +db +vtep 192\.0\.2\.2 -> 192\.0\.2\.9/);
    write({ ...lab1, networks: { ...lab1.networks, ov: { ...lab1.networks.ov, peers: [] } } });
    assert.match(await weft(`apply -f ${file} --dry-run`), /update +network +ov +overlay\.peers 192\.0\.2\.2 -> none/);
    write({ ...lab1, networks: { ...lab1.networks, ov: { ...lab1.networks.ov, vni: 5001 } } });
    assert.match(await weft(`apply -f ${file} --dry-run`), /replace +network +ov +overlay\.vni 5000 -> 5001/);
  });

  it('what is wrong is said with its reason', async () => {
    assert.equal(
      await failure('network create ov --type overlay'),
      'error: cannot create network ov (vni: an overlay network needs one: 0..16777215; correct the request)',
    );
    assert.match(await failure(`${create} --remote-subnet 10.91.0.0/24`), /PREFIX=VTEP,MAC is wanted/);
    assert.match(await failure(`${create} --vni 16777216`), /a whole number from 0 to 16777215 is wanted/);
    assert.match(
      await failure('network create lan --type private --vni 7'),
      /^error: cannot create network lan \(overlay: it is only for networks of type overlay, not for private ones; /,
    );
    await weft(`${create} ${here}`);
    assert.equal(
      await failure(`network create two --type overlay --vni 5000 ${here}`),
      'error: cannot create network two (VNI 5000 belongs to network ov already, on the same VTEP and UDP port; ' +
        'choose another VNI, or another VTEP address or UDP port)',
    );
    assert.match(
      await failure('endpoint create e --network ov --vtep 192.0.2.2'),
      /name its MAC with mac \(--mac\)\)$/,
    );
  });
});
