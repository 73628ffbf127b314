/** Where stations are and which VTEPs there are, as operators see them: the tables of the datapath with the names of the lab. */
import assert from 'node:assert/strict';
import { addressWords, ipFrom } from '../../src/compile/address-rows.js';
import { keyOf } from '../../src/compile/network-key.js';
import { Counters, PORT, portAt, TOTAL, totalAt } from '../../src/datapath/counters.js';
import {
  BINDING_CLUSTER,
  BINDING_STATIC,
  MAX_NETWORKS,
  MAX_PORTS,
  MAX_REMOTES,
  TUNNEL,
  TUNNEL_INTS,
  VTEP,
} from '../../src/datapath/program.js';
import { RequestError } from '../../src/model/problems.js';
import { MacTable } from '../../src/tables/mac-table.js';
import { RemoteTable } from '../../src/tables/remote-table.js';
import { type ControlLab, makeStateDirectory, startLab } from '../support/control-lab.js';

const UNDERLAY = '/run/netns/underlay';

describe('stations and VTEPs', function stationsAndVteps() {
  this.timeout(120_000);
  let lab: ControlLab;
  let remove: () => Promise<void>;
  let remotes: RemoteTable;
  let macs: MacTable;

  before(async () => {
    const made = await makeStateDirectory();
    remove = made.remove;
    lab = await startLab(made.directory);
    const underlay = lab.machine.addNamespace(UNDERLAY);
    const nic = lab.machine.addInterface(underlay, 'nic');
    nic.addresses.push('192.0.2.1/24');
    underlay.foreignRoutes.push({ destination: '192.0.2.0/24', gateway: null, metric: 0, device: 'nic' });
    const create = (name: string, vni: number, peers: string[]) =>
      lab.controller.createNetwork({
        name,
        type: 'overlay',
        overlay: { vni, underlayNetns: UNDERLAY, vtep: '192.0.2.1', peers },
        ...(name === 'ov' ? { subnets: ['10.90.0.0/24'] } : {}),
      });
    await create('ov', 5000, ['192.0.2.2']);
    await create('other', 5001, ['192.0.2.3']);
    await lab.controller.createEndpoint({
      name: 'db',
      network: 'ov',
      vtep: '192.0.2.4',
      mac: '02:00:00:00:00:04',
      ip: '10.90.0.4',
    });
    new Counters(lab.datapath.tables.counters).values[totalAt(TOTAL.nowMs)] = 70_000;
    const { tables } = lab.datapath;
    remotes = new RemoteTable(tables.remotes, 1);
    macs = new MacTable(tables.macs, MAX_PORTS + MAX_REMOTES, MAX_NETWORKS, 1);
  });

  after(async () => {
    lab.check();
    await lab.close();
    await remove();
  });

  const local = `socket 192.0.2.1 4789 ${UNDERLAY}`;
  const intern = (address: string): number =>
    remotes.intern(keyOf(local), 4, Int32Array.from(addressWords(ipFrom(address))), 0, 10_000);
  /** Row of the network of a VNI. */
  const rowOf = (vni: number): number => {
    const { tunnels } = lab.datapath.program;
    for (let at = 0; at < tunnels.length; at += TUNNEL_INTS) {
      if (tunnels[at + TUNNEL.vni] === vni) return tunnels[at + TUNNEL.network]!;
    }
    return assert.fail(`no tunnel has VNI ${vni}`);
  };

  it('are named with the VTEP that they are behind, and who said so', () => {
    const network = rowOf(5000);
    macs.learn(network, 0, 0x0200, 2, MAX_PORTS + intern('192.0.2.2'), 60_000, 100);
    macs.insertStatic(network, 0, 0x0200, 4, MAX_PORTS + intern('192.0.2.4'), 0, BINDING_STATIC);
    macs.insertStatic(network, 7, 0x0200, 5, MAX_PORTS + intern('192.0.2.5'), 0, BINDING_CLUSTER);
    const { vteps } = lab.datapath.program;
    macs.learn(vteps[VTEP.network]!, 0, 0x0200, 7, vteps[VTEP.port]!, 60_000, 100);
    macs.learn(network, 0, 0x0200, 6, MAX_PORTS + MAX_REMOTES - 1, 60_000, 100);
    const of = { network: 'ov', vlan: 0, endpoint: '', kind: 'static', ageSeconds: 0 } as const;
    const [learned, db, cluster] = lab.controller.listFdb();
    assert.deepEqual(
      [learned, db, cluster],
      [
        { ...of, mac: '02:00:00:00:00:02', kind: 'learned', vtep: '192.0.2.2', origin: 'learned', ageSeconds: 10 },
        { ...of, mac: '02:00:00:00:00:04', endpoint: 'db', vtep: '192.0.2.4', origin: 'static' },
        { ...of, vlan: 7, mac: '02:00:00:00:00:05', vtep: '192.0.2.5', origin: 'cluster' },
      ],
    );
    assert.equal(
      lab.controller.listFdb().length,
      3,
      'no station behind a VTEP that is just forgotten, nor the host beside a VTEP',
    );
    assert.deepEqual(lab.controller.listFdb('other'), []);
  });

  it('have counters, and an origin each: the lab, the cluster, or what came from there', () => {
    remotes.countReceived(intern('192.0.2.2'), 3, 300, 65_000);
    remotes.countSent(intern('192.0.2.3'), 2, 200);
    remotes.pin(intern('192.0.2.5'));
    // A former peer that was sent to and never answered is none of those.
    remotes.countSent(intern('192.0.2.8'), 1, 100);
    remotes.countReceived(intern('192.0.2.9'), 1, 100, 70_000);
    const at = { local: '192.0.2.1', underlay: 'socket', udpPort: 4789, netns: UNDERLAY, state: 'ready' } as const;
    const nothing = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, lastHeardSeconds: null };
    const peer = { ...at, ...nothing };
    assert.deepEqual(lab.controller.listVteps(), [
      {
        ...{ ...at, vtep: '192.0.2.1', networks: ['other', 'ov'], origin: 'local' },
        ...{ rxFrames: 4, rxBytes: 400, txFrames: 3, txBytes: 300, lastHeardSeconds: 0 },
      },
      {
        ...{ ...peer, vtep: '192.0.2.2', networks: ['ov'], origin: 'static' },
        ...{ rxFrames: 3, rxBytes: 300, lastHeardSeconds: 5 },
      },
      { ...peer, vtep: '192.0.2.3', networks: ['other'], origin: 'static', txFrames: 2, txBytes: 200 },
      { ...peer, vtep: '192.0.2.4', networks: ['ov'], origin: 'static' },
      { ...peer, vtep: '192.0.2.5', networks: ['ov'], origin: 'cluster' },
      { ...peer, vtep: '192.0.2.9', networks: [], origin: 'learned', rxFrames: 1, rxBytes: 100, lastHeardSeconds: 0 },
    ]);
    assert.deepEqual(
      lab.controller.listVteps('other').map(({ vtep }) => vtep),
      ['192.0.2.1', '192.0.2.3'],
    );
    assert.throws(() => lab.controller.listVteps('nowhere'), RequestError);
  });

  it('are counted with names that no endpoint can have', () => {
    const { program } = lab.datapath;
    const { values } = new Counters(lab.datapath.tables.counters);
    const ofVtep = [...program.portVtep].flatMap((vtep, port) => (vtep < 0 ? [] : [port]));
    assert.equal(ofVtep.length, 17);
    for (const port of ofVtep) values[portAt(port, PORT.txFrames)] = 1;
    values[portAt(program.portTunnel.indexOf(program.networkTunnel[rowOf(5000)]!), PORT.rxFrames)] = 9;
    const rows = lab.controller.stats().endpoints.map((row) => [row.endpoint, row.network, row.rxFrames, row.txFrames]);
    assert.deepEqual(rows, [
      ['db', 'ov', 0, 0],
      ['service/ov', 'ov', 0, 0],
      ['tunnel/other', 'other', 0, 0],
      ['tunnel/ov', 'ov', 9, 0],
      [`vtep/socket/192.0.2.1/4789/${UNDERLAY}`, '', 0, 17],
    ]);
    const { endpoints } = lab.controller.status();
    assert.deepEqual(endpoints, { total: 1, attached: 0, detached: 0, degraded: 0, remote: 1 });
  });

  it('are shown to captures: what a tunnel carries, and the tunnel itself', async () => {
    const { ports } = lab.captures;
    const carried = ports.filter(({ carries }) => carries !== undefined);
    assert.equal(carried.length, 17);
    for (const { carries, network } of carried) assert.deepEqual([carries, network], [['ov', 'other'], local]);
    assert.deepEqual(
      ports.filter(({ ifname }) => ifname.startsWith('tunnel/')).map(({ ifname, endpoint }) => [ifname, endpoint]),
      [
        ['tunnel/ov', null],
        ['tunnel/other', null],
      ],
    );
  });
});
