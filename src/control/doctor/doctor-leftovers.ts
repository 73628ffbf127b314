/**
 * What `weft doctor` finds of daemons that are not running: their TAPs, rules of their uplinks, markers and resolv.conf files of
 * namespaces that are gone. Such TAPs are no fault: a daemon that starts again takes them over, with all connections. The
 * doctor names them and removes nothing.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../native/index.js';
import { NETNS_CONFIGURATION, writtenByWeft } from '../dns/compartment-resolvers.js';
import { KernelError } from '../kernel/kernel.js';
import { listLinks } from '../kernel/links.js';
import { TABLE_PREFIX, tableOf } from '../kernel/namespace-routing.js';
import { Namespaces, NETNS_DIRECTORY } from '../kernel/namespaces.js';
import { nftChains } from '../kernel/nft.js';
import { withRtnetlink } from '../kernel/rtnetlink.js';
import { type Finding, ok, warn } from './doctor-finding.js';

/** Namespaces looked into at most; a machine with more is told so. */
const MOST_NAMESPACES = 4096;
/** Names of the TAPs of uplinks begin so, unless another program has renamed them. */
const UPLINK_PREFIX = 'weft-';
const UPLINK_CHAIN = 'leaving';
/** Leftovers named at most in one sentence. */
const MOST_NAMED = 5;

export interface Orphan {
  instance: string;
  ifname: string;
  /** Where to find it: path of a namespace, or a process in it. */
  path: string;
}

/** A table of nftables that belongs to a daemon which is not running. */
export interface OrphanedTable {
  table: string;
  path: string;
}

interface Leftovers {
  orphans: Orphan[];
  tables: OrphanedTable[];
}

export async function checkLeftovers(runDir: string, isPrivileged: boolean): Promise<Finding[]> {
  const findings = [checkMarkers(runDir), checkResolvers(NETNS_CONFIGURATION)];
  if (!isPrivileged) {
    const unknown = (check: string) =>
      warn(check, 'not checked: this needs root', 'unknown', 'run `weft doctor` as root');
    return [...findings, unknown('orphans'), unknown('orphaned-rules')];
  }
  const { orphans, tables } = await findLeftovers();
  return [...findings, orphanFinding(orphans), tableFinding(tables)];
}

/** Files that weft wrote for namespaces that are gone: the next namespace of that name would ask servers that are not there. */
export function checkResolvers(directory: string): Finding {
  const present = new Set(namesIn(NETNS_DIRECTORY));
  const lost = namesIn(directory).filter((name) => !present.has(name) && writtenByWeft(directory, name));
  if (lost.length === 0) return ok('resolvers', 'no resolv.conf of a namespace that is gone');
  const finding = `${lost.length} resolv.conf files of namespaces that are gone: ${some(lost)}`;
  const cost = 'a namespace that is made with such a name asks DNS servers that are not there';
  const remedy = `start weftd with the same --state-dir again, or remove them: rm -r ${join(directory, lost[0]!)}`;
  return warn('resolvers', finding, cost, remedy);
}

function checkMarkers(runDir: string): Finding {
  const present = new Set(namesIn(NETNS_DIRECTORY));
  let marked: string[];
  try {
    marked = new Namespaces(runDir).markers();
  } catch {
    return warn('markers', `not checked: this user may not read ${runDir}`, 'unknown', 'run `weft doctor` as root');
  }
  const lost = marked.filter((name) => !present.has(name));
  if (lost.length === 0) return ok('markers', 'every namespace that weft made is there');
  const finding = `${lost.length} namespaces that weft made are gone: ${some(lost)}`;
  return warn('markers', finding, 'their endpoints are detached', 'weftd cleans up when it starts');
}

function orphanFinding(orphans: Orphan[]): Finding {
  if (orphans.length === 0) return ok('orphans', 'no interfaces without a running daemon');
  const instances = [...new Set(orphans.map((orphan) => orphan.instance))];
  const names = orphans.map(({ ifname, path }) => `${ifname} in ${path}`);
  const finding = `${orphans.length} interfaces of ${instances.length} daemon(s) that are not running: ${some(names)}`;
  const [first] = orphans;
  const command = `nsenter --net=${first?.path} ip link del ${first?.ifname}`;
  const remedy = `start weftd with the same --state-dir again, or remove them: ${command}`;
  return warn('orphans', finding, 'nothing is forwarded between them', remedy);
}

function tableFinding(tables: OrphanedTable[]): Finding {
  const [first] = tables;
  if (first === undefined) return ok('orphaned-rules', 'no nftables rules of uplinks without a running daemon');
  const names = tables.map(({ table, path }) => `${table} in ${path}`);
  const finding = `${tables.length} nftables tables of daemons that are not running: ${some(names)}`;
  const cost = 'what is for the ports that they publish leads nowhere';
  const command = `nsenter --net=${first.path} nft delete table inet ${first.table}`;
  return warn(
    'orphaned-rules',
    finding,
    cost,
    `start weftd with the same --state-dir again, or remove them: ${command}`,
  );
}

/** TAPs with an alias of weft that no process has open: their carrier is off. */
export async function findOrphans(): Promise<Orphan[]> {
  return (await findLeftovers()).orphans;
}

/**
 * Rules are looked for in the host, and where there is the TAP of an uplink, since asking nftables is a process each time. Those
 * of a daemon that runs have that TAP beside them, with its carrier on; rules of uplinks `raw` have none, and are left out.
 */
export async function findLeftovers(): Promise<Leftovers> {
  const orphans: Orphan[] = [];
  const tables: OrphanedTable[] = [];
  const running = new Set<string>();
  const seen = new Set<string>();
  const identity = new Float64Array(2);
  for (const path of candidates().slice(0, MOST_NAMESPACES)) {
    const fd = native.openNamespace(path);
    if (fd < 0) continue; // ended meanwhile, or not ours to see
    try {
      native.namespaceIdentity(fd, identity);
      const key = identity.join(':');
      if (seen.has(key)) continue;
      const isHost = seen.size === 0;
      seen.add(key);
      let hasUplink = false;
      for (const { alias, carrier, ifname } of await withRtnetlink(fd, listLinks)) {
        const [program, instance = ''] = alias.split(':');
        if (program !== 'weft') continue;
        if (carrier) running.add(instance);
        else orphans.push({ instance, ifname, path });
        hasUplink ||= ifname.startsWith(UPLINK_PREFIX);
      }
      if (isHost || hasUplink) for (const table of await uplinkTables(fd)) tables.push({ table, path });
    } finally {
      native.closeFd(fd);
    }
  }
  const isRunning = ({ table }: OrphanedTable) => [...running].some((instance) => table === tableOf(instance));
  return { orphans, tables: tables.filter((found) => !isRunning(found)) };
}

/** Tables of weft with the chain that every uplink of kind `host` has; none where there is no nftables. */
async function uplinkTables(namespaceFd: number): Promise<string[]> {
  try {
    return (await nftChains(namespaceFd, TABLE_PREFIX, UPLINK_CHAIN)).map(({ table }) => table);
  } catch (error) {
    if (error instanceof KernelError) return [];
    throw error;
  }
}

/** The host, all that have a name, and those of all processes; many are the same. */
function candidates(): string[] {
  const named = namesIn(NETNS_DIRECTORY).map((name) => join(NETNS_DIRECTORY, name));
  const processes = namesIn('/proc').filter((name) => /^\d+$/.test(name));
  return ['/proc/self/ns/net', ...named, ...processes.map((pid) => `/proc/${pid}/ns/net`)];
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function some(names: string[]): string {
  const rest = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}
