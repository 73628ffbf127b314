// Open vSwitch with its userspace ("netdev") datapath and TAP ports. A database, a daemon and sockets of our own in a
// temporary directory, all inside a namespace of our own: a system service of the same name is neither used nor
// noticed.
//
// Two variants: `ovs` as it comes, and `ovs-tso` with other_config:userspace-tso-enable, which its manual calls
// experimental and leaves off. It opens the TAPs with vnet headers, as weft does, and belongs into an honest
// comparison.
import { join } from 'node:path';
import { addNamespace, addService, buildLab, inNamespace, type Site } from '../lab.js';
import { run } from '../processes.js';
import type { System } from './system.js';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

export const ovs: System = variant('ovs', 'Open vSwitch netdev datapath, TAP', false);
export const ovsTso: System = variant('ovs-tso', 'the same with experimental userspace-tso-enable', true);

function variant(name: string, title: string, withOffload: boolean): System {
  return {
    name,
    title,
    programs: ['ovs-vswitchd', 'ovsdb-server', 'ovsdb-tool', 'ovs-vsctl'],
    packages: ['openvswitch-switch'],
    version: async () => (await run('ovs-vswitchd', ['--version'])).split('\n')[0]!,
    start: (bench) => buildLab(bench, name, (site) => connect(site, withOffload)),
  };
}

async function connect(site: Site, withOffload: boolean) {
  const a = await addNamespace(site, 'a');
  const b = await addNamespace(site, 'b');
  const middle = await addNamespace(site, 's');
  const folder = site.directory;
  const environment = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder };
  const database = `unix:${join(folder, 'db.sock')}`;
  const control = (args: string[]) =>
    run('ovs-vsctl', ['--timeout=10', `--db=${database}`, ...args], { environment, signal: site.bench.signal });

  await run('ovsdb-tool', ['create', join(folder, 'conf.db'), SCHEMA], { environment });
  const server = [join(folder, 'conf.db'), `--remote=p${database}`, `--unixctl=${join(folder, 'db.ctl')}`];
  await addService(site, inNamespace(middle, 'ovsdb-server', ...server), { environment });
  const offload = withOffload ? ['--', 'set', 'Open_vSwitch', '.', 'other_config:userspace-tso-enable=true'] : [];
  await control(['--retry', '--no-wait', 'init', ...offload]);
  const daemon = ['ovs-vswitchd', database, `--unixctl=${join(folder, 'switch.ctl')}`];
  await addService(site, inNamespace(middle, ...daemon), { environment });

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
