// Open vSwitch with its userspace ("netdev") datapath and TAP ports.
//
// Two variants: `ovs` as it comes, and `ovs-tso` with other_config:userspace-tso-enable, which its manual calls
// experimental and leaves off. It opens the TAPs with vnet headers, as weft does, and belongs into an honest
// comparison.
import { addNamespace, buildLab, type Site } from '../lab.js';
import { run } from '../processes.js';
import { OVS_PACKAGES, OVS_PROGRAMS, ovsVersion, startOvs } from './ovs-daemon.js';
import type { System } from './system.js';

export const ovs: System = variant('ovs', 'Open vSwitch netdev datapath, TAP', false);
export const ovsTso: System = variant('ovs-tso', 'the same with experimental userspace-tso-enable', true);

function variant(name: string, title: string, withOffload: boolean): System {
  return {
    name,
    title,
    programs: OVS_PROGRAMS,
    packages: OVS_PACKAGES,
    version: ovsVersion,
    start: (bench) => buildLab(bench, name, (site) => connect(site, withOffload)),
  };
}

async function connect(site: Site, withOffload: boolean) {
  const a = await addNamespace(site, 'a');
  const b = await addNamespace(site, 'b');
  const middle = await addNamespace(site, 's');
  const control = await startOvs(site, middle, withOffload ? ['other_config:userspace-tso-enable=true'] : []);
  await control([
    ...['add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev'],
    ...['--', 'add-port', 'br0', 'pa', '--', 'set', 'interface', 'pa', 'type=internal'],
    ...['--', 'add-port', 'br0', 'pb', '--', 'set', 'interface', 'pb', 'type=internal'],
  ]);
  await run('ip', ['-n', middle, 'link', 'set', 'pa', 'netns', a]);
  await run('ip', ['-n', middle, 'link', 'set', 'pb', 'netns', b]);
  return {
    a: { namespace: a, ifname: 'pa', isConfigured: false },
    b: { namespace: b, ifname: 'pb', isConfigured: false },
  };
}
