/**
 * What the datapath counted and learned, with the names of the things it happened to. Reads the shared memory only: it
 * neither waits for the worker nor stops it. Host vNICs are called `host/NETWORK`, which is no name an endpoint can have, and
 * so are the uplink and the way to the services of a nat network: `uplink/NETWORK`, `service/NETWORK`.
 */
import { lostOfCaptures } from '../capture/capture-layout.js';
import {
  BURST_BUCKETS,
  burstAt,
  Counters,
  dropAt,
  PORT,
  portAt,
  portDropAt,
  TOTAL,
  TURN_TIME_LIMITS,
  totalAt,
  turnTimeAt,
} from '../datapath/counters.js';
import { DROP_REASONS } from '../datapath/drop-reasons.js';
import { listMacs } from '../tables/mac-table.js';
import { formatMac } from '../wire/addresses.js';
import type { Context } from './context.js';
import type { DatapathStats, DhcpCount, DropView, EndpointStats, FdbEntry, StatsView } from './controller.js';
import type { Attachment } from './port-table.js';
import { stateOf } from './views.js';

/** Sorted by network, VLAN and MAC. */
export function viewFdb(context: Context, network: string | null): FdbEntry[] {
  const counters = new Counters(context.datapath.tables.counters);
  const nowMs = counters.values[totalAt(TOTAL.nowMs)]!;
  const entries: FdbEntry[] = [];
  for (const row of listMacs(context.datapath.tables.macs)) {
    const name = context.ports.networkAt(row.network);
    const port = context.ports.at(row.port);
    // A row that was read while it changed, or of a port that is just being taken out.
    if (name === null || port === null || port.network !== name) continue;
    if (network !== null && network !== name) continue;
    const kind = row.isStatic ? 'static' : port.role === 'host' ? 'host' : 'learned';
    // The worker's clock is an int32 that wraps around; so does the difference.
    const ageMs = Math.max(0, (nowMs - row.lastSeenMs) | 0);
    entries.push({
      network: name,
      vlan: row.vlan,
      mac: formatMac(row.macHigh, row.macLow),
      endpoint: port.endpoint ?? port.role,
      kind,
      ageSeconds: row.isStatic ? 0 : Math.floor(ageMs / 1000),
    });
  }
  const key = (entry: FdbEntry) => `${entry.network} ${String(entry.vlan).padStart(4, '0')} ${entry.mac}`;
  return entries
    .map((entry) => ({ entry, key: key(entry) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ entry }) => entry);
}

/** Every reason in the order of the datapath, also those that did not happen. */
export function viewDrops(context: Context): DropView[] {
  const { values } = new Counters(context.datapath.tables.counters);
  const ports = context.ports.all();
  return DROP_REASONS.map((reason, code) => ({
    reason: reason.name,
    scope: reason.scope,
    stage: reason.stage,
    frames: values[dropAt(code)]!,
    sentence: reason.sentence,
    hint: reason.hint,
    endpoints: ports
      .map((port) => ({ endpoint: labelOf(port), frames: values[portDropAt(port.port, code)]! }))
      .filter(({ frames }) => frames > 0)
      .sort((a, b) => b.frames - a.frames || (a.endpoint < b.endpoint ? -1 : 1)),
  }));
}

export function viewStats(context: Context, dhcp: DhcpCount[], now: number): StatsView {
  const { tables } = context.datapath;
  const { values } = new Counters(tables.counters);
  const rows: EndpointStats[] = [];
  for (const record of context.state.endpoints.values()) {
    const { name, network, compartment } = record.spec;
    const port = context.attachments.get(name)?.port ?? -1;
    rows.push({ endpoint: name, network, compartment, state: stateOf(context, record), ...countersOf(values, port) });
  }
  const { hostAttachments, uplinkAttachments, serviceAttachments } = context;
  const others = [hostAttachments, uplinkAttachments, serviceAttachments].flatMap((table) => [...table.values()]);
  for (const host of others) {
    const { network } = host;
    const of = { endpoint: labelOf(host), network, compartment: null, state: 'attached' as const };
    rows.push({ ...of, ...countersOf(values, host.port) });
  }
  rows.sort((a, b) => (a.endpoint < b.endpoint ? -1 : 1));
  return {
    time: new Date(now).toISOString(),
    endpoints: rows,
    dhcp,
    dns: context.dns.service.stats(),
    datapath: totals(values, lostOfCaptures(tables.capture)),
  };
}

function labelOf({ role, endpoint, network }: Attachment): string {
  return endpoint ?? `${role}/${network}`;
}

type PortCounters = Pick<EndpointStats, 'rxFrames' | 'rxBytes' | 'txFrames' | 'txBytes' | 'rxDropped' | 'txDropped'>;

/** Zeros for an endpoint that has no row (-1). */
function countersOf(values: Float64Array, port: number): PortCounters {
  const at = (column: number) => (port < 0 ? 0 : values[portAt(port, column)]!);
  return {
    rxFrames: at(PORT.rxFrames),
    rxBytes: at(PORT.rxBytes),
    txFrames: at(PORT.txFrames),
    txBytes: at(PORT.txBytes),
    rxDropped: at(PORT.rxDropped),
    txDropped: at(PORT.txDropped),
  };
}

function totals(values: Float64Array, captureLost: number): DatapathStats {
  const at = (column: number) => values[totalAt(column)]!;
  return {
    turns: at(TOTAL.turns),
    arrivals: at(TOTAL.arrivals),
    originated: at(TOTAL.originated),
    forwarded: at(TOTAL.forwarded),
    consumed: at(TOTAL.consumed),
    dropped: at(TOTAL.dropped),
    departures: at(TOTAL.departures),
    sent: at(TOTAL.sent),
    transmitDropped: at(TOTAL.transmitDropped),
    macs: at(TOTAL.macs),
    macMoves: at(TOTAL.macMoves),
    macEvictions: at(TOTAL.macEvictions),
    flows: at(TOTAL.flows),
    flowMappings: at(TOTAL.flowMappings),
    flowsOpened: at(TOTAL.flowsOpened),
    flowsExpired: at(TOTAL.flowsExpired),
    flowsDeleted: at(TOTAL.flowsDeleted),
    segmented: at(TOTAL.segmented),
    completed: at(TOTAL.completed),
    captureLost,
    idleTurns: at(TOTAL.idleTurns),
    wakeUps: at(TOTAL.wakeUps),
    busySeconds: at(TOTAL.busyMs) / 1000,
    asleepSeconds: at(TOTAL.asleepMs) / 1000,
    pollingSeconds: at(TOTAL.pollingMs) / 1000,
    longestTurnMicros: Math.ceil(at(TOTAL.longestTurnMicros)),
    longestPauseMicros: Math.ceil(at(TOTAL.longestPauseMicros)),
    bursts: Array.from({ length: BURST_BUCKETS }, (_, i) => ({ upTo: 2 ** i, turns: values[burstAt(i)]! })),
    turnTimes: [...TURN_TIME_LIMITS, null].map((upTo, i) => ({ upTo, turns: values[turnTimeAt(i)]! })),
  };
}
