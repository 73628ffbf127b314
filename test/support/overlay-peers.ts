/**
 * VTEPs that are not weft's, for interoperation tests: the Linux kernel's VXLAN device on a bridge, and Open vSwitch with its
 * userspace datapath. Each has one station behind it, in a namespace of its own.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from './system-lab.js';
import { addUnderlayAddresses, type OverlayHost, UNDERLAY_IFNAME, VXLAN_PORT } from './system-overlay.js';
import { must, waitFor } from './system-process.js';

const OVS_SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const OVS_UNDERLAY = 'br-phy';
const OVS_BRIDGE = 'br-int';

/** One tunnel of a peer to weft's VTEP. */
export interface PeerTunnel {
  vni: number;
  /** Outer addresses of the peer and of weft. */
  local: string;
  remote: string;
  /** Namespace of the peer's station, its interface there, and the MTU that it gets. */
  station: string;
  ifname: string;
  mtu: number;
  /** MACs of weft's side, for a peer that is told instead of learning. */
  macs: readonly string[];
}

export interface OverlayPeer {
  /** Whether it copes with unfinished checksums and super-frames on the wire, which only the kernel does. */
  readonly takesSuperFrames: boolean;
  /** Puts a tunnel and its station in place. */
  connect(tunnel: PeerTunnel): Promise<void>;
  disconnect(): Promise<void>;
  /** What it has learned, or was told: MACs behind weft's VTEP. */
  stationsBehind(remote: string): Promise<string[]>;
}

/** The vxlan device of the kernel of `host`; `isLearning` false: it gets its forwarding table from the test. */
export function kernelPeer(lab: Lab, host: OverlayHost, isLearning: boolean): OverlayPeer {
  const ip = (...args: string[]) => lab.inside(host.base, ['ip', ...args]);
  const bridge = (...args: string[]) => lab.inside(host.base, ['bridge', ...args]);
  return {
    takesSuperFrames: true,
    connect: async ({ vni, local, remote, station, ifname, mtu, macs }) => {
      const path = lab.name(station);
      const learning = isLearning ? ['remote', remote] : ['nolearning'];
      const device = ['id', String(vni), 'local', local, 'dev', UNDERLAY_IFNAME, 'dstport', String(VXLAN_PORT)];
      await ip('link', 'add', 'br0', 'type', 'bridge', 'stp_state', '0');
      await ip('link', 'set', 'br0', 'addrgenmode', 'none', 'up');
      await ip('link', 'add', 'vx0', 'type', 'vxlan', ...device, ...learning);
      await ip('link', 'add', 'v0', 'mtu', String(mtu), 'type', 'veth', 'peer', 'name', ifname, 'netns', path);
      await lab.inside(station, ['ip', 'link', 'set', 'dev', ifname, 'mtu', String(mtu)]);
      for (const port of ['vx0', 'v0']) {
        await ip('link', 'set', port, 'addrgenmode', 'none');
        await ip('link', 'set', port, 'master', 'br0', 'up');
      }
      if (isLearning) return;
      for (const mac of ['00:00:00:00:00:00', ...macs]) {
        await bridge('fdb', 'append', mac, 'dev', 'vx0', 'dst', remote, 'self', 'permanent');
      }
      for (const mac of macs) await bridge('fdb', 'replace', mac, 'dev', 'vx0', 'master', 'static');
    },
    disconnect: async () => {
      for (const name of ['v0', 'vx0', 'br0']) await ip('link', 'delete', 'dev', name);
    },
    stationsBehind: async (remote) => {
      const rows = JSON.parse(await bridge('-j', 'fdb', 'show', 'dev', 'vx0')) as { mac: string; dst?: string }[];
      return rows.filter((row) => row.dst === remote && row.mac !== '00:00:00:00:00:00').map((row) => row.mac);
    },
  };
}

/**
 * An Open vSwitch of the test's own in `host`, with the userspace datapath: its documentation ("userspace datapath and tunnels") wants
 * the host's interface to be a port of a second bridge, whose own interface then has the host's addresses.
 */
export async function startOvsPeer(lab: Lab, host: OverlayHost): Promise<OverlayPeer> {
  const folder = join(lab.directory, `ovs-${host.base}`);
  mkdirSync(folder);
  const environment = ['env', `OVS_RUNDIR=${folder}`, `OVS_LOGDIR=${folder}`, `OVS_DBDIR=${folder}`];
  const database = `unix:${join(folder, 'db.sock')}`;
  const control = ['ovs-vsctl', '--timeout=15', `--db=${database}`];
  const vsctl = (...args: string[]) => must([...environment, ...control, ...args]);
  const appctl = (...args: string[]) =>
    must([...environment, 'ovs-appctl', `--target=${join(folder, 'switch.ctl')}`, ...args]);

  await must([...environment, 'ovsdb-tool', 'create', join(folder, 'conf.db'), OVS_SCHEMA]);
  const server = [join(folder, 'conf.db'), `--remote=p${database}`, `--unixctl=${join(folder, 'db.ctl')}`];
  lab.background(host.base, [...environment, 'ovsdb-server', ...server]);
  await vsctl('--retry', '--no-wait', 'init');
  const daemon = ['ovs-vswitchd', database, `--unixctl=${join(folder, 'switch.ctl')}`];
  lab.background(host.base, [...environment, ...daemon]);
  const netdev = (name: string) => ['add-br', name, '--', 'set', 'bridge', name, 'datapath_type=netdev'];
  const wire = ['--', 'add-port', OVS_UNDERLAY, UNDERLAY_IFNAME];
  // Its own interface takes the MAC of the wire's, like that of a kernel bridge.
  await vsctl(...netdev(OVS_UNDERLAY), ...wire, '--', ...netdev(OVS_BRIDGE));
  await lab.inside(host.base, ['ip', 'address', 'flush', 'dev', UNDERLAY_IFNAME]);
  await addUnderlayAddresses(lab, host.base, OVS_UNDERLAY, host.own);
  await lab.inside(host.base, ['ip', 'link', 'set', 'dev', OVS_UNDERLAY, 'up']);
  await lab.inside(host.base, ['ip', 'link', 'set', 'dev', OVS_BRIDGE, 'up']);
  let current = '';
  return {
    takesSuperFrames: false,
    connect: async ({ vni, local, remote, station, ifname, mtu }) => {
      current = ifname;
      const options = [`options:local_ip=${local}`, `options:remote_ip=${remote}`, `options:key=${vni}`];
      await vsctl(
        ...['add-port', OVS_BRIDGE, current, '--', 'set', 'interface', current, 'type=internal', `mtu_request=${mtu}`],
        ...['--', 'add-port', OVS_BRIDGE, 'vx0', '--', 'set', 'interface', 'vx0', 'type=vxlan', ...options],
      );
      await lab.inside(host.base, ['ip', 'link', 'set', 'dev', ifname, 'netns', lab.name(station)]);
      await lab.inside(station, ['ip', 'link', 'set', 'dev', ifname, 'mtu', String(mtu)]);
      // It learns who has the remote address from the answers to requests that pass it while it has a tunnel, and from nothing else.
      await waitFor('the peer to reach the VTEP', async () => {
        await lab.inside(host.base, ['ip', 'neigh', 'flush', 'dev', OVS_UNDERLAY]);
        await lab.tryInside(host.base, ['ping', '-n', '-q', '-c', '1', '-W', '1', remote]);
        return (await appctl('tnl/neigh/show')).includes(remote);
      });
    },
    disconnect: async () => {
      await vsctl('del-port', OVS_BRIDGE, 'vx0', '--', 'del-port', OVS_BRIDGE, current);
    },
    stationsBehind: async () => {
      const port = (await vsctl('get', 'interface', 'vx0', 'ofport')).trim();
      const lines = (await appctl('fdb/show', OVS_BRIDGE)).trim().split('\n').slice(1);
      return lines.map((line) => line.trim().split(/\s+/)).flatMap(([at, , mac]) => (at === port ? [mac!] : []));
    },
  };
}
