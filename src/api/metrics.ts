/** /metrics: the counters in the Prometheus text format 0.0.4. Names end in their unit; counters in `_total`. */
import type { Controller, DropView, EndpointStats, StatsView, StatusView } from '../control/controller.js';
import type { ServerState } from './server-state.js';

export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

interface Sample {
  labels: Record<string, string>;
  value: number;
}

interface Family {
  name: string;
  type: 'counter' | 'gauge';
  help: string;
  samples: Sample[];
}

export function prometheusText(controller: Controller, server: ServerState): string {
  const status = controller.status();
  const stats = controller.stats();
  const families = [
    ...daemonFamilies(status),
    ...endpointFamilies(stats.endpoints),
    ...datapathFamilies(stats),
    ...dropFamilies(controller.listDrops()),
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

function datapathFamilies({ datapath }: StatsView): Family[] {
  return [
    counter('weft_turns_total', 'Turns of the datapath.', [plain(datapath.turns)]),
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
  ];
}

function dropFamilies(drops: DropView[]): Family[] {
  const samples = drops.map((drop) => ({ labels: { reason: drop.reason, scope: drop.scope }, value: drop.frames }));
  return [counter('weft_drops_total', 'Dropped frames (scope frame) and copies (scope departure) by reason.', samples)];
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

function familyText({ name, type, help, samples }: Family): string {
  const lines = samples.map(({ labels, value }) => `${name}${labelText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function labelText(labels: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
