/** Parts of a network whose gateway is weft: translation, DHCP and DNS. As requests, where everything has a default, and as shown. */
import { Type } from '@sinclair/typebox';
import { Address, Closed, Nullable, OneOf, Text } from './common.js';

const Mapping = OneOf(['endpoint-independent', 'address-and-port-dependent'], 'RFC 4787 section 4.1');
const Filtering = OneOf(
  ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'],
  'RFC 4787 section 5: who may send through a mapping',
);
const Ipv6 = OneOf(
  ['routed', 'nat66', 'nptv6'],
  'routed: not translated; nat66: like IPv4; nptv6: prefix by prefix (RFC 6296)',
);
const Prefix = Text(64, 'External prefix of nptv6, as long as the subnet');
const Seconds = Type.Integer({ minimum: 1, maximum: 2_000_000, description: 'Seconds' });
const FlowLimit = Type.Integer({
  minimum: 1,
  maximum: 1_048_576,
  description: 'Flows that one inside address may have',
});
const Port = Type.Integer({ minimum: 1, maximum: 65535, description: 'Port' });
const Prefixes = Type.Array(Text(64, 'CIDR or address'), { maxItems: 256 });
const Static = Type.Array(Closed({ inside: Address, external: Address }), {
  maxItems: 1024,
  description: '1:1: inside addresses with an external address of their own',
});
const Hairpin = Type.Boolean({ description: 'Whether the inside reaches external addresses of its own network' });

const timers = { tcpEstablished: Seconds, tcpTransitory: Seconds, tcpSyn: Seconds, udp: Seconds, icmp: Seconds };
const settings = {
  mapping: Mapping,
  filtering: Filtering,
  flowLimit: FlowLimit,
  exceptions: { ...Prefixes, description: 'Destinations that are reached untranslated' },
  destinations: { ...Prefixes, description: 'The only destinations that are translated; empty = all' },
  static: Static,
  hairpin: Hairpin,
};

export const NatPatchFields = {
  mapping: Type.Optional(settings.mapping),
  filtering: Type.Optional(settings.filtering),
  timers: Type.Optional(Type.Partial(Closed(timers, 'Timers in seconds'), { additionalProperties: false })),
  flowLimit: Type.Optional(settings.flowLimit),
  ports: Type.Optional(
    Closed({ first: Type.Optional(Port), last: Type.Optional(Port) }, 'External ports given out automatically'),
  ),
  exceptions: Type.Optional(settings.exceptions),
  destinations: Type.Optional(settings.destinations),
  static: Type.Optional(settings.static),
  hairpin: Type.Optional(settings.hairpin),
};

export const NatFields = { ...NatPatchFields, ipv6: Type.Optional(Ipv6), prefix: Type.Optional(Prefix) };

export const NatSchema = Closed(
  {
    ...settings,
    ipv6: Ipv6,
    prefix: Nullable(Prefix),
    timers: Closed(timers, 'Timers in seconds'),
    ports: Closed({ first: Port, last: Port }, 'External ports given out automatically'),
  },
  'How addresses are translated',
);

const LeaseSeconds = Type.Integer({ minimum: 10, maximum: 31_536_000, description: 'Lease time in seconds' });
const DhcpRoutes = Type.Array(Closed({ destination: Text(64, 'CIDR'), via: Address }), {
  maxItems: 64,
  description: 'Classless static routes (RFC 3442) besides the default route',
});
const Domain = Text(191, 'Domain of the names of endpoints and compartments');
const Forwarders = Type.Array(Text(64, 'ADDRESS or ADDRESS#PORT'), {
  maxItems: 8,
  description: 'Resolvers for everything else; empty = those of the host',
});
const Enabled = Type.Boolean({ description: 'Whether the service runs' });

export const DhcpRequest = Type.Union(
  [
    Type.Boolean(),
    Closed({
      enabled: Type.Optional(Enabled),
      leaseSeconds: Type.Optional(LeaseSeconds),
      routes: Type.Optional(DhcpRoutes),
    }),
  ],
  { description: 'DHCP server', 'x-says': 'must be true, false or { enabled, leaseSeconds, routes }' },
);
export const DhcpSchema = Closed({ enabled: Enabled, leaseSeconds: LeaseSeconds, routes: DhcpRoutes }, 'DHCP server');

export const DnsRequest = Type.Union(
  [
    Type.Boolean(),
    Closed({
      enabled: Type.Optional(Enabled),
      domain: Type.Optional(Domain),
      forwarders: Type.Optional(Forwarders),
    }),
  ],
  { description: 'DNS server', 'x-says': 'must be true, false or { enabled, domain, forwarders }' },
);
export const DnsSchema = Closed({ enabled: Enabled, domain: Domain, forwarders: Forwarders }, 'DNS server');
