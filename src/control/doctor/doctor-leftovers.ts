/**
 * What `weft doctor` finds of daemons that are not running: their TAPs, and markers of namespaces that are gone. Such
 * TAPs are no fault: a daemon that starts again takes them over, with all connections. The doctor names them and
 * removes nothing.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../native/index.js';
import { listLinks } from '../kernel/links.js';
import { Namespaces, NETNS_DIRECTORY } from '../kernel/namespaces.js';
import { withRtnetlink } from '../kernel/rtnetlink.js';
import { type Finding, ok, warn } from './doctor-finding.js';

/** Namespaces looked into at most; a machine with more is told so. */
const MOST_NAMESPACES = 4096;
/** Leftovers named at most in one sentence. */
const MOST_NAMED = 5;

export interface Orphan {
  instance: string;
  ifname: string;
  /** Where to find it: path of a namespace, or a process in it. */
  path: string;
}

export async function checkLeftovers(runDir: string, isPrivileged: boolean): Promise<Finding[]> {
  const findings = [checkMarkers(runDir)];
  if (!isPrivileged) {
    return [...findings, warn('orphans', 'not checked: this needs root', 'unknown', 'run `weft doctor` as root')];
  }
  return [...findings, orphanFinding(await findOrphans())];
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

/** TAPs with an alias of weft that no process has open: their carrier is off. */
export async function findOrphans(): Promise<Orphan[]> {
  const orphans: Orphan[] = [];
  const seen = new Set<string>();
  const identity = new Float64Array(2);
  for (const path of candidates().slice(0, MOST_NAMESPACES)) {
    const fd = native.openNamespace(path);
    if (fd < 0) continue; // ended meanwhile, or not ours to see
    try {
      native.namespaceIdentity(fd, identity);
      const key = identity.join(':');
      if (seen.has(key)) continue;
      seen.add(key);
      for (const { alias, carrier, ifname } of await withRtnetlink(fd, listLinks)) {
        const [program, instance = ''] = alias.split(':');
        if (program === 'weft' && !carrier) orphans.push({ instance, ifname, path });
      }
    } finally {
      native.closeFd(fd);
    }
  }
  return orphans;
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
