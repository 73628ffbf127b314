/**
 * What hosts have in common of a shared network, and what each has by itself.
 *
 * Common is what stations notice: addresses, VNI, MTU, services. Each host's own is how it reaches the others and the outside: VTEP, underlay,
 * static peers, host vNIC, namespace and addresses of the uplink, routes to other networks of the host.
 */
import type { NetworkSpec, OverlaySpec } from '../../model/network.js';
import { type FIXED_FIELDS, FIXED_NAT_FIELDS, type Parsed, parseNetworkRequest } from '../../model/network-request.js';
import type { OverlayDefaults } from '../../model/overlay-defaults.js';
import type { FIXED_OVERLAY_FIELDS } from '../../model/overlay-request.js';

const SHARED_FIELDS = [
  'type',
  'subnets',
  'gateway',
  'pools',
  'reserved',
  'mtu',
  'ageingSeconds',
  'controlFrames',
  'storm',
  'macLimit',
  'uplink',
  'masquerade',
  'nat',
  'advertise',
  'dhcp',
  'dns',
] as const satisfies readonly (keyof NetworkSpec)[];

const SHARED_OVERLAY_FIELDS = [
  'vni',
  'port',
  'peersClosed',
  'learning',
  'innerVlan',
  'dscp',
  'checksum',
  'suppress',
  'remoteSubnets',
] as const satisfies readonly (keyof OverlaySpec)[];

/** Of what is common, what does not change while a network lives (model/network-request.ts, model/overlay-request.ts). */
const FIXED_SHARED_FIELDS = [
  'type',
  'subnets',
  'gateway',
  'uplink',
  'masquerade',
] as const satisfies readonly ((typeof SHARED_FIELDS)[number] & (typeof FIXED_FIELDS)[number])[];
const FIXED_SHARED_OVERLAY_FIELDS = [
  'vni',
  'port',
  'innerVlan',
  'checksum',
] as const satisfies readonly ((typeof SHARED_OVERLAY_FIELDS)[number] & (typeof FIXED_OVERLAY_FIELDS)[number])[];

export function isShared(spec: NetworkSpec): boolean {
  return spec.overlay?.shared === true;
}

/** The same text for the same network on every host. */
export function sharedTextOf(spec: NetworkSpec): string {
  const { overlay } = spec;
  if (overlay === null) throw new Error(`network ${spec.name} is no overlay`);
  return JSON.stringify({ ...pick(spec, SHARED_FIELDS), overlay: pick(overlay, SHARED_OVERLAY_FIELDS) });
}

/** Another text: another network that has got the same name, not a change of the one that was there. */
export function fixedTextOf({ overlay, nat, ...spec }: NetworkSpec): string {
  const parts = [
    pick(spec, FIXED_SHARED_FIELDS),
    pick(overlay ?? {}, FIXED_SHARED_OVERLAY_FIELDS),
    pick(nat ?? {}, FIXED_NAT_FIELDS),
  ];
  return JSON.stringify(parts);
}

/** The network as this host is to have it: as new, or with what it has of its own already. */
export function specFromShared(
  name: string,
  text: string,
  defaults: OverlayDefaults,
  current: NetworkSpec | null,
): Parsed<NetworkSpec> {
  let shared: unknown;
  try {
    shared = JSON.parse(text);
  } catch (error) {
    return failed((error as Error).message);
  }
  if (!isObject(shared) || !isObject(shared.overlay)) return failed('it is no network');
  const common = pick(shared, SHARED_FIELDS);
  const { port: _, checksum: __, ...own } = defaults;
  const overlay = { ...(current?.overlay ?? own), ...pick(shared.overlay, SHARED_OVERLAY_FIELDS), shared: true };
  // A network without uplink says `none` when it is asked for.
  const uplink = common.uplink ?? 'none';
  const withoutNulls = Object.entries({ ...current, ...common, name, uplink, overlay }).filter(([, v]) => v !== null);
  return parseNetworkRequest(Object.fromEntries(withoutNulls));
}

/** Why the cluster cannot have both networks, or null. Subnets of tenants may overlap: the VNI keeps them apart. */
export function whyContradicting(spec: NetworkSpec, other: NetworkSpec): string | null {
  const [here, there] = [spec.overlay, other.overlay];
  if (here === null || there === null || here.vni !== there.vni || here.port !== there.port) return null;
  return `VNI ${here.vni} belongs to network ${other.name} of the cluster`;
}

function pick(from: object, fields: readonly string[]): Record<string, unknown> {
  const values = from as Record<string, unknown>;
  return Object.fromEntries(
    fields.filter((field) => values[field] !== undefined).map((field) => [field, values[field]]),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function failed(message: string): Parsed<NetworkSpec> {
  return { ok: false, problems: [{ path: '', code: 'bad-record', message }] };
}
