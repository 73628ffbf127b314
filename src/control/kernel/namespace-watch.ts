/**
 * Notices when a namespace is gone: its path no longer names it and no process is in it.
 *
 * How, and what it costs: nothing in the kernel tells of the end of a namespace to somebody who holds it open, so this
 * looks, twice a second, with one timer for all watches. The look must be cheap when there are hundreds:
 *  - a name in a directory: inotify tells which names came or went there, at no cost in between;
 *  - a process: kill(pid, 0) tells whether it is there;
 *  - and each look compares (device, inode) of a slice of all paths, in turn, which finds the rest: an unmount that
 *    leaves the name, a process that went elsewhere, a directory that inotify cannot watch.
 * Only a namespace whose path was found lost is searched for among all processes.
 *
 * Reuse cannot deceive: as long as the `Namespace` is open its inode number stays taken, so a reused pid or path shows
 * another one. Processes of which only a thread other than the first is in the namespace are not seen.
 */
import { type FSWatcher, readdirSync, type Stats, statSync, watch as watchDirectory } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Namespace, NamespaceWatch } from './kernel.js';

const LOOK_MS = 500;
/** Paths compared at each look beside those that are suspected. */
const SLICE = 16;

interface Watch {
  namespace: Namespace;
  directory: string;
  name: string;
  /** Process by which it is known, null when it is known by a name in a directory. */
  pid: number | null;
  gone: () => void;
  /** Whether the path has been found to lead elsewhere; then `resident` is a process that was seen inside. */
  isLost: boolean;
  /** Whether its name came or went since the last look. */
  isHinted: boolean;
  resident: number | null;
}

export class NamespaceWatcher {
  readonly #watches = new Set<Watch>();
  readonly #directories = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | null = null;
  /** Watches not yet compared in this round. */
  #round: Iterator<Watch> = [].values();

  /** `gone` is called once, from a timer, never before this returns. `pid`: process by which the namespace is known. */
  watch(namespace: Namespace, pid: number | null, gone: () => void): NamespaceWatch {
    const { path } = namespace;
    const place = { directory: dirname(path), name: basename(path), pid: pid ?? pidOf(path) };
    const watch: Watch = { namespace, ...place, gone, isLost: false, isHinted: false, resident: null };
    this.#watches.add(watch);
    if (watch.pid === null) this.#listen(watch.directory);
    this.#timer ??= setInterval(() => this.look(), LOOK_MS).unref();
    return { stop: () => this.#remove(watch) };
  }

  /** One look at everything; the timer calls it. */
  look(): void {
    const suspects = this.#slice();
    for (const watch of this.#watches) {
      const hasEnded = watch.pid !== null && !isAlive(watch.pid);
      if (watch.isLost || watch.isHinted || hasEnded) suspects.add(watch);
      watch.isHinted = false;
    }
    const lost = [...suspects].filter((watch) => this.#watches.has(watch) && !isAt(watch, watch.namespace.path));
    for (const watch of suspects) watch.isLost = lost.includes(watch);
    this.#settle(lost.filter((watch) => watch.resident === null || !isAt(watch, namespacePath(watch.resident))));
  }

  #remove(watch: Watch): void {
    this.#watches.delete(watch);
    const { directory } = watch;
    if (![...this.#watches].some((other) => other.pid === null && other.directory === directory))
      this.#ignore(directory);
    if (this.#watches.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Where inotify has no room, or there is no such directory, the slices must do. */
  #listen(directory: string): void {
    if (this.#directories.has(directory)) return;
    try {
      const listener = watchDirectory(directory, { persistent: false }, (_, name) => this.#hint(directory, name));
      listener.on('error', () => this.#ignore(directory));
      this.#directories.set(directory, listener);
    } catch {
      // see above
    }
  }

  #ignore(directory: string): void {
    this.#directories.get(directory)?.close();
    this.#directories.delete(directory);
  }

  /** `name`: null when the system does not say which. */
  #hint(directory: string, name: string | null): void {
    for (const watch of this.#watches) {
      if (watch.directory === directory && (name === null || watch.name === name)) watch.isHinted = true;
    }
  }

  /** The next watches of the round, a few at each look. */
  #slice(): Set<Watch> {
    const slice = new Set<Watch>();
    for (let i = Math.min(SLICE, this.#watches.size); i > 0; i--) {
      let next = this.#round.next();
      if (next.done) {
        this.#round = this.#watches.values();
        next = this.#round.next();
      }
      if (!next.done) slice.add(next.value);
    }
    return slice;
  }

  /** Searches all processes, once for all, and reports the namespaces in which there is none. */
  #settle(lost: Watch[]): void {
    if (lost.length === 0) return;
    const residents = residentsOf(lost);
    for (const watch of lost) {
      watch.resident = residents.get(watch) ?? null;
      if (watch.resident !== null) continue;
      this.#remove(watch);
      watch.gone();
    }
  }
}

/** A process for each namespace in which there is one. weft's own process does not count. */
function residentsOf(watches: Watch[]): Map<Watch, number> {
  const residents = new Map<Watch, number>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const stats = statOf(namespacePath(Number(entry)));
    if (stats === null) continue;
    for (const watch of watches) if (isNamespace(stats, watch.namespace)) residents.set(watch, Number(entry));
  }
  return residents;
}

function isAt(watch: Watch, path: string): boolean {
  const stats = statOf(path);
  return stats !== null && isNamespace(stats, watch.namespace);
}

function isNamespace(stats: Stats, namespace: Namespace): boolean {
  return stats.ino === namespace.inode && stats.dev === namespace.device;
}

/** null when the path leads nowhere (or, for a process, when it has just ended). */
function statOf(path: string): Stats | null {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function namespacePath(pid: number): string {
  return `/proc/${pid}/ns/net`;
}

/** The process of a path like /proc/PID/ns/net. */
function pidOf(path: string): number | null {
  const pid = /^\/proc\/(\d+)\//.exec(path)?.[1];
  return pid === undefined ? null : Number(pid);
}
