// weft with a nat network: its own daemon, a compartment that weft owns, the uplink `host` in the router's namespace. Two
// variants: as it comes, where nftables in the router masquerades weft's external address (translated twice, and in b's eyes the
// same as every other system), and without that, where b has a route to the external address (translated by weft alone).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Lab, Site } from '../lab.js';
import { buildNatLab, INSIDE, PUBLISHED_PORTS, ROUTER } from '../nat-lab.js';
import { run } from '../processes.js';
import type { System } from './system.js';
import { addCompartment, expectNoLeftovers, startWeft, undoThroughWeft, type WeftDaemon } from './weft-daemon.js';

export const NAT_NETWORK = 'front';
const IFNAME = 'pa';
/** weft's external address where b is to have a route to it. */
export const EXTERNAL = '10.215.0.1';

export const weftNat: System = variant('weft-nat', 'weft, nat network, uplink host, masquerade in the host', []);
export const weftNatRouted: System = variant('weft-routed', 'the same without masquerade in the host', [
  ...['--no-masquerade', '--external-ip', EXTERNAL],
]);

function variant(name: string, title: string, options: readonly string[]): System {
  return {
    name,
    title,
    programs: [],
    packages: [],
    version: async (bench) =>
      JSON.parse(readFileSync(join(bench.packageRoot, 'package.json'), 'utf8')).version as string,
    start: async (bench) => (await startWeftNatLab(bench, name, options)).lab,
  };
}

/** A lab behind weft's NAT with the daemon at hand; `options` go to `weft network create`. */
export async function startWeftNatLab(
  bench: Bench,
  name: string,
  options: readonly string[],
): Promise<{ lab: Lab; daemon: WeftDaemon; site: Site; router: string }> {
  let daemon!: WeftDaemon;
  let site!: Site;
  let router!: string;
  const lab = await buildNatLab(bench, name, async (opened, routerNamespace, outside) => {
    site = opened;
    router = routerNamespace;
    expectNoLeftovers(site, [routerNamespace, outside]);
    daemon = await startWeft(site);
    const uplink = ['--uplink', 'host', '--uplink-netns', `/run/netns/${router}`, ...options];
    await daemon.cli('network', 'create', NAT_NETWORK, '--type', 'nat', '--subnet', INSIDE.subnet, ...uplink);
    undoThroughWeft(site, daemon, 'network', NAT_NETWORK);
    if (options.includes('--no-masquerade')) {
      await run('ip', ['-n', outside, 'route', 'add', EXTERNAL, 'via', ROUTER.address]);
    }
    const namespace = await addCompartment(site, daemon, 'a');
    const placement = [
      '--network',
      NAT_NETWORK,
      '--compartment',
      namespace,
      '--ip',
      INSIDE.address,
      '--ifname',
      IFNAME,
    ];
    await daemon.cli('endpoint', 'create', 'a', ...placement);
    for (const port of PUBLISHED_PORTS) await daemon.cli('port', 'publish', 'a', `${port}:${port}/tcp`);
    return { namespace, ifname: IFNAME };
  });
  return { lab, daemon, site, router };
}
