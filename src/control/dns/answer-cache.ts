/**
 * Answers of other servers, kept for as long as their TTLs say (RFC 1035 section 7.4; that something does not exist: RFC 2308).
 *
 * Bounded in entries and in bytes. When it is full, what has not been asked for the longest time goes. Whoever is behind a key
 * can at worst fill it with answers that nobody asks for again; no entry lives longer for it.
 */
import type { Answer } from './message.js';

const MAX_ENTRIES = 8192;
const MAX_BYTES = 4 << 20;
/** Of one entry, beside the message: objects, key, TTL offsets. */
const ENTRY_BYTES = 400;

interface Entry {
  answer: Answer;
  keptAtMs: number;
  bytes: number;
}

export interface KeptAnswer {
  answer: Answer;
  ageSeconds: number;
}

export class AnswerCache {
  /** In the order in which they were last asked for. */
  private readonly entries = new Map<string, Entry>();
  private readonly nowMs: () => number;
  private bytes = 0;

  /** `nowMs`: never goes back. */
  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  get count(): number {
    return this.entries.size;
  }

  find(key: string): KeptAnswer | null {
    const entry = this.entries.get(key);
    if (entry === undefined) return null;
    const ageSeconds = Math.floor((this.nowMs() - entry.keptAtMs) / 1000);
    this.remove(key, entry);
    if (ageSeconds >= entry.answer.ttl) return null;
    this.enter(key, entry);
    return { answer: entry.answer, ageSeconds };
  }

  /** Does nothing with an answer that may not be kept. */
  insert(key: string, answer: Answer): void {
    if (answer.ttl <= 0) return;
    const former = this.entries.get(key);
    if (former !== undefined) this.remove(key, former);
    const bytes = ENTRY_BYTES + key.length + answer.bytes.length + 8 * answer.ttlAt.length;
    this.enter(key, { answer, keptAtMs: this.nowMs(), bytes });
    for (const [oldest, entry] of this.entries) {
      if (this.entries.size <= MAX_ENTRIES && this.bytes <= MAX_BYTES) break;
      this.remove(oldest, entry);
    }
  }

  private enter(key: string, entry: Entry): void {
    this.entries.set(key, entry);
    this.bytes += entry.bytes;
  }

  private remove(key: string, entry: Entry): void {
    this.entries.delete(key);
    this.bytes -= entry.bytes;
  }
}
