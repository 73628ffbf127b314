// weft itself: its own daemon with its own socket, state and run directories, driven through its CLI; a private network
// and two compartments that weft owns.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, buildLab, type Lab, type Site, SUBNET, stationAddress } from '../lab.js';
import type { System } from './system.js';
import { addCompartment, addNetwork, expectNoLeftovers, startWeft, type WeftDaemon } from './weft-daemon.js';

export const NETWORK = 'lab';

export const weft: System = {
  name: 'weft',
  title: 'weft, TAP with vnet headers',
  programs: [],
  packages: [],
  version: async (bench) => JSON.parse(readFileSync(join(bench.packageRoot, 'package.json'), 'utf8')).version as string,
  start: async (bench) => (await startWeftLab(bench)).lab,
};

/** A lab connected by weft, with the daemon at hand for workloads that add to it. */
export async function startWeftLab(bench: Bench): Promise<{ lab: Lab; daemon: WeftDaemon; site: Site }> {
  let daemon!: WeftDaemon;
  let site!: Site;
  const lab = await buildLab(bench, 'weft', async (opened) => {
    site = opened;
    expectNoLeftovers(site);
    daemon = await startWeft(site);
    await addNetwork(site, daemon, NETWORK, SUBNET);
    const a = await addStation(site, daemon, 'a');
    const b = await addStation(site, daemon, 'b');
    return { a, b };
  });
  return { lab, daemon, site };
}

async function addStation(site: Site, daemon: WeftDaemon, side: 'a' | 'b') {
  const namespace = await addCompartment(site, daemon, side);
  const ifname = `p${side}`;
  const placement = ['--network', NETWORK, '--compartment', namespace];
  const dress = ['--ip', stationAddress(side), '--ifname', ifname, '--no-default-route'];
  await daemon.cli('endpoint', 'create', side, ...placement, ...dress);
  return { namespace, ifname, isConfigured: true };
}
