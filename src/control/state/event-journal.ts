/**
 * The last events on disk, so that a daemon that was killed or restarted still knows them: RUN_DIR/events.jsonl, one event
 * per line, only ever appended to, and written anew when it has grown to twice what is kept.
 *
 * It need not survive a power cut (nothing is flushed): where event numbers go on is in the state file. What cannot be
 * read, a line that a crash cut short for instance, ends what is taken over. A journal that cannot be written is given up and
 * removed, because a stale one would be taken for the truth by the next daemon.
 */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { WeftEvent } from '../controller.js';

export interface EventJournal {
  /** What was there when it was opened, oldest first, numbers rising. */
  readonly events: readonly WeftEvent[];
  append(event: WeftEvent): void;
  /** Drops what was there: it is of another state, or older than it. */
  forget(): void;
  close(): void;
}

/** `kept`: how many events are worth keeping. `complain` is called once, when the journal is given up. */
export function openEventJournal(file: string, kept: number, complain: (reason: string) => void): EventJournal {
  return new FileJournal(file, kept, complain);
}

class FileJournal implements EventJournal {
  readonly events: readonly WeftEvent[];
  private readonly file: string;
  private readonly kept: number;
  private readonly complain: (reason: string) => void;
  /** Lines in the file. They are not kept in memory: the event log has the events. */
  private lineCount = 0;
  /** -1 once it was given up or closed. */
  private fd = -1;

  constructor(file: string, kept: number, complain: (reason: string) => void) {
    this.file = file;
    this.kept = kept;
    this.complain = complain;
    this.events = readEvents(file).slice(-kept);
    this.attempt(() => {
      mkdirSync(dirname(file), { recursive: true });
      this.rewrite(this.events.map((event) => JSON.stringify(event)));
    });
  }

  append(event: WeftEvent): void {
    if (this.fd < 0) return;
    this.attempt(() => {
      writeSync(this.fd, `${JSON.stringify(event)}\n`);
      if (++this.lineCount < 2 * this.kept) return;
      this.rewrite(wholeLines(this.file).slice(-this.kept));
    });
  }

  forget(): void {
    this.attempt(() => this.rewrite([]));
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }

  private rewrite(lines: readonly string[]): void {
    const fresh = `${this.file}.new`;
    writeFileSync(fresh, lines.map((line) => `${line}\n`).join(''), { mode: 0o600 });
    renameSync(fresh, this.file);
    this.lineCount = lines.length;
    this.close();
    this.fd = openSync(this.file, 'a');
  }

  private attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.close();
      rmSync(this.file, { force: true, recursive: true });
      this.complain((error as Error).message);
    }
  }
}

function readEvents(file: string): WeftEvent[] {
  const events: WeftEvent[] = [];
  for (const line of wholeLines(file)) {
    const event = readEvent(line);
    if (event === null || event.sequence <= (events.at(-1)?.sequence ?? 0)) break;
    events.push(event);
  }
  return events;
}

/** None when it cannot be read: somebody removed it, and it begins anew. */
function wholeLines(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').slice(0, -1);
}

function readEvent(line: string): WeftEvent | null {
  try {
    const event = JSON.parse(line) as Partial<WeftEvent>;
    const texts = [event.time, event.type, event.object, event.name, event.message];
    if (!Number.isSafeInteger(event.sequence) || texts.some((text) => typeof text !== 'string')) return null;
    return event as WeftEvent;
  } catch {
    return null;
  }
}
