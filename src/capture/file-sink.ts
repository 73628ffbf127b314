/**
 * A capture that goes to a regular file: chunks are written one after the other, without anybody waiting for the disk.
 *
 * The path comes from a client and is opened by root, so: it is absolute, a symbolic link as its last component is not
 * followed, and what is opened must be a regular file on a real file system. An existing file is emptied only once it is
 * open and known to be one.
 *
 * Invariant: the file holds whole chunks. When a write fails midway (disk full), the file is cut back to the last whole one,
 * so that it stays readable.
 *
 * `startNextFile` begins another file under the same path: what is written from then on goes there (file-ring.ts).
 */
import { constants } from 'node:fs';
import { type FileHandle, open, statfs } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { CaptureSink, SinkFailure } from './capture-sink.js';
import { identityOf } from './file-identity.js';
import { FileRing } from './file-ring.js';

export type FileSinkResult =
  | { kind: 'opened'; sink: FileSink }
  /** `isOutOfReach`: this process may not write there, or does not see the directory; another one may. */
  | { kind: 'refused'; reason: string; remedy: string; isOutOfReach: boolean };

export interface FileSinkOptions {
  /** Group of a file that is made; null = that of the process. */
  groupId: number | null;
  /** Marks a file (by device and inode) as being written; false when it is already. */
  claim(identity: string): boolean;
  /** It is not written any more. */
  release(identity: string): void;
  /** Files kept, the present one included; null = all. */
  mostFiles: number | null;
  onFailure: SinkFailure;
}

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
const FILE_MODE = 0o640;
/** Somebody may make or remove the file between two tries. */
const OPEN_ATTEMPTS = 4;

/** File systems whose "regular files" are switches of the kernel (include/uapi/linux/magic.h). */
const KERNEL_FILE_SYSTEMS = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xcafe4a11, // bpf
  0x62656570, // configfs
  0x63677270, // cgroup2
  0x27e0eb, // cgroup
]);

interface Waiting {
  /** null: what follows belongs into the next file. */
  chunk: Uint8Array | null;
  frames: number;
}

/** Opens and empties the file. Never rejects. */
export async function openFileSink(path: string, options: FileSinkOptions): Promise<FileSinkResult> {
  if (!isAbsolute(path)) return refused(`${path} is a relative path`, 'give the whole path, beginning with /');
  if (path.includes('\0')) return refused('the path has a zero byte', 'give a path without it');
  let handle: FileHandle | null = null;
  try {
    const opened = await openOrCreate(path);
    handle = opened.handle;
    const wrong = await whyUnfit(handle, path, options);
    if (wrong !== null) {
      await handle.close();
      return wrong;
    }
    if (opened.isNew) await giveAway(handle, options);
    else await handle.truncate(0);
    const identity = identityOf(await handle.stat());
    return { kind: 'opened', sink: new FileSink(path, { handle, identity }, options) };
  } catch (error) {
    await handle?.close().catch(() => {});
    return explain(path, error);
  }
}

/** The mode and group of a file that was made. */
async function giveAway(handle: FileHandle, { groupId }: FileSinkOptions): Promise<void> {
  await handle.chmod(FILE_MODE);
  const { uid, gid } = await handle.stat();
  if (groupId === null || groupId === gid) return;
  try {
    await handle.chown(uid, groupId);
  } catch (error) {
    // A service may not give files away: in a directory with the setgid bit the file keeps the group of that directory.
    if (codeOf(error) !== 'EPERM') throw error;
  }
}

// O_NONBLOCK: opening a FIFO must not wait for a reader; it means nothing for the regular file that is wanted.
const OPEN_FLAGS = O_WRONLY | O_NOFOLLOW | O_NONBLOCK;
const CREATE_FLAGS = OPEN_FLAGS | O_CREAT | O_EXCL;

async function openOrCreate(path: string): Promise<{ handle: FileHandle; isNew: boolean }> {
  for (let attempt = 1; ; attempt++) {
    try {
      return { handle: await open(path, CREATE_FLAGS, FILE_MODE), isNew: true };
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    try {
      return { handle: await open(path, OPEN_FLAGS), isNew: false };
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || attempt === OPEN_ATTEMPTS) throw error;
    }
  }
}

async function whyUnfit(
  handle: FileHandle,
  path: string,
  options: FileSinkOptions,
): Promise<(FileSinkResult & { kind: 'refused' }) | null> {
  const stats = await handle.stat();
  if (!stats.isFile()) return refused(`${path} is not a regular file`, 'name a file that does not exist yet');
  const { type } = await statfs(`/proc/self/fd/${handle.fd}`);
  if (KERNEL_FILE_SYSTEMS.has(type >>> 0)) {
    return refused(`${path} belongs to the kernel`, 'name a file on a file system with room for the capture');
  }
  if (!options.claim(identityOf(stats))) {
    return refused(`another capture is writing ${path}`, 'stop that one first, or name another file');
  }
  return null;
}

function refused(reason: string, remedy: string): FileSinkResult & { kind: 'refused' } {
  return { kind: 'refused', reason, remedy, isOutOfReach: false };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'EIO';
}

function explain(path: string, error: unknown): FileSinkResult {
  const code = codeOf(error);
  switch (code) {
    case 'ELOOP':
      return refused(`${path} is a symbolic link (${code})`, 'name the file itself');
    case 'EISDIR':
      return refused(`${path} is a directory (${code})`, 'name a file in it');
    case 'ENOENT':
      return outOfReach(
        `the directory of ${path} does not exist for weftd (${code})`,
        'make it first; as a service weftd sees no home directories',
      );
    case 'ENOTDIR':
      return refused(`a component of ${path} is not a directory (${code})`, 'check the path');
    case 'ENXIO':
      return refused(`${path} is not a regular file (${code})`, 'name a file that does not exist yet');
    default:
      return outOfReach(`weftd cannot write ${path} (${code})`, 'name a file where the daemon may write');
  }
}

function outOfReach(reason: string, remedy: string): FileSinkResult & { kind: 'refused' } {
  return { ...refused(reason, remedy), isOutOfReach: true };
}

function failureOf(code: string): string {
  if (code === 'ENOSPC') return `the disk is full (${code})`;
  if (code === 'EEXIST') return `somebody put another file in the place of the next one (${code})`;
  return `writing failed (${code})`;
}

interface OpenFile {
  handle: FileHandle;
  /** Device and inode. */
  identity: string;
}

export class FileSink implements CaptureSink {
  pendingBytes = 0;
  private readonly path: string;
  private readonly options: FileSinkOptions;
  private readonly ring: FileRing;
  private readonly waiting: Waiting[] = [];
  private file: OpenFile;
  private position = 0;
  private hasFailed = false;
  private writing: Promise<void> | null = null;

  constructor(path: string, file: OpenFile, options: FileSinkOptions) {
    this.path = path;
    this.file = file;
    this.options = options;
    this.ring = new FileRing(path, options.mostFiles);
  }

  /** Paths of what was written and is kept, oldest first. */
  get files(): string[] {
    return this.ring.files;
  }

  write(chunk: Uint8Array, frames: number): boolean {
    if (this.hasFailed) return false;
    this.waiting.push({ chunk, frames });
    this.pendingBytes += chunk.length;
    this.writing ??= this.writeAll();
    return true;
  }

  /** Chunks from now on go into another file. */
  startNextFile(): void {
    if (this.hasFailed) return;
    this.waiting.push({ chunk: null, frames: 0 });
    this.writing ??= this.writeAll();
  }

  async close(): Promise<void> {
    while (this.writing !== null) await this.writing;
    await this.closeFile(this.file);
  }

  private async writeAll(): Promise<void> {
    let next = this.waiting[0];
    while (next !== undefined) {
      try {
        if (next.chunk === null) await this.openNextFile();
        else await this.writeChunk(next.chunk);
      } catch (error) {
        await this.fail(codeOf(error));
        break;
      }
      this.waiting.shift();
      this.pendingBytes -= next.chunk?.length ?? 0;
      next = this.waiting[0];
    }
    this.writing = null;
  }

  private async writeChunk(chunk: Uint8Array): Promise<void> {
    const { handle } = this.file;
    let done = 0;
    while (done < chunk.length) {
      const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, this.position + done);
      // Never for a regular file; if it happened, this would not end.
      if (bytesWritten === 0) throw new Error('write() wrote nothing');
      done += bytesWritten;
    }
    this.position += chunk.length;
  }

  private async openNextFile(): Promise<void> {
    const former = this.file;
    await this.ring.advance(former.identity);
    const handle = await open(this.path, CREATE_FLAGS, FILE_MODE);
    const identity = identityOf(await handle.stat());
    this.options.claim(identity);
    this.file = { handle, identity };
    this.position = 0;
    await this.closeFile(former);
    await giveAway(handle, this.options);
    await this.ring.prune();
  }

  private async closeFile({ handle, identity }: OpenFile): Promise<void> {
    await handle.close().catch(() => {});
    this.options.release(identity);
  }

  private async fail(code: string): Promise<void> {
    this.hasFailed = true;
    let frames = 0;
    for (const waiting of this.waiting) frames += waiting.frames;
    this.waiting.length = 0;
    this.pendingBytes = 0;
    await this.file.handle.truncate(this.position).catch(() => {});
    this.options.onFailure(failureOf(code), frames);
  }
}
