// An Open vSwitch of our own: a database, a daemon and sockets in a temporary directory, all inside a namespace of ours. A
// system service of the same name is neither used nor noticed, and several of them run side by side.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { addService, inNamespace, type Site } from '../lab.js';
import { run } from '../processes.js';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

export const OVS_PROGRAMS = ['ovs-vswitchd', 'ovsdb-server', 'ovsdb-tool', 'ovs-vsctl'];
export const OVS_PACKAGES = ['openvswitch-switch'];

export async function ovsVersion(): Promise<string> {
  return (await run('ovs-vswitchd', ['--version'])).split('\n')[0]!;
}

/** Starts database and switch in `namespace`; returns what runs `ovs-vsctl` on them. `settings` go to the table Open_vSwitch. */
export async function startOvs(
  site: Site,
  namespace: string,
  settings: readonly string[] = [],
): Promise<(args: readonly string[]) => Promise<string>> {
  const folder = join(site.directory, namespace);
  mkdirSync(folder);
  const environment = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder };
  const database = `unix:${join(folder, 'db.sock')}`;
  const control = (args: readonly string[]) =>
    run('ovs-vsctl', ['--timeout=10', `--db=${database}`, ...args], { environment, signal: site.bench.signal });

  await run('ovsdb-tool', ['create', join(folder, 'conf.db'), SCHEMA], { environment });
  const server = [join(folder, 'conf.db'), `--remote=p${database}`, `--unixctl=${join(folder, 'db.ctl')}`];
  await addService(site, inNamespace(namespace, 'ovsdb-server', ...server), { environment });
  const more = settings.length === 0 ? [] : ['--', 'set', 'Open_vSwitch', '.', ...settings];
  await control(['--retry', '--no-wait', 'init', ...more]);
  const daemon = ['ovs-vswitchd', database, `--unixctl=${join(folder, 'switch.ctl')}`];
  await addService(site, inNamespace(namespace, ...daemon), { environment });
  return control;
}
