/**
 * Where stations are, as the datapath has it: the MAC table and the table of other VTEPs, with names. Reads the shared memory only,
 * so a row that changes at this moment may be missing.
 */
import { ipTextOf } from '../compile/address-rows.js';
import { keyOf } from '../compile/network-key.js';
import { Counters, TOTAL, totalAt } from '../datapath/counters.js';
import { BINDING_CLUSTER, MAX_PORTS } from '../datapath/program.js';
import { LEARNED, listMacs, type MacRow } from '../tables/mac-table.js';
import { listRemotes, type RemoteRow } from '../tables/remote-table.js';
import { formatMac } from '../wire/addresses.js';
import type { Context } from './context.js';
import type { FdbEntry, VtepView } from './controller.js';

/** Sorted by network, VLAN and MAC. */
export function viewFdb(context: Context, network: string | null): FdbEntry[] {
  const nowMs = workerClock(context);
  const remotes = new Map(listRemotes(context.datapath.tables.remotes).map((row) => [row.remote, row]));
  const entries: FdbEntry[] = [];
  for (const row of listMacs(context.datapath.tables.macs)) {
    const name = context.ports.networkAt(row.network);
    if (name === null || (network !== null && network !== name)) continue;
    const place = row.port < MAX_PORTS ? placeOnHost(context, name, row) : placeBehind(context, name, row, remotes);
    // A row that was read while it changed, or of a port that is just being taken out.
    if (place === null) continue;
    // The worker's clock is an int32 that wraps around; so does the difference.
    const ageMs = Math.max(0, (nowMs - row.lastSeenMs) | 0);
    entries.push({
      network: name,
      vlan: row.vlan,
      mac: formatMac(row.macHigh, row.macLow),
      ...place,
      origin: row.origin === LEARNED ? 'learned' : row.origin === BINDING_CLUSTER ? 'cluster' : 'static',
      ageSeconds: row.isStatic ? 0 : Math.floor(ageMs / 1000),
    });
  }
  const key = (entry: FdbEntry) => `${entry.network} ${String(entry.vlan).padStart(4, '0')} ${entry.mac}`;
  return entries
    .map((entry) => ({ entry, key: key(entry) }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ entry }) => entry);
}

type Place = Pick<FdbEntry, 'endpoint' | 'kind' | 'vtep'>;

function placeOnHost({ ports }: Context, network: string, row: MacRow): Place | null {
  const owner = ports.at(row.port);
  // The segment of a VTEP is no network of anybody's; only the host is there.
  if (owner === null || owner.network !== network || owner.role === 'underlay') return null;
  const kind = row.isStatic ? 'static' : owner.role === 'host' ? 'host' : 'learned';
  return { endpoint: owner.endpoint ?? owner.role, kind, vtep: null };
}

function placeBehind(
  { state, cluster }: Context,
  network: string,
  row: MacRow,
  remotes: ReadonlyMap<number, RemoteRow>,
): Place | null {
  const remote = remotes.get(row.port - MAX_PORTS);
  if (remote === undefined) return null;
  const mac = formatMac(row.macHigh, row.macLow);
  const endpoint = state.networks.get(network)?.macs.get(mac) ?? cluster?.stationAt(network, mac) ?? '';
  return { endpoint, kind: row.isStatic ? 'static' : 'learned', vtep: ipTextOf(remote.family, remote.address) };
}

/** Those of this host first, then by address. */
export function viewVteps(context: Context, network: string | null): VtepView[] {
  const remotes = listRemotes(context.datapath.tables.remotes);
  const known = { behind: networksOfRemotes(context), named: namedVteps(context), floods: floodedVteps(context) };
  const views: VtepView[] = [];
  for (const local of localVteps(context)) {
    const vtepKey = local.key === null ? null : keyOf(local.key);
    const nowMs = workerClock(context);
    const others = remotes.filter((row) => row.vtepKey === vtepKey).map((row) => viewRemote(local, row, known, nowMs));
    views.push(viewLocal(local, others), ...others.filter(isAcquainted));
  }
  const wanted = views.filter(({ networks }) => network === null || networks.includes(network));
  const rank = ({ origin }: VtepView) => (origin === 'local' ? 0 : 1);
  return wanted.sort((a, b) => rank(a) - rank(b) || (a.vtep < b.vtep ? -1 : a.vtep > b.vtep ? 1 : 0));
}

/** A former peer that never sent anything keeps a row of the datapath, which nobody needs to see. */
function isAcquainted({ networks, lastHeardSeconds }: VtepView): boolean {
  return networks.length > 0 || lastHeardSeconds !== null;
}

/** Networks by what they have to do with a remote. */
interface Acquaintance {
  /** By row: stations are behind it. */
  behind: ReadonlyMap<number, ReadonlySet<string>>;
  /** By network: addresses that the user named. */
  named: ReadonlyMap<string, ReadonlySet<string>>;
  /** By network: addresses that get what floods. */
  floods: ReadonlyMap<string, ReadonlySet<string>>;
}

/** A VTEP of this host; `key` is null while it is lost. */
interface LocalVtep extends Pick<VtepView, 'vtep' | 'networks' | 'underlay' | 'udpPort' | 'netns' | 'state'> {
  key: string | null;
}

function localVteps({ state, ports }: Context): LocalVtep[] {
  const found = new Map<string, LocalVtep>();
  for (const { spec } of state.networks.values()) {
    const { overlay } = spec;
    if (overlay === null) continue;
    const key = ports.tunnelOf(spec.name)?.vtep ?? null;
    const vtep = (key === null ? null : ports.vtepOf(key)?.address) ?? overlay.vtep ?? '';
    const { underlay, port: udpPort, underlayNetns: netns } = overlay;
    const id = key ?? `${underlay} ${vtep} ${udpPort} ${netns}`;
    const local = found.get(id);
    if (local !== undefined) local.networks.push(spec.name);
    else {
      const isLost = key === null || ports.vtepOf(key) === null;
      found.set(id, { key, vtep, networks: [spec.name], underlay, udpPort, netns, state: isLost ? 'lost' : 'ready' });
    }
  }
  return [...found.values()];
}

/** Networks that have stations behind a remote, by its row. */
function networksOfRemotes({ datapath, ports }: Context): Map<number, Set<string>> {
  const found = new Map<number, Set<string>>();
  for (const { network, port } of listMacs(datapath.tables.macs)) {
    const name = port < MAX_PORTS ? null : ports.networkAt(network);
    if (name === null) continue;
    const networks = found.get(port - MAX_PORTS) ?? new Set();
    found.set(port - MAX_PORTS, networks.add(name));
  }
  return found;
}

/** Peers, groups, routers and VTEPs of endpoints, by network. */
function namedVteps({ state }: Context): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { spec } of state.networks.values()) {
    if (spec.overlay === null) continue;
    const { peers, group, remoteSubnets } = spec.overlay;
    const routers = remoteSubnets.map(({ vtep }) => vtep);
    found.set(spec.name, new Set([...peers, ...(group === null ? [] : [group]), ...routers]));
  }
  for (const { spec } of state.endpoints.values()) if (spec.vtep !== null) found.get(spec.network)?.add(spec.vtep);
  return found;
}

function floodedVteps({ state, ports }: Context): Map<string, Set<string>> {
  return new Map([...state.networks.keys()].map((name) => [name, new Set(ports.tunnelOf(name)?.floods)]));
}

function viewRemote(local: LocalVtep, row: RemoteRow, known: Acquaintance, nowMs: number): VtepView {
  const vtep = ipTextOf(row.family, row.address);
  const isNamedBy = (name: string) => known.named.get(name)?.has(vtep) === true;
  const hasStations = (name: string) => known.behind.get(row.remote)?.has(name) === true;
  const isFloodedBy = (name: string) => known.floods.get(name)?.has(vtep) === true;
  return {
    vtep,
    local: local.vtep,
    networks: local.networks.filter((name) => hasStations(name) || isNamedBy(name) || isFloodedBy(name)),
    origin: local.networks.some(isNamedBy) ? 'static' : row.isPinned ? 'cluster' : 'learned',
    underlay: local.underlay,
    udpPort: local.udpPort,
    netns: local.netns,
    state: local.state,
    rxFrames: row.rxFrames,
    rxBytes: row.rxBytes,
    txFrames: row.txFrames,
    txBytes: row.txBytes,
    lastHeardSeconds: row.lastHeardMs === null ? null : Math.floor(Math.max(0, (nowMs - row.lastHeardMs) | 0) / 1000),
  };
}

function viewLocal({ key: _, ...local }: LocalVtep, others: readonly VtepView[]): VtepView {
  const sum = (value: (view: VtepView) => number) => others.reduce((total, view) => total + value(view), 0);
  const heard = others.flatMap(({ lastHeardSeconds }) => (lastHeardSeconds === null ? [] : [lastHeardSeconds]));
  return {
    ...local,
    local: local.vtep,
    networks: [...local.networks].sort(),
    origin: 'local',
    rxFrames: sum(({ rxFrames }) => rxFrames),
    rxBytes: sum(({ rxBytes }) => rxBytes),
    txFrames: sum(({ txFrames }) => txFrames),
    txBytes: sum(({ txBytes }) => txBytes),
    lastHeardSeconds: heard.length === 0 ? null : Math.min(...heard),
  };
}

function workerClock({ datapath }: Context): number {
  return new Counters(datapath.tables.counters).values[totalAt(TOTAL.nowMs)]!;
}
