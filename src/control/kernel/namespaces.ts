/**
 * Network namespaces: opening any, making and removing weft's own in /run/netns, where `ip netns` sees them too.
 *
 * Ownership survives a crash: a marker file RUN_DIR/owned/NAME is written before the namespace is made, completed with
 * its identity (device, inode) afterwards, and removed after it. A namespace is removed only if it is the one of the
 * marker: one that another program made later under the same name is not touched.
 *
 * Invariant: whoever gets a `Namespace` closes it; while it is open, its inode number is not given to another.
 */
import { lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../native/index.js';
import { KernelError, type Namespace } from './kernel.js';
import { check, fileError, isErrno, kernelError } from './kernel-error.js';

/** Where iproute2 keeps its namespaces. */
export const NETNS_DIRECTORY = '/run/netns';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/**
 * Without an identity in the marker (killed in between), the namespace is weft's if it was born right after the marker.
 */
const BIRTH_MS = 2000;
/** Timestamps of files are taken from the last timer tick. */
const TICK_MS = 20;

interface Marker {
  name: string;
  boot: string;
  /** null until the namespace is made. */
  device: number | null;
  inode: number | null;
}

/** `half-made`: the file is there, but no namespace is mounted on it (yet, or any more). */
type Ownership = 'ours' | 'gone' | 'foreign' | 'half-made';

export class Namespaces {
  readonly #markers: string;

  /** `runDir`: made when needed. */
  constructor(runDir: string) {
    this.#markers = join(runDir, 'owned');
  }

  /** Rejects a file that is no network namespace with EINVAL. */
  open(path: string): Namespace {
    const fd = check('open', path, native.openNamespace(path));
    const identity = new Float64Array(2);
    const result = native.namespaceIdentity(fd, identity);
    if (result < 0) {
      native.closeFd(fd);
      throw kernelError('fstat', path, result);
    }
    return { fd, path, device: identity[0] ?? 0, inode: identity[1] ?? 0 };
  }

  close(namespace: Namespace): void {
    native.closeFd(namespace.fd);
  }

  /** Throws EEXIST when the name is taken by a namespace. */
  create(name: string): Namespace {
    const path = pathOf(name);
    if (this.#ownership(name) === 'half-made') native.removeNamespace(path);
    if (lstatSync(path, { throwIfNoEntry: false }))
      throw new KernelError('create', path, 'EEXIST', 'there is one already');
    this.#write({ name, boot: bootId(), device: null, inode: null });
    try {
      check('create', path, native.createNamespace(path));
    } catch (error) {
      this.#forget(name);
      throw error;
    }
    try {
      const namespace = this.open(path);
      this.#write({ name, boot: bootId(), device: namespace.device, inode: namespace.inode });
      return namespace;
    } catch (error) {
      native.removeNamespace(path);
      this.#forget(name);
      throw error;
    }
  }

  /** Does nothing to a namespace that is not weft's. */
  remove(name: string): void {
    const path = pathOf(name);
    const ownership = this.#ownership(name);
    if (ownership === 'ours' || ownership === 'half-made') {
      const result = native.removeNamespace(path);
      if (result < 0 && !isErrno(kernelError('umount', path, result), 'ENOENT'))
        throw kernelError('umount', path, result);
    }
    this.#forget(name);
  }

  /** Names of weft's own. Forgets those that are gone, and finishes removals that were interrupted. */
  owned(): string[] {
    this.#removeDrafts();
    const names: string[] = [];
    for (const name of this.markers()) {
      if (this.#ownership(name) === 'ours') names.push(name);
      else this.remove(name);
    }
    return names;
  }

  /** Names in the markers, whether or not the namespaces are there. */
  markers(): string[] {
    const files = this.#files().filter((file) => !file.startsWith('.'));
    return files.map(decodeURIComponent).sort();
  }

  #ownership(name: string): Ownership {
    const path = pathOf(name);
    const file = this.#markerPath(name);
    const born = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
    const namespace = statSync(path, { throwIfNoEntry: false });
    if (namespace === undefined) return 'gone';
    if (born === undefined) return 'foreign';
    const marker = this.#read(file);
    if (marker?.boot !== bootId()) return 'foreign';
    if (!isNamespace(path)) return namespace.isFile() && namespace.size === 0 ? 'half-made' : 'foreign';
    if (marker.inode === null) {
      const age = namespace.mtimeMs - born;
      return age > -TICK_MS && age < BIRTH_MS ? 'ours' : 'foreign';
    }
    return marker.device === namespace.dev && marker.inode === namespace.ino ? 'ours' : 'foreign';
  }

  #read(file: string): Marker | null {
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as Marker;
    } catch {
      return null; // unreadable: proves nothing
    }
  }

  #write(marker: Marker): void {
    const file = this.#markerPath(marker.name);
    const draft = join(this.#markers, `.${encodeURIComponent(marker.name)}`);
    try {
      mkdirSync(this.#markers, { recursive: true, mode: 0o755 });
      writeFileSync(draft, JSON.stringify(marker), { mode: 0o644 });
      renameSync(draft, file);
    } catch (error) {
      throw fileError('write', file, error);
    }
  }

  /** What a `kill -9` between the two steps of #write leaves. */
  #removeDrafts(): void {
    for (const file of this.#files()) if (file.startsWith('.')) rmSync(join(this.#markers, file), { force: true });
  }

  #files(): string[] {
    try {
      return readdirSync(this.#markers);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw fileError('readdir', this.#markers, error);
    }
  }

  #forget(name: string): void {
    rmSync(this.#markerPath(name), { force: true });
  }

  #markerPath(name: string): string {
    return join(this.#markers, encodeURIComponent(name));
  }
}

/** Throws EINVAL for a name that would lead out of the directory. */
export function pathOf(name: string): string {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new KernelError('create', JSON.stringify(name), 'EINVAL', 'no name for a namespace');
  }
  return join(NETNS_DIRECTORY, name);
}

function isNamespace(path: string): boolean {
  const fd = native.openNamespace(path);
  if (fd >= 0) native.closeFd(fd);
  return fd >= 0;
}

/** Changes at every boot: inode numbers of an earlier one mean nothing. */
function bootId(): string {
  return readFileSync(BOOT_ID, 'utf8').trim();
}
