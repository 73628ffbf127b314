/** What an overlay network has besides others: as a request, where only the VNI is required, and as shown. */
import { Type } from '@sinclair/typebox';
import { Address, Closed, Interface, Mac, Nullable, OneOf, Path, Text } from './common.js';

const Vni = Type.Integer({ minimum: 0, maximum: 16777215, description: 'VXLAN network identifier (RFC 7348)' });
const Underlay = OneOf(
  ['socket', 'tap'],
  'socket: UDP sockets of the host; tap: a host vNIC with an address of its own',
);
const Vtep = Text(64, 'Address of the VTEP of this host; null = that of the default route');
const Port = Type.Integer({ minimum: 1, maximum: 65535, description: 'UDP port of all VTEPs' });
const Peers = Type.Array(Text(64, 'Address'), { maxItems: 4096, description: 'VTEPs that get copies of what floods' });
const Switches = {
  peersClosed: Type.Boolean({ description: 'Only peers and VTEPs of known stations may send' }),
  learning: Type.Boolean({ description: 'Whether stations are learned from what comes in' }),
  suppress: Type.Boolean({ description: 'Whether weft answers ARP and neighbour solicitations for stations it knows' }),
};
const Group = Text(64, 'Multicast group instead of peers; underlay socket only');
const InnerVlan = OneOf(['strip', 'keep'], 'strip: untagged frames only; keep: VLANs are carried with their tags');
const Dscp = Type.Integer({ minimum: 0, maximum: 63, description: 'Outer DSCP; null = that of the inner packet' });
const Checksum = Type.Boolean({ description: 'Outer UDP checksums where they may be left out (underlay tap)' });
const Shared = Type.Boolean({ description: "Shared with the other hosts of the daemon's cluster" });
const Prefix = Text(64, 'CIDR behind the router of another host');
const HostVnic = Type.Union([Type.Boolean(), Address, Type.Array(Address, { maxItems: 64 }), Type.Null()], {
  description: 'A vNIC of the host on the network: true, or its addresses',
  'x-says': 'must be true, false, an address or a list of addresses',
});

const remoteSubnet = { prefix: Prefix, vtep: Address, mac: Mac };
const RemoteSubnets = Type.Array(Closed({ ...remoteSubnet, vni: Type.Optional(Nullable(Vni)) }), {
  maxItems: 1024,
  description: 'Prefixes that are routed to the routers of other hosts (HCN RemoteSubnetRoute)',
});

export const OverlayPatchFields = {
  peers: Type.Optional(Peers),
  peersClosed: Type.Optional(Switches.peersClosed),
  learning: Type.Optional(Switches.learning),
  dscp: Type.Optional(Nullable(Dscp)),
  suppress: Type.Optional(Switches.suppress),
  remoteSubnets: Type.Optional(RemoteSubnets),
};

export const OverlayFields = {
  ...OverlayPatchFields,
  vni: Type.Optional(Vni),
  underlay: Type.Optional(Underlay),
  vtep: Type.Optional(Nullable(Vtep)),
  port: Type.Optional(Port),
  underlayNetns: Type.Optional(Nullable(Path)),
  group: Type.Optional(Nullable(Group)),
  groupInterface: Type.Optional(Nullable(Interface)),
  innerVlan: Type.Optional(InnerVlan),
  checksum: Type.Optional(Checksum),
  hostVnic: Type.Optional(HostVnic),
  shared: Type.Optional(Shared),
};

export const OverlaySchema = Closed(
  {
    vni: Vni,
    underlay: Underlay,
    vtep: Nullable(Vtep),
    port: Port,
    underlayNetns: Nullable(Path),
    peers: Peers,
    ...Switches,
    group: Nullable(Group),
    groupInterface: Nullable(Interface),
    innerVlan: InnerVlan,
    dscp: Nullable(Dscp),
    checksum: Checksum,
    remoteSubnets: Type.Array(Closed({ ...remoteSubnet, vni: Nullable(Vni) })),
    hostVnic: Nullable(Type.Array(Type.String(), { description: 'Addresses that were asked for; empty = weft chose' })),
    shared: Shared,
  },
  'How the network is carried between hosts',
);

/** Of a network whose tunnel is there, or is to be. */
export const TunnelSchema = Closed(
  {
    state: OneOf(['ready', 'lost']),
    vtep: Nullable(Type.String({ description: 'Address of the VTEP of this host' })),
    floods: Type.Array(Type.String(), { description: 'Who gets copies of what floods' }),
  },
  'The tunnel of an overlay network',
);
