/**
 * A capture that goes to a regular file: chunks are written one after the other, without anybody waiting for the disk.
 *
 * The path comes from a client and is opened by root, so: it is absolute, a symbolic link as its last component is not
 * followed, and what is opened must be a regular file on a real file system. An existing file is emptied only once it is
 * open and known to be one.
 *
 * Invariant: the file holds whole chunks. When a write fails midway (disk full), the file is cut back to the last whole one,
 * so that it stays readable.
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, statfs } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import type { CaptureSink, SinkFailure } from './capture-sink.js';

export type FileSinkResult = { kind: 'opened'; sink: FileSink } | { kind: 'refused'; reason: string; remedy: string };

export interface FileSinkOptions {
  /** Group of a file that is made; null = that of the process. */
  groupId: number | null;
  /** Marks a file (by device and inode) as being written; false when it is already. */
  claim(identity: string): boolean;
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
  chunk: Uint8Array;
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
    const stats = await handle.stat();
    if (opened.isNew) {
      await handle.chmod(FILE_MODE);
      if (options.groupId !== null) await handle.chown(stats.uid, options.groupId);
    } else await handle.truncate(0);
    return { kind: 'opened', sink: new FileSink(handle, identityOf(stats), options.onFailure) };
  } catch (error) {
    await handle?.close().catch(() => {});
    return explain(path, error);
  }
}

async function openOrCreate(path: string): Promise<{ handle: FileHandle; isNew: boolean }> {
  // O_NONBLOCK: opening a FIFO must not wait for a reader; it means nothing for the regular file that is wanted.
  const flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK;
  for (let attempt = 1; ; attempt++) {
    try {
      return { handle: await open(path, flags | O_CREAT | O_EXCL, FILE_MODE), isNew: true };
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    try {
      return { handle: await open(path, flags), isNew: false };
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
  return { kind: 'refused', reason, remedy };
}

function identityOf(stats: Stats): string {
  return `${stats.dev}:${stats.ino}`;
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
      return refused(
        `the directory of ${path} does not exist (${code})`,
        'make it first; the daemon looks on its machine',
      );
    case 'ENOTDIR':
      return refused(`a component of ${path} is not a directory (${code})`, 'check the path');
    case 'ENXIO':
      return refused(`${path} is not a regular file (${code})`, 'name a file that does not exist yet');
    default:
      return refused(`${path} cannot be written (${code})`, 'name a file where the daemon may write');
  }
}

export class FileSink implements CaptureSink {
  pendingBytes = 0;
  /** Device and inode. */
  readonly identity: string;
  private readonly handle: FileHandle;
  private readonly onFailure: SinkFailure;
  private readonly waiting: Waiting[] = [];
  private position = 0;
  private hasFailed = false;
  private writing: Promise<void> | null = null;

  constructor(handle: FileHandle, identity: string, onFailure: SinkFailure) {
    this.handle = handle;
    this.identity = identity;
    this.onFailure = onFailure;
  }

  write(chunk: Uint8Array, frames: number): boolean {
    if (this.hasFailed) return false;
    this.waiting.push({ chunk, frames });
    this.pendingBytes += chunk.length;
    this.writing ??= this.writeAll();
    return true;
  }

  async close(): Promise<void> {
    while (this.writing !== null) await this.writing;
    await this.handle.close().catch(() => {});
  }

  private async writeAll(): Promise<void> {
    let next = this.waiting[0];
    while (next !== undefined) {
      try {
        await this.writeChunk(next.chunk);
      } catch (error) {
        await this.fail(codeOf(error));
        break;
      }
      this.waiting.shift();
      this.pendingBytes -= next.chunk.length;
      next = this.waiting[0];
    }
    this.writing = null;
  }

  private async writeChunk(chunk: Uint8Array): Promise<void> {
    let done = 0;
    while (done < chunk.length) {
      const { bytesWritten } = await this.handle.write(chunk, done, chunk.length - done, this.position + done);
      // Never for a regular file; if it happened, this would not end.
      if (bytesWritten === 0) throw new Error('write() wrote nothing');
      done += bytesWritten;
    }
    this.position += chunk.length;
  }

  private async fail(code: string): Promise<void> {
    this.hasFailed = true;
    let frames = 0;
    for (const waiting of this.waiting) frames += waiting.frames;
    this.waiting.length = 0;
    this.pendingBytes = 0;
    await this.handle.truncate(this.position).catch(() => {});
    this.onFailure(code === 'ENOSPC' ? 'the disk is full (ENOSPC)' : `writing failed (${code})`, frames);
  }
}
