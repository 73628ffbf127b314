/**
 * The files of a capture that begins a new one every so often: the present one has the path that was asked for, earlier ones
 * are numbered (numbered-file.ts), and of those the oldest are deleted when there are more than shall be kept.
 *
 * Only what this capture wrote is ever renamed or deleted: a file that somebody moved away or replaced is theirs.
 */
import { lstat, unlink } from 'node:fs/promises';
import { identityOf } from './file-identity.js';
import { putAside } from './numbered-file.js';

/** Of files that are all kept, so many are remembered for the list. */
const MOST_REMEMBERED = 1000;

interface EarlierFile {
  path: string;
  /** Device and inode. */
  identity: string;
}

export class FileRing {
  private readonly path: string;
  /** The present file included; null = all. */
  private readonly most: number | null;
  private readonly earlier: EarlierFile[] = [];

  constructor(path: string, most: number | null) {
    this.path = path;
    this.most = most;
  }

  /** Paths, oldest first, the present one last; of very many only the newest. */
  get files(): string[] {
    return [...this.earlier.map(({ path }) => path), this.path];
  }

  /** Frees the path for the next file. `identity`: of the present one. Rejects as the file system does. */
  async advance(identity: string): Promise<void> {
    if (!(await isStill(this.path, identity))) return;
    this.earlier.push({ path: await putAside(this.path), identity });
  }

  /** Deletes what is not kept any more. */
  async prune(): Promise<void> {
    const most = (this.most ?? MOST_REMEMBERED) - 1;
    while (this.earlier.length > most) {
      const oldest = this.earlier.shift()!;
      if (this.most !== null && (await isStill(oldest.path, oldest.identity))) await unlink(oldest.path);
    }
  }
}

async function isStill(path: string, identity: string): Promise<boolean> {
  const stats = await lstat(path).catch(() => null);
  return stats !== null && identityOf(stats) === identity;
}
