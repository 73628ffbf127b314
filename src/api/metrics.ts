/**
 * /metrics: the counters in the Prometheus text format 0.0.4. Names end in their unit, counters in `_total`, as
 * `promtool check metrics` wants it. Drops by endpoint are there only where some happened: endpoints times reasons would
 * be tens of thousands of zeros.
 */

import type { CaptureView } from '../control/controller/captures.js';
import type {
  Controller,
  DhcpCount,
  DnsStats,
  DropView,
  EndpointStats,
  StatsView,
  StatusView,
  VtepView,
} from '../control/controller.js';
import { type Histogram, secondsHistogram, turnHistogram } from './metrics-histogram.js';
import type { ServerState } from './server-state.js';

interface Sample {
  /** Of a histogram: what follows the name of the family, `_bucket`. */
  suffix?: string;
  labels: Record<string, string>;
  value: number;
}

interface Family {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  samples: Sample[];
}

export function prometheusText(controller: Controller, server: ServerState): string {
  const status = controller.status();
  const stats = controller.stats();
  const families = [
    ...daemonFamilies(status),
    ...endpointFamilies(stats.endpoints),
    ...networkFamilies(
      controller.listNetworks().map(({ name }) => name),
      stats.endpoints,
    ),
    ...vtepFamilies(controller.listVteps()),
    ...datapathFamilies(stats),
    ...turnFamilies(stats),
    ...dropFamilies(controller.listDrops()),
    ...dhcpFamilies(stats.dhcp),
    ...dnsFamilies(stats.dns),
    ...captureFamilies(controller.listCaptures(), stats),
    ...serverFamilies(server),
  ];
  return families.map(familyText).join('');
}

function daemonFamilies(status: StatusView): Family[] {
  const { endpoints } = status;
  return [
    gauge('weft_info', 'Version and instance of the daemon.', [
      { labels: { version: status.version, instance: status.instance }, value: 1 },
    ]),
    gauge('weft_uptime_seconds', 'Seconds since the daemon started.', [plain(status.uptimeSeconds)]),
    gauge('weft_resident_memory_bytes', 'Resident memory of the daemon.', [plain(status.memory.residentBytes)]),
    gauge('weft_worker_running', '1 while the datapath worker runs.', [plain(status.worker === 'running' ? 1 : 0)]),
    gauge('weft_program_version', 'Version of the datapath program.', [
      { labels: { which: 'desired' }, value: status.program.desired },
      { labels: { which: 'applied' }, value: status.program.applied },
    ]),
    gauge('weft_networks', 'Networks.', [plain(status.networks)]),
    gauge('weft_compartments', 'Compartments.', [plain(status.compartments)]),
    gauge('weft_captures', 'Captures.', [plain(status.captures)]),
    gauge('weft_endpoints', 'Endpoints by state.', [
      { labels: { state: 'attached' }, value: endpoints.attached },
      { labels: { state: 'detached' }, value: endpoints.detached },
      { labels: { state: 'degraded' }, value: endpoints.degraded },
    ]),
  ];
}

function endpointFamilies(endpoints: EndpointStats[]): Family[] {
  const family = (name: string, help: string, value: (stats: EndpointStats) => number) =>
    counter(
      name,
      help,
      endpoints.map((stats) => ({
        labels: { endpoint: stats.endpoint, network: stats.network, compartment: stats.compartment ?? '' },
        value: value(stats),
      })),
    );
  return [
    family('weft_endpoint_receive_frames_total', 'Frames from the endpoint.', (stats) => stats.rxFrames),
    family('weft_endpoint_receive_bytes_total', 'Bytes from the endpoint.', (stats) => stats.rxBytes),
    family('weft_endpoint_receive_dropped_total', 'Frames from it that were dropped.', (stats) => stats.rxDropped),
    family('weft_endpoint_transmit_frames_total', 'Frames to the endpoint.', (stats) => stats.txFrames),
    family('weft_endpoint_transmit_bytes_total', 'Bytes to the endpoint.', (stats) => stats.txBytes),
    family('weft_endpoint_transmit_dropped_total', 'Frames to it that were dropped.', (stats) => stats.txDropped),
  ];
}

/** Sums of the endpoints and the host vNIC of each network. */
function networkFamilies(networks: string[], endpoints: EndpointStats[]): Family[] {
  const family = (name: string, help: string, value: (stats: EndpointStats) => number) => {
    const sums = new Map(networks.map((network) => [network, 0]));
    for (const stats of endpoints) {
      if (stats.network !== '') sums.set(stats.network, (sums.get(stats.network) ?? 0) + value(stats));
    }
    const samples = [...sums].map(([network, sum]) => ({ labels: { network }, value: sum }));
    return counter(name, help, samples);
  };
  const dropped = (stats: EndpointStats) => stats.rxDropped + stats.txDropped;
  return [
    family('weft_network_receive_frames_total', 'Frames from the ports of the network.', (stats) => stats.rxFrames),
    family('weft_network_receive_bytes_total', 'Bytes from the ports of the network.', (stats) => stats.rxBytes),
    family('weft_network_transmit_frames_total', 'Frames to the ports of the network.', (stats) => stats.txFrames),
    family('weft_network_transmit_bytes_total', 'Bytes to the ports of the network.', (stats) => stats.txBytes),
    family('weft_network_dropped_total', 'Frames and copies dropped at the ports of the network.', dropped),
  ];
}

/** Other VTEPs, each by its address and the one of this host that it has to do with. */
function vtepFamilies(vteps: VtepView[]): Family[] {
  const remotes = vteps.filter(({ origin }) => origin !== 'local');
  const family = (name: string, help: string, value: (view: VtepView) => number) =>
    counter(
      name,
      help,
      remotes.map((view) => ({ labels: labelsOf(view), value: value(view) })),
    );
  return [
    gauge('weft_vteps', 'VTEPs by origin: of this host, or who said that there is such a one.', countByOrigin(vteps)),
    family('weft_vtep_receive_frames_total', 'Encapsulated frames from the VTEP.', (view) => view.rxFrames),
    family('weft_vtep_receive_bytes_total', 'Bytes inside of them.', (view) => view.rxBytes),
    family('weft_vtep_transmit_frames_total', 'Encapsulated frames to the VTEP.', (view) => view.txFrames),
    family('weft_vtep_transmit_bytes_total', 'Bytes inside of them.', (view) => view.txBytes),
  ];
}

function labelsOf({ vtep, local, underlay, udpPort, netns }: VtepView): Record<string, string> {
  return { vtep, local, underlay, port: String(udpPort), netns: netns ?? '' };
}

function countByOrigin(vteps: VtepView[]): Sample[] {
  if (vteps.length === 0) return [];
  const origins = ['local', 'static', 'cluster', 'learned'] as const;
  return origins.map((origin) => ({
    labels: { origin },
    value: vteps.filter((view) => view.origin === origin).length,
  }));
}

function datapathFamilies({ datapath }: StatsView): Family[] {
  return [
    counter('weft_arrivals_total', 'Frames that came in.', [plain(datapath.arrivals)]),
    counter('weft_originated_total', 'Frames that weft itself made.', [plain(datapath.originated)]),
    counter('weft_fates_total', 'Arrivals by fate.', [
      { labels: { fate: 'forwarded' }, value: datapath.forwarded },
      { labels: { fate: 'consumed' }, value: datapath.consumed },
      { labels: { fate: 'dropped' }, value: datapath.dropped },
    ]),
    counter('weft_departures_total', 'Copies that were to go out.', [plain(datapath.departures)]),
    counter('weft_sent_total', 'Copies that the kernel took.', [plain(datapath.sent)]),
    counter('weft_transmit_dropped_total', 'Copies that were dropped.', [plain(datapath.transmitDropped)]),
    gauge('weft_macs', 'Entries of the MAC table.', [plain(datapath.macs)]),
    counter('weft_mac_moves_total', 'MACs that moved to another port.', [plain(datapath.macMoves)]),
    counter('weft_mac_evictions_total', 'MACs evicted for want of room.', [plain(datapath.macEvictions)]),
    gauge('weft_flows', 'Flows of the NAT.', [plain(datapath.flows)]),
    gauge('weft_flow_mappings', 'Mappings of the NAT.', [plain(datapath.flowMappings)]),
    counter('weft_flows_opened_total', 'Flows opened.', [plain(datapath.flowsOpened)]),
    counter('weft_flows_ended_total', 'Flows ended, by cause.', [
      { labels: { cause: 'timer' }, value: datapath.flowsExpired },
      { labels: { cause: 'deleted' }, value: datapath.flowsDeleted },
    ]),
    counter('weft_segmented_total', 'Super-frames that had to be cut for a port.', [plain(datapath.segmented)]),
    counter('weft_checksum_completed_total', 'Frames whose checksum had to be completed for a port.', [
      plain(datapath.completed),
    ]),
    counter('weft_joins_refused_total', 'Times that a kernel refused joined datagrams (UDP_SEGMENT).', [
      plain(datapath.joinsRefused),
    ]),
  ];
}

/** How the datapath spends its time: the share of idle time is 1 - rate(weft_worker_seconds_total{state="busy"}). */
function turnFamilies({ datapath }: StatsView): Family[] {
  const { busySeconds, asleepSeconds, pollingSeconds } = datapath;
  const burstHelp = 'Frames that a turn of the datapath took in; turns without one are not in it.';
  const timeHelp = 'Time that a turn of the datapath took for its frames.';
  return [
    counter('weft_turns_total', 'Turns of the datapath.', [plain(datapath.turns)]),
    counter('weft_idle_turns_total', 'Turns without a frame.', [plain(datapath.idleTurns)]),
    counter('weft_wake_ups_total', 'Sleeps of the datapath that something ended.', [plain(datapath.wakeUps)]),
    counter('weft_worker_seconds_total', 'Time of the datapath worker by what it did.', [
      { labels: { state: 'busy' }, value: busySeconds },
      { labels: { state: 'polling' }, value: pollingSeconds },
      { labels: { state: 'asleep' }, value: asleepSeconds },
    ]),
    histogram('weft_turn_frames', burstHelp, turnHistogram(datapath.bursts, datapath.arrivals)),
    histogram('weft_turn_seconds', timeHelp, secondsHistogram(datapath.turnTimes, busySeconds)),
    gauge('weft_longest_turn_seconds', 'Longest turn since the daemon started.', [
      plain(datapath.longestTurnMicros / 1e6),
    ]),
    gauge('weft_longest_pause_seconds', 'Longest time given to the control thread between two turns.', [
      plain(datapath.longestPauseMicros / 1e6),
    ]),
  ];
}

function dropFamilies(drops: DropView[]): Family[] {
  const samples = drops.map((drop) => ({ labels: { reason: drop.reason, scope: drop.scope }, value: drop.frames }));
  const byEndpoint = drops.flatMap(({ reason, endpoints }) =>
    endpoints.map(({ endpoint, frames }) => ({ labels: { endpoint, reason }, value: frames })),
  );
  return [
    counter('weft_drops_total', 'Dropped frames (scope frame) and copies (scope departure) by reason.', samples),
    counter('weft_endpoint_drops_total', 'Drops by endpoint and reason, where some happened.', byEndpoint),
  ];
}

/** By network only where something happened. */
function dhcpFamilies(counts: DhcpCount[]): Family[] {
  const samples = (isIgnored: boolean, label: string) =>
    counts
      .filter((entry) => entry.isIgnored === isIgnored)
      .map(({ network, what, count }) => ({ labels: { network, [label]: what }, value: count }));
  return [
    counter('weft_dhcp_messages_total', 'DHCP messages that came and that were sent.', samples(false, 'message')),
    counter('weft_dhcp_ignored_total', 'DHCP messages that were left alone by reason.', samples(true, 'reason')),
  ];
}

function dnsFamilies(dns: DnsStats): Family[] {
  const outcomes = ['local', 'forwarded', 'failed', 'refused', 'ignored'] as const;
  const samples = outcomes.map((outcome) => ({ labels: { outcome }, value: dns[outcome] }));
  return [
    counter('weft_dns_queries_total', 'Questions to the DNS servers of networks by outcome.', samples),
    counter('weft_dns_upstream_queries_total', 'Questions that were passed on to other servers.', [plain(dns.asked)]),
    gauge('weft_dns_cached_answers', 'Answers of other servers that are kept.', [plain(dns.cached)]),
  ];
}

function captureFamilies(captures: CaptureView[], { datapath }: StatsView): Family[] {
  const family = (name: string, help: string, value: (capture: CaptureView) => number) =>
    counter(
      name,
      help,
      captures.map((capture) => ({ labels: { capture: capture.name }, value: value(capture) })),
    );
  return [
    family('weft_capture_frames_total', 'Frames that the capture has written.', (capture) => capture.frames),
    family('weft_capture_bytes_total', 'Bytes that the capture has written.', (capture) => capture.bytes),
    family('weft_capture_lost_total', 'Frames that the capture has lost.', (capture) => capture.lost),
    counter('weft_capture_ring_lost_total', 'Copies lost as the ring of the captures was full.', [
      plain(datapath.captureLost),
    ]),
  ];
}

function serverFamilies(server: ServerState): Family[] {
  return [
    counter('weft_api_requests_total', 'Requests to the API.', [plain(server.requests)]),
    gauge('weft_api_streams', 'Open streams.', [plain(server.streams)]),
    counter('weft_api_connections_refused_total', 'Connections closed as there were too many.', [
      plain(server.connectionsRefused),
    ]),
    counter('weft_api_stalled_total', 'Connections cut because the client did not read.', [plain(server.stalled)]),
  ];
}

function plain(value: number): Sample {
  return { labels: {}, value };
}

function gauge(name: string, help: string, samples: Sample[]): Family {
  return { name, type: 'gauge', help, samples };
}

function counter(name: string, help: string, samples: Sample[]): Family {
  return { name, type: 'counter', help, samples };
}

function histogram(name: string, help: string, { buckets, sum, count }: Histogram): Family {
  const samples: Sample[] = buckets.map(({ le, turns }) => ({ suffix: '_bucket', labels: { le }, value: turns }));
  samples.push({ suffix: '_sum', labels: {}, value: sum }, { suffix: '_count', labels: {}, value: count });
  return { name, type: 'histogram', help, samples };
}

/** A family without samples is left out: a head with nothing below it says nothing. */
function familyText({ name, type, help, samples }: Family): string {
  if (samples.length === 0) return '';
  const lines = samples.map(({ suffix = '', labels, value }) => `${name}${suffix}${labelText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function labelText(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
