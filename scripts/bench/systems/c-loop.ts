// A bare C read/write loop between two TAPs with vnet headers (c/tap-loop.c): the limit of TAP, as a yardstick.
import { release } from 'node:os';
import { addNamespace, addService, buildLab, helperPath, inNamespace, type Site } from '../lab.js';
import type { System } from './system.js';

export const cLoop: System = {
  name: 'c-loop',
  title: 'C read/write loop, TAP with vnet headers',
  programs: ['cc'],
  packages: ['gcc', 'libc6-dev'],
  version: async () => `Linux ${release()}`,
  start: (bench) => buildLab(bench, 'c-loop', connect),
};

async function connect(site: Site) {
  const a = await addNamespace(site, 'a');
  const b = await addNamespace(site, 'b');
  const middle = await addNamespace(site, 's');
  const helper = helperPath(site.bench, 'tap-loop');
  const args = [`/run/netns/${a}`, 'pa', `/run/netns/${b}`, 'pb'];
  await addService(site, inNamespace(middle, helper, ...args), { readyText: 'ready' });
  return {
    a: { namespace: a, ifname: 'pa', isConfigured: false },
    b: { namespace: b, ifname: 'pb', isConfigured: false },
  };
}
