/** weft network create | list | show | set | delete */
import { type Command, Option } from 'commander';
import { isSupportedType, NETWORK_TYPES, unsupportedType } from '../../api/network-types.js';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { CliError } from '../failure.js';
import { examples } from '../help.js';
import {
  addNatOptions,
  addUplinkOptions,
  type NatOptions,
  natFieldsOf,
  type UplinkOptions,
  uplinkFieldsOf,
} from '../nat-options.js';
import { given, integerOption, listOption, nameOf } from '../options.js';
import {
  addOverlayOptions,
  addTunnelOptions,
  type OverlayOptions,
  overlayFieldsOf,
  type TunnelOptions,
} from '../overlay-options.js';
import { networkText } from '../render/network.js';
import { tableText } from '../render/table.js';
import type { Session } from '../session.js';

type Network = SchemaTypes['Network'];

interface SettingOptions extends NatOptions, OverlayOptions {
  mtu?: number;
  reserve?: string[];
  ageing?: number;
  controlFrames?: 'pass' | 'filter';
  macLimit?: number;
  stormBroadcast?: number;
  stormMulticast?: number;
  stormUnknown?: number;
}

interface CreateOptions extends SettingOptions, UplinkOptions, TunnelOptions {
  type: string;
  subnet?: string[];
  gateway?: string[];
  pool?: string[];
}

export function addNetworkCommand(program: Command, session: Session): void {
  const network = program.command('network').description('L2 segments with subnets and switch settings');
  addCreate(network, session);
  network
    .command('list')
    .alias('ls')
    .description('all networks')
    .action(async () => {
      const call = { what: 'cannot list the networks', method: 'GET', path: '/v1/networks' } as const;
      const networks = await session.client.call<Network[]>(call);
      session.answer(networks, networks.length === 0 ? NONE : listText(networks));
    });
  network
    .command('show')
    .alias('inspect')
    .description('everything about one network')
    .addArgument(nameOf('network'))
    .action(async (name: string) => {
      const path = objectPath('networks', name);
      const view = await session.client.call<Network>({ what: `cannot show network ${name}`, method: 'GET', path });
      session.answer(view, networkText(view));
    });
  addSet(network, session);
  network
    .command('delete')
    .alias('rm')
    .description('delete a network')
    .addArgument(nameOf('network'))
    .option('--force', 'also delete its endpoints')
    .action(async (name: string, options: { force?: boolean }) => {
      const path = objectPath('networks', name, options.force ? '?force=true' : '');
      await session.client.call({ what: `cannot delete network ${name}`, method: 'DELETE', path });
      session.answer({ object: 'network', name, deleted: true }, `network ${name} deleted`);
    });
}

const NONE = 'no networks; make one: weft network create NAME --type private --subnet 10.80.0.0/24';

function addCreate(network: Command, session: Session): void {
  const type = new Option(
    '--type <TYPE>',
    'private: endpoints only; internal: plus a host vNIC; nat: weft is the gateway; overlay: VXLAN between hosts',
  )
    .choices(NETWORK_TYPES)
    .argParser((value) => {
      if (!isSupportedType(value)) throw new CliError('cannot create the network', unsupportedType(value), '');
      return value;
    })
    .makeOptionMandatory();
  const create = network
    .command('create')
    .alias('add')
    .description('create a network')
    .argument('<NAME>', 'name of the new network')
    .addOption(type)
    .addOption(listOption('--subnet <CIDR>', 'IPv4 or IPv6 subnet (repeatable)'))
    .addOption(listOption('--gateway <ADDR>', 'gateway address, one per subnet (repeatable)'))
    .addOption(listOption('--pool <RANGE>', 'where automatic addresses come from: FIRST-LAST or CIDR (repeatable)'));
  addSettings(create);
  addTunnelOptions(create);
  addOverlayOptions(create, false);
  addUplinkOptions(create);
  addNatOptions(create, false);
  create
    .addHelpText(
      'after',
      examples(
        'weft network create back --type private --subnet 10.81.0.0/24 --subnet fd00:81::/64',
        'weft network create front --type internal --subnet 10.80.0.0/24 --pool 10.80.0.100-10.80.0.199',
        'weft network create lab --type nat --subnet 10.82.0.0/24 --subnet fd00:82::/64',
        'weft network create ov --type overlay --vni 5000 --subnet 10.90.0.0/24 --vtep 192.0.2.1 --peer 192.0.2.2',
      ),
    )
    .action(async (name: string, options: CreateOptions) => {
      const { type, subnet: subnets, gateway, pool: pools } = options;
      const body = given({ name, type, subnets, gateway, pools, ...uplinkFieldsOf(options), ...settingsOf(options) });
      const call = { what: `cannot create network ${name}`, method: 'POST', path: '/v1/networks', body } as const;
      const view = await session.client.call<Network>(call);
      session.answer(view, `network ${view.name} created: ${summary(view)}`);
    });
}

function addSet(network: Command, session: Session): void {
  const set = network.command('set').description('change settings of a living network').addArgument(nameOf('network'));
  addSettings(set);
  addOverlayOptions(set, true);
  addNatOptions(set, true);
  set
    .addHelpText('after', examples('weft network set back --ageing 60 --storm-broadcast 1000'))
    .action(async (name: string, options: SettingOptions) => {
      const body = settingsOf(options);
      if (Object.keys(body).length === 0) set.error('nothing to change: give at least one option');
      const path = objectPath('networks', name);
      const view = await session.client.call<Network>({
        what: `cannot change network ${name}`,
        method: 'PATCH',
        path,
        body,
      });
      session.answer(view, `network ${name} changed: ${summary(view)}`);
    });
}

function addSettings(command: Command): void {
  const frames = 'frames per second and port; 0 = no limit';
  const control = new Option('--control-frames <WHAT>', 'STP, LACP, LLDP and the like');
  command
    .addOption(integerOption('--mtu <N>', 'largest L3 packet in bytes', 68, 65521))
    .addOption(listOption('--reserve <RANGE>', 'addresses never given out automatically (repeatable)'))
    .addOption(integerOption('--ageing <SECONDS>', 'until an unused learned MAC is forgotten', 1, 86400))
    .addOption(control.choices(['pass', 'filter']))
    .addOption(integerOption('--mac-limit <N>', 'most MACs learned on this network', 1, 131072))
    .addOption(integerOption('--storm-broadcast <N>', `broadcast limit: ${frames}`, 0, 1_000_000_000))
    .addOption(integerOption('--storm-multicast <N>', `multicast limit: ${frames}`, 0, 1_000_000_000))
    .addOption(integerOption('--storm-unknown <N>', `unknown-unicast limit: ${frames}`, 0, 1_000_000_000));
}

function settingsOf(options: SettingOptions & Partial<TunnelOptions>): Record<string, unknown> {
  const storm = given({
    broadcast: options.stormBroadcast,
    multicast: options.stormMulticast,
    unknownUnicast: options.stormUnknown,
  });
  return given({
    mtu: options.mtu,
    reserved: options.reserve,
    ageingSeconds: options.ageing,
    controlFrames: options.controlFrames,
    macLimit: options.macLimit,
    storm: Object.keys(storm).length > 0 ? storm : undefined,
    ...overlayFieldsOf(options),
    ...natFieldsOf(options),
  });
}

function summary(view: Network): string {
  const host = view.hostInterface === null ? [] : [`host interface ${view.hostInterface}`];
  const uplink = view.uplink === null ? [] : [`uplink ${view.uplink}`];
  const vtep = view.tunnel?.vtep ?? null;
  const tunnel = view.overlay === null ? [] : [`VNI ${view.overlay.vni}`, ...(vtep === null ? [] : [`VTEP ${vtep}`])];
  return [view.type, ...tunnel, ...view.subnets, ...host, ...uplink, `MTU ${view.mtu}`].join(', ');
}

function listText(networks: Network[]): string {
  return tableText(
    [
      { title: 'NAME' },
      { title: 'TYPE' },
      { title: 'SUBNETS' },
      { title: 'GATEWAY' },
      { title: 'MTU', right: true },
      { title: 'ENDPOINTS', right: true },
      { title: 'ADDRESSES USED', right: true },
      { title: 'HOST INTERFACE' },
    ],
    networks.map((view) => [
      view.name,
      view.type,
      view.subnets.join(' '),
      view.gateway.join(' '),
      String(view.mtu),
      String(view.endpoints.length),
      String(view.addresses.used),
      view.hostInterface ?? '',
    ]),
  );
}
