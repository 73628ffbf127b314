/** What the control API shows of networks, compartments and endpoints: the desired state and what became of it. */
import { isOwned, pathOfCompartment } from '../model/compartment-request.js';
import type { CompartmentRecord, EndpointRecord, NetworkRecord } from '../model/desired-state.js';
import { byName } from '../model/names.js';
import type { Context } from './context.js';
import type { CompartmentView, EndpointView, NetworkView, OutsideView, TunnelView } from './controller/lab-objects.js';
import { wantsUplink } from './uplinks/uplinks.js';

export function viewNetwork(context: Context, record: NetworkRecord): NetworkView {
  const { id, spec, addresses, endpoints } = record;
  const host = context.hostAttachments.get(spec.name);
  return {
    ...spec,
    id,
    hostInterface: host === undefined ? null : (host.tap.currentName() ?? host.request.ifname),
    hostAddresses: record.hostAddresses.map((address) => addresses.withPrefix(address)),
    gatewayMac: record.gatewayMac,
    routerMac: record.ownRouterMac,
    outside: viewOutside(context, record),
    tunnel: viewTunnel(context, record),
    endpoints: [...endpoints].sort(),
    addresses: { used: addresses.usedCount, free: addresses.freeCount.toString() },
  };
}

function viewTunnel({ ports }: Context, { spec }: NetworkRecord): TunnelView | null {
  if (spec.overlay === null) return null;
  const tunnel = ports.tunnelOf(spec.name);
  const vtep = tunnel === null ? null : ports.vtepOf(tunnel.vtep);
  if (tunnel === null || vtep === null) return { state: 'lost', vtep: spec.overlay.vtep, floods: [] };
  return { state: 'ready', vtep: vtep.address, floods: [...tunnel.floods] };
}

function viewOutside(context: Context, record: NetworkRecord): OutsideView | null {
  if (!wantsUplink(record)) return null;
  const uplink = context.uplinks.get(record.spec.name);
  const attachment = context.uplinkAttachments.get(record.spec.name);
  if (uplink === undefined || attachment === undefined) {
    return { state: 'lost', interface: null, external: [], nextHops: [] };
  }
  const { external, nextHops } = uplink.segment;
  const name = attachment.tap.currentName() ?? attachment.request.ifname;
  return { state: 'ready', interface: name, external, nextHops };
}

export function viewCompartment(context: Context, record: CompartmentRecord): CompartmentView {
  const { id, spec, endpoints } = record;
  return {
    ...spec,
    id,
    path: pathOfCompartment(spec),
    owned: isOwned(spec),
    state: context.open.has(spec.name) ? 'ready' : 'gone',
    endpoints: [...endpoints].sort(),
  };
}

export function viewEndpoint(context: Context, record: EndpointRecord): EndpointView {
  const { id, spec } = record;
  const network = context.state.network(spec.network);
  return {
    ...spec,
    id,
    state: stateOf(context, record),
    reason: context.reasons.get(spec.name) ?? null,
    addresses: spec.ip.map((address) => network.addresses.withPrefix(address)),
    gateway: network.spec.gateway,
    mtu: network.spec.mtu,
    port: context.attachments.get(spec.name)?.port ?? null,
  };
}

export function stateOf(context: Context, { spec }: EndpointRecord): EndpointView['state'] {
  if (spec.vtep !== null) return 'remote';
  if (spec.compartment === null) return 'detached';
  return context.attachments.has(spec.name) ? 'attached' : 'degraded';
}

/** Sorted by name. */
export function viewAll<R extends { spec: { name: string } }, V>(
  records: ReadonlyMap<string, R>,
  view: (record: R) => V,
): V[] {
  return [...records.values()].sort((a, b) => byName(a.spec, b.spec)).map(view);
}
