/**
 * What the datapath counted, with the names of the things it happened to. Reads the shared memory only: it neither waits for the
 * worker nor stops it. Host vNICs are called `host/NETWORK`, which is no name an endpoint can have, and so is what else serves a whole
 * network: `uplink/NETWORK`, `service/NETWORK`, `tunnel/NETWORK`; and the ports of a VTEP together `vtep/KEY`, of
 * no network.
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
import type { Context } from './context.js';
import type { DatapathStats, DhcpCount, DropView, EndpointStats, StatsView } from './controller.js';
import type { PortOwner } from './port-table.js';
import { stateOf } from './views.js';

/** Every reason in the order of the datapath, also those that did not happen. */
export function viewDrops(context: Context): DropView[] {
  const { values } = new Counters(context.datapath.tables.counters);
  const ports = context.ports.owners();
  return DROP_REASONS.map((reason, code) => ({
    reason: reason.name,
    scope: reason.scope,
    stage: reason.stage,
    frames: values[dropAt(code)]!,
    sentence: reason.sentence,
    hint: reason.hint,
    endpoints: framesByLabel(ports, (port) => values[portDropAt(port, code)]!),
  }));
}

/** Where something happened, most first. */
function framesByLabel(ports: readonly PortOwner[], framesAt: (port: number) => number): DropView['endpoints'] {
  const sums = new Map<string, number>();
  for (const owner of ports) {
    const frames = framesAt(owner.port);
    if (frames > 0) sums.set(labelOf(owner), (sums.get(labelOf(owner)) ?? 0) + frames);
  }
  return [...sums]
    .map(([endpoint, frames]) => ({ endpoint, frames }))
    .sort((a, b) => b.frames - a.frames || (a.endpoint < b.endpoint ? -1 : 1));
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
  rows.push(...rowsOfOthers(context, values));
  rows.sort((a, b) => (a.endpoint < b.endpoint ? -1 : 1));
  return {
    time: new Date(now).toISOString(),
    endpoints: rows,
    dhcp,
    dns: context.dns.service.stats(),
    datapath: totals(values, lostOfCaptures(tables.capture)),
  };
}

/** Of everything that is no endpoint; a VTEP has one row for all its ports. */
function rowsOfOthers(context: Context, values: Float64Array): EndpointStats[] {
  const rows = new Map<string, EndpointStats>();
  for (const owner of context.ports.owners().filter(({ role }) => role !== 'endpoint')) {
    const endpoint = labelOf(owner);
    const counters = countersOf(values, owner.port);
    const former = rows.get(endpoint);
    if (former === undefined) {
      // A VTEP is none of a network, as several may share it.
      const network = owner.role === 'underlay' ? '' : owner.network;
      rows.set(endpoint, { endpoint, network, compartment: null, state: 'attached', ...counters });
    } else for (const [field, count] of Object.entries(counters)) former[field as keyof PortCounters] += count;
  }
  return [...rows.values()];
}

function labelOf({ role, endpoint, network }: PortOwner): string {
  if (role === 'underlay') return `vtep/${network.replaceAll(' ', '/')}`;
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
    joinsRefused: at(TOTAL.joinsRefused),
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
