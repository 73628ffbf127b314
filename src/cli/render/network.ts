/** Everything about one network, as text. */
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { fieldsText } from './table.js';
import { counted } from './units.js';

type Network = SchemaTypes['Network'];
type Fields = [string, string][];

export function networkText(view: Network): string {
  const limit = (value: number) => (value === 0 ? 'no limit' : `${value} frames/s per port`);
  return fieldsText([
    ['Name', view.name],
    ['Type', view.type],
    ['Subnets', view.subnets.join('\n')],
    ['Gateway', view.gateway.join('\n')],
    ['Pools', view.pools.length === 0 && view.subnets.length > 0 ? 'the whole subnets' : view.pools.join('\n')],
    ['Reserved', view.reserved.join('\n')],
    ['Addresses', `${view.addresses.used} used, ${view.addresses.free} free`],
    ['MTU', String(view.mtu)],
    ['MAC ageing', `${view.ageingSeconds} s, ${counted(view.macLimit, 'MAC')} at most`],
    ['Control frames', view.controlFrames],
    ['Broadcast', limit(view.storm.broadcast)],
    ['Multicast', limit(view.storm.multicast)],
    ['Unknown unicast', limit(view.storm.unknownUnicast)],
    ...(view.type === 'private' ? [] : [['Routes to', view.routesTo.join('\n')] as [string, string]]),
    ...overlayFields(view),
    ...outsideFields(view),
    ...natFields(view),
    ...serviceFields(view),
    ['Host interface', [view.hostInterface ?? '', ...hostAddresses(view)].join(' ').trim()],
    ['Endpoints', view.endpoints.join('\n')],
    ['Id', view.id],
  ]);
}

/** Of an internal network they are the gateway addresses. */
function hostAddresses(view: Network): string[] {
  return view.type === 'overlay' ? view.hostAddresses : [];
}

function overlayFields({ overlay, tunnel, routerMac }: Network): Fields {
  if (overlay === null) return [];
  const { underlay, port, underlayNetns, group, groupInterface, peers } = overlay;
  const where = underlayNetns === null ? '' : ` in ${underlayNetns}`;
  const own = tunnel?.vtep ?? overlay.vtep ?? 'that of the default route';
  const state = tunnel?.state === 'ready' ? '' : '; lost, weft goes on trying (`weft events` tells why)';
  const joined = group === null ? [] : [groupInterface === null ? group : `${group} on ${groupInterface}`];
  const known = new Set([...peers, ...(group === null ? [] : [group])]);
  const ofCluster = (tunnel?.floods ?? []).filter((vtep) => !known.has(vtep)).map((vtep) => `${vtep} (cluster)`);
  return [
    ['VNI', String(overlay.vni)],
    ['VTEP', `${own}, ${underlay}, UDP port ${port}${where}${state}`],
    ['Peers', [...peers, ...joined, ...ofCluster].join('\n')],
    ['Others may send', overlay.peersClosed ? 'no' : 'yes'],
    ['Learning', overlay.learning ? 'yes' : 'no'],
    ['ARP suppression', overlay.suppress ? 'yes' : 'no'],
    ['Inner VLANs', overlay.innerVlan === 'keep' ? 'carried' : 'not carried'],
    ['Outer DSCP', overlay.dscp === null ? 'that of the inner packet' : String(overlay.dscp)],
    ...(underlay === 'tap' ? [['Outer checksums', overlay.checksum ? 'yes' : 'no'] as [string, string]] : []),
    ...(routerMac === null ? [] : [['Router MAC', `${routerMac} on this host`] as [string, string]]),
    ['Remote subnets', overlay.remoteSubnets.map(remoteSubnetText).join('\n')],
    ['Shared', overlay.shared ? 'with the cluster' : 'no'],
  ];
}

function remoteSubnetText({
  prefix,
  vtep,
  mac,
  vni,
}: NonNullable<Network['overlay']>['remoteSubnets'][number]): string {
  return `${prefix} via ${vtep} ${mac}${vni === null ? '' : ` VNI ${vni}`}`;
}

function outsideFields(view: Network): Fields {
  if (view.uplink === null) return [];
  const masquerade = view.masquerade ? ', masqueraded there' : '';
  const where = view.uplinkNetns === null ? '' : ` in ${view.uplinkNetns}`;
  return [
    ['Uplink', `${view.uplink}${where}${masquerade}`],
    ...(view.outside === null ? [] : outsideLines(view, view.outside)),
  ];
}

function outsideLines(view: Network, outside: NonNullable<Network['outside']>): Fields {
  if (outside.state === 'lost') return [['Outside', 'lost; weft goes on trying (`weft events` tells why)']];
  return [
    ['Outside', outside.interface ?? ''],
    ['External', outside.external.join('\n') || view.externalIp.join('\n')],
    ['Next hop', outside.nextHops.join('\n')],
  ];
}

function natFields({ nat }: Network): Fields {
  if (nat === null) return [];
  const { timers, ports } = nat;
  return [
    ['Mapping', nat.mapping],
    ['Filtering', nat.filtering],
    ['IPv6', nat.prefix === null ? nat.ipv6 : `${nat.ipv6} to ${nat.prefix}`],
    ['Ports', `${ports.first}-${ports.last}, ${counted(nat.flowLimit, 'flow')} per address`],
    [
      'Idle timers',
      `TCP ${timers.tcpEstablished} s (${timers.tcpTransitory} s opening or closing, SYN ${timers.tcpSyn} s), ` +
        `UDP ${timers.udp} s, ICMP ${timers.icmp} s`,
    ],
    ['Hairpin', nat.hairpin ? 'yes' : 'no'],
    ['Not translated', nat.exceptions.join('\n')],
    ['Translated', nat.destinations.join('\n') || 'everything else'],
    ['Static', nat.static.map(({ inside, external }) => `${inside} = ${external}`).join('\n')],
  ];
}

function serviceFields({ advertise, dhcp, dns }: Network): Fields {
  if (dhcp === null || dns === null) return [];
  const routes = dhcp.routes.map(({ destination, via }) => `\n${destination} via ${via}`).join('');
  const forwarders = dns.forwarders.join(', ') || "the host's resolvers";
  return [
    ['Advertised', advertise ? 'yes' : 'no'],
    ['DHCP', dhcp.enabled ? `leases of ${dhcp.leaseSeconds} s${routes}` : 'off'],
    ['DNS', dns.enabled ? `${dns.domain}, the rest from ${forwarders}` : 'off'],
  ];
}
