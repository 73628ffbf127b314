/** Networks: what a request may say and what an answer looks like. */
import { Type } from '@sinclair/typebox';
import type { NetworkPatch, NetworkRequest, NetworkView } from '../../control/controller.js';
import { NETWORK_TYPES } from '../network-types.js';
import { AddressOrList, Closed, Count, Name, Nullable, type Of, OneOf, type Same, Text } from './common.js';

const Subnet = Text(64, 'CIDR, for example 10.0.0.0/24 or fd00::/64');
const Range = Text(128, 'Address, FIRST-LAST or CIDR inside a subnet');
const Rate = Type.Integer({
  minimum: 0,
  maximum: 1_000_000_000,
  description: 'Frames per second and port; 0 = no limit',
});

const Type_ = OneOf(NETWORK_TYPES, 'private: endpoints only; internal: plus a host vNIC with the gateway addresses');
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
};

export const NetworkRequestSchema = Closed({ name: Name, ...NetworkFields }, 'A network to create');

export const NetworkPatchSchema = Closed(
  {
    ageingSeconds: Type.Optional(AgeingSeconds),
    controlFrames: Type.Optional(ControlFrames),
    macLimit: Type.Optional(MacLimit),
    mtu: Type.Optional(Mtu),
    reserved: Type.Optional(Reserved),
    storm: Type.Optional(StormPatch),
  },
  'What can be changed of a living network',
);

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
    id: Type.String({ description: 'Stable identifier' }),
    hostInterface: Nullable(Type.String({ description: 'Name of the host vNIC of an internal network' })),
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
