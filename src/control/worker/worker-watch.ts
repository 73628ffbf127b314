/**
 * Notices a datapath worker that hangs: one whose count of turns stands still. An idle worker turns every 100 ms.
 *
 * Time is counted in looks, not read from a clock: when the whole process was stopped (a suspended machine, a debugger,
 * SIGSTOP), the clock jumps, but the worker had no more time than whoever looks at it.
 */

/** Between two looks. */
export const LOOK_MS = 150;
/** A worker that runs turns and stood still for so many looks hangs. */
const PATIENCE_LOOKS = 4;
/** A worker that is still loading has longer: its modules come from a disk. */
const START_LOOKS = 100;

export class WorkerWatch {
  private seenTurns = -1;
  private idleLooks = 0;

  /** A new worker begins to load. */
  begin(): void {
    this.idleLooks = 0;
  }

  /** One look, `LOOK_MS` after the one before; true when the worker hangs. `isReady`: it has begun to run turns. */
  look(turns: number, isReady: boolean): boolean {
    if (turns !== this.seenTurns) {
      this.seenTurns = turns;
      this.idleLooks = 0;
      return false;
    }
    return ++this.idleLooks >= (isReady ? PATIENCE_LOOKS : START_LOOKS);
  }
}
