// vde_switch with its own TAPs (-t), which is faster than vde_plug2tap processes on its sockets: measured 1.3 against
// 0.85 Gbit/s of TCP on the reference machine. It runs in a namespace of its own, and its TAPs are then moved to the
// stations.
import { join } from 'node:path';
import { addNamespace, addService, buildLab, inNamespace, type Site } from '../lab.js';
import { run, until } from '../processes.js';
import type { System } from './system.js';

export const vde: System = {
  name: 'vde',
  title: 'vde_switch, TAP',
  programs: ['vde_switch'],
  packages: ['vde2'],
  version: async () => (await run('vde_switch', ['--version'])).split('\n')[0]!,
  start: (bench) => buildLab(bench, 'vde', connect),
};

async function connect(site: Site) {
  const a = await addNamespace(site, 'a');
  const b = await addNamespace(site, 'b');
  const middle = await addNamespace(site, 's');
  const args = ['--sock', join(site.directory, 'ctl'), '--rcfile', '/dev/null', '-t', 'pa', '-t', 'pb'];
  const service = await addService(site, inNamespace(middle, 'vde_switch', ...args));
  await until('vde_switch and its TAPs', async () => (await isThere(middle, 'pb')) || service.hasEnded(), 3000);
  await run('ip', ['-n', middle, 'link', 'set', 'pa', 'netns', a]);
  await run('ip', ['-n', middle, 'link', 'set', 'pb', 'netns', b]);
  return {
    a: { namespace: a, ifname: 'pa', isConfigured: false },
    b: { namespace: b, ifname: 'pb', isConfigured: false },
  };
}

async function isThere(namespace: string, ifname: string): Promise<boolean> {
  return (await run('ip', ['-n', namespace, '-br', 'link'])).includes(`${ifname} `);
}
