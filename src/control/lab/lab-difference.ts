/** How far an object is from what a lab file says, and whether that can be changed while it lives. Texts are for people. */
import type { CompartmentSpec } from '../../model/compartment.js';
import { pathOfCompartment } from '../../model/compartment-request.js';
import type { EndpointSpec } from '../../model/endpoint.js';
import type { EndpointWish } from '../../model/endpoint-request.js';
import type { NetworkSpec } from '../../model/network.js';
import { FIXED_FIELDS, FIXED_NAT_FIELDS } from '../../model/network-request.js';
import { FIXED_OVERLAY_FIELDS } from '../../model/overlay-request.js';
import { readCaptureRequest } from '../captures/capture-request.js';
import type { CaptureRequest, CaptureView } from '../controller/captures.js';

export type NetworkDifference = { kind: 'none' } | { kind: 'change' | 'replace'; detail: string };

export function networkDifference(current: NetworkSpec, wanted: NetworkSpec): NetworkDifference {
  const changes = describeChanges(current, wanted);
  if (changes.length === 0) return { kind: 'none' };
  const isFixed =
    FIXED_FIELDS.some((field) => !isSame(current[field], wanted[field])) ||
    FIXED_NAT_FIELDS.some((field) => current.nat?.[field] !== wanted.nat?.[field]) ||
    FIXED_OVERLAY_FIELDS.some((field) => !isSame(current.overlay?.[field], wanted.overlay?.[field]));
  return { kind: isFixed ? 'replace' : 'change', detail: changes.join(', ') };
}

/** null when there is none. */
export function compartmentDifference(
  current: CompartmentSpec,
  wanted: CompartmentSpec,
  isGone: boolean,
): string | null {
  const before = pathOfCompartment(current);
  const after = pathOfCompartment(wanted);
  const isSameKind = (current.netns === null) === (wanted.netns === null) && current.pid === wanted.pid;
  if (before !== after || !isSameKind) return `${before} -> ${after}`;
  return isGone ? 'its namespace is gone' : null;
}

/** What can change while an endpoint lives. */
export const CHANGEABLE = ['isolated', 'vlan', 'staticMacs', 'publish', 'aliases', 'vtep'] as const;

/** `isUprooted`: its network is replaced. `detail` is empty when nothing but its place may differ. */
export function endpointDifference(
  current: EndpointSpec,
  wanted: EndpointWish,
  isUprooted: boolean,
): { mustReplace: boolean; detail: string } {
  const replacing: string[] = [];
  const compare = (field: keyof EndpointSpec, into: string[]) => {
    if (isSame(current[field], wanted[field])) return;
    into.push(`${field} ${shown(current[field])} -> ${shown(wanted[field])}`);
  };
  compare('network', replacing);
  compare('defaultRoute', replacing);
  compare('offload', replacing);
  compare('configure', replacing);
  // A remote endpoint may move to another VTEP, but not to this host.
  if ((current.vtep === null) !== (wanted.vtep === null)) compare('vtep', replacing);
  if (wanted.mac !== null) compare('mac', replacing);
  if (wanted.ifname !== null) compare('ifname', replacing);
  const missing = wanted.ip.filter((address) => !current.ip.includes(address));
  if (missing.length > 0) replacing.push(`ip ${shown(current.ip)} -> ${shown(wanted.ip)}`);
  if (replacing.length === 0 && isUprooted) replacing.push(`network ${current.network} is replaced`);
  const changing: string[] = [];
  for (const field of CHANGEABLE) if (field !== 'vtep' || current.vtep !== null) compare(field, changing);
  return { mustReplace: replacing.length > 0, detail: [...replacing, ...changing].join(', ') };
}

/** Empty when there is none. A capture that has run to its end stays as it is; its limits are not compared. */
export function captureDifference(current: CaptureView, wanted: CaptureRequest): string {
  if (current.state === 'failed') return `it failed${current.reason === null ? '' : ` (${current.reason})`}`;
  const spec = readCaptureRequest(wanted, true);
  const what = ['network', 'endpoint', 'underlay', 'filter', 'snaplen', 'drops'] as const;
  const fields = [...what, 'file', 'format', 'rotateSize', 'rotateFiles'] as const;
  return fields
    .filter((field) => !isSame(current[field], spec[field]))
    .map((field) => `${field} ${shown(current[field])} -> ${shown(spec[field])}`)
    .join(', ');
}

/** `mtu 1500 -> 9000`, `nat.hairpin true -> false`, ... */
export function describeChanges(former: NetworkSpec, next: NetworkSpec): string[] {
  return changesOf(former, next, '');
}

function changesOf(former: object, next: object, path: string): string[] {
  return Object.entries(next).flatMap(([field, value]) => {
    const before = (former as Record<string, unknown>)[field];
    if (isSame(before, value)) return [];
    if (isObject(before) && isObject(value)) return changesOf(before, value, `${path}${field}.`);
    const text = field === 'hostVnic' ? shownVnic : shown;
    return [`${path}${field} ${text(before)} -> ${text(value)}`];
  });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Plain data, with fields in the order in which the readers of requests write them. */
function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A host vNIC for which no address was named has one nevertheless. */
function shownVnic(value: unknown): string {
  return Array.isArray(value) && value.length === 0 ? 'any address' : shown(value);
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map(shown).join(', ');
  return isObject(value) ? JSON.stringify(value) : String(value ?? 'none');
}
