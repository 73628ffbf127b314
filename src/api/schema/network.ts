/** Networks: what a request may say and what an answer looks like. */
import { Type } from '@sinclair/typebox';
import type { NetworkPatch, NetworkRequest, NetworkView } from '../../control/controller/lab-objects.js';
import { NETWORK_TYPES } from '../network-types.js';
import {
  Address,
  AddressOrList,
  Closed,
  Count,
  Name,
  Nullable,
  type Of,
  OneOf,
  Path,
  type Same,
  Text,
} from './common.js';
import { DhcpRequest, DhcpSchema, DnsRequest, DnsSchema, NatFields, NatPatchFields, NatSchema } from './gateway.js';
import { OverlayFields, OverlayPatchFields, OverlaySchema, TunnelSchema } from './overlay.js';

const Subnet = Text(64, 'CIDR, for example 10.0.0.0/24 or fd00::/64');
const Range = Text(128, 'Address, FIRST-LAST or CIDR inside a subnet');
const Rate = Type.Integer({
  minimum: 0,
  maximum: 1_000_000_000,
  description: 'Frames per second and port; 0 = no limit',
});

const Type_ = OneOf(
  NETWORK_TYPES,
  'private: endpoints only; internal: plus a host vNIC with the gateway addresses; nat: weft is the gateway and translates; overlay: carried in VXLAN between hosts',
);
const Mtu = Type.Integer({ minimum: 68, maximum: 65521, description: 'Largest L3 packet in bytes' });
const AgeingSeconds = Type.Integer({
  minimum: 1,
  maximum: 86400,
  description: 'Seconds until an unused learned MAC is forgotten',
});
const ControlFrames = OneOf(['pass', 'filter'], 'What happens to STP, LACP, LLDP and the like (01:80:c2:00:00:0x)');
const MacLimit = Type.Integer({ minimum: 1, maximum: 131072, description: 'Most MACs learned on this network' });
const Reserved = Type.Array(Range, { maxItems: 256, description: 'Addresses never given out automatically' });

const StormPatch = Closed(
  { broadcast: Type.Optional(Rate), multicast: Type.Optional(Rate), unknownUnicast: Type.Optional(Rate) },
  'Storm control',
);

const Uplink = Text(32, 'host, raw, none or nic:INTERFACE: how a network reaches the outside');
const ExternalIp = Type.Array(Address, {
  maxItems: 64,
  description: 'External addresses; empty = one of the transit subnet',
});
const NextHop = Type.Array(Address, { maxItems: 2, description: 'Next hops of uplink nic, one per family' });
const Masquerade = Type.Boolean({ description: 'uplink host: masquerade in the namespace, with nftables' });
const RoutesTo = Type.Array(Name, { maxItems: 256, description: 'Networks that it exchanges packets with' });
const Advertise = Type.Boolean({ description: 'Whether router advertisements are sent (RFC 4861)' });

export const NetworkPatchSchema = Closed(
  {
    ageingSeconds: Type.Optional(AgeingSeconds),
    controlFrames: Type.Optional(ControlFrames),
    macLimit: Type.Optional(MacLimit),
    mtu: Type.Optional(Mtu),
    reserved: Type.Optional(Reserved),
    storm: Type.Optional(StormPatch),
    ...OverlayPatchFields,
    overlay: Type.Optional(Closed(OverlayPatchFields)),
    nat: Type.Optional(Closed(NatPatchFields)),
    routesTo: Type.Optional(RoutesTo),
    advertise: Type.Optional(Advertise),
    dhcp: Type.Optional(DhcpRequest),
    dns: Type.Optional(DnsRequest),
  },
  'What can be changed of a living network',
);

/** Everything of a network request but its name: the body of a lab file entry. */
export const NetworkFields = {
  type: Type_,
  subnets: Type.Optional(Type.Array(Subnet, { maxItems: 64, description: 'Subnets, pairwise disjoint' })),
  gateway: Type.Optional(AddressOrList),
  pools: Type.Optional(Type.Array(Range, { maxItems: 64, description: 'Where automatic addresses come from' })),
  reserved: Type.Optional(Reserved),
  mtu: Type.Optional(Mtu),
  ageingSeconds: Type.Optional(AgeingSeconds),
  controlFrames: Type.Optional(ControlFrames),
  storm: Type.Optional(StormPatch),
  macLimit: Type.Optional(MacLimit),
  ...OverlayFields,
  overlay: Type.Optional(Closed(OverlayFields)),
  uplink: Type.Optional(Uplink),
  uplinkNetns: Type.Optional(Path),
  externalIp: Type.Optional(ExternalIp),
  nextHop: Type.Optional(NextHop),
  masquerade: Type.Optional(Masquerade),
  nat: Type.Optional(Closed(NatFields)),
  routesTo: Type.Optional(RoutesTo),
  advertise: Type.Optional(Advertise),
  dhcp: Type.Optional(DhcpRequest),
  dns: Type.Optional(DnsRequest),
};

export const NetworkRequestSchema = Closed({ name: Name, ...NetworkFields }, 'A network to create');

export const NetworkSchema = Closed(
  {
    name: Name,
    type: Type_,
    subnets: Type.Array(Subnet),
    gateway: Type.Array(Type.String()),
    pools: Type.Array(Type.String()),
    reserved: Type.Array(Type.String()),
    mtu: Mtu,
    ageingSeconds: AgeingSeconds,
    controlFrames: ControlFrames,
    storm: Closed({ broadcast: Rate, multicast: Rate, unknownUnicast: Rate }),
    macLimit: MacLimit,
    overlay: Nullable(OverlaySchema),
    uplink: Nullable(Uplink),
    uplinkNetns: Nullable(Path),
    externalIp: ExternalIp,
    nextHop: NextHop,
    masquerade: Masquerade,
    nat: Nullable(NatSchema),
    routesTo: RoutesTo,
    advertise: Advertise,
    dhcp: Nullable(DhcpSchema),
    dns: Nullable(DnsSchema),
    id: Type.String({ description: 'Stable identifier' }),
    hostInterface: Nullable(Type.String({ description: 'Name of the host vNIC' })),
    hostAddresses: Type.Array(Type.String(), { description: 'Of the host vNIC, with prefix length' }),
    gatewayMac: Nullable(Type.String({ description: 'Of a gateway that weft itself is' })),
    routerMac: Nullable(
      Type.String({
        description: 'MAC that only the router of this host has on an overlay network, for routes of other hosts',
      }),
    ),
    outside: Nullable(
      Closed({
        state: OneOf(['ready', 'lost']),
        interface: Nullable(Type.String({ description: 'The TAP, or the interface that was asked for' })),
        external: Type.Array(Address, { description: 'Addresses of which NAT takes ports' }),
        nextHops: Type.Array(Address),
      }),
    ),
    tunnel: Nullable(TunnelSchema),
    endpoints: Type.Array(Name, { description: 'Names of its endpoints' }),
    addresses: Closed({
      used: Count,
      free: Type.String({ description: 'Decimal text: an IPv6 subnet has more than a double can hold' }),
    }),
  },
  'A network',
);

true satisfies Same<Of<typeof NetworkRequestSchema>, NetworkRequest>;
true satisfies Same<Of<typeof NetworkPatchSchema>, NetworkPatch>;
true satisfies Same<Of<typeof NetworkSchema>, NetworkView>;
