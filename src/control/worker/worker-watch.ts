/**
 * Notices a datapath worker that hangs: one whose count of turns stands still. An idle worker turns every 100 ms.
 *
 * Time is counted in looks, not read from a clock: when the whole process was stopped (a suspended machine, a debugger,
 * SIGSTOP), the clock jumps, but the worker had no more time than whoever looks at it. And a look counts in full only if the
 * process had the processor meanwhile: on a machine with too much to do a healthy worker may stand still for longer than one
 * that runs in circles is to be endured.
 */

/** Between two looks. */
export const LOOK_MS = 150;
/** A worker that runs turns and stood still for so many looks, in which the process was busy, hangs. */
const PATIENCE_LOOKS = 4;
/** A look in which the process used less of the processor than this (ms) counts as one part of WAITING_PARTS. */
const BUSY_MS = LOOK_MS / 3;
const WAITING_PARTS = 5;
/** A worker that is still loading has longer: its modules come from a disk. */
const START_LOOKS = 100;

export class WorkerWatch {
  private seenTurns = -1;
  /** Parts of looks, WAITING_PARTS to a full one. */
  private idleParts = 0;
  private wasReady = false;

  /** A new worker begins to load. */
  begin(): void {
    this.idleParts = 0;
    this.wasReady = false;
  }

  /**
   * One look, `LOOK_MS` after the one before; true when the worker hangs. `isReady`: it has begun to run turns. `busyMs`: processor
   * time of all threads since the last look.
   */
  look(turns: number, isReady: boolean, busyMs: number): boolean {
    // However long it has loaded, its first turn may take as long as any.
    const isNew = isReady && !this.wasReady;
    this.wasReady = isReady;
    if (isNew || turns !== this.seenTurns) {
      this.seenTurns = turns;
      this.idleParts = 0;
      return false;
    }
    this.idleParts += busyMs >= BUSY_MS ? WAITING_PARTS : 1;
    return this.idleParts >= (isReady ? PATIENCE_LOOKS : START_LOOKS) * WAITING_PARTS;
  }
}
