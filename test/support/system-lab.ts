/**
 * A lab for system tests: a daemon (or several), names and subnets that nobody else on the machine uses, namespaces of the
 * test's own, and a clean-up that runs whatever happened and then proves that nothing was left behind.
 *
 * `useLab()` inside a `describe` starts the daemon before its first test and closes the lab after its last. Closing deletes
 * everything through the daemon, ends it with SIGTERM, and looks for leftovers: namespaces, mounts, TAPs, markers and
 * processes. What it finds is removed and then reported as a failure, because weft removes what weft creates.
 * Only things that carry this lab's prefix or its daemons' instance are ever touched.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Daemon } from './system-daemon.js';
import { Background, endBackground, inNamespace, must, type Outcome, type RunOptions, run } from './system-process.js';

const NAMESPACE_DIRECTORY = '/run/netns';
/** Where weft writes the resolv.conf of compartments. */
const NAMESPACE_CONFIGURATION = '/etc/netns';
let labCount = 0;

export interface Subnet {
  /** First three bytes of a /24, e.g. `198.18.7`: addresses are `${v4}.10`. */
  v4: string;
  /** First four groups of a /64, e.g. `fd5f:1:2:3`: addresses are `${v6}::10`. */
  v6: string;
}

/** One interface as `ip -json -details address` tells it; only what tests compare. */
export interface Link {
  name: string;
  mac: string;
  mtu: number;
  flags: string[];
  state: string;
  alias: string;
  addresses: string[];
}

export class Lab {
  /** Begins every name that this lab makes. */
  readonly prefix: string;
  readonly directory: string;
  readonly daemon: Daemon;
  readonly #daemons: Daemon[] = [];
  readonly #namespaces: string[] = [];
  readonly #instances = new Set<string>();
  readonly #backgrounds = new Set<Background>();
  readonly #number: number;
  #subnetCount = 0;

  constructor() {
    this.#number = labCount++;
    this.prefix = `t${process.pid}n${this.#number}`;
    this.directory = join(tmpdir(), `weft-${this.prefix}`);
    this.daemon = this.addDaemon('main');
  }

  /** Makes the directory (a lab whose tests are all filtered out makes nothing) and starts the daemon. */
  async open(): Promise<void> {
    mkdirSync(this.directory);
    await this.daemon.start();
  }

  /** Another daemon, with its own directories; not started. */
  addDaemon(name: string): Daemon {
    const daemon = new Daemon(join(this.directory, name));
    this.#daemons.push(daemon);
    return daemon;
  }

  /** A name for a compartment, network or endpoint that no other lab uses. */
  name(base: string): string {
    return `${this.prefix}-${base}`;
  }

  /** Where the namespace of the compartment lies that `name(base)` names. */
  path(base: string): string {
    return join(NAMESPACE_DIRECTORY, this.name(base));
  }

  /** A subnet of the ranges for tests (RFC 2544, RFC 4193) that this lab has not used yet. */
  subnet(): Subnet {
    const number = (process.pid * 31 + this.#number * 8 + this.#subnetCount++) % 512;
    const pid = (process.pid & 0xffff).toString(16);
    // Not zero in the last group: weft would print such an address shorter.
    const group = (number + 1).toString(16);
    return {
      v4: `198.${18 + (number >> 8)}.${number & 255}`,
      v6: `fd5f:${pid}:${this.#number.toString(16)}:${group}`,
    };
  }

  /** A namespace that weft does not own, as `ip netns add` makes it; removed when the lab closes. Returns its path. */
  async addNamespace(base: string): Promise<string> {
    await must(['ip', 'netns', 'add', this.name(base)]);
    this.#namespaces.push(this.name(base));
    await this.inside(base, ['ip', 'link', 'set', 'dev', 'lo', 'up']);
    return this.path(base);
  }

  /** Runs a program that must succeed inside a compartment or namespace of this lab; returns what it printed. */
  async inside(base: string, command: readonly string[], options: RunOptions = {}): Promise<string> {
    return await must(inNamespace(this.path(base), command), options);
  }

  /** Like `inside`, but any outcome will do. */
  async tryInside(base: string, command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return await run(inNamespace(this.path(base), command), options);
  }

  /** Starts a program inside a compartment; it is ended when the lab closes at the latest. */
  background(base: string | null, command: readonly string[]): Background {
    const started = new Background(base === null ? command : inNamespace(this.path(base), command));
    this.#backgrounds.add(started);
    return started;
  }

  /** Whether one echo request (of three, a second apart at most) to `address` is answered. */
  async pings(base: string, address: string): Promise<boolean> {
    const outcome = await this.tryInside(base, ['ping', '-n', '-q', '-c', '3', '-i', '0.2', '-W', '1', address]);
    return outcome.status === 0;
  }

  /** The interfaces in a compartment of this lab, without loopback. */
  async links(base: string): Promise<Link[]> {
    return (await readLinks(this.path(base))).filter((link) => link.name !== 'lo');
  }

  /** Deletes everything, ends everything, and fails when something was left behind. */
  async close(): Promise<void> {
    const problems: string[] = [];
    const attempt = async (work: () => Promise<unknown>): Promise<void> => {
      await work().catch((error: Error) => problems.push(error.message));
    };
    await endBackground((program) => this.#backgrounds.has(program));
    for (const daemon of this.#daemons) await attempt(() => this.#empty(daemon));
    for (const daemon of this.#daemons) await attempt(() => this.#shutDown(daemon));
    problems.push(...(await this.#leftovers()));
    for (const name of this.#namespaces) await run(['ip', 'netns', 'delete', name]);
    await this.#removeLeftovers();
    rmSync(this.directory, { recursive: true, force: true });
    assert.deepEqual(problems, [], 'the lab closes without complaint and nothing is left behind');
  }

  async #empty(daemon: Daemon): Promise<void> {
    this.#noteInstance(daemon);
    if (!daemon.isRunning) return;
    for (const endpoint of await daemon.call('GET', '/v1/endpoints')) {
      await daemon.call('DELETE', `/v1/endpoints/${endpoint.name}`);
    }
    for (const collection of ['compartments', 'networks']) {
      for (const item of await daemon.call('GET', `/v1/${collection}`)) {
        await daemon.call('DELETE', `/v1/${collection}/${item.name}?force=true`);
      }
    }
  }

  async #shutDown(daemon: Daemon): Promise<void> {
    if (!daemon.isRunning) return;
    const { status } = await daemon.terminate();
    assert.equal(status, 0, `weftd exits with 0 on SIGTERM:\n${daemon.log}`);
  }

  #noteInstance(daemon: Daemon): void {
    const file = join(daemon.stateDir, 'state.json');
    if (!existsSync(file)) return;
    try {
      this.#instances.add(JSON.parse(readFileSync(file, 'utf8')).instance);
    } catch {
      // A test damaged it on purpose; the daemon has written a new one since, or never ran again.
    }
  }

  async #leftovers(): Promise<string[]> {
    const found: string[] = [];
    for (const name of this.#ownNamespaces()) {
      if (!this.#namespaces.includes(name)) found.push(`namespace ${name} is left`);
    }
    for (const name of this.#namespaces.filter((item) => existsSync(join(NAMESPACE_DIRECTORY, item)))) {
      for (const link of await readLinks(join(NAMESPACE_DIRECTORY, name)).catch(() => [])) {
        if (this.#isOurs(link)) found.push(`interface ${link.name} (${link.alias}) is left in ${name}`);
      }
    }
    for (const link of await readLinks(null)) {
      if (this.#isOurs(link)) found.push(`interface ${link.name} (${link.alias}) is left on the host`);
    }
    for (const daemon of this.#daemons) {
      for (const directory of ['owned', 'routing']) {
        const markers = join(daemon.runDir, directory);
        if (existsSync(markers)) found.push(...readdirSync(markers).map((name) => `marker ${name} is left`));
      }
    }
    if (existsSync(NAMESPACE_CONFIGURATION)) {
      const files = readdirSync(NAMESPACE_CONFIGURATION).filter((name) => name.startsWith(`${this.prefix}-`));
      found.push(...files.map((name) => `${join(NAMESPACE_CONFIGURATION, name)} is left`));
    }
    found.push(...this.#processes().map((pid) => `process ${pid} still runs`));
    return found;
  }

  async #removeLeftovers(): Promise<void> {
    for (const pid of this.#processes()) process.kill(pid, 'SIGKILL');
    for (const name of this.#ownNamespaces()) await run(['ip', 'netns', 'delete', name]);
    for (const name of existsSync(NAMESPACE_CONFIGURATION) ? readdirSync(NAMESPACE_CONFIGURATION) : []) {
      if (!name.startsWith(`${this.prefix}-`)) continue;
      rmSync(join(NAMESPACE_CONFIGURATION, name), { recursive: true, force: true });
    }
    for (const link of await readLinks(null)) {
      if (this.#isOurs(link)) await run(['ip', 'link', 'delete', 'dev', link.name]);
    }
  }

  #ownNamespaces(): string[] {
    if (!existsSync(NAMESPACE_DIRECTORY)) return [];
    return readdirSync(NAMESPACE_DIRECTORY).filter((name) => name.startsWith(`${this.prefix}-`));
  }

  #isOurs(link: Link): boolean {
    return [...this.#instances].some((instance) => link.alias.startsWith(`weft:${instance}:`));
  }

  /** Processes that have this lab's directory on their command line. */
  #processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .filter((name) => {
        try {
          return readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(this.directory);
        } catch {
          return false; // ended meanwhile
        }
      })
      .map(Number);
  }
}

/** The interfaces of the namespace that `path` names, or of the test's own when null. */
export async function readLinks(path: string | null): Promise<Link[]> {
  const command = ['ip', '-json', '-details', 'address', 'show'];
  const text = await must(path === null ? command : inNamespace(path, command));
  // biome-ignore lint/suspicious/noExplicitAny: the output of another program
  return JSON.parse(text).map((item: any) => ({
    name: item.ifname,
    mac: item.address ?? '',
    mtu: item.mtu,
    flags: item.flags,
    state: item.operstate,
    alias: item.ifalias ?? '',
    addresses: item.addr_info
      // biome-ignore lint/suspicious/noExplicitAny: the output of another program
      .map((address: any) => `${address.local}/${address.prefixlen}`)
      .sort(),
  }));
}

/**
 * A lab for the suite that calls this: its daemon runs before the first test, and it is closed after the last. `prepare` comes
 * before the daemon starts.
 */
export function useLab(timeoutMs = 120_000, prepare: (lab: Lab) => Promise<void> = async () => {}): Lab {
  const lab = new Lab();
  before(async function startLab() {
    this.timeout(timeoutMs);
    await prepare(lab);
    await lab.open();
  });
  afterEach(function showLog() {
    if (this.currentTest?.state !== 'failed') return;
    process.stderr.write(`the end of weftd's log:\n${lab.daemon.log.split('\n').slice(-30).join('\n')}\n`);
  });
  after(async function closeLab() {
    this.timeout(timeoutMs);
    await lab.close();
  });
  return lab;
}
