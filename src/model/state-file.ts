/**
 * The desired state as text, and back: one JSON document, one object per line.
 *
 * Reading trusts nothing: every object goes through the same checks as a request. One that does not pass is left out and
 * reported, because one damaged line must not take the whole lab down; text that is no state file at all is `corrupt`.
 *
 * Files of older versions are brought to the present form first (state-migrations.ts). A file with a higher version was
 * written by a newer weft and is not touched.
 */
import type { Limits } from './capacity.js';
import { parseCompartmentRequest } from './compartment-request.js';
import { type CompartmentRecord, DesiredState, type EndpointRecord, type NetworkRecord } from './desired-state.js';
import { parseEndpointRequest } from './endpoint-request.js';
import { parseIp, parseSubnet } from './ip.js';
import { type Parsed, parseNetworkRequest } from './network-request.js';
import { RequestError } from './problems.js';
import { migrate, STATE_VERSION } from './state-migrations.js';

/** A capture that was running when the file was written. */
export interface SavedCapture {
  name: string;
  file: string;
}

export type StateReading =
  | { kind: 'read'; version: number; state: DesiredState; captures: SavedCapture[]; left: string[] }
  | { kind: 'corrupt'; reason: string; instance: string | null }
  | { kind: 'newer'; version: number };

const INSTANCE = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Text of an endpoint that has not changed since the last time; a change always makes a new spec. */
const endpointTexts = new WeakMap<object, string>();

/** Linear in the number of objects, and cheap for those that did not change. */
export function formatState(state: DesiredState, captures: readonly SavedCapture[]): string {
  const applied = Object.fromEntries(
    Object.entries(state.applied).map(([kind, names]) => [kind, [...(names as Set<string>)]]),
  );
  return [
    `{"weft":${STATE_VERSION},`,
    `"instance":${JSON.stringify(state.instance)},`,
    `"attachments":${state.attachments},`,
    `"eventsReserved":${state.eventsReserved},`,
    `"networks":${list([...state.networks.values()].map(formatNetwork))},`,
    `"compartments":${list([...state.compartments.values()].map(formatCompartment))},`,
    `"endpoints":${list([...state.endpoints.values()].map(formatEndpoint))},`,
    `"captures":${list(captures.map((capture) => JSON.stringify(capture)))},`,
    `"captureRequests":${list([...state.captureRequests.values()].map((request) => JSON.stringify(request)))},`,
    `"applied":${JSON.stringify(applied)}}\n`,
  ].join('\n');
}

function list(lines: string[]): string {
  return lines.length === 0 ? '[]' : `[\n${lines.join(',\n')}\n]`;
}

/** The host vNIC of an internal network has the gateway addresses, which are in the spec. */
function formatNetwork({ id, spec, transit, hostAddresses, addresses }: NetworkRecord): string {
  const host = spec.overlay === null || hostAddresses.length === 0 ? {} : { hostAddresses };
  return JSON.stringify({ id, lastGiven: addresses.cursors(), transit, ...host, spec });
}

function formatCompartment({ id, spec, identity }: CompartmentRecord): string {
  return JSON.stringify({ id, identity, spec });
}

function formatEndpoint(record: EndpointRecord): string {
  const { id, ifnameIsAutomatic, attachment, metric, spec } = record;
  let text = endpointTexts.get(spec);
  if (text === undefined) {
    text = JSON.stringify({ id, ifnameIsAutomatic, attachment, metric, spec });
    endpointTexts.set(spec, text);
  }
  return text;
}

/** An independent copy, to try changes out on. */
export function copyState(state: DesiredState, limits: Limits): DesiredState {
  const reading = parseState(formatState(state, []), limits);
  if (reading.kind !== 'read' || reading.left.length > 0) throw new Error('the state cannot be read back');
  return reading.state;
}

export function parseState(text: string, limits: Limits): StateReading {
  const instance = INSTANCE.exec(/"instance":\s*"([^"]*)"/.exec(text)?.[1] ?? '')?.[0] ?? null;
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    return { kind: 'corrupt', reason: (error as Error).message, instance };
  }
  if (!isObject(document) || typeof document.weft !== 'number') {
    return { kind: 'corrupt', reason: 'it is no state file of weft', instance };
  }
  if (document.weft > STATE_VERSION) return { kind: 'newer', version: document.weft };
  const version = document.weft;
  if (instance === null || !Number.isInteger(version) || version < 1) {
    return { kind: 'corrupt', reason: 'it names no instance or no known version', instance };
  }
  for (const field of ['networks', 'compartments', 'endpoints']) {
    if (!Array.isArray(document[field])) return { kind: 'corrupt', reason: `it has no list of ${field}`, instance };
  }
  return { ...readDocument(migrate(document), instance, limits), version };
}

type Read = Omit<Extract<StateReading, { kind: 'read' }>, 'version'>;

function readDocument(document: Record<string, unknown>, instance: string, limits: Limits): Read {
  const state = new DesiredState(instance, limits);
  const left: string[] = [];
  const read = (kind: string, add: (item: Record<string, unknown>) => void) => {
    for (const item of document[`${kind}s`] as unknown[]) {
      try {
        if (!isObject(item) || typeof item.id !== 'string') throw new Error('it has no id');
        add(item);
      } catch (error) {
        left.push(`${kind} ${nameIn(item)} was left out: ${(error as Error).message}`);
      }
    }
  };
  if (typeof document.attachments === 'number') state.attachments = document.attachments;
  if (Number.isSafeInteger(document.eventsReserved)) state.eventsReserved = document.eventsReserved as number;
  read('network', (item) => readNetwork(state, item));
  read('compartment', (item) => readCompartment(state, item));
  read('endpoint', (item) => readEndpoint(state, item));
  readApplied(state, document.applied);
  for (const request of Array.isArray(document.captureRequests) ? document.captureRequests : []) {
    if (isObject(request) && typeof request.name === 'string') state.captureRequests.set(request.name, request);
  }
  const captures = Array.isArray(document.captures) ? document.captures.filter(isSavedCapture) : [];
  return { kind: 'read', state, captures, left };
}

function readNetwork(state: DesiredState, item: Record<string, unknown>): void {
  const had = Array.isArray(item.hostAddresses) ? item.hostAddresses.filter(isAddress) : [];
  const { record } = state.addNetwork(accepted(parseNetworkRequest(item.spec)), item.id as string, had);
  if (Array.isArray(item.transit))
    record.transit = item.transit.filter((text) => typeof text === 'string' && parseSubnet(text).ok);
  const cursors = item.lastGiven;
  if (Array.isArray(cursors))
    record.addresses.setCursors(cursors.map((text) => (typeof text === 'string' ? text : null)));
}

function readCompartment(state: DesiredState, item: Record<string, unknown>): void {
  const { record } = state.addCompartment(accepted(parseCompartmentRequest(item.spec)), item.id as string);
  const identity = item.identity;
  if (!isObject(identity)) return;
  const { device, inode } = identity;
  if (typeof device === 'number' && typeof inode === 'number') record.identity = { device, inode };
}

function readEndpoint(state: DesiredState, item: Record<string, unknown>): void {
  const wish = accepted(parseEndpointRequest(item.spec));
  const { ifname, mac } = wish;
  if (ifname === null || mac === null) throw new Error('its interface name or MAC is missing');
  const number = (field: string) => (typeof item[field] === 'number' ? (item[field] as number) : 0);
  const attachment = number('attachment');
  state.attachments = Math.max(state.attachments, attachment);
  state.adopt({
    id: item.id as string,
    spec: { ...wish, ifname, mac },
    ifnameIsAutomatic: item.ifnameIsAutomatic === true,
    attachment,
    metric: number('metric'),
  });
}

function readApplied(state: DesiredState, applied: unknown): void {
  if (!isObject(applied)) return;
  for (const [kind, names] of Object.entries(state.applied) as [string, Set<string>][]) {
    const saved = applied[kind];
    if (Array.isArray(saved)) for (const name of saved) if (typeof name === 'string') names.add(name);
  }
}

function accepted<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  const message = parsed.problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
  throw new RequestError('invalid-request', message, '', parsed.problems);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSavedCapture(value: unknown): value is SavedCapture {
  return isObject(value) && typeof value.name === 'string' && typeof value.file === 'string';
}

function isAddress(value: unknown): value is string {
  return typeof value === 'string' && parseIp(value) !== null;
}

function nameIn(item: unknown): string {
  const spec = isObject(item) ? item.spec : null;
  return isObject(spec) && typeof spec.name === 'string' ? spec.name : 'without a name';
}
