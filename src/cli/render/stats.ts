/** Tables of the counters: totals as they stand, and rates between two readings. */
import type { SchemaTypes } from '../../api/schema/catalogue.js';
import { datapathSummary } from './datapath.js';
import { type Column, tableText } from './table.js';
import { bitRate, bytes, counted, quantity } from './units.js';

type Stats = SchemaTypes['Stats'];
type EndpointStats = Stats['endpoints'][number];

/** What an endpoint did per second. rx: from the endpoint into the network; tx: the other way. */
export interface RateRow {
  endpoint: string;
  network: string;
  compartment: string | null;
  rxFrames: number;
  rxBytes: number;
  txFrames: number;
  txBytes: number;
  dropped: number;
}

export const LEGEND = 'rx: from the endpoint into the network; tx: from the network to the endpoint';

export function totalsTable(stats: Stats): string {
  if (stats.endpoints.length === 0) return 'no endpoints';
  const columns: Column[] = [
    { title: 'ENDPOINT' },
    { title: 'NETWORK' },
    { title: 'COMPARTMENT' },
    { title: 'STATE' },
    { title: 'RX FRAMES', right: true },
    { title: 'RX BYTES', right: true },
    { title: 'RX DROPPED', right: true },
    { title: 'TX FRAMES', right: true },
    { title: 'TX BYTES', right: true },
    { title: 'TX DROPPED', right: true },
  ];
  const traffic = (row: EndpointStats) => row.rxBytes + row.txBytes;
  const rows = [...stats.endpoints].sort((a, b) => traffic(b) - traffic(a) || compare(a.endpoint, b.endpoint));
  return [
    tableText(
      columns,
      rows.map((row) => [
        row.endpoint,
        row.network,
        row.compartment ?? '',
        row.state,
        String(row.rxFrames),
        bytes(row.rxBytes),
        String(row.rxDropped),
        String(row.txFrames),
        bytes(row.txBytes),
        String(row.txDropped),
      ]),
    ),
    '',
    LEGEND,
    datapathLine(stats.datapath),
    `datapath: ${datapathSummary(stats.datapath)}`,
    ...dhcpLines(stats.dhcp),
    ...dnsLines(stats.dns),
  ].join('\n');
}

/** Sums over all networks, the most frequent first; nothing where nobody has asked. */
function dhcpLines(counts: Stats['dhcp']): string[] {
  const sums = (isIgnored: boolean): string[] => {
    const total = new Map<string, number>();
    for (const row of counts) {
      if (row.isIgnored === isIgnored) total.set(row.what, (total.get(row.what) ?? 0) + row.count);
    }
    const sorted = [...total].sort((a, b) => b[1] - a[1] || compare(a[0], b[0]));
    return sorted.map(([what, count]) => `${quantity(count)} ${what}`);
  };
  const [messages, ignored] = [sums(false), sums(true)];
  if (messages.length + ignored.length === 0) return [];
  const left = ignored.length === 0 ? '' : `; left alone: ${ignored.join(', ')}`;
  return [`DHCP: ${messages.join(', ') || 'nothing answered'}${left}`];
}

/** Nothing where nobody has asked. */
function dnsLines({ queries, local, forwarded, failed, refused, ignored, cached }: Stats['dns']): string[] {
  if (queries === 0) return [];
  return [
    `DNS: ${counted(queries, 'question')}, ${local} answered from names of the lab, ${forwarded} by other servers ` +
      `(${counted(cached, 'answer')} kept), ${failed} by nobody, ${refused} refused, ${ignored} ignored`,
  ];
}

function datapathLine(datapath: Stats['datapath']): string {
  const { arrivals, originated, forwarded, dropped, sent, transmitDropped, macs } = datapath;
  const flows = datapath.flows > 0 ? `, ${counted(datapath.flows, 'flow')} through the NAT` : '';
  const made = originated > 0 ? ` and ${quantity(originated)} made by weft` : '';
  return (
    `all endpoints: ${quantity(arrivals)} frames in${made}, ${quantity(forwarded)} forwarded, ${quantity(dropped)} dropped; ` +
    `${quantity(sent)} copies sent, ${quantity(transmitDropped)} dropped; ${counted(macs, 'MAC')} known${flows}`
  );
}

/** Never 0. */
export function secondsBetween(before: Stats, now: Stats): number {
  return Math.max(0.001, (Date.parse(now.time) - Date.parse(before.time)) / 1000);
}

/** Rates between two readings, busiest first. An endpoint that is new or whose counters went back counts from zero. */
export function ratesOf(before: Stats, now: Stats): RateRow[] {
  const seconds = secondsBetween(before, now);
  const old = new Map(before.endpoints.map((row) => [row.endpoint, row]));
  const rows = now.endpoints.map((row) => {
    const past = old.get(row.endpoint);
    const rate = (count: (stats: EndpointStats) => number) => {
      const start = past === undefined || count(past) > count(row) ? 0 : count(past);
      return (count(row) - start) / seconds;
    };
    return {
      endpoint: row.endpoint,
      network: row.network,
      compartment: row.compartment,
      rxFrames: rate((stats) => stats.rxFrames),
      rxBytes: rate((stats) => stats.rxBytes),
      txFrames: rate((stats) => stats.txFrames),
      txBytes: rate((stats) => stats.txBytes),
      dropped: rate((stats) => stats.rxDropped + stats.txDropped),
    };
  });
  const traffic = (row: RateRow) => row.rxBytes + row.txBytes;
  return rows.sort((a, b) => traffic(b) - traffic(a) || b.dropped - a.dropped || compare(a.endpoint, b.endpoint));
}

export function rateTable(rows: readonly RateRow[]): string {
  const columns: Column[] = [
    { title: 'ENDPOINT' },
    { title: 'NETWORK' },
    { title: 'COMPARTMENT' },
    { title: 'RX RATE', right: true },
    { title: 'RX FRAMES/S', right: true },
    { title: 'TX RATE', right: true },
    { title: 'TX FRAMES/S', right: true },
    { title: 'DROPS/S', right: true },
  ];
  const sum = (value: (row: RateRow) => number) => rows.reduce((total, row) => total + value(row), 0);
  const cells = (
    name: string,
    network: string,
    compartment: string,
    value: (pick: (row: RateRow) => number) => number,
  ) => [
    name,
    network,
    compartment,
    bitRate(value((row) => row.rxBytes)),
    quantity(value((row) => row.rxFrames)),
    bitRate(value((row) => row.txBytes)),
    quantity(value((row) => row.txFrames)),
    quantity(value((row) => row.dropped)),
  ];
  return tableText(columns, [
    ...rows.map((row) => cells(row.endpoint, row.network, row.compartment ?? '', (pick) => pick(row))),
    cells('all', '', '', sum),
  ]);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
