// The kernel's bridge with two veth pairs: no userspace switch, no TAP. What a container engine does by default.
import { release } from 'node:os';
import { addNamespace, buildLab, type Site } from '../lab.js';
import { run } from '../processes.js';
import type { System } from './system.js';

export const bridge: System = {
  name: 'bridge',
  title: 'kernel bridge, veth',
  programs: ['ip'],
  packages: ['iproute2'],
  version: async () => `Linux ${release()}`,
  start: (bench) => buildLab(bench, 'bridge', connect),
};

async function connect(site: Site) {
  const a = await addNamespace(site, 'a');
  const b = await addNamespace(site, 'b');
  const middle = await addNamespace(site, 's');
  await run('ip', ['-n', middle, 'link', 'add', 'name', 'br0', 'type', 'bridge', 'stp_state', '0']);
  await run('ip', ['-n', middle, 'link', 'set', 'br0', 'up']);
  for (const [namespace, ifname, port] of [
    [a, 'pa', 'va'],
    [b, 'pb', 'vb'],
  ] as const) {
    const peer = ['peer', 'name', ifname, 'netns', namespace];
    await run('ip', ['-n', middle, 'link', 'add', port, 'type', 'veth', ...peer]);
    await run('ip', ['-n', middle, 'link', 'set', port, 'master', 'br0', 'up']);
  }
  return {
    a: { namespace: a, ifname: 'pa', isConfigured: false },
    b: { namespace: b, ifname: 'pb', isConfigured: false },
  };
}
