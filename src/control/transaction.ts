/**
 * One change of the lab while it is under way: how to take back what was done so far, what to do and tell once it is safe.
 */
import type { EventLog, NewEvent } from './state/event-log.js';

interface Step {
  what: string;
  run: () => void | Promise<void>;
}

/** Hears of a step that failed when nothing but going on was left. */
export type ReportStep = (what: string, error: unknown) => void;

export class Transaction {
  /** Whether there is anything to save. */
  isChange = false;
  private readonly undos: Step[] = [];
  private readonly afterUndos: Step[] = [];
  private readonly commits: Step[] = [];
  private readonly events: NewEvent[] = [];

  /** Whether it has to be saved before another change may begin, because something is left to do after that. */
  get isLastOfBatch(): boolean {
    return this.commits.length > 0;
  }

  /** Registers how to take back a step, right after the step was done. `what` is for the log. */
  onUndo(what: string, run: () => void | Promise<void>): void {
    this.isChange = true;
    this.undos.push({ what, run });
  }

  /** Registers what is to be done when everything has been taken back, and the state is what it was before. */
  onTakenBack(what: string, run: () => void | Promise<void>): void {
    this.isChange = true;
    this.afterUndos.push({ what, run });
  }

  /** Registers what can only be done when the change cannot be taken back any more. */
  onCommit(what: string, run: () => void | Promise<void>): void {
    this.isChange = true;
    this.commits.push({ what, run });
  }

  /** An event to tell once the change is safe. */
  emit(event: NewEvent): void {
    this.isChange = true;
    this.events.push(event);
  }

  /** The change is safe: does what was left, and tells. A step that fails is reported and does not stop the others. */
  async commit(events: EventLog, report: ReportStep): Promise<void> {
    await runAll(this.commits, report);
    for (const event of this.events) events.add(event);
  }

  /** Takes everything back, last step first. A step that cannot be taken back is reported and does not stop the others. */
  async rollback(report: ReportStep): Promise<void> {
    await runAll(this.undos.reverse(), report);
    this.undos.length = 0;
    await runAll(this.afterUndos, report);
    this.afterUndos.length = 0;
  }
}

async function runAll(steps: readonly Step[], report: ReportStep): Promise<void> {
  for (const { what, run } of steps) {
    try {
      await run();
    } catch (error) {
      report(what, error);
    }
  }
}
