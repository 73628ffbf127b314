/**
 * The flow table for people: search, show, end. Reads the memory that the worker writes; to end a flow is asked of the worker.
 *
 * A search looks at up to a million rows: in pieces, between which the control thread does other things. What it finds was true at
 * some moment of the search; flows that come meanwhile may be missed.
 */
import { Counters, TOTAL, totalAt } from '../../datapath/counters.js';
import { ROLE_INSIDE } from '../../datapath/program.js';
import { RequestError } from '../../model/problems.js';
import { FlowListing, type FlowRow } from '../../tables/flow-listing.js';
import type { Context } from '../context.js';
import type { FlowFilter, FlowQuery, FlowView } from '../controller.js';
import { addressText, parseFlowId, protocolNumber, stateNumber, viewFlow } from './flow-view.js';

const DEFAULT_LIMIT = 1000;
/** Rows looked at before the control thread does something else: a few milliseconds. */
const ROWS_PER_PIECE = 50_000;
/** Flows per request to the worker, which does nothing else meanwhile: half a millisecond. */
const ROWS_PER_DELETION = 512;

interface Search {
  slots: Uint8Array | null;
  protocol: number;
  state: number;
  /** Addresses of the endpoint, as text; null = any. */
  addresses: ReadonlySet<string> | null;
}

interface Names {
  /** The clock of the worker when the search began: one look at it is enough for a list. */
  nowMs: number;
  networks: ReadonlyMap<number, string>;
  /** By `NETWORK ADDRESS`. */
  endpoints: ReadonlyMap<string, string>;
}

/** In the order of the table, from behind `after` (an id) on. */
export async function listFlows(context: Context, query: FlowQuery): Promise<FlowView[]> {
  const listing = new FlowListing(context.datapath.flows);
  const search = searchOf(context, listing, query);
  const names = namesOf(context);
  const limit = query.limit ?? DEFAULT_LIMIT;
  const flows: FlowView[] = [];
  const first = query.after === undefined ? 0 : rowOf(query.after) + 1;
  for await (const flow of matches(listing, search, first)) {
    const view = named(flow, names);
    if (view !== null) flows.push(view);
    if (flows.length === limit) break;
  }
  return flows;
}

export function getFlow(context: Context, id: string): FlowView {
  const found = readFlow(context, id);
  const view = found === null ? null : named(found, namesOf(context));
  if (view === null) throw noSuchFlow(id);
  return view;
}

export async function deleteFlow(context: Context, id: string): Promise<void> {
  const found = readFlow(context, id);
  if (found === null) throw noSuchFlow(id);
  await context.datapath.deleteFlows(Int32Array.of(found.row, found.generation));
}

/** Ends all flows that pass the filter; returns how many there were. */
export async function deleteFlows(context: Context, filter: FlowFilter): Promise<number> {
  const listing = new FlowListing(context.datapath.flows);
  return endAll(context, listing, searchOf(context, listing, filter));
}

/**
 * Ends the flows of addresses that are free again, so that who gets one of them next does not get the answers to somebody else's
 * questions. A network that is gone has no flows (tables/network-slots.ts).
 */
export async function endFlowsOf(context: Context, network: string, addresses: ReadonlySet<string>): Promise<void> {
  if (!context.state.networks.has(network)) return;
  const listing = new FlowListing(context.datapath.flows);
  const slots = slotsOf(context, listing, network);
  await endAll(context, listing, { slots, protocol: -1, state: -1, addresses });
}

async function endAll(context: Context, listing: FlowListing, search: Search): Promise<number> {
  let count = 0;
  let pairs: number[] = [];
  for await (const { row, generation } of matches(listing, search, 0)) {
    pairs.push(row, generation);
    count++;
    if (pairs.length < 2 * ROWS_PER_DELETION) continue;
    await context.datapath.deleteFlows(Int32Array.from(pairs));
    pairs = [];
  }
  if (pairs.length > 0) await context.datapath.deleteFlows(Int32Array.from(pairs));
  return count;
}

async function* matches(listing: FlowListing, search: Search, first: number): AsyncGenerator<FlowRow> {
  const { slots, protocol, state, addresses } = search;
  for (let row = first; row < listing.rows; row++) {
    if (row % ROWS_PER_PIECE === 0) await new Promise((resolve) => setImmediate(resolve));
    if (!listing.isCandidate(row, slots, protocol, state)) continue;
    const flow = listing.read(row);
    if (flow !== null && (addresses === null || addresses.has(addressText(flow.family, flow.inside)))) yield flow;
  }
}

function searchOf(context: Context, listing: FlowListing, filter: FlowFilter): Search {
  const { state } = context;
  const endpoint = filter.endpoint === undefined ? null : state.endpoint(filter.endpoint).spec;
  const network = filter.network === undefined ? null : state.network(filter.network).spec.name;
  const wanted = endpoint?.network ?? network;
  const isNowhere = endpoint !== null && network !== null && endpoint.network !== network;
  return {
    slots: isNowhere ? new Uint8Array(0) : wanted === null ? null : slotsOf(context, listing, wanted),
    protocol: filter.protocol === undefined ? -1 : protocolOf(filter.protocol),
    state: filter.state === undefined ? -1 : stateNumber(filter.state),
    addresses: endpoint === null ? null : new Set(endpoint.ip),
  };
}

function protocolOf(text: string): number {
  const number = protocolNumber(text);
  if (number >= 0) return number;
  throw new RequestError(
    'invalid-request',
    `there is no protocol ${text}`,
    'one of tcp, udp, icmp, icmpv6, sctp or a number',
  );
}

function slotsOf(context: Context, listing: FlowListing, network: string): Uint8Array {
  const program = context.ports.latest;
  return program === null
    ? new Uint8Array(0)
    : listing.slotsOf(program.networkKey[context.ports.rowOfNetwork(network)]!);
}

function namesOf({ datapath, ports, state }: Context): Names {
  const networks = new Map<number, string>();
  const program = ports.latest;
  for (let row = 0; program !== null && row < program.networkCount; row++) {
    const name = ports.networkAt(row);
    if (name !== null && program.networkRole[row] === ROLE_INSIDE) networks.set(program.networkKey[row]!, name);
  }
  const endpoints = new Map<string, string>();
  for (const { spec } of state.endpoints.values()) {
    for (const address of spec.ip) endpoints.set(`${spec.network} ${address}`, spec.name);
  }
  const { values } = new Counters(datapath.tables.counters);
  return { nowMs: values[totalAt(TOTAL.nowMs)]!, networks, endpoints };
}

/** null for a flow of a network that is gone. */
function named(flow: FlowRow, { nowMs, networks, endpoints }: Names): FlowView | null {
  const network = networks.get(flow.networkKey);
  if (network === undefined) return null;
  const endpoint = endpoints.get(`${network} ${addressText(flow.family, flow.inside)}`) ?? null;
  return viewFlow(flow, network, endpoint, nowMs);
}

function readFlow(context: Context, id: string): FlowRow | null {
  const wanted = parseFlowId(id);
  if (wanted === null) return null;
  const flow = new FlowListing(context.datapath.flows).read(wanted.row);
  return flow?.generation === wanted.generation ? flow : null;
}

function rowOf(id: string): number {
  const parsed = parseFlowId(id);
  if (parsed !== null) return parsed.row;
  throw new RequestError(
    'invalid-request',
    `after: ${id} is no id of a flow`,
    'give the id of the last flow of the page before',
  );
}

function noSuchFlow(id: string): RequestError {
  return new RequestError(
    'not-found',
    `there is no flow ${id}`,
    '`weft flow list` shows those that there are; flows come and go',
  );
}
