// weft with an overlay network on two hosts: two daemons that know each other as static peers and nothing else, a compartment
// that weft owns on each. Two variants, by the underlay: `tap`, where the VTEP has an address of its own on the wire, and `socket`,
// where it is a UDP socket of the host.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Site, SUBNET, stationAddress } from '../lab.js';
import { addUnderlayAddress, buildOverlayLab, type Host, VNI } from '../overlay-lab.js';
import type { System } from './system.js';
import { addCompartment, expectNoLeftovers, startWeft, undoThroughWeft, type WeftDaemon } from './weft-daemon.js';

export type Underlay = 'tap' | 'socket';

export const OVERLAY_NETWORK = 'ov';

export const weftTap: System = variant('tap', 'weft, VXLAN, underlay tap');
export const weftSocket: System = variant('socket', 'weft, VXLAN, underlay socket');

function variant(underlay: Underlay, title: string): System {
  const name = `weft-${underlay}`;
  return {
    name,
    title,
    programs: ['nsenter'],
    packages: ['util-linux'],
    version: async (bench) =>
      JSON.parse(readFileSync(join(bench.packageRoot, 'package.json'), 'utf8')).version as string,
    start: (bench) =>
      buildOverlayLab(bench, name, (site, here, there) => {
        if (here.side === 'a') expectNoLeftovers(site, [`${site.name}-w`, here.namespace, there.namespace]);
        return connect(site, here, there, underlay);
      }),
  };
}

async function connect(site: Site, here: Host, there: Host, underlay: Underlay) {
  await addUnderlayAddress(here);
  const daemon = await startWeft(site, here.namespace);
  const addressOf = (host: Host) => (underlay === 'tap' ? host.secondAddress : host.address);
  await addOverlay(site, daemon, underlay, addressOf(here), ['--peer', addressOf(there)]);
  return await addOverlayStation(site, daemon, here.side);
}

/** Has weft create the overlay network, deleted with everything on it when the site closes. */
export async function addOverlay(
  site: Site,
  daemon: WeftDaemon,
  underlay: Underlay,
  vtep: string,
  options: readonly string[],
): Promise<void> {
  const tunnel = ['--vni', String(VNI), '--underlay', underlay, '--vtep', vtep, ...options];
  await daemon.cli('network', 'create', OVERLAY_NETWORK, '--type', 'overlay', '--subnet', SUBNET, ...tunnel);
  undoThroughWeft(site, daemon, 'network', OVERLAY_NETWORK);
}

/** A compartment with an endpoint on the overlay network. */
export async function addOverlayStation(site: Site, daemon: WeftDaemon, side: 'a' | 'b') {
  const namespace = await addCompartment(site, daemon, side);
  const ifname = `p${side}`;
  const placement = ['--network', OVERLAY_NETWORK, '--compartment', namespace];
  const dress = ['--ip', stationAddress(side), '--ifname', ifname, '--no-default-route'];
  await daemon.cli('endpoint', 'create', side, ...placement, ...dress);
  return { namespace, ifname, isConfigured: true };
}
