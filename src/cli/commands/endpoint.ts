/** weft endpoint create | list | show | set | attach | detach | delete */
import type { Command } from 'commander';
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { objectPath } from '../client.js';
import { examples } from '../help.js';
import { addVlanOptions, given, listOption, nameOf, objectOption, type VlanOptions, vlanOf } from '../options.js';
import { fieldsText, tableText } from '../render/table.js';
import type { Session } from '../session.js';

type Endpoint = SchemaTypes['Endpoint'];

interface CreateOptions extends VlanOptions {
  network: string;
  compartment?: string;
  vtep?: string;
  ip?: string[];
  mac?: string;
  ifname?: string;
  defaultRoute: boolean;
  isolated?: boolean;
  offload: boolean;
  staticMac?: string[];
  publish?: string[];
  configure: boolean;
  alias?: string[];
}

interface SetOptions extends VlanOptions {
  vtep?: string;
  isolated?: boolean;
  staticMac?: string[] | false;
  alias?: string[] | false;
}

export function addEndpointCommand(program: Command, session: Session): void {
  const endpoint = program.command('endpoint').description('NICs: each joins one compartment to one network');
  addCreate(endpoint, session);
  endpoint
    .command('list')
    .alias('ls')
    .description('all endpoints')
    .action(async () => {
      const call = { what: 'cannot list the endpoints', method: 'GET', path: '/v1/endpoints' } as const;
      const endpoints = await session.client.call<Endpoint[]>(call);
      session.answer(endpoints, endpoints.length === 0 ? NONE : listText(endpoints));
    });
  endpoint
    .command('show')
    .alias('inspect')
    .description('everything about one endpoint')
    .addArgument(nameOf('endpoint'))
    .action(async (name: string) => {
      const path = objectPath('endpoints', name);
      const view = await session.client.call<Endpoint>({ what: `cannot show endpoint ${name}`, method: 'GET', path });
      session.answer(view, showText(view));
    });
  addSet(endpoint, session);
  addAttachAndDetach(endpoint, session);
  endpoint
    .command('delete')
    .alias('rm')
    .description('delete an endpoint and its interface')
    .addArgument(nameOf('endpoint'))
    .action(async (name: string) => {
      const path = objectPath('endpoints', name);
      await session.client.call({ what: `cannot delete endpoint ${name}`, method: 'DELETE', path });
      session.answer({ object: 'endpoint', name, deleted: true }, `endpoint ${name} deleted`);
    });
}

const NONE = 'no endpoints; make one: weft endpoint create NAME --network NET --compartment C';

function addCreate(endpoint: Command, session: Session): void {
  const create = endpoint
    .command('create')
    .alias('add')
    .description('create an endpoint; its interface is up and has its addresses when this returns')
    .argument('<NAME>', 'name of the new endpoint')
    .addOption(objectOption('--network <NET>', 'network to join', 'network').makeOptionMandatory())
    .addOption(
      objectOption('--compartment <C>', 'where to put it; without it the endpoint stays detached', 'compartment'),
    )
    .option('--vtep <ADDR>', 'the endpoint is on another host, behind this VTEP; needs --mac')
    .addOption(listOption('--ip <ADDR>', 'address, one per subnet (repeatable); else the next free ones'))
    .option('--mac <MAC>', 'MAC address; else one of weft that never changes')
    .option('--ifname <NAME>', 'interface name inside the compartment; else the first free ethN')
    .option('--no-default-route', 'no default route over the gateway of the network')
    .option('--isolated', 'reaches only endpoints that are not isolated')
    .option('--no-offload', 'finished checksums and no super-frames, for programs that read raw frames')
    .addOption(listOption('--static-mac <MAC>', 'further MAC behind this endpoint (repeatable)'))
    .addOption(listOption('--publish <SPEC>', 'publish [HOSTIP:]HOSTPORT[-END]:PORT[/tcp|udp] (repeatable)'))
    .option('--no-configure', 'without addresses and routes: the compartment asks DHCP')
    .addOption(listOption('--alias <NAME>', "another name in the network's domain (repeatable)"));
  addVlanOptions(create);
  create
    .addHelpText(
      'after',
      examples(
        'weft endpoint create web-front --network front --compartment web --ip 10.80.0.10',
        'weft endpoint create web-back --network back --compartment web --ifname eth1',
        'weft endpoint create web-lab --network lab --compartment web --publish 8080:80',
        'weft endpoint create uplink --network back --compartment router --trunk 10,20-30 --native-vlan 1',
        'weft endpoint create db --network ov --vtep 192.0.2.2 --mac 02:00:5e:10:00:01 --ip 10.90.0.20',
      ),
    )
    .action(async (name: string, options: CreateOptions) => {
      const body = given({
        name,
        network: options.network,
        compartment: options.compartment,
        vtep: options.vtep,
        ip: options.ip,
        mac: options.mac,
        ifname: options.ifname,
        defaultRoute: options.defaultRoute ? undefined : false,
        isolated: options.isolated,
        offload: options.offload ? undefined : false,
        staticMacs: options.staticMac,
        publish: options.publish,
        configure: options.configure ? undefined : false,
        aliases: options.alias,
        vlan: vlanOf(create, options),
      });
      const call = { what: `cannot create endpoint ${name}`, method: 'POST', path: '/v1/endpoints', body } as const;
      const view = await session.client.call<Endpoint>(call);
      session.answer(view, `endpoint ${view.name} created: ${summary(view)}`);
    });
}

function addSet(endpoint: Command, session: Session): void {
  const set = endpoint
    .command('set')
    .description('change settings of a living endpoint')
    .addArgument(nameOf('endpoint'))
    .option('--isolated', 'reaches only endpoints that are not isolated')
    .option('--no-isolated', 'reaches all endpoints')
    .addOption(listOption('--static-mac <MAC>', 'the further MACs behind this endpoint (repeatable)'))
    .option('--no-static-mac', 'no further MACs')
    .addOption(listOption('--alias <NAME>', "the other names in the network's domain (repeatable)"))
    .option('--no-alias', 'no other names')
    .option('--vtep <ADDR>', 'an endpoint of another host is behind this VTEP now');
  addVlanOptions(set);
  set
    .addHelpText('after', examples('weft endpoint set web-back --vlan 20', 'weft endpoint set web-back --vlan none'))
    .action(async (name: string, options: SetOptions) => {
      const staticMacs = options.staticMac === false ? [] : options.staticMac;
      const aliases = options.alias === false ? [] : options.alias;
      const { isolated, vtep } = options;
      const body = given({ isolated, vtep, staticMacs, aliases, vlan: vlanOf(set, options) });
      if (Object.keys(body).length === 0) set.error('nothing to change: give at least one option');
      const path = objectPath('endpoints', name);
      const view = await session.client.call<Endpoint>({
        what: `cannot change endpoint ${name}`,
        method: 'PATCH',
        path,
        body,
      });
      session.answer(
        view,
        `endpoint ${name} changed: ${[...behind(view), vlanText(view.vlan), ...flags(view)].join(', ')}`,
      );
    });
}

function addAttachAndDetach(endpoint: Command, session: Session): void {
  endpoint
    .command('attach')
    .description('attach an endpoint to a compartment, or move it there')
    .addArgument(nameOf('endpoint'))
    .addOption(objectOption('--compartment <C>', 'where to put it', 'compartment').makeOptionMandatory())
    .action(async (name: string, options: { compartment: string }) => {
      const path = objectPath('endpoints', name, '/attach');
      const what = `cannot attach endpoint ${name} to ${options.compartment}`;
      const body = { compartment: options.compartment };
      const view = await session.client.call<Endpoint>({ what, method: 'POST', path, body });
      session.answer(view, `endpoint ${name} attached: ${summary(view)}`);
    });
  endpoint
    .command('detach')
    .description('remove its interface; its addresses stay reserved')
    .addArgument(nameOf('endpoint'))
    .action(async (name: string) => {
      const path = objectPath('endpoints', name, '/detach');
      const view = await session.client.call<Endpoint>({
        what: `cannot detach endpoint ${name}`,
        method: 'POST',
        path,
      });
      session.answer(view, `endpoint ${name} detached; ${view.addresses.join(', ') || 'its MAC'} stays reserved`);
    });
}

function summary(view: Endpoint): string {
  const here = view.compartment === null ? 'detached' : `${view.ifname} in ${view.compartment}`;
  return [behind(view)[0] ?? here, ...view.addresses, view.mac, `network ${view.network}`].join(', ');
}

function behind({ vtep }: Endpoint): string[] {
  return vtep === null ? [] : [`behind VTEP ${vtep}`];
}

function flags(view: Endpoint): string[] {
  return [
    ...(view.isolated ? ['isolated'] : []),
    ...(view.offload ? [] : ['no offload']),
    ...(view.defaultRoute ? [] : ['no default route']),
    ...(view.configure ? [] : ['configured by DHCP']),
    ...view.staticMacs.map((mac) => `static ${mac}`),
    ...view.aliases.map((alias) => `alias ${alias}`),
  ];
}

function vlanText(vlan: Endpoint['vlan']): string {
  if (vlan === null) return 'every VLAN';
  if (vlan.mode === 'access') return `access VLAN ${vlan.id}`;
  const allowed = vlan.allowed === null ? 'all VLANs' : `VLANs ${ranges(vlan.allowed)}`;
  return `trunk, ${allowed}${vlan.native === null ? '' : `, native ${vlan.native}`}`;
}

/** `10,20-30`. */
function ranges(sorted: number[]): string {
  const runs: [number, number][] = [];
  for (const id of [...sorted].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] + 1 >= id) last[1] = id;
    else runs.push([id, id]);
  }
  return runs.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(',');
}

function listText(endpoints: Endpoint[]): string {
  return tableText(
    [
      { title: 'NAME' },
      { title: 'NETWORK' },
      { title: 'COMPARTMENT' },
      { title: 'INTERFACE' },
      { title: 'ADDRESSES' },
      { title: 'MAC' },
      { title: 'STATE' },
    ],
    endpoints.map((view) => [
      view.name,
      view.network,
      view.vtep ?? view.compartment ?? '',
      view.vtep === null ? view.ifname : '',
      view.addresses.join(' '),
      view.mac,
      view.state,
    ]),
  );
}

function placeFields(view: Endpoint): [string, string][] {
  if (view.vtep !== null) return [['VTEP', view.vtep]];
  return [
    ['Compartment', view.compartment ?? ''],
    ['Interface', view.ifname],
  ];
}

function showText(view: Endpoint): string {
  return fieldsText([
    ['Name', view.name],
    ['State', view.reason === null ? view.state : `${view.state}: ${view.reason}`],
    ['Network', view.network],
    ...placeFields(view),
    ['MAC', view.mac],
    ['Addresses', view.addresses.join('\n')],
    ['Gateway', view.gateway.join('\n')],
    ['MTU', String(view.mtu)],
    ['VLAN', vlanText(view.vlan)],
    ['Published', view.publish.join('\n')],
    ['Settings', flags(view).join('\n')],
    ['Port', view.port === null ? '' : String(view.port)],
    ['Id', view.id],
  ]);
}
