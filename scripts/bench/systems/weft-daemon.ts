// A weft daemon of our own: its process, its CLI, its HTTP interface over the Unix socket. Used by the lab of `weft`
// and by the workloads that only weft has. Everything the daemon makes is deleted through weft; what it leaves behind
// is removed here and reported as a failure.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addService, quietNamespace, type Site } from '../lab.js';
import { run, type Service, until } from '../processes.js';

export interface WeftDaemon {
  readonly service: Service;
  /** Milliseconds from spawning the process until GET /v1/status was answered. */
  readonly readyMs: number;
  /** Runs the CLI and returns its output. */
  cli(...args: string[]): Promise<string>;
  /** One request; rejects unless it is answered with 2xx. Returns the answer and how long it took. */
  http<T>(method: string, path: string, body?: unknown): Promise<{ answer: T; ms: number }>;
}

/** A program of weft of the very build that this benchmark belongs to. */
function weftProgram(name: 'weft' | 'weftd'): string {
  return fileURLToPath(new URL(`../../../daemon/${name}.js`, import.meta.url));
}

/**
 * Starts a daemon in the site's directory; it is stopped when the site closes. One that has a `host` runs in the namespace of that
 * name, which is then the host for it, and there may be several of them.
 */
export async function startWeft(site: Site, host?: string): Promise<WeftDaemon> {
  const { bench } = site;
  const directory = host === undefined ? site.directory : join(site.directory, host);
  mkdirSync(directory, { recursive: true });
  const socket = join(directory, 'weft.sock');
  const daemonFile = weftProgram('weftd');
  if (!existsSync(daemonFile)) throw new Error(`${daemonFile} does not exist (not built; run npm run build)`);
  const args = [daemonFile, '--socket', socket, '--log-level', 'warn'];
  args.push('--state-dir', join(directory, 'state'), '--run-dir', join(directory, 'run'));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  site.undo.add('connection to weftd', () => agent.destroy());
  const http: WeftDaemon['http'] = (method, path, body) => ask(agent, socket, method, path, body);

  const start = process.hrtime.bigint();
  // nsenter and not `ip netns exec`, which would also hide the host's cgroups and the like from the daemon.
  const inHost: [string, string[]] = ['nsenter', [`--net=/run/netns/${host}`, '--', process.execPath, ...args]];
  // Node parses that file (250 KB, 70 ms) in front of any program. The environment of a service has no such variable.
  const environment = { NODE_EXTRA_CA_CERTS: '' };
  const service = await addService(site, host === undefined ? [process.execPath, args] : inHost, { environment });
  const answers = async () => {
    if (service.hasEnded()) throw new Error('weftd ended while starting');
    return http('GET', '/v1/status').then(
      () => true,
      () => false,
    );
  };
  await until('an answer from weftd', answers, 10_000, 2);
  const readyMs = Number(process.hrtime.bigint() - start) / 1e6;

  const cliFile = weftProgram('weft');
  const cli = (...words: string[]) =>
    run(process.execPath, [cliFile, '--socket', socket, ...words], { signal: bench.signal });
  return { service, readyMs, cli, http };
}

/** Has weft create a private network, deleted with everything on it when the site closes. */
export async function addNetwork(site: Site, weft: WeftDaemon, name: string, subnet: string): Promise<void> {
  await weft.cli('network', 'create', name, '--type', 'private', '--subnet', subnet);
  undoThroughWeft(site, weft, 'network', name);
}

/** Has weft create a compartment that it owns, i.e. the namespace of the same name, without IPv6. */
export async function addCompartment(site: Site, weft: WeftDaemon, suffix: string): Promise<string> {
  const name = `${site.name}-${suffix}`;
  await weft.cli('compartment', 'create', name);
  undoThroughWeft(site, weft, 'compartment', name);
  await quietNamespace(name);
  return name;
}

/**
 * Registers the checks that must come after the daemon has ended; call before `startWeft`. Every namespace whose name
 * begins with the site's must be gone by then, except those of `others`, which weft has nothing to do with.
 */
export function expectNoLeftovers(site: Site, others: readonly string[] = []): void {
  site.undo.add('leftovers of weft', async () => {
    const list = JSON.parse((await run('ip', ['-j', 'netns', 'list'])) || '[]') as { name: string }[];
    const left = list
      .map((one) => one.name)
      .filter((name) => name.startsWith(`${site.name}-`) && !others.includes(name));
    for (const name of left) await run('ip', ['netns', 'del', name]);
    if (left.length > 0) throw new Error(`weft left namespaces behind: ${left.join(', ')}`);
  });
}

/** Resident memory in MB (10^6 bytes) and processor time in seconds of a process, all its threads included. */
export function usage(pid: number): { residentMb: number; cpuSeconds: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const residentMb = (Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1024) / 1e6;
  // The second field is the program's name in parentheses; utime and stime are fields 14 and 15, in ticks of 1/100 s.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
  return { residentMb, cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100 };
}

/** Registers the deletion of something that weft made. */
export function undoThroughWeft(site: Site, weft: WeftDaemon, noun: 'network' | 'compartment', name: string): void {
  site.undo.add(`weft ${noun} ${name}`, async () => {
    weft.service.resume();
    if (!weft.service.hasEnded()) await weft.http('DELETE', `/v1/${noun}s/${name}?force=true`);
  });
}

/** A daemon that was frozen for long has closed the connection meanwhile, which only the next request finds out: it is repeated. */
async function ask<T>(agent: Agent, socketPath: string, method: string, path: string, body?: unknown) {
  return await askOnce<T>(agent, socketPath, method, path, body).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') throw error;
    return askOnce<T>(agent, socketPath, method, path, body);
  });
}

function askOnce<T>(agent: Agent, socketPath: string, method: string, path: string, body?: unknown) {
  return new Promise<{ answer: T; ms: number }>((resolve, reject) => {
    const start = process.hrtime.bigint();
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers =
      text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
    const exchange = request({ agent, socketPath, method, path, headers, timeout: 30_000 }, (response) => {
      let received = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        received += part;
      });
      response.on('end', () => {
        const ms = Number(process.hrtime.bigint() - start) / 1e6;
        const status = response.statusCode ?? 0;
        if (status < 200 || status > 299)
          return reject(new Error(`${method} ${path}: ${status} ${received.slice(0, 500)}`));
        resolve({ answer: (received === '' ? null : JSON.parse(received)) as T, ms });
      });
    });
    exchange.on('timeout', () => exchange.destroy(new Error(`${method} ${path}: no answer within 30 s`)));
    exchange.on('error', reject);
    exchange.end(text);
  });
}
