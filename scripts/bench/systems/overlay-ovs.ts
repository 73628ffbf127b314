// Open vSwitch with its userspace ("netdev") datapath on each host: the compartment's interface is a TAP, VXLAN is the userspace
// tunnel of Open vSwitch, and the host's interface is a port of a second bridge whose own TAP has the host's address (as its
// documentation, "userspace datapath and tunnels", wants it).
import { addNamespace, type Site } from '../lab.js';
import { addUnderlayAddress, buildOverlayLab, type Host, VNI } from '../overlay-lab.js';
import { run } from '../processes.js';
import { OVS_PACKAGES, OVS_PROGRAMS, ovsVersion, startOvs } from './ovs-daemon.js';
import type { System } from './system.js';

const OUTER = 'br-phy';

export const ovsVxlan: System = {
  name: 'ovs-vxlan',
  title: 'Open vSwitch netdev datapath, VXLAN, TAP',
  programs: OVS_PROGRAMS,
  packages: OVS_PACKAGES,
  version: ovsVersion,
  start: (bench) => buildOverlayLab(bench, 'ovs-vxlan', connect),
};

async function connect(site: Site, here: Host, there: Host) {
  const namespace = await addNamespace(site, here.side);
  const ifname = `p${here.side}`;
  const control = await startOvs(site, here.namespace);
  const tunnel = [`options:local_ip=${here.address}`, `options:remote_ip=${there.address}`, `options:key=${VNI}`];
  await control([
    ...['add-br', OUTER, '--', 'set', 'bridge', OUTER, 'datapath_type=netdev'],
    ...['--', 'add-port', OUTER, here.ifname],
    ...['--', 'add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev'],
    ...['--', 'add-port', 'br0', ifname, '--', 'set', 'interface', ifname, 'type=internal'],
    ...['--', 'add-port', 'br0', 'vx0', '--', 'set', 'interface', 'vx0', 'type=vxlan', ...tunnel],
  ]);
  await addUnderlayAddress(here, OUTER);
  await run('ip', ['-n', here.namespace, 'link', 'set', OUTER, 'up']);
  await run('ip', ['-n', here.namespace, 'link', 'set', ifname, 'netns', namespace]);
  return { namespace, ifname, isConfigured: false };
}
