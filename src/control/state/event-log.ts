/**
 * What happened, numbered, for `weft events`: the last few thousand events in memory, and a call to whoever listens.
 *
 * Numbers rise by one and are never used again, also by a later daemon of the same state directory. Two things see to it:
 * the journal (event-journal.ts) holds what a killed daemon told last; and where it is lost, a power cut or another run
 * directory, numbers go on behind those that the state file says may have been used (`reserved`, always well ahead of the
 * last one). Such a leap and what is not kept any more look alike to a reader: as a gap.
 *
 * Only what has become durable is told: an event of a change is added after the change was saved.
 */
import type { WeftEvent } from '../controller.js';
import type { EventJournal } from './event-journal.js';

/** Events kept for those who ask later. */
export const KEPT_EVENTS = 4096;

/** Numbers that one save of the state reserves; with less than half of them left another save is asked for. */
const RESERVE = 1000;

/** An event that has no number and time yet. */
export type NewEvent = Pick<WeftEvent, 'type' | 'object' | 'name' | 'message'>;

export interface EventLogOptions {
  /** ms since 1970. */
  now: () => number;
  /** Up to this number all may have been used, says the state file. */
  reserved?: number;
  /** Where events outlive the daemon; none: they do not. */
  journal?: EventJournal;
}

export class EventLog {
  /** Asks for a save of the state with what `reserve` says then. */
  onReserveLow: () => void = () => {};
  private readonly events: WeftEvent[] = [];
  private readonly listeners = new Set<(event: WeftEvent) => void>();
  private readonly options: EventLogOptions;
  private sequence: number;
  private reserved: number;
  private hasAsked = false;

  constructor(options: EventLogOptions) {
    this.options = options;
    this.reserved = options.reserved ?? 0;
    const kept = options.journal?.events ?? [];
    const last = kept.at(-1)?.sequence ?? 0;
    // A journal that ends before the reserve began is older than the state.
    const isCurrent = last > 0 && last >= this.reserved - RESERVE;
    this.sequence = isCurrent ? last : this.reserved;
    if (isCurrent) this.events.push(...kept);
    else if (kept.length > 0) options.journal?.forget();
  }

  /** The number that a save has to write down as reserved. */
  reserve(): number {
    this.reserved = this.sequence + RESERVE;
    this.hasAsked = false;
    return this.reserved;
  }

  add(event: NewEvent): void {
    const numbered = { sequence: ++this.sequence, time: new Date(this.options.now()).toISOString(), ...event };
    this.events.push(numbered);
    // Dropping a quarter at a time keeps adding cheap on average.
    if (this.events.length > KEPT_EVENTS + KEPT_EVENTS / 4) this.events.splice(0, this.events.length - KEPT_EVENTS);
    this.options.journal?.append(numbered);
    for (const listener of [...this.listeners]) listener(numbered);
    if (this.hasAsked || this.sequence < this.reserved - RESERVE / 2) return;
    this.hasAsked = true;
    this.onReserveLow();
  }

  /** Events after `sequence` that are still kept, oldest first. */
  since(sequence: number): WeftEvent[] {
    let from = Math.max(0, this.events.length - KEPT_EVENTS);
    let end = this.events.length;
    while (from < end) {
      const middle = (from + end) >> 1;
      if (this.events[middle]!.sequence > sequence) end = middle;
      else from = middle + 1;
    }
    return this.events.slice(from);
  }

  listen(listener: (event: WeftEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The daemon ends in order: nothing is told any more. */
  close(): void {
    this.options.journal?.close();
  }
}
