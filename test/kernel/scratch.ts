/**
 * What the tests of this folder share: a kernel with a run directory of its own, namespaces with names that nobody else
 * has, and one clean-up that removes everything, whatever failed before. The namespaces are real; the tests need root.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kernel, Namespace, Tap, TapRequest } from '../../src/control/kernel/kernel.js';
import { KernelError } from '../../src/control/kernel/kernel.js';
import { createLinuxKernel } from '../../src/control/kernel/linux-kernel.js';

export interface Place {
  name: string;
  namespace: Namespace;
}

/** `before` hook of every suite here: skips where there is no root. */
export function needsRoot(this: Mocha.Context): void {
  if (process.getuid?.() !== 0) this.skip();
}

let serial = 0;

export class Scratch {
  readonly runDir = mkdtempSync(join(tmpdir(), `weft-kernel-${process.pid}-`));
  readonly kernel: Kernel = createLinuxKernel({ runDir: this.runDir, instance: 'test' });
  readonly #names: string[] = [];
  readonly #taps: Tap[] = [];
  readonly #namespaces: Namespace[] = [];
  readonly #children: ChildProcess[] = [];

  /** A name for a namespace that is removed at the end, whoever makes it. */
  name(): string {
    serial += 1;
    const name = `wk${process.pid}n${serial}`;
    this.#names.push(name);
    return name;
  }

  /** A namespace that weft made. */
  async place(): Promise<Place> {
    const name = this.name();
    return { name, namespace: this.keep(await this.kernel.createNamespace(name)) };
  }

  /** A namespace that another program made. */
  async foreignPlace(): Promise<Place> {
    const name = this.name();
    run('ip', 'netns', 'add', name);
    return { name, namespace: this.keep(await this.kernel.openNamespace(`/run/netns/${name}`)) };
  }

  /** Closed at the end. */
  keep(namespace: Namespace): Namespace {
    this.#namespaces.push(namespace);
    return namespace;
  }

  async tap(place: Place, request: TapRequest): Promise<Tap> {
    return this.own(await this.kernel.createTap(place.namespace, request));
  }

  /** Removed at the end. */
  own(tap: Tap): Tap {
    this.#taps.push(tap);
    return tap;
  }

  /** A program in a namespace, killed at the end. */
  start(name: string, ...command: string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', name, ...command], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#children.push(child);
    return child;
  }

  /** Killed at the end. */
  ownChild(child: ChildProcess): ChildProcess {
    this.#children.push(child);
    return child;
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    }
    for (const tap of this.#taps) await this.kernel.removeTap(tap);
    for (const namespace of this.#namespaces) this.kernel.closeNamespace(namespace);
    const left = new Set(
      run('ip', 'netns', 'list')
        .split('\n')
        .map((line) => line.split(' ')[0]),
    );
    for (const name of this.#names) if (left.has(name)) run('ip', 'netns', 'del', name);
    rmSync(this.runDir, { recursive: true, force: true });
    this.kernel.closeNamespace(this.kernel.hostNamespace());
  }
}

/** A request that works in an empty namespace; `changes` override. */
export function tapRequest(changes: Partial<TapRequest> = {}): TapRequest {
  return {
    ifname: 'eth0',
    alias: 'weft:test:one',
    mac: '02:00:00:00:00:0a',
    mtu: 1400,
    addresses: ['192.0.2.2/24', '2001:db8::2/64'],
    routes: [
      { destination: '0.0.0.0/0', gateway: '192.0.2.1', metric: 0 },
      { destination: '::/0', gateway: '2001:db8::1', metric: 0 },
    ],
    offload: true,
    hostSide: false,
    ...changes,
  };
}

/** Runs a program to its end; throws with its output when it fails. */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** `ip -n NAME ...`. */
export function ip(name: string, ...args: string[]): string {
  return run('ip', '-n', name, ...args);
}

export interface IpLink {
  ifname: string;
  address: string;
  mtu: number;
  operstate: string;
  flags: string[];
  ifalias?: string;
  linkinfo?: { info_kind: string; info_data: Record<string, unknown> };
  addr_info?: { local: string; prefixlen: number; broadcast?: string; scope: string; nodad?: boolean }[];
}

/** What `ip -json -details` says of the links of a namespace, loopback left out. */
export function links(name: string): IpLink[] {
  const all = JSON.parse(ip(name, '-json', '-details', 'address', 'show') || '[]') as IpLink[];
  return all.filter((link) => link.ifname !== 'lo');
}

export function link(name: string, ifname = 'eth0'): IpLink {
  const found = links(name).find((each) => each.ifname === ifname);
  assert.ok(found, `no ${ifname} in ${name}`);
  return found;
}

/** Addresses of an interface as `ADDRESS/LENGTH`, without link-local ones. */
export function addresses(name: string, ifname = 'eth0'): string[] {
  const list = link(name, ifname).addr_info ?? [];
  return list.filter(({ scope }) => scope === 'global').map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

/** Routes that are not the kernel's own, e.g. `default via 192.0.2.1 dev eth0 proto 119`. */
export function routes(name: string): string[] {
  const text = ip(name, 'route', 'show') + ip(name, '-6', 'route', 'show');
  const lines = text.split('\n').map((line) => line.trim().replace(/ linkdown| pref \w+/g, ''));
  return lines.filter((line) => line !== '' && !line.includes('proto kernel'));
}

/** Everything that a failed request must leave as it was; not the carrier, which the kernel reports late. */
export function snapshot(name: string): string {
  const isSetting = (flag: string) => flag !== 'NO-CARRIER' && flag !== 'LOWER_UP';
  const brief = links(name).map(({ ifname, address, mtu, flags }) => ({
    ifname,
    address,
    mtu,
    flags: flags.filter(isSetting),
  }));
  const all = links(name).map((each) => ({ ifname: each.ifname, addresses: addresses(name, each.ifname) }));
  return JSON.stringify({ brief, all, routes: routes(name) }, null, 1);
}

/** Asserts a `KernelError` with this symbol, whose message names call, subject and symbol. */
export async function rejectsWith(promise: Promise<unknown>, errno: string, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof KernelError, String(error));
    assert.equal(error.errno, errno);
    assert.match(error.message, message);
    assert.ok(error.message.startsWith(`${error.call} on ${error.subject}: ${errno} (`));
    return true;
  });
}

/** Frames waiting in a TAP, behind the vnet header. */
export function framesOf(tap: Tap): Buffer[] {
  const frames: Buffer[] = [];
  const room = Buffer.alloc(70_000);
  for (let i = 0; i < 1000; i++) {
    try {
      frames.push(Buffer.from(room.subarray(tap.headerBytes, readSync(tap.fd, room))));
    } catch {
      break; // EAGAIN: no more
    }
  }
  return frames;
}

/** Waits until the condition holds, at most `ms`; returns whether it did. */
export async function until(condition: () => boolean, ms: number): Promise<boolean> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) return false;
    await sleep(20);
  }
  return true;
}
