// The kernel's own VXLAN: on each host a bridge with a vxlan device and a veth pair to the compartment. No userspace, no TAP;
// super-frames cross the wire whole, because veth and bridge never cut them.
import { release } from 'node:os';
import { addNamespace, type Site } from '../lab.js';
import { addUnderlayAddress, buildOverlayLab, type Host, VNI } from '../overlay-lab.js';
import { run } from '../processes.js';
import type { System } from './system.js';

export const kernelVxlan: System = {
  name: 'kernel-vxlan',
  title: 'kernel VXLAN device, bridge, veth',
  programs: ['ip'],
  packages: ['iproute2'],
  version: async () => `Linux ${release()}`,
  start: (bench) => buildOverlayLab(bench, 'kernel-vxlan', connect),
};

async function connect(site: Site, here: Host, there: Host) {
  await addUnderlayAddress(here);
  const namespace = await addNamespace(site, here.side);
  const ifname = `p${here.side}`;
  const ip = (...args: string[]) => run('ip', ['-n', here.namespace, ...args]);
  const tunnel = ['id', String(VNI), 'local', here.address, 'remote', there.address, 'dstport', '4789'];
  await ip('link', 'add', 'name', 'br0', 'type', 'bridge', 'stp_state', '0');
  await ip('link', 'set', 'br0', 'up');
  await ip('link', 'add', 'vx0', 'type', 'vxlan', ...tunnel, 'dev', here.ifname);
  await ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', ifname, 'netns', namespace);
  for (const port of ['vx0', 'v0']) await ip('link', 'set', port, 'master', 'br0', 'up');
  return { namespace, ifname, isConfigured: false };
}
