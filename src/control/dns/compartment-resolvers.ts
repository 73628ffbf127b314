/**
 * The resolv.conf of compartments that weft made: /etc/netns/NAME/resolv.conf, which `weft exec` and `ip netns exec` show to
 * the programs that they start as /etc/resolv.conf (ip-netns(8)). It names the DNS servers of the networks that the
 * compartment is on.
 *
 * Compartments that ask DHCP have one as well: it says what DHCP would, and a DHCP client that `weft exec` has started writes its
 * own into this file, instead of into that of the machine.
 *
 * A file that weft did not write is never touched, and one that it wrote goes with the compartment. Written in place, so that
 * programs that see it at another place see the change.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isOwned } from '../../model/compartment-request.js';
import type { CompartmentRecord, DesiredState } from '../../model/desired-state.js';
import { servesDns } from './zone-source.js';

/** Where ip-netns(8) looks. */
export const NETNS_CONFIGURATION = '/etc/netns';
const FILE = 'resolv.conf';
/** MAXNS of the C library: it reads no more. */
const MOST_SERVERS = 3;
const MADE_DIRECTORY = '# So is the directory.';
const MARK = '# Written by weft ';

/** What of an event matters here. */
export interface Happening {
  object: string;
  name: string;
}

export class CompartmentResolvers {
  private readonly state: DesiredState;
  private readonly directory: string;
  private readonly complain: (message: string) => void;
  private hasComplained = false;
  /** Compartment of each endpoint when it was last looked at. */
  private readonly placed = new Map<string, string>();
  /** Files that weft has made, by compartment: they go with it, also when a program in it has put something else there. */
  private readonly made = new Map<string, { identity: string; hasDirectory: boolean }>();

  /** `complain`: hears of the first file that cannot be written. */
  constructor(state: DesiredState, directory: string, complain: (message: string) => void) {
    this.state = state;
    this.directory = directory;
    this.complain = complain;
  }

  /** When the daemon starts: everything as the state wants it, and nothing left of compartments that are gone. */
  refreshAll(): void {
    for (const name of this.written()) if (!this.state.compartments.has(name)) this.remove(name);
    for (const record of this.state.endpoints.values()) this.place(record.spec.name);
    for (const name of this.state.compartments.keys()) this.refresh(name);
  }

  /** After each event. */
  update({ object, name }: Happening): void {
    if (object === 'compartment') this.refresh(name);
    if (object === 'endpoint') for (const compartment of this.place(name)) this.refresh(compartment);
    if (object === 'network') for (const compartment of this.on(name)) this.refresh(compartment);
  }

  /** Where the endpoint was and is. */
  private place(endpoint: string): Set<string> {
    const touched = new Set<string>();
    const former = this.placed.get(endpoint);
    if (former !== undefined) touched.add(former);
    const present = this.state.endpoints.get(endpoint)?.spec.compartment ?? null;
    if (present === null) this.placed.delete(endpoint);
    else {
      this.placed.set(endpoint, present);
      touched.add(present);
    }
    return touched;
  }

  /** Compartments with endpoints on the network. */
  private on(network: string): Set<string> {
    const compartments = new Set<string>();
    for (const endpoint of this.state.networks.get(network)?.endpoints ?? []) {
      const compartment = this.state.endpoints.get(endpoint)?.spec.compartment;
      if (compartment) compartments.add(compartment);
    }
    return compartments;
  }

  private refresh(name: string): void {
    const record = this.state.compartments.get(name);
    const lines = record === undefined || !isOwned(record.spec) ? null : this.linesOf(record);
    try {
      if (lines === null) this.remove(name);
      else this.write(name, lines);
      if (record === undefined) this.removeMade(name);
    } catch (error) {
      if (this.hasComplained) return;
      this.hasComplained = true;
      const reason = (error as Error).message;
      this.complain(
        `${join(this.directory, name, FILE)} could not be written, so programs there ask the host's resolvers: ${reason}`,
      );
    }
  }

  /**
   * null: no network of the compartment has a DNS server. The endpoint of the first default route comes first, those that ask DHCP,
   * and may not have an address, last.
   */
  private linesOf({ endpoints }: CompartmentRecord): string | null {
    const records = [...endpoints].flatMap((name) => this.state.endpoints.get(name) ?? []);
    const isAsking = ({ spec }: (typeof records)[number]) => Number(!spec.configure);
    records.sort((a, b) => isAsking(a) - isAsking(b) || a.metric - b.metric);
    const networks = [...new Set(records.map(({ spec }) => spec.network))].flatMap((name) => {
      const record = this.state.networks.get(name);
      return record !== undefined && servesDns(record) ? [record.spec] : [];
    });
    if (networks.length === 0) return null;
    const servers = networks.flatMap(({ gateway }) => gateway).slice(0, MOST_SERVERS);
    const domains = [...new Set(networks.map(({ dns }) => dns!.domain))];
    return [...servers.map((address) => `nameserver ${address}`), `search ${domains.join(' ')}`, ''].join('\n');
  }

  private write(name: string, lines: string): void {
    const path = join(this.directory, name, FILE);
    const present = readOrNull(path);
    if (present !== null && !this.isOurs(present)) return;
    let hasMade = present?.includes(MADE_DIRECTORY) ?? false;
    if (present === null) {
      mkdirSync(this.directory, { recursive: true, mode: 0o755 });
      hasMade = makeDirectory(dirname(path));
    }
    const text = `${this.mark}\n${hasMade ? `${MADE_DIRECTORY}\n` : ''}${lines}`;
    if (text !== present) {
      writeFileSync(path, text);
      // Whatever the umask of a service is: programs of every user read it.
      chmodSync(path, 0o644);
    }
    this.made.set(name, { identity: identityOf(path), hasDirectory: hasMade });
  }

  private remove(name: string): void {
    const path = join(this.directory, name, FILE);
    const present = readOrNull(path);
    if (present === null || !this.isOurs(present)) return;
    rmSync(path, { force: true });
    if (present.includes(MADE_DIRECTORY)) removeIfEmpty(dirname(path));
  }

  /** The compartment is gone: so is what its programs wrote into the file that weft had made for them. */
  private removeMade(name: string): void {
    const made = this.made.get(name);
    this.made.delete(name);
    const path = join(this.directory, name, FILE);
    if (made === undefined || readOrNull(path) === null || identityOf(path) !== made.identity) return;
    rmSync(path, { force: true });
    if (made.hasDirectory) removeIfEmpty(dirname(path));
  }

  /** Names of the directories in which weft's own file lies. */
  private written(): string[] {
    try {
      return readdirSync(this.directory).filter((name) => {
        const text = readOrNull(join(this.directory, name, FILE));
        return text !== null && this.isOurs(text);
      });
    } catch {
      return []; // there is no such directory
    }
  }

  private isOurs(text: string): boolean {
    return text.startsWith(`${this.mark}\n`);
  }

  private get mark(): string {
    return `${MARK}${this.state.instance}, which removes it with the compartment.`;
  }
}

/** Whether the file of that compartment is one that some daemon has written. */
export function writtenByWeft(directory: string, name: string): boolean {
  return readOrNull(join(directory, name, FILE))?.startsWith(MARK) ?? false;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** Numbers of files are given out again; the time of birth goes with them. */
function identityOf(path: string): string {
  const { dev, ino, birthtimeMs } = statSync(path);
  return `${dev} ${ino} ${birthtimeMs}`;
}

/** False when there is one already. */
function makeDirectory(path: string): boolean {
  const hasMade = mkdirSync(path, { recursive: true, mode: 0o755 }) !== undefined;
  if (hasMade) chmodSync(path, 0o755);
  return hasMade;
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Somebody has put something else there.
  }
}
