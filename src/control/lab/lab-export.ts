/**
 * The lab as a file that `apply` makes the same lab from: addresses, MACs and interface names spelled out, defaults left
 * out. Endpoints are in the order of their default routes, because the first one of a compartment wins.
 */
import type { EndpointRecord } from '../../model/desired-state.js';
import type { NetworkSpec, OverlaySpec } from '../../model/network.js';
import { parseNetworkRequest } from '../../model/network-request.js';
import type { Context } from '../context.js';
import type { CaptureRequest } from '../controller/captures.js';
import type {
  CompartmentRequest,
  EndpointRequest,
  LabFile,
  NetworkRequest,
  OverlayRequest,
} from '../controller/lab-objects.js';

export function exportLab(context: Context): LabFile {
  const { networks, compartments, endpoints } = context.state;
  const lab: LabFile = { weft: 1 };
  const captures = exportCaptures(context);
  const ordered = [...endpoints.values()].sort((a, b) => a.metric - b.metric);
  if (networks.size > 0) lab.networks = byKey([...networks], ({ spec }) => exportNetwork(spec));
  if (compartments.size > 0) lab.compartments = byKey([...compartments], ({ spec }) => exportCompartment(spec));
  if (endpoints.size > 0)
    lab.endpoints = byKey(
      ordered.map((record) => [record.spec.name, record]),
      exportEndpoint,
    );
  if (captures.length > 0) lab.captures = Object.fromEntries(captures);
  return lab;
}

function byKey<R, V>(records: [string, R][], view: (record: R) => V): Record<string, V> {
  return Object.fromEntries(records.map(([name, record]) => [name, view(record)]));
}

/** Whatever reading it again would fill in is left out. */
function exportNetwork(spec: NetworkSpec): Omit<NetworkRequest, 'name'> {
  const { name, type, subnets, ...options } = spec;
  const { uplink } = spec;
  const overlay = spec.overlay === null ? null : requiredOf(spec.overlay);
  const defaults = parseNetworkRequest({ name, type, subnets, uplink, externalIp: spec.externalIp, overlay });
  const own = withoutDefaults(options, defaults.ok ? defaults.value : {});
  // The read form of `uplink` and `externalIp` is not what stands for leaving them out.
  const outside = {
    ...(uplink === null || (uplink === 'host' && type === 'nat') ? {} : { uplink }),
    ...(spec.externalIp.length === 0 ? {} : { externalIp: spec.externalIp }),
  };
  const { overlay: ownOverlay, ...others } = own as { overlay?: object };
  const tunnel = overlay === null ? {} : { overlay: { ...givenOf(overlay), ...ownOverlay } };
  return { type, ...(subnets.length > 0 ? { subnets } : {}), ...tunnel, ...outside, ...others };
}

/** What the defaults of the others depend on. */
function requiredOf({ vni, underlay, vtep, peers, group, innerVlan }: OverlaySpec) {
  return { vni, underlay, vtep, peers, group, innerVlan };
}

/** Without what means the same when it is left out. */
function givenOf(overlay: ReturnType<typeof requiredOf>): OverlayRequest {
  const { vni, underlay, vtep, peers, group, innerVlan } = overlay;
  return {
    vni,
    ...(underlay === 'socket' ? {} : { underlay }),
    ...(vtep === null ? {} : { vtep }),
    ...(peers.length === 0 ? {} : { peers }),
    ...(group === null ? {} : { group }),
    ...(innerVlan === 'strip' ? {} : { innerVlan }),
  };
}

/** Fields whose value is not that of `defaults`, also inside of objects. */
function withoutDefaults(value: object, defaults: object): object {
  return Object.fromEntries(
    Object.entries(value).flatMap(([field, own]) => {
      const fallback = (defaults as Record<string, unknown>)[field];
      if (JSON.stringify(own) === JSON.stringify(fallback)) return [];
      const isNested = [own, fallback].every(
        (each) => typeof each === 'object' && each !== null && !Array.isArray(each),
      );
      return [[field, isNested ? withoutDefaults(own, fallback as object) : own]];
    }),
  );
}

function exportCompartment({
  netns,
  pid,
}: {
  netns: string | null;
  pid: number | null;
}): Omit<CompartmentRequest, 'name'> {
  if (netns !== null) return { netns };
  return pid === null ? {} : { pid };
}

function exportEndpoint({ spec, ifnameIsAutomatic }: EndpointRecord): Omit<EndpointRequest, 'name'> {
  const { network, compartment, ifname, mac, ip, defaultRoute, vlan, isolated, offload, staticMacs } = spec;
  const { publish, configure, aliases, vtep } = spec;
  // While it is detached the name of the interface is not settled, unless the user gave it.
  const hasName = vtep === null && (compartment !== null || !ifnameIsAutomatic);
  return {
    network,
    ...(compartment === null ? {} : { compartment }),
    ...(vtep === null ? {} : { vtep }),
    ...(hasName ? { ifname } : {}),
    mac,
    ...(ip.length === 0 ? {} : { ip: ip.length === 1 ? ip[0]! : ip }),
    ...(defaultRoute ? {} : { defaultRoute }),
    ...(vlan === null ? {} : { vlan }),
    ...(isolated ? { isolated } : {}),
    ...(offload ? {} : { offload }),
    ...(staticMacs.length === 0 ? {} : { staticMacs }),
    ...(publish.length === 0 ? {} : { publish }),
    ...(configure ? {} : { configure }),
    ...(aliases.length === 0 ? {} : { aliases }),
  };
}

function exportCaptures(context: Context): [string, Omit<CaptureRequest, 'name'>][] {
  const running = context.captures.list().filter(({ state, file }) => state === 'running' && file !== null);
  return running.map(({ name, network, endpoint, all, underlay, file, format, filter, snaplen, drops, ...view }) => [
    name,
    {
      ...(network === null ? {} : { network }),
      ...(endpoint === null ? {} : { endpoint }),
      ...(all ? { all } : {}),
      ...(underlay ? { underlay } : {}),
      ...(file === null ? {} : { file }),
      format,
      ...(filter === '' ? {} : { filter }),
      snaplen,
      drops,
      ...(view.rotateSize === null ? {} : { rotateSize: view.rotateSize }),
      ...(view.rotateFiles === null ? {} : { rotateFiles: view.rotateFiles }),
    },
  ]);
}
