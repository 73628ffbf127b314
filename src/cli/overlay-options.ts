/** Options of overlay networks: VNI, the VTEP of this host, other VTEPs, and what is done with stations behind them. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { completes } from './completion/kinds.js';
import { given, integerOption, listOption, readInteger } from './options.js';

const VNI_MAX = 16777215;

interface RemoteSubnet {
  prefix: string;
  vtep: string;
  mac: string;
  vni?: number;
}

/** What only `create` takes. */
export interface TunnelOptions {
  vni?: number;
  underlay?: 'socket' | 'tap';
  vtep?: string;
  port?: number;
  underlayNetns?: string;
  group?: { group: string; groupInterface?: string };
  innerVlan?: 'strip' | 'keep';
  checksum?: boolean;
  hostVnic?: true | string[];
  /** false after --local. */
  local?: boolean;
}

/** What can change while the network lives. Lists are false after `--no-...`: emptied. */
export interface OverlayOptions {
  peer?: string[] | false;
  peersClosed?: boolean;
  learning?: boolean;
  dscp?: number | 'inner';
  suppress?: boolean;
  remoteSubnet?: RemoteSubnet[] | false;
}

export function addTunnelOptions(command: Command): void {
  const group = new Option('--group <ADDR[%IF]>', 'multicast group instead of peers, joined on an interface');
  command
    .optionsGroup('Tunnel of an overlay network:')
    .addOption(integerOption('--vni <N>', 'VXLAN network identifier, the same on every host', 0, VNI_MAX))
    .addOption(
      new Option(
        '--underlay <HOW>',
        'socket: UDP sockets, works everywhere (the default); tap: a vNIC, fastest',
      ).choices(['socket', 'tap']),
    )
    .option('--vtep <ADDR>', 'address of the VTEP of this host; else that of the default route')
    .addOption(integerOption('--port <N>', 'UDP port of all VTEPs; else 4789', 1, 65535))
    .addOption(
      completes(new Option('--underlay-netns <PATH>', "namespace of the underlay; else the daemon's own"), 'file'),
    )
    .addOption(group.argParser(readGroup))
    .addOption(
      new Option('--inner-vlan <HOW>', 'strip: untagged frames only (the default); keep: tags too').choices([
        'strip',
        'keep',
      ]),
    )
    .option('--checksum', 'outer UDP checksums with underlay tap (the default over IPv6)')
    .option('--no-checksum', 'none (the default over IPv4)')
    .addOption(new Option('--host-vnic [ADDR]', 'a vNIC of the host on the network (repeatable)').argParser(readList))
    .option('--local', 'not shared with the other hosts of the cluster');
}

/** `canEmpty`: for `set`, lists can be emptied with --no-... */
export function addOverlayOptions(command: Command, canEmpty: boolean): void {
  const subnet = new Option(
    '--remote-subnet <PREFIX=VTEP,MAC[,VNI]>',
    'prefix behind the router of another host (repeatable)',
  );
  command
    .optionsGroup('Stations of an overlay network:')
    .addOption(listOption('--peer <ADDR>', 'other VTEP, which gets copies of what floods (repeatable)'))
    .option('--peers-closed', 'only peers and VTEPs of known stations may send')
    .option('--no-peers-closed', 'any VTEP may (the default)')
    .option('--learning', 'learn stations from what comes in (the default)')
    .option('--no-learning', 'do not')
    .addOption(new Option('--dscp <N>', 'DSCP of outer packets; inner: that of the inner one').argParser(readDscp))
    .option('--suppress', 'answer ARP and neighbour solicitations for known stations (the default)')
    .option('--no-suppress', 'let them flood')
    .addOption(subnet.argParser(readRemoteSubnet));
  if (!canEmpty) return;
  command.option('--no-peer', 'no peers').option('--no-remote-subnet', 'no prefixes behind other hosts');
}

function readList(value: string, before: true | string[] | undefined): string[] {
  const parts = value.split(',').map((part) => part.trim());
  return [...(Array.isArray(before) ? before : []), ...parts];
}

function readGroup(value: string): { group: string; groupInterface?: string } {
  const [group = '', groupInterface, ...more] = value.split('%');
  if (group === '' || more.length > 0) throw new InvalidArgumentError('a group is wanted, e.g. 239.1.1.1%eth0');
  return groupInterface === undefined ? { group } : { group, groupInterface };
}

function readDscp(value: string): number | 'inner' {
  return value === 'inner' ? value : readInteger(value, 0, 63);
}

function readRemoteSubnet(value: string, before: RemoteSubnet[] | undefined): RemoteSubnet[] {
  const [prefix = '', router = '', ...more] = value.split('=').map((part) => part.trim());
  const [vtep = '', mac = '', vni, ...rest] = router.split(',').map((part) => part.trim());
  if (prefix === '' || vtep === '' || mac === '' || more.length > 0 || rest.length > 0) {
    throw new InvalidArgumentError('PREFIX=VTEP,MAC is wanted, e.g. 10.91.0.0/24=192.0.2.2,02:00:5e:10:00:01');
  }
  const subnet = { prefix, vtep, mac };
  return [...(before ?? []), vni === undefined ? subnet : { ...subnet, vni: readInteger(vni, 0, VNI_MAX) }];
}

/** The fields of a request that the options stand for; empty when none is given. */
export function overlayFieldsOf(options: TunnelOptions & OverlayOptions): Record<string, unknown> {
  const { group, peer, remoteSubnet, local } = options;
  const overlay = given({
    vni: options.vni,
    underlay: options.underlay,
    vtep: options.vtep,
    port: options.port,
    underlayNetns: options.underlayNetns,
    ...group,
    innerVlan: options.innerVlan,
    checksum: options.checksum,
    hostVnic: options.hostVnic,
    shared: local === true ? false : undefined,
    peers: peer === false ? [] : peer,
    peersClosed: options.peersClosed,
    learning: options.learning,
    dscp: options.dscp === 'inner' ? null : options.dscp,
    suppress: options.suppress,
    remoteSubnets: remoteSubnet === false ? [] : remoteSubnet,
  });
  return Object.keys(overlay).length === 0 ? {} : { overlay };
}
