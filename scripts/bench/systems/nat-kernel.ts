// The kernel's own ways, over two veth pairs: masquerade with nftables (what a container engine does by default), and the same
// forwarding without translation, which is the limit for everything that is a router. And masquerade behind two TAPs that the C loop
// joins: the limit for everything that takes frames out of a TAP and puts them into another one, whatever it does with them.

import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { addNamespace, addService, helperPath, inNamespace, type Site } from '../lab.js';
import { addRoutedInside, buildNatLab, configureRouted, INSIDE, PUBLISHED_PORTS, ROUTER } from '../nat-lab.js';
import { run } from '../processes.js';
import type { System } from './system.js';

export const routed: System = {
  name: 'routed',
  title: 'kernel forwarding without NAT, veth',
  programs: ['ip'],
  packages: ['iproute2'],
  version: async () => `Linux ${release()}`,
  start: (bench) =>
    buildNatLab(bench, 'routed', async (site, router, outside) => {
      const inside = await addRoutedInside(site, router);
      await run('ip', ['-n', outside, 'route', 'add', INSIDE.subnet, 'via', ROUTER.address]);
      return { ...inside, fromOutside: INSIDE.address };
    }),
};

const RULES = `table ip bench {
  chain after {
    type nat hook postrouting priority srcnat;
    oifname "${ROUTER.ifname}" masquerade
  }
  chain before {
    type nat hook prerouting priority dstnat;
    iifname "${ROUTER.ifname}" tcp dport { ${PUBLISHED_PORTS.join(', ')} } dnat to ${INSIDE.address}
  }
}
`;

export const masquerade: System = {
  name: 'masquerade',
  title: 'kernel forwarding, nftables masquerade and dnat, veth',
  programs: ['ip', 'nft'],
  packages: ['iproute2', 'nftables'],
  version: async () => `Linux ${release()}, ${(await run('nft', ['--version'])).trim()}`,
  start: (bench) =>
    buildNatLab(bench, 'masquerade', async (site, router) => {
      const inside = await addRoutedInside(site, router);
      await addRules(site, router);
      return inside;
    }),
};

export const cLoopNat: System = {
  name: 'c-loop-nat',
  title: 'C read/write loop between two TAPs, nftables behind it',
  programs: ['cc', 'nft'],
  packages: ['gcc', 'libc6-dev', 'nftables'],
  version: async () => `Linux ${release()}`,
  start: (bench) =>
    buildNatLab(bench, 'c-loop-nat', async (site, router) => {
      const namespace = await addNamespace(site, 'a');
      const args = [`/run/netns/${namespace}`, 'pa', `/run/netns/${router}`, 'ra'];
      const loop = inNamespace(router, helperPath(bench, 'tap-loop'), ...args);
      await addService(site, loop, { readyText: 'ready' });
      await configureRouted(router, namespace);
      await addRules(site, router);
      return { namespace, ifname: 'pa' };
    }),
};

async function addRules(site: Site, router: string): Promise<void> {
  const file = join(site.directory, 'rules.nft');
  writeFileSync(file, RULES);
  await run(...inNamespace(router, 'nft', '-f', file));
}
