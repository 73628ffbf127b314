/** Options of networks whose gateway is weft: uplink, translation, routes to other networks, DHCP and DNS. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { completes } from './completion/kinds.js';
import { given, integerOption, listOption, objectOption, readInteger } from './options.js';

/** What only `create` takes. */
export interface UplinkOptions {
  uplink?: string;
  uplinkNetns?: string;
  externalIp?: string[];
  nextHop?: string[];
  masquerade?: boolean;
  ipv6?: 'routed' | 'nat66' | 'nptv6';
  prefix?: string;
}

interface StaticPair {
  inside: string;
  external: string;
}

/** What can change while the network lives. Lists are false after `--no-...`: emptied. */
export interface NatOptions {
  mapping?: string;
  filtering?: string;
  flowLimit?: number;
  ports?: { first: number; last: number };
  exception?: string[] | false;
  destination?: string[] | false;
  static?: StaticPair[] | false;
  hairpin?: boolean;
  tcpEstablished?: number;
  tcpTransitory?: number;
  tcpSyn?: number;
  udpTimeout?: number;
  icmpTimeout?: number;
  routesTo?: string[] | false;
  advertise?: boolean;
  dhcp?: boolean;
  leaseTime?: number;
  dns?: boolean;
  domain?: string;
  forwarder?: string[] | false;
}

export function addUplinkOptions(command: Command): void {
  command
    .optionsGroup('Outside of a nat or overlay network:')
    .option('--uplink <WHAT>', 'host (the default of nat), nic:INTERFACE, raw or none (that of overlay)')
    .addOption(completes(new Option('--uplink-netns <PATH>', "namespace of the uplink; else the daemon's own"), 'file'))
    .addOption(listOption('--external-ip <ADDR>', 'external address (repeatable); else one of the transit subnet'))
    .addOption(listOption('--next-hop <ADDR>', 'uplink nic: next hop, one per family (repeatable)'))
    .option('--masquerade', 'uplink host: masquerade in the namespace, with nftables (the default)')
    .option('--no-masquerade', 'uplink host: the namespace has routes back to the external address')
    .addOption(new Option('--ipv6 <HOW>', 'what happens to IPv6 (else nat66)').choices(['routed', 'nat66', 'nptv6']))
    .option('--prefix <CIDR>', 'external prefix of nptv6');
}

/** `canEmpty`: for `set`, lists can be emptied with --no-... */
export function addNatOptions(command: Command, canEmpty: boolean): void {
  const otherwise = (text: string, fallback: string) => (canEmpty ? text : `${text}; else ${fallback}`);
  const seconds = (flags: string, description: string) => integerOption(flags, description, 1, 2_000_000);
  const ports = new Option('--ports <FIRST-LAST>', otherwise('external ports given out automatically', '1024-65535'));
  command
    .optionsGroup('Translation of a network with an uplink:')
    .addOption(new Option('--mapping <HOW>', 'what decides the external port of a flow').choices(MAPPINGS))
    .addOption(
      new Option('--filtering <HOW>', otherwise('who may send to it', 'address-dependent')).choices(FILTERINGS),
    )
    .addOption(
      integerOption('--flow-limit <N>', otherwise('flows that one inside address may have', '65536'), 1, 1_048_576),
    )
    .addOption(ports.argParser(readPorts))
    .addOption(listOption('--exception <CIDR>', 'destination that is reached untranslated (repeatable)'))
    .addOption(listOption('--destination <CIDR>', 'only such destinations are translated (repeatable)'))
    .addOption(pairsOption('--static <INSIDE=EXTERNAL>', 'external address for one inside address (repeatable)'))
    .option('--hairpin', 'the inside reaches external addresses of its own network (the default)')
    .option('--no-hairpin', 'it does not')
    .addOption(seconds('--tcp-established <SECONDS>', otherwise('until an idle connection is forgotten', '7440')))
    .addOption(seconds('--tcp-transitory <SECONDS>', otherwise('until an opening or closing one is forgotten', '240')))
    .addOption(seconds('--tcp-syn <SECONDS>', otherwise('how long an unexpected SYN from outside is held', '6')))
    .addOption(seconds('--udp-timeout <SECONDS>', otherwise('until an idle UDP flow is forgotten', '300')))
    .addOption(seconds('--icmp-timeout <SECONDS>', otherwise('until an idle ping is forgotten', '60')))
    .optionsGroup('Gateway of a network:')
    .addOption(
      repeatable(objectOption('--routes-to <NET>', 'network to exchange packets with (repeatable)', 'network')),
    )
    .option('--advertise', 'advertise the router, so that stations configure IPv6 by themselves')
    .option('--no-advertise', 'do not (the default)')
    .option('--dhcp', 'serve DHCP (the default)')
    .option('--no-dhcp', 'do not')
    .addOption(integerOption('--lease-time <SECONDS>', otherwise('of DHCP leases', '3600'), 10, 31_536_000))
    .option('--dns', 'serve DNS (the default)')
    .option('--no-dns', 'do not')
    .option('--domain <DOMAIN>', otherwise('of the names of endpoints and compartments', 'NETWORK.weft'))
    .addOption(listOption('--forwarder <ADDR>', 'resolver for other names, ADDRESS or ADDRESS#PORT (repeatable)'));
  if (!canEmpty) return;
  command
    .option('--no-exception', 'no exceptions')
    .option('--no-destination', 'all destinations')
    .option('--no-static', 'no external addresses for single endpoints')
    .option('--no-routes-to', 'no routes to other networks')
    .option('--no-forwarder', "the host's resolvers");
}

const MAPPINGS = ['endpoint-independent', 'address-and-port-dependent'];
const FILTERINGS = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'];

function readPorts(value: string): { first: number; last: number } {
  const [first = '', last = '', ...more] = value.split('-');
  if (last === '' || more.length > 0) throw new InvalidArgumentError('a range is wanted, e.g. 1024-65535');
  return { first: readInteger(first, 1, 65535), last: readInteger(last, 1, 65535) };
}

function pairsOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, before: StaticPair[] | undefined) => [
    ...(before ?? []),
    ...value.split(',').map((part) => {
      const [inside = '', external = '', ...more] = part.split('=').map((each) => each.trim());
      if (inside === '' || external === '' || more.length > 0) {
        throw new InvalidArgumentError('a pair is wanted, e.g. 10.80.0.10=192.0.2.10');
      }
      return { inside, external };
    }),
  ]);
}

function repeatable(option: Option): Option {
  return option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), ...value.split(',')]);
}

/** The fields of a request that the options stand for; empty when none is given. */
export function uplinkFieldsOf(options: UplinkOptions): Record<string, unknown> {
  const { uplink, uplinkNetns, externalIp, nextHop, masquerade } = options;
  return given({ uplink, uplinkNetns, externalIp, nextHop, masquerade });
}

export function natFieldsOf(options: NatOptions & UplinkOptions): Record<string, unknown> {
  const timers = given({
    tcpEstablished: options.tcpEstablished,
    tcpTransitory: options.tcpTransitory,
    tcpSyn: options.tcpSyn,
    udp: options.udpTimeout,
    icmp: options.icmpTimeout,
  });
  const nat = given({
    mapping: options.mapping,
    filtering: options.filtering,
    ipv6: options.ipv6,
    prefix: options.prefix,
    timers: someOf(timers),
    flowLimit: options.flowLimit,
    ports: options.ports,
    exceptions: listOf(options.exception),
    destinations: listOf(options.destination),
    static: listOf(options.static),
    hairpin: options.hairpin,
  });
  return given({
    nat: someOf(nat),
    routesTo: listOf(options.routesTo),
    advertise: options.advertise,
    dhcp: service(options.dhcp, { leaseSeconds: options.leaseTime }),
    dns: service(options.dns, { domain: options.domain, forwarders: listOf(options.forwarder) }),
  });
}

function listOf<Item>(list: Item[] | false | undefined): Item[] | undefined {
  return list === false ? [] : list;
}

function someOf(fields: object): object | undefined {
  return Object.keys(fields).length > 0 ? fields : undefined;
}

/** Switched by a flag, described by settings, or both. */
function service(flag: boolean | undefined, settings: object): unknown {
  const fields = given(settings);
  if (Object.keys(fields).length === 0) return flag;
  return flag === undefined ? fields : { enabled: flag, ...fields };
}
