/**
 * The durable desired state: STATE_DIR/state.json, and the right to write it.
 *
 * A save replaces the file as a whole: write a new one, fsync, rename, fsync the directory. So whatever the moment of a
 * crash, the file is the state before or after. A file that cannot be read is set aside under another name, never lost, and
 * one of an older version is kept as `state.json.version-N` before it is replaced.
 * The directory is locked (state-lock.ts), because two daemons that write one state would undo each other's work.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, fdatasync, fsync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { MAX_NETWORKS, MAX_PORTS } from '../../datapath/program.js';
import type { Limits } from '../../model/capacity.js';
import { DesiredState } from '../../model/desired-state.js';
import { formatState, parseState, type SavedCapture } from '../../model/state-file.js';
import { STATE_VERSION } from '../../model/state-migrations.js';
import { lockDirectory, type StateLock } from './state-lock.js';

export const LIMITS: Limits = { networks: MAX_NETWORKS, ports: MAX_PORTS };

const flushData = promisify(fdatasync);
const flush = promisify(fsync);

/** A fault that keeps the daemon from starting, said so that the operator can act on it. */
export class StartupError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StartupError';
  }
}

export interface Store {
  /** The state as it was loaded; the controller changes it and saves it. */
  readonly state: DesiredState;
  /** Captures that ran when the state was last saved. */
  readonly captures: readonly SavedCapture[];
  /** What the operator should know about how the state was loaded (e.g. a corrupt file that was set aside). */
  readonly warnings: readonly string[];
  /** Resolves when the state is on disk. One at a time. */
  save(captures: readonly SavedCapture[]): Promise<void>;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** STATE_DIR; made with mode 0750 when it is missing. */
  directory: string;
  clock: { now(): number };
}

/**
 * Locks the directory against a second daemon and loads the state. Throws `StartupError`: directory in use by
 * another daemon, state written by a newer weft, directory not writable.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { directory } = options;
  try {
    await mkdir(directory, { recursive: true, mode: 0o750 });
  } catch (error) {
    throw new StartupError(`the state directory ${directory} cannot be made: ${(error as Error).message}`);
  }
  const lock = await lockDirectory(directory);
  if (!lock.ok) throw new StartupError(lock.reason);
  try {
    return await load(options, lock.lock);
  } catch (error) {
    await lock.lock.release();
    throw error;
  }
}

async function load({ directory, clock }: StoreOptions, lock: StateLock): Promise<Store> {
  const file = join(directory, 'state.json');
  const fresh = (instance: string, warnings: string[]): Store => {
    const state = new DesiredState(instance, LIMITS);
    return new FileStore({ file, lock, state, captures: [], warnings });
  };
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return fresh(randomUUID(), []);
    throw new StartupError(`the state in ${file} cannot be read: ${(error as Error).message}`);
  }
  const reading = parseState(text, LIMITS);
  if (reading.kind === 'newer') {
    const versions = `version ${reading.version} of the format, this one knows ${STATE_VERSION}`;
    throw new StartupError(`${file} was written by a newer weft (${versions}); start that weft, or move the file away`);
  }
  const aside = `${file}.corrupt-${new Date(clock.now()).toISOString().replace(/[:.]/g, '-')}`;
  if (reading.kind === 'corrupt') {
    await rename(file, aside);
    const warning = `the state file was damaged (${reading.reason}): weft started empty, the file is kept as ${aside}`;
    return fresh(reading.instance ?? randomUUID(), [warning]);
  }
  if (reading.left.length > 0) await copyFile(file, aside);
  const warnings = reading.left.map((what) => `the state file was damaged: ${what}; the file is kept as ${aside}`);
  const { version, state, captures } = reading;
  // The next save replaces the file by one of this version; whoever goes back to the older weft finds what that one knew.
  if (version < STATE_VERSION) await replaceFile(`${file}.version-${version}`, text);
  return new FileStore({ file, lock, state, captures, warnings });
}

interface StoreParts extends Pick<Store, 'state' | 'captures' | 'warnings'> {
  file: string;
  lock: StateLock;
}

class FileStore implements Store {
  readonly state: DesiredState;
  readonly captures: readonly SavedCapture[];
  readonly warnings: readonly string[];
  private readonly parts: StoreParts;

  constructor(parts: StoreParts) {
    this.parts = parts;
    this.state = parts.state;
    this.captures = parts.captures;
    this.warnings = parts.warnings;
  }

  async save(captures: readonly SavedCapture[]): Promise<void> {
    await replaceFile(this.parts.file, formatState(this.state, captures));
  }

  close(): Promise<void> {
    return this.parts.lock.release();
  }
}

/**
 * The file is the old one or the new one at every moment, also after a power cut. Only the two waits for the disk are
 * handed to another thread: the other steps end in memory, and each hand-over would cost more than they do.
 */
async function replaceFile(file: string, text: string): Promise<void> {
  const fresh = `${file}.new`;
  try {
    const written = openSync(fresh, 'w', 0o600);
    try {
      writeFileSync(written, text);
      await flushData(written);
    } finally {
      closeSync(written);
    }
    renameSync(fresh, file);
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  const directory = openSync(dirname(file), 'r');
  try {
    await flush(directory);
  } finally {
    closeSync(directory);
  }
}
