/**
 * What happened, numbered, for `weft events`: the last few thousand events in memory, and a call to whoever listens.
 *
 * Sequence numbers begin at 1 in every run of the daemon and have no gaps. Only what has become durable is told: an event
 * of a change is added after the change was saved.
 */
import type { WeftEvent } from './controller.js';

/** Events kept for those who ask later. */
const KEPT = 4096;

/** An event that has no number and time yet. */
export type NewEvent = Pick<WeftEvent, 'type' | 'object' | 'name' | 'message'>;

export class EventLog {
  private readonly events: WeftEvent[] = [];
  private readonly listeners = new Set<(event: WeftEvent) => void>();
  private readonly now: () => number;
  private sequence = 0;

  /** `now`: ms since 1970. */
  constructor(now: () => number) {
    this.now = now;
  }

  add(event: NewEvent): void {
    const numbered = { sequence: ++this.sequence, time: new Date(this.now()).toISOString(), ...event };
    this.events.push(numbered);
    // Dropping a quarter at a time keeps adding cheap on average.
    if (this.events.length > KEPT + KEPT / 4) this.events.splice(0, this.events.length - KEPT);
    for (const listener of [...this.listeners]) listener(numbered);
  }

  /** Events after `sequence` that are still kept, oldest first. */
  since(sequence: number): WeftEvent[] {
    const first = this.sequence - this.events.length + 1;
    return this.events.slice(Math.max(0, sequence + 1 - first)).slice(-KEPT);
  }

  listen(listener: (event: WeftEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
