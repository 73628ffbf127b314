/**
 * What weft changes of a namespace that an uplink or the VTEP of a TAP leads into: forwarding, addresses that it answers for, and one
 * nftables table of weft's own. All of it is taken back when the last one leaves, by this daemon or, after a crash, by the next one: a mark RUN_DIR/routing/ID is
 * written before anything changes and removed when everything is as it was.
 *
 * Several daemons may have uplinks in one namespace. The settings of before are put back by the last one that leaves, so each table
 * also carries them, as names of empty chains, for daemons that come while all is on already.
 *
 * The table is always replaced whole, in one transaction, so no packet ever meets half of it.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type FormerSettings,
  isForwardingSetting,
  missingForwarding,
  restoreSettings,
  setLoopbackRouting,
  startForwarding,
} from './forwarding.js';
import { KernelError, type Namespace, type ProxyNeighbour, type RoutingRequest } from './kernel.js';
import { fileError, isErrno } from './kernel-error.js';
import { listLinks } from './links.js';
import { nftChains, nftTables, runNft } from './nft.js';
import { isSameProxy, setProxies } from './proxy-neighbours.js';
import { withRtnetlink } from './rtnetlink.js';

interface Mark {
  path: string;
  device: number;
  inode: number;
  /** Name of the table when there is one. */
  table: string | null;
  former: FormerSettings;
  /** Left out by daemons that knew none. */
  proxies?: ProxyNeighbour[];
}

export const TABLE_PREFIX = 'weft_';
/** Chains whose names remember a setting. */
const MEMORY_PREFIX = 'was_';

/** The table of a daemon. */
export function tableOf(instance: string): string {
  return `${TABLE_PREFIX}${instance.replaceAll('-', '_')}`;
}

export class NamespaceRouting {
  readonly #directory: string;
  readonly #table: string;
  readonly #instance: string;

  /** `instance`: several daemons may have tables in one namespace. */
  constructor(runDir: string, instance: string) {
    this.#directory = join(runDir, 'routing');
    this.#instance = instance;
    this.#table = tableOf(instance);
  }

  /** See Kernel.setRouting. */
  async set(namespace: Namespace, request: RoutingRequest): Promise<string[]> {
    const before = this.#read(namespace);
    const mark: Mark = before ?? { ...identity(namespace), table: null, former: {} };
    if (request.rules !== null) mark.table = this.#table;
    const inherited = before === null && request.rules !== null ? await this.#inherit(namespace) : {};
    const missing = missingForwarding(namespace.fd, request);
    mark.former = { ...inherited, ...missing, ...mark.former };
    const staleProxies = (before?.proxies ?? []).filter(
      (each) => !request.proxies.some((kept) => isSameProxy(each, kept)),
    );
    mark.proxies = [...staleProxies, ...request.proxies];
    // Before the first change: a crash in between leaves a mark of something that is not there, which is harmless.
    this.#write(mark);
    try {
      startForwarding(namespace.fd, missing);
      // Loopback addresses pass only while the rules guard those of the machine.
      if (request.rules === null) setLoopbackRouting(namespace.fd, request.taps, false);
      if (request.rules !== null) await runNft(namespace.fd, replacement(this.#table, request.rules, mark.former));
      else await this.#removeTable(namespace, mark);
      if (request.rules !== null) setLoopbackRouting(namespace.fd, request.taps, true);
      if (mark.proxies.length > 0) await setProxies(namespace, request.proxies, staleProxies);
      if (staleProxies.length > 0) this.#write({ ...mark, proxies: request.proxies });
    } catch (error) {
      if (before === null) await this.clear(namespace);
      throw error;
    }
    return Object.keys(missing).map((path) => path.replace('/proc/sys/', '').replaceAll('/', '.'));
  }

  /** See Kernel.clearRouting. */
  async clear(namespace: Namespace): Promise<void> {
    const mark = this.#read(namespace);
    if (mark === null) return;
    await this.#removeTable(namespace, mark);
    if (mark.proxies !== undefined && mark.proxies.length > 0) await setProxies(namespace, [], mark.proxies);
    if (!(await this.#hasOthers(namespace))) restoreSettings(namespace.fd, mark.former);
    rmSync(this.#file(namespace), { force: true });
  }

  /** See Kernel.routedNamespaces. */
  marks(): { path: string; device: number; inode: number; forget(): void }[] {
    return this.#files().flatMap((file) => {
      const mark = parse(file);
      const forget = () => rmSync(file, { force: true });
      return mark === null ? [] : [{ path: mark.path, device: mark.device, inode: mark.inode, forget }];
    });
  }

  /** What other daemons there remember. */
  async #inherit(namespace: Namespace): Promise<FormerSettings> {
    const chains = await nftChains(namespace.fd, TABLE_PREFIX, MEMORY_PREFIX);
    return Object.fromEntries(chains.filter(({ table }) => table !== this.#table).flatMap(({ name }) => recall(name)));
  }

  async #hasOthers(namespace: Namespace): Promise<boolean> {
    const links = await withRtnetlink(namespace.fd, listLinks);
    const own = `weft:${this.#instance}:`;
    return links.some(({ alias }) => /^weft:[^:]+:(uplink|vtep)\./.test(alias) && !alias.startsWith(own));
  }

  async #removeTable(namespace: Namespace, mark: Mark): Promise<void> {
    if (mark.table === null) return;
    if ((await nftTables(namespace.fd, mark.table)).includes(mark.table)) {
      await runNft(namespace.fd, `delete table inet ${mark.table}\n`);
    }
    mark.table = null;
    this.#write(mark);
  }

  #read(namespace: Namespace): Mark | null {
    return parse(this.#file(namespace));
  }

  #write(mark: Mark): void {
    const file = this.#file(mark);
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o755 });
      writeFileSync(`${file}.new`, JSON.stringify(mark), { mode: 0o644 });
      renameSync(`${file}.new`, file);
    } catch (error) {
      throw fileError('write', file, error);
    }
  }

  #files(): string[] {
    try {
      const names = readdirSync(this.#directory).filter((name) => name.endsWith('.json'));
      return names.map((name) => join(this.#directory, name));
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw fileError('readdir', this.#directory, error);
    }
  }

  #file({ device, inode }: { device: number; inode: number }): string {
    return join(this.#directory, `${device}-${inode}.json`);
  }
}

/** A table is added first, because one that is not there cannot be deleted. */
function replacement(table: string, rules: string, former: FormerSettings): string {
  const memory = Object.entries(former).map(([path, value]) => `  chain ${memoryOf(path, value)} {\n  }\n`);
  return `table inet ${table}\ndelete table inet ${table}\ntable inet ${table} {\n${rules}${memory.join('')}}\n`;
}

/** Names of chains have letters, digits and few other characters. */
function memoryOf(path: string, value: string): string {
  return `${MEMORY_PREFIX}${Buffer.from(path).toString('hex')}_${Buffer.from(value).toString('hex')}`;
}

/** Nothing for what is no setting of the network: tables are anybody's to write. */
function recall(chain: string): [string, string][] {
  const [path = '', value = ''] = chain
    .slice(MEMORY_PREFIX.length)
    .split('_')
    .map((hex) => Buffer.from(hex, 'hex').toString());
  return isForwardingSetting(path) && /^\d{1,9}$/.test(value) ? [[path, value]] : [];
}

function identity({ path, device, inode }: Namespace): { path: string; device: number; inode: number } {
  return { path, device, inode };
}

/** null for a file that is not there or cannot be read: then nothing is known to put back. */
function parse(file: string): Mark | null {
  try {
    const mark = JSON.parse(readFileSync(file, 'utf8')) as Mark;
    return typeof mark.former === 'object' && typeof mark.path === 'string' ? mark : null;
  } catch (error) {
    if (error instanceof SyntaxError || isErrno(error, 'ENOENT')) return null;
    if (error instanceof KernelError) throw error;
    throw fileError('read', file, error);
  }
}
