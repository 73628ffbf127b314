/**
 * An etcd of the test's own (package etcd-server) on free ports of the loopback, with its data in a temporary directory: started, stopped,
 * killed, wiped and started again on the same ports.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Looks, each some 20 ms after the other; a machine that stands still meanwhile takes none of them away. */
const MOST_LOOKS = 1000;

const running = new Set<ChildProcess>();
// A suite that fails half way leaves none behind.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class EtcdServer {
  readonly url: string;
  private readonly peerUrl: string;
  private readonly directory: string;
  private process: ChildProcess | null = null;

  private readonly name: string;
  /** `NAME=URL,...` of all members. */
  private members = '';
  private readonly more: readonly string[];
  /** What runs a program where it is. */
  private readonly within: readonly string[];

  private constructor(place: Place) {
    const { name, directory, address, clientPort, peerPort, more, within } = place;
    this.name = name;
    this.directory = directory;
    this.more = more;
    this.within = within;
    this.url = `${more.includes('--cert-file') ? 'https' : 'http'}://${address}:${clientPort}`;
    this.peerUrl = `http://${address}:${peerPort}`;
    this.members = `${name}=${this.peerUrl}`;
  }

  /** On an address of another network namespace, on the usual ports. */
  static async startIn(namespacePath: string, address: string): Promise<EtcdServer> {
    const directory = await makeDirectory();
    const within = ['nsenter', `--net=${namespacePath}`, '--'];
    const ports = { clientPort: 2379, peerPort: 2380 };
    const server = new EtcdServer({ name: 'member', directory, address, ...ports, more: [], within });
    await server.start();
    return server;
  }

  /** `more`: further options of etcd. */
  static async start(...more: string[]): Promise<EtcdServer> {
    const [server] = await EtcdServer.startMany(1, more);
    return server!;
  }

  /** Members of one cluster. */
  static async startMany(count: number, more: readonly string[] = []): Promise<EtcdServer[]> {
    const servers: EtcdServer[] = [];
    for (let n = 0; n < count; n++) {
      const directory = await makeDirectory();
      const ports = { clientPort: await freePort(), peerPort: await freePort() };
      const place = { name: `member${n}`, directory, address: '127.0.0.1', ...ports, more, within: [] };
      servers.push(new EtcdServer(place));
    }
    const members = servers.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');
    for (const server of servers) server.members = members;
    await Promise.all(servers.map((server) => server.start()));
    return servers;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const [program, ...parameters] = [...this.within, 'etcd'];
    const child = spawn(
      program!,
      [
        ...parameters,
        ...['--name', this.name, '--data-dir', join(this.directory, 'data'), '--log-level', 'error'],
        ...['--listen-client-urls', this.url, '--advertise-client-urls', this.url],
        ...['--listen-peer-urls', this.peerUrl, '--initial-advertise-peer-urls', this.peerUrl],
        ...['--initial-cluster', this.members, ...this.more],
      ],
      { stdio: 'ignore' },
    );
    this.process = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    for (let looks = 0; !(await this.answers()); looks++) {
      if (child.exitCode !== null || looks > MOST_LOOKS) throw new Error('etcd does not start (package etcd-server)');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Resolves when it is gone. Its data stay. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.process;
    this.process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** It hears and says nothing, like a machine behind a cut cable, until `resume`. */
  pause(): void {
    this.process?.kill('SIGSTOP');
  }

  resume(): void {
    this.process?.kill('SIGCONT');
  }

  /** Must be stopped. */
  async wipe(): Promise<void> {
    await rm(join(this.directory, 'data'), { recursive: true, force: true });
  }

  /** Stops it and leaves nothing. */
  async remove(): Promise<void> {
    this.resume();
    await this.stop();
    await rm(this.directory, { recursive: true, force: true });
  }

  async control(...parameters: string[]): Promise<string> {
    const env = { ...process.env, ETCDCTL_API: '3' };
    const [program, ...rest] = [...this.within, 'etcdctl', '--endpoints', this.url, ...parameters];
    const { stdout } = await run(program!, rest, { env });
    return stdout;
  }

  /** Keys that begin with `prefix`. */
  async keys(prefix: string): Promise<string[]> {
    const text = await this.control('get', prefix, '--prefix', '--keys-only');
    return text.split('\n').filter((line) => line !== '');
  }

  /** Whether it is the leader of its cluster. */
  async isLeader(): Promise<boolean> {
    const [{ Status: status }] = JSON.parse(await this.control('endpoint', 'status', '-w', 'json'));
    return status.leader === status.header.member_id;
  }

  /** Over TLS it is enough that it accepts connections: its clients try again. */
  private answers(): Promise<boolean> {
    const { hostname, port, protocol } = new URL(this.url);
    if (this.within.length > 0)
      return this.control('endpoint', 'health').then(
        () => true,
        () => false,
      );
    if (protocol === 'https:') return accepts(hostname, Number(port));
    return fetch(`${this.url}/health`, { signal: AbortSignal.timeout(1000) })
      .then(async (response) => ((await response.json()) as { health?: string }).health === 'true')
      .catch(() => false);
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    const end = (isOpen: boolean) => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}

interface Place {
  name: string;
  directory: string;
  address: string;
  clientPort: number;
  peerPort: number;
  more: readonly string[];
  within: readonly string[];
}

function makeDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), `weft-etcd-${process.pid}-`));
}

const givenPorts = new Set<number>();

/** Never the same twice. Below the ports that programs get without asking (ip_local_port_range), which somebody may have by the time that etcd starts. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    if (givenPorts.has(port)) continue;
    givenPorts.add(port);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}
