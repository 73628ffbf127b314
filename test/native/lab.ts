// Real namespaces, real devices and real programs for the tests of the native addon.
// Everything a lab makes carries a name with the pid of the test run, and `close` removes it, whatever failed before.

import { strict as assert } from 'node:assert';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { setTimeout } from 'node:timers/promises';
import { errorName, native } from '../../src/native/index.js';

/** Skips the tests of a suite (a `before` hook calls it) where there is no root or no TUN driver. */
export function needsRoot(this: Mocha.Context): void {
  if (process.getuid?.() !== 0) this.skip();
}

/** Fails with the name of the errno when an addon call failed; returns its result otherwise. */
export function ok(result: number | string, what = 'call'): number {
  assert.equal(typeof result, 'number');
  assert.ok(Number(result) >= 0, `${what}: ${errorName(Number(result))}`);
  return Number(result);
}

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

let serial = 0;

export class Lab {
  readonly #undo: (() => void)[] = [];
  readonly #children = new Set<ChildProcess>();

  /** Runs when the lab closes, in reverse order. */
  defer(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** A name nobody else uses, short enough for an interface. */
  name(): string {
    serial += 1;
    return `wt${process.pid}n${serial}`;
  }

  /** Makes a namespace; returns its name for `ip` and a descriptor for the addon. */
  namespace(): { name: string; path: string; fd: number } {
    const name = this.name();
    const path = `/run/netns/${name}`;
    ok(native.createNamespace(path), `createNamespace ${path}`);
    this.defer(() => native.removeNamespace(path));
    const fd = ok(native.openNamespace(path));
    this.defer(() => native.closeFd(fd));
    return { name, path, fd };
  }

  /** Opens a TAP in that namespace, closed with the lab. */
  tap(nsFd: number, name: string, flags: number): number {
    const fd = ok(native.openTap(nsFd, name, flags), `openTap ${name}`);
    this.defer(() => native.closeFd(fd));
    return fd;
  }

  /** Keeps a descriptor until the lab closes. */
  keep(fd: number, what: string): number {
    ok(fd, what);
    this.defer(() => native.closeFd(fd));
    return fd;
  }

  port(port: number, fd: number, kind: number, headerBytes: number): void {
    ok(native.addPort(port, fd, kind, headerBytes), `addPort ${port}`);
    this.defer(() => native.removePort(port));
  }

  /** Starts a program inside a namespace. It is killed with the lab at the latest. */
  start(namespace: string, command: string, args: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', namespace, command, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Runs a program inside a namespace to its end. */
  async run(namespace: string, command: string, args: readonly string[]): Promise<Finished> {
    return await finished(this.start(namespace, command, args));
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const undo of this.#undo.reverse()) undo();
    this.#undo.length = 0;
    native.unbindBurst();
  }
}

/** `ip -n NAMESPACE ...`, synchronously. */
export function ip(namespace: string, ...args: string[]): string {
  return execFileSync('ip', ['-n', namespace, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Attributes of one interface as `ip -json link` tells them. */
export function link(namespace: string, ifname: string): { operstate: string; flags: string[]; ifname: string } {
  return JSON.parse(ip(namespace, '-json', 'link', 'show', ifname))[0];
}

/** Gives an interface its addresses (IPv6 usable at once) and sets it up. */
export function configure(namespace: string, ifname: string, ...addresses: string[]): void {
  for (const address of addresses) {
    ip(namespace, 'address', 'add', address, 'dev', ifname, ...(address.includes(':') ? ['nodad'] : []));
  }
  ip(namespace, 'link', 'set', ifname, 'up');
}

/** A veth pair between two namespaces, configured, up, and carrying (which the kernel may take a second to notice). */
export async function connect(...ends: [[string, string, ...string[]], [string, string, ...string[]]]): Promise<void> {
  const [[left, first], [right, second]] = ends;
  ip(left, 'link', 'add', first, 'type', 'veth', 'peer', 'name', second, 'netns', right);
  for (const [namespace, ifname, ...addresses] of ends) {
    ip(namespace, 'link', 'set', ifname, 'addrgenmode', 'none');
    configure(namespace, ifname, ...addresses);
  }
  for (const [namespace, ifname] of ends) {
    for (let turn = 0; turn < 100 && link(namespace, ifname).operstate !== 'UP'; turn++) await setTimeout(50);
    assert.equal(link(namespace, ifname).operstate, 'UP');
  }
}

export function finished(child: ChildProcess): Promise<Finished> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (text) => {
      stdout += text;
    });
    child.stderr?.on('data', (text) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** Resolves when the program has printed `text`. */
export function printed(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let seen = '';
    child.stdout?.on('data', (data) => {
      seen += data;
      if (seen.includes(text)) resolve();
    });
    child.once('exit', () => reject(new Error(`ended before it printed "${text}": ${seen}`)));
  });
}

/** Sends three pings; returns how many were answered. */
export async function ping(lab: Lab, namespace: string, to: string, ...options: string[]): Promise<number> {
  // For the last answer ping waits twice the longest round trip before, but at least its interval, however large -W is.
  const { stdout } = await lab.run(namespace, 'ping', ['-c', '3', '-i', '0.3', '-W', '2', ...options, to]);
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

/** iperf3's receiver stops counting when the sender is done: what waits in the buffers of both sockets (tcp_rmem, tcp_wmem) is missing. */
export const MOST_UNREAD_BYTES = 40e6;

/** Moves `bytes` over one TCP connection with iperf3; returns what the receiver got, in bytes and in Mbit/s. */
export async function transfer(
  lab: Lab,
  server: string,
  client: string,
  to: string,
  bytes: number,
): Promise<{ bytes: number; mbps: number }> {
  const listener = lab.start(server, 'iperf3', ['-s', '-1', '--forceflush']);
  await printed(listener, 'Server listening');
  const result = await lab.run(client, 'iperf3', ['-c', to, '-n', String(bytes), '-J']);
  assert.equal(result.code, 0, `iperf3: ${result.stdout}${result.stderr}`);
  const { sum_received } = JSON.parse(result.stdout).end;
  return { bytes: sum_received.bytes, mbps: sum_received.bits_per_second / 1e6 };
}
