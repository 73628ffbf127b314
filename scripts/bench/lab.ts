// Labs: two namespaces that a system under test connects, built and taken down without a trace.
//
//   namespace PREFIX-a [pa 10.213.0.10] ---- system under test ---- [pb 10.213.0.11] namespace PREFIX-b
//
// The same for every system: interface names, addresses, MTU (1500; less through a tunnel), no IPv6 (its router solicitations would be counted),
// and, once a first exchange has taught the switch both MAC addresses, permanent neighbour entries: a flood must not be
// able to starve the ARP that keeps it going. Nothing outside the namespaces made here is ever touched.
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type Service, sleep, startService } from './processes.js';

export const SUBNET = '10.213.0.0/24';
const PREFIX_LENGTH = SUBNET.split('/')[1]!;
export const MTU = 1500;
const NAMESPACE_FOLDER = '/run/netns';
const NAME_START = 'wbench';
/** UDP port of the connectivity check and of the latency workload. */
export const PING_PORT = 4300;

/** One end of a lab: an interface in a namespace. */
export interface Station {
  readonly namespace: string;
  readonly ifname: string;
  readonly address: string;
  readonly mac: string;
}

/** Two stations and the system that connects them. */
export interface Lab {
  readonly system: string;
  readonly a: Station;
  readonly b: Station;
  /** Address at which b reaches a: a's own, unless there is a NAT between them. */
  readonly aFromB: string;
  /** Freezes and thaws the processes of the system under test. */
  pause(): void;
  resume(): void;
  stop(): Promise<void>;
}

/** What one run of the benchmark carries everywhere. */
export interface Bench {
  readonly directory: string;
  readonly prefix: string;
  readonly packageRoot: string;
  readonly signal: AbortSignal;
  readonly seconds: number;
  readonly quick: boolean;
  readonly undo: UndoStack;
  readonly say: (line: string) => void;
}

/** Things to take back, last one first. Every step is tried, whatever the others do. */
export class UndoStack {
  private readonly steps: { what: string; step: () => unknown }[] = [];

  add(what: string, step: () => unknown): void {
    this.steps.push({ what, step });
  }

  /** Takes everything back; returns the complaints of the steps that failed. */
  async run(): Promise<string[]> {
    const problems: string[] = [];
    for (let last = this.steps.pop(); last !== undefined; last = this.steps.pop()) {
      try {
        await last.step();
      } catch (error) {
        problems.push(`${last.what}: ${(error as Error).message}`);
      }
    }
    return problems;
  }
}

/** A lab under construction: where a system registers what it makes. */
export interface Site {
  readonly bench: Bench;
  /** Unique within the run; names of namespaces begin with it. */
  readonly name: string;
  readonly directory: string;
  readonly undo: UndoStack;
  readonly services: Service[];
}

/** Where a system put one end: the interface exists there, and may or may not be configured yet. */
export interface End {
  readonly namespace: string;
  readonly ifname: string;
  /** True when the system gave the interface its addresses and brought it up itself. */
  readonly isConfigured: boolean;
}

const ADDRESSES = { a: '10.213.0.10', b: '10.213.0.11' };

export function stationAddress(side: 'a' | 'b'): string {
  return ADDRESSES[side];
}

export function helperPath(bench: Bench, name: string): string {
  return join(bench.directory, 'bin', name);
}

/** Program and arguments that run something inside a namespace. */
export function inNamespace(namespace: string, ...command: string[]): [string, string[]] {
  return ['ip', ['netns', 'exec', namespace, ...command]];
}

/** Adds a namespace of the site, without IPv6, with `lo` up; removed again with the site. */
export async function addNamespace(site: Site, suffix: string): Promise<string> {
  const namespace = `${site.name}-${suffix}`;
  await run('ip', ['netns', 'add', namespace]);
  site.undo.add(`namespace ${namespace}`, () => run('ip', ['netns', 'del', namespace]));
  await quietNamespace(namespace);
  await run('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
  return namespace;
}

/** Switches IPv6 off in a namespace, for the interfaces it has and will have. */
export async function quietNamespace(namespace: string): Promise<void> {
  const set = 'for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done';
  await run(...inNamespace(namespace, 'sh', '-c', `test ! -d /proc/sys/net/ipv6 || { ${set}; }`));
}

/** Starts a process of the system under test, stopped with the site. */
export async function addService(
  site: Site,
  command: [string, string[]],
  options: { readyText?: string; environment?: Record<string, string> } = {},
): Promise<Service> {
  const logFile = join(site.directory, `service-${site.services.length}.log`);
  const service = await startService(command[0], command[1], { logFile, ...options });
  site.services.push(service);
  site.undo.add(`process ${service.pid}`, () => service.stop());
  return service;
}

let siteCount = 0;

/** Builds a lab: lets `connect` put the system in place, configures both ends, proves that datagrams pass. */
export function buildLab(
  bench: Bench,
  system: string,
  connect: (site: Site) => Promise<{ a: End; b: End }>,
  mtu = MTU,
): Promise<Lab> {
  return assembleLab(bench, system, async (site) => {
    const ends = await connect(site);
    const a = await configure(ends.a, ADDRESSES.a, mtu);
    const b = await configure(ends.b, ADDRESSES.b, mtu);
    await exchange(bench, a, b, 20);
    await pinNeighbour(a, b);
    await pinNeighbour(b, a);
    return { a, b, aFromB: a.address };
  });
}

/**
 * Makes a site and lets `build` fill it. On failure everything made is taken back and the error carries the last words of the
 * system's processes.
 */
export async function assembleLab(
  bench: Bench,
  system: string,
  build: (site: Site) => Promise<Pick<Lab, 'a' | 'b' | 'aFromB'>>,
): Promise<Lab> {
  const site = openSite(bench, system);
  try {
    const ends = await build(site);
    const everyService = (act: (service: Service) => void) => () => site.services.forEach(act);
    return {
      system,
      ...ends,
      pause: everyService((service) => service.pause()),
      resume: everyService((service) => service.resume()),
      stop: () => closeSite(site),
    };
  } catch (error) {
    const words = site.services.map((service) => service.lastWords()).filter((text) => text !== '');
    await closeSite(site).catch((problem: Error) => words.push(problem.message));
    throw new Error([(error as Error).message, ...words].join('\n'));
  }
}

/**
 * Opens a site; `closeSite` takes back everything registered in it, and the run's own undo stack does so at the
 * latest.
 */
export function openSite(bench: Bench, system: string): Site {
  const name = `${bench.prefix}-${++siteCount}-${system}`;
  const directory = join(bench.directory, name);
  mkdirSync(directory);
  const site: Site = { bench, name, directory, undo: new UndoStack(), services: [] };
  bench.undo.add(`lab ${name}`, () => closeSite(site));
  return site;
}

export async function closeSite(site: Site): Promise<void> {
  const problems = await site.undo.run();
  rmSync(site.directory, { recursive: true, force: true });
  if (problems.length > 0) throw new Error(`cleaning up after ${site.name}: ${problems.join('; ')}`);
}

/** Sends `count` datagrams from a to b and back; rejects when they do not come back. */
export async function exchange(bench: Bench, a: Station, b: Station, count: number): Promise<void> {
  const helper = helperPath(bench, 'ping-pong');
  const server = await startService(...inNamespace(b.namespace, helper, 'server', String(PING_PORT), '10'), {
    logFile: join(bench.directory, 'exchange.log'),
    readyText: 'ready',
  });
  try {
    const client = [helper, 'client', b.address, String(PING_PORT), '0', String(count), '5'];
    await run(...inNamespace(a.namespace, ...client), { signal: bench.signal });
  } finally {
    await server.stop();
  }
}

/** Thaws a lab, makes sure that it still forwards, and hands it over for a measurement; frozen again afterwards. */
export async function withLab<T>(bench: Bench, lab: Lab, measure: () => Promise<T>): Promise<T> {
  lab.resume();
  try {
    await sleep(50, bench.signal);
    await exchange(bench, lab.a, lab.b, 20);
    return await measure();
  } finally {
    lab.pause();
  }
}

/** Removes namespaces and directories of runs whose process no longer exists (they were killed before they could). */
export async function removeLeftovers(say: (line: string) => void): Promise<void> {
  const isOrphan = (name: string) => {
    const match = new RegExp(`^${NAME_START}([0-9]+)(-|$)`).exec(name);
    return match !== null && !isAlive(Number(match[1]));
  };
  const list = (folder: string) => {
    try {
      return readdirSync(folder);
    } catch {
      return []; // no namespace was ever made on this machine
    }
  };
  for (const name of list(NAMESPACE_FOLDER).filter(isOrphan)) {
    say(`removing namespace ${name}, left by a run that was killed`);
    await run('ip', ['netns', 'del', name]);
  }
  for (const name of list(tmpdir()).filter(isOrphan)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

/** Prefix of everything this process makes. */
export function ownPrefix(): string {
  return `${NAME_START}${process.pid}`;
}

async function configure(end: End, address: string, mtu: number): Promise<Station> {
  const { namespace, ifname } = end;
  if (!end.isConfigured) {
    await run('ip', ['-n', namespace, 'link', 'set', ifname, 'mtu', String(mtu), 'up']);
    await run('ip', ['-n', namespace, 'addr', 'add', `${address}/${PREFIX_LENGTH}`, 'dev', ifname]);
  }
  const [link] = JSON.parse(await run('ip', ['-j', '-n', namespace, 'link', 'show', 'dev', ifname])) as {
    address: string;
    mtu: number;
  }[];
  if (link!.mtu !== mtu) throw new Error(`${ifname} in ${namespace} has MTU ${link!.mtu} instead of ${mtu}`);
  return { namespace, ifname, address, mac: link!.address };
}

async function pinNeighbour(at: Station, other: Station): Promise<void> {
  const entry = ['neigh', 'replace', other.address, 'lladdr', other.mac, 'dev', at.ifname, 'nud', 'permanent'];
  await run('ip', ['-n', at.namespace, ...entry]);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
