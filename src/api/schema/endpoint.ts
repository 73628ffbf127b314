/** Endpoints: what a request may say and what an answer looks like. */
import { Type } from '@sinclair/typebox';
import type { EndpointPatch, EndpointRequest, EndpointView } from '../../control/controller/lab-objects.js';
import {
  Address,
  AddressOrList,
  Closed,
  Interface,
  Mac,
  Name,
  Nullable,
  type Of,
  OneOf,
  type Same,
  Text,
} from './common.js';

const VlanId = Type.Integer({ minimum: 1, maximum: 4094, description: 'VLAN identifier' });
const Vlan = Type.Union(
  [
    Closed({ mode: Type.Literal('access'), id: VlanId }, 'Untagged frames belong to VLAN `id`'),
    Closed(
      {
        mode: Type.Literal('trunk'),
        native: Type.Union([VlanId, Type.Null()], { description: 'VLAN of untagged frames' }),
        allowed: Type.Union([Type.Array(VlanId, { maxItems: 4094 }), Type.Null()], { description: 'null = all' }),
      },
      'Tagged frames of the allowed VLANs',
    ),
    Type.Null(),
  ],
  { 'x-says': 'must be null, { mode: access, id } or { mode: trunk, native, allowed }' },
);
const Vtep = { ...Address, description: 'VTEP behind which a remote endpoint is' };
const Isolated = Type.Boolean({ description: 'Isolated endpoints reach only those that are not isolated' });
const StaticMacs = Type.Array(Mac, { maxItems: 1024, description: 'Further MACs behind this endpoint' });
const Publish = Type.Array(Text(128, '[HOSTIP:]HOSTPORT[-END]:PORT[/tcp|udp]'), {
  maxItems: 256,
  description: 'Published ports: what the outside sends to HOSTPORT arrives at PORT',
});
const Configure = Type.Boolean({ description: 'false: without addresses and routes; the compartment asks DHCP' });
const Aliases = Type.Array(Text(190, 'Name'), { maxItems: 64, description: "More names in the network's domain" });

/** Everything of an endpoint request but its name: the body of a lab file entry. */
export const EndpointFields = {
  network: Name,
  compartment: Type.Optional(
    Type.Union([Name, Type.Null()], { 'x-says': 'must be the name of a compartment or null' }),
  ),
  vtep: Type.Optional(Vtep),
  ip: Type.Optional(AddressOrList),
  mac: Type.Optional(Mac),
  ifname: Type.Optional(Interface),
  defaultRoute: Type.Optional(Type.Boolean({ description: 'Whether the gateways become default routes' })),
  vlan: Type.Optional(Vlan),
  isolated: Type.Optional(Isolated),
  offload: Type.Optional(Type.Boolean({ description: 'false: finished checksums and no super-frames' })),
  staticMacs: Type.Optional(StaticMacs),
  publish: Type.Optional(Publish),
  configure: Type.Optional(Configure),
  aliases: Type.Optional(Aliases),
};

export const EndpointRequestSchema = Closed({ name: Name, ...EndpointFields }, 'An endpoint to create');

export const EndpointPatchSchema = Closed(
  {
    isolated: Type.Optional(Isolated),
    vlan: Type.Optional(Vlan),
    staticMacs: Type.Optional(StaticMacs),
    publish: Type.Optional(Publish),
    aliases: Type.Optional(Aliases),
    vtep: Type.Optional(Vtep),
  },
  'What can be changed of a living endpoint',
);

export const AttachSchema = Closed({ compartment: Name }, 'Where to attach it');

export const EndpointSchema = Closed(
  {
    name: Name,
    network: Name,
    compartment: Nullable(Name),
    vtep: Nullable(Vtep),
    ifname: Interface,
    mac: Mac,
    ip: Type.Array(Text(64, 'Address')),
    defaultRoute: Type.Boolean(),
    vlan: Vlan,
    isolated: Isolated,
    offload: Type.Boolean(),
    staticMacs: StaticMacs,
    publish: Publish,
    configure: Configure,
    aliases: Aliases,
    id: Type.String({ description: 'Stable identifier' }),
    state: OneOf(['attached', 'detached', 'degraded', 'remote']),
    reason: Nullable(Type.String({ description: 'Why it is degraded or was detached' })),
    addresses: Type.Array(Type.String(), { description: 'With prefix length' }),
    gateway: Type.Array(Type.String()),
    mtu: Type.Integer(),
    port: Nullable(Type.Integer({ description: 'Row in the datapath' })),
  },
  'An endpoint: one NIC of one compartment on one network',
);

true satisfies Same<Of<typeof EndpointRequestSchema>, EndpointRequest>;
true satisfies Same<Of<typeof EndpointPatchSchema>, EndpointPatch>;
true satisfies Same<Of<typeof EndpointSchema>, EndpointView>;
