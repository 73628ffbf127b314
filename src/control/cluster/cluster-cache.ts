/**
 * What was last known of the cluster, in a file of the state directory: a daemon that starts while etcd is away forwards with it. Nothing
 * depends on the file: one that is missing, damaged or of another cluster is as good as none.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../context.js';
import type { Entry } from './etcd-session.js';
import type { Replica } from './replica.js';

const FILE = 'cluster.json';
const VERSION = 1;
/** What happens within this time is written at once; more where writing takes long, so that it never takes more than a small share of it. */
const WRITE_MS = 1000;
const SHARE = 50;

export class ClusterCache {
  private readonly file: string;
  private readonly replica: Replica;
  private readonly log: Log;
  private timer: NodeJS.Timeout | null = null;
  private isClosed = false;
  private isBroken = false;
  private lastTookMs = 0;

  constructor(directory: string, replica: Replica, log: Log) {
    this.file = join(directory, FILE);
    this.replica = replica;
    this.log = log;
  }

  /** What the last daemon knew; empty when there is nothing of use. */
  read(root: string): { entries: Entry[]; revision: number } {
    try {
      const saved = JSON.parse(readFileSync(this.file, 'utf8')) as {
        version?: unknown;
        revision?: unknown;
        entries?: unknown;
      };
      if (saved.version === VERSION && typeof saved.revision === 'number' && Array.isArray(saved.entries)) {
        const entries = saved.entries.flatMap((row) => entryFrom(row, root));
        return { entries, revision: saved.revision };
      }
    } catch {
      // There is none, or it is no JSON.
    }
    return { entries: [], revision: 0 };
  }

  /** Something has changed. What is heard after the end is not kept: the next daemon has the file then. */
  touch(): void {
    if (this.isClosed) return;
    this.timer ??= setTimeout(() => this.write(), Math.max(WRITE_MS, this.lastTookMs * SHARE)).unref();
  }

  close(): void {
    this.isClosed = true;
    if (this.timer !== null) this.write();
  }

  private write(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const startedAt = performance.now();
    const rows = [...this.replica.entries()].map(({ key, value, modRevision }) => [key, value, modRevision]);
    const fresh = `${this.file}.new`;
    try {
      const { revision } = this.replica;
      writeFileSync(fresh, `${JSON.stringify({ version: VERSION, revision, entries: rows })}\n`, { mode: 0o600 });
      renameSync(fresh, this.file);
      this.isBroken = false;
    } catch (error) {
      rmSync(fresh, { force: true });
      if (!this.isBroken) this.log.warn({ error: String(error) }, 'what is known of the cluster could not be saved');
      this.isBroken = true;
    }
    this.lastTookMs = performance.now() - startedAt;
  }
}

function entryFrom(row: unknown, root: string): Entry[] {
  if (!Array.isArray(row)) return [];
  const [key, value, modRevision] = row as unknown[];
  if (typeof key !== 'string' || typeof value !== 'string' || typeof modRevision !== 'number') return [];
  return key.startsWith(root) ? [{ key, value, modRevision }] : [];
}
